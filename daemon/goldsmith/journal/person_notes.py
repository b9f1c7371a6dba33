"""Who has put a file where it lies, on the page: small files beside the journal, where nobody who writes to the share can forge a name.

The page writes a note when it has moved a picture into a tray, painted a mask, written a brief or received a file. The daemon believes it
for that very file: one that somebody has moved again, replaced or changed since has another signature.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from goldsmith.files import FileSignature, Filesystem, write_atomically

_FOLDER_NAME = "persons"
_MAX_NOTE_BYTES = 16 * 1024
# A file is taken within seconds, or when the daemon runs again.
_MAX_AGE_SECONDS = 90 * 24 * 3600.0
# A note about a file that has gone serves nobody after this time: the row of the history has the name.
_USED_AFTER_SECONDS = 24 * 3600.0

# What a person has done with a file.
Act = Literal["moved", "painted", "written", "dropped"]


class _PersonNote(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    path: str
    sig: FileSignature
    sha256: str
    person: str
    act: Act = "moved"


class Handling(NamedTuple):
    """Who has put a file where it lies, and how."""

    person: str
    act: Act


class PersonNotes:
    """The notes of one root; ``journal_folder`` is the folder of its journal."""

    def __init__(self, journal_folder: Path) -> None:
        self._folder = journal_folder / _FOLDER_NAME

    def write(self, path: str, sig: FileSignature, sha256: str, person: str, act: Act = "moved") -> None:
        """Note who has put the file at ``path`` (relative to the root) there, and how. Raises OSError."""
        for folder in (self._folder.parent, self._folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        note = _PersonNote(path=os.fsencode(path).hex(), sig=sig, sha256=sha256, person=person, act=act)
        write_atomically(Filesystem(), self._file_of(path), note.model_dump_json().encode(), replace=True)

    def handling_of(self, path: str, sig: FileSignature, sha256: str) -> Handling | None:
        """Return who has put this very file at ``path``; None if there is no note about it, or the note is about another file."""
        note = _read_note(self._file_of(path))
        if note is None or (note.path, note.sig, note.sha256) != (os.fsencode(path).hex(), sig, sha256):
            return None
        return Handling(note.person, note.act)

    def remove(self, path: str) -> None:
        """Remove the note about ``path``, if there is one."""
        with contextlib.suppress(OSError):
            self._file_of(path).unlink()

    def remove_old(self, is_missing: Callable[[str], bool], now: float | None = None) -> None:
        """Remove the notes that are months old, and those of a day ago whose file is gone.

        ``is_missing`` tells that of a path below the root. ``now``: Unix seconds.
        """
        now = time.time() if now is None else now
        for file, written in self._written():
            note = _read_note(file) if written < now - _USED_AFTER_SECONDS else None
            is_used = note is not None and is_missing(os.fsdecode(bytes.fromhex(note.path)))
            if is_used or written < now - _MAX_AGE_SECONDS:
                with contextlib.suppress(OSError):
                    file.unlink()

    def _written(self) -> Iterator[tuple[Path, float]]:
        """Yield each note with the time at which it was written."""
        with contextlib.suppress(OSError):
            for file in self._folder.iterdir():
                with contextlib.suppress(OSError):
                    yield file, file.stat().st_mtime

    def _file_of(self, path: str) -> Path:
        return self._folder / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:40]}.json"


def _read_note(file: Path) -> _PersonNote | None:
    """Return a note; None if it is gone or damaged."""
    try:
        with file.open("rb") as note:
            return _PersonNote.model_validate_json(note.read(_MAX_NOTE_BYTES))
    except (OSError, ValidationError):
        return None
