"""Find posterised slopes, plateaus whose values differ by the same 3 to 12 codes, and make them smooth again.

An area is posterised if all its channels consist of plateaus, every step between them has nearly the same height, and the levels of at
least three plateaus are equally spaced. Photographs have no plateaus, drawings have steps of many heights, and the edges of drawn areas are
soft.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
from goldsmith.picture.picture import Mask, Pixels, freeze, quantise

# In codes. Two pixels are equal if they differ by less.
_FLAT_TOLERANCE = 0.02
# In codes. Lower steps are bands, and higher ones are drawn.
_MIN_STEP, _MAX_STEP = 2.5, 12.5
# In a cell, at least this share of the pixels must equal their neighbours, and at most this share may differ by less than a step.
_MIN_FLAT_SHARE, _MAX_FRACTION_SHARE = 0.4, 0.02
# A difference of more than two steps and a bit is an edge.
_MAX_DIFFERENCE = 2.1 * _MAX_STEP
_LEAST_SIDE = 40
_LEAST_CELLS = 48
# Share of the picture.
_MIN_AREA_SHARE = 0.005
# Steps count as equal if they differ by so many codes or by this share; this share of them must be equal.
_STEP_TOLERANCE, _STEP_TOLERANCE_SHARE = 1.05, 0.15
_MIN_EQUAL_SHARE = 0.8
# A value is a level if it covers this share of the area; all levels together must cover this share.
_MIN_LEVEL_SHARE, _MIN_COVERED_SHARE = 0.004, 0.97
# Levels that one channel must have, or that two channels must have each.
_LEVELS_OF_ONE, _LEVELS_OF_TWO = 4, 3
# px. The first blur is as wide as the plateaus, within these limits; each next one is half as wide.
_MIN_SIGMA, _MAX_SIGMA = 12.0, 192.0
_LEAST_SIGMA = 3.0
# After the correction, less than this share of the steps must remain.
_MAX_REMAINING_SHARE = 0.47
_STRIP_CELLS = 64


@dataclass(frozen=True, slots=True)
class _Plateaus:
    """The plateaus of one channel in an area: the step between them in codes, the number of levels, and their mean width in px."""

    step: float
    levels: int
    width: float


def find(pixels: Pixels, strength: float = 1.0) -> list[Defect]:
    """Return the posterised areas of ``pixels``, (h, w, c), 0..1, display-encoded, each with the pixels that correct it.

    No value moves by more than half a step. The size of a defect is the height of its steps, in codes over 4 px.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < _LEAST_SIDE:
        return []
    cells = _plateau_cells(pixels)
    min_cells = max(_LEAST_CELLS, round(_MIN_AREA_SHARE * height * width / CELL**2))
    defects: list[Defect] = []
    for cell_window, component in connected_components(cells, min_cells):
        rows, columns = (slice(span.start * CELL, span.stop * CELL) for span in cell_window)
        window = expand_window((rows, columns), 0, height, width)
        inside = cells_to_mask(component, pixels[window].shape[:2], has_hard_edges=True)
        plateaus = _measure_plateaus(pixels[window], inside)
        if not any(plateaus):
            continue
        smoothed = copy_with_repairs(pixels, window, defects)
        before, after = _smooth(smoothed, component, inside, plateaus, strength)
        if before > 0 and after < _MAX_REMAINING_SHARE * before + (1 - strength) * before:
            defects.append(Defect(window, before, after, (window, freeze(smoothed))))
    return defects


def _plateau_cells(pixels: Pixels) -> BoolMask:
    """Return which 8 x 8 px cells consist of plateaus in all channels, as (h / 8, w / 8)."""
    import cv2

    height, width, channels = pixels.shape
    rows, columns = height // CELL, width // CELL
    result = np.ones((rows, columns), bool)
    for top in range(0, rows, _STRIP_CELLS):
        count = min(_STRIP_CELLS, rows - top)
        strip = pixels[top * CELL : (top + count) * CELL + 1]
        for channel in range(channels):
            across, down = neighbour_differences(np.ascontiguousarray(strip[:, :, channel]))
            size = np.maximum(np.abs(across, out=across), np.abs(down, out=down))[: count * CELL, : columns * CELL]
            flat, fraction, edge = (
                cv2.resize(flag.astype(np.float32), (columns, count), interpolation=cv2.INTER_AREA)
                for flag in (size < _FLAT_TOLERANCE, (size >= _FLAT_TOLERANCE) & (size < _MIN_STEP), size > _MAX_DIFFERENCE)
            )
            result[top : top + count] &= (flat >= _MIN_FLAT_SHARE) & (fraction <= _MAX_FRACTION_SHARE) & (edge <= 0)
    return result


def _measure_plateaus(part: Pixels, inside: Mask) -> list[_Plateaus | None]:
    """Return the plateaus of each channel of a part (h, w, c), 0..1; None for each if the area is not posterised."""
    channels = [_measure_channel(np.ascontiguousarray(part[:, :, channel]), inside) for channel in range(part.shape[2])]
    levels = sorted((plateaus.levels for plateaus in channels if plateaus is not None), reverse=True)
    is_posterised = bool(levels) and (levels[0] >= _LEVELS_OF_ONE or (len(levels) > 1 and levels[1] >= _LEVELS_OF_TWO))
    return channels if is_posterised else [None] * len(channels)


def _measure_channel(plane: Mask, inside: Mask) -> _Plateaus | None:
    """Return the plateaus of a plane (h, w), 0..1; None if the steps differ or the levels are not equally spaced."""
    step_counts = count_steps(plane, inside)
    heights = np.arange(len(step_counts)) / STEP_BINS
    step_counts[heights < _MIN_STEP] = 0
    total = int(step_counts.sum())
    if not total:
        return None
    # Rounding makes steps of 6.4 codes 6 or 7 high, so the step is the mean of those near the middle one.
    near = np.abs(heights - heights[np.searchsorted(np.cumsum(step_counts), total / 2)]) <= _STEP_TOLERANCE
    step = float((heights * step_counts)[near].sum() / step_counts[near].sum())
    tolerance = max(_STEP_TOLERANCE, _STEP_TOLERANCE_SHARE * step)
    if step > _MAX_STEP or step_counts[np.abs(heights - step) <= tolerance].sum() < _MIN_EQUAL_SHARE * total:
        return None
    counts = np.bincount(quantise(plane[inside > 0], 8), minlength=MAX_8BIT_CODE + 1)
    levels = np.flatnonzero(counts >= _MIN_LEVEL_SHARE * counts.sum())
    if counts[levels].sum() < _MIN_COVERED_SHARE * counts.sum() or len(levels) < 2:
        return None
    spacing = np.diff(levels)
    if (np.abs(spacing - step) > tolerance).any():
        return None
    return _Plateaus(step, len(levels), 2 * int(counts.sum()) / total)


def _smooth(part: Pixels, cells: BoolMask, inside: Mask, plateaus: list[_Plateaus | None], strength: float) -> tuple[float, float]:
    """Smooth the slopes of an area, (h, w, c), 0..1, in place, and return the height of the steps before and after."""
    weight = cells_to_mask(cells, inside.shape, has_hard_edges=False)
    weight *= np.float32(strength)
    before, after = [], []
    for channel, measured in enumerate(plateaus):
        if measured is None:
            continue
        plane = np.ascontiguousarray(part[:, :, channel])
        sigma = min(max(measured.width, _MIN_SIGMA), _MAX_SIGMA)
        sigmas = []
        while sigma >= _LEAST_SIGMA:
            sigmas.append(sigma)
            sigma /= 2
        blend_into(part[:, :, channel], smooth_within_bound(plane, inside, measured.step / 2, sigmas), weight)
        before.append(mean_step_height(plane, plane, inside))
        after.append(mean_step_height(plane, part[:, :, channel], inside))
    return max(before, default=0.0), max(after, default=0.0)
