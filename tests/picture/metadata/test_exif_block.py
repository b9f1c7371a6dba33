"""An Exif block is read with limits and written anew without bytes that nothing refers to; what stays in it stays true."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doubles.metadata_blocks import ASCII, LONG, SHORT, THUMBNAIL, UNDEFINED, camera_exif, exif_bytes, text_tag
from goldsmith.picture.metadata.exif_block import ARTIST, MAKER_NOTE, ExifBlock, read_exif, read_tiff_exif

ORDERS = ["<", ">"]


def _rewrite(data: bytes) -> bytes:
    block = read_exif(data)
    assert block is not None
    result = block.to_bytes()
    assert result is not None
    return result


@pytest.mark.parametrize("order", ORDERS)
def test_every_directory_but_those_of_the_thumbnail_comes_back(order: str) -> None:
    """Pillow reads the same tags, and no byte of the thumbnail is left."""
    from PIL import Image

    data = camera_exif(order)
    assert THUMBNAIL in data
    rewritten = _rewrite(data)
    assert THUMBNAIL not in rewritten
    before, after = Image.Exif(), Image.Exif()
    before.load(data)
    after.load(rewritten)
    for directory in (0x8769, 0x8825):
        (read_before, read_after) = (
            {tag: exif.get_ifd(directory)[tag] for tag in exif.get_ifd(directory) if tag != 0xA005} for exif in (before, after)
        )
        assert read_after == read_before
    assert after.get_ifd(0xA005) == before.get_ifd(0xA005) == {1: "R98", 2: b"0100"}
    assert {tag: after[tag] for tag in (0x010F, 0x0132, 0x0213)} == {tag: before[tag] for tag in (0x010F, 0x0132, 0x0213)}
    assert not after.get_ifd(1)


def test_what_was_not_read_is_named() -> None:
    """The thumbnail is listed for the record."""
    block = read_exif(camera_exif())
    assert block is not None
    assert block.dropped == ["thumbnail"]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("filler", [0, 100, 700])
def test_a_maker_note_stays_where_it_is(order: str, filler: int) -> None:
    """Some makers store offsets from the start of the block in their notes: those stay right."""
    note = b"MAKER" + bytes(range(200))
    data = exif_bytes(
        order, {ARTIST: text_tag("A long name of an artist")}, {MAKER_NOTE: (UNDEFINED, note), 0x9003: text_tag("x" * 50)}, filler=filler
    )
    rewritten = _rewrite(data)
    assert data.index(note) == rewritten.index(note)
    assert _rewrite(rewritten) == rewritten


def test_a_maker_note_far_away_loses_its_place() -> None:
    """A gap of a megabyte before it would be worse."""
    note = b"MAKER" + bytes(200)
    data = exif_bytes("<", {}, {MAKER_NOTE: (UNDEFINED, note)}, filler=1_000_000)
    rewritten = _rewrite(data)
    assert note in rewritten
    assert len(rewritten) < 1000


def test_text_is_utf_8_or_else_latin_1() -> None:
    """Both are in use; what is written is UTF-8, and the text ends at its first zero."""
    block = ExifBlock()
    block.set_image_text(ARTIST, "Müller")
    written = read_exif(block.to_bytes() or b"")
    assert written is not None
    assert written.image_text(ARTIST) == "Müller"
    latin = read_exif(exif_bytes("<", {ARTIST: (ASCII, "Müller\0garbage".encode("latin-1"))}))
    assert latin is not None
    assert latin.image_text(ARTIST) == "Müller"
    assert latin.image_text(0x8298) == ""


def test_an_empty_block_is_none() -> None:
    """A file without Exif gets none."""
    assert ExifBlock().to_bytes() is None
    assert read_exif(b"") is None
    assert read_exif(b"II*\0\xff\xff\0\0") is None


def test_many_entries_of_the_same_bytes_need_no_memory() -> None:
    """4,000 entries that all refer to the same 60 kB would be 240 MB."""
    big = 60_000
    head = b"II*\0" + struct.pack("<IH", 8, 4000)
    rows = b"".join(struct.pack("<HHII", tag, UNDEFINED, big, 60_000) for tag in range(4000))
    block = read_exif((head + rows + bytes(4)).ljust(120_001, b"x"))
    assert block is not None
    assert 0 < sum(len(entry.value) for entry in block.image.values()) <= 240_002


def test_values_outside_the_block_are_left_out() -> None:
    """Everything else is kept."""
    head = b"II*\0" + struct.pack("<IH", 8, 2)
    rows = struct.pack("<HHII", 0x010F, ASCII, 100, 5000) + struct.pack("<HHIHH", 0x0112, SHORT, 1, 6, 0)
    block = read_exif(head + rows + bytes(4))
    assert block is not None
    assert list(block.image) == [0x0112]


def test_directories_that_point_at_themselves_end() -> None:
    """The Exif directory of this block is its first directory."""
    head = b"II*\0" + struct.pack("<IH", 8, 1) + struct.pack("<HHII", 0x8769, LONG, 1, 8) + bytes(4)
    block = read_exif(head)
    assert block is not None
    assert (block.image, block.photo) == ({}, {})


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]))
def test_any_bytes_are_read_and_written(rest: bytes, head: bytes) -> None:
    """Nothing of a stranger's block raises; what was written is read again with the same entries."""
    block = read_exif(head + rest)
    written = None if block is None else block.to_bytes()
    if block is not None and written is not None:
        again = read_exif(written)
        assert again is not None
        assert [again.image, again.photo, again.gps, again.interoperability] == [
            *(block.image, block.photo, block.gps, block.interoperability)
        ]


@pytest.mark.parametrize("is_bigtiff", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_the_tags_of_a_tiff_are_read(is_bigtiff: bool, order: Any) -> None:
    """Artist and copyright of TIFF and BigTIFF, as tifffile writes them."""
    import numpy as np
    import tifffile

    out = BytesIO()
    extra = [(315, 2, 0, "Anna Müller".encode(), True), (33432, 2, 0, "(c) Anna Müller, all rights reserved".encode(), True)]
    tifffile.imwrite(out, np.zeros((4, 4), np.uint8), bigtiff=is_bigtiff, byteorder=order, extratags=extra, metadata=None)
    block = read_tiff_exif(out.getvalue(), (315, 33432))
    assert block is not None
    assert (block.image_text(315), block.image_text(33432)) == ("Anna Müller", "(c) Anna Müller, all rights reserved")
    assert set(block.image) == {315, 33432}
