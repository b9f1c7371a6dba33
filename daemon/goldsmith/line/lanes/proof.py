"""Law 4: outside the mask nothing changes. Counted after every step that uses masks, whatever the step says of itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.plate.plate import Mask, Plate, quantised

_BAND = 64
"""Rows looked at together: what is compared stays in the cache, and a large picture costs no second copy of itself."""


@dataclass(frozen=True, slots=True)
class Count:
    """Pixels where the mask is zero, and how many of them have other codes than before."""

    pixels: int
    changed: int


def count_outside(before: Plate, after: Plate, mask: Mask) -> Count:
    """Compare two plates of one size where ``mask`` (h, w) is zero, at the bit depth of ``before``: colour and alpha.

    Grey that became RGB is compared with every channel. Another profile or depth would give the same codes another meaning:
    then every pixel outside counts as changed.
    """
    outside = mask <= 0.0
    pixels = int(np.count_nonzero(outside))
    if (before.icc, before.depth) != (after.icc, after.depth) or (before.alpha is None) != (after.alpha is None):
        return Count(pixels, pixels)
    if before.channels != after.channels and 1 not in (before.channels, after.channels):
        return Count(pixels, pixels)
    changed = 0
    for top in range(0, before.height, _BAND):
        rows = slice(top, top + _BAND)
        differs = _differs(before.pixels[rows], after.pixels[rows], outside[rows], before)
        if before.alpha is not None and after.alpha is not None:
            differs |= _differs(before.alpha[rows, :, None], after.alpha[rows, :, None], outside[rows], before)
        changed += int(np.count_nonzero(differs))
    return Count(pixels, changed)


def _differs(one: NDArray[np.float32], other: NDArray[np.float32], outside: NDArray[np.bool_], plate: Plate) -> NDArray[np.bool_]:
    """Where a band (rows, w, c) has other codes, outside; floats that are equal need no rounding to codes."""
    unequal = one != other
    if not unequal.any():
        return np.zeros(outside.shape, np.bool_)
    differs: NDArray[np.bool_] = outside & unequal[:, :, 0]
    for channel in range(1, unequal.shape[2]):
        differs |= outside & unequal[:, :, channel]
    if differs.any():
        codes = quantised(one[differs], plate.depth) != quantised(other[differs], plate.depth)
        differs[differs] = codes.any(axis=1)
    return differs
