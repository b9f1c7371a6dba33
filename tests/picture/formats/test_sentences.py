"""The notes about picture files are in people's words: they do not contradict themselves, and no library speaks in them."""

from __future__ import annotations

import re
import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from goldsmith.errors import IncompleteFileError, InputError
from goldsmith.picture.codec import verify
from goldsmith.picture.formats.image_info import describe_arrival
from goldsmith.picture.formats.png import PNG_SIGNATURE, make_chunk

LIMIT = 10_000_000
# Words of formats and libraries that nobody at a picture desk knows.
JARGON = re.compile(
    r"IDAT|IHDR|IEND|\bchunk|\bmarker|\bsegment|Huffman|photometric|\bdirector|\bIFD|\bbox\b|libpng|jpeg8|imagecodecs|tifffile|zlib|Error|"
    r"0x[0-9a-f]|\bstrips?\b|\bdecod|\boffset|returned|\bNone\b"
)


def photograph() -> Any:
    rows, columns = np.mgrid[0:360, 0:240]
    noise = np.random.default_rng(3).integers(0, 40, (360, 240, 3))
    return ((rows + columns)[:, :, None] // 4 + noise).astype(np.uint8)


def saved(kind: str, **options: Any) -> bytes:
    out = BytesIO()
    Image.fromarray(photograph()).save(out, kind, **options)
    return out.getvalue()


def complaint(data: bytes, name: str) -> InputError:
    with pytest.raises(InputError) as caught:
        verify(data, name, LIMIT)
    return caught.value


def png(rows: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", 240, 360, 8, 2, 0, 0, 0)
    return PNG_SIGNATURE + make_chunk(b"IHDR", head) + make_chunk(b"IDAT", rows) + make_chunk(b"IEND", b"")


def test_a_png_with_every_row_but_no_end_does_not_contradict_itself() -> None:
    """It ends too soon although all rows are there: its end is missing."""
    data = saved("png")
    error = complaint(data[:-12], "hero.png")
    assert isinstance(error, IncompleteFileError)
    assert error.sentence == "hero.png ends too soon: every row is there, but the end of the file is missing."
    assert "about" in complaint(data[: len(data) // 2], "hero.png").sentence


def test_a_tiff_says_how_much_of_it_is_there() -> None:
    """One part or many: the share is in per cent, and never "0 of the 1 parts"."""
    out = BytesIO()
    tifffile.imwrite(out, photograph(), photometric="rgb", rowsperstrip=360)
    data = out.getvalue()
    with tifffile.TiffFile(BytesIO(data)) as file:
        start = file.pages[0].dataoffsets[0]  # type: ignore[union-attr]
    assert start < 1000, "the picture lies behind its header"
    assert complaint(data[: start + 129_600], "hero.tif").sentence == "hero.tif ends too soon: about 50% of its picture is there."
    assert complaint(data[: start + 10], "hero.tif").sentence == "hero.tif ends too soon: its picture is missing."


@pytest.mark.parametrize(
    ("pixels", "options", "expected"),
    [
        (np.zeros((8, 8), np.int32), {"photometric": "minisblack"}, "signed numbers of 32 bits"),
        (np.zeros((8, 8), np.complex64), {"photometric": "minisblack"}, "complex numbers of 64 bits"),
        (np.zeros((8, 8, 3), np.uint8), {"photometric": "cielab"}, "Lab colours"),
        (np.zeros((8, 8), np.uint16), {"photometric": 32803}, "a camera's raw data"),
    ],
)
def test_a_kind_of_tiff_that_is_not_read_is_named_as_people_name_it(pixels: Any, options: dict[str, Any], expected: str) -> None:
    """The remedy says how to save it."""
    out = BytesIO()
    tifffile.imwrite(out, pixels, **options)
    error = complaint(out.getvalue(), "hero.tif")
    assert error.sentence == f"hero.tif is a TIFF with {expected}, which Goldsmith does not read."
    assert error.remedy.startswith("Save it as RGB or grey, 8 or 16 bits a channel")


def test_a_tiff_of_an_unknown_compression_is_not_called_damaged() -> None:
    """Copying it again would not help."""
    out = BytesIO()
    tifffile.imwrite(out, np.zeros((8, 8), np.uint8), photometric="minisblack")
    data = bytearray(out.getvalue())
    entry = data.index(struct.pack("<HHII", 259, 3, 1, 1))
    data[entry : entry + 12] = struct.pack("<HHII", 259, 3, 1, 41_999)
    error = complaint(bytes(data), "hero.tif")
    assert error.sentence == "hero.tif is a TIFF with a compression of its own, which Goldsmith does not read."


def _cuts(data: bytes) -> list[bytes]:
    """Return the file cut off at many places, and with bytes changed at many others."""
    step = max(1, len(data) // 40)
    changed = []
    for place in range(30, len(data) - 4, step):
        copy = bytearray(data)
        copy[place : place + 4] = b"\x13\x57\x9b\xdf"
        changed.append(bytes(copy))
    return [data[:length] for length in range(40, len(data), step)] + changed


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("a.png", lambda: saved("png")),
        ("a.png", lambda: png(zlib.compress(bytes(360 * 721))[:-9])),
        ("a.png", lambda: png(b"no stream")),
        ("a.jpg", lambda: saved("jpeg", quality=80)),
        ("a.jpg", lambda: saved("jpeg", progressive=True)),
        ("a.tif", lambda: saved("tiff", compression="tiff_lzw")),
        ("a.tif", lambda: saved("tiff", compression="jpeg")),
        ("a.webp", lambda: saved("webp")),
        ("a.avif", lambda: saved("avif")),
    ],
)
def test_no_damaged_file_makes_a_library_speak(name: str, make: Any) -> None:
    """Cut the file off and change its bytes in many places: each note is a sentence without a word of the format's insides."""
    sentences = set()
    for data in [make(), *_cuts(make())]:
        try:
            verify(data, name, LIMIT)
        except InputError as error:
            sentences.add(error.sentence)
    assert sentences
    assert [sentence for sentence in sentences if JARGON.search(sentence) or not sentence.endswith(".")] == []
    for sentence in sentences:
        numbers = re.search(r"about (\d+) of (\d+) rows", sentence)
        assert numbers is None or int(numbers[1]) < int(numbers[2])


def test_what_the_decoder_said_is_kept_for_the_log() -> None:
    """The error has the library's own exception as its cause."""
    data = bytearray(saved("jpeg", quality=80))
    table = data.index(b"\xff\xc4")
    data[table + 5 : table + 21] = b"\xff" * 16
    error = complaint(bytes(data), "hero.jpg")
    assert error.sentence == "hero.jpg is damaged: the data of its picture makes no sense."
    assert error.__cause__ is not None
    assert "Huffman" in str(error.__cause__)


@pytest.mark.parametrize(
    ("present", "expected", "text"),
    [
        (940, None, "only its first 940 bytes are there"),
        (12_345, 48_000, "12 kB of 48 kB are there"),
        (9_000, 9_000, "9,000 of 9,001 bytes are there"),
        (12_345_678, 48_000_000, "12.3 MB of 48.0 MB are there"),
    ],
)
def test_sizes_are_given_in_units_for_people(present: int, expected: int | None, text: str) -> None:
    """A file that is not complete never has as many bytes as are expected."""
    assert describe_arrival(present, expected) == text
