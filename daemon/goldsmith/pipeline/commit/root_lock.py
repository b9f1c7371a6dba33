"""One daemon to a root: a lock that the kernel lets go of when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from pathlib import Path
from types import TracebackType

from goldsmith.errors import AlreadyRunningError, HostError

_OPEN_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class RootLock:
    """``ROOT/.goldsmith/lock``, held as long as this object is not closed. Inside stands who holds it."""

    def __init__(self, fd: int, path: Path) -> None:
        self._fd = fd
        self.path = path

    @classmethod
    def acquire(cls, root: Path) -> RootLock:
        """Take the lock at once, or raise AlreadyRunningError with the other's process id and host."""
        path = root / ".goldsmith" / "lock"
        try:
            path.parent.mkdir(exist_ok=True)
            fd = os.open(path, _OPEN_FLAGS, 0o644)
        except OSError as error:
            raise HostError(f"The lock {path} cannot be made: {error.strerror}.", "Is the root there, and writable?") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder_text(fd)
            os.close(fd)
            raise AlreadyRunningError(f"Goldsmith is already running on {root} ({holder}).", "Stop that one first.") from None
        except OSError as error:
            os.close(fd)
            raise HostError(f"The filesystem of {path} has no locks: {error.strerror}.", "Mount it with locking.") from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
        return cls(fd, path)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> RootLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def lock_holder(root: Path) -> str:
    """Who runs on this root ("process 4711 on atelier"), or "" where nobody does. Never in the way of one that is starting."""
    try:
        fd = os.open(root / ".goldsmith" / "lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return ""
    with contextlib.closing(os.fdopen(fd, "rb")):
        if _is_locked(fd):
            return _holder_text(fd)
    return ""


def _is_locked(fd: int) -> bool:
    """Read from the kernel's table of locks, since trying it would make a daemon that starts this instant stumble."""
    mark = f":{os.fstat(fd).st_ino}"
    with open("/proc/locks", encoding="ascii", errors="replace") as table:
        return any("FLOCK" in row and any(word.endswith(mark) for word in row.split()) for row in table)


def _holder_text(fd: int) -> str:
    pid, _, host = os.pread(fd, 200, 0).decode("utf-8", "replace").strip().partition(" ")
    return f"process {pid} on {host}" if pid.isdigit() and host else "its process id is not known yet"
