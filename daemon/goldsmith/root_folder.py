"""The one way to what lies below a root: by descriptor from the root, without following a link in any component.

Members of the share's group can put a link, a pipe or a device anywhere below the root, and swap a folder for a link at any moment. A path
that is checked and then opened by its name is therefore no protection.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from goldsmith.errors import InputError
from goldsmith.files import OPEN_FOLDER_FLAGS, display_name, is_ignored_folder, open_input
from goldsmith.mounts import mount_id

# Folders further below a stage's folder than this are not searched.
MAX_FOLDER_DEPTH = 64

# The number of openat2(2) is the same on every processor that Python runs on except Alpha.
_SYS_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 0x02, 0x04, 0x08
_OPEN_FILE_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
_NO_FILE_ERRNOS = frozenset({errno.ENXIO, errno.ENODEV})


class _OpenHow(ctypes.Structure):
    """``struct open_how`` of openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)


class RootFolder:
    """The folder at ``path``, which may itself be reached through links. All other paths are POSIX strings relative to it.

    A link in the place of a folder raises NotADirectoryError, as a file there does. A path that is absolute, or has an empty part, ``.`` or
    ``..``, raises FileNotFoundError. A folder below may be a mount of its own.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)

    def open_file(self, path: str, max_bytes: int | None = None) -> int:
        """Open an ordinary file for reading and return its descriptor.

        Raises InputError if it is a link, a pipe, a device or a folder, or larger than ``max_bytes``; OSError if it cannot be opened.
        """
        try:
            fd = self._open(path, _OPEN_FILE_FLAGS)
        except OSError as error:
            if error.errno == errno.ELOOP and not stat.S_ISLNK(self.lstat(path).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None
            if error.errno == errno.ELOOP or error.errno in _NO_FILE_ERRNOS:
                raise _not_ordinary(path) from None
            raise
        try:
            check_ordinary_file(fd, path, max_bytes)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def read_file(self, path: str, max_bytes: int) -> bytes:
        """Return the bytes of a file of at most ``max_bytes``; of a file that grows, those that it had first. Raises as ``open_file``."""
        with os.fdopen(self.open_file(path, max_bytes), "rb", buffering=0) as file:
            return read_start(file.fileno(), os.fstat(file.fileno()).st_size)

    def open_named_file(self, path: Path, max_bytes: int | None = None, name: str = "") -> int:
        """Open a file that a person has named: from the root if it lies below it, else by its path.

        ``name``: what the sentence about its size calls it, else its own name. Raises as ``open_file`` does.
        """
        relative = self.relative_path(path)
        fd = open_input(path) if relative is None else self.open_file(relative)
        try:
            if max_bytes is not None:
                check_file_size(name or display_name(path.name), os.fstat(fd).st_size, max_bytes)
        except InputError:
            os.close(fd)
            raise
        return fd

    def open_folder(self, path: str) -> int:
        """Open a folder, or with ``""`` the root itself, and return its descriptor. Raises OSError."""
        if not path:
            return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return self._open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise _as_missing_folder(error, path) from None

    @contextlib.contextmanager
    def opened_folder(self, path: str) -> Iterator[int]:
        """Open a folder for the body of a ``with`` statement. Raises OSError."""
        fd = self.open_folder(path)
        try:
            yield fd
        finally:
            os.close(fd)

    def lstat(self, path: str) -> os.stat_result:
        """Return the status of a file, a folder or a link itself; with ``""`` of the root. Raises OSError."""
        if not path:
            return os.stat(self.path)
        try:
            fd = self._open(path, os.O_PATH)
        except OSError as error:
            raise _as_missing_folder(error, path) from None
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def mount_id(self, path: str) -> int:
        """Return the number of the mount that holds a file or folder, as in ``mounts.mount_id``; with ``""`` the root's. Raises OSError."""
        fd = self._open(path, os.O_PATH) if path else os.open(self.path, os.O_PATH | os.O_CLOEXEC)
        try:
            return mount_id(fd)
        finally:
            os.close(fd)

    def exists(self, path: str) -> bool:
        """Return whether there is a file, a folder or a link at ``path``."""
        try:
            self.lstat(path)
        except OSError:
            return False
        return True

    def is_missing(self, path: str) -> bool:
        """Return whether there is certainly nothing at ``path``. False if the system refuses to look."""
        try:
            self.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False
        return False

    def unlink(self, path: str) -> None:
        """Remove a file or a link. Raises OSError."""
        folder, _, name = path.rpartition("/")
        with self.opened_folder(folder) as fd:
            os.unlink(name, dir_fd=fd)

    def make_folder(self, path: str) -> None:
        """Create a folder in an existing one, unless something has its name already. Raises OSError."""
        folder, _, name = path.rpartition("/")
        with self.opened_folder(folder) as fd, contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=fd)

    def can_write(self, path: str) -> bool:
        """Return whether this user may create files in a folder."""
        try:
            with self.opened_folder(path) as fd:
                return os.access(".", os.W_OK | os.X_OK, dir_fd=fd, effective_ids=True)
        except OSError:
            return False

    @contextlib.contextmanager
    def scan(self, path: str) -> Iterator[Iterator[os.DirEntry[str]]]:
        """Yield an iterator over the entries of a folder, which can be asked for their status until the end of the body. Raises OSError."""
        with self.opened_folder(path) as fd, os.scandir(fd) as entries:
            yield entries

    def walk(self, top: str) -> Iterator[tuple[str, list[str]]]:
        """Yield each folder in and below ``top`` with the names of its files.

        Links, ignored folders, folders that cannot be read, and those more than ``MAX_FOLDER_DEPTH`` below ``top`` are left out.
        """
        pending = [(top, 0)]
        while pending:
            path, depth = pending.pop()
            file_names, folder_names = self.list_names(path)
            yield path, file_names
            if depth < MAX_FOLDER_DEPTH:
                pending += [(f"{path}/{name}", depth + 1) for name in folder_names if not is_ignored_folder(name)]

    def list_names(self, path: str) -> tuple[list[str], list[str]]:
        """Return the names of the files (and links) in a folder and those of its subfolders; none if it cannot be read."""
        file_names: list[str] = []
        folder_names: list[str] = []
        with contextlib.suppress(OSError), self.scan(path) as entries:
            for entry in entries:
                (folder_names if entry.is_dir(follow_symlinks=False) else file_names).append(entry.name)
        return file_names, folder_names

    def relative_path(self, path: Path) -> str | None:
        """Return an absolute path relative to the root; None if it does not lead below the root as it is written."""
        return path.relative_to(self.path).as_posix() if path.is_relative_to(self.path) and ".." not in path.parts else None

    def _open(self, path: str, flags: int) -> int:
        if "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
            raise FileNotFoundError(errno.ENOENT, "It is not a path below the root", path)
        root = os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return _open_beneath(root, path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
        finally:
            os.close(root)


def open_subfolder(folder: int, name: str) -> int:
    """Open the folder called ``name`` in an open folder. Raises NotADirectoryError if it is a link or a file, else OSError."""
    return os.open(name, OPEN_FOLDER_FLAGS, dir_fd=folder)


def check_ordinary_file(fd: int, path: str, max_bytes: int | None = None) -> None:
    """Raise InputError unless an open file is an ordinary one of at most ``max_bytes``."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise _not_ordinary(path)
    if max_bytes is not None:
        check_file_size(display_name(os.path.basename(path)), status.st_size, max_bytes)


def check_file_size(name: str, size: int, max_bytes: int) -> None:
    """Raise InputError if a file is larger than ``max_bytes``; ``name`` is its name in the sentence."""
    if size > max_bytes:
        raise InputError(
            f"{name} has {_format_size(size)}; a file of this kind has at most {_format_size(max_bytes)}.",
            "Replace it with a smaller file.",
        )


def read_start(fd: int, size: int) -> bytes:
    """Return the first ``size`` bytes of an open file, or fewer if it is shorter."""
    parts = []
    while size > 0 and (part := os.read(fd, min(size, 1 << 20))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _not_ordinary(path: str) -> InputError:
    name = display_name(os.path.basename(path))
    return InputError(f"{name} is not an ordinary file, and links are not followed.", "Put the file itself there, not a link or a device.")


def _format_size(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB" if size >= 10 << 20 else f"{size:,} bytes"


def _as_missing_folder(error: OSError, path: str) -> OSError:
    """Return the error for a link in the place of a folder, which is treated like a folder that is not there."""
    return NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) if error.errno == errno.ELOOP else error


def _open_beneath(root: int, path: str, flags: int) -> int:
    """Open ``path`` from an open folder. Raises OSError; ELOOP for a link, unless it is the last part and ``flags`` have O_PATH."""
    if not _has_openat2():
        return _open_by_steps(root, path, flags)
    return _openat2(root, path, flags)


def _openat2(root: int, path: str, flags: int) -> int:
    how = _OpenHow(flags, 0, _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS)
    while (fd := _syscall(_SYS_OPENAT2, root, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))) < 0:
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number), path)
    return int(fd)


@cache
def _has_openat2() -> bool:
    """Return whether the kernel has openat2(2) (Linux 5.6), and no filter of system calls refuses it."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(_openat2(root, "proc", os.O_PATH | os.O_CLOEXEC))
    except FileNotFoundError:
        return True
    except OSError:
        return False
    finally:
        os.close(root)
    return True


def _open_by_steps(root: int, path: str, flags: int) -> int:
    """Open ``path`` component by component, for kernels without openat2(2)."""
    *folders, name = path.split("/")
    with contextlib.ExitStack() as stack:
        folder = root
        for part in folders:
            try:
                folder = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            except NotADirectoryError:
                if stat.S_ISLNK(os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode):
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
                raise
            stack.callback(os.close, folder)
        return os.open(name, flags, dir_fd=folder)
