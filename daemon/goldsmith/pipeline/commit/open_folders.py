"""The root's folders, held open during one batch.

Every component of a path is opened without following symlinks. So no file outside the root is ever moved or written, and a folder that
is replaced by a link during the batch is noticed. The same descriptors are fsynced at the end, each once.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from types import TracebackType

from goldsmith.errors import HostError, InputError
from goldsmith.files import Filesystem, PathAt, display_name
from goldsmith.jobs.names import SCRATCH_FOLDER
from goldsmith.jobs.work_folder import WorkFolder, split_scratch_path
from goldsmith.mounts import mount_id
from goldsmith.pipeline.commit.shared_folders import make_shared_folder
from goldsmith.root_folder import RootFolder, open_subfolder

_MOUNT_REMEDY = "Mount it again, or restart Goldsmith if it is meant to be a plain folder now. Nothing was written to it."


class OpenFolders:
    """Opens each folder once: ``with OpenFolders(fs, root, mounts) as folders: folders.locate("masked/acme/hero.png")``.

    ``mounts`` holds, across batches, the folders of the root that were seen to be mount points. If such a folder is suddenly part of the
    mount above it, its own is lost, and nothing must be written to the empty folder below. Devices do not show that: a bind mount may have
    the device of the root.
    """

    def __init__(self, fs: Filesystem, root: Path, mounts: set[str]) -> None:
        self._fs = fs
        self._root = root
        self._work_folder = WorkFolder(root)
        self._mounts = mounts
        self._fd_by_path: dict[str, int] = {}
        self._changed_fds: dict[int, None] = {}
        self._scratch_fds: set[int] = set()

    def __enter__(self) -> OpenFolders:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for fd in self._fd_by_path.values():
            with contextlib.suppress(OSError):  # the folders are only read and fsynced, and a commit must not fail after its end
                os.close(fd)
        self._fd_by_path.clear()

    def locate(self, path: str, *, create: bool = False) -> PathAt:
        """Open the folder of ``path`` and return the name in it. ``path`` is relative to the root, or absolute for scratch files.

        ``create``: missing subfolders are created. Raises HostError if a stage's folder is missing or the service's own folder is not its
        alone, ScratchError if a job's scratch folder cannot be used, and OSError if a subfolder is missing or is not a folder,
        or if the path is not plain (``require_plain_path``).
        """
        require_plain_path(path)
        if os.path.isabs(path):
            scratch, name = split_scratch_path(path)
            return PathAt(self._open_scratch(scratch, create=create), name)
        folder, name = os.path.split(path)
        return PathAt(self.open_folder(folder, create=create), name)

    def open_folder(self, path: str, *, create: bool = False) -> int:
        """Return the descriptor of a folder of the root. Raises as ``locate`` does."""
        require_plain_path(f"{path}/.name")
        fd = self._fd_by_path.get(path)
        if fd is None:
            fd = self._fd_by_path[path] = self._open_subfolder(path, create=create) if "/" in path else self._open_top_folder(path)
        return fd

    def is_free(self, path: str) -> bool:
        """Return whether no file or folder exists at ``path``."""
        try:
            self._fs.lstat(self.locate(path))
        except (FileNotFoundError, NotADirectoryError):
            return True
        return False

    def list_file_names(self, path: str) -> list[str]:
        """Return the names of the files in a folder, without subfolders; an empty list if the folder is gone."""
        try:
            with os.scandir(self.open_folder(path)) as entries:
                return [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []

    def mark_changed(self, at: PathAt) -> None:
        """Note that a name in this folder was created, renamed or deleted, so that the folder is fsynced; scratch folders are not."""
        if at.dir_fd not in self._scratch_fds:
            self._changed_fds[at.dir_fd] = None

    def sync_changed(self) -> None:
        """Fsync every changed folder once."""
        for folder in list(self._changed_fds):
            self._fs.fsync_dir(folder)
            del self._changed_fds[folder]

    def _open_scratch(self, scratch: str, *, create: bool) -> int:
        path = f"{SCRATCH_FOLDER}/{scratch}"
        fd = self._fd_by_path.get(path)
        if fd is None:
            fd = self._fd_by_path[path] = self._work_folder.open_scratch(scratch, create=create)
            self._scratch_fds.add(fd)
        return fd

    def _open_top_folder(self, name: str) -> int:
        try:
            if "" not in self._fd_by_path:
                self._fd_by_path[""] = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            root = self._fd_by_path[""]
            fd = open_subfolder(root, name)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise HostError(
                f"The folder {self._root / name} does not exist.", "Mount it, or run `goldsmith init` on the root again."
            ) from error
        if self._has_lost_mount(name, fd, root):
            os.close(fd)
            raise HostError(f"The folder {self._root / name} has lost its mount.", _MOUNT_REMEDY)
        return fd

    def _has_lost_mount(self, path: str, fd: int, parent: int) -> bool:
        """Return whether an open folder was a mount point and is none now. Remember that it is one."""
        if mount_id(fd) == mount_id(parent):
            return path in self._mounts
        self._mounts.add(path)
        return False

    def _open_subfolder(self, path: str, *, create: bool) -> int:
        parent_path, name = os.path.split(path)
        parent = PathAt(self.open_folder(parent_path, create=create), name)
        try:
            fd = open_subfolder(parent.dir_fd, name)
        except FileNotFoundError:
            if not create:
                raise
            with contextlib.suppress(FileExistsError):
                make_shared_folder(self._fs, parent)
            self.mark_changed(parent)
            fd = open_subfolder(parent.dir_fd, name)
        if self._has_lost_mount(path, fd, parent.dir_fd):
            os.close(fd)
            raise InputError(f"The folder {display_name(path)} has lost its mount.", _MOUNT_REMEDY)
        return fd


def find_mounts(root: Path) -> set[str]:
    """Return the names of the folders directly in the root that are mount points."""
    share, mounts = RootFolder(root), set()
    for name in share.list_names("")[1]:
        with contextlib.suppress(OSError):  # the first use of the folder says what is wrong with it
            if share.mount_id(name) != share.mount_id(""):
                mounts.add(name)
    return mounts


def require_plain_path(path: str) -> None:
    """Raise OSError unless the path has a folder and a name, and no component is empty, ``.`` or ``..``. It may be absolute."""
    components = path.removeprefix("/").split("/")
    if len(components) < 2 or "\0" in path or not {"", ".", ".."}.isdisjoint(components):
        raise OSError(errno.EINVAL, f"{display_name(path)} is not a plain path")


def is_job_error(error: OSError) -> bool:
    """Return True if the error concerns one file's name or folder only, so that other jobs can go on."""
    return error.errno in _JOB_ERRNOS


_JOB_ERRNOS = frozenset(
    {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EFBIG, errno.EMLINK}
)
