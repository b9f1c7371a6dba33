"""Files that are not pictures are refused with a clear message; the content says what a file is, whatever its name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from goldsmith.errors import IncompleteFileError, InputError
from goldsmith.picture.codec import decode, decode_with_info, verify
from goldsmith.picture.format_detection import detect_format
from goldsmith.picture.formats.table import FORMATS, matching_suffix

LIMIT = 1_000_000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<!DOCTYPE html><html><body>404</body></html>", "an HTML page"),
        (b"  \n<html lang=en><body>404</body></html>", "an HTML page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><Error/>", "an SVG drawing or XML"),
        (b'{"detail": "not found", "code": 404}', "JSON text"),
        (b"%PDF-1.7 and so on, and so on", "a PDF"),
        (b"8BPS\0\x03 and so on, and so on", "a Photoshop document of an unknown version"),
        (b"GIF89a and so on, and so on, and", "a GIF"),
        (b"PK\x03\x04 and so on, and so on, ", "a zip archive"),
        (b"\0\0\0\x20ftypisom and so on, and so on", "a film or a sound"),
        (b"just a few plain words in a file", "text"),
        (b"\x01\x02\x03\x04\x90\x91\x92\x93\x94 whatever this may be", "its first bytes match no known format"),
    ],
)
def test_the_message_for_an_unreadable_file_names_its_kind(data: bytes, message: str) -> None:
    """Messages give the file's name and the kind of its first bytes."""
    with pytest.raises(InputError, match=message) as caught:
        verify(data, "hero.png", LIMIT)
    assert not isinstance(caught.value, IncompleteFileError)
    assert caught.value.sentence.startswith("hero.png is not a picture")


@pytest.mark.parametrize(
    ("data", "remedy"),
    [
        (b"v/1\x01 and so on, and so on", "Save it as PNG"),
        (b"<html lang=en><body>404</body></html>", "Download or copy the picture itself again"),
        (b"just a few plain words in a file", "Download or copy the picture itself again"),
        (b"\0\0\0\x20ftypisom and so on, and so on", "Download or copy the picture itself again"),
    ],
)
def test_only_a_picture_is_to_be_saved_in_another_format(data: bytes, remedy: str) -> None:
    """A web page or a text that has a picture's name cannot be saved as one."""
    with pytest.raises(InputError) as caught:
        verify(data, "hero.png", LIMIT)
    assert caught.value.remedy.startswith(remedy)


@pytest.mark.parametrize("data", [b"", b"\x89PN", b"\0" * 5000])
def test_a_file_that_is_still_arriving_is_incomplete(data: bytes) -> None:
    """Empty files, a few bytes and reserved space count as the beginning of a file."""
    with pytest.raises(IncompleteFileError, match=r"hero\.png"):
        verify(data, "hero.png", LIMIT)


@pytest.mark.parametrize("name", ["a.png", "a.JPG", "a.tif", "a.webp", "a.avif", "a.heic", "a.mask.png", "a.gif", "a.apng", "a.mpo"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF"])
def test_the_content_says_what_a_file_is(kind: str, name: str, photo: Any, saved: Any) -> None:
    """A suffix that stands for another format costs a note."""
    data, row = saved(photo, kind), FORMATS[kind.lower()]
    picture, info = decode_with_info(data, name, LIMIT)
    assert np.array_equal(picture.pixels, decode(data, "a", LIMIT).pixels)
    assert info.format == row.name
    suffix = f".{name.rpartition('.')[2]}"
    article = "an" if kind == "AVIF" else "a"
    fits = row.accepts_suffix(suffix.lower())
    assert info.notes == (() if fits else (f"it is {article} {kind} picture, although its name ends in {suffix}",))
    assert verify(data, name, LIMIT) == info
    assert matching_suffix(row.name, suffix) == (suffix if fits else row.suffix)


@pytest.mark.parametrize("name", ["", "exr"])
def test_a_file_of_an_unknown_format_keeps_its_suffix(name: str) -> None:
    """Nothing is known that would contradict it."""
    assert matching_suffix(name, ".JPG") == ".JPG"


@pytest.mark.parametrize(
    ("kind", "name"), [("JPEG", "A.JPEG"), ("PNG", "a.PNG"), ("TIFF", "a.tif"), ("JPEG", "no-suffix"), ("WEBP", "x.orig")]
)
def test_matching_and_unknown_suffixes_are_accepted(kind: str, name: str, photo: Any, saved: Any) -> None:
    """Suffixes may be in upper case; an unknown suffix contradicts nothing."""
    assert detect_format(saved(photo, kind), name).name == kind.lower()
