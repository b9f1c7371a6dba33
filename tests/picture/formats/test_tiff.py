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
from goldsmith.picture import profiles
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
    """Return the picture (h, w, n), any codes, as tifffile writes it."""
    out = io.BytesIO()
    tifffile.imwrite(out, picture.transpose(2, 0, 1) if "planarconfig" in options else picture, **{"photometric": "rgb", **options})
    return out.getvalue()


def codes(depth: int, channels: int = 3) -> NDArray[Any]:
    """Return random codes, (24, 40, channels), uint8 or uint16."""
    return np.random.default_rng(1).integers(0, 2**depth, (24, 40, channels), dtype=np.uint8 if depth == 8 else np.uint16)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("depth", [8, 16])
def test_every_layout_is_decoded_exactly(layout: dict[str, Any], depth: int) -> None:
    """Strips and tiles, compressed or not, in either byte order, interleaved or planar, give the same codes."""
    expected = codes(depth)
    picture = decode(tiff(expected, **layout), "a.tif", LIMIT)
    assert picture.depth == depth
    assert np.array_equal(picture.to_codes(), expected)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_a_file_truncated_anywhere_is_incomplete(layout: dict[str, Any]) -> None:
    """Missing parts are noticed whether the directory is at the beginning or at the end."""
    data = tiff(codes(16), **layout)
    for end in range(16, len(data), 211):
        with pytest.raises(IncompleteFileError, match=r"a\.tif ends too soon"):
            verify(data[:end], "a.tif", LIMIT)


def test_only_an_alpha_channel_becomes_alpha() -> None:
    """ExtraSamples gives the kind of a channel; ignored channels are in the notes."""
    source = codes(16, 4)
    picture = decode(tiff(source, extrasamples=["unassalpha"]), "a.tif", LIMIT)
    assert picture.alpha is not None
    assert np.array_equal(np.round(picture.alpha * 65535), source[:, :, 3])
    picture, facts = decode_with_info(tiff(source, extrasamples=["unspecified"]), "a.tif", LIMIT)
    assert picture.alpha is None
    assert facts.notes == ("1 extra channel that is no alpha went unread",)


def test_premultiplied_alpha_is_divided_out() -> None:
    """Associated alpha becomes straight alpha."""
    source = np.zeros((2, 2, 4), np.uint8)
    source[:] = (100, 50, 0, 128)
    picture = decode(tiff(source, extrasamples=["assocalpha"]), "a.tif", LIMIT)
    assert np.allclose(picture.pixels[0, 0], [100 / 128, 50 / 128, 0], atol=1e-6)


def test_floats_become_a_16_bit_picture() -> None:
    """Floats of 0..1 keep their values, and a note gives the conversion."""
    expected = codes(16)
    picture, facts = decode_with_info(tiff((expected / 65535).astype(np.float32)), "a.tif", LIMIT)
    assert np.array_equal(picture.to_codes(), expected)
    assert facts.depth == 32
    assert "floating-point" in facts.notes[0]


def test_white_is_zero_is_inverted() -> None:
    """Photometric 0 is inverted exactly."""
    picture = codes(16, 1)[:, :, 0]
    assert np.array_equal(decode(tiff(picture, photometric="miniswhite"), "a.tif", LIMIT).to_codes()[:, :, 0], 65535 - picture)


@pytest.mark.parametrize("mode", ["CMYK", "P", "1", "RGB"])
def test_other_kinds_of_colour_are_converted(mode: str, photo: Any) -> None:
    """CMYK, palettes, one bit and JPEG compression look as in Pillow."""
    from PIL import Image

    image, out = Image.fromarray(photo).convert(mode), io.BytesIO()
    image.save(out, "TIFF", compression={"1": "group4", "RGB": "jpeg"}.get(mode, "tiff_lzw"))
    picture = decode(out.getvalue(), "a.tif", LIMIT)
    expected = np.asarray(Image.open(out).convert("RGB")).astype(int)
    assert np.abs(picture.to_codes().astype(int) - expected).max() <= 1


def pages(*rows: tuple[NDArray[Any], dict[str, Any]]) -> bytes:
    """Return a file with a page for each picture, (h, w, n), and its options."""
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        for picture, options in rows:
            writer.write(picture, **{"photometric": "rgb", "metadata": None, **options})
    return out.getvalue()


_PREVIEW: dict[str, Any] = {"subfiletype": 1}


def test_the_picture_is_the_first_page_that_is_no_preview(photo: Any) -> None:
    """Scanners and archives put a reduced copy first; size, profile and resolution are those of the picture, text that of the file."""
    profile = profiles.builtin_profile("adobe-rgb")
    data = pages(
        (photo[::4, ::4].copy(), {**_PREVIEW, "description": "a lamp", "extratags": [(700, 1, 4, b"<x/>", True)]}),
        (photo, {"iccprofile": profile, "resolution": (240, 240), "resolutionunit": "inch"}),
        (photo[::-1].copy(), {}),
    )
    picture, info = decode_with_info(data, "a.tif", LIMIT)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        assert np.array_equal(picture.to_codes(), file.pages[1].asarray())
    assert (info.width, info.height, info.frames, info.ppi) == (64, 48, 2, (240.0, 240.0))
    assert picture.icc == profile
    assert (picture.metadata.exif is not None, picture.metadata.xmp) == (True, b"<x/>")
    assert verify(data, "a.tif", LIMIT) == info


@pytest.mark.parametrize("kind", [4, 5])
@pytest.mark.parametrize("is_first", [True, False])
def test_masks_of_transparency_are_no_pictures(kind: int, is_first: bool, photo: Any) -> None:
    """Bit 2 of NewSubfileType says so. Their kind of colour (photometric 4) is not read and need not be."""
    rows = [(photo[:, :, 0] > 99, {"subfiletype": kind, "photometric": 4}), (photo, {"subfiletype": 2})]
    data = pages(*(rows if is_first else rows[::-1]))
    picture, info = decode_with_info(data, "a.tif", LIMIT)
    assert np.array_equal(picture.to_codes(), photo)
    assert (info.frames, info.notes) == (1, ())
    assert verify(data, "a.tif", LIMIT) == info


def test_a_file_of_previews_alone_is_read_with_a_note(photo: Any) -> None:
    """The first one is all that there is."""
    picture, info = decode_with_info(pages((photo, _PREVIEW)), "a.tif", LIMIT)
    assert np.array_equal(picture.to_codes(), photo)
    assert info.notes == ("every page of it says that it is a preview of another; the first is taken",)


def test_unsupported_kinds_are_refused_with_a_remedy(photo: Any) -> None:
    """Signed integers give a message with formats to use instead."""
    with pytest.raises(InputError, match="which Goldsmith does not read") as caught:
        verify(tiff(codes(16).astype(np.int16)), "a.tif", LIMIT)
    assert caught.value.remedy == "Save it as RGB or grey, 8 or 16 bits a channel, uncompressed or with LZW or ZIP."


def test_a_false_size_is_refused_before_decoding() -> None:
    """Directories with a width of two thousand million pixels allocate no memory."""
    data = bytearray(tiff(codes(8)))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        entry = file.pages[0].tags["ImageWidth"].offset
    data[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, 2_000_000_000)
    with pytest.raises(InputError, match="2000000000 x 24"):
        verify(bytes(data), "a.tif", LIMIT)


def test_a_cycle_of_pages_is_damage() -> None:
    """Directories that name themselves as the next one do not block the worker."""
    data = bytearray(tiff(codes(8)))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        page = file.pages[0]
        start, count = page.offset, len(page.tags)
    next_offset = start + 2 + 12 * struct.unpack_from("<H", data, start)[0]
    assert count
    data[next_offset : next_offset + 4] = struct.pack("<I", start)
    with pytest.raises(InputError, match="circle"):
        verify(bytes(data), "a.tif", LIMIT)


def test_a_directory_with_too_many_entries_is_refused() -> None:
    """Real pictures do not have 65,000 entries."""
    data = b"II*\0\x08\0\0\0" + struct.pack("<H", 65000) + bytes(65000 * 12 + 4) + b"end"
    with pytest.raises(InputError, match="65,000 properties"):
        verify(data, "a.tif", LIMIT)
