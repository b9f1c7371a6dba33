"""Problem notes: text files beside a picture that say what is wrong with it and what to do."""

from __future__ import annotations

import contextlib
import os

from goldsmith.files import Filesystem, write_atomically_in
from goldsmith.root_folder import RootFolder

NOTE_SUFFIX = ".problem.txt"
# A JPEG that shows the problem, beside the note. A file with this suffix is never an asset.
PREVIEW_SUFFIX = ".problem.jpg"

_NOTE_FOOTER = "The files stay where they are. Change any of them, or delete this note, and Goldsmith tries again.\n"


def note_path(picture: str) -> str:
    """Return the path of a picture's note. A long name is shortened to leave room for the suffix (a name has at most 255 bytes)."""
    folder, name = os.path.split(picture)
    room = 255 - len(NOTE_SUFFIX)
    short = os.fsdecode(os.fsencode(name)[:room])
    return os.path.join(folder, short + NOTE_SUFFIX)


def write_note(fs: Filesystem, root: RootFolder, note: str, sentence: str, remedy: str) -> None:
    """Write the note atomically with the permissions of its folder, replacing an older one."""
    text = f"{sentence}\n{remedy}\n" if remedy else f"{sentence}\n"
    _write(fs, root, note, f"{text}\n{_NOTE_FOOTER}".encode())


def write_preview(fs: Filesystem, root: RootFolder, note: str, data: bytes) -> None:
    """Write the JPEG that belongs to a note beside it, replacing an older one."""
    _write(fs, root, _preview_path(note), data)


def remove_note(root: RootFolder, note: str) -> None:
    """Delete the note and its JPEG. A file that is gone already or cannot be deleted is ignored."""
    for path in (note, _preview_path(note)):
        with contextlib.suppress(OSError):
            root.unlink(path)


def _write(fs: Filesystem, root: RootFolder, path: str, data: bytes) -> None:
    folder_path, name = os.path.split(path)
    with root.opened_folder(folder_path) as folder:
        write_atomically_in(fs, folder, name, data, replace=True)


def _preview_path(note: str) -> str:
    return note.removesuffix(NOTE_SUFFIX) + PREVIEW_SUFFIX
