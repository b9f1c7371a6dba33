"""Find the faint regular grid that decoders of generated pictures leave, by its constancy over the whole picture, and subtract it.

Such a grid repeats every 2, 4 or 8 px: a checkerboard of single pixels, or lines of 1 px. Detail that is folded with the grid's period
averages out, because it lies at any phase; the grid adds up. It counts only if it is the same in nearly all quiet parts of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.correct.defect import MAX_8BIT_CODE, Defect, make_window
from goldsmith.picture.picture import Mask, Pixels, freeze
from goldsmith.picture.smoothing import gaussian_blur

# (n, 8, 8): mean detail by row and column modulo 8 in codes, for n tiles.
_Folds = NDArray[np.float32]

_PERIOD = 8
_TILE = 64
# Tiles with a larger share of clipped pixels are not measured.
_MAX_CLIPPED_SHARE = 0.02
# Smallest standard deviation of a grid in codes, by its period: folded texture and lettering leave more of a longer one.
_MIN_AMPLITUDES = {2: 0.4, 4: 0.55, 8: 0.6}
# The same as a share of the standard deviation of the quieter tiles' detail: in rougher ground a grid is not visible, and lines of print
# repeat at some period, too.
_MIN_DETAIL_SHARE = 0.06
# A stronger pattern is drawn.
_MAX_AMPLITUDE = 6.0
# A shorter period counts if it has this share of the amplitude.
_MIN_EXPLAINED_SHARE = 0.9
# In codes. Larger detail counts as this.
_MAX_DETAIL = 40.0
# The grid must have this share of its mean amplitude ...
_MIN_LOCAL_GAIN = 0.4
# ... in this share of the quieter half of the tiles.
_MIN_PRESENT_SHARE = 0.85
_LEAST_TILES = 12
# Pixels that are measured, in rows of tiles spread over the picture.
_MAX_MEASURED_PIXELS = 1 << 22
# A channel whose grid is weaker is left alone.
_MIN_CHANNEL_AMPLITUDE = 0.15
# px over which the grid's local strength is measured.
_GAIN_SIGMA = 24.0
_MAX_GAIN = 2.5
_STRIP_ROWS = 256
_MARGIN = 96
# At most this share of the amplitude may remain; otherwise it was not a grid.
_MAX_REMAINING_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class _Grid:
    """The grid of one channel: its period in px, its standard deviation in codes, and the grid itself, (8, 8), in codes."""

    period: int
    amplitude: float
    pattern: NDArray[np.float32]


def find(pixels: Pixels, strength: float = 1.0) -> list[Defect]:
    """Return the whole picture as one defect if a faint grid covers it; ``pixels`` is (h, w, c), 0..1, display-encoded.

    The size is the grid's standard deviation in the worst channel, in 8-bit codes.
    """
    grids = measure_grids(pixels)
    if not any(_is_visible(grid) for grid in grids):
        return []
    before = max(grid.amplitude for grid in grids if grid is not None)
    result = pixels.copy()
    for channel, grid in enumerate(grids):
        if grid is not None and grid.amplitude >= _MIN_CHANNEL_AMPLITUDE:
            _subtract_grid(result, pixels, channel, grid, strength)
    after = max((grid.amplitude for grid in measure_grids(result) if grid is not None), default=0.0)
    if after > (1 - (1 - _MAX_REMAINING_SHARE) * strength) * before:
        return []
    window = make_window(0, 0, *pixels.shape[:2])
    return [Defect(window, round(before, 3), round(after, 3), (window, freeze(result)))]


def measure_grids(pixels: Pixels) -> list[_Grid | None]:
    """Return the grid of each channel of ``pixels``, (h, w, c), 0..1, in codes, however faint; None if it is not the same everywhere."""
    return [_measure_grid(pixels, channel) for channel in range(pixels.shape[2])]


def _is_visible(grid: _Grid | None) -> bool:
    return grid is not None and _MIN_AMPLITUDES[grid.period] <= grid.amplitude <= _MAX_AMPLITUDE


def _measure_grid(pixels: Pixels, channel: int) -> _Grid | None:
    """Return the grid of a channel; None if there are too few tiles or if many of the quiet ones lack it."""
    folds, deviations = _fold_tiles(pixels, channel)
    if len(folds) < _LEAST_TILES:
        return None
    quiet = folds[deviations <= np.median(deviations)]
    halves = quiet[::2].mean(axis=0), quiet[1::2].mean(axis=0)
    # What both halves have in common is the grid; the noise of each is its own.
    amplitudes = {
        period: float(np.sqrt(max(0.0, np.mean(_fold_again(halves[0], period) * _fold_again(halves[1], period)))))
        for period in _MIN_AMPLITUDES
    }
    most = max(amplitudes.values())
    if most <= 0:
        return None
    period = min(period for period, amplitude in amplitudes.items() if amplitude >= _MIN_EXPLAINED_SHARE * most)
    pattern = _fold_again(quiet.mean(axis=0), period)
    gains = (quiet * pattern).sum(axis=(1, 2)) / max(float(np.square(pattern).sum()), 1e-9)
    roughness = float(np.median(deviations[deviations <= np.median(deviations)]))
    if (gains > _MIN_LOCAL_GAIN).mean() < _MIN_PRESENT_SHARE or amplitudes[period] < _MIN_DETAIL_SHARE * roughness:
        return None
    return _Grid(period, amplitudes[period], pattern)


def _fold_tiles(pixels: Pixels, channel: int) -> tuple[_Folds, NDArray[np.float32]]:
    """Return the folds of the tiles with hardly any clipped pixels, and the standard deviation of each tile's detail in codes."""
    height, width = (side // _TILE * _TILE for side in pixels.shape[:2])
    tops = range(0, height, _TILE)
    step = max(1, -(-height * width // _MAX_MEASURED_PIXELS))
    folds, deviations = [np.zeros((0, _PERIOD, _PERIOD), np.float32)], [np.zeros(0, np.float32)]
    for top in tops[::step]:
        before = min(top, _PERIOD)
        rows = slice(top - before, top + _TILE + _PERIOD)
        plane = np.ascontiguousarray(pixels[rows, :, channel]) * np.float32(MAX_8BIT_CODE)
        inner = np.s_[before : before + _TILE, :width]
        counts = _TILE // _PERIOD, _PERIOD, width // _TILE, _TILE // _PERIOD, _PERIOD
        detail = _detail(plane)[inner].reshape(counts)
        values = plane[inner].reshape(counts)
        is_usable = ((values <= 0) | (values >= MAX_8BIT_CODE)).mean(axis=(0, 1, 3, 4)) <= _MAX_CLIPPED_SHARE
        folds.append(detail.mean(axis=(0, 3)).transpose(1, 0, 2)[is_usable])
        deviations.append(detail.std(axis=(0, 1, 3, 4))[is_usable])
    return np.concatenate(folds), np.concatenate(deviations)


def _detail(plane: Mask) -> Mask:
    """Return a plane (h, w) without its mean over one period, in codes, limited; a grid of 2, 4 or 8 px is kept completely."""
    import cv2

    taps = np.full(_PERIOD + 1, 1 / _PERIOD, np.float32)
    taps[[0, -1]] /= 2
    smooth = cv2.sepFilter2D(plane, cv2.CV_32F, taps, taps, borderType=cv2.BORDER_REFLECT)
    return np.asarray(np.clip(plane - smooth, -_MAX_DETAIL, _MAX_DETAIL), np.float32)


def _fold_again(fold: NDArray[np.float32], period: int) -> NDArray[np.float32]:
    """Return the part of a fold, (8, 8), that repeats every ``period`` px, with a mean of 0."""
    parts = _PERIOD // period
    mean = fold.reshape(parts, period, parts, period).mean(axis=(0, 2))
    return np.asarray(np.tile(mean - mean.mean(), (parts, parts)), np.float32)


def _subtract_grid(result: Pixels, pixels: Pixels, channel: int, grid: _Grid, strength: float) -> None:
    """Subtract the grid from a channel of ``result``, strip by strip, everywhere by as much as it is there."""
    height, width = pixels.shape[:2]
    for top in range(0, height, _STRIP_ROWS):
        first = max(0, top - _MARGIN)
        rows = slice(first, min(height, top + _STRIP_ROWS + _MARGIN))
        plane = np.ascontiguousarray(pixels[rows, :, channel]) * np.float32(MAX_8BIT_CODE)
        repeats = -(-plane.shape[0] // _PERIOD), -(-width // _PERIOD)
        # The margin is a multiple of the period, so every strip begins at the same phase.
        pattern = np.tile(grid.pattern, repeats)[: plane.shape[0], :width]
        common = gaussian_blur(_detail(plane) * pattern, _GAIN_SIGMA)
        gain = np.clip(common / gaussian_blur(np.square(pattern), _GAIN_SIGMA), 0, _MAX_GAIN)
        inner = slice(top - first, min(height, top + _STRIP_ROWS) - first)
        changed = plane[inner] - gain[inner] * pattern[inner] * np.float32(strength)
        result[top : top + _STRIP_ROWS, :, channel] = np.clip(changed / np.float32(MAX_8BIT_CODE), 0, 1)
