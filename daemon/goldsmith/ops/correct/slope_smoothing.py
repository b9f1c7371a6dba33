"""Smooth slopes of 8 px cells whose values were rounded: each value stays within a bound of the rounded one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.correct.defect import MAX_8BIT_CODE, BoolMask
from goldsmith.picture.picture import Mask, Pixels
from goldsmith.picture.smoothing import gaussian_blur, resize_values

CELL = 8
_LAST_SIGMA = 2.0


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
    mask = np.repeat(np.repeat(cells, CELL, axis=0), CELL, axis=1).astype(np.float32)[:height, :width]
    mask = np.pad(mask, ((0, height - mask.shape[0]), (0, width - mask.shape[1])))
    if has_hard_edges:
        return mask
    return np.asarray(np.clip(2 * cv2.blur(mask, (9, 9), borderType=cv2.BORDER_REPLICATE) - 1, 0, 1), np.float32)


def smooth_within_bound(plane: Mask, inside: Mask, bound: float, sigmas: Sequence[float]) -> Mask:
    """Return the smoothest slope within ``bound`` codes of a plane (h, w), 0..1, where the mask (h, w) is not 0.

    By alternating projections: blur, clip to the bound, and repeat with the next, smaller sigma in px.
    """
    reach = np.float32(bound / MAX_8BIT_CODE)
    low, high = plane - reach, plane + reach
    result = plane
    for sigma in (*sigmas, _LAST_SIGMA):
        result = np.clip(_masked_blur(result, inside, sigma), low, high)
    return result


def _masked_blur(plane: Mask, inside: Mask, sigma: float) -> Mask:
    """Return the plane blurred from inside pixels alone; large blurs run at a reduced size."""
    height, width = plane.shape
    shrink = max(1, int(sigma // 6))
    small = max(1, height // shrink), max(1, width // shrink)
    pair: Pixels = np.stack([plane * inside, inside], axis=2).astype(np.float32)
    if shrink > 1:
        pair = resize_values(pair, *small)
    pair = gaussian_blur(pair, sigma / shrink)
    blurred = np.divide(pair[:, :, 0], np.maximum(pair[:, :, 1], np.float32(1e-4)), dtype=np.float32)
    return np.where(inside > 0, resize_values(blurred, height, width) if shrink > 1 else blurred, plane).astype(np.float32)


def mean_step_height(original: Mask, result: Mask, mask: BoolMask) -> float:
    """Return how far ``result`` rises over 4 px at the steps of ``original``, in codes, in the direction of each step; both are planes
    (h, w), 0..1, and only steps under the mask (h, w) count.
    """
    sums, count = 0.0, 0
    for axis in (0, 1):
        original_lines = np.moveaxis(original, axis, 0)
        result_lines = np.moveaxis(result, axis, 0)
        step = (original_lines[1:] - original_lines[:-1])[2:-2] * MAX_8BIT_CODE
        rise = (
            (result_lines[4:-1] + result_lines[3:-2] - result_lines[1:-4] - result_lines[2:-3]) * (MAX_8BIT_CODE / 2)
            if len(result_lines) > 5
            else step[:0]
        )
        is_step = np.moveaxis(mask, axis, 0)[2:-3] & (np.abs(step) >= 0.5)
        sums += float((np.sign(step) * rise)[is_step].sum())
        count += int(is_step.sum())
    return round(sums / count, 3) if count else 0.0
