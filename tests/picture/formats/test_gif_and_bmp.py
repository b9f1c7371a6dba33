"""GIF and BMP, which are read as masks: every kind of file equals what Pillow reads, and damaged and hostile files are refused."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from goldsmith.errors import IncompleteFileError, InputError
from goldsmith.picture.codec import decode_mask_file
from goldsmith.picture.picture import Picture

LIMIT = 1_000_000
Saver = Callable[..., bytes]


def codes(height: int = 37, width: int = 53) -> NDArray[np.uint8]:
    """Return a gradient with a box, (h, w), codes 0..255."""
    result = np.broadcast_to(np.linspace(0, 255, width).astype(np.uint8), (height, width)).copy()
    result[5:20, 9:30] = 255
    return result


def read(data: bytes, name: str = "hero.mask.gif") -> Picture:
    """Return the picture in a mask's file."""
    return decode_mask_file(data, name, LIMIT)


def expected(data: bytes) -> NDArray[np.uint8]:
    """Return the first frame as Pillow reads it, (h, w, 4)."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def rgba(picture: Picture) -> NDArray[np.uint8]:
    """Return a picture as codes (h, w, 4)."""
    colours = np.broadcast_to(picture.to_codes(), (picture.height, picture.width, 3))
    alpha = np.full(colours.shape[:2], 255) if picture.alpha is None else np.round(picture.alpha * 255)
    return np.dstack([colours, alpha]).astype(np.uint8)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("kind", ["GIF", "BMP"])
def test_every_mode_is_read_as_pillow_reads_it(mode: str, kind: str) -> None:
    """Bits, greys, palettes, colours and alpha."""
    image = Image.fromarray(codes()).convert("RGB").convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.fromarray(np.where(codes() == 255, 255, 0).astype(np.uint8)))
    out = io.BytesIO()
    image.save(out, kind)
    data = out.getvalue()
    want = expected(data) if kind == "GIF" else np.dstack([expected(data)[:, :, :3], np.full((37, 53), 255, np.uint8)])
    picture = read(data, f"hero.mask.{kind.lower()}")
    is_visible = want[:, :, 3] > 0
    assert np.array_equal(rgba(picture)[is_visible], want[is_visible])
    assert np.array_equal(rgba(picture)[:, :, 3], want[:, :, 3])


def test_the_first_frame_of_an_interlaced_animation_is_read() -> None:
    """The others are counted, and not decoded."""
    frames = [Image.fromarray(codes()).convert("P"), Image.fromarray(255 - codes()).convert("P")]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], interlace=1)
    assert np.array_equal(rgba(read(out.getvalue())), expected(out.getvalue()))


def test_a_frame_smaller_than_the_canvas_leaves_the_rest_black(saved: Saver) -> None:
    """The canvas is 60 x 40, the frame 53 x 37."""
    data = bytearray(saved(codes(), "GIF"))
    data[6:10] = struct.pack("<HH", 60, 40)
    picture = read(bytes(data))
    assert (picture.width, picture.height) == (60, 40)
    assert np.array_equal(rgba(picture)[:37, :53, 0], codes())
    assert not picture.pixels[37:].any()
    assert not picture.pixels[:, 53:].any()


@pytest.mark.parametrize("kind", ["GIF", "BMP"])
def test_a_truncated_file_is_incomplete(kind: str, saved: Saver) -> None:
    """Wherever it ends, it may still be arriving."""
    data = saved(codes(), kind)
    for end in range(20, len(data) - 1, 97):
        with pytest.raises(IncompleteFileError, match="are there"):
            read(data[:end], f"hero.mask.{kind.lower()}")


def _run_length_bmp(width: int, height: int) -> bytes:
    """Return a BMP of 8 bits with run lengths: the left half is black, the right half white."""
    palette = b"".join(bytes((level, level, level, 0)) for level in range(256))
    rows = bytes((width // 2, 0, width - width // 2, 255, 0, 0)) * height + b"\0\1"
    start = 54 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(rows), 2835, 2835, 256, 0)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + palette + rows


def test_a_run_length_encoded_bmp_is_read() -> None:
    """Old programs write it."""
    data = _run_length_bmp(60, 40)
    assert np.array_equal(rgba(read(data, "hero.mask.bmp")), expected(data))


def test_a_bmp_from_top_to_bottom_is_read(saved: Saver) -> None:
    """Its height is negative."""
    data = bytearray(saved(codes(), "BMP"))
    data[22:26] = struct.pack("<i", -37)
    assert np.array_equal(rgba(read(bytes(data), "hero.mask.bmp"))[:, :, 0], codes()[::-1])


def _set_size(data: bytes, kind: str, width: int, height: int) -> bytes:
    at, form = (6, "<HH") if kind == "GIF" else (18, "<ii")
    size = struct.pack(form, width, height)
    return data[:at] + size + data[at + len(size) :]


@pytest.mark.parametrize(("kind", "size"), [("GIF", (65535, 65535)), ("BMP", (1 << 30, 1 << 30))])
def test_a_false_size_is_refused_before_decoding(kind: str, size: tuple[int, int], saved: Saver) -> None:
    """No memory of that size is allocated."""
    with pytest.raises(InputError, match=rf"has {size[0]} x {size[1]} pixels"):
        read(_set_size(saved(codes(), kind), kind, *size), f"hero.mask.{kind.lower()}")


def test_a_large_frame_and_many_frames_are_refused(saved: Saver) -> None:
    """A frame may be larger than the canvas, and an animation may have thousands."""
    data = saved(codes(), "GIF")
    at = data.index(b"\x2c\0\0\0\0")
    with pytest.raises(InputError, match="has 60000 x 37 pixels"):
        read(data[: at + 5] + struct.pack("<H", 60000) + data[at + 7 :])
    with pytest.raises(InputError, match="2001 frames"):
        read(data[:at] + data[at:-1] * 2001 + data[-1:])
    with pytest.raises(InputError, match="more than 20,000 parts"):
        read(data[:at] + b"\x21\xfe\0" * 20_001 + data[at:])


@pytest.mark.parametrize("kind", ["GIF", "BMP"])
def test_damaged_files_end_in_a_sentence(kind: str, saved: Saver) -> None:
    """Whatever byte is changed, the file is read or refused."""
    data, random = saved(codes(), kind), np.random.default_rng(0)
    for _ in range(300):
        broken: Any = bytearray(data)
        for at in random.integers(6, min(len(data), 1200), 3):
            broken[at] = random.integers(0, 256)
        with contextlib.suppress(InputError):
            picture = read(bytes(broken), f"hero.mask.{kind.lower()}")
            assert 0 <= picture.pixels.min() <= picture.pixels.max() <= 1


def test_a_kind_of_bmp_that_is_not_read_has_a_remedy(saved: Saver) -> None:
    """CMYK and embedded JPEG."""
    data = bytearray(saved(codes(), "BMP"))
    data[30:34] = struct.pack("<I", 4)
    with pytest.raises(InputError) as caught:
        read(bytes(data), "hero.mask.bmp")
    assert str(caught.value) == "hero.mask.bmp is a kind of BMP that is not read (8 bits, compression 4). Save it as PNG."
