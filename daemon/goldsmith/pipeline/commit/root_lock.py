"""The lock that allows one daemon per root. The kernel releases it when its holder ends, even after a crash."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from pathlib import Path
from types import TracebackType

from goldsmith.errors import AlreadyRunningError, HostError, InputError
from goldsmith.jobs.job import PRIVATE_FOLDER
from goldsmith.jobs.work_folder import open_private_folder
from goldsmith.root_folder import RootFolder

_LOCK_NAME = "lock"
_LOCK_FILE = f"{PRIVATE_FOLDER}/{_LOCK_NAME}"
# O_NONBLOCK: a pipe in the place of the file must not stop the start.
_OPEN_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class RootLock:
    """Holds ``ROOT/.goldsmith/lock`` until it is closed. The file contains the holder's process id and host.

    The folder is locked as well: other users cannot open the file, but can see the folder, and so learn that a daemon runs.
    """

    def __init__(self, fd: int, folder: int) -> None:
        self._fds: tuple[int, ...] = (fd, folder)

    @classmethod
    def acquire(cls, root: Path) -> RootLock:
        """Take the lock without waiting.

        Raises AlreadyRunningError with the holder's process id and host, and HostError if the lock file cannot be used.
        """
        path = root / _LOCK_FILE
        with contextlib.ExitStack() as opened:
            folder = open_private_folder(root, create=True)
            opened.callback(os.close, folder)
            try:
                fd = os.open(_LOCK_NAME, _OPEN_FLAGS, 0o644, dir_fd=folder)
            except OSError as error:
                raise HostError(
                    f"The lock file {path} cannot be created: {error.strerror}.", "Check that the root exists and is writable."
                ) from error
            opened.callback(os.close, fd)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = _holder_text(fd)
                raise AlreadyRunningError(f"Goldsmith is already running on {root} ({holder}).", "Stop that daemon first.") from None
            except OSError as error:
                raise HostError(
                    f"The filesystem of {path} does not support locks: {error.strerror}.", "Mount it with locking enabled."
                ) from error
            with contextlib.suppress(OSError):  # network filesystems lock no folders
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write_holder(fd, path)
            opened.pop_all()
            return cls(fd, folder)

    def close(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self._fds = ()

    def __enter__(self) -> RootLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def lock_holder(root: Path) -> str:
    """Return the daemon that runs on this root ("process 4711 on atelier"), or "". The check never blocks a daemon that is starting."""
    folder = RootFolder(root)
    try:
        fd = folder.open_file(_LOCK_FILE)
    except PermissionError:  # only the service's user may enter the folder, but its lock is no secret
        pid = _locking_process(folder.lstat(PRIVATE_FOLDER).st_ino)
        return f"process {pid} on {socket.gethostname()}" if pid else ""
    except (OSError, InputError):
        return ""
    with contextlib.closing(os.fdopen(fd, "rb")):
        return _holder_text(fd) if _locking_process(os.fstat(fd).st_ino) else ""


def _locking_process(inode: int) -> str:
    """Return the id of the process whose lock on this file the kernel's table lists, or "".

    Taking the lock to find out could make a starting daemon fail.
    """
    mark = f":{inode}"
    with open("/proc/locks", encoding="ascii", errors="replace") as table:
        rows = (row.split() for row in table)
        return next((words[4] for words in rows if "FLOCK" in words and any(word.endswith(mark) for word in words)), "")


def _write_holder(fd: int, path: Path) -> None:
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
    except OSError as error:
        raise HostError(f"The lock file {path} cannot be written: {error.strerror}.", "Free some space, or remove the file.") from error


def _holder_text(fd: int) -> str:
    pid, _, host = os.pread(fd, 200, 0).decode("utf-8", "replace").strip().partition(" ")
    return f"process {pid} on {host}" if pid.isdigit() and host else "its process id is not known yet"
