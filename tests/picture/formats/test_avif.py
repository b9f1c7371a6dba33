"""AVIF at 8, 10 and 12 bits; Goldsmith itself writes the boxes around the picture."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest

from goldsmith.errors import IncompleteFileError, InputError
from goldsmith.picture import profiles
from goldsmith.picture.codec import EncodingOptions, decode, decode_with_info, encode, verify
from goldsmith.picture.formats.iso_boxes import find_boxes, iter_boxes, read_cicp
from goldsmith.picture.picture import Metadata

LIMIT = 1_000_000
_XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"


@pytest.mark.parametrize(("bits", "depth"), [(8, 8), (10, 16), (12, 16)])
def test_the_file_has_the_requested_depth(bits: Any, depth: int, photo: Any, make_picture: Any) -> None:
    """Pictures of 10 and 12 bits come back as 16-bit pictures, exact to one step of their own depth."""
    picture = make_picture(photo.astype(np.uint16) * 257)
    result, facts = decode_with_info(encode(picture, EncodingOptions("avif", depth=bits, lossless=True)), "a.avif", LIMIT)
    assert facts.depth == bits
    assert result.depth == depth
    assert np.abs(result.pixels - picture.pixels).max() <= 0.51 / (2**bits - 1)


def test_a_16_bit_picture_is_written_with_10_bits(photo: Any, make_picture: Any) -> None:
    """Without a depth in the brief, 16 bits become 10."""
    picture = make_picture(photo.astype(np.uint16) * 257, photo[:, :, 0].astype(np.uint16) * 257)
    assert verify(encode(picture, EncodingOptions("avif")), "a.avif", LIMIT).depth == 10


def test_colour_codes_name_srgb_and_display_p3(photo: Any, make_picture: Any) -> None:
    """Profiles with codes get them; for other profiles the codes are "unspecified"."""
    assert read_cicp(encode(make_picture(photo), EncodingOptions("avif"))) == (1, 13)
    assert read_cicp(encode(make_picture(photo, icc=profiles.builtin_profile("display-p3")), EncodingOptions("avif"))) == (12, 13)
    assert read_cicp(encode(make_picture(photo, icc=profiles.builtin_profile("adobe-rgb")), EncodingOptions("avif"))) == (2, 2)


def test_colour_codes_without_a_profile_become_a_profile(photo: Any) -> None:
    """Colour codes for Display P3 alone are enough to keep the colours."""
    import imagecodecs

    data = imagecodecs.avif_encode(photo, primaries=12, transfer=13, matrix=6, speed=9)
    assert decode(bytes(data), "a.avif", LIMIT).icc == profiles.builtin_profile("display-p3")
    data = imagecodecs.avif_encode(photo, primaries=9, transfer=16, matrix=6, speed=9)
    with pytest.raises(InputError, match=r"a\.avif is an HDR picture \(PQ\)"):
        verify(bytes(data), "a.avif", LIMIT)


@pytest.mark.parametrize("alpha", [False, True])
def test_pillow_finds_profile_and_metadata(alpha: bool, photo: Any, make_picture: Any) -> None:
    """Pillow reads profile and metadata from the boxes that Goldsmith wrote."""
    from PIL import Image

    icc = profiles.builtin_profile("prophoto")
    picture = make_picture(photo, photo[:, :, 0] if alpha else None, icc, (300, 300), Metadata(xmp=_XMP))
    image = Image.open(io.BytesIO(encode(picture, EncodingOptions("avif"))))
    assert image.mode == ("RGBA" if alpha else "RGB")
    assert image.info["icc_profile"] == icc
    assert image.info["xmp"] == _XMP
    assert image.getexif()[282] == 300


def test_a_file_truncated_anywhere_is_incomplete(photo: Any, make_picture: Any) -> None:
    """Boxes give their own length, so that missing bytes are noticed."""
    data = encode(make_picture(photo), EncodingOptions("avif"))
    for end in range(20, len(data), 61):
        with pytest.raises(IncompleteFileError, match=r"a\.avif ends too soon"):
            verify(data[:end], "a.avif", LIMIT)


def test_a_size_over_the_limit_is_refused(photo: Any, make_picture: Any) -> None:
    """Goldsmith checks the size in the header."""
    with pytest.raises(InputError, match="64 x 48"):
        verify(encode(make_picture(photo), EncodingOptions("avif")), "a.avif", 3000)


def test_no_box_reaches_beyond_the_file() -> None:
    """Boxes that claim more are cut at the end of the file; a box with an impossible size ends the iteration."""
    assert [box.content_end for box in iter_boxes(b"\0\0\0\x20free1234", 0, 12)] == [12]
    assert list(iter_boxes(b"\0\0\0\x04free1234", 0, 12)) == []
    assert find_boxes(b"\0\0\0\x0cfree1234", b"free", b"skip") == []


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


@pytest.mark.parametrize("is_wide", [False, True])
def test_the_colour_codes_are_those_of_the_primary_picture(is_wide: bool) -> None:
    """A gain map in PQ in front of an ordinary picture does not make it HDR; without an assignment the first codes count."""
    size = b"ispe" + bytes(12)
    gain_map, picture = (
        _box(b"colr", b"nclx", struct.pack(">HHHB", primaries, transfer, 0, 128)) for primaries, transfer in ((9, 16), (12, 13))
    )
    ipco = _box(b"ipco", gain_map, _box(size[:4], size[4:]), picture)
    numbers = struct.Struct(">H" if is_wide else ">B")
    essential = 1 << (8 * numbers.size - 1)
    item = ">I" if is_wide else ">H"
    rows = [(7, [1, 2]), (9, [2 | essential, 3 | essential])]
    entries = b"".join(struct.pack(item + "B", number, len(row)) + b"".join(numbers.pack(each) for each in row) for number, row in rows)
    ipma = _box(b"ipma", bytes((int(is_wide), 0, 0, int(is_wide))), struct.pack(">I", len(rows)), entries)
    pitm = _box(b"pitm", bytes((int(is_wide), 0, 0, 0)), struct.pack(item, 9))
    meta = _box(b"meta", bytes(4), pitm, _box(b"iprp", ipco, ipma))
    assert read_cicp(meta) == (12, 13)
    assert read_cicp(_box(b"meta", bytes(4), _box(b"iprp", ipco))) == (9, 16)
    for end in range(len(meta)):  # a box that is cut off is no error here
        read_cicp(meta[:end])


def test_embedded_srgb_has_the_colour_codes_of_srgb(photo: Any, make_picture: Any) -> None:
    """Readers that look only at the codes get the same colours."""
    for icc in (None, profiles.builtin_profile("srgb")):
        assert read_cicp(encode(make_picture(photo, icc=icc), EncodingOptions("avif"))) == (1, 13)
    assert read_cicp(encode(make_picture(photo, icc=profiles.builtin_profile("prophoto")), EncodingOptions("avif"))) == (2, 2)
