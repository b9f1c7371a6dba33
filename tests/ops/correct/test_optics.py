"""Misaligned colours, rims and halos: measured where they were added, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from doubles.faults_of_pictures import PHOTOGRAPHS, changed, coded, fringed, parted, photograph, sharpened
from goldsmith.ops.correct import chromatic_aberration, fringes, halos
from goldsmith.picture.colour import luma
from goldsmith.picture.smoothing import gaussian_blur


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_the_colours_of_a_photograph_are_aligned(name: str) -> None:
    """No misalignment is found that is worth resampling a picture."""
    assert chromatic_aberration.find(photograph(name)) == []


@pytest.mark.parametrize(("red", "blue"), [(0.004, -0.004), (-0.003, 0.005), (0.006, 0.004)])
def test_the_measured_scales_are_the_added_ones(red: float, blue: float) -> None:
    """They agree within a sixth, in either direction."""
    scales = chromatic_aberration.measure_scales(parted(photograph("astronaut"), red, blue))
    assert scales.red == pytest.approx(red, rel=0.17)
    assert scales.blue == pytest.approx(blue, rel=0.17)


def test_green_is_unchanged() -> None:
    """Red and blue are aligned with green."""
    misaligned = parted(photograph("astronaut"), 0.004, -0.003)
    (fault,) = chromatic_aberration.find(misaligned)
    assert fault.repair is not None
    assert np.array_equal(fault.repair[1][:, :, 1], misaligned[:, :, 1])
    assert not np.array_equal(fault.repair[1][:, :, 0], misaligned[:, :, 0])


def test_colours_shifted_sideways_are_left_alone() -> None:
    """No lens causes such a shift; scaling would misalign the colours elsewhere."""
    shifted = photograph("astronaut").copy()
    shifted[:, 2:, 0] = shifted[:, :-2, 0]
    assert chromatic_aberration.find(shifted) == []


def test_a_grey_picture_has_no_misaligned_colours_and_no_rims() -> None:
    """Neither fault exists in one channel."""
    grey = photograph("astronaut")[:, :, :1]
    assert chromatic_aberration.find(grey) == []
    assert fringes.find(grey) == []


@pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket"])
def test_a_rim_is_one_fault_and_a_photograph_has_none(name: str) -> None:
    """The fault surrounds the highlight; the repair removes at least two thirds of its colour and keeps luma within two codes."""
    assert fringes.find(photograph(name)) == []
    picture = fringed(photograph(name), np.s_[120:170, 120:200])
    (fault,) = fringes.find(picture)
    assert fault.repair is not None
    assert fault.after < fault.before / 3
    assert np.abs(luma(fault.repair[1]) - luma(picture[fault.window])).max() * 255 < 2


def test_a_purple_object_beside_a_highlight_keeps_its_colour() -> None:
    """A badge with white lettering is purple everywhere, so the purple is not a rim."""
    picture = np.full((160, 160, 3), (0.3, 0.1, 0.45), np.float32)
    picture[60:100, 40:120] = 1
    picture[74:86, 60:100] = (0.3, 0.1, 0.45)
    assert fringes.find(coded(gaussian_blur(picture, 0.7))) == []


def test_a_red_object_on_white_keeps_its_rim() -> None:
    """Between a red sweet and a white table lie the sweet's own colour and its shadow's."""
    picture = np.full((160, 160, 3), 1, np.float32)
    down, across = np.mgrid[:160, :160]
    distance = np.hypot(down - 80, across - 80)
    picture[distance < 44] = (0.75, 0.55, 0.72)
    picture[distance < 40] = (0.8, 0.02, 0.1)
    assert fringes.find(coded(gaussian_blur(picture, 0.8))) == []


@pytest.mark.parametrize("corner", [2.0, 4.5])
def test_coloured_stalks_are_not_misaligned_and_wide_misalignment_is_found(corner: float) -> None:
    """Yellow blades on a blue sky stay; if the same picture in grey is misaligned by many px, its error falls to a quarter."""
    random = np.random.default_rng(3)
    blades = gaussian_blur((random.random((360, 480)) < 0.05).astype(np.float32), 1.2)[:, :, None] * 6
    share = np.clip(blades, 0, 1)
    stalks = coded((1 - share) * np.array([0.3, 0.5, 0.8], np.float32) + share * np.array([0.8, 0.7, 0.2], np.float32))
    assert chromatic_aberration.find(stalks) == []
    grey = coded(np.repeat(0.2 + 0.6 * share, 3, axis=2))
    scale = 2 * corner / float(np.hypot(360, 480))
    misaligned = parted(grey, scale, -scale)
    (fault,) = chromatic_aberration.find(misaligned)
    assert fault.before == pytest.approx(corner, rel=0.1)
    assert fault.repair is not None
    assert np.abs(fault.repair[1] - grey).mean() < 0.25 * np.abs(misaligned - grey).mean()


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_the_edges_of_a_photograph_have_no_halos(name: str) -> None:
    """Few of its crisp edges have a rim on both sides, far fewer than the limit."""
    assert halos.find(photograph(name)) == []
    assert halos.measure_edges(luma(photograph(name))).rimmed_share < 0.3


def test_overshoot_is_a_share_of_the_edge_s_height() -> None:
    """A step of 0.4 with a rim of 0.1 on either side overshoots by half of its height in all."""
    picture = np.full((300, 300), 0.3, np.float32)
    picture[:, 150:] = 0.7
    picture[:, 147:150] -= 0.1
    picture[:, 150:153] += 0.1
    assert halos.measure_edges(picture).median_overshoot == pytest.approx(0.5, abs=0.05)


def test_halo_repair_changes_only_the_rims() -> None:
    """Even areas stay bit for bit, the rims fall to a third, and the edge keeps its place and most of its slope."""
    step = np.full((300, 300, 3), 0.3, np.float32)
    step[:, 150:] = 0.7
    oversharpened = sharpened(gaussian_blur(step, 0.8), 2)
    (fault,) = halos.find(oversharpened)
    assert fault.repair is not None
    repaired = oversharpened.copy()
    repaired[fault.repair[0]] = fault.repair[1]
    difference = changed(oversharpened, repaired)
    assert not difference[:, :120].any()
    assert not difference[:, 180:].any()
    assert difference[:, 140:160].any()
    assert fault.after < fault.before / 3
    assert repaired[:, 152].mean() - repaired[:, 147].mean() > 0.33


@pytest.mark.parametrize("shape", [(1, 1), (40, 500), (127, 127)])
def test_small_pictures_have_no_faults(shape: tuple[int, int]) -> None:
    """They have too few pixels to measure."""
    noise = np.random.default_rng(1).random((*shape, 3), dtype=np.float32)
    assert halos.find(noise) == []
    assert fringes.find(noise[:20]) == []
    assert chromatic_aberration.find(noise[:90]) == []
