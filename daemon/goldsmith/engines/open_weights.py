"""Make sure that the weights a library loads are those that were hashed.

A library takes a path, and behind a path another file can appear at any time. The stamp of a file tells: it is taken from the descriptor
that is hashed, and compared with that of the path before and after the library loads from it. A worker process can make no links in its
fence, so the library gets the path itself.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from goldsmith.errors import HostError, InputError

# What to do about a file that changes while it is loaded.
_REMEDY = "Run: goldsmith models verify"


class FileStamp(NamedTuple):
    """What tells one state of a file from every other. Times are in ns; no user can set ``changed``, the ctime, to an earlier time.

    Writing, replacing and renaming a file change its ctime, and renaming a folder changes that of the folder.
    """

    device: int
    inode: int
    size: int
    modified: int
    changed: int


def make_stamp(status: os.stat_result) -> FileStamp:
    """Return the stamp of a file or folder with this status."""
    return FileStamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def open_regular(path: Path) -> int:
    """Return a descriptor of a regular file, for reading. Raises OSError; a FIFO or a device in its place is never waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return descriptor


@contextmanager
def require_unchanged(files: Iterable[Path], folder: Path | None, stamps: Mapping[Path, FileStamp]) -> Iterator[None]:
    """Raise InputError if one of ``files`` has not the stamp of ``stamps`` at the start of this block, or changes before the block ends.

    A file without a stamp must only stay unchanged within the block. If ``folder`` is not None, the files are a tree below it, whose
    folders must stay unchanged too. Raises HostError if something cannot be read at the start.
    """
    paths = list(files)
    before = _look_at(paths, folder)
    for path in paths:
        if stamps.get(path, before[path].target) != before[path].target:
            raise _changed(path)
    yield
    try:
        after = _look_at(paths, folder)
    except HostError as error:
        raise InputError(error.sentence, _REMEDY) from error
    for path, state in after.items():
        if before.get(path) != state:
            raise _changed(path)


class _PathState(NamedTuple):
    """The stamp of a file or folder, and that of its path, which is another if the path is a link."""

    target: FileStamp
    link: FileStamp


def _look_at(files: Iterable[Path], folder: Path | None) -> dict[Path, _PathState]:
    states = {}
    for path in files:
        states[path] = _look(path, stat.S_ISREG, "it is not a regular file")
        if folder is not None and path.is_relative_to(folder):
            for parent in path.parents:
                if parent not in states:
                    states[parent] = _look(parent, stat.S_ISDIR, "it is not a folder")
                if parent == folder:
                    break
    return states


def _look(path: Path, is_expected: Callable[[int], bool], problem: str) -> _PathState:
    try:
        status, own_status = path.stat(), path.lstat()
    except OSError as error:
        raise HostError(f"{path}: cannot be read: {error.strerror}.", "Check the models folder.") from error
    if not is_expected(status.st_mode):
        raise HostError(f"{path}: cannot be read: {problem}.", "Check the models folder.")
    return _PathState(make_stamp(status), make_stamp(own_status))


def _changed(path: Path) -> InputError:
    return InputError(f"{path}: this file of weights changed while it was loaded.", _REMEDY)
