"""Detect a file's format by its first bytes, and explain files that are not pictures. The content says what a file is, never its name."""

from __future__ import annotations

import os

from goldsmith.errors import IncompleteFileError, InputError
from goldsmith.picture.formats.image_info import ends_in_zeros
from goldsmith.picture.formats.table import (
    FORMATS,
    FileFormat,
    detect_by_content,
    find_unreadable,
    is_picture_suffix,
    is_unreadable_suffix,
)


def detect_format(data: bytes, name: str, *, is_mask: bool = False) -> FileFormat:
    """Return the format of a file by its first bytes. ``is_mask``: the file may have a format that is read for masks only.

    Raises InputError if the file is not a picture that can be read; IncompleteFileError if there are too few bytes to tell.
    """
    file_format = detect_by_content(data, is_mask=is_mask)
    if file_format is None:
        raise _unreadable_error(data, name)
    return file_format


def describe_wrong_suffix(file_format: FileFormat, name: str, subject: str = "it") -> str:
    """Return a note on a file whose suffix stands for another format, which browsers and picture services cause daily; "" if it fits.

    ``subject`` is what the note is about, to begin the sentence.
    """
    suffix = os.path.splitext(name)[1]
    if file_format.accepts_suffix(suffix.lower()) or not (is_picture_suffix(suffix.lower()) or is_unreadable_suffix(suffix.lower())):
        return ""
    article = "an" if file_format.name[0] in "aeiou" else "a"
    return f"{subject} is {article} {file_format.name.upper()} picture, although its name ends in {suffix}"


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
