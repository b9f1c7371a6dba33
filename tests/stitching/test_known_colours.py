"""Known colours: what a model invented gets the colours of the surroundings, and nothing else changes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels
from goldsmith.picture.smoothing import gaussian_blur
from goldsmith.stitching.known_colours import keep_known_colours

SIDE = 120


def _hole() -> NDArray[np.bool_]:
    hole = np.zeros((SIDE, SIDE), dtype=np.bool_)
    hole[35:85, 35:85] = True
    return hole


def _ground(*, has_green: bool = False) -> Pixels:
    """Return blue cloth with grain, and a green strip at the left if wanted."""
    pixels = np.full((SIDE, SIDE, 3), (0.2, 0.35, 0.6), dtype=np.float32)
    if has_green:
        pixels[:, :20] = (0.2, 0.6, 0.25)
    noise = np.random.default_rng(3).normal(0, 1, pixels.shape).astype(np.float32)
    return np.clip(pixels + 0.05 * gaussian_blur(noise, 1.0), 0, 1).astype(np.float32)


def test_an_invented_colour_becomes_one_of_the_surroundings() -> None:
    """Nothing of the gold is left; the grain in it stays, and no pixel outside the hole changes."""
    filled = _ground()
    filled[45:75, 45:75] += np.array([0.6, 0.3, -0.5], dtype=np.float32)
    filled = np.clip(filled, 0, 1).astype(np.float32)
    result = keep_known_colours(filled, _hole(), ~_hole())
    before, after = (cv2.cvtColor(gaussian_blur(each, 2.0), cv2.COLOR_RGB2Lab)[48:72, 48:72, 2] for each in (filled, result))
    assert before.min() > 20
    assert after.max() < 0
    assert result[48:72, 48:72].std(axis=(0, 1)).max() > 0.005
    assert np.array_equal(result[~_hole()], filled[~_hole()])


def test_a_colour_that_lies_round_the_hole_stays() -> None:
    """Green belongs to the ground, so a green form in the hole is no invention."""
    filled = _ground(has_green=True)
    filled[45:75, 45:75] = (0.2, 0.6, 0.25)
    result = keep_known_colours(filled, _hole(), ~_hole())
    assert np.abs(result[50:70, 50:70] - filled[50:70, 50:70]).max() < 0.5 / 255


def test_a_weak_tint_on_a_grey_wall_goes() -> None:
    """A viewer sees 7 units of green on a wall that has none."""
    noise = np.random.default_rng(5).normal(0, 1, (SIDE, SIDE, 1)).astype(np.float32)
    wall = np.clip(np.float32(0.75) + 0.01 * noise + np.zeros((1, 1, 3), np.float32), 0, 1).astype(np.float32)
    filled = wall.copy()
    filled[50:70, 45:75] += np.array([-0.03, 0.02, -0.03], dtype=np.float32)
    result = keep_known_colours(filled, _hole(), ~_hole())
    before, after = (cv2.cvtColor(gaussian_blur(each, 2.0), cv2.COLOR_RGB2Lab)[53:67, 50:70, 1] for each in (filled, result))
    assert before.max() < -6
    assert after.min() > -4.5
    assert after.mean() > 0.6 * before.mean()
    assert np.array_equal(result[~_hole()], filled[~_hole()])


def test_without_surroundings_nothing_is_moved() -> None:
    """There is no colour to go to."""
    filled = _ground()
    assert np.array_equal(keep_known_colours(filled, np.ones((SIDE, SIDE), np.bool_), np.zeros((SIDE, SIDE), np.bool_)), filled)
