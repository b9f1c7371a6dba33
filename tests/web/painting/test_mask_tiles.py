"""A mask as tiles: it becomes a PNG pixel for pixel, however it arrives, and nothing else is taken for one."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from goldsmith.errors import InputError
from goldsmith.picture.picture import freeze
from goldsmith.web.painting.mask_operation import tiles_file
from goldsmith.web.painting.mask_tiles import MaskReader, encode_header, encode_tile, max_bytes_of_pixels, read_size, tile_boxes

Codes = NDArray[np.uint8]


def tiles_of(codes: Codes) -> bytes:
    """Return the tiles of a mask of 8-bit codes (h, w)."""
    return tiles_file(freeze(codes.astype(np.float32) / 255)).data


def png_of(tiles: bytes, width: int, height: int, block: int = 1 << 20) -> bytes:
    """Return the PNG that is made of tiles which arrive in blocks of so many bytes."""
    reader = MaskReader(width, height)
    for start in range(0, len(tiles), block):
        reader.feed(tiles[start : start + block])
    return reader.finish()


def random_codes(width: int, height: int, seed: int = 0) -> Codes:
    """Return codes (h, w), half of them black."""
    random = np.random.default_rng(seed)
    return (random.integers(0, 256, (height, width)) * (random.random((height, width)) < 0.5)).astype(np.uint8)


@example(width=512, height=512, block=4_099, seed=0)
@example(width=1024, height=513, block=1 << 20, seed=0)
@settings(max_examples=20, deadline=None)
@given(width=st.integers(1, 1100), height=st.integers(1, 1100), block=st.sampled_from([1 << 20, 65_536, 4_099]), seed=st.integers(0, 99))
def test_every_pixel_of_the_png_is_that_of_the_mask(width: int, height: int, block: int, seed: int) -> None:
    """Sizes round the side of a tile, and blocks that end in the middle of tiles."""
    codes = random_codes(width, height, seed)
    image = Image.open(BytesIO(png_of(tiles_of(codes), width, height, block)))
    assert (image.mode, image.size) == ("L", (width, height))
    assert np.array_equal(np.asarray(image), codes)


def test_a_header_that_arrives_byte_by_byte_is_read() -> None:
    """The first block may be shorter than the header."""
    codes = random_codes(3, 2)
    assert np.array_equal(np.asarray(Image.open(BytesIO(png_of(tiles_of(codes), 3, 2, block=1)))), codes)


def test_a_flat_tile_takes_two_bytes() -> None:
    """An untouched mask of 24 megapixels is smaller than a kilobyte."""
    tiles = tiles_of(np.zeros((4000, 6000), np.uint8))
    assert len(tiles) == 12 + 2 * 12 * 8
    assert encode_tile(b"\7" * 512) == b"\0\7"


def test_a_mask_has_the_size_that_it_says() -> None:
    """Width comes first."""
    assert read_size(tiles_of(random_codes(700, 30))) == (700, 30)
    assert len(tiles_of(random_codes(1, 700))) <= max_bytes_of_pixels(700)


def test_a_mask_with_one_grey_pixel_is_not_empty() -> None:
    """Emptiness is asked of every pixel."""
    codes = np.zeros((600, 600), np.uint8)
    readers = [MaskReader(600, 600), MaskReader(600, 600)]
    readers[0].feed(tiles_of(codes))
    codes[599, 599] = 1
    readers[1].feed(tiles_of(codes))
    assert [reader.is_empty for reader in readers] == [True, False]


@pytest.mark.parametrize("cut", [1, 2, 700])
def test_a_mask_that_was_cut_off_becomes_no_file(cut: int) -> None:
    """Its last bytes are missing."""
    with pytest.raises(InputError, match="not arrived completely"):
        png_of(tiles_of(random_codes(600, 40))[:-cut], 600, 40)


@pytest.mark.parametrize(
    "tiles",
    [
        tiles_of(random_codes(40, 600)),
        b"GSMX" + tiles_of(random_codes(600, 40))[4:],
        tiles_of(random_codes(600, 40)) + b"\0\0",
        encode_header(600, 40) + b"\2\0",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 40,
    ],
    ids=["another size", "another magic", "bytes after the end", "an unknown kind of tile", "a PNG"],
)
def test_other_bytes_are_no_mask_of_this_picture(tiles: bytes) -> None:
    """Whatever the page did not write is refused."""
    with pytest.raises(InputError, match="no mask of this picture"):
        png_of(tiles, 600, 40)


@pytest.mark.parametrize(
    "tiles",
    [
        b"",
        encode_header(600, 40),
        tiles_of(random_codes(600, 40))[:-1],
        tiles_of(random_codes(600, 40)) + b"\0",
        encode_header(2**32 - 1, 2**32 - 1) + b"\0\0",
        encode_header(0, 0),
    ],
    ids=["nothing", "no tiles", "cut off", "too long", "a size without end", "no pixels"],
)
def test_the_size_of_other_bytes_is_not_believed(tiles: bytes) -> None:
    """A worker process may have been taken over: a size without its tiles takes no time and no memory."""
    with pytest.raises(InputError, match="no mask of this picture"):
        read_size(tiles)


def test_tiles_lie_row_by_row_and_end_with_the_picture() -> None:
    """The last ones are narrower and lower."""
    boxes = [(rows.start, rows.stop, columns.start, columns.stop) for rows, columns in tile_boxes(600, 520)]
    assert boxes == [(0, 512, 0, 512), (0, 512, 512, 600), (512, 520, 0, 512), (512, 520, 512, 600)]
