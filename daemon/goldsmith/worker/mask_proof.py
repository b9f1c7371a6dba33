"""Law 4: outside the mask nothing changes. Counted after every step that uses masks, whatever the step says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.operation import PictureOperation, StepContext
from goldsmith.picture.crop_planning import find_mask_bounds
from goldsmith.picture.picture import Mask, Picture, Window, quantise

# Rows looked at together: what is compared stays in the cache, and a large picture costs no second copy of itself.
_BAND_ROWS = 64


@dataclass(frozen=True, slots=True)
class ChangeCount:
    """Pixels where the mask is zero, and how many of them have other codes than before."""

    pixels: int
    changed: int


def count_outside_changes(before: Picture, after: Picture, mask: Mask) -> ChangeCount:
    """Compare two pictures of one size where ``mask`` (h, w) is zero, at the bit depth of ``before``: colour and alpha.

    What is the very same memory in both, which nobody can write to, is the same and is not read. That is looked at, not believed:
    a step that laid patches into its picture is compared in their boxes, one that made new pixels is compared everywhere.
    Grey that became RGB is compared with every channel. Another profile or depth would give the same codes another meaning:
    then every pixel outside counts as changed.
    """
    pixels = _count_outside(mask)
    if (before.icc, before.depth) != (after.icc, after.depth) or (before.alpha is None) != (after.alpha is None):
        return ChangeCount(pixels, pixels)
    if before.channels != after.channels and 1 not in (before.channels, after.channels):
        return ChangeCount(pixels, pixels)
    patched = after.differing_windows(before)
    if patched is None or before.alpha is not after.alpha:
        return ChangeCount(pixels, sum(_count_changed(before, after, mask, rows) for rows in _bands(before)))
    if len(patched) < 2:
        return ChangeCount(pixels, sum(_count_changed(before, after, mask, window) for window in patched))
    changed = np.zeros(mask.shape, np.bool_)  # boxes may overlap, and a pixel counts once
    for window in patched:
        changed[window] = _outside_differs(before, after, mask, window)
    return ChangeCount(pixels, int(np.count_nonzero(changed)))


def count_original_changes(before: Picture, after: Picture, origin: tuple[int, int]) -> ChangeCount:
    """The pixels of a picture that was made larger, and how many of them have other codes where they stand in it: (left, top) in px.

    A picture that does not hold the whole of the old one there has changed every pixel of it.
    """
    left, top = origin
    rows, columns = slice(top, top + before.height), slice(left, left + before.width)
    if min(left, top) < 0 or rows.stop > after.height or columns.stop > after.width:
        return ChangeCount(before.height * before.width, before.height * before.width)
    cropped = after.with_geometry(after.pixels[rows, columns], lambda mask: mask[rows, columns])
    nowhere: Mask = np.zeros((before.height, before.width), dtype=np.float32)
    return count_outside_changes(before, cropped, nowhere)


def _count_outside(mask: Mask) -> int:
    """How many pixels of the mask are zero: only the box that holds the others has to be counted."""
    box = find_mask_bounds(mask)
    return int(mask.size) if box is None else int(mask.size) - int(np.count_nonzero(mask[box.window] > 0.0))


def _bands(picture: Picture) -> Iterator[Window]:
    for top in range(0, picture.height, _BAND_ROWS):
        yield slice(top, min(top + _BAND_ROWS, picture.height)), slice(0, picture.width)


def _count_changed(before: Picture, after: Picture, mask: Mask, window: Window) -> int:
    return int(np.count_nonzero(_outside_differs(before, after, mask, window)))


def _outside_differs(before: Picture, after: Picture, mask: Mask, window: Window) -> NDArray[np.bool_]:
    """(rows, columns) of the window: where the mask is zero and the codes are others."""
    outside = mask[window] <= 0.0
    differs = _differs(before.pixels_in(window), after.pixels_in(window), outside, before)
    if before.alpha is not None and after.alpha is not None and before.alpha is not after.alpha:
        differs |= _differs(before.alpha[window][..., None], after.alpha[window][..., None], outside, before)
    return differs


def _differs(before: NDArray[np.float32], after: NDArray[np.float32], outside: NDArray[np.bool_], picture: Picture) -> NDArray[np.bool_]:
    """Where a band (rows, w, c) has other codes, outside; floats that are equal need no rounding to codes."""
    unequal = before != after
    if not unequal.any():
        return np.zeros(outside.shape, np.bool_)
    differs: NDArray[np.bool_] = outside & unequal[:, :, 0]
    for channel in range(1, unequal.shape[2]):
        differs |= outside & unequal[:, :, channel]
    if differs.any():
        codes = quantise(before[differs], picture.depth) != quantise(after[differs], picture.depth)
        differs[differs] = codes.any(axis=1)
    return differs


def editable_region(operation: PictureOperation, picture: Picture, context: StepContext) -> Mask | None:
    """Where a step may change pixels: its ``where`` where it has one, else its masks together; None = anywhere."""
    if operation.keeps_region_only:
        return None
    names = operation.needs().masks
    where = getattr(operation, "where", None)
    if isinstance(where, str) and where:
        return context.detect.region(where, picture, operation.removes_content)
    masks = [picture.masks[name] for name in sorted(names)]
    return np.maximum.reduce(masks) if masks else None
