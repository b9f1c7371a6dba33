"""Lines across a hole: their direction is found where they are clear, and they go on straight."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels
from goldsmith.picture.smoothing import gaussian_blur
from goldsmith.stitching.line_fill import fill_along, find_direction

SIDE = 160


def _hole() -> NDArray[np.bool_]:
    down, across = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    return np.asarray(np.hypot(down, across) < 45)


def _cables(angle: float, grain: float = 0.0) -> Pixels:
    """Return dark cables in that direction, in degrees, before a sky that becomes lighter to the right."""
    down, across = np.mgrid[:SIDE, :SIDE].astype(np.float32) - SIDE / 2
    turn = np.deg2rad(angle)
    off = down * np.cos(turn) - across * np.sin(turn)
    cables = np.clip(2.5 - np.abs(off - 6), 0, 1) + np.clip(2.5 - np.abs(off + 14), 0, 1)
    sky = np.float32([0.4, 0.6, 0.8]) + (across / SIDE * 0.1)[..., None]
    noise = np.random.default_rng(2).normal(0, grain, (SIDE, SIDE, 3))
    return np.asarray(sky * (1 - 0.8 * cables[..., None]) + noise, dtype=np.float32)


@pytest.mark.parametrize("angle", [0.0, 27.3, 90.0, 141.0])
def test_cables_go_on_straight(angle: float) -> None:
    """Their direction is found within a fifth of a degree, and the fill is nearly the truth; the rest stays as it is."""
    truth, hole = _cables(angle), _hole()
    damaged = np.where(hole[..., None], np.float32(1), truth).astype(np.float32)
    direction = find_direction(damaged, hole)
    assert direction.is_clear
    assert min(abs(direction.angle - angle), 180 - abs(direction.angle - angle)) < 0.2
    filled = fill_along(damaged, hole, direction.angle, 1)
    assert float(np.abs(filled - truth)[hole].mean()) < 3 / 255
    assert float(np.abs(filled - truth)[hole].max()) < 0.2
    assert np.array_equal(filled[~hole], truth[~hole])


def test_the_fill_has_the_grain_of_the_surroundings() -> None:
    """As strong as theirs, and the same for the same seed."""
    damaged, hole = _cables(30.0, grain=4 / 255), _hole()
    filled = fill_along(damaged, hole, 30.0, 1)
    grain = filled - fill_along(_cables(30.0), hole, 30.0, 1)
    assert float(grain[hole].std()) == pytest.approx(4 / 255, rel=0.3)
    assert np.array_equal(filled, fill_along(damaged, hole, 30.0, 1))


def test_lines_to_the_border_of_the_picture_have_one_end() -> None:
    """A hole at the right border is filled from the left."""
    truth, hole = _cables(0.0), np.zeros((SIDE, SIDE), dtype=np.bool_)
    hole[50:110, 110:] = True
    filled = fill_along(np.where(hole[..., None], np.float32(0), truth).astype(np.float32), hole, 0.0, 1)
    assert float(np.abs(filled - truth)[hole].mean()) < 0.05


def test_a_texture_and_a_slope_have_no_lines() -> None:
    """Nothing that lies before the hole is found behind it; and what agrees on a slope is too weak to be a line."""
    noise = np.random.default_rng(5).normal(0, 1, (SIDE, SIDE, 1)).astype(np.float32)
    texture = 0.5 + gaussian_blur(noise, 2.0) + np.zeros(3, np.float32)
    slope = np.broadcast_to(np.linspace(0.3, 0.6, SIDE, dtype=np.float32)[:, None, None], (SIDE, SIDE, 3))
    assert not find_direction(texture.astype(np.float32), _hole()).is_clear
    assert not find_direction(np.ascontiguousarray(slope), _hole()).is_clear


def test_a_hole_over_all_of_the_picture_has_no_direction() -> None:
    """There is no end of a line to compare."""
    assert not find_direction(_cables(10.0), np.ones((SIDE, SIDE), dtype=np.bool_)).is_clear
