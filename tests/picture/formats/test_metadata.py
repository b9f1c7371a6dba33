"""Exif is edited in place, so that nothing else in it moves."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.picture.formats import metadata


def exif_block(order: str, **tags: Any) -> bytes:
    """Return an Exif block as Pillow writes it; tags are given as t274=6."""
    from PIL import Image

    exif = Image.Exif()
    exif.endian = order
    exif[271] = "A maker with a long name"
    for name, value in tags.items():
        exif[int(name[1:])] = value
    return exif.tobytes().removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_is_read_and_reset_in_place(order: str) -> None:
    """Resetting works in both byte orders and changes no other byte."""
    exif = exif_block(order, t274=6)
    result = metadata.reset_orientation(exif)
    assert metadata.read_orientation(exif) == 6
    assert metadata.read_orientation(result) == 1
    assert result is not None
    assert len(result) == len(exif)
    assert sum(new != old for new, old in zip(result, exif, strict=True)) == 1


def test_exif_without_orientation_is_not_changed() -> None:
    """Exif without the tag comes back as the same object; None stays None."""
    exif = exif_block("<")
    assert metadata.reset_orientation(exif) is exif
    assert metadata.reset_orientation(None) is None


@pytest.mark.parametrize("exif", [exif_block("<"), exif_block(">"), exif_block("<", t282=72.0, t283=72.0, t296=2), None])
def test_resolution_is_written_into_exif_if_the_format_has_no_other_place(exif: bytes | None) -> None:
    """Existing tags are overwritten, missing ones added; Pillow still reads the other tags."""
    from PIL import Image

    result = metadata.with_resolution(exif, (300.0, 150.5), creates_exif=True)
    assert metadata.read_resolution(result) == (300.0, 150.5)
    reopened = Image.Exif()
    reopened.load(result)
    assert reopened.get(271) == (None if exif is None else "A maker with a long name")
    assert reopened[282] == 300


def test_resolution_is_not_added_if_the_format_has_its_own_place() -> None:
    """Exif without a resolution is not changed."""
    exif = exif_block("<")
    assert metadata.with_resolution(exif, (300, 300), creates_exif=False) is exif
    assert metadata.with_resolution(None, (300, 300), creates_exif=False) is None
    assert metadata.with_resolution(exif, None, creates_exif=True) is exif


def test_resolution_per_centimetre_is_converted() -> None:
    """Resolution unit 3 is converted to pixels per inch."""
    assert metadata.read_resolution(exif_block("<", t282=100.0, t283=100.0, t296=3)) == (254.0, 254.0)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.sampled_from([b"II*\0", b"MM\0*", b""]))
def test_the_exif_reader_accepts_any_bytes(rest: bytes, magic: bytes) -> None:
    """Exif from unknown programs may contain anything."""
    exif = metadata.strip_exif_prefix(magic + rest)
    assert 1 <= metadata.read_orientation(exif) <= 8
    metadata.read_resolution(exif)
    metadata.with_resolution(exif, (300, 300), creates_exif=True)
    metadata.reset_orientation(exif)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_as_pillow_applies_it(orientation: int) -> None:
    """All eight orientations are compared with Pillow, on an asymmetric picture."""
    from PIL import Image, ImageOps

    picture, out = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3), io.BytesIO()
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(picture).save(out, "PNG", exif=exif)
    assert np.array_equal(metadata.apply_orientation(picture, orientation), np.asarray(ImageOps.exif_transpose(Image.open(out))))


@given(st.binary(min_size=1, max_size=60))
def test_iptc_survives_the_wrapping_of_photoshop(iptc: bytes) -> None:
    """IPTC of odd and even lengths is read back, alone and after another resource."""
    wrapped = metadata.photoshop_from_iptc(iptc)
    assert metadata.iptc_from_photoshop(wrapped) == iptc
    other = b"8BIM\x03\xed\x04name\0" + b"\0\0\0\x03abc\0"
    assert metadata.iptc_from_photoshop(other + wrapped) == iptc


def test_implausible_resolutions_are_none() -> None:
    """Zero and resolutions beyond any printer are ignored."""
    assert metadata.plausible_ppi(0, 300) is None
    assert metadata.plausible_ppi(300, 2e6) is None
    assert metadata.read_exif_tag(exif_block("<", t282=Fraction(1, 3)), 282) == Fraction(1, 3)
