"""Bands: told from noise, dither, flat areas and real detail; made smooth within half a code."""

from __future__ import annotations

import numpy as np
import pytest

from doubles.faults_of_pictures import PHOTOGRAPHS, coded, overlap, photograph, sky, under_sky
from goldsmith.ops.correct import banding
from goldsmith.ops.correct.defect import make_window
from goldsmith.picture.dither import dither


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_sky_is_found_where_it_is(name: str) -> None:
    """One area, all of the sky but for the cells next to the land."""
    (fault,) = banding.find(under_sky(name, 200)[1])
    width = photograph(name).shape[1]
    assert overlap(fault.window, make_window(0, 0, 200, width)) > 0.85
    assert fault.before == pytest.approx(1, abs=0.1)
    assert fault.after < 0.4


@pytest.mark.parametrize("codes", [8, 24, 48])
def test_a_slope_comes_closer_to_what_was_rounded(codes: float) -> None:
    """Steeper and flatter slopes: the mean error falls, none exceeds a code, and no value moves by more than half of one."""
    true = sky(240, 400, codes)
    given = coded(true)
    (fault,) = banding.find(given)
    assert fault.repair is not None
    made = fault.repair[1]
    errors = [np.abs(one - true[fault.window])[16:-16, 16:-16] * 255 for one in (made, given[fault.window])]
    assert errors[0].mean() < 0.9 * errors[1].mean()
    assert np.abs(made - given[fault.window]).max() * 255 < 0.51


def test_a_step_of_two_codes_is_bridged_as_well() -> None:
    """A slope on even codes alone, as a strong grade leaves it: values may move by one code."""
    true = sky(240, 400, 48)
    given = np.asarray(np.round(true * 127.5) / 127.5, np.float32)
    (fault,) = banding.find(given)
    assert fault.repair is not None
    assert fault.before == pytest.approx(2, abs=0.2)
    assert fault.after < 0.45 * fault.before
    assert 0.6 < np.abs(fault.repair[1] - given[fault.window]).max() * 255 < 1.01


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_noise_is_no_band(sigma: float) -> None:
    """A slope under half a code of noise has no steps that anybody sees."""
    grain = np.random.default_rng(1).standard_normal((240, 400, 1)) * sigma / 255
    assert banding.find(coded(sky(240, 400) + grain.astype(np.float32))) == []


def test_what_was_dithered_is_no_band() -> None:
    """Its own result is not found again."""
    assert banding.find(dither(sky(240, 400), 8, 1)) == []


def test_a_smooth_slope_of_16_bits_is_no_band() -> None:
    """Steps of a 16-bit code are none."""
    assert banding.find(np.asarray(np.round(sky(240, 400) * 65535) / 65535, np.float32)) == []


def test_flat_areas_and_their_borders_are_no_bands() -> None:
    """A drawing of few even tones stays, also where two of them are one code apart."""
    flat = np.full((240, 400, 3), 100 / 255, np.float32)
    flat[:, 200:] = 101 / 255
    flat[100:140, 50:90] = 180 / 255
    assert banding.find(flat) == []


def test_less_strength_moves_less() -> None:
    """At a quarter the values go a quarter of the way."""
    given = coded(sky(240, 400))
    whole, part = (banding.find(given, strength)[0] for strength in (1.0, 0.25))
    assert whole.repair is not None
    assert part.repair is not None
    under = given[whole.window]
    assert np.allclose(part.repair[1] - under, (whole.repair[1] - under) / 4, atol=1e-6)


def test_areas_whose_boxes_overlap_do_not_undo_each_other() -> None:
    """Two banded areas on either side of a slanting rope: both are smooth once all is laid."""
    given = coded(sky(320, 400))
    down, across = np.mgrid[:320, :400]
    given[np.abs(down - across * 0.8) < 6] = 0.1
    faults = banding.find(given)
    assert len(faults) == 2
    made = given.copy()
    for fault in faults:
        assert fault.repair is not None
        made[fault.repair[0]] = fault.repair[1]
    for spot in (np.s_[40:90, 200:380], np.s_[220:300, 20:150]):
        assert np.abs(made[spot] - given[spot]).mean() * 255 > 0.1


@pytest.mark.parametrize("shape", [(1, 1), (30, 400), (41, 43)])
def test_small_pictures_have_none(shape: tuple[int, int]) -> None:
    """There is too little of them to tell."""
    assert banding.find(coded(sky(*shape))) == []
