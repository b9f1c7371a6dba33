"""Brightness and colour noise: found where it was added, distinguished from texture, and removed without the picture's own detail."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from doubles.faults_of_pictures import PHOTOGRAPHS, coded, photograph, speckled
from goldsmith.ops.correct import noise
from goldsmith.picture.colour import luma
from goldsmith.picture.picture import Pixels


def _repair_colour_noise(noisy: Pixels) -> Pixels:
    (fault,) = noise.find_colour_noise(noisy)
    assert fault.repair is not None
    return fault.repair[1]


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_photograph_has_no_noise(name: str) -> None:
    """Fur and wood grain do not count as noise."""
    assert noise.find(photograph(name)) == []
    assert noise.find_colour_noise(photograph(name)) == []


@pytest.mark.parametrize("name", ["grass", "gravel", "brick"])
def test_texture_is_not_noise(name: str) -> None:
    """However strong it is, texture does not fade in a reduced copy."""
    grey = np.asarray(getattr(data, name)()[:, :, None] / np.float32(255), np.float32)
    assert noise.find(grey) == []
    assert noise.find_colour_noise(np.repeat(grey, 3, axis=2)) == []


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize(("sigma", "blotch"), [(0.03, 0.0), (0.08, 0.0), (0.06, 1.5)])
def test_colour_noise_is_reduced_and_brightness_stays(name: str, sigma: float, blotch: float) -> None:
    """For specks and blotches the error falls by a quarter or more, and luma stays within two codes on average."""
    clean = photograph(name)
    noisy = speckled(clean, sigma, blotch)
    repaired = _repair_colour_noise(noisy)
    assert np.abs(repaired - clean).mean() < 0.75 * np.abs(noisy - clean).mean()
    assert np.abs(luma(repaired) - luma(noisy)).mean() * 255 < 2


def test_the_size_is_the_noise_in_per_cent_and_strength_reduces_it() -> None:
    """Sizes are in per cent of full scale; half the strength removes less, and a strength of 0 removes nothing."""
    noisy = speckled(photograph("coffee"), 0.06)
    (full,), (half,) = noise.find_colour_noise(noisy), noise.find_colour_noise(noisy, 0.5)
    assert full.before == pytest.approx(3.9, rel=0.15)
    assert full.after < 0.4 * full.before
    assert full.after < half.after < half.before
    unchanged = noise.find_colour_noise(noisy, 0.0)[0]
    assert unchanged.repair is not None
    assert np.abs(unchanged.repair[1] - noisy).max() < 1e-5


def test_colour_edges_stay_steep() -> None:
    """The border of a red square on blue keeps 90 % of its step or more."""
    clean = np.full((256, 256, 3), (0.2, 0.3, 0.6), np.float32)
    clean[64:192, 64:192] = (0.7, 0.25, 0.2)
    repaired = _repair_colour_noise(speckled(clean, 0.05))
    steps = [float((pixels[80:176, 64:66] - pixels[80:176, 62:64]).mean(axis=(0, 1))[0]) for pixels in (clean, repaired)]
    assert steps[1] > 0.9 * steps[0]


def test_grey_and_small_pictures_have_no_colour_noise() -> None:
    """One channel and three equal channels have no colour, and a small picture has too few pixels to measure."""
    grain = coded(0.5 + 0.1 * np.random.default_rng(1).standard_normal((200, 200, 1)).astype(np.float32))
    assert noise.find_colour_noise(grain) == []
    assert noise.find_colour_noise(np.repeat(grain, 3, axis=2)) == []
    assert noise.find_colour_noise(speckled(photograph("coffee"), 0.06)[:100, :100]) == []


def test_brightness_noise_is_measured_and_reduced() -> None:
    """The size is right within a tenth, and the error falls to 55 % or less."""
    clean = photograph("rocket")
    grain = np.random.default_rng(2).standard_normal((*clean.shape[:2], 1)).astype(np.float32)
    noisy = coded(clean + np.float32(0.05) * grain)
    (fault,) = noise.find(noisy)
    assert fault.before == pytest.approx(5, rel=0.1)
    assert fault.repair is not None
    assert np.abs(fault.repair[1] - clean).mean() < 0.55 * np.abs(noisy - clean).mean()
