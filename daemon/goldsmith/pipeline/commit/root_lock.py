"""The lock that allows one daemon per root. The kernel releases it when its holder ends, even after a crash.

Who holds the lock stands in a file beside it: on an SMB mount nobody but the holder can read a locked file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import socket
import stat
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from goldsmith.errors import AlreadyRunningError, HostError, InputError
from goldsmith.files import Filesystem, write_atomically_in
from goldsmith.jobs.names import PRIVATE_FOLDER
from goldsmith.jobs.work_folder import open_private_folder
from goldsmith.mounts import mount_device
from goldsmith.root_folder import RootFolder

_LOCK_NAME, _HOLDER_NAME = "lock", "holder"
_LOCK_FILE, _HOLDER_FILE = f"{PRIVATE_FOLDER}/{_LOCK_NAME}", f"{PRIVATE_FOLDER}/{_HOLDER_NAME}"
_MAX_HOLDER_BYTES = 1000
# O_NONBLOCK: a pipe in the place of the file must not stop the start.
_OPEN_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
# Another process holds the lock. SMB servers answer with EACCES.
_HELD_ERRNOS = frozenset({errno.EWOULDBLOCK, errno.EACCES})
# The lock file is opened again so often if it is removed between its opening and its locking.
_MAX_TRIES = 10


class _Holder(NamedTuple):
    """Who holds the lock: process id and host, and a word that no other daemon has."""

    pid: str
    host: str
    token: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class _Locked(NamedTuple):
    """Descriptors of the lock file and of its folder, both locked."""

    file: int
    folder: int

    def close(self) -> None:
        for fd in self:
            with contextlib.suppress(OSError):  # a descriptor is closed even if close(2) reports an error
                os.close(fd)


class RootLock:
    """Holds ``ROOT/.goldsmith/lock`` until it is closed.

    The folder is locked as well: other users cannot enter it, but can see it, and so learn that a daemon runs.
    """

    def __init__(self, root: Path, locked: _Locked, holder: _Holder) -> None:
        self._root = root
        self._root_identity = _identity(os.stat(root))
        self._locked = locked
        self._lock_identity = _identity(os.fstat(locked.file))
        self._holder = holder
        # Folders of the root that were seen to be mount points. They outlive a reload of the configuration.
        self.mounts: set[str] = set()

    @classmethod
    def acquire(cls, root: Path) -> RootLock:
        """Take the lock without waiting.

        Raises AlreadyRunningError with the holder's process id and host, and HostError if the lock file cannot be used.
        """
        locked = _lock(root, create_folder=True)
        try:
            holder = _Holder(str(os.getpid()), socket.gethostname(), secrets.token_hex(8))
            _write_holder(root, locked.folder, holder)
            return cls(root, locked, holder)
        except BaseException:
            locked.close()
            raise

    def is_current(self) -> bool:
        """Return whether the locked file is the one that another daemon would lock. Raises nothing."""
        try:
            return _identity(RootFolder(self._root).lstat(_LOCK_FILE)) == self._lock_identity
        except OSError:
            return False

    def check(self) -> bool:
        """Make the lock anew if its file or its folder was removed or replaced. Return whether that was necessary.

        Raises AlreadyRunningError if another daemon has taken the root over, and HostError if the lock cannot be made, for example while
        the root is not mounted. After either error nothing may be committed.
        """
        holder = _read_holder(self._root)
        if holder is not None and holder != self._holder:
            raise self._taken_over(holder)
        is_renewed = not self.is_current() and self._renew()
        if holder is None or is_renewed:
            _write_holder(self._root, self._locked.folder, self._holder)
        return is_renewed

    def _renew(self) -> bool:
        """Lock the file that lies at the path now. Return False if it is the locked one."""
        is_same_root = _identity(_stat_root(self._root)) == self._root_identity
        if not is_same_root and not RootFolder(self._root).exists(PRIVATE_FOLDER):
            raise HostError(
                f"{self._root} is not the folder that it was when Goldsmith started: its mount is missing.",
                "Mount it again. Goldsmith then goes on by itself.",
            )
        try:
            locked = _lock(self._root, create_folder=is_same_root)
        except AlreadyRunningError:
            holder = _read_holder(self._root)
            if holder != self._holder:
                raise self._taken_over(holder) from None
            # A mount that gives a file new inode numbers: the holder of the lock is this daemon.
            self._lock_identity = _identity(RootFolder(self._root).lstat(_LOCK_FILE))
            return False
        self.close()
        self._locked, self._lock_identity = locked, _identity(os.fstat(locked.file))
        self._root_identity = _identity(_stat_root(self._root))
        return True

    def _taken_over(self, holder: _Holder | None) -> AlreadyRunningError:
        return AlreadyRunningError(
            f"Another Goldsmith ({holder or 'its process id is not known'}) has taken over {self._root}, because the lock of this one was "
            "removed or is not seen there.",
            "This one stops. Run one Goldsmith on a root, and leave its folder .goldsmith alone.",
        )

    def close(self) -> None:
        self._locked.close()

    def __enter__(self) -> RootLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def lock_holder(root: Path) -> str:
    """Return the daemon that runs on this root ("process 4711 on atelier"), or "". The check never blocks a daemon that is starting.

    The lock file is not opened. Only the service's user may enter its folder; for others the lock on the folder counts.
    """
    pid = _locking_process(root, _LOCK_FILE) or _locking_process(root, PRIVATE_FOLDER)
    if not pid:
        return ""
    try:
        holder = _read_holder(root)
    except HostError:
        holder = None
    return str(holder or f"process {pid} on {socket.gethostname()}")


def _lock(root: Path, *, create_folder: bool) -> _Locked:
    """Lock the file at the path of the lock. Raises as ``RootLock.acquire`` does."""
    path = root / _LOCK_FILE
    for _ in range(_MAX_TRIES):
        with contextlib.ExitStack() as opened:
            folder = open_private_folder(root, create=create_folder)
            opened.callback(os.close, folder)
            try:
                fd = os.open(_LOCK_NAME, _OPEN_FLAGS, 0o644, dir_fd=folder)
            except OSError as error:
                raise HostError(
                    f"The lock file {path} cannot be created: {error.strerror}.", "Check that the root exists and is writable."
                ) from error
            opened.callback(os.close, fd)
            _lock_file(root, fd)
            with contextlib.suppress(OSError):  # network filesystems lock no folders
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                if _identity(RootFolder(root).lstat(_LOCK_FILE)) == _identity(os.fstat(fd)):
                    opened.pop_all()
                    return _Locked(fd, folder)
    raise HostError(f"The lock file {path} is replaced again and again.", "Let no other program write to that folder.")


def _lock_file(root: Path, fd: int) -> None:
    path = root / _LOCK_FILE
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise HostError(f"The lock file {path} is not an ordinary file.", "Remove it and start Goldsmith again, which makes the file.")
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD_ERRNOS:
            holder = _read_holder(root) or lock_holder(root) or "its process id is not known yet"
            raise AlreadyRunningError(f"Goldsmith is already running on {root} ({holder}).", "Stop that daemon first.") from None
        raise HostError(f"The filesystem of {path} does not support locks: {error.strerror}.", "Mount it with locking enabled.") from error


def _locking_process(root: Path, path: str) -> str:
    """Return the id of the process whose lock on a file or folder the kernel's table lists, or "".

    Taking the lock to find out could make a starting daemon fail.
    """
    share = RootFolder(root)
    try:
        mark = f"{mount_device(share.mount_id(path))}:{share.lstat(path).st_ino}"
    except OSError:
        return ""
    with open("/proc/locks", encoding="ascii", errors="replace") as table:
        rows = (row.split() for row in table)
        return next((words[4] for words in rows if words[1] == "FLOCK" and words[5] == mark), "")


def _write_holder(root: Path, folder: int, holder: _Holder) -> None:
    """Write who holds the lock. On a full disk there is no such file afterwards. Raises HostError if another one's file stays there."""
    try:
        write_atomically_in(Filesystem(), folder, _HOLDER_NAME, f"{' '.join(holder)}\n".encode(), replace=True)
    except OSError as error:
        try:
            os.unlink(_HOLDER_NAME, dir_fd=folder)
        except FileNotFoundError:
            pass
        except OSError:
            raise HostError(
                f"The file {root / _HOLDER_FILE} cannot be written: {error.strerror}.", "Free some space, or remove the file."
            ) from error


def _read_holder(root: Path) -> _Holder | None:
    """Return who has written the file beside the lock last; None if there is no such file. Raises HostError if it cannot be read."""
    try:
        words = RootFolder(root).read_file(_HOLDER_FILE, _MAX_HOLDER_BYTES).decode("utf-8", "replace").split()
    except (FileNotFoundError, NotADirectoryError, InputError):
        return None
    except OSError as error:
        raise HostError(
            f"The file {root / _HOLDER_FILE} cannot be read: {error.strerror}.", "Check that the root is mounted and readable."
        ) from error
    return _Holder(*words) if len(words) == len(_Holder._fields) else None


def _stat_root(root: Path) -> os.stat_result:
    try:
        return os.stat(root)
    except OSError as error:
        raise HostError(f"The folder {root} cannot be opened: {error.strerror}.", "Check that the disk is mounted.") from error


def _identity(status: os.stat_result) -> tuple[int, int]:
    """Return the device and the inode."""
    return status.st_dev, status.st_ino
