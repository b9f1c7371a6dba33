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
    for end in range(20, len(data) - 2, 37):
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


def two_pictures(first: Any, second: Any) -> tuple[bytes, int]:
    """Return a file with an index of its two pictures, as phones and stereo cameras write it, and the offset of the second one."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(first).save(out, "MPO", save_all=True, append_images=[Image.fromarray(second)])
    data = out.getvalue()
    return data, data.index(b"\xff\xd8\xff", 4)


_LOST = "its index lists 1 further picture that is not in it or cannot be read; the first picture is whole"


def test_the_pictures_of_an_index_are_all_read(photo: Any) -> None:
    """The first one is taken. A further one may be larger; a damaged one gets a note."""
    data, second = two_pictures(photo[:24, :32].copy(), photo)
    assert verify(data, "a.jpg", LIMIT).notes == ("it has 2 frames; the first is taken",)
    picture, info = decode_with_info(data, "a.jpg", LIMIT)
    assert (picture.width, picture.height, info.frames) == (32, 24, 2)
    scan = data.index(b"\xff\xda", second) + 14
    broken = data[:scan] + b"\xff\x01" * ((len(data) - 2 - scan) // 2) + b"\xff\xd9".rjust(2 + (len(data) - scan) % 2, b"\0")
    assert len(broken) == len(data)
    assert verify(broken, "a.jpg", LIMIT).width == 32


@pytest.mark.parametrize("kind", ["gone", "gone with an end behind it", "shifted", "no picture", "too large"])
def test_a_stale_index_costs_a_note_and_not_the_picture(kind: str, photo: Any) -> None:
    """Programs cut the further pictures off, or change the file before them, and leave the index as it is."""
    data, second = two_pictures(photo, photo[::-1].copy())
    expected = decode(data, "a.jpg", LIMIT).pixels
    start = data.index(b"\xff\xdb")
    stale = {
        "gone": data[:second],
        "gone with an end behind it": data[:second] + b"trailer\xff\xd9",
        "shifted": data[:start] + b"\xff\xfe\0\x06abcd" + data[start:],
        "no picture": data[:second] + bytes(len(data) - second - 1) + b"\1",
        "too large": data[:second] + data[second:].replace(struct.pack(">HH", 48, 64), struct.pack(">HH", 65535, 65535)),
    }[kind]
    for read in (verify, lambda *words: decode_with_info(*words)[1]):
        info = read(stale, "a.jpg", LIMIT)
        assert (info.frames, info.notes, info.may_be_incomplete) == (1, (_LOST,), False)
    assert np.array_equal(decode(stale, "a.jpg", LIMIT).pixels, expected)


def test_a_further_picture_that_breaks_off_may_still_be_arriving(photo: Any) -> None:
    """The first picture is whole, and the reading says that the file may not be."""
    data, second = two_pictures(photo, photo[::-1].copy())
    for end in (second + 1, second + 50, len(data) - 100):
        info = verify(data[:end], "a.jpg", LIMIT)
        assert (info.may_be_incomplete, info.frames, info.notes) == (True, 1, (_LOST,))


def test_an_index_that_repeats_one_picture_costs_no_time(photo: Any, saved: Any) -> None:
    """Two thousand overlapping entries are not all read."""
    first = saved(photo, "JPEG")
    # CIPA DC-007: byte order, then one entry, tag 0xB002, whose rows have flags, size and offset.
    head = b"MM\0*" + struct.pack(">IHHHII", 8, 1, 0xB002, 7, 16 * 2001, 26) + bytes(4)
    segment_size = 4 + 4 + len(head) + 16 * 2001
    offset = len(first) + segment_size - 10
    rows = bytes(16) + b"".join(struct.pack(">IIIHH", 0, len(first) + number, offset, 0, 0) for number in range(2000))
    segment = b"\xff\xe2" + struct.pack(">H", segment_size - 2) + b"MPF\0" + head + rows
    info = verify(first[:2] + segment + first[2:] + first + bytes(3000), "a.jpg", LIMIT)
    assert info.frames > 5
    assert info.frames < 200


_SAVINGS: list[dict[str, Any]] = [
    {},
    {"progressive": True},
    {"subsampling": 2},
    {"restart_marker_blocks": 1},
    {"restart_marker_blocks": 2},
    {"restart_marker_rows": 1, "progressive": True},
]


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", _SAVINGS, ids=str)
def test_without_its_end_a_picture_is_taken_only_if_no_pixel_is_missing(options: dict[str, Any], mode: str, photo: Any) -> None:
    """Whatever is cut off: the pixels are those of the whole file, or the file is incomplete."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(photo).convert(mode).save(out, "JPEG", **options)
    data = out.getvalue()
    expected, cuts = decode(data, "a.jpg", LIMIT).pixels, []
    for cut in (1, 2, *range(3, 90), *range(90, len(data) - 20, 53)):
        try:
            picture, info = decode_with_info(data[:-cut], "a.jpg", LIMIT)
        except IncompleteFileError:
            continue
        cuts.append(cut)
        assert (info.may_be_incomplete, info.notes[0]) == (True, "its end is missing; its picture is whole")
        assert np.array_equal(picture.pixels, expected)
    assert cuts[:2] == [1, 2]
    assert verify(data[:-2], "a.jpg", LIMIT).notes[0] == "its end is missing; its picture is whole"


def test_reserved_space_behind_the_picture_data_is_no_whole_picture(photo: Any, saved: Any) -> None:
    """A program reserves the file's bytes and fills them later."""
    data = saved(photo, "JPEG")
    with pytest.raises(IncompleteFileError):
        verify(data[: len(data) // 2] + bytes(len(data) // 2), "a.jpg", LIMIT)


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
