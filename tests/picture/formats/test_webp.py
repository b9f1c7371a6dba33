"""WebP files: truncation, false sizes, and frames that do not fill the canvas."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest

from goldsmith.errors import IncompleteFileError, InputError
from goldsmith.picture.codec import EncodingOptions, decode, encode, verify

LIMIT = 1_000_000


@pytest.mark.parametrize("lossless", [False, True])
def test_a_file_truncated_anywhere_is_incomplete(lossless: bool, photo: Any, saved: Any) -> None:
    """RIFF gives the length of the file in its header."""
    data = saved(photo, "WEBP", lossless=lossless)
    for end in range(20, len(data) - 1, 61):
        with pytest.raises(IncompleteFileError, match=rf"{end:,} of {len(data):,} bytes are there"):
            verify(data[:end], "a.webp", LIMIT)


@pytest.mark.parametrize("tail", [b"\0", b"appended", b"JUNK\xff\xff\xff\x7f and so on", bytes(5000), b"RIFF\x04\0\0\0WEBP"])
@pytest.mark.parametrize("options", [{}, {"xmp": b"<x/>"}])
def test_data_after_the_picture_is_ignored(options: dict[str, Any], tail: bytes, photo: Any, saved: Any) -> None:
    """Programs may append their own data behind the RIFF."""
    data = saved(photo, "WEBP", lossless=True, **options)
    assert np.array_equal(decode(data + tail, "a.webp", LIMIT).to_codes(), photo)
    assert verify(data + tail, "a.webp", LIMIT) == verify(data, "a.webp", LIMIT)


def test_a_part_that_is_longer_than_the_whole_is_damage(photo: Any, saved: Any) -> None:
    """More bytes would not mend it, so that nobody waits for them."""
    data = saved(photo, "WEBP", lossless=True)
    short = data[:4] + struct.pack("<I", len(data) - 40) + data[8:]
    with pytest.raises(InputError, match="a part of it is longer than the whole") as caught:
        verify(short, "a.webp", LIMIT)
    assert not isinstance(caught.value, IncompleteFileError)


def test_alpha_is_straight_and_exact(photo: Any, saved: Any) -> None:
    """Lossless RGBA from Pillow is read exactly."""
    rgba = np.dstack([photo, photo[:, :, 1]])
    picture = decode(saved(rgba, "WEBP", lossless=True, exact=True), "a.webp", LIMIT)
    assert np.array_equal(picture.to_codes(), photo)
    assert picture.alpha is not None
    assert np.array_equal(np.round(picture.alpha * 255), photo[:, :, 1])


def test_a_false_canvas_size_is_refused_before_decoding(photo: Any, saved: Any) -> None:
    """16 million by 16 million pixels in the extended header allocate no memory."""
    data = bytearray(saved(np.dstack([photo, photo[:, :, 1]]), "WEBP", xmp=b"<x/>"))
    canvas = data.index(b"VP8X") + 12
    data[canvas : canvas + 6] = b"\xff" * 6
    with pytest.raises(InputError, match="16777216 x 16777216"):
        verify(bytes(data), "a.webp", LIMIT)


def test_a_first_frame_smaller_than_the_canvas_is_placed_on_it(photo: Any) -> None:
    """Pixels outside the frame are transparent."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(photo).save(out, "WEBP", save_all=True, append_images=[Image.fromarray(photo[::-1].copy())], lossless=True)
    data = bytearray(out.getvalue())
    canvas = data.index(b"VP8X") + 12
    data[canvas : canvas + 6] = struct.pack("<I", 79)[:3] + struct.pack("<I", 59)[:3]
    picture = decode(bytes(data), "a.webp", LIMIT)
    assert (picture.width, picture.height) == (80, 60)
    assert picture.alpha is not None
    assert picture.alpha[:48, :64].all()
    assert not picture.alpha[48:].any()
    assert np.array_equal(picture.to_codes()[:48, :64], photo)


def test_a_grey_picture_is_written_as_rgb(photo: Any, make_picture: Any) -> None:
    """WebP has no grey."""
    picture = make_picture(photo[:, :, :1])
    result = decode(encode(picture, EncodingOptions("webp", lossless=True)), "a.webp", LIMIT)
    assert np.array_equal(result.to_codes(), np.repeat(picture.to_codes(), 3, axis=2))


def test_a_picture_too_large_for_the_format_is_refused(make_picture: Any) -> None:
    """WebP allows 16,383 pixels; the remedy names another format."""
    with pytest.raises(InputError, match="16383") as caught:
        encode(make_picture(np.zeros((1, 16384, 3), np.uint8)), EncodingOptions("webp"))
    assert "AVIF" in caught.value.remedy
