"""Find banding, a smooth slope in steps of one or two codes, and make it smooth again.

An area is banded if nearly all pixels equal their neighbours, the few steps between them are one or two 8-bit codes high, and all of them
go the same way. Noise and dither step up as often as down, and a flat area does not step at all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.correct.defect import MAX_8BIT_CODE, BoolMask, Defect, connected_components, copy_with_repairs, expand_window
from goldsmith.ops.correct.slope_smoothing import (
    CELL,
    STEP_BINS,
    blend_into,
    cells_to_mask,
    count_steps,
    mean_step_height,
    neighbour_differences,
    smooth_within_bound,
)
from goldsmith.picture.picture import Mask, Pixels, freeze

# In codes. A smaller rise has a single step, which may be a real border.
_LEAST_RISE = 1.9
# Each cell is judged with so many cells around it: a square of 40 px.
_NEIGHBOURHOOD_CELLS = 5
# In codes. Two pixels are equal if they differ by less.
_FLAT_TOLERANCE = 0.02
_MAX_STEP = 2.1
# Minimum share of pixels that equal their neighbours.
_MIN_FLAT_SHARE = 0.8
# Steps per px of distance. Wider bands are not a slope.
_MIN_STEPS_PER_PX = 1 / 160
# How many more of the steps must go one way than the other, as a share of all steps.
_MIN_DIRECTION_AGREEMENT = 0.6
_LEAST_CELLS = 48
# Share of the picture. Smaller areas are JPEG blocks in out-of-focus parts and not visible.
_MIN_AREA_SHARE = 0.005
# In codes. If the steps are one code high, no value moves further: rounding changed it by at most half a code. For higher steps, twice as
# much.
_MAX_CHANGE_CODES = 0.5
_DOUBLE_STEP_SHARE = 0.3
_SIGMAS = (48.0, 24.0, 12.0, 6.0, 3.0)
# After the correction, less than this share of the steps must remain; otherwise the area was not a slope.
_MAX_REMAINING_SHARE = 0.47


def find(pixels: Pixels, strength: float = 1.0) -> list[Defect]:
    """Return the banded areas of ``pixels``, (h, w, c), 0..1, display-encoded, each with the pixels that correct it.

    A correction stays within one 8-bit code of the input, and mostly within half a code. The size of a defect is the height of its steps,
    in codes over 4 px.
    """
    height, width, channels = pixels.shape
    if min(height, width) < CELL * _NEIGHBOURHOOD_CELLS:
        return []
    cells = np.stack([_banded_cells(pixels[:, :, channel]) for channel in range(channels)])
    defects: list[Defect] = []
    min_cells = max(_LEAST_CELLS, round(_MIN_AREA_SHARE * height * width / CELL**2))
    for cell_window, component in connected_components(np.asarray(cells.any(axis=0)), min_cells):
        rows, columns = (slice(span.start * CELL, span.stop * CELL) for span in cell_window)
        banded_cells = cells[:, cell_window[0], cell_window[1]] & component
        window = expand_window((rows, columns), 0, height, width)
        smoothed = copy_with_repairs(pixels, window, defects)
        before, after = _remove_bands(smoothed, banded_cells, strength)
        if before > 0 and after < _MAX_REMAINING_SHARE * before + (1 - strength):
            defects.append(Defect(window, before, after, (window, freeze(smoothed))))
    return defects


def _banded_cells(plane: Mask) -> BoolMask:
    """Return which 8 x 8 px cells of a plane (h, w) are banded, as (h / 8, w / 8)."""
    import cv2

    rows, columns = plane.shape[0] // CELL, plane.shape[1] // CELL
    across, down = neighbour_differences(plane)

    def cell_mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.resize(values[: rows * CELL, : columns * CELL], (columns, rows), interpolation=cv2.INTER_AREA))

    def neighbourhood_mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.blur(values, (_NEIGHBOURHOOD_CELLS, _NEIGHBOURHOOD_CELLS), borderType=cv2.BORDER_REPLICATE))

    size = np.maximum(np.abs(across), np.abs(down))
    rough = cell_mean((size > _MAX_STEP).astype(np.float32)) > 0
    flat = cell_mean((size < _FLAT_TOLERANCE).astype(np.float32)) > _MIN_FLAT_SHARE - 0.2
    stepping = (size >= 0.5).astype(np.float32)
    step_share = neighbourhood_mean(cell_mean(stepping))
    fraction_share = neighbourhood_mean(cell_mean(((size >= _FLAT_TOLERANCE) & (size < 0.5)).astype(np.float32)))
    net_steps = np.hypot(
        neighbourhood_mean(cell_mean(np.sign(across) * (np.abs(across) > _FLAT_TOLERANCE))),
        neighbourhood_mean(cell_mean(np.sign(down) * (np.abs(down) > _FLAT_TOLERANCE))),
    )
    all_steps = (
        neighbourhood_mean(cell_mean((np.abs(across) > _FLAT_TOLERANCE).astype(np.float32))),
        neighbourhood_mean(cell_mean((np.abs(down) > _FLAT_TOLERANCE).astype(np.float32))),
    )
    same_direction = net_steps > _MIN_DIRECTION_AGREEMENT * np.hypot(*all_steps)
    seed = ~rough & flat & (step_share > _MIN_STEPS_PER_PX) & (step_share < 1 - _MIN_FLAT_SHARE) & same_direction & (fraction_share < 0.02)
    closing = np.ones((5, 5), np.uint8)
    closed = cv2.morphologyEx(seed.astype(np.uint8), cv2.MORPH_CLOSE, closing) > 0
    smooth = closed & ~rough & flat
    return np.asarray(cv2.morphologyEx(smooth.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0)


def _remove_bands(part: Pixels, cells: NDArray[np.bool_], strength: float) -> tuple[float, float]:
    """Smooth the slopes of an area, (h, w, c), 0..1, in place, and return the height of the steps before and after."""
    before, after = [], []
    for channel, marked in enumerate(cells):
        if not marked.any():
            continue
        plane = np.ascontiguousarray(part[:, :, channel])
        inside = cells_to_mask(marked, plane.shape, has_hard_edges=True)
        if np.ptp(plane[inside > 0]) * MAX_8BIT_CODE < _LEAST_RISE:
            continue
        smooth = smooth_within_bound(plane, inside, _bound(plane, inside), _SIGMAS)
        weight = cells_to_mask(marked, plane.shape, has_hard_edges=False)
        weight *= np.float32(strength)
        blend_into(part[:, :, channel], smooth, weight)
        before.append(mean_step_height(plane, plane, inside))
        after.append(mean_step_height(plane, part[:, :, channel], inside))
    return max(before, default=0.0), max(after, default=0.0)


def _bound(plane: Mask, inside: Mask) -> float:
    """Return by how many codes a value may change: twice as much if many steps are two codes high."""
    counts = count_steps(plane, inside)
    high_steps, all_steps = (int(counts[round(least * STEP_BINS) :].sum()) for least in (1.5, 0.5))
    return _MAX_CHANGE_CODES * (2 if high_steps > _DOUBLE_STEP_SHARE * all_steps else 1)
