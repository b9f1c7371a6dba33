"""The scratch folder of one worker process, which holds the scratch folders of its jobs."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from goldsmith.files import OPEN_FOLDER_FLAGS
from goldsmith.jobs.folder_removal import remove_tree
from goldsmith.jobs.job import Job, KeptPart
from goldsmith.jobs.protocol import TEMPORARY_FOLDER, WorkerFolders
from goldsmith.root_folder import open_subfolder

# Begins the name of such a folder. The daemon's own folders beside it are named after jobs.
_NAME_PREFIX = "worker-"

# Device and inode of each folder; None for one that does not exist.
_Identities = tuple[tuple[int, int] | None, ...]


class ProcessFolder:
    """A new, empty folder that only this user can enter. The fence of the process holds the folders that exist at this moment."""

    def __init__(self, folders: WorkerFolders) -> None:
        """Create the folder. Raises OSError, with a sentence for its text, if the disk fails or is full."""
        self.path = os.path.join(folders.work, _NAME_PREFIX + secrets.token_hex(8))
        self._folders = folders
        try:
            with _opened_work(folders.work, create=True) as work:
                os.mkdir(os.path.basename(self.path), 0o700, dir_fd=work)
        except OSError as error:
            raise OSError(error.errno or errno.EIO, f"{folders.work} takes no folder for a worker: {error.strerror}") from error
        self._identities = self._read_identities()

    def is_current(self) -> bool:
        """Return whether the paths still name the same folders. A fence does not follow a mount that returns or a folder made again."""
        return self._identities == self._read_identities()

    def _read_identities(self) -> _Identities:
        kept = ((path, False) for path in (self.path, *self._folders.inputs, *filter(None, (self._folders.kept,))))
        followed = ((path, True) for path in self._folders.models)
        return tuple(_identity(path, follow_links) for path, follow_links in (*kept, *followed))

    def with_scratch(self, job: Job) -> Job:
        """Return the job with its scratch folder in this folder."""
        return job.model_copy(update={"scratch": os.path.join(self.path, job.id)})

    def keep_part(self, job: Job, part: KeptPart) -> bool:
        """Move a finished part of a running job to the kept parts, and return whether it is there now.

        A file that is not an ordinary one of that size is left alone. Nobody uses a kept part without its hash.
        """
        if not self._folders.kept:
            return False
        try:
            with _opened(self.path) as folder, _opened_in(folder, job.id) as scratch, _opened(self._folders.kept) as kept:
                status = os.stat(part.key, dir_fd=scratch, follow_symlinks=False)
                if not stat.S_ISREG(status.st_mode) or status.st_size != part.size or status.st_uid != os.geteuid():
                    return False
                os.rename(part.key, part.key, src_dir_fd=scratch, dst_dir_fd=kept)
        except OSError:
            return False
        return True

    def remove_scratch(self, jobs: Iterable[Job]) -> None:
        """Delete what these jobs, which have no result, and the process itself left behind. The process must have ended."""
        with suppress(OSError), _opened_work(self._folders.work) as work, _opened(self.path) as folder:
            if _identity_of(os.fstat(folder)) != self._identities[0]:
                return
            for name in (TEMPORARY_FOLDER, *(os.path.basename(job.scratch) for job in jobs)):
                with suppress(OSError):
                    remove_tree(folder, name, work)

    def remove_if_empty(self) -> bool:
        """Remove the folder unless a result in it still waits for its commit; return whether it is gone."""
        try:
            os.rmdir(self.path)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True


@contextmanager
def _opened_work(path: str, *, create: bool = False) -> Iterator[int]:
    """Open the folder of all scratch folders. Neither it nor the folder that it lies in, ``.goldsmith``, may be a link. Raises OSError."""
    above, name = os.path.split(path)
    if create:
        with suppress(FileExistsError):
            os.mkdir(above, 0o700)
    with _opened(above) as parent:
        if create:
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=parent)
        fd = open_subfolder(parent, name)
    try:
        _require_own(fd, path)
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _opened_in(folder: int, name: str) -> Iterator[int]:
    """Open a folder, but no link, in an open folder. Raises OSError."""
    fd = open_subfolder(folder, name)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _opened(path: str) -> Iterator[int]:
    """Open a folder, but no link, that belongs to this user. Raises OSError."""
    fd = os.open(path, OPEN_FOLDER_FLAGS)
    try:
        _require_own(fd, path)
        yield fd
    finally:
        os.close(fd)


def _require_own(fd: int, path: str) -> None:
    if os.fstat(fd).st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, f"{path} belongs to another user")


def _identity(path: str, follow_links: bool) -> tuple[int, int] | None:
    try:
        status = os.stat(path, follow_symlinks=follow_links)
    except OSError:
        return None
    return _identity_of(status)


def _identity_of(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
