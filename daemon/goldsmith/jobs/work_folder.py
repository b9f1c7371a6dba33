"""The service's own folder in a root, ``.goldsmith``, and the jobs' scratch folders in it.

A scratch folder is named by its path below ``.goldsmith/work``: ``JOB`` for what the daemon itself writes, ``worker-…/JOB`` for what a
worker process writes.

Members of the share's group may be allowed to rename what lies in the root. The folder is therefore opened anew for every use, and used
only if it is a folder, belongs to the service's user and is closed to everybody else. Everything in it is reached from that descriptor.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Collection, Iterator

from goldsmith.errors import HostError, InputError
from goldsmith.files import FileSignature, Filesystem, PathAt
from goldsmith.jobs.folder_removal import remove_tree
from goldsmith.jobs.names import KEPT_FOLDER, PRIVATE_FOLDER, SCRATCH_FOLDER
from goldsmith.mounts import kind_at
from goldsmith.root_folder import check_ordinary_file, open_subfolder, read_start

_PRIVATE_MODE = 0o700
_WORK_NAME = SCRATCH_FOLDER.removeprefix(f"{PRIVATE_FOLDER}/")
_KEPT_NAME = KEPT_FOLDER.removeprefix(f"{PRIVATE_FOLDER}/")
# The scratch folder of the files that only show whether the disk takes them.
_PROBE_SCRATCH = "probe"
# A process's folder and a job's.
_MAX_SCRATCH_DEPTH = 2
# An error of these kinds concerns one job's scratch folder, never the disk. Opening a pipe for writing gives ENXIO.
_JOB_ERRNOS = frozenset(
    {errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.ENXIO, errno.ENAMETOOLONG}
)


class ScratchError(InputError):
    """A file or folder of one job's scratch is not what the job has written. It is the fault of that job alone."""


class WorkFolder:
    """The folder ``ROOT/.goldsmith/work``, and ``kept`` beside it with the finished parts of unfinished steps.

    Its methods raise HostError if one of them, or ``.goldsmith``, is not the service's alone.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = os.fspath(root)

    def prepare(self) -> None:
        """Create the folders that are missing, and close them to everybody but the service's user."""
        os.close(open_private_folder(self._root, create=True))
        os.close(self._open(create=True))
        os.close(self._open(_KEPT_NAME, create=True))

    def check(self) -> None:
        """Check the folders, and close them to others again if somebody has opened them. Create ``work`` if it was removed."""
        os.close(self._open(create=True))
        os.close(self._open(_KEPT_NAME, create=True))

    def kept_names(self) -> list[str]:
        """Return the names of the files with kept parts. Raises OSError and HostError."""
        fd = self._open(_KEPT_NAME, create=True)
        try:
            return os.listdir(fd)
        finally:
            os.close(fd)

    def remove_kept(self, names: Collection[str]) -> None:
        """Remove files with kept parts. What cannot be removed now is removed at the next start."""
        with contextlib.suppress(OSError, HostError):
            fd = self._open(_KEPT_NAME)
            try:
                for name in names:
                    with contextlib.suppress(OSError):
                        remove_tree(fd, name, fd)
            finally:
                os.close(fd)

    def check_writable(self, fs: Filesystem) -> None:
        """Write a small file durably and remove it. Raises OSError, HostError or ScratchError if that fails."""
        path, _ = self.create_file(fs, _PROBE_SCRATCH, "probe", bytes(4096))
        self.remove(os.path.dirname(path))

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        """Yield the descriptor of the checked folder ``work``."""
        fd = self._open()
        try:
            yield fd
        finally:
            os.close(fd)

    def open_scratch(self, scratch: str, *, create: bool = False) -> int:
        """Return the descriptor of a scratch folder.

        Raises FileNotFoundError if there is none, ScratchError if it is a link or belongs to another user, and OSError.
        """
        with self.opened() as work, _as_job_error(scratch):
            fd = os.dup(work)
            for name in scratch.split("/"):
                parent = fd
                try:
                    fd = _open_own(parent, name, create=create)
                finally:
                    os.close(parent)
            return fd

    def create_file(self, fs: Filesystem, scratch: str, name: str, data: bytes) -> tuple[str, FileSignature]:
        """Write a file durably under a new name that begins with ``name``; return its absolute path and its signature.

        Raises as ``open_scratch`` does.
        """
        fresh_name = f"{name}-{secrets.token_hex(4)}"
        folder = self.open_scratch(scratch, create=True)
        try:
            with _as_job_error(scratch):
                fd = fs.create(PathAt(folder, fresh_name))
            try:
                fs.write_all(fd, data)
                fs.fsync(fd)
                sig = FileSignature.from_stat(os.fstat(fd))
            finally:
                os.close(fd)
        finally:
            os.close(folder)
        return os.path.join(self._root, SCRATCH_FOLDER, scratch, fresh_name), sig

    def read_file(self, path: str, max_bytes: int) -> bytes:
        """Return the bytes of a file in a scratch folder, given its absolute path.

        Raises ScratchError if it is not an ordinary file of the service's user, InputError if it is larger than ``max_bytes``, and OSError.
        """
        scratch, name = split_scratch_path(path)
        folder = self.open_scratch(scratch)
        try:
            with _as_job_error(scratch):
                fd = Filesystem().open(PathAt(folder, name))
            try:
                check_ordinary_file(fd, name, max_bytes)
                status = os.fstat(fd)
                if status.st_uid != os.geteuid():
                    raise _scratch_error(scratch, f"{name} belongs to another user")
                return read_start(fd, status.st_size)
            finally:
                os.close(fd)
        finally:
            os.close(folder)

    def remove(self, path: str) -> None:
        """Remove a scratch folder, given its absolute path. What cannot be removed now is removed at the next start."""
        with contextlib.suppress(OSError, HostError, ScratchError), self.opened() as work:
            folder, name = split_scratch_path(os.path.join(path, "*"))[0].rpartition("/")[::2]
            if not folder:
                return remove_tree(work, name, work)
            parent = open_subfolder(work, folder)
            try:
                remove_tree(parent, name, work)
            finally:
                os.close(parent)

    def remove_all(self, prefix: str) -> None:
        """Remove the scratch folders whose names begin with ``prefix``. What cannot be removed now is removed at the next start."""
        with contextlib.suppress(OSError, HostError), self.opened() as work:
            for name in os.listdir(work):
                if name.startswith(prefix):
                    with contextlib.suppress(OSError):
                        remove_tree(work, name, work)

    def clear(self, keep: Collection[str]) -> None:
        """Remove everything except the scratch folders ``keep``. What cannot be removed is tried again at the next start."""
        with self.opened() as work:
            for name in os.listdir(work):
                inner = {path.partition("/")[2] for path in keep if path.partition("/")[0] == name}
                with contextlib.suppress(OSError):
                    if not inner:
                        remove_tree(work, name, work)
                    elif "" not in inner:
                        _clear_folder(work, name, inner)

    def _open(self, name: str = _WORK_NAME, *, create: bool = False) -> int:
        private = open_private_folder(self._root)
        try:
            return _open_private(private, name, os.path.join(self._root, PRIVATE_FOLDER, name), create=create)
        finally:
            os.close(private)


def open_private_folder(root: str | os.PathLike[str], *, create: bool = False) -> int:
    """Return the descriptor of ``ROOT/.goldsmith``. Raises HostError if it is not a folder that is the service's alone."""
    path = os.path.join(os.fspath(root), PRIVATE_FOLDER)
    try:
        root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(f"The folder {os.fspath(root)} cannot be opened: {error.strerror}.", "Check that the disk is mounted.") from error
    try:
        return _open_private(root_fd, PRIVATE_FOLDER, path, create=create)
    finally:
        os.close(root_fd)


def split_scratch_path(path: str) -> tuple[str, str]:
    """Return the scratch folder and the file's name of an absolute path in scratch. Raises ScratchError if the path is any other."""
    _, work, inner = path.rpartition(f"/{SCRATCH_FOLDER}/")
    *folders, name = inner.split("/")
    if not work or not 1 <= len(folders) <= _MAX_SCRATCH_DEPTH or {*folders, name} & {"", ".", ".."}:
        raise ScratchError("A result of this job does not lie in its scratch folder, so it is not used.", _JOB_REMEDY)
    return "/".join(folders), name


def is_scratch_error(error: OSError) -> bool:
    """Return whether an error that happened in a job's scratch folder concerns that job alone."""
    return error.errno in _JOB_ERRNOS


def _open_private(parent: int, name: str, path: str, *, create: bool) -> int:
    try:
        if create:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, _PRIVATE_MODE, dir_fd=parent)
        fd = open_subfolder(parent, name)
    except NotADirectoryError as error:
        raise HostError(
            f"{path} is a link or a file, and must be a folder of its own.", "Remove it and start Goldsmith again, which makes the folder."
        ) from error
    except OSError as error:
        raise HostError(
            f"{path} cannot be {'created' if create else 'opened'}: {error.strerror}.",
            "Check that the root is mounted and writable; at its start, Goldsmith makes the folder.",
        ) from error
    try:
        _require_private(fd, path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _require_private(fd: int, path: str) -> None:
    """Close an open folder to everybody else. Raises HostError if it belongs to another user, or if the filesystem keeps it open."""
    status = os.fstat(fd)
    if status.st_uid != os.geteuid():
        raise HostError(
            f"{path} belongs to the user with the id {status.st_uid}, and Goldsmith runs as {os.geteuid()}.",
            "Move it away and start Goldsmith again, which makes the folder; or chown -R it if you know who made it.",
        )
    if stat.S_IMODE(status.st_mode) & 0o077 == 0:
        return
    with contextlib.suppress(OSError):
        os.fchmod(fd, _PRIVATE_MODE)
    mode = stat.S_IMODE(os.fstat(fd).st_mode)
    if mode & 0o077:
        raise HostError(
            f"{path} is open to other users (mode {mode:04o}), and its filesystem does not let Goldsmith change that.",
            f"{kind_at(path).mode_remedy('Mount it so that its owner alone may enter it')}, or keep the root on a local disk.",
        )


def _open_own(parent: int, name: str, *, create: bool) -> int:
    """Open a folder of the service's user in an open folder. Raises ScratchError if it belongs to another user, and OSError."""
    if create:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, _PRIVATE_MODE, dir_fd=parent)
    fd = open_subfolder(parent, name)
    if os.fstat(fd).st_uid != os.geteuid():
        os.close(fd)
        raise _scratch_error(name, "it belongs to another user")
    return fd


def _clear_folder(work: int, name: str, keep: Collection[str]) -> None:
    """Remove everything in the folder ``name`` except the entries ``keep``. Raises OSError."""
    folder = open_subfolder(work, name)
    try:
        for entry in os.listdir(folder):
            if entry not in keep:
                with contextlib.suppress(OSError):
                    remove_tree(folder, entry, work)
    finally:
        os.close(folder)


_JOB_REMEDY = "To try again, change one of the files or delete this note. Nobody but Goldsmith may write to .goldsmith/work."


def _scratch_error(scratch: str, reason: str) -> ScratchError:
    return ScratchError(f"The scratch folder {SCRATCH_FOLDER}/{scratch} cannot be used: {reason}.", _JOB_REMEDY)


@contextlib.contextmanager
def _as_job_error(scratch: str) -> Iterator[None]:
    """Raise ScratchError instead of an OSError that concerns this job's scratch alone."""
    try:
        yield
    except OSError as error:
        if not is_scratch_error(error):
            raise
        raise _scratch_error(scratch, f"{error.strerror}") from error
