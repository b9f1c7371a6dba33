"""The proof that outside the mask nothing changes: changed pixels are counted after every step that uses masks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.operation import PictureOperation, StepContext
from goldsmith.picture.crop_planning import find_mask_bounds
from goldsmith.picture.picture import Mask, Picture, Window, quantise

# Rows compared together: they stay in the CPU cache, and a large picture needs no second copy.
_BAND_ROWS = 64
# A difference of more codes of 8 bits is a change that can be seen.
VISIBLE_CODES = 2
# Pixels that are compared under a mask, about: the share is exact to 0.1 %.
_MAX_SAMPLES = 250_000


@dataclass(frozen=True, slots=True)
class ChangeCount:
    """The number of pixels where the mask is zero, and how many of them have changed codes."""

    pixels: int
    changed: int


def count_outside_changes(before: Picture, after: Picture, mask: Mask) -> ChangeCount:
    """Compare two pictures of one size where ``mask`` (h, w), 0..1, is zero, at the bit depth of ``before``: colour and alpha.

    Read-only memory that both share is not read. The comparison itself finds out what they share: a picture with new patches is compared
    in their boxes, a picture with new pixels everywhere. Grey that became RGB is compared with every channel. With another profile or depth
    the same codes mean other colours: then every pixel outside counts as changed.
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
    changed = np.zeros(mask.shape, np.bool_)  # boxes may overlap, and a pixel counts only once
    for window in patched:
        changed[window] = _outside_differs(before, after, mask, window)
    return ChangeCount(pixels, int(np.count_nonzero(changed)))


def count_original_changes(before: Picture, after: Picture, origin: tuple[int, int]) -> ChangeCount:
    """Count the pixels of a picture that was enlarged, and those with changed codes; ``origin`` is its (left, top) in the result, in px.

    If the result does not contain the whole picture at that place, every pixel of it counts as changed.
    """
    left, top = origin
    rows, columns = slice(top, top + before.height), slice(left, left + before.width)
    if min(left, top) < 0 or rows.stop > after.height or columns.stop > after.width:
        return ChangeCount(before.height * before.width, before.height * before.width)
    cropped = after.with_geometry(after.pixels[rows, columns], lambda mask: mask[rows, columns])
    empty: Mask = np.zeros((before.height, before.width), dtype=np.float32)
    return count_outside_changes(before, cropped, empty)


def measure_changed_share(before: Picture, after: Picture, mask: Mask) -> float | None:
    """Return the share of the pixels under the mask (h, w), 0..1, that differ by more than ``VISIBLE_CODES``; None if there are none.

    The pixels with a mask above 0.5 count, or all above 0 if there are none. A large region is sampled, so that its size costs nothing.
    """
    box = find_mask_bounds(mask)
    if box is None:
        return None
    height, width = box.bottom - box.top, box.right - box.left
    step = max(1, math.isqrt(height * width // _MAX_SAMPLES))
    sample = mask[box.top : box.bottom : step, box.left : box.right : step]
    is_masked = sample > 0.5 if bool((sample > 0.5).any()) else sample > 0
    limit, changed, columns = np.float32(VISIBLE_CODES / 255), 0, slice(box.left, box.right)
    for row, selected in zip(range(box.top, box.bottom, step), is_masked, strict=True):
        window = slice(row, row + 1), columns
        differences = np.abs(after.pixels_in(window)[0, ::step] - before.pixels_in(window)[0, ::step])
        changed += int(np.count_nonzero((differences > limit).any(axis=1) & selected))
    return changed / max(1, int(np.count_nonzero(is_masked)))


def _count_outside(mask: Mask) -> int:
    """Return the number of zero pixels in the mask. Only the bounding box of the others has to be counted."""
    box = find_mask_bounds(mask)
    return int(mask.size) if box is None else int(mask.size) - int(np.count_nonzero(mask[box.window] > 0.0))


def _bands(picture: Picture) -> Iterator[Window]:
    for top in range(0, picture.height, _BAND_ROWS):
        yield slice(top, min(top + _BAND_ROWS, picture.height)), slice(0, picture.width)


def _count_changed(before: Picture, after: Picture, mask: Mask, window: Window) -> int:
    return int(np.count_nonzero(_outside_differs(before, after, mask, window)))


def _outside_differs(before: Picture, after: Picture, mask: Mask, window: Window) -> NDArray[np.bool_]:
    """Return, for each pixel of the window (rows, columns), whether the mask is zero and the codes differ."""
    outside = mask[window] <= 0.0
    differs = _differs(before.pixels_in(window), after.pixels_in(window), outside, before)
    if before.alpha is not None and after.alpha is not None and before.alpha is not after.alpha:
        differs |= _differs(before.alpha[window][..., None], after.alpha[window][..., None], outside, before)
    return differs


def _differs(before: NDArray[np.float32], after: NDArray[np.float32], outside: NDArray[np.bool_], picture: Picture) -> NDArray[np.bool_]:
    """Return where the codes of a band (rows, w, c) differ outside the mask; equal floats need no rounding to codes."""
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
    """Return where a step may change pixels, (h, w), 0..1: its ``where`` if it has one, else its masks together; None = everywhere."""
    if operation.keeps_region_only:
        return None
    names = operation.needs().masks
    where = getattr(operation, "where", None)
    if isinstance(where, str) and where:
        return operation.extend_region(picture, context.detect.region(where, picture, operation.removes_content))
    masks = [picture.masks[name] for name in sorted(names)]
    return np.maximum.reduce(masks) if masks else None
