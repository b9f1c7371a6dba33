"""The matting Laplacian: the one of the paper, entry by entry, however little of the picture is looked at."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from goldsmith.ops.cutout.laplacian import MIN_VARIANCE, fit_colour_lines, matting_system
from goldsmith.picture.picture import Pixels


def _by_the_book(pixels: Pixels) -> NDArray[np.float64]:
    """The sum over all windows of (delta - G), written down as in the paper's equation 12."""
    height, width, channels = pixels.shape
    made = np.zeros((height * width, height * width))
    for y, x in product(range(1, height - 1), range(1, width - 1)):
        inside = [(y + down) * width + x + across for down, across in product((-1, 0, 1), repeat=2)]
        colours = pixels.reshape(-1, channels)[inside].astype(float)
        apart = colours - colours.mean(axis=0)
        spread = apart.T @ apart / 9 + np.eye(channels) * MIN_VARIANCE / 9
        made[np.ix_(inside, inside)] += np.eye(9) - (1 + apart @ np.linalg.inv(spread) @ apart.T) / 9
    return made


@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_the_one_of_the_paper(channels: int) -> None:
    """Matrix and right side of some open pixels, at the border and alone, are those of the whole picture's Laplacian."""
    random = np.random.default_rng(1)
    pixels, alpha = random.random((12, 15, channels), np.float32), random.random((12, 15), np.float32)
    open_ = np.zeros((12, 15), np.bool_)
    open_[3:9, 4:11] = open_[0, 0] = open_[11, 5] = True
    asked = matting_system(pixels, alpha, open_, 0.25)
    whole = _by_the_book(pixels)
    free, held = np.flatnonzero(open_), np.flatnonzero(~open_)
    assert asked.matrix.toarray() == pytest.approx(whole[np.ix_(free, free)] + 0.25 * np.eye(len(free)), abs=1e-6)
    values = alpha.reshape(-1).astype(float)
    assert asked.rhs == pytest.approx(0.25 * values[free] - whole[np.ix_(free, held)] @ values[held], abs=1e-6)


def test_a_line_through_colours_costs_nothing() -> None:
    """Where alpha is a line through colour space it solves its own system."""
    random = np.random.default_rng(2)
    pixels = random.random((20, 20, 3), np.float32)
    alpha = pixels @ np.float32([0.2, 0.5, 0.1]) + np.float32(0.1)
    open_ = np.zeros((20, 20), np.bool_)
    open_[5:15, 5:15] = True
    asked = matting_system(pixels, alpha, open_, 0.0)
    assert np.abs(asked.matrix @ alpha[open_].astype(float) - asked.rhs).max() < 1e-4


def test_lines_are_found_again() -> None:
    """The slopes and offsets that were put in come out where something is open, and alpha itself elsewhere."""
    random = np.random.default_rng(3)
    pixels = random.random((20, 20, 3), np.float32)
    alpha = pixels @ np.float32([0.2, 0.5, 0.1]) + np.float32(0.1)
    open_ = np.zeros((20, 20), np.bool_)
    open_[8:12, 8:12] = True
    slope, offset = fit_colour_lines(pixels, alpha, open_)
    assert slope[10, 10] == pytest.approx([0.2, 0.5, 0.1], abs=0.01)
    assert offset[10, 10] == pytest.approx(0.1, abs=0.01)
    assert not slope[1, 1].any()
    assert offset[1, 1] == alpha[1, 1]
