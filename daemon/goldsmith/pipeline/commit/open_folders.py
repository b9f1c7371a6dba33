"""The root's folders held open for the length of one batch.

Every component is opened without following symlinks, so nothing is ever taken from or put outside the root, and a folder that is
swapped for a link in between is noticed. The same descriptors are fsynced at the end, each once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from types import TracebackType

from goldsmith.errors import HostError
from goldsmith.files import OPEN_FOLDER_FLAGS, Filesystem, PathAt


class OpenFolders:
    """``with Folders(fs, root, mounts) as folders: folders.at("masked/acme/hero.png")``.

    ``mounts`` remembers, across batches, which folders of the root were seen to be mounts of their own: one that is suddenly part
    of the root's filesystem has lost its mount, and nothing must be put into the empty folder underneath.
    """

    def __init__(self, fs: Filesystem, root: Path, mounts: set[str]) -> None:
        self._fs = fs
        self._root = root
        self._mounts = mounts
        self._fd_by_path: dict[str, int] = {}
        self._changed_fds: dict[int, None] = {}

    def __enter__(self) -> OpenFolders:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for fd in self._fd_by_path.values():
            os.close(fd)
        self._fd_by_path.clear()

    def locate(self, path: str, *, create: bool = False) -> PathAt:
        """The name ``path`` (relative to the root, or absolute: scratch) in its folder, opened; ``make``: folders are made as needed.

        MachineFault where a folder of the line itself is missing; OSError where one in it is, or is not a folder.
        """
        folder, name = os.path.split(path)
        if os.path.isabs(path):
            return PathAt.from_path(path)
        return PathAt(self.open_folder(folder, create=create), name)

    def open_folder(self, path: str, *, create: bool = False) -> int:
        """The descriptor of a folder of the root."""
        fd = self._fd_by_path.get(path)
        if fd is None:
            fd = self._fd_by_path[path] = self._open_subfolder(path, create=create) if "/" in path else self._open_top_folder(path)
        return fd

    def is_free(self, path: str) -> bool:
        """Whether nothing lies at ``path``."""
        try:
            self._fs.lstat(self.locate(path))
        except (FileNotFoundError, NotADirectoryError):
            return True
        return False

    def list_file_names(self, path: str) -> list[str]:
        """What lies in a folder of the root at this moment, its own folders left out; nothing where it is gone."""
        try:
            with os.scandir(self.open_folder(path)) as found:
                return [entry.name for entry in found if not entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []

    def mark_changed(self, at: PathAt) -> None:
        """Something in this folder was renamed, made or removed: it is to be fsynced."""
        if at.dir_fd >= 0:
            self._changed_fds[at.dir_fd] = None

    def sync_changed(self) -> None:
        """Fsync every touched folder once."""
        for folder in list(self._changed_fds):
            self._fs.fsync_dir(folder)
            del self._changed_fds[folder]

    def _open_top_folder(self, name: str) -> int:
        try:
            if "" not in self._fd_by_path:
                self._fd_by_path[""] = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            root = self._fd_by_path[""]
            fd = os.open(name, OPEN_FOLDER_FLAGS, dir_fd=root)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise HostError(
                f"The folder {self._root / name} is not there.", "Mount it, or run `goldsmith init` on the root again."
            ) from error
        if os.fstat(fd).st_dev != os.fstat(root).st_dev:
            self._mounts.add(name)
        elif name in self._mounts:
            os.close(fd)
            raise HostError(f"The folder {self._root / name} has lost its mount.", "Mount it again; nothing was put into the empty folder.")
        return fd

    def _open_subfolder(self, path: str, *, create: bool) -> int:
        parent_path, name = os.path.split(path)
        parent = PathAt(self.open_folder(parent_path, create=create), name)
        try:
            return os.open(name, OPEN_FOLDER_FLAGS, dir_fd=parent.dir_fd)
        except FileNotFoundError:
            if not create:
                raise
        with contextlib.suppress(FileExistsError):
            self._fs.mkdir(parent)
        self.mark_changed(parent)
        fd = os.open(name, OPEN_FOLDER_FLAGS, dir_fd=parent.dir_fd)
        _inherit_group_and_mode(fd, parent.dir_fd)
        return fd


def _inherit_group_and_mode(fd: int, parent: int) -> None:
    """A campaign's folder gets the group and mode of the one it lies in (a default ACL is inherited by itself)."""
    there, here = os.fstat(parent), os.fstat(fd)
    owner = there.st_uid if os.geteuid() == 0 else -1
    with contextlib.suppress(OSError):
        os.fchown(fd, owner, there.st_gid)
    with contextlib.suppress(OSError):
        if "system.posix_acl_default" not in os.listxattr(fd) and stat.S_IMODE(here.st_mode) != stat.S_IMODE(there.st_mode):
            os.fchmod(fd, stat.S_IMODE(there.st_mode))


def is_job_error(error: OSError) -> bool:
    """True for what is wrong with one file's own name or folder, so that other jobs may go on."""
    return error.errno in _JOB_ERRNOS


_JOB_ERRNOS = frozenset(
    {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EFBIG, errno.EMLINK}
)
