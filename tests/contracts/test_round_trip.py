"""What is written is read again, in every format, depth, kind of colour, profile and block of metadata.

The formats come from the table. A new row is tested by itself.
"""

from __future__ import annotations

import io
from itertools import product
from typing import Any

import numpy as np
import pytest

from doubles.format_samples import IPTC, READ, TEXT, WRITTEN, XMP, format_samples, metadata_of, reading_of, sample_picture
from goldsmith.picture import profiles
from goldsmith.picture.codec import EncodingOptions, decode_with_info, encode, verify
from goldsmith.picture.formats.table import FORMATS, FileFormat, detect_by_content
from goldsmith.picture.picture import Metadata, Picture, quantise

LIMIT = 10_000
# Codes of 8 bits by which a lossy format without a lossless mode may differ at its highest quality, on a smooth picture.
_LOSSY_TOLERANCE = 4
# Formats with a quality that can also write without loss.
_LOSSLESS_MODES = ("webp", "avif")
_GREY_GAMMA = 1.8

_VARIANTS = [
    pytest.param(row.name, depth, channels, alpha, id=f"{row.name}-{depth}-{'grey' if channels == 1 else 'rgb'}{'-alpha' if alpha else ''}")
    for row in FORMATS.values()
    if row.writer
    for depth, channels, alpha in product(row.depths, (3, 1) if row.holds_grey else (3,), (False, True) if row.holds_alpha else (False,))
]


def written_options(row: FileFormat, depth: int) -> EncodingOptions:
    return EncodingOptions(row.name, depth=depth, quality=100, lossless=row.name in _LOSSLESS_MODES)


def profiles_for(channels: int) -> list[bytes | None]:
    """Return no profile, sRGB and a wide one; for grey, a gamma that is not sRGB's."""
    if channels == 1:
        return [None, profiles.profile_from_png_gamma(1 / _GREY_GAMMA, None, is_grey=True)]
    return [None, profiles.builtin_profile("srgb"), profiles.builtin_profile("display-p3")]


def blocks_for(row: FileFormat) -> list[tuple[str, ...]]:
    """Return no block, each block that the format keeps, and all of them."""
    blocks = sorted(row.metadata & {"exif", "xmp", "iptc", "text"})
    return [(), *((block,) for block in blocks), tuple(blocks)]


def assert_same_pixels(decoded_picture: Picture, source: Picture, depth: int, *, is_lossless: bool) -> None:
    written, expected = quantise(decoded_picture.pixels, depth).astype(int), quantise(source.pixels, depth).astype(int)
    tolerance = 0 if is_lossless else _LOSSY_TOLERANCE
    assert written.shape == expected.shape
    assert np.abs(written - expected).max() <= tolerance
    assert (decoded_picture.alpha is None) == (source.alpha is None)
    if decoded_picture.alpha is not None and source.alpha is not None:
        assert np.array_equal(quantise(decoded_picture.alpha, depth), quantise(source.alpha, depth))


def assert_same_metadata(actual: Metadata, blocks: tuple[str, ...]) -> None:
    """Every block comes back with its content, and none appears that nobody has written."""
    from PIL import Image

    exif = Image.Exif()
    exif.load(actual.exif or b"")
    assert exif.get(315) == ("Atelier Gold" if "exif" in blocks else None)
    assert (actual.xmp is not None and b"Atelier Gold" in actual.xmp) == ("xmp" in blocks)
    assert (actual.iptc is not None and IPTC in actual.iptc) == ("iptc" in blocks)
    assert (TEXT[0] in actual.text_chunks) == ("text" in blocks)


def assert_same_profile_elsewhere(data: bytes, icc: bytes | None) -> None:
    """Pillow finds the same profile in the file, if it opens it."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            assert image.info.get("icc_profile") == icc
    except UnidentifiedImageError:
        pass  # TIFF of 16 bits and three channels, and formats that it does not know


@pytest.mark.parametrize(("name", "depth", "channels", "alpha"), _VARIANTS)
def test_every_written_picture_comes_back(name: str, depth: int, channels: int, alpha: bool) -> None:
    """Pixels, alpha, profile, resolution and metadata, with each profile and each block alone and together."""
    row = FORMATS[name]
    is_lossless = not row.is_lossy or name in _LOSSLESS_MODES
    for number, (icc, blocks) in enumerate(product(profiles_for(channels), blocks_for(row))):
        ppi = (300.0, 300.0) if number % 2 else None
        source = sample_picture(depth, channels, alpha=alpha, icc=icc, ppi=ppi, metadata=metadata_of(*blocks))
        data = encode(source, written_options(row, depth))
        decoded_picture, info = decode_with_info(data, f"hero{row.suffix}", LIMIT)
        assert_same_pixels(decoded_picture, source, depth, is_lossless=is_lossless)
        assert decoded_picture.icc == icc
        assert (decoded_picture.ppi is None) == (ppi is None)
        assert decoded_picture.ppi is None or decoded_picture.ppi == pytest.approx(ppi, rel=1e-3)
        assert_same_metadata(decoded_picture.metadata, blocks)
        assert (info.format, info.width, info.height, info.channels, info.alpha) == (name, 24, 16, channels, alpha)
        assert (info.depth, info.frames, info.notes, info.may_be_incomplete) == (depth, 1, (), False)
        if not blocks:
            assert_same_profile_elsewhere(data, icc)


@pytest.mark.parametrize(("name", "depth", "channels", "alpha"), _VARIANTS)
def test_a_second_round_changes_nothing(name: str, depth: int, channels: int, alpha: bool) -> None:
    """The same picture gives the same bytes, and a picture that was read is written with the same pixels and metadata."""
    row = FORMATS[name]
    blocks = blocks_for(row)[-1]
    source = sample_picture(depth, channels, alpha=alpha, icc=profiles_for(channels)[-1], ppi=(240, 240), metadata=metadata_of(*blocks))
    data = encode(source, written_options(row, depth))
    assert encode(source, written_options(row, depth)) == data
    first, _ = decode_with_info(data, "hero", LIMIT)
    second, _ = decode_with_info(encode(first, written_options(row, depth)), "hero", LIMIT)
    assert_same_pixels(second, first, depth, is_lossless=not row.is_lossy or name in _LOSSLESS_MODES)
    assert (second.icc, second.ppi) == (first.icc, first.ppi)
    assert_same_metadata(second.metadata, blocks)


@pytest.mark.parametrize("name", READ)
def test_every_format_that_is_read_has_samples_that_are_whole_with_bytes_behind_their_end(name: str) -> None:
    """Programs append their own data. A file of a format that is only read needs a maker in ``doubles.format_samples``."""
    reading = reading_of(name)
    for data in format_samples(name):
        row = detect_by_content(data, is_mask=reading.is_mask)
        assert row is not None
        assert row.name == name
        expected, info = decode_with_info(data, "hero", LIMIT, reading=reading)
        for tail in (b"appended by a program", bytes(200), b"\x80" * 5):
            picture, tail_info = decode_with_info(data + tail, "hero", LIMIT, reading=reading)
            assert np.array_equal(picture.pixels, expected.pixels)
            assert tail_info == info == verify(data + tail, "hero", LIMIT, reading)


def test_the_material_covers_every_format() -> None:
    """No format of the table is left out."""
    assert {row.name for row in FORMATS.values() if row.reader or row.writer} == {*READ, *WRITTEN}
    assert {name for name, *_ in (parameters.values for parameters in _VARIANTS)} == set(WRITTEN)
    assert metadata_of("xmp").xmp == XMP
    variants: list[Any] = _VARIANTS
    assert len(variants) > 20
