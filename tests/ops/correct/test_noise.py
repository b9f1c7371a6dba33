"""Noise of brightness and of colour: found where it was added, told from texture, and taken out without the picture's own detail."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from doubles.faults_of_pictures import PHOTOGRAPHS, coded, photograph, speckled
from goldsmith.ops.correct import noise
from goldsmith.picture.colour import luma
from goldsmith.picture.picture import Pixels


def _made(given: Pixels) -> Pixels:
    (fault,) = noise.find_colour_noise(given)
    assert fault.repair is not None
    return fault.repair[1]


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_photograph_has_neither(name: str) -> None:
    """Not even the fur and the grain of the wood."""
    assert noise.find(photograph(name)) == []
    assert noise.find_colour_noise(photograph(name)) == []


@pytest.mark.parametrize("name", ["grass", "gravel", "brick"])
def test_texture_is_no_noise(name: str) -> None:
    """It does not fade when it is seen smaller, however strong it is."""
    grey = np.asarray(getattr(data, name)()[:, :, None] / np.float32(255), np.float32)
    assert noise.find(grey) == []
    assert noise.find_colour_noise(np.repeat(grey, 3, axis=2)) == []


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize(("sigma", "blotch"), [(0.03, 0.0), (0.08, 0.0), (0.06, 1.5)])
def test_noise_of_colour_goes_and_brightness_stays(name: str, sigma: float, blotch: float) -> None:
    """Specks and blotches: closer to the untouched picture by a quarter and more, luma within two codes of what was given."""
    clean = photograph(name)
    given = speckled(clean, sigma, blotch)
    made = _made(given)
    assert np.abs(made - clean).mean() < 0.75 * np.abs(given - clean).mean()
    assert np.abs(luma(made) - luma(given)).mean() * 255 < 2


def test_the_size_is_that_of_the_noise_and_what_is_left_is_less() -> None:
    """In per cent of full scale; less strength takes less away."""
    given = speckled(photograph("coffee"), 0.06)
    (whole,), (half,) = noise.find_colour_noise(given), noise.find_colour_noise(given, 0.5)
    assert whole.before == pytest.approx(3.9, rel=0.15)
    assert whole.after < 0.4 * whole.before
    assert whole.after < half.after < half.before
    nothing = noise.find_colour_noise(given, 0.0)[0]
    assert nothing.repair is not None
    assert np.abs(nothing.repair[1] - given).max() < 1e-5


def test_edges_of_colour_stay() -> None:
    """A red square on blue under noise: its border is as steep as it was."""
    clean = np.full((256, 256, 3), (0.2, 0.3, 0.6), np.float32)
    clean[64:192, 64:192] = (0.7, 0.25, 0.2)
    made = _made(speckled(clean, 0.05))
    steps = [float((one[80:176, 64:66] - one[80:176, 62:64]).mean(axis=(0, 1))[0]) for one in (clean, made)]
    assert steps[1] > 0.9 * steps[0]


def test_a_grey_picture_has_no_noise_of_colour() -> None:
    """One channel has none, three equal ones have none, and what is small cannot be told."""
    grain = coded(0.5 + 0.1 * np.random.default_rng(1).standard_normal((200, 200, 1)).astype(np.float32))
    assert noise.find_colour_noise(grain) == []
    assert noise.find_colour_noise(np.repeat(grain, 3, axis=2)) == []
    assert noise.find_colour_noise(speckled(photograph("coffee"), 0.06)[:100, :100]) == []


def test_noise_of_brightness_is_measured_and_cleaned() -> None:
    """Within a tenth, and twice as close afterwards to the picture without it as it was, or nearly."""
    clean = photograph("rocket")
    grain = np.random.default_rng(2).standard_normal((*clean.shape[:2], 1)).astype(np.float32)
    given = coded(clean + np.float32(0.05) * grain)
    (fault,) = noise.find(given)
    assert fault.before == pytest.approx(5, rel=0.1)
    assert fault.repair is not None
    assert np.abs(fault.repair[1] - clean).mean() < 0.55 * np.abs(given - clean).mean()
