"""The matting Laplacian of Levin, Lischinski and Weiss ("A Closed-Form Solution to Natural Image Matting", 2008), for unknown pixels only.

Within a small window, alpha is assumed to be a line through colour space, alpha = a . I + b; the Laplacian is the cost of deviating from
it. Only windows that touch unknown pixels are computed, so the work follows the band and not the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Mask, Pixels

if TYPE_CHECKING:
    from scipy.sparse import csr_array

BoolMask = NDArray[np.bool_]
Vector = NDArray[np.float64]

# Minimum variance of a window's colours, in display values: that of 8-bit rounding.
MIN_VARIANCE = 1e-6
# The same for colour lines that are transferred to a finer picture.
_LINE_FIT_VARIANCE = 1e-4
_WINDOW_OFFSETS = tuple(product((-1, 0, 1), repeat=2))
_WINDOW_PIXELS = len(_WINDOW_OFFSETS)
# Maximum distance of two pixels of one window.
_NEIGHBOUR_REACH = 2


@dataclass(frozen=True, slots=True)
class LinearSystem:
    """matrix @ alpha = rhs for the unknown pixels, in row order."""

    matrix: csr_array
    rhs: Vector


def matting_system(
    pixels: Pixels, alpha: Mask, unknown: BoolMask, guess_weight: float, noise_variance: float = MIN_VARIANCE
) -> LinearSystem:
    """Return the equations of the ``unknown`` pixels, (h, w), bool, of ``pixels`` (h, w, c), 0..1, display-encoded; the others are fixed at
    ``alpha`` (h, w), 0..1.

    ``guess_weight`` is how strongly an unknown pixel is drawn to its value in ``alpha``, relative to its neighbours; above 0 there is
    always one solution. ``noise_variance`` is the variance of a window's colours without an edge, in display values.
    """
    row_length = pixels.shape[1] + 2 * _NEIGHBOUR_REACH
    indices = np.flatnonzero(np.pad(unknown, _NEIGHBOUR_REACH))
    weights = _laplacian_entries(pixels, unknown, row_length, noise_variance)
    number = np.zeros(row_length * (pixels.shape[0] + 2 * _NEIGHBOUR_REACH), np.int32)
    number[indices] = np.arange(len(indices), dtype=np.int32)
    is_unknown = np.pad(unknown, _NEIGHBOUR_REACH).reshape(-1).astype(np.float64)
    fixed_alpha = np.pad(np.where(unknown, 0.0, alpha), _NEIGHBOUR_REACH).reshape(-1)
    steps = sorted({*weights, *(-step for step in weights)})
    columns, values = np.empty((len(steps), len(indices)), np.int32), np.empty((len(steps), len(indices)), np.float64)
    rhs = guess_weight * alpha[unknown].astype(np.float64)
    for index, step in enumerate(steps):
        neighbours = indices + step
        entry = weights[step][indices] if step >= 0 else weights[-step][neighbours]
        rhs -= entry * fixed_alpha[neighbours]
        columns[index] = number[neighbours]
        np.multiply(entry, is_unknown[neighbours], out=values[index])  # a fixed neighbour moves to the right-hand side and is 0 here
    values[steps.index(0)] += guess_weight
    return LinearSystem(_sparse_matrix(columns, values), rhs)


def _sparse_matrix(columns: NDArray[np.int32], values: Vector) -> csr_array:
    import cv2
    from scipy.sparse import csr_array

    per_row, count = columns.shape
    starts = np.arange(0, per_row * count + 1, per_row, dtype=np.int32)
    transposed = (np.asarray(cv2.transpose(plane)).reshape(-1) for plane in (values, columns))  # several times as fast as numpy
    return csr_array((*transposed, starts), shape=(count, count))


def _laplacian_entries(pixels: Pixels, unknown: BoolMask, row_length: int, noise_variance: float) -> dict[int, Vector]:
    """Return the Laplacian's entries by the distance of the neighbour in the padded rows, each over the padded picture."""
    import cv2

    steps = sorted({(y2 - y1) * row_length + x2 - x1 for (y1, x1), (y2, x2) in product(_WINDOW_OFFSETS, repeat=2)})
    planes = {step: np.zeros((pixels.shape[0] + 2 * _NEIGHBOUR_REACH) * row_length, np.float64) for step in steps if step >= 0}
    is_centre = cv2.dilate(unknown.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    is_centre[[0, -1]] = is_centre[:, [0, -1]] = False  # a window lies completely in the picture
    centres = np.flatnonzero(np.pad(is_centre, _NEIGHBOUR_REACH))
    flat = np.pad(pixels, ((_NEIGHBOUR_REACH, _NEIGHBOUR_REACH), (_NEIGHBOUR_REACH, _NEIGHBOUR_REACH), (0, 0))).reshape(-1, pixels.shape[2])
    for part in range(0, len(centres), _WINDOW_BATCH):
        _add_windows(planes, flat, centres[part : part + _WINDOW_BATCH], row_length, noise_variance)
    return planes


# Windows per batch, so that they fit in the cache.
_WINDOW_BATCH = 1 << 13


def _window_deviations(flat: Pixels, centres: NDArray[np.int64], row_length: int) -> tuple[Vector, Vector]:
    """Return, for the windows at ``centres``, each pixel's deviation from its window's mean (c, 9, n), and that mean (c, n)."""
    colours = np.stack([flat[centres + y * row_length + x] for y, x in _WINDOW_OFFSETS]).astype(np.float64)  # float32 is not exact enough
    mean = colours.mean(axis=0)
    return np.ascontiguousarray((colours - mean).transpose(2, 0, 1)), mean.T  # long rows are fast


def _add_windows(planes: dict[int, Vector], flat: Pixels, centres: NDArray[np.int64], row_length: int, noise_variance: float) -> None:
    offsets = [y * row_length + x for y, x in _WINDOW_OFFSETS]
    deviations, _ = _window_deviations(flat, centres, row_length)
    weighted = _apply_inverse_covariance(deviations, noise_variance)
    for first in range(_WINDOW_PIXELS):
        shares = (deviations[:, first, None] * weighted[:, first:]).sum(axis=0)  # with itself and the later pixels of the window
        shares += 1
        shares *= -1 / _WINDOW_PIXELS
        shares[0] += 1
        rows = centres + offsets[first]
        planes[0][rows] += shares[0]
        for second in range(first + 1, _WINDOW_PIXELS):
            planes[offsets[second] - offsets[first]][rows] += shares[second - first]


def fit_colour_lines(pixels: Pixels, alpha: Mask, unknown: BoolMask) -> tuple[Pixels, Mask]:
    """Return the best-fitting lines alpha = slope . colour + offset near ``unknown`` pixels, as slopes (h, w, c) and offsets (h, w),
    unbounded.

    ``pixels`` is (h, w, c), 0..1, display-encoded, ``alpha`` (h, w), 0..1. Elsewhere the slope is 0 and the offset is alpha.
    """
    import cv2

    is_near = cv2.dilate(unknown.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    is_near[[0, -1]] = is_near[:, [0, -1]] = False
    slope, offset = np.zeros_like(pixels), alpha.copy()
    row_length, flat, values = pixels.shape[1], pixels.reshape(-1, pixels.shape[2]), alpha.reshape(-1)
    centres = np.flatnonzero(is_near)
    for part in range(0, len(centres), _WINDOW_BATCH):
        batch = centres[part : part + _WINDOW_BATCH]
        deviations, mean = _window_deviations(flat, batch, row_length)
        window_alpha = np.stack([values[batch + y * row_length + x] for y, x in _WINDOW_OFFSETS]).astype(np.float64)
        slopes = np.einsum("ckn,kn->cn", _apply_inverse_covariance(deviations, _LINE_FIT_VARIANCE), window_alpha) / _WINDOW_PIXELS
        slope.reshape(flat.shape)[batch] = slopes.T
        offset.reshape(-1)[batch] = window_alpha.mean(axis=0) - (slopes * mean).sum(axis=0)
    return slope, offset


def _apply_inverse_covariance(deviations: Vector, noise_variance: float) -> Vector:
    """Return the inverse of each window's colour covariance times each of its pixels, (c, 9, n)."""
    spread = np.einsum("ckn,dkn->cdn", deviations, deviations) / _WINDOW_PIXELS
    for channel in range(len(deviations)):
        spread[channel, channel] += noise_variance / _WINDOW_PIXELS
    if len(deviations) == 1:
        return np.asarray(deviations / spread[0])
    (a, b, c), (_, d, e), (_, _, f) = spread
    first, second, third = d * f - e * e, c * e - b * f, b * e - c * d
    determinant = a * first + b * second + c * third
    parts = (first, second, third, a * f - c * c, b * c - a * e, a * d - b * b)
    m, n, o, p, q, r = (part / determinant for part in parts)
    x, y, z = deviations
    return np.stack([m * x + n * y + o * z, n * x + p * y + q * z, o * x + q * y + r * z])
