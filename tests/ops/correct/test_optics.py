"""Colours that part, rims of light and halos: measured where they were built in, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from doubles.faults_of_pictures import PHOTOGRAPHS, changed, coded, fringed, parted, photograph, sharpened
from goldsmith.ops.correct import chromatic_aberration, fringes, halos
from goldsmith.picture.colour import luma
from goldsmith.picture.smoothing import gaussian_blur


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_in_a_photograph_colours_lie_together(name: str) -> None:
    """Nothing is measured that would be worth resampling a picture for."""
    assert chromatic_aberration.find(photograph(name)) == []


@pytest.mark.parametrize(("red", "blue"), [(0.004, -0.004), (-0.003, 0.005), (0.006, 0.004)])
def test_the_scales_are_those_that_were_built_in(red: float, blue: float) -> None:
    """Within a sixth, in either direction."""
    found = chromatic_aberration.measure_scales(parted(photograph("astronaut"), red, blue))
    assert found.red == pytest.approx(red, rel=0.17)
    assert found.blue == pytest.approx(blue, rel=0.17)


def test_green_is_never_touched() -> None:
    """It is what the others are brought to."""
    given = parted(photograph("astronaut"), 0.004, -0.003)
    (fault,) = chromatic_aberration.find(given)
    assert fault.repair is not None
    assert np.array_equal(fault.repair[1][:, :, 1], given[:, :, 1])
    assert not np.array_equal(fault.repair[1][:, :, 0], given[:, :, 0])


def test_colours_that_are_shifted_sideways_are_left_alone() -> None:
    """That is no lens: drawn larger or smaller they would part elsewhere."""
    given = photograph("astronaut").copy()
    given[:, 2:, 0] = given[:, :-2, 0]
    assert chromatic_aberration.find(given) == []


def test_grey_has_no_colours_that_part_and_no_rims() -> None:
    """One channel is enough for neither."""
    grey = photograph("astronaut")[:, :, :1]
    assert chromatic_aberration.find(grey) == []
    assert fringes.find(grey) == []


@pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket"])
def test_a_rim_is_found_whole_and_a_photograph_has_none(name: str) -> None:
    """One fault about the light, at least two thirds of its colour gone, luma within two codes."""
    assert fringes.find(photograph(name)) == []
    given = fringed(photograph(name), np.s_[120:170, 120:200])
    (fault,) = fringes.find(given)
    assert fault.repair is not None
    assert fault.after < fault.before / 3
    assert np.abs(luma(fault.repair[1]) - luma(given[fault.window])).max() * 255 < 2


def test_a_purple_thing_beside_a_light_keeps_its_colour() -> None:
    """A badge with white lettering on it: purple all about is no rim."""
    given = np.full((160, 160, 3), (0.3, 0.1, 0.45), np.float32)
    given[60:100, 40:120] = 1
    given[74:86, 60:100] = (0.3, 0.1, 0.45)
    assert fringes.find(coded(gaussian_blur(given, 0.7))) == []


def test_a_red_thing_on_white_keeps_its_rim() -> None:
    """A sweet on a white table: what lies between red and white is its own colour and its shadow's."""
    given = np.full((160, 160, 3), 1, np.float32)
    down, across = np.mgrid[:160, :160]
    far = np.hypot(down - 80, across - 80)
    given[far < 44] = (0.75, 0.55, 0.72)
    given[far < 40] = (0.8, 0.02, 0.1)
    assert fringes.find(coded(gaussian_blur(given, 0.8))) == []


@pytest.mark.parametrize("corner", [2.0, 4.5])
def test_coloured_stalks_are_no_lens_and_wide_parting_is_one(corner: float) -> None:
    """Yellow blades on a blue sky stay; the same picture in grey, parted by many px, comes back to within a quarter."""
    random = np.random.default_rng(3)
    blades = gaussian_blur((random.random((360, 480)) < 0.05).astype(np.float32), 1.2)[:, :, None] * 6
    share = np.clip(blades, 0, 1)
    stalks = coded((1 - share) * np.array([0.3, 0.5, 0.8], np.float32) + share * np.array([0.8, 0.7, 0.2], np.float32))
    assert chromatic_aberration.find(stalks) == []
    grey = coded(np.repeat(0.2 + 0.6 * share, 3, axis=2))
    scale = 2 * corner / float(np.hypot(360, 480))
    given = parted(grey, scale, -scale)
    (fault,) = chromatic_aberration.find(given)
    assert fault.before == pytest.approx(corner, rel=0.1)
    assert fault.repair is not None
    assert np.abs(fault.repair[1] - grey).mean() < 0.25 * np.abs(given - grey).mean()


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_the_edges_of_a_photograph_have_no_halos(name: str) -> None:
    """Few of its crisp edges have a rim on both sides; far fewer than the limit."""
    assert halos.find(photograph(name)) == []
    assert halos.measure_edges(luma(photograph(name))).rimmed_share < 0.3


def test_overshoot_is_measured_as_it_is() -> None:
    """A step of 0.4 with a rim of a tenth on either side overshoots by a half of its height in all."""
    given = np.full((300, 300), 0.3, np.float32)
    given[:, 150:] = 0.7
    given[:, 147:150] -= 0.1
    given[:, 150:153] += 0.1
    assert halos.measure_edges(given).median_overshoot == pytest.approx(0.5, abs=0.05)


def test_away_from_edges_a_sharpened_picture_stays() -> None:
    """Even areas are bit for bit as they were; rims fall, and the step stays where it was and nearly as steep."""
    given = np.full((300, 300, 3), 0.3, np.float32)
    given[:, 150:] = 0.7
    bad = sharpened(gaussian_blur(given, 0.8), 2)
    (fault,) = halos.find(bad)
    assert fault.repair is not None
    made = bad.copy()
    made[fault.repair[0]] = fault.repair[1]
    moved = changed(bad, made)
    assert not moved[:, :120].any()
    assert not moved[:, 180:].any()
    assert moved[:, 140:160].any()
    assert fault.after < fault.before / 3
    assert made[:, 152].mean() - made[:, 147].mean() > 0.33


@pytest.mark.parametrize("shape", [(1, 1), (40, 500), (127, 127)])
def test_small_pictures_have_nothing(shape: tuple[int, int]) -> None:
    """There is too little of them to tell."""
    noise = np.random.default_rng(1).random((*shape, 3), dtype=np.float32)
    assert halos.find(noise) == []
    assert [fault.before for fault in fringes.find(noise[:20])] == []
    assert chromatic_aberration.find(noise[:90]) == []
