"""The lock that allows one daemon per root. The kernel releases it when its holder ends, even after a crash."""

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
    """Holds ``ROOT/.goldsmith/lock`` until it is closed. The file contains the holder's process id and host."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def acquire(cls, root: Path) -> RootLock:
        """Take the lock without waiting.

        Raises AlreadyRunningError with the holder's process id and host, and HostError if the lock file cannot be used.
        """
        path = root / ".goldsmith" / "lock"
        try:
            path.parent.mkdir(exist_ok=True)
            fd = os.open(path, _OPEN_FLAGS, 0o644)
        except OSError as error:
            raise HostError(
                f"The lock file {path} cannot be created: {error.strerror}.", "Check that the root exists and is writable."
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder_text(fd)
            os.close(fd)
            raise AlreadyRunningError(f"Goldsmith is already running on {root} ({holder}).", "Stop that daemon first.") from None
        except OSError as error:
            os.close(fd)
            raise HostError(
                f"The filesystem of {path} does not support locks: {error.strerror}.", "Mount it with locking enabled."
            ) from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
        return cls(fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> RootLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def lock_holder(root: Path) -> str:
    """Return the daemon that runs on this root ("process 4711 on atelier"), or "". The check never blocks a daemon that is starting."""
    try:
        fd = os.open(root / ".goldsmith" / "lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return ""
    with contextlib.closing(os.fdopen(fd, "rb")):
        if _is_locked(fd):
            return _holder_text(fd)
    return ""


def _is_locked(fd: int) -> bool:
    """Return whether the kernel's table lists a lock on this file. Taking the lock to find out could make a starting daemon fail."""
    mark = f":{os.fstat(fd).st_ino}"
    with open("/proc/locks", encoding="ascii", errors="replace") as table:
        return any("FLOCK" in row and any(word.endswith(mark) for word in row.split()) for row in table)


def _holder_text(fd: int) -> str:
    pid, _, host = os.pread(fd, 200, 0).decode("utf-8", "replace").strip().partition(" ")
    return f"process {pid} on {host}" if pid.isdigit() and host else "its process id is not known yet"
