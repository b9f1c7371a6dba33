"""JPEG files: colour spaces, truncation that libjpeg would hide, and false sizes."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest

from goldsmith.errors import IncompleteFileError, InputError
from goldsmith.picture.codec import EncodingOptions, decode, decode_with_info, encode, verify
from goldsmith.picture.picture import Picture

LIMIT = 1_000_000


@pytest.mark.parametrize("progressive", [False, True])
def test_a_file_truncated_anywhere_is_incomplete(progressive: bool, photo: Any, saved: Any) -> None:
    """libjpeg alone would fill the missing part with grey, without an error."""
    data = saved(photo, "JPEG", progressive=progressive)
    for end in range(20, len(data) - 1, 37):
        with pytest.raises(IncompleteFileError, match=r"a\.jpg"):
            verify(data[:end], "a.jpg", LIMIT)


def test_data_after_the_picture_is_ignored(photo: Any, saved: Any) -> None:
    """Programs may append their own data."""
    data = saved(photo, "JPEG")
    assert np.array_equal(decode(data + b"appended", "a.jpg", LIMIT).pixels, decode(data, "a.jpg", LIMIT).pixels)


def test_a_false_size_is_refused_before_decoding(photo: Any, saved: Any) -> None:
    """65535 x 65535 pixels in the frame header allocate no memory."""
    data = bytearray(saved(photo, "JPEG"))
    header = data.index(b"\xff\xc0")
    data[header + 5 : header + 9] = struct.pack(">HH", 65535, 65535)
    with pytest.raises(InputError, match="65535 x 65535"):
        verify(bytes(data), "a.jpg", LIMIT)


def test_cmyk_becomes_srgb(photo: Any) -> None:
    """Adobe's inverted CMYK without a profile is converted as ink on white."""
    from PIL import Image

    image, out = Image.fromarray(photo).convert("CMYK"), io.BytesIO()
    image.save(out, "JPEG", quality=100, subsampling=0)
    picture, facts = decode_with_info(out.getvalue(), "a.jpg", LIMIT)
    assert facts.channels == 4
    assert picture.channels == 3
    assert picture.icc is None
    assert np.abs(picture.to_codes().astype(int) - photo).mean() < 2


def test_a_multi_picture_file_needs_all_its_pictures(photo: Any) -> None:
    """MPO files have an index of their pictures; a file without the second picture is incomplete."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(photo).save(out, "MPO", save_all=True, append_images=[Image.fromarray(photo[::-1].copy())])
    data = out.getvalue()
    assert verify(data, "a.jpg", LIMIT).frames == 2
    with pytest.raises(IncompleteFileError):
        verify(data[:-100], "a.jpg", LIMIT)


def test_density_in_centimetres_is_converted_to_ppi(photo: Any, saved: Any) -> None:
    """100 dots per cm are 254 ppi."""
    data = bytearray(saved(photo, "JPEG", dpi=(100, 100)))
    data[data.index(b"JFIF\0") + 7] = 2
    assert verify(bytes(data), "a.jpg", LIMIT).ppi == (254.0, 254.0)


def test_chroma_has_full_resolution_at_high_quality(photo: Any, make_picture: Any) -> None:
    """From quality 85 on the default is 4:4:4, below it is 4:2:0; the options override it."""
    from PIL import Image, JpegImagePlugin

    def sampling(**settings: Any) -> int:
        image = Image.open(io.BytesIO(encode(make_picture(photo), EncodingOptions("jpeg", **settings))))
        return JpegImagePlugin.get_sampling(image)

    assert sampling(quality=85) == 0
    assert sampling(quality=84) == 2
    assert sampling(quality=84, subsampling="4:4:4") == 0


def test_a_long_profile_is_written_in_parts(photo: Any, make_picture: Any) -> None:
    """Profiles over 64 KiB come back complete."""
    from goldsmith.picture import profiles

    icc = profiles.builtin_profile("srgb") + bytes(range(256)) * 600
    assert decode(encode(make_picture(photo, icc=icc), EncodingOptions("jpeg")), "a.jpg", LIMIT).icc == icc


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_can_be_written_at_every_quality(channels: int) -> None:
    """Noise is the worst case for a JPEG writer's buffers, because the file can be larger than the pixels."""
    noise = np.random.default_rng(0).random((400, 400, channels), dtype=np.float32)
    sizes = [len(encode(Picture(pixels=noise), EncodingOptions("jpeg", quality=quality))) for quality in (1, 50, 85, 90, 95, 100)]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 100_000
