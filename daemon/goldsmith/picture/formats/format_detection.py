"""Detect a file's format by its first bytes, and explain files that are not pictures or whose suffix is wrong."""

from __future__ import annotations

import os

from goldsmith.errors import IncompleteFileError, InputError
from goldsmith.picture.formats.image_info import ends_in_zeros

_SUFFIXES = {
    "png": (".png", ".apng"),
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "tiff": (".tif", ".tiff"),
    "webp": (".webp",),
    "avif": (".avif",),
    "heic": (".heic", ".heif", ".hif"),
}
_AVIF_BRANDS = (b"avif", b"avis")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_OTHER_FORMATS: tuple[tuple[bytes, str], ...] = (
    *((start, "an HTML page") for start in (b"<!doctype html", b"<html", b"<head", b"<body")),
    *((start, "an SVG drawing or XML") for start in (b"<?xml", b"<svg")),
    (b"%pdf", "a PDF"),
    (b"8bps", "a Photoshop document"),
    (b"gif8", "a GIF"),
    (b"bm", "a BMP picture"),
    (b"pk\x03\x04", "a zip archive"),
    (b"rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x7felf", "a program"),
    (b"mz", "a Windows program"),
    (b"\x1a\x45\xdf\xa3", "a Matroska or WebM film"),
    (b"riff", "a sound or film"),
    (b"id3", "a sound"),
    (b"ogg", "a sound"),
    (b"v/1\x01", "an OpenEXR picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cjxl ", "a JPEG XL picture"),
    (b"\0\0\0\x0cjp  ", "a JPEG 2000 picture"),
    (b"gimp xcf", "a GIMP document"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file it stands for"),
    (b"{", "JSON text"),
)


def detect_format(data: bytes, name: str) -> str:
    """Return the name of the format, as in ``ImageInfo.format``.

    Raises InputError if the file is not a picture, is another kind of picture, or has a suffix that contradicts its content;
    IncompleteFileError if there are too few bytes to tell.
    """
    found = _match_magic(data)
    if found is None:
        raise _unreadable_error(data, name)
    suffix = os.path.splitext(name)[1].lower()
    if suffix not in _SUFFIXES[found] and any(suffix in known for known in _SUFFIXES.values()):
        right = os.path.splitext(os.path.basename(name))[0] + _SUFFIXES[found][0]
        claimed = next(word for word, known in _SUFFIXES.items() if suffix in known)
        raise InputError(f"{name} is called {claimed.upper()}, but it is a {found.upper()} picture.", f"Rename it to {right}.")
    return found


def _match_magic(data: bytes) -> str | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:8] == b"ftyp" and len(data) >= 16:
        size = min(int.from_bytes(data[:4], "big"), 512)
        brands = [data[8:12], *(data[at : at + 4] for at in range(16, size, 4))]
        if any(brand in _AVIF_BRANDS for brand in brands):
            return "avif"
        if any(brand in _HEIC_BRANDS for brand in brands):
            return "heic"
    return None


def _unreadable_error(data: bytes, name: str) -> InputError:
    if not data:
        return IncompleteFileError(f"{name} is empty.", "If nothing is copying it any more, save or copy it again.")
    if ends_in_zeros(data) and not any(data[:64]):
        return IncompleteFileError(f"{name} holds nothing but zeros so far.", "If nothing is copying it any more, save or copy it again.")
    if len(data) < 16:
        size = f"{len(data)} byte{'s' if len(data) > 1 else ''}"
        return IncompleteFileError(
            f"{name} is no picture: it has only {size}.", "If nothing is copying it any more, save or copy it again."
        )
    start = data.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")[:64].lower()
    for magic, what in _OTHER_FORMATS:
        if start.startswith(magic):
            return InputError(f"{name} is not a picture that can be read: it starts like {what}.", _REMEDY)
    if data[4:8] == b"ftyp":
        return InputError(f"{name} is not a picture that can be read: it starts like a film or a sound.", _REMEDY)
    if all(byte >= 32 or byte in b"\t\r\n" for byte in data[:256]):
        return InputError(f"{name} is not a picture: it starts like a text.", _REMEDY)
    return InputError(f"{name} is not a picture that can be read: its first bytes are of no known kind.", _REMEDY)


_REMEDY = "Save it as PNG, JPEG, TIFF, WebP or AVIF."
