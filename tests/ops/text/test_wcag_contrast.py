"""Contrast ratios against WCAG's own figures."""

from __future__ import annotations

import numpy as np
import pytest

from goldsmith.ops.text.wcag_contrast import contrast_ratio, dilate_coverage, measure_contrast, relative_luminance
from goldsmith.picture.picture import Pixels
from goldsmith.picture.profiles import builtin_profile


def pixels(*codes: str) -> Pixels:
    """Return colours "rrggbb" as sRGB pixels (n, 3), 0..1."""
    return np.array([[int(code[place : place + 2], 16) for place in (0, 2, 4)] for code in codes], np.float32) / np.float32(255)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("ffffff", "000000", 21.0),
        ("777777", "ffffff", 4.48),
        ("ff0000", "ffffff", 4.0),
        ("0000ff", "ffffff", 8.59),
        ("123456", "123456", 1.0),
    ],
)
def test_known_contrast_ratios_are_met(first: str, second: str, expected: float) -> None:
    """Well-known ratios come out to two decimals, in either order."""
    light = [relative_luminance(pixels(code), None) for code in (first, second)]
    assert contrast_ratio(light[0], light[1])[0] == contrast_ratio(light[1], light[0])[0] == pytest.approx(expected, abs=0.005)


def test_luminance_depends_on_the_profile() -> None:
    """Adobe RGB's code 128 has the luminance of gamma 2.2, not of sRGB's curve."""
    wide = relative_luminance(pixels("808080"), builtin_profile("adobe-rgb"))
    assert wide[0] == pytest.approx((128 / 255) ** (563 / 256), abs=2e-4)


def test_the_worst_ratio_is_the_one_that_95_per_cent_reach() -> None:
    """Four per cent of bad pixels are ignored; six per cent are not."""
    behind = np.repeat(pixels("000000"), 1000, axis=0)
    behind[:40] = 1
    assert measure_contrast(pixels("ffffff"), behind, None).worst == pytest.approx(21, abs=0.01)
    behind[:60] = 1
    assert measure_contrast(pixels("ffffff"), behind, None).worst == pytest.approx(1, abs=0.01)
    assert measure_contrast(pixels("ffffff"), behind, None).median == pytest.approx(21, abs=0.01)


def test_dilation_reaches_the_radius() -> None:
    """Dilation makes a disc of a dot; coverage below one half is kept, not dilated."""
    dot = np.zeros((21, 21), np.float32)
    dot[10, 10] = 1
    dilated = dilate_coverage(dot, 5)
    assert dilated[10, 15]
    assert not dilated[10, 16]
    assert not dilated[14, 14]
    assert dilate_coverage(dot * 0.2, 5).sum() == 1
