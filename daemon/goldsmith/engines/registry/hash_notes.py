"""Notes of hashes: a file that was read once need not be read again while its stamp stays the same.

The notes are in the state directory, where neither the share's users nor a worker process can write. A worker process gets a copy of them
from the daemon, and what it notes itself ends with it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from goldsmith.engines.open_weights import FileStamp, make_stamp, open_regular

# A longer file of notes is not read; a note has about 250 bytes.
_MAX_FILE_BYTES = 64 * 2**20


class HashNote(NamedTuple):
    """The sha256 of a file in one state, as 64 hex digits, and when it was read, in Unix seconds."""

    sha256: str
    stamp: FileStamp
    read_at: int


_NOTES_ADAPTER = TypeAdapter(dict[str, HashNote])


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, as 64 hex digits."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


class HashNotes:
    """Notes by path. With a ``file`` they are read from it and ``save`` writes them there; otherwise they end with the process."""

    def __init__(self, file: Path | None = None, known: Mapping[str, HashNote] | None = None) -> None:
        """``known``: notes to begin with, by path."""
        self._file = file
        self._known = dict(known or {})
        self._new: dict[str, HashNote] = {}

    @cached_property
    def _notes(self) -> dict[str, HashNote]:
        return {**self._known, **self.stored()}

    def stored(self) -> dict[str, HashNote]:
        """Return the notes in the file, by path; none if there is no file, or if others than its owner may have written it."""
        if self._file is None:
            return {}
        try:
            descriptor = os.open(self._file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, "rb") as source:
                if not _is_trusted(os.fstat(descriptor), self._file.parent.stat().st_uid):
                    return {}
                return _NOTES_ADAPTER.validate_json(source.read(_MAX_FILE_BYTES))
        except (OSError, ValidationError):
            return {}

    def find(self, path: Path) -> HashNote | None:
        """Return the note of a file's present state, or None; costs one ``stat``. Raises OSError."""
        note = self._notes.get(str(path))
        return note if note is not None and note.stamp == make_stamp(path.stat()) else None

    def last(self, path: Path) -> HashNote | None:
        """Return the last note of a file, which may be of an earlier state, or None."""
        return self._notes.get(str(path))

    def read(self, path: Path, *, read_again: bool = False) -> HashNote:
        """Return the note of a file's present state, and read the file if there is none. Raises OSError.

        read_again: read the file in any case, and from the disk, not from the kernel's cache.
        """
        note = None if read_again else self.find(path)
        if note is None:
            note = _read_file(path, from_disk=read_again)
            self._notes[str(path)] = self._new[str(path)] = note
        return note

    def read_open(self, path: Path, fd: int) -> HashNote:
        """Return the note of the open file ``fd``, which was opened as ``path``, and read it if there is none. Raises OSError."""
        note = self._notes.get(str(path))
        if note is None or note.stamp != make_stamp(os.fstat(fd)):
            note = _hash_open_file(fd, path)
            self._notes[str(path)] = self._new[str(path)] = note
        return note

    def save(self) -> None:
        """Write new notes to the file, without those of files that no longer exist. A file that cannot be written stays as it is."""
        if self._file is None or not self._new:
            return
        notes = {path: note for path, note in {**self.stored(), **self._new}.items() if os.path.exists(path)}
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _replace_file(self._file, _NOTES_ADAPTER.dump_json(notes))
            self._new.clear()


def _is_trusted(status: os.stat_result, folder_owner: int) -> bool:
    """Return whether only this user, root or the owner of its folder, who may replace it anyway, can have written a file."""
    is_own = status.st_uid in (0, os.geteuid(), folder_owner)
    return is_own and stat.S_ISREG(status.st_mode) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


class HandedOutFiles:
    """Files of the library that a step was given to load, each with the hash of the state in which it was opened.

    A LoRA has gigabytes: it is read once for its hash, and what an engine then loads must be in that state.
    """

    def __init__(self) -> None:
        self._notes = HashNotes()
        self._paths: set[str] = set()

    def hand_out(self, path: Path, fd: int) -> str:
        """Return the sha256 of the open file ``fd``, which was opened as ``path``. Raises OSError, also if the file changes meanwhile."""
        self._paths.add(str(path))
        return self._notes.read_open(path, fd).sha256

    def note(self, path: Path) -> HashNote:
        """Return the note of a file as it was handed out; of one that was not, as it is now. Raises OSError."""
        note = self._notes.last(path) if str(path) in self._paths else None
        return self._notes.read(path) if note is None else note


# Those of this process: the step context hands a file out, and an engine loads it.
HANDED_OUT = HandedOutFiles()


def _read_file(path: Path, *, from_disk: bool) -> HashNote:
    """Hash a file through one descriptor. Raises OSError, also if the file changes meanwhile."""
    fd = open_regular(path)
    try:
        if from_disk:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)  # decay on the disk does not show in the cache
        return _hash_open_file(fd, path)
    finally:
        os.close(fd)


def _hash_open_file(fd: int, path: Path) -> HashNote:
    with open(fd, "rb", closefd=False) as source:
        stamp = make_stamp(os.fstat(fd))
        sha256 = hashlib.file_digest(source, "sha256").hexdigest()
        if make_stamp(os.fstat(fd)) != stamp:
            raise OSError(errno.EBUSY, "it changes while it is read", str(path))
    return HashNote(sha256, stamp, int(time.time()))


def _replace_file(file: Path, content: bytes) -> None:
    """Replace a file atomically. It is readable for everybody who may enter its folder: root notes what the service's user reads."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with open(descriptor, "wb") as output:
            output.write(content)
            os.fchmod(descriptor, 0o644)
        os.replace(temporary, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
