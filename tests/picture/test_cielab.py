"""Lab and CIEDE2000 equal the published values."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import color

from goldsmith.picture import profiles
from goldsmith.picture.cielab import ciede2000, lab_to_linear, lightness_to_luminance, luminance_to_lightness, pixels_to_lab
from goldsmith.picture.linear_light import LinearLight

# Pairs of Sharma, Wu and Dalal (2005), table 1.
_PUBLISHED = [
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, 2.8361, -74.0200), (50.0, 0.0, -82.7485), 3.4412),
    ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
    ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0009), 7.1792),
    ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0011), 7.2195),
    ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
    ((50.0, 2.5, 0.0), (50.0, 3.1736, 0.5854), 1.0000),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ((90.8027, -2.0831, 1.4410), (91.1528, -1.6435, 0.0447), 1.4441),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


@pytest.mark.parametrize(("first", "second", "distance"), _PUBLISHED)
def test_ciede2000_equals_the_published_pairs(first: tuple[float, ...], second: tuple[float, ...], distance: float) -> None:
    """Distances equal Sharma's in both directions, to the fourth decimal."""
    assert float(ciede2000(np.array(first), np.array(second))) == pytest.approx(distance, abs=1e-4)
    assert float(ciede2000(np.array(second), np.array(first))) == pytest.approx(distance, abs=1e-4)


def test_ciede2000_agrees_with_another_implementation() -> None:
    """Ten thousand random pairs are compared with scikit-image."""
    random = np.random.default_rng(1)
    first, second = (random.uniform((0, -80, -80), (100, 80, 80), (10000, 3)) for _ in range(2))
    assert np.abs(ciede2000(first, second) - color.deltaE_ciede2000(first, second)).max() < 1e-6


def test_white_is_a_hundred_and_grey_has_no_colour() -> None:
    """Greys have a = b = 0 and L from 0 to 100 in every profile."""
    greys = np.repeat(np.linspace(0, 1, 33, dtype=np.float32)[None, :, None], 3, axis=2)
    for icc in (None, profiles.builtin_profile("display-p3"), profiles.builtin_profile("prophoto"), profiles.builtin_profile("adobe-rgb")):
        lab = pixels_to_lab(greys, LinearLight(icc))[0]
        assert np.abs(lab[:, 1:]).max() < 0.02
        assert lab[[0, -1], 0] == pytest.approx([0, 100], abs=0.01)
        assert (np.diff(lab[:, 0]) > 0).all()


def test_lab_conversions_are_inverse() -> None:
    """``lab_to_linear`` inverts ``pixels_to_lab``, and lightness inverts luminance."""
    pixels = np.random.default_rng(2).random((9, 11, 3), dtype=np.float32)
    light = LinearLight(profiles.builtin_profile("display-p3"))
    assert np.abs(lab_to_linear(pixels_to_lab(pixels, light), light) - light.to_linear(pixels)).max() < 1e-5
    y = np.linspace(0, 1, 101)
    assert np.abs(lightness_to_luminance(luminance_to_lightness(y)) - y).max() < 1e-12
