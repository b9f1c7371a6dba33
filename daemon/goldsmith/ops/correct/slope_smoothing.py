"""Smooth slopes of 8 px cells whose values were rounded: each value stays within a bound of the rounded one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.correct.defect import MAX_8BIT_CODE, BoolMask
from goldsmith.picture.picture import Mask
from goldsmith.picture.smoothing import gaussian_blur, resize_values

CELL = 8
# Bins of ``count_steps`` to a code.
STEP_BINS = 64
_LAST_SIGMA = 2.0
# In codes.
_LEAST_STEP = 0.5
_STRIP_ROWS = 128


def neighbour_differences(plane: Mask) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the differences of a plane (h, w), 0..1, to the next column and to the next row, in 8-bit codes; 0 at the last one."""
    across, down = np.zeros_like(plane), np.zeros_like(plane)
    np.subtract(plane[:, 1:], plane[:, :-1], out=across[:, :-1])
    np.subtract(plane[1:], plane[:-1], out=down[:-1])
    across *= MAX_8BIT_CODE
    down *= MAX_8BIT_CODE
    return across, down


def cells_to_mask(cells: BoolMask, shape: tuple[int, ...], *, has_hard_edges: bool) -> Mask:
    """Return cells (h / 8, w / 8) as a mask (h, w), 0..1: whole cells, or faded out within the outermost ones."""
    import cv2

    height, width = shape
    mask = np.zeros((height, width), np.float32)
    whole = np.repeat(np.repeat(cells, CELL, axis=0), CELL, axis=1)[:height, :width]
    mask[: whole.shape[0], : whole.shape[1]] = whole
    if has_hard_edges:
        return mask
    mask = np.asarray(cv2.blur(mask, (9, 9), borderType=cv2.BORDER_REPLICATE), np.float32)
    mask *= 2
    mask -= 1
    return np.clip(mask, 0, 1, out=mask)


def smooth_within_bound(plane: Mask, inside: Mask, bound: float, sigmas: Sequence[float]) -> Mask:
    """Return the smoothest slope within ``bound`` codes of a plane (h, w), 0..1, where the mask (h, w) is not 0.

    By alternating projections: blur, clip to the bound, and repeat with the next, smaller sigma in px.
    """
    reach = np.float32(bound / MAX_8BIT_CODE)
    result = plane
    for sigma in (*sigmas, _LAST_SIGMA):
        blurred = _masked_blur(result, inside, sigma)
        for rows in _strips(plane.shape[0]):
            limited = np.clip(blurred[rows], plane[rows] - reach, plane[rows] + reach)
            blurred[rows] = np.where(inside[rows] > 0, limited, plane[rows])
        result = blurred
    return result


def blend_into(target: Mask, smooth: Mask, weight: Mask) -> None:
    """Move a plane (h, w), 0..1, towards a smooth one by the weight (h, w), 0..1, in place; nothing changes where the weight is 0."""
    for rows in _strips(target.shape[0]):
        before, share = target[rows], weight[rows]
        target[rows] = np.where(share > 0, before + (smooth[rows] - before) * share, before)


def _strips(height: int) -> list[slice]:
    """Return slices of rows that together make up the height."""
    return [slice(top, min(top + _STRIP_ROWS, height)) for top in range(0, height, _STRIP_ROWS)]


def _masked_blur(plane: Mask, inside: Mask, sigma: float) -> Mask:
    """Return the plane blurred from inside pixels alone; large blurs run at a reduced size."""
    height, width = plane.shape
    shrink = max(1, int(sigma // 6))
    small = max(1, height // shrink), max(1, width // shrink)
    values, weight = plane * inside, inside
    if shrink > 1:
        values, weight = resize_values(values, *small), resize_values(weight, *small)
    values = gaussian_blur(values, sigma / shrink)
    weight = gaussian_blur(weight, sigma / shrink)
    np.maximum(weight, np.float32(1e-4), out=weight)
    values /= weight
    return resize_values(values, height, width) if shrink > 1 else values


def mean_step_height(original: Mask, result: Mask, inside: Mask) -> float:
    """Return how far ``result`` rises over 4 px at the steps of ``original``, in codes, in the direction of each step; both are planes
    (h, w), 0..1, and only steps under the mask (h, w) count.
    """
    sums, count = 0.0, 0
    for rows in _strips(original.shape[0]):
        # Steps down need two rows before and three after.
        around = slice(max(0, rows.start - 2), rows.stop + 3)
        for part, axis in ((around, 0), (rows, 1)):
            total, number = _sum_steps(*(np.moveaxis(each[part], axis, 0) for each in (original, result, inside)))
            sums += total
            count += number
    return round(sums / count, 3) if count else 0.0


def _sum_steps(original: Mask, result: Mask, inside: Mask) -> tuple[float, int]:
    """Return the sum of the rises of ``result`` at the steps between the rows of ``original``, in codes, and their number."""
    if len(result) <= 5:
        return 0.0, 0
    step = (original[1:] - original[:-1])[2:-2] * MAX_8BIT_CODE
    rise = (result[4:-1] + result[3:-2] - result[1:-4] - result[2:-3]) * (MAX_8BIT_CODE / 2)
    is_step = (inside[2:-3] > 0) & (np.abs(step) >= _LEAST_STEP)
    return float((np.sign(step) * rise)[is_step].sum(dtype=np.float64)), int(is_step.sum())


def count_steps(plane: Mask, inside: Mask) -> NDArray[np.int64]:
    """Return how many differences of a plane (h, w), 0..1, under the mask (h, w) are 0, 1, 2 ... 64ths of a code, up to 32 codes."""
    counts = np.zeros(32 * STEP_BINS + 1, np.int64)
    for rows in _strips(plane.shape[0]):
        is_inside = inside[rows] > 0
        across, down = neighbour_differences(plane[rows.start : rows.stop + 1])
        for differences in (across[: len(is_inside)], down[: len(is_inside)]):
            bins = np.minimum(np.rint(np.abs(differences[is_inside]) * STEP_BINS), len(counts) - 1).astype(np.int32)
            counts += np.bincount(bins, minlength=len(counts))
    return counts
