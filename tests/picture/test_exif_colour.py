"""Exif says Adobe RGB for cameras' files without a profile, and says the truth about what Goldsmith writes."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from goldsmith.picture import colour, profiles
from goldsmith.picture.codec import EncodingOptions, decode, decode_with_info, encode
from goldsmith.picture.exif_colour import is_adobe_rgb
from goldsmith.picture.metadata.staleness import WrittenFile, update_metadata
from goldsmith.picture.picture import Metadata

LIMIT = 10**7
ADOBE_RGB = profiles.builtin_profile("adobe-rgb")


def exif_block(color_space: int | None = None, index: bytes | None = None, order: str = "<") -> bytes:
    """Return an Exif block with orientation, exposure time, colour space and interoperability index, as far as they are given."""
    entries = [struct.pack(order + "HHII", 0x829A, 5, 1, 0)]
    if color_space is not None:
        entries.append(struct.pack(order + "HHIHH", 0xA001, 3, 1, color_space, 0))
    if index is not None:
        entries.append(struct.pack(order + "HHII", 0xA005, 4, 1, 0))
    directory, tail = 26, 26 + 2 + 12 * len(entries) + 4
    entries[0] = struct.pack(order + "HHII", 0x829A, 5, 1, tail)
    body = struct.pack(order + "II", 1, 125)
    if index is not None:
        entries[-1] = struct.pack(order + "HHII", 0xA005, 4, 1, tail + 8)
        body += struct.pack(order + "HHHI", 1, 1, 2, len(index)) + index.ljust(4, b"\0") + bytes(4)
    first = struct.pack(order + "HHHII", 1, 0x8769, 4, 1, directory) + bytes(4)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + first + struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4) + body


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("color_space", "index", "is_adobe"),
    [
        (65535, b"R03\0", True),
        (2, b"R03\0", True),
        (2, None, True),
        (None, b"R03\0", True),
        (1, b"R03\0", False),
        (1, b"R98\0", False),
        (65535, b"R98\0", False),
        (65535, None, False),
        (None, None, False),
    ],
)
def test_adobe_rgb_is_told_by_index_and_colour_space(color_space: int | None, index: bytes | None, is_adobe: bool, order: str) -> None:
    """R03 is the option file of DCF; a colour space of 1 contradicts it, and 2 has no other meaning."""
    assert is_adobe_rgb(exif_block(color_space, index, order)) is is_adobe


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_a_cameras_adobe_rgb_is_read_as_that(kind: str, photo: NDArray[np.uint8]) -> None:
    """Its colours equal those of lcms with the profile, and a remark says so."""
    out = io.BytesIO()
    block = exif_block(65535, b"R03\0")
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}
    Image.fromarray(photo).save(out, kind, exif=b"Exif\0\0" + block, **options)
    picture, facts = decode_with_info(out.getvalue(), "a." + kind.lower(), LIMIT)
    assert picture.icc == ADOBE_RGB
    assert facts.notes == ("it has no profile, and its Exif says that it is Adobe RGB: it is read as that",)
    transform = ImageCms.buildTransform(io.BytesIO(ADOBE_RGB), ImageCms.createProfile("sRGB"), "RGB", "RGB", 1, flags=0x2100)
    expected = ImageCms.applyTransform(Image.fromarray(picture.to_codes()), transform)
    assert expected is not None
    assert np.abs(colour.convert_profile(picture, "srgb").pixels * 255 - np.asarray(expected).astype(int)).max() < 1.01


def test_what_the_file_itself_says_comes_first(photo: NDArray[np.uint8]) -> None:
    """A profile, or PNG's sRGB chunk, is nearer to the pixels than Exif."""
    block = exif_block(65535, b"R03\0")
    out = io.BytesIO()
    Image.fromarray(photo).save(out, "PNG", exif=block, icc_profile=profiles.builtin_profile("display-p3"))
    assert decode(out.getvalue(), "a.png", LIMIT).icc == profiles.builtin_profile("display-p3")
    out = io.BytesIO()
    Image.fromarray(photo).save(out, "PNG", exif=block)
    data = out.getvalue()
    srgb_chunk = b"\0\0\0\1sRGB\0" + struct.pack(">I", 0xAECE1CE9)
    assert decode(data[:33] + srgb_chunk + data[33:], "a.png", LIMIT).icc is None


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("source", [(65535, b"R03\0"), (1, b"R98\0")])
@pytest.mark.parametrize(
    ("space", "color_space", "index"), [("srgb", 1, "R98"), ("adobe-rgb", 65535, "R03"), ("display-p3", 65535, ""), (None, 65535, "")]
)
def test_exif_says_the_colour_space_of_the_file(
    order: str, source: tuple[int, bytes], space: str | None, color_space: int, index: str
) -> None:
    """An index that is untrue is removed, and every other tag stays readable."""
    updated = update_metadata(Metadata(exif_block(*source, order)), WrittenFile(6, 4, 3, space)).exif
    assert updated is not None
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + updated)
    tags = exif.get_ifd(0x8769)
    assert tags[0xA001] == color_space
    assert tags[0x829A] == 1 / 125
    assert exif.get_ifd(0xA005).get(1, "") == (index if index.encode() + b"\0" == source[1] else "")
    assert is_adobe_rgb(updated) is (space == "adobe-rgb" and source[1] == b"R03\0")


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_a_tiff_of_adobe_rgb_is_read_as_that(photo: NDArray[np.uint8], tmp_path: Path) -> None:
    """In a TIFF the directories of Exif are spread over the file."""
    path = tmp_path / "a.tif"
    Image.fromarray(photo).save(path)
    tags = ["-ColorSpace#=65535", "-InteropIndex#=R03", "-ExposureTime=1/125"]
    subprocess.run(["exiftool", "-q", "-overwrite_original", *tags, path], check=True)
    picture = decode(path.read_bytes(), "a.tif", LIMIT)
    assert picture.icc == ADOBE_RGB
    assert is_adobe_rgb(picture.metadata.exif)


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
@pytest.mark.parametrize(("profile", "color_space"), [("srgb", "sRGB"), ("adobe-rgb", "Uncalibrated"), ("display-p3", "Uncalibrated")])
def test_exiftool_finds_the_truth_in_a_written_file(profile: str, color_space: str, photo: NDArray[np.uint8], tmp_path: Path) -> None:
    """A camera's Adobe RGB that was converted says what it is now."""
    out = io.BytesIO()
    Image.fromarray(photo).save(out, "JPEG", exif=b"Exif\0\0" + exif_block(65535, b"R03\0"))
    picture = colour.convert_profile(decode(out.getvalue(), "a.jpg", LIMIT), profile)
    for kind in ("jpeg", "png", "webp"):
        path = tmp_path / f"a.{kind}"
        path.write_bytes(encode(picture, EncodingOptions(kind)))
        printed = subprocess.run(["exiftool", "-j", "-ColorSpace", "-InteropIndex", path], capture_output=True, check=True).stdout
        (tags,) = json.loads(printed)
        assert tags["ColorSpace"] == color_space
        assert ("R03" in tags.get("InteropIndex", "")) is (profile == "adobe-rgb")
        assert decode(path.read_bytes(), path.name, LIMIT).icc == picture.icc
