"""Bands are distinguished from noise, dither, flat areas and real detail, and smoothed within half a code."""

from __future__ import annotations

import numpy as np
import pytest

from doubles.faults_of_pictures import PHOTOGRAPHS, coded, overlap, photograph, sky, under_sky
from goldsmith.ops.correct import banding
from goldsmith.ops.correct.defect import make_window
from goldsmith.picture.dither import dither


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_banded_sky_is_found_at_its_place(name: str) -> None:
    """One fault covers the sky, except for the cells next to the land."""
    (fault,) = banding.find(under_sky(name, 200)[1])
    width = photograph(name).shape[1]
    assert overlap(fault.window, make_window(0, 0, 200, width)) > 0.85
    assert fault.before == pytest.approx(1, abs=0.1)
    assert fault.after < 0.4


@pytest.mark.parametrize("codes", [8, 24, 48])
def test_a_repaired_slope_is_closer_to_the_slope_before_rounding(codes: float) -> None:
    """For steep and flat slopes the mean error falls, and no value moves by more than half a code."""
    slope = sky(240, 400, codes)
    banded = coded(slope)
    (fault,) = banding.find(banded)
    assert fault.repair is not None
    repaired = fault.repair[1]
    errors = [np.abs(pixels - slope[fault.window])[16:-16, 16:-16] * 255 for pixels in (repaired, banded[fault.window])]
    assert errors[0].mean() < 0.9 * errors[1].mean()
    assert np.abs(repaired - banded[fault.window]).max() * 255 < 0.51


def test_steps_of_two_codes_are_repaired() -> None:
    """A strong grade leaves a slope on even codes alone; its values may move by one code."""
    slope = sky(240, 400, 48)
    banded = np.asarray(np.round(slope * 127.5) / 127.5, np.float32)
    (fault,) = banding.find(banded)
    assert fault.repair is not None
    assert fault.before == pytest.approx(2, abs=0.2)
    assert fault.after < 0.45 * fault.before
    assert 0.6 < np.abs(fault.repair[1] - banded[fault.window]).max() * 255 < 1.01


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_a_noisy_slope_has_no_bands(sigma: float) -> None:
    """Noise of half a code or more makes the steps of a slope invisible."""
    grain = np.random.default_rng(1).standard_normal((240, 400, 1)) * sigma / 255
    assert banding.find(coded(sky(240, 400) + grain.astype(np.float32))) == []


def test_a_dithered_slope_has_no_bands() -> None:
    """The result of a repair is not found again."""
    assert banding.find(dither(sky(240, 400), 8, 1)) == []


def test_a_slope_of_16_bits_has_no_bands() -> None:
    """Steps of one 16-bit code do not count."""
    assert banding.find(np.asarray(np.round(sky(240, 400) * 65535) / 65535, np.float32)) == []


def test_flat_areas_and_their_borders_have_no_bands() -> None:
    """A drawing of few even tones is left alone, even if two of the tones are one code apart."""
    flat = np.full((240, 400, 3), 100 / 255, np.float32)
    flat[:, 200:] = 101 / 255
    flat[100:140, 50:90] = 180 / 255
    assert banding.find(flat) == []


def test_a_quarter_of_the_strength_moves_values_a_quarter_as_far() -> None:
    """Strength scales the repair."""
    banded = coded(sky(240, 400))
    full, quarter = (banding.find(banded, strength)[0] for strength in (1.0, 0.25))
    assert full.repair is not None
    assert quarter.repair is not None
    original = banded[full.window]
    assert np.allclose(quarter.repair[1] - original, (full.repair[1] - original) / 4, atol=1e-6)


def test_areas_whose_boxes_overlap_do_not_undo_each_other() -> None:
    """Two banded areas on either side of a slanting rope are both smooth after both repairs."""
    banded = coded(sky(320, 400))
    down, across = np.mgrid[:320, :400]
    banded[np.abs(down - across * 0.8) < 6] = 0.1
    faults = banding.find(banded)
    assert len(faults) == 2
    repaired = banded.copy()
    for fault in faults:
        assert fault.repair is not None
        repaired[fault.repair[0]] = fault.repair[1]
    for spot in (np.s_[40:90, 200:380], np.s_[220:300, 20:150]):
        assert np.abs(repaired[spot] - banded[spot]).mean() * 255 > 0.1


@pytest.mark.parametrize("shape", [(1, 1), (30, 400), (41, 43)])
def test_small_pictures_have_no_bands(shape: tuple[int, int]) -> None:
    """They have too few pixels to show a band."""
    assert banding.find(coded(sky(*shape))) == []
