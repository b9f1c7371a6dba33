"""The matting Laplacian: equal to the paper's, entry by entry, for any part of the picture."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from goldsmith.ops.cutout.laplacian import MIN_VARIANCE, fit_colour_lines, matting_system
from goldsmith.picture.picture import Pixels


def _paper_laplacian(pixels: Pixels) -> NDArray[np.float64]:
    """Return the sum over all windows of (delta - G), as in the paper's equation 12."""
    height, width, channels = pixels.shape
    laplacian = np.zeros((height * width, height * width))
    for y, x in product(range(1, height - 1), range(1, width - 1)):
        window = [(y + down) * width + x + across for down, across in product((-1, 0, 1), repeat=2)]
        colours = pixels.reshape(-1, channels)[window].astype(float)
        deviations = colours - colours.mean(axis=0)
        covariance = deviations.T @ deviations / 9 + np.eye(channels) * MIN_VARIANCE / 9
        laplacian[np.ix_(window, window)] += np.eye(9) - (1 + deviations @ np.linalg.inv(covariance) @ deviations.T) / 9
    return laplacian


@pytest.mark.parametrize("channels", [1, 3])
def test_the_system_equals_the_paper_s(channels: int) -> None:
    """Matrix and right side of some unknown pixels, at the border and isolated, are those of the whole picture's Laplacian."""
    random = np.random.default_rng(1)
    pixels, alpha = random.random((12, 15, channels), np.float32), random.random((12, 15), np.float32)
    unknown = np.zeros((12, 15), np.bool_)
    unknown[3:9, 4:11] = unknown[0, 0] = unknown[11, 5] = True
    system = matting_system(pixels, alpha, unknown, 0.25)
    whole = _paper_laplacian(pixels)
    inside, outside = np.flatnonzero(unknown), np.flatnonzero(~unknown)
    assert system.matrix.toarray() == pytest.approx(whole[np.ix_(inside, inside)] + 0.25 * np.eye(len(inside)), abs=1e-6)
    values = alpha.reshape(-1).astype(float)
    assert system.rhs == pytest.approx(0.25 * values[inside] - whole[np.ix_(inside, outside)] @ values[outside], abs=1e-6)


def test_an_alpha_linear_in_colour_solves_its_own_system() -> None:
    """Such an alpha has no cost."""
    random = np.random.default_rng(2)
    pixels = random.random((20, 20, 3), np.float32)
    alpha = pixels @ np.float32([0.2, 0.5, 0.1]) + np.float32(0.1)
    unknown = np.zeros((20, 20), np.bool_)
    unknown[5:15, 5:15] = True
    system = matting_system(pixels, alpha, unknown, 0.0)
    assert np.abs(system.matrix @ alpha[unknown].astype(float) - system.rhs).max() < 1e-4


def test_fitted_colour_lines_are_the_original_ones() -> None:
    """Slopes and offsets are recovered at unknown pixels; elsewhere the slope is 0 and the offset is alpha itself."""
    random = np.random.default_rng(3)
    pixels = random.random((20, 20, 3), np.float32)
    alpha = pixels @ np.float32([0.2, 0.5, 0.1]) + np.float32(0.1)
    unknown = np.zeros((20, 20), np.bool_)
    unknown[8:12, 8:12] = True
    slope, offset = fit_colour_lines(pixels, alpha, unknown)
    assert slope[10, 10] == pytest.approx([0.2, 0.5, 0.1], abs=0.01)
    assert offset[10, 10] == pytest.approx(0.1, abs=0.01)
    assert not slope[1, 1].any()
    assert offset[1, 1] == alpha[1, 1]
