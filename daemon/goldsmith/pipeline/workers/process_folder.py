"""The scratch folder of one worker process, which holds the scratch folders of its jobs."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from goldsmith.files import OPEN_FOLDER_FLAGS
from goldsmith.jobs.folder_removal import remove_tree
from goldsmith.jobs.job import Job
from goldsmith.jobs.protocol import TEMPORARY_FOLDER, WorkerFolders

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
            os.makedirs(folders.work, mode=0o700, exist_ok=True)
            with _opened(folders.work) as work:
                os.mkdir(os.path.basename(self.path), 0o700, dir_fd=work)
        except OSError as error:
            raise OSError(error.errno or errno.EIO, f"{folders.work} takes no folder for a worker: {error.strerror}") from error
        self._identities = self._read_identities()

    def is_current(self) -> bool:
        """Return whether the paths still name the same folders. A fence does not follow a mount that returns or a folder made again."""
        return self._identities == self._read_identities()

    def _read_identities(self) -> _Identities:
        kept = ((path, False) for path in (self.path, *self._folders.inputs))
        followed = ((path, True) for path in self._folders.models)
        return tuple(_identity(path, follow_links) for path, follow_links in (*kept, *followed))

    def with_scratch(self, job: Job) -> Job:
        """Return the job with its scratch folder in this folder."""
        return job.model_copy(update={"scratch": os.path.join(self.path, job.id)})

    def remove_scratch(self, jobs: Iterable[Job]) -> None:
        """Delete what these jobs, which have no result, and the process itself left behind. The process must have ended."""
        with suppress(OSError), _opened(self._folders.work) as work, _opened(self.path) as folder:
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
def _opened(path: str) -> Iterator[int]:
    """Open a folder, but no link, that belongs to this user. Raises OSError."""
    fd = os.open(path, OPEN_FOLDER_FLAGS)
    try:
        if os.fstat(fd).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, f"{path} belongs to another user")
        yield fd
    finally:
        os.close(fd)


def _identity(path: str, follow_links: bool) -> tuple[int, int] | None:
    try:
        status = os.stat(path, follow_symlinks=follow_links)
    except OSError:
        return None
    return _identity_of(status)


def _identity_of(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
