"""Linear light by the curve of a profile, and conversion between profiles."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from goldsmith.errors import InputError
from goldsmith.picture import colour, profiles
from goldsmith.picture.curves import ParametricCurve, TableCurve

ENCODED = hnp.arrays(np.float32, (5, 7, 3), elements=st.floats(0, 1, width=32))


@pytest.mark.parametrize("name", [None, *profiles.PROFILE_NAMES])
@settings(max_examples=20, deadline=None)
@given(values=ENCODED)
def test_linear_light_and_back_is_within_a_16_bit_code(name: str | None, values: NDArray[np.float32]) -> None:
    """Pixels (h, w, 3), 0..1, are converted to linear light and back for every built-in profile."""
    icc = None if name is None else profiles.builtin_profile(name)
    result = colour.from_linear(colour.to_linear(values, icc), icc)
    assert np.abs(result - values).max() <= 1 / 65535


def test_srgb_equals_the_standard() -> None:
    """Values equal the formula of IEC 61966-2-1; black and white are exact."""
    values = np.array([0, 0.04, 0.04045, 0.5, 1], np.float32).reshape(1, 5, 1)
    expected = [0, 0.04 / 12.92, 0.04045 / 12.92, ((0.5 + 0.055) / 1.055) ** 2.4, 1]
    assert np.allclose(colour.to_linear(values, None).ravel(), expected, atol=1e-6)
    assert colour.to_linear(values, None).max() == 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 65535), min_size=2, max_size=50).map(sorted), ENCODED)
def test_rising_table_curves_are_inverted(numbers: list[int], values: NDArray[np.float32]) -> None:
    """Strictly rising tables, (n,) values of 0..1, are invertible."""
    numbers = [number + index for index, number in enumerate(numbers)]
    curve = TableCurve(tuple(number / 65600 for number in numbers))
    light = curve.to_linear(values)
    assert np.abs(curve.to_linear(curve.from_linear(light)) - light).max() <= 1 / 65535


def test_curves_are_read_from_old_profiles() -> None:
    """``curv`` with one number is a gamma in 1/256, without numbers linear, with many a table."""
    from goldsmith.picture.curves import _parse_curve

    assert _parse_curve(b"curv\0\0\0\0" + struct.pack(">IH", 1, 563)) == ParametricCurve(563 / 256)
    assert _parse_curve(b"curv\0\0\0\0" + struct.pack(">I", 0)) == ParametricCurve(1.0)
    assert _parse_curve(b"curv\0\0\0\0" + struct.pack(">I3H", 3, 0, 1000, 65535)) == TableCurve((0.0, 1000 / 65535, 1.0))
    assert _parse_curve(b"curv\0\0\0\0" + struct.pack(">I3H", 3, 0, 65535, 1000)) is None
    assert _parse_curve(b"curv\0\0\0\0" + struct.pack(">I", 4_000_000_000)) is None


@pytest.mark.parametrize(("name", "lcms_name"), [("srgb", "srgb"), ("adobe-rgb", "adobergb")])
def test_built_in_profiles_equal_those_of_lcms(name: str, lcms_name: str) -> None:
    """Matrices agree to the last but one of the 16 fractional bits of ICC."""
    import imagecodecs

    matrix = profiles.colorant_matrix(profiles.builtin_profile(name))
    lcms_matrix = profiles.colorant_matrix(bytes(imagecodecs.cms_profile(lcms_name)))
    assert matrix is not None
    assert lcms_matrix is not None
    assert np.abs(matrix - lcms_matrix).max() <= 1.5 / 65536


def test_lcms_reads_the_built_in_profiles_as_goldsmith_does(photo: Any, make_picture: Any) -> None:
    """Goldsmith's arithmetic and lcms agree on a conversion from wide to narrow."""
    picture = make_picture(photo // 2 + 64, icc=profiles.builtin_profile("display-p3"))
    by_lcms = colour._convert_by_lcms(picture.pixels, profiles.builtin_profile("display-p3"), profiles.builtin_profile("srgb"))
    assert np.abs(colour.convert_profile(picture, "srgb").pixels - by_lcms).max() < 2e-4


def test_conversion_to_a_wider_space_and_back_changes_nothing(photo: Any, make_picture: Any) -> None:
    """sRGB comes back as the same picture, with no profile."""
    picture = make_picture(photo.astype(np.uint16) * 257)
    wide = colour.convert_profile(picture, "prophoto")
    assert wide.icc == profiles.builtin_profile("prophoto")
    back = colour.convert_profile(wide, "srgb")
    assert back.icc is None
    assert np.abs(back.pixels - picture.pixels).max() < 1 / 4096


def test_a_conversion_to_the_same_profile_returns_the_same_picture(photo: Any, make_picture: Any) -> None:
    """Neutral settings change nothing."""
    assert colour.convert_profile(picture := make_picture(photo), "srgb") is picture
    assert colour.convert_profile(picture := make_picture(photo, icc=profiles.builtin_profile("display-p3")), "display-p3") is picture


def test_grey_stays_grey_in_srgb_and_becomes_rgb_in_other_profiles(photo: Any, make_picture: Any) -> None:
    """Grey of gamma 1.8 gets sRGB's curve; Adobe RGB has three channels."""
    grey = make_picture(photo[:, :, :1], icc=profiles.profile_from_png_gamma(1 / 1.8, None, is_grey=True))
    result = colour.convert_profile(grey, "srgb")
    assert result.channels == 1
    assert result.icc is None
    assert np.allclose(colour.to_linear(result.pixels, None), grey.pixels.astype(np.float64) ** 1.8, atol=1e-4)
    wide = colour.convert_profile(grey, "adobe-rgb")
    assert wide.channels == 3
    assert np.abs(np.diff(wide.pixels, axis=2)).max() < 1e-3


def test_a_truncated_profile_is_refused(photo: Any, make_picture: Any) -> None:
    """The error is InputError and not an exception of lcms."""
    icc = profiles.builtin_profile("adobe-rgb")[:200]
    with pytest.raises(InputError, match="cannot be used"):
        colour.convert_profile(make_picture(photo, icc=icc), "srgb")


def test_luminance_weighs_green_most() -> None:
    """Rec. 709 weights: white is 1, and grey keeps its value."""
    assert colour.luminance(np.ones((1, 1, 3), np.float32))[0, 0] == pytest.approx(1)
    assert np.allclose(colour.luminance(np.eye(3, dtype=np.float32).reshape(1, 3, 3)), [colour.REC709_WEIGHTS])
    assert colour.luminance(np.full((2, 2, 1), 0.3, np.float32)).shape == (2, 2)


def test_cmyk_without_a_profile_is_ink_on_white() -> None:
    """Paper without ink is white, black ink is black, and cyan removes red."""
    inks = np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [255, 0, 0, 0]]], np.uint8)
    assert colour.cmyk_to_srgb(inks, 255, None).tolist() == [[[1, 1, 1], [0, 0, 0], [0, 1, 1]]]


def test_built_in_profiles_are_small_and_named() -> None:
    """Profiles have fewer than 700 bytes and give their own name."""
    assert [len(profiles.builtin_profile(name)) < 700 for name in profiles.PROFILE_NAMES] == [True] * len(profiles.PROFILE_NAMES)
    assert colour.profile_name(profiles.builtin_profile("display-p3")) == "Display P3"
    assert colour.profile_name(None) == "sRGB"
    assert colour.profile_name(b"rubbish") == "unnamed profile"
