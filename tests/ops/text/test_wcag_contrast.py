"""Contrast by WCAG's own numbers."""

from __future__ import annotations

import numpy as np
import pytest

from goldsmith.ops.text.wcag_contrast import contrast_ratio, dilate_coverage, measure_contrast, relative_luminance
from goldsmith.picture.picture import Pixels
from goldsmith.picture.profiles import builtin_profile


def pixels(*codes: str) -> Pixels:
    return np.array([[int(code[place : place + 2], 16) for place in (0, 2, 4)] for code in codes], np.float32) / np.float32(255)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("ffffff", "000000", 21.0),
        ("777777", "ffffff", 4.48),
        ("ff0000", "ffffff", 4.0),
        ("0000ff", "ffffff", 8.59),
        ("123456", "123456", 1.0),
    ],
)
def test_the_ratios_everybody_knows(one: str, other: str, expected: float) -> None:
    """Either way round, to two places."""
    light = [relative_luminance(pixels(code), None) for code in (one, other)]
    assert contrast_ratio(light[0], light[1])[0] == contrast_ratio(light[1], light[0])[0] == pytest.approx(expected, abs=0.005)


def test_a_wide_profile_is_seen_as_what_it_shows() -> None:
    """The same code is another light in another profile: Adobe RGB's 128 is a gamma of 2.2, and not sRGB's curve."""
    wide = relative_luminance(pixels("808080"), builtin_profile("adobe-rgb"))
    assert wide[0] == pytest.approx((128 / 255) ** (563 / 256), abs=2e-4)


def test_the_worst_is_what_all_but_a_twentieth_reach() -> None:
    """A speck is no fault, a patch is."""
    behind = np.repeat(pixels("000000"), 1000, axis=0)
    behind[:40] = 1
    assert measure_contrast(pixels("ffffff"), behind, None).worst == pytest.approx(21, abs=0.01)
    behind[:60] = 1
    assert measure_contrast(pixels("ffffff"), behind, None).worst == pytest.approx(1, abs=0.01)
    assert measure_contrast(pixels("ffffff"), behind, None).median == pytest.approx(21, abs=0.01)


def test_round_a_shape_is_as_far_as_asked() -> None:
    """A disc round a dot; where nothing is half covered, what there is of it."""
    dot = np.zeros((21, 21), np.float32)
    dot[10, 10] = 1
    found = dilate_coverage(dot, 5)
    assert found[10, 15]
    assert not found[10, 16]
    assert not found[14, 14]
    assert dilate_coverage(dot * 0.2, 5).sum() == 1
