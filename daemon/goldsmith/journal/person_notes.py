"""Who has decided about a picture on the page: small files beside the journal, where nobody who writes to the share can forge a name.

The page writes a note when it has moved a picture into a tray. The daemon believes it for the very file that was moved: a picture that
somebody has moved again, replaced or changed since has another signature.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from goldsmith.files import FileSignature, Filesystem, write_atomically

_FOLDER_NAME = "persons"
_MAX_NOTE_BYTES = 16 * 1024
# A decision is carried out within seconds, or when the daemon runs again.
_MAX_AGE_SECONDS = 90 * 24 * 3600.0


class _PersonNote(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    sig: FileSignature
    sha256: str
    person: str


class PersonNotes:
    """The notes of one root; ``journal_folder`` is the folder of its journal."""

    def __init__(self, journal_folder: Path) -> None:
        self._folder = journal_folder / _FOLDER_NAME

    def write(self, path: str, sig: FileSignature, sha256: str, person: str) -> None:
        """Note who has put the file at ``path`` (relative to the root) there. Raises OSError."""
        for folder in (self._folder.parent, self._folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        note = _PersonNote(path=os.fsencode(path).hex(), sig=sig, sha256=sha256, person=person)
        write_atomically(Filesystem(), self._file_of(path), note.model_dump_json().encode(), replace=True)

    def person_of(self, path: str, sig: FileSignature, sha256: str) -> str:
        """Return who has put this very file at ``path``; "" if there is no note about it, or the note is about another file."""
        try:
            with self._file_of(path).open("rb") as file:
                note = _PersonNote.model_validate_json(file.read(_MAX_NOTE_BYTES))
        except (OSError, ValidationError):
            return ""
        is_about_it = (note.path, note.sig, note.sha256) == (os.fsencode(path).hex(), sig, sha256)
        return note.person if is_about_it else ""

    def remove(self, path: str) -> None:
        """Remove the note about ``path``, if there is one."""
        with contextlib.suppress(OSError):
            self._file_of(path).unlink()

    def remove_old(self, now: float | None = None) -> None:
        """Remove the notes of decisions that were made months ago. ``now``: Unix seconds."""
        limit = (time.time() if now is None else now) - _MAX_AGE_SECONDS
        with contextlib.suppress(OSError):
            for file in self._folder.iterdir():
                if file.stat().st_mtime < limit:
                    file.unlink()

    def _file_of(self, path: str) -> Path:
        return self._folder / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:40]}.json"
