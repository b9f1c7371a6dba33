"""The matting Laplacian of Levin, Lischinski and Weiss ("A Closed-Form Solution to Natural Image Matting", 2008) where it is needed.

In a small window alpha is taken for a line through colour space, alpha = a . I + b; the Laplacian is what it costs not to be one. Here
only the windows that touch open pixels are looked at, so the work is that of the band and not that of the picture.
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

Flags = NDArray[np.bool_]
Vector = NDArray[np.float64]

EPS = 1e-6
"""How much a window's colours vary by themselves, as a variance of display values: at the least, by the rounding of 8 bits."""
_FIT = 1e-4
"""The same for lines that are carried over to a finer picture."""
_AROUND = tuple(product((-1, 0, 1), repeat=2))
_COUNT = len(_AROUND)
_REACH = 2
"""How far apart two pixels of one window lie at most."""


@dataclass(frozen=True, slots=True)
class System:
    """matrix @ alpha = right for the open pixels, in the order of the rows of the picture."""

    matrix: csr_array
    right: Vector


def system(pixels: Pixels, alpha: Mask, open_: Flags, pull: float, noise: float = EPS) -> System:
    """The equations of the pixels (h, w, c) that are ``open_``; the others are held at what ``alpha`` (h, w) says.

    ``pull``: how strongly an open pixel is drawn to what ``alpha`` says there, beside what its neighbours say; above 0 there is always
    one answer. ``noise``: how much a window's colours vary by themselves, as a variance of display values.
    """
    wide = pixels.shape[1] + 2 * _REACH
    at = np.flatnonzero(np.pad(open_, _REACH))
    weights = _weights(pixels, open_, wide, noise)
    number = np.zeros(wide * (pixels.shape[0] + 2 * _REACH), np.int32)
    number[at] = np.arange(len(at), dtype=np.int32)
    free = np.pad(open_, _REACH).reshape(-1).astype(np.float64)
    held = np.pad(np.where(open_, 0.0, alpha), _REACH).reshape(-1)
    steps = sorted({*weights, *(-step for step in weights)})
    columns, values = np.empty((len(steps), len(at)), np.int32), np.empty((len(steps), len(at)), np.float64)
    right = pull * alpha[open_].astype(np.float64)
    for index, step in enumerate(steps):
        there = at + step
        entry = weights[step][at] if step >= 0 else weights[-step][there]
        right -= entry * held[there]
        columns[index] = number[there]
        np.multiply(entry, free[there], out=values[index])  # a partner that is held has its part on the right, and 0 here
    values[steps.index(0)] += pull
    return System(_sparse(columns, values), right)


def _sparse(columns: NDArray[np.int32], values: Vector) -> csr_array:
    import cv2
    from scipy.sparse import csr_array

    many, count = columns.shape
    starts = np.arange(0, many * count + 1, many, dtype=np.int32)
    turned = (np.asarray(cv2.transpose(plane)).reshape(-1) for plane in (values, columns))  # several times as fast as numpy
    return csr_array((*turned, starts), shape=(count, count))


def _weights(pixels: Pixels, open_: Flags, wide: int, noise: float) -> dict[int, Vector]:
    """The Laplacian's entries by how far on (in px of rows ``wide`` long) a pixel's partner lies, each over the padded picture."""
    import cv2

    steps = sorted({(y2 - y1) * wide + x2 - x1 for (y1, x1), (y2, x2) in product(_AROUND, repeat=2)})
    planes = {step: np.zeros((pixels.shape[0] + 2 * _REACH) * wide, np.float64) for step in steps if step >= 0}
    seen = cv2.dilate(open_.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    seen[[0, -1]] = seen[:, [0, -1]] = False  # a window lies wholly in the picture
    centres = np.flatnonzero(np.pad(seen, _REACH))
    flat = np.pad(pixels, ((_REACH, _REACH), (_REACH, _REACH), (0, 0))).reshape(-1, pixels.shape[2])
    for part in range(0, len(centres), _BATCH):
        _add_windows(planes, flat, centres[part : part + _BATCH], wide, noise)
    return planes


_BATCH = 1 << 13
"""Windows looked at together, so that they stay in the cache."""


def _windows(flat: Pixels, centres: NDArray[np.int64], wide: int) -> tuple[Vector, Vector]:
    """Of the windows at ``centres`` how far each pixel's colour is from its window's mean (c, 9, n), and that mean (c, n)."""
    seen = np.stack([flat[centres + y * wide + x] for y, x in _AROUND]).astype(np.float64)  # singles are not exact enough
    mean = seen.mean(axis=0)
    return np.ascontiguousarray((seen - mean).transpose(2, 0, 1)), mean.T  # long rows are fast


def _add_windows(planes: dict[int, Vector], flat: Pixels, centres: NDArray[np.int64], wide: int, noise: float) -> None:
    offsets = [y * wide + x for y, x in _AROUND]
    apart, _ = _windows(flat, centres, wide)
    along = _along(apart, noise)
    for first in range(_COUNT):
        shares = (apart[:, first, None] * along[:, first:]).sum(axis=0)  # with itself and the windows' later pixels
        shares += 1
        shares *= -1 / _COUNT
        shares[0] += 1
        rows = centres + offsets[first]
        planes[0][rows] += shares[0]
        for second in range(first + 1, _COUNT):
            planes[offsets[second] - offsets[first]][rows] += shares[second - first]


def lines(pixels: Pixels, alpha: Mask, open_: Flags) -> tuple[Pixels, Mask]:
    """The lines alpha = slope . colour + offset that fit best in the windows round pixels near ``open_``: (h, w, c) and (h, w).

    Elsewhere the slope is 0 and the offset is alpha.
    """
    import cv2

    near = cv2.dilate(open_.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    near[[0, -1]] = near[:, [0, -1]] = False
    slope, offset = np.zeros_like(pixels), alpha.copy()
    wide, flat, values = pixels.shape[1], pixels.reshape(-1, pixels.shape[2]), alpha.reshape(-1)
    centres = np.flatnonzero(near)
    for part in range(0, len(centres), _BATCH):
        at = centres[part : part + _BATCH]
        apart, mean = _windows(flat, at, wide)
        seen = np.stack([values[at + y * wide + x] for y, x in _AROUND]).astype(np.float64)
        found = np.einsum("ckn,kn->cn", _along(apart, _FIT), seen) / _COUNT
        slope.reshape(flat.shape)[at] = found.T
        offset.reshape(-1)[at] = seen.mean(axis=0) - (found * mean).sum(axis=0)
    return slope, offset


def _along(apart: Vector, eps: float) -> Vector:
    """The inverse of each window's spread of colours, times each of its pixels: (c, 9, n), as ``apart`` is."""
    spread = np.einsum("ckn,dkn->cdn", apart, apart) / _COUNT
    for channel in range(len(apart)):
        spread[channel, channel] += eps / _COUNT
    if len(apart) == 1:
        return np.asarray(apart / spread[0])
    (a, b, c), (_, d, e), (_, _, f) = spread
    first, second, third = d * f - e * e, c * e - b * f, b * e - c * d
    whole = a * first + b * second + c * third
    parts = (first, second, third, a * f - c * c, b * c - a * e, a * d - b * b)
    m, n, o, p, q, r = (part / whole for part in parts)
    x, y, z = apart
    return np.stack([m * x + n * y + o * z, n * x + p * y + q * z, o * x + q * y + r * z])
