"""WebP files: truncation, sizes that lie, frames that do not fill the canvas."""

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
def test_a_truncated_file_is_incomplete_wherever_it_ends(lossless: bool, photo: Any, saved: Any) -> None:
    """The file's head says how long it is."""
    data = saved(photo, "WEBP", lossless=lossless)
    for end in range(20, len(data) - 1, 61):
        with pytest.raises(IncompleteFileError, match=rf"{end} of its {len(data)} bytes are there"):
            verify(data[:end], "a.webp", LIMIT)


def test_alpha_is_straight_and_exact(photo: Any, saved: Any) -> None:
    """Lossless RGBA as Pillow writes it."""
    picture = np.dstack([photo, photo[:, :, 1]])
    plate = decode(saved(picture, "WEBP", lossless=True, exact=True), "a.webp", LIMIT)
    assert np.array_equal(plate.to_codes(), photo)
    assert plate.alpha is not None
    assert np.array_equal(np.round(plate.alpha * 255), photo[:, :, 1])


def test_a_canvas_that_lies_is_refused_before_decoding(photo: Any, saved: Any) -> None:
    """16 million by 16 million pixels in the extended header."""
    data = bytearray(saved(np.dstack([photo, photo[:, :, 1]]), "WEBP", xmp=b"<x/>"))
    at = data.index(b"VP8X") + 12
    data[at : at + 6] = b"\xff" * 6
    with pytest.raises(InputError, match="16777216 x 16777216"):
        verify(bytes(data), "a.webp", LIMIT)


def test_a_first_frame_smaller_than_the_canvas_is_laid_on_it(photo: Any) -> None:
    """What it leaves free is transparent."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(photo).save(out, "WEBP", save_all=True, append_images=[Image.fromarray(photo[::-1].copy())], lossless=True)
    data = bytearray(out.getvalue())
    at = data.index(b"VP8X") + 12
    data[at : at + 6] = struct.pack("<I", 79)[:3] + struct.pack("<I", 59)[:3]
    plate = decode(bytes(data), "a.webp", LIMIT)
    assert (plate.width, plate.height) == (80, 60)
    assert plate.alpha is not None
    assert plate.alpha[:48, :64].all()
    assert not plate.alpha[48:].any()
    assert np.array_equal(plate.to_codes()[:48, :64], photo)


def test_a_grey_plate_is_written_as_rgb(photo: Any, make_picture: Any) -> None:
    """WebP knows no grey."""
    plate = make_picture(photo[:, :, :1])
    again = decode(encode(plate, EncodingOptions("webp", lossless=True)), "a.webp", LIMIT)
    assert np.array_equal(again.to_codes(), np.repeat(plate.to_codes(), 3, axis=2))


def test_what_is_too_large_for_the_format_is_a_problem(make_picture: Any) -> None:
    """16,383 pixels are the most; the remedy names another format."""
    with pytest.raises(InputError, match="16383"):
        encode(make_picture(np.zeros((1, 16384, 3), np.uint8)), EncodingOptions("webp"))
