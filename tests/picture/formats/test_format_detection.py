"""What is no picture, or is called what it is not, is refused in words."""

from __future__ import annotations

from typing import Any

import pytest

from goldsmith.errors import IncompleteFileError, InputError
from goldsmith.picture.codec import verify
from goldsmith.picture.formats.format_detection import detect_format

LIMIT = 1_000_000


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"<!DOCTYPE html><html><body>404</body></html>", "an HTML page"),
        (b"  \n<html lang=en><body>404</body></html>", "an HTML page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><Error/>", "an SVG drawing or XML"),
        (b'{"detail": "not found", "code": 404}', "JSON text"),
        (b"%PDF-1.7 and so on, and so on", "a PDF"),
        (b"8BPS\0\x01 and so on, and so on", "a Photoshop document"),
        (b"GIF89a and so on, and so on, and", "a GIF"),
        (b"PK\x03\x04 and so on, and so on, ", "a zip archive"),
        (b"\0\0\0\x20ftypisom and so on, and so on", "a film or a sound"),
        (b"just a few plain words in a file", "a text"),
        (b"\x01\x02\x03\x04\x90\x91\x92\x93\x94 whatever this may be", "its first bytes are of no known kind"),
    ],
)
def test_what_is_no_picture_is_said_to_be_what_it_is(data: bytes, said: str) -> None:
    """The sentence names the file and what it starts like."""
    with pytest.raises(InputError, match=said) as caught:
        verify(data, "hero.png", LIMIT)
    assert not isinstance(caught.value, IncompleteFileError)
    assert caught.value.sentence.startswith("hero.png is not a picture")


@pytest.mark.parametrize("data", [b"", b"\x89PN", b"\0" * 5000])
def test_what_has_hardly_begun_is_incomplete(data: bytes) -> None:
    """An empty file, a few bytes, or reserved space: it may still be arriving."""
    with pytest.raises(IncompleteFileError, match=r"hero\.png"):
        verify(data, "hero.png", LIMIT)


def test_a_suffix_that_belies_the_content_is_a_problem(photo: Any, saved: Any) -> None:
    """The problem names both formats, and what to rename the file to."""
    with pytest.raises(InputError) as caught:
        verify(saved(photo, "JPEG"), "acme/hero.png", LIMIT)
    assert caught.value.sentence == "acme/hero.png is called PNG, but it is a JPEG picture."
    assert caught.value.remedy == "Rename it to hero.jpg."


@pytest.mark.parametrize(
    ("kind", "name"), [("JPEG", "A.JPEG"), ("PNG", "a.PNG"), ("TIFF", "a.tif"), ("JPEG", "no-suffix"), ("WEBP", "x.orig")]
)
def test_fitting_and_unknown_suffixes_are_taken(kind: str, name: str, photo: Any, saved: Any) -> None:
    """Case does not matter, and a suffix of no picture format claims nothing."""
    assert detect_format(saved(photo, kind), name).name == kind.lower()
