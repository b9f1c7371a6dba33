"""Metadata are read wherever programs put them, with limits; what a new file cannot carry is remarked."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from doubles.metadata_blocks import RIGHTS_XMP, camera_exif, read_with_exiftool, xmp_bytes
from goldsmith.errors import InputError
from goldsmith.picture.codec import EncodingOptions, decode, decode_with_info, encode, verify
from goldsmith.picture.formats.image_info import PROVENANCE_NOTE
from goldsmith.picture.formats.metadata import photoshop_from_iptc
from goldsmith.picture.formats.png import make_chunk
from goldsmith.picture.metadata.exif_block import read_exif
from goldsmith.picture.metadata.xmp_packet import DC, XmpName, read_xmp

LIMIT = 10_000
IPTC = b"\x1c\x02\x05\x00\x03abc"
JUMBF = (
    b"JP\0\1\0\0\0\1" + struct.pack(">I", 60) + b"jumb" + struct.pack(">I", 30) + b"jumdc2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71\3c2pa\0"
)


def _file(kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (6, 4)).save(out, kind)
    return out.getvalue()


def _png_with(*chunks: bytes) -> bytes:
    data = _file("PNG")
    return data[:33] + b"".join(chunks) + data[33:]


def _raw_profile(kind: str, block: bytes, chunk: str) -> bytes:
    """Return a block as GIMP 2.10 and ImageMagick store it in a text of a PNG."""
    digits = block.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    text = f"\n{kind}\n{len(block):8d}\n{lines}\n".encode()
    keyword = f"Raw profile type {kind}".encode() + b"\0"
    if chunk == "zTXt":
        return make_chunk(b"zTXt", keyword + b"\0" + zlib.compress(text))
    return make_chunk(b"iTXt", keyword + b"\1\0\0\0" + zlib.compress(text)) if chunk == "iTXt" else make_chunk(b"tEXt", keyword + text)


@pytest.mark.parametrize("chunk", ["tEXt", "zTXt", "iTXt"])
@pytest.mark.parametrize("kind", ["exif", "APP1"])
def test_exif_in_a_text_of_a_png_is_read(kind: str, chunk: str) -> None:
    """With its orientation; an eXIf chunk comes first."""
    block = b"Exif\0\0" + camera_exif(orientation=6)
    picture, facts = decode_with_info(_png_with(_raw_profile(kind, block, chunk)), "a.png", LIMIT)
    exif = read_exif(picture.metadata.exif or b"")
    assert exif is not None
    assert exif.image_text(0x013B) == "Anna Müller"
    assert (facts.width, facts.height) == (4, 6)
    own_chunk = make_chunk(b"eXIf", camera_exif())
    assert decode_with_info(_png_with(own_chunk, _raw_profile(kind, block, chunk)), "a.png", LIMIT)[1].width == 6


@pytest.mark.parametrize(("kind", "prefix"), [("xmp", b""), ("APP1", b"http://ns.adobe.com/xap/1.0/\0")])
def test_xmp_in_a_text_of_a_png_is_read(kind: str, prefix: bytes) -> None:
    """The chunk of XMP itself comes first."""
    data = _png_with(_raw_profile(kind, prefix + xmp_bytes(RIGHTS_XMP), "zTXt"))
    assert read_xmp(decode(data, "a.png", LIMIT).metadata.xmp or b"").text(XmpName(DC, "title")) == "Spring"


@pytest.mark.parametrize("kind", ["iptc", "8bim"])
def test_iptc_in_a_text_of_a_png_is_read(kind: str) -> None:
    """As Photoshop's resource, or bare."""
    for block in (photoshop_from_iptc(IPTC), IPTC):
        assert decode(_png_with(_raw_profile(kind, block, "tEXt")), "a.png", LIMIT).metadata.iptc == IPTC


def test_damaged_and_oversized_texts_of_blocks_do_no_harm() -> None:
    """Digits that are none are remarked; a text that unpacks to gigabytes is refused."""
    damaged = make_chunk(b"tEXt", b"Raw profile type exif\0\nexif\n  4\nzz\n")
    assert verify(_png_with(damaged), "a.png", LIMIT).notes == ("its Exif block is damaged and was ignored",)
    bomb = make_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"0" * 5_000_000))
    with pytest.raises(InputError, match=r"The Exif block in a\.png unpacks to more than 4 MiB"):
        verify(_png_with(bomb), "a.png", LIMIT)
    unknown = make_chunk(b"tEXt", b"Raw profile type whatever\0zz")
    assert verify(_png_with(unknown), "a.png", LIMIT).notes == ()


def _jpeg_with_provenance() -> bytes:
    data = _file("JPEG")
    return data[:2] + b"\xff\xeb" + (len(JUMBF) + 2).to_bytes(2, "big") + JUMBF + data[2:]


def _tiff_with_provenance() -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, np.zeros((4, 6, 3), np.uint8), photometric="rgb", extratags=[(0xCD41, 7, 4, b"jumb", True)], metadata=None)
    return out.getvalue()


def _webp_with_provenance() -> bytes:
    data = _file("WEBP")
    body = data[8:] + b"C2PA" + struct.pack("<I", 4) + b"jumb"
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _avif_with_provenance() -> bytes:
    box = bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + b"\0\0\0\0manifest\0" + bytes(8)
    return _file("AVIF") + struct.pack(">I", 8 + len(box)) + b"uuid" + box


@pytest.mark.parametrize(
    ("suffix", "build"),
    [
        (".jpg", _jpeg_with_provenance),
        (".png", lambda: _png_with(make_chunk(b"caBX", b"jumb"))),
        (".tif", _tiff_with_provenance),
        (".webp", _webp_with_provenance),
        (".avif", _avif_with_provenance),
    ],
)
def test_content_credentials_are_remarked(suffix: str, build: Callable[[], bytes]) -> None:
    """A manifest of C2PA signs the bytes of its file; the remark says that a new file has none."""
    assert verify(build(), f"a{suffix}", LIMIT).notes == (PROVENANCE_NOTE,)


def test_other_boxes_are_no_content_credentials() -> None:
    """JUMBF is also used for other things, and any program may write a box of its own."""
    other = JUMBF.replace(b"c2pa", b"c2pb")
    data = _file("JPEG")
    assert verify(data[:2] + b"\xff\xeb" + (len(other) + 2).to_bytes(2, "big") + other + data[2:], "a.jpg", LIMIT).notes == ()
    assert verify(_file("AVIF") + b"\0\0\0\x20uuid" + bytes(24), "a.avif", LIMIT).notes == ()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("is_bigtiff", [False, True])
def test_artist_and_copyright_of_a_tiff_reach_every_format(order: Any, is_bigtiff: bool) -> None:
    """Also from a BigTIFF, and with letters that are not ASCII."""
    out = io.BytesIO()
    extra = [(315, 2, 0, "Anna Müller".encode(), True), (33432, 2, 0, "© Anna Müller".encode(), True)]
    tifffile.imwrite(
        out, np.zeros((4, 6, 3), np.uint8), photometric="rgb", bigtiff=is_bigtiff, byteorder=order, extratags=extra, metadata=None
    )
    picture = decode(out.getvalue(), "a.tif", LIMIT)
    for kind, suffix in (("jpeg", ".jpg"), ("tiff", ".tif"), ("webp", ".webp")):
        facts = read_with_exiftool(encode(picture, EncodingOptions(kind)), suffix)
        assert (facts["IFD0:Artist"], facts["IFD0:Copyright"]) == ("Anna Müller", "© Anna Müller")


def test_a_tiff_of_a_big_endian_camera_keeps_its_numbers() -> None:
    """The file is little-endian; every number in Exif and GPS is turned."""
    picture = decode(_png_with(make_chunk(b"eXIf", camera_exif(">"))), "a.png", LIMIT)
    facts = read_with_exiftool(encode(picture, EncodingOptions("tiff")), ".tif")
    assert facts["GPS:GPSLatitude"] == "52 deg 30' 0.00\""
    assert facts["ExifIFD:SubjectArea"] == "100 80 20 20"
    assert "ExifTool:Warning" not in facts
