"""Decoding and encoding keep pixels, profile, resolution and metadata, and refuse what a format cannot hold."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from doubles.metadata_blocks import unpack_flat_picture
from goldsmith.errors import InputError
from goldsmith.picture import profiles
from goldsmith.picture.codec import (
    EncodingOptions,
    decode,
    decode_mask,
    decode_with_info,
    encode,
    encode_to_size_limit,
    flatten,
    verify,
)
from goldsmith.picture.formats.table import FORMATS
from goldsmith.picture.metadata.xmp_packet import DC, XmpName, read_xmp
from goldsmith.picture.picture import Metadata, Picture, freeze, quantise

LIMIT = 10_000_000
WRITTEN = [row.name for row in FORMATS.values() if row.writer]
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
IPTC = b"\x1c\x02\x05\x00\x03abc"


def exif_block(orientation: int = 1) -> bytes:
    """Return the Exif of a camera: maker, orientation, resolution, and a date in its Exif directory."""
    from PIL import Image

    exif = Image.Exif()
    exif[271], exif[274], exif[282], exif[283], exif[296] = "Maker", orientation, 72.0, 72.0, 2
    exif.get_ifd(0x8769)[36867] = "2024:05:06 07:08:09"
    return exif.tobytes().removeprefix(b"Exif\0\0")


codes = st.sampled_from([np.uint8, np.uint16]).flatmap(
    lambda kind: hnp.arrays(kind, st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2, 3, 4])))
)


@settings(max_examples=60, deadline=None)
@given(codes, st.sampled_from(["png", "tiff"]))
def test_integer_codes_survive_a_round_trip(samples: NDArray[Any], kind: str) -> None:
    """Colour and alpha codes of 8 and 16 bits, (h, w, 1-4), come back unchanged."""
    colours = samples.shape[2] - (samples.shape[2] in (2, 4))
    levels = np.float32(np.iinfo(samples.dtype).max)
    pixels = samples.astype(np.float32) / levels
    alpha = freeze(pixels[:, :, -1]) if colours < samples.shape[2] else None
    picture = Picture(freeze(pixels[:, :, :colours]), alpha, 8 if samples.dtype == np.uint8 else 16)
    data = encode(picture, EncodingOptions(kind))
    result = decode(data, f"a{FORMATS[kind].suffix}", LIMIT)
    assert result.depth == picture.depth
    assert np.array_equal(result.pixels, picture.pixels)
    assert np.array_equal(result.to_codes(), samples[:, :, :colours])
    if alpha is None:
        assert result.alpha is None
    else:
        assert result.alpha is not None
        assert np.array_equal(result.alpha, alpha)
    assert encode(result, EncodingOptions(kind)) == data


def test_every_16_bit_code_has_its_exact_float() -> None:
    """Untouched codes v are float32(v / 65535) and are rounded back to v."""
    all_codes = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    picture = Picture(freeze((all_codes / 65535).astype(np.float32)), depth=16)
    result = decode(encode(picture, EncodingOptions("png")), "a.png", LIMIT)
    assert np.array_equal(result.pixels[:, :, 0], (all_codes[:, :, 0].astype(np.float64) / 65535).astype(np.float32))
    assert np.array_equal(result.to_codes(), all_codes)


@pytest.mark.parametrize("kind", WRITTEN)
@pytest.mark.parametrize("icc", [None, "display-p3", "adobe-rgb"])
def test_profile_resolution_and_metadata_are_kept(kind: str, icc: str | None, photo: Any, make_picture: Any) -> None:
    """Profile, ppi, Exif and XMP come back from each format, and IPTC from those that hold it; the others have its title in XMP."""
    profile = None if icc is None else profiles.builtin_profile(icc)
    picture = make_picture(photo, icc=profile, ppi=(300, 240), metadata=Metadata(exif_block(), XMP, IPTC))
    result, facts = decode_with_info(encode(picture, EncodingOptions(kind)), f"a{FORMATS[kind].suffix}", LIMIT)
    assert result.icc == profile
    assert result.ppi is not None
    assert tuple(round(value) for value in result.ppi) == (300, 240)
    holds_iptc = "iptc" in FORMATS[kind].metadata
    if holds_iptc:
        assert result.metadata.xmp == XMP
    else:
        assert result.metadata.xmp is not None
        assert read_xmp(result.metadata.xmp).text(XmpName(DC, "title")) == "abc"
    assert result.metadata.exif is not None
    assert b"Maker" in result.metadata.exif
    assert b"2024:05:06" in result.metadata.exif
    assert result.metadata.iptc == (IPTC if holds_iptc else None)
    assert (facts.icc is None) == (icc is None)
    assert not facts.notes


@pytest.mark.parametrize("kind", WRITTEN)
@pytest.mark.parametrize("depth", [8, 16])
def test_pillow_reads_the_written_files(kind: str, depth: int, photo: Any, make_picture: Any) -> None:
    """Pillow opens every file, of an OpenRaster archive the flat picture in it, and sees nearly the same picture."""
    from PIL import Image

    picture = make_picture(photo if depth == 8 else photo.astype(np.uint16) * 257)
    data = encode(picture, EncodingOptions(kind, depth=8 if kind in ("tiff", "psd") else None, quality=95))
    image = Image.open(io.BytesIO(unpack_flat_picture(data, FORMATS[kind].suffix)[0]))
    difference = np.abs(np.asarray(image.convert("RGB")).astype(int) - photo)
    assert difference.mean() < 3


@pytest.mark.parametrize("kind", ["webp", "avif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_webp_and_avif_keep_every_code(kind: str, channels: int, photo: Any, make_picture: Any) -> None:
    """8-bit codes come back exactly, also under transparent pixels."""
    alpha = photo[:, :, 1].copy()
    alpha[:10] = 0
    picture = make_picture(photo[:, :, :channels], alpha)
    result = decode(encode(picture, EncodingOptions(kind, lossless=True)), f"a{FORMATS[kind].suffix}", LIMIT)
    assert np.array_equal(result.to_codes(), np.broadcast_to(picture.to_codes(), result.pixels.shape))
    assert result.alpha is not None
    assert np.array_equal(quantise(result.alpha, 8), alpha)


@pytest.mark.parametrize("kind", ["jpeg", "tiff", "png", "avif"])
def test_grey_stays_grey(kind: str, photo: Any, make_picture: Any) -> None:
    """Grey pictures have one channel before and after."""
    assert decode(encode(make_picture(photo[:, :, :1]), EncodingOptions(kind)), f"a{FORMATS[kind].suffix}", LIMIT).channels == 1


@pytest.mark.parametrize("kind", WRITTEN)
def test_the_same_picture_gives_the_same_bytes(kind: str, photo: Any, make_picture: Any) -> None:
    """Encoding is deterministic."""
    picture = make_picture(photo, icc=profiles.builtin_profile("prophoto"))
    assert encode(picture, EncodingOptions(kind)) == encode(picture, EncodingOptions(kind))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG", "WEBP", "AVIF"])
def test_orientation_is_applied_once(orientation: int, kind: str, photo: Any, saved: Any) -> None:
    """Pixels, size and ppi are turned upright, and the tag is 1 afterwards."""
    from PIL import Image, ImageOps

    options: Any = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}, "AVIF": {"quality": 100}}.get(kind, {})
    exif = Image.Exif()
    exif[274] = orientation
    data = saved(photo, kind, exif=exif, **options)
    suffix = {"JPEG": ".jpg", "TIFF": ".tif"}.get(kind, "." + kind.lower())
    picture, facts = decode_with_info(data, "a" + suffix, LIMIT)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    assert (facts.width, facts.height) == (picture.width, picture.height) == (upright.shape[1], upright.shape[0])
    assert np.abs(picture.to_codes().astype(int) - upright).mean() < 2
    result = decode(encode(picture, EncodingOptions("png")), "b.png", LIMIT)
    assert np.array_equal(result.to_codes(), picture.to_codes())


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "TIFF"])
def test_animations_are_checked_and_counted(kind: str, photo: Any, saved: Any) -> None:
    """Verification decodes every frame; the first frame is the picture."""
    from PIL import Image

    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "AVIF" else {}
    more = [Image.fromarray(photo[::-1].copy()), Image.fromarray(photo[:, ::-1].copy())]
    data = saved(photo, kind, save_all=True, append_images=more, **options)
    name = "a.tif" if kind == "TIFF" else f"a.{kind.lower()}"
    facts = verify(data, name, LIMIT)
    assert facts.frames == 3
    assert facts.notes == ("it has 3 frames; the first is taken",)
    assert np.abs(decode(data, name, LIMIT).to_codes().astype(int) - photo).mean() < 3


def test_heic_is_read_if_the_library_is_installed(photo: Any) -> None:
    """HEIC is decoded into a picture."""
    pillow_heif = pytest.importorskip("pillow_heif")
    from PIL import Image

    out = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(photo)).save(out, quality=95)
    picture, facts = decode_with_info(out.getvalue(), "a.heic", LIMIT)
    assert facts.format == "heic"
    assert np.abs(picture.to_codes().astype(int) - photo).mean() < 4


def test_heic_is_refused_if_the_library_is_missing(photo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the extra to install."""
    pillow_heif = pytest.importorskip("pillow_heif")
    import sys

    from PIL import Image

    out = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(photo)).save(out)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(InputError, match=r"goldsmith\[heic\]"):
        verify(out.getvalue(), "a.heic", LIMIT)


@pytest.mark.parametrize("kind", ["jpeg", "webp", "avif"])
def test_the_highest_quality_that_fits_is_used(kind: str, photo: Any, make_picture: Any) -> None:
    """A file of that quality fits, a file of the next higher quality does not, and progress is reported."""
    picture = make_picture(np.tile(photo, (3, 3, 1)))
    largest, smallest = len(encode(picture, EncodingOptions(kind))), len(encode(picture, EncodingOptions(kind, quality=1)))
    limit, reports = (largest + smallest) // 2, list[float]()
    result, quality = encode_to_size_limit(picture, EncodingOptions(kind), limit, reports.append)
    assert result == encode(picture, EncodingOptions(kind, quality=quality))
    assert len(result) <= limit < len(encode(picture, EncodingOptions(kind, quality=quality + 1)))
    assert reports == sorted(reports)
    assert reports[0] == 0
    assert reports[-1] < 1


def test_if_no_quality_fits_the_smallest_file_is_returned(photo: Any, make_picture: Any) -> None:
    """Lossy formats use quality 1; lossless formats have one size and are written once."""
    picture, reports = make_picture(photo), list[float]()
    assert encode_to_size_limit(picture, EncodingOptions("jpeg"), 100, reports.append) == (
        encode(picture, EncodingOptions("jpeg", quality=1)),
        1,
    )
    assert encode_to_size_limit(picture, EncodingOptions("jpeg", quality=1), 100, reports.append) == (
        encode(picture, EncodingOptions("jpeg", quality=1)),
        1,
    )
    reports.clear()
    assert encode_to_size_limit(picture, EncodingOptions("png"), 100, reports.append)[0] == encode(picture, EncodingOptions("png"))
    assert encode_to_size_limit(picture, EncodingOptions("webp", lossless=True), 100, reports.append)[0] == encode(
        picture, EncodingOptions("webp", lossless=True)
    )
    assert reports == []


def test_encoding_alpha_in_a_format_without_alpha_is_refused(photo: Any, make_picture: Any) -> None:
    """JPEG refuses alpha and accepts a flattened picture."""
    picture = make_picture(photo, photo[:, :, 0])
    with pytest.raises(ValueError, match="no alpha"):
        encode(picture, EncodingOptions("jpeg"))
    flat = flatten(picture, (1.0, 1.0, 1.0))
    assert flat.alpha is None
    expected = picture.pixels * picture.alpha[..., None] + (1 - picture.alpha[..., None])
    assert np.allclose(flat.pixels, expected, atol=1e-6)
    assert not FORMATS["jpeg"].holds_alpha
    assert encode(flat, EncodingOptions("jpeg")).startswith(b"\xff\xd8")


def test_flattening_an_opaque_picture_changes_nothing(photo: Any, make_picture: Any) -> None:
    """Opaque pictures are returned unchanged."""
    picture = make_picture(photo)
    assert flatten(picture) is picture


def test_an_opaque_mask_is_read_from_its_brightness(saved: Any) -> None:
    """Grey and RGB masks of 8 and 16 bits give the same values."""
    shades = np.arange(256, dtype=np.uint8).reshape(16, 16)
    expected = shades.astype(np.float32) / 255
    assert np.array_equal(decode_mask(saved(shades, "PNG"), "m.png", LIMIT), expected)
    rgb = np.repeat(shades[..., None], 3, axis=2)
    assert np.allclose(decode_mask(saved(rgb, "PNG"), "m.png", LIMIT), expected, atol=1e-6)
    assert np.allclose(decode_mask(saved(shades.astype(np.uint16) * 257, "PNG"), "m.png", LIMIT), expected, atol=1e-6)


@pytest.mark.parametrize("shade", [0, 255])
def test_a_mask_of_one_colour_is_read_from_its_alpha(shade: int, saved: Any) -> None:
    """Masks of constant colour and varying alpha use the alpha."""
    picture = np.full((8, 8, 4), shade, np.uint8)
    picture[:, :, 3] = 0
    picture[2:5, 2:5, 3] = 200
    mask = decode_mask(saved(picture, "PNG"), "m.png", LIMIT)
    assert mask[3, 3] == pytest.approx(200 / 255)
    assert mask[0, 0] == 0


def test_transparent_white_is_not_part_of_a_mask(saved: Any) -> None:
    """Transparent pixels of a painted mask are 0."""
    picture = np.zeros((8, 8, 4), np.uint8)
    picture[:, :, :3] = 255
    picture[:4, :, :3] = 0
    picture[:, 4:, 3] = 0
    picture[:, :4, 3] = 255
    mask = decode_mask(saved(picture, "PNG"), "m.png", LIMIT)
    assert mask[6, 1] == 1
    assert mask[1, 1] == 0
    assert mask[6, 6] == 0
