"""Law 4: outside the mask nothing changes. Counted after every step that uses masks, whatever the step says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.operation import Bench, PlateOperation
from goldsmith.picture.patches import extent
from goldsmith.picture.picture import Mask, Plate, Window, quantised

_BAND = 64
"""Rows looked at together: what is compared stays in the cache, and a large picture costs no second copy of itself."""


@dataclass(frozen=True, slots=True)
class Count:
    """Pixels where the mask is zero, and how many of them have other codes than before."""

    pixels: int
    changed: int


def count_outside(before: Plate, after: Plate, mask: Mask) -> Count:
    """Compare two plates of one size where ``mask`` (h, w) is zero, at the bit depth of ``before``: colour and alpha.

    What is the very same memory in both, which nobody can write to, is the same and is not read. That is looked at, not believed:
    a step that laid patches into its plate is compared in their boxes, one that made new pixels is compared everywhere.
    Grey that became RGB is compared with every channel. Another profile or depth would give the same codes another meaning:
    then every pixel outside counts as changed.
    """
    pixels = _outside(mask)
    if (before.icc, before.depth) != (after.icc, after.depth) or (before.alpha is None) != (after.alpha is None):
        return Count(pixels, pixels)
    if before.channels != after.channels and 1 not in (before.channels, after.channels):
        return Count(pixels, pixels)
    patched = after.apart_from(before)
    if patched is None or before.alpha is not after.alpha:
        return Count(pixels, sum(_changed(before, after, mask, rows) for rows in _bands(before)))
    if len(patched) < 2:
        return Count(pixels, sum(_changed(before, after, mask, window) for window in patched))
    changed = np.zeros(mask.shape, np.bool_)  # boxes may overlap, and a pixel counts once
    for window in patched:
        changed[window] = _outside_differs(before, after, mask, window)
    return Count(pixels, int(np.count_nonzero(changed)))


def count_old(before: Plate, after: Plate, stands: tuple[int, int]) -> Count:
    """The pixels of a plate that was made larger, and how many of them have other codes where they stand in it: (left, top) in px.

    A plate that does not hold the whole of the old one there has changed every pixel of it.
    """
    left, top = stands
    rows, columns = slice(top, top + before.height), slice(left, left + before.width)
    if min(left, top) < 0 or rows.stop > after.height or columns.stop > after.width:
        return Count(before.height * before.width, before.height * before.width)
    cropped = after.reshaped(after.pixels[rows, columns], lambda mask: mask[rows, columns])
    nowhere: Mask = np.zeros((before.height, before.width), dtype=np.float32)
    return count_outside(before, cropped, nowhere)


def _outside(mask: Mask) -> int:
    """How many pixels of the mask are zero: only the box that holds the others has to be counted."""
    box = extent(mask)
    return int(mask.size) if box is None else int(mask.size) - int(np.count_nonzero(mask[box.window] > 0.0))


def _bands(plate: Plate) -> Iterator[Window]:
    for top in range(0, plate.height, _BAND):
        yield slice(top, min(top + _BAND, plate.height)), slice(0, plate.width)


def _changed(before: Plate, after: Plate, mask: Mask, window: Window) -> int:
    return int(np.count_nonzero(_outside_differs(before, after, mask, window)))


def _outside_differs(before: Plate, after: Plate, mask: Mask, window: Window) -> NDArray[np.bool_]:
    """(rows, columns) of the window: where the mask is zero and the codes are others."""
    outside = mask[window] <= 0.0
    differs = _differs(before.window(window), after.window(window), outside, before)
    if before.alpha is not None and after.alpha is not None and before.alpha is not after.alpha:
        differs |= _differs(before.alpha[window][..., None], after.alpha[window][..., None], outside, before)
    return differs


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


def reach(operation: PlateOperation, plate: Plate, bench: Bench) -> Mask | None:
    """Where a step may change pixels: its ``where`` where it has one, else its masks together; None = anywhere."""
    if operation.cuts:
        return None
    names = operation.needs().masks
    where = getattr(operation, "where", None)
    if isinstance(where, str) and where:
        return bench.region(where, plate, operation.removes)
    masks = [plate.masks[name] for name in sorted(names)]
    return np.maximum.reduce(masks) if masks else None
