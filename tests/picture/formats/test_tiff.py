"""TIFF files as layout, scanning and retouching programs write them."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from goldsmith.errors import IncompleteFileError, InputError
from goldsmith.picture.codec import decode, decode_with_info, verify

LIMIT = 1_000_000
LAYOUTS: list[dict[str, Any]] = [
    {},
    {"compression": "lzw", "predictor": True},
    {"compression": "deflate", "tile": (16, 32)},
    {"byteorder": ">"},
    {"bigtiff": True},
    {"planarconfig": "separate"},
]


def tiff(picture: NDArray[Any], **options: Any) -> bytes:
    """The picture as tifffile writes it."""
    out = io.BytesIO()
    tifffile.imwrite(out, picture.transpose(2, 0, 1) if "planarconfig" in options else picture, **{"photometric": "rgb", **options})
    return out.getvalue()


def codes(depth: int, channels: int = 3) -> NDArray[Any]:
    """Random codes, (24, 40, channels)."""
    return np.random.default_rng(1).integers(0, 2**depth, (24, 40, channels), dtype=np.uint8 if depth == 8 else np.uint16)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("depth", [8, 16])
def test_every_layout_is_exact(layout: dict[str, Any], depth: int) -> None:
    """Strips and tiles, compressed or not, either byte order, interleaved or planar: the same codes."""
    picture = codes(depth)
    plate = decode(tiff(picture, **layout), "a.tif", LIMIT)
    assert plate.depth == depth
    assert np.array_equal(plate.to_codes(), picture)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_a_truncated_file_is_incomplete_wherever_it_ends(layout: dict[str, Any]) -> None:
    """Directory in front or at the end: what is missing is known to be missing."""
    data = tiff(codes(16), **layout)
    for end in range(16, len(data), 211):
        with pytest.raises(IncompleteFileError, match=r"a\.tif ends too soon"):
            verify(data[:end], "a.tif", LIMIT)


def test_straight_alpha_is_alpha_and_other_channels_are_not() -> None:
    """The kind of the extra channel decides; what is left out is said."""
    picture = codes(16, 4)
    plate = decode(tiff(picture, extrasamples=["unassalpha"]), "a.tif", LIMIT)
    assert plate.alpha is not None
    assert np.array_equal(np.round(plate.alpha * 65535), picture[:, :, 3])
    plate, facts = decode_with_info(tiff(picture, extrasamples=["unspecified"]), "a.tif", LIMIT)
    assert plate.alpha is None
    assert facts.notes == ("1 extra channel that is no alpha went unread",)


def test_premultiplied_alpha_is_divided_out() -> None:
    """Associated alpha: colours come straight."""
    picture = np.zeros((2, 2, 4), np.uint8)
    picture[:] = (100, 50, 0, 128)
    plate = decode(tiff(picture, extrasamples=["assocalpha"]), "a.tif", LIMIT)
    assert np.allclose(plate.pixels[0, 0], [100 / 128, 50 / 128, 0], atol=1e-6)


def test_floats_are_taken_as_they_are() -> None:
    """float32 0..1 becomes a 16-bit picture, and the facts say how it was read."""
    picture = codes(16)
    plate, facts = decode_with_info(tiff((picture / 65535).astype(np.float32)), "a.tif", LIMIT)
    assert np.array_equal(plate.to_codes(), picture)
    assert facts.depth == 32
    assert "floating-point" in facts.notes[0]


def test_white_may_be_zero() -> None:
    """Photometric 0 is turned round, exactly."""
    picture = codes(16, 1)[:, :, 0]
    assert np.array_equal(decode(tiff(picture, photometric="miniswhite"), "a.tif", LIMIT).to_codes()[:, :, 0], 65535 - picture)


@pytest.mark.parametrize("mode", ["CMYK", "P", "1", "RGB"])
def test_other_colour_kinds_are_resolved(mode: str, photo: Any) -> None:
    """CMYK, palette, one bit, JPEG inside: as Pillow shows them."""
    from PIL import Image

    image, out = Image.fromarray(photo).convert(mode), io.BytesIO()
    image.save(out, "TIFF", compression={"1": "group4", "RGB": "jpeg"}.get(mode, "tiff_lzw"))
    plate = decode(out.getvalue(), "a.tif", LIMIT)
    expected = np.asarray(Image.open(out).convert("RGB")).astype(int)
    assert np.abs(plate.to_codes().astype(int) - expected).max() <= 1


def test_what_is_not_supported_is_said(photo: Any) -> None:
    """Lab and signed integers get a problem that says what to save instead."""
    with pytest.raises(InputError, match="not supported") as caught:
        verify(tiff(codes(16).astype(np.int16)), "a.tif", LIMIT)
    assert caught.value.remedy == "Save it as RGB or grey, 8 or 16 bits."


def test_a_size_that_lies_is_refused_before_decoding() -> None:
    """A width of two thousand million in the directory costs no memory."""
    data = bytearray(tiff(codes(8)))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        at = file.pages[0].tags["ImageWidth"].offset
    data[at + 2 : at + 12] = struct.pack("<HII", 4, 1, 2_000_000_000)
    with pytest.raises(InputError, match="2000000000 x 24"):
        verify(bytes(data), "a.tif", LIMIT)


def test_pages_in_a_circle_are_damage() -> None:
    """A directory that names itself as the next one does not hold the lane up."""
    data = bytearray(tiff(codes(8)))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        page = file.pages[0]
        start, count = page.offset, len(page.tags)
    at = start + 2 + 12 * struct.unpack_from("<H", data, start)[0]
    assert count
    data[at : at + 4] = struct.pack("<I", start)
    with pytest.raises(InputError, match="circle"):
        verify(bytes(data), "a.tif", LIMIT)


def test_a_directory_of_many_entries_is_refused() -> None:
    """65,000 entries are no picture."""
    data = b"II*\0\x08\0\0\0" + struct.pack("<H", 65000) + bytes(65000 * 12 + 4) + b"end"
    with pytest.raises(InputError, match="65000 entries"):
        verify(data, "a.tif", LIMIT)
