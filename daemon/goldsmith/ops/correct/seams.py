"""Find tile seams, straight lines from side to side at which the tone steps, by their constancy, and fade them out.

Along a column of pixels, the texture of a photograph steps up as often as down, and its own edges are not so straight, narrow and low. The
tone at a tile's edge steps the same way all along.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.correct.defect import MAX_8BIT_CODE, Defect
from goldsmith.picture.colour import luma
from goldsmith.picture.picture import Mask, Pixels, freeze

# Rows that are averaged together.
_ROWS_PER_PART = 32
_CLIP = 10.0
_WIDE_CLIP = 24.0
# In codes. Lower steps are ignored ...
_MIN_STEP = 0.9
# ... except at multiples of 64, where tiles end.
_MIN_STEP_ON_GRID = 0.6
# In codes. Higher steps are edges of objects.
_MAX_STEP = 10.0
# How far a seam exceeds the neighbouring columns, in units of their own spread; larger values count as this ...
_MAX_SIGNIFICANCE = 5.0
# ... and the mean over its length must reach this.
_MIN_SIGNIFICANCE = 3.3
# One or two lines where no tiles are likely to end must reach this: horizons, webcams and woodwork have stripes.
_MIN_SIGNIFICANCE_ALONE = 4.7
_NEIGHBOUR_COLUMNS = 24
# The seam must be visible on this share of its length.
_MIN_VISIBLE_SHARE = 0.75
# A seam adds a tone and keeps the texture; where an object ends, another texture begins.
_MAX_TEXTURE_RATIO = 1.8
# px on each side over which the step is spread.
_BLEND_PX = 96
_LEAST_SIDE = 128
_MIN_TILE_SIDE = 64
_MIN_INTERVALS = 2
# px by which the seams of equal tiles may miss their places.
_MAX_MISPLACEMENT = 2
# At most this share of the step may remain; otherwise it was not a seam.
_MAX_REMAINING_SHARE = 0.45
# px from the border. Nearer lines are frames.
_FRAME = 32


@dataclass(frozen=True, slots=True)
class _SeamLine:
    """A seam before row or column ``index``: its step in codes of 0..255, and how far the step stands out from its neighbours."""

    index: int
    step_codes: float
    significance: float


def find(pixels: Pixels, strength: float = 1.0) -> list[Defect]:
    """Return the seams of ``pixels``, (h, w, c), 0..1, display-encoded, vertical ones first, each with the band that corrects it; each is
    applied to the result of the one before.

    The size of a defect is the mean absolute step over its length, in 8-bit codes.
    """
    if min(pixels.shape[:2]) < _LEAST_SIDE:
        return []
    grey = luma(pixels)
    vertical, horizontal = _find_seam_lines(grey), _find_seam_lines(np.ascontiguousarray(grey.T))
    if not _are_multiples_of_a_side([line.index for line in (*vertical, *horizontal)]):
        vertical, horizontal = (
            [line for line in lines if line.significance >= _MIN_SIGNIFICANCE_ALONE] for lines in (vertical, horizontal)
        )
    if not vertical and not horizontal:
        return []
    result = pixels.copy()
    defects = _blend_steps(result, vertical, strength)
    transposed = result.transpose(1, 0, 2)
    for defect in _blend_steps(transposed, horizontal, strength):
        window = defect.window[1], defect.window[0]
        defects.append(Defect(window, defect.before, defect.after, (window, freeze(result[window].copy()))))
    return defects


def _find_seam_lines(grey: Mask) -> list[_SeamLine]:
    """Return the vertical seams of a plane (h, w)."""
    import cv2

    width = grey.shape[1]
    steps = _excess_steps(grey)
    mean_steps, power = (
        _mean_by_parts(values) for values in (np.clip(steps, -_CLIP, _CLIP), np.square(np.clip(steps, -_WIDE_CLIP, _WIDE_CLIP)))
    )
    power -= np.square(mean_steps)
    texture_ratio = np.sqrt(np.maximum(power, 0) / (_mean_of_neighbours(power) + np.float32(0.5)))
    neighbour_rms = _rms_of_neighbours(mean_steps)
    positions = np.arange(steps.shape[1]) + 2
    min_steps = np.where(positions % 64 == 0, _MIN_STEP_ON_GRID, _MIN_STEP)
    significance = np.abs(_run_significance(np.divide(mean_steps, neighbour_rms, dtype=np.float32)))
    mean_significance, visible_share = (
        np.minimum(significance, _MAX_SIGNIFICANCE).mean(axis=0),
        (significance > _MAX_SIGNIFICANCE / 2).mean(axis=0),
    )
    size = np.abs(mean_steps).mean(axis=0)
    is_seam = (positions >= _FRAME) & (positions <= width - _FRAME)
    is_seam &= (size >= min_steps) & (size <= _MAX_STEP) & (mean_significance >= _MIN_SIGNIFICANCE) & (visible_share >= _MIN_VISIBLE_SHARE)
    is_seam &= np.median(texture_ratio, axis=0) < _MAX_TEXTURE_RATIO
    rank = significance.mean(axis=0)
    is_seam &= rank >= cv2.dilate(rank[None], np.ones((1, 7), np.uint8)).ravel()
    lines = [_SeamLine(int(positions[index]), float(size[index]), float(mean_significance[index])) for index in np.flatnonzero(is_seam)]
    return lines if _is_tile_grid([line.index for line in lines]) else []


def _are_multiples_of_a_side(positions: list[int]) -> bool:
    """Return whether one or two lines lie where square tiles end: at multiples of 64, or one at a multiple of the other's distance from the
    border. More lines are a grid of their own.
    """
    if len(positions) > _MIN_INTERVALS or all(position % _MIN_TILE_SIDE == 0 for position in positions):
        return True
    low, high = min(positions), max(positions)
    return len(positions) == _MIN_INTERVALS and abs(high - round(high / low) * low) <= _MAX_MISPLACEMENT


def _is_tile_grid(positions: list[int]) -> bool:
    """Return whether the lines lie like tiles: far apart, and three or more of them at equal distances; only the last tile may have another
    size.
    """
    distances = np.diff(positions)
    if len(distances) and distances.min() < _MIN_TILE_SIDE:
        return False
    if len(distances) < _MIN_INTERVALS:
        return True
    deviations = np.abs(distances[:-1] - np.round(distances[:-1] / distances[:-1].min()) * distances[:-1].min())
    return bool(deviations.max() <= _MAX_MISPLACEMENT)


def _mean_by_parts(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the means of 32 rows each."""
    import cv2

    rows, columns = values.shape[0] // _ROWS_PER_PART, values.shape[1]
    return np.asarray(cv2.resize(values[: rows * _ROWS_PER_PART], (columns, rows), interpolation=cv2.INTER_AREA), np.float32)


def _excess_steps(grey: Mask) -> NDArray[np.float32]:
    """Return by how many codes each column steps more than its neighbours, (h, w - 3); the first entry is the step before column 2."""
    step = np.diff(grey, axis=1) * np.float32(MAX_8BIT_CODE)
    return np.asarray(step[:, 1:-1] - (step[:, :-2] + step[:, 2:]) / 2, np.float32)


def _rms_of_neighbours(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the root mean square of the columns beside each column."""
    return np.sqrt(np.maximum(_mean_of_neighbours(np.square(values)), np.float32(1e-4)))


def _mean_of_neighbours(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of the columns beside each column, without the nearest ones."""
    import cv2

    wide, near = 2 * _NEIGHBOUR_COLUMNS + 1, 5
    far, close = (cv2.blur(values, (size, 1), borderType=cv2.BORDER_REFLECT) * size for size in (wide, near))
    total = far - close
    return np.asarray(np.maximum(total / (wide - near), 0), np.float32)


def _run_significance(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how surely three parts, one above the other, step the same way: a seam keeps its sign over a tile's length."""
    import cv2

    return np.asarray(cv2.blur(values, (1, 3), borderType=cv2.BORDER_REPLICATE)) * np.float32(3**0.5)


def _blend_steps(pixels: Pixels, lines: list[_SeamLine], strength: float) -> list[Defect]:
    """Spread the steps over a band on each side, written into ``pixels``; the band is narrower if the next seam is near."""
    height, width = pixels.shape[:2]
    defects = []
    ends = [0, *(line.index for line in lines), width]
    for number, line in enumerate(lines, 1):
        left, right = (min(_BLEND_PX, abs(ends[other] - line.index) // 2) for other in (number - 1, number + 1))
        window = slice(0, height), slice(line.index - left, line.index + right)
        step = _step_profile(pixels, line.index)
        before = float(np.abs(step).mean())
        share = np.concatenate([_fade_weights(left)[::-1], -_fade_weights(right)]) * np.float32(strength / MAX_8BIT_CODE / 2)
        original = pixels[window].copy()
        result = np.clip(original + step[:, None, :] * share[None, :, None], 0, 1)
        pixels[window] = result
        after = float(np.abs(_step_profile(pixels, line.index)).mean())
        if before > 1.2 * _MAX_STEP or after > (1 - (1 - _MAX_REMAINING_SHARE) * strength) * before + 1e-6:
            pixels[window] = original
            continue
        defects.append(Defect(window, round(before, 3), round(after, 3), (window, freeze(result.copy()))))
    return defects


def _fade_weights(count: int) -> NDArray[np.float32]:
    """Return weights that are 1 at the seam and 0 at the end of the band, without a corner at either."""
    place = (np.arange(count, dtype=np.float32) + np.float32(0.5)) / max(count, 1)
    return np.asarray((1 - place) ** 2 * (1 + 2 * place), np.float32)


def _step_profile(pixels: Pixels, column: int) -> NDArray[np.float32]:
    """Return the height of the step before ``column`` in codes, (h, c), smooth along the seam and independent of texture."""
    import cv2

    near = np.asarray(pixels[:, max(0, column - 6) : column + 6], np.float32) * MAX_8BIT_CODE
    middle = min(6, column)
    left, right = near[:, :middle], near[:, middle:]
    inner = right[:, 0] - left[:, -1]
    slope = ((left[:, -1] - left[:, 0]) / max(middle - 1, 1) + (right[:, -1] - right[:, 0]) / max(right.shape[1] - 1, 1)) / 2
    raw = np.clip(inner - slope, -2 * _MAX_STEP, 2 * _MAX_STEP)
    size = min(65, raw.shape[0] // 2 * 2 - 1)
    rank = np.stack([_running_midmean(raw[:, channel], size) for channel in range(raw.shape[1])], axis=1)
    return np.asarray(cv2.blur(rank, (1, 33), borderType=cv2.BORDER_REPLICATE).reshape(rank.shape), np.float32)


def _running_midmean(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Return the running mean of the middle half, a median that does not stick to codes."""
    padded = np.pad(values, size // 2, mode="reflect")
    sorted_windows = np.sort(np.lib.stride_tricks.sliding_window_view(padded, size), axis=1)
    return np.asarray(sorted_windows[:, size // 4 : -(size // 4) or None].mean(axis=1), np.float32)
