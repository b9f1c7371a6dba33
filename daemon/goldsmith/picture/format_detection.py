"""Detect a file's format by its first bytes, and explain files that are not pictures or whose suffix is wrong."""

from __future__ import annotations

import os

from goldsmith.errors import IncompleteFileError, InputError
from goldsmith.picture.formats.image_info import ends_in_zeros
from goldsmith.picture.formats.table import FORMATS, FileFormat, detect_by_content, find_unreadable, format_claimed_by


def detect_format(data: bytes, name: str, *, is_mask: bool = False) -> FileFormat:
    """Return the format of a file by its first bytes. ``is_mask``: the file may have a format that is read for masks only.

    Raises InputError if the file is not a picture, is another kind of picture, or has a suffix that contradicts its content;
    IncompleteFileError if there are too few bytes to tell.
    """
    file_format = detect_by_content(data, is_mask=is_mask)
    if file_format is None:
        raise _unreadable_error(data, name)
    base, suffix = os.path.splitext(os.path.basename(name))
    claimed = format_claimed_by(suffix.lower())
    if claimed is not None and claimed is not file_format:
        raise InputError(
            f"{name} is called {claimed.name.upper()}, but it is a {file_format.name.upper()} picture.",
            f"Rename it to {base}{file_format.suffix}.",
        )
    return file_format


_NO_PICTURE_REMEDY = "Download or copy the picture itself again, or remove this file."


def _remedy() -> str:
    *names, last = [row.name.upper() for row in FORMATS.values() if row.reader and row.writer]
    return f"Save it as {', '.join(names)} or {last}."


def _unreadable_error(data: bytes, name: str) -> InputError:
    if not data:
        return IncompleteFileError(f"{name} is empty.", "If nothing is copying it any more, save or copy it again.")
    if ends_in_zeros(data) and not any(data[:64]):
        return IncompleteFileError(f"{name} contains only zeros so far.", "If nothing is copying it any more, save or copy it again.")
    if len(data) < 16:
        size = f"{len(data)} byte{'s' if len(data) > 1 else ''}"
        return IncompleteFileError(
            f"{name} is not a picture: it has only {size}.", "If nothing is copying it any more, save or copy it again."
        )
    start = data.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")[:64].lower()
    kind = find_unreadable(start)
    if kind is not None:
        remedy = _remedy() if kind.is_picture else _NO_PICTURE_REMEDY
        return InputError(f"{name} is not a picture that can be read: it starts like {kind.description}.", remedy)
    if data[4:8] == b"ftyp":
        return InputError(f"{name} is not a picture that can be read: it starts like a film or a sound.", _NO_PICTURE_REMEDY)
    if all(byte >= 32 or byte in b"\t\r\n" for byte in data[:256]):
        return InputError(f"{name} is not a picture: it starts like text.", _NO_PICTURE_REMEDY)
    return InputError(f"{name} is not a picture that can be read: its first bytes match no known format.", _remedy())
