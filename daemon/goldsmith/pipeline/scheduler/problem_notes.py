"""Problem notes: what is wrong with a picture, in plain words, beside the picture."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from goldsmith.files import Filesystem, inherit_folder_permissions, write_atomically

NOTE_SUFFIX = ".problem.txt"
# What shows a problem, beside its note; a name that ends so is never an asset.
PREVIEW_SUFFIX = ".problem.jpg"

_NOTE_FOOTER = "The files stay where they are. Change any of them, or delete this note, and Goldsmith tries again.\n"


def note_path(picture: str) -> str:
    """Where the note of a picture lies; a name too long for a suffix is shortened (255 bytes are a name's limit)."""
    folder, name = os.path.split(picture)
    room = 255 - len(NOTE_SUFFIX)
    short = os.fsdecode(os.fsencode(name)[:room])
    return os.path.join(folder, short + NOTE_SUFFIX)


def write_note(fs: Filesystem, root: Path, note: str, sentence: str, remedy: str) -> None:
    """Put the note down whole, readable for everybody who may read the folder; an older one is replaced."""
    said = f"{sentence}\n{remedy}\n" if remedy else f"{sentence}\n"
    target = root / note
    write_atomically(fs, target, f"{said}\n{_NOTE_FOOTER}".encode(), replace=True)
    inherit_folder_permissions(target, target.parent)


def write_preview(fs: Filesystem, root: Path, note: str, data: bytes) -> None:
    """Put a JPEG down beside the note that it belongs to; an older one is replaced."""
    target = root / _preview_path(note)
    write_atomically(fs, target, data, replace=True)
    inherit_folder_permissions(target, target.parent)


def remove_note(root: Path, note: str) -> None:
    """Take the note away, and what shows it. It may be gone already, and one that cannot be taken away is no reason to stop."""
    for path in (note, _preview_path(note)):
        with contextlib.suppress(OSError):
            os.unlink(root / path)


def _preview_path(note: str) -> str:
    return note.removesuffix(NOTE_SUFFIX) + PREVIEW_SUFFIX
