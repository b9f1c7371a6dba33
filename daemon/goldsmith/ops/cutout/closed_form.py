"""Solve closed-form matting for whole pictures: from coarse to fine, and in overlapping tiles where the picture is large.

The coarse picture decides about the unknown band over long distances, the fine picture within a few px. Each size therefore starts from the
result of the size below, which also fixes the rim of each tile, and neighbouring tiles are blended into each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from goldsmith.ops.cutout.laplacian import (
    MIN_VARIANCE,
    BoolMask,
    LinearSystem,
    Vector,
    fit_colour_lines,
    matting_system,
)
from goldsmith.picture.picture import Mask, Pixels, Window, freeze
from goldsmith.picture.slab_processing import OnProgress

# px of the longer side at and below which the whole picture is solved at once.
_COARSEST_SIDE = 256
# Weight of the first guess relative to the picture: it matters only where the colours do not determine alpha.
_GUESS_WEIGHT = 1e-5
_THREADS = 2


@dataclass(frozen=True, slots=True)
class MattingOptions:
    """How finely to solve. ``tile``, ``margin``: px of a tile's core, and of its overlap with its neighbours on each side. The
    iteration limits apply to the coarsest size and to the others. The tolerance is the change per step at which the solution has
    converged. The noise is the variance of colours at full size that is not an edge: camera grain and JPEG blocks.
    """

    tile: int = 768
    margin: int = 48
    coarse_iterations: int = 1500
    fine_iterations: int = 6
    tolerance: float = 5e-4
    noise_variance: float = 3e-5


DEFAULT_MATTING = MattingOptions()


def solve_matte(
    pixels: Pixels, guess: Mask, unknown: BoolMask, options: MattingOptions = DEFAULT_MATTING, on_progress: OnProgress = lambda _: None
) -> Mask:
    """Return the matte (h, w), 0..1, of ``pixels`` (h, w, c), 0..1, display-encoded: solved where ``unknown`` (h, w), bool, elsewhere
    ``guess`` (h, w), 0..1.

    ``on_progress`` may raise to cancel.
    """
    if not unknown.any():
        return guess
    sizes = [(pixels, guess, unknown)]
    while max(sizes[-1][1].shape) > _COARSEST_SIDE and min(sizes[-1][1].shape) > 8:
        sizes.append(_downsample(*sizes[-1]))
    matte, total_pixels, done_pixels = sizes[-1][1], sum(level_planes[1].size for level_planes in sizes), 0
    below = (sizes[-1][0], sizes[-1][2])
    for level, (level_pixels, level_guess, level_unknown) in reversed(list(enumerate(sizes))):
        noise = max(MIN_VARIANCE, options.noise_variance / 4**level)  # averaging four pixels leaves a quarter of the variance
        is_coarsest = level_guess is sizes[-1][1]
        start = level_guess if is_coarsest else np.where(level_unknown, _upsample_matte(below, matte, level_pixels), level_guess)
        rounds = options.coarse_iterations if is_coarsest else options.fine_iterations

        def report(share: float, size: int = level_guess.size, before: int = done_pixels) -> None:
            on_progress((before + share * size) / total_pixels)

        matte = _solve_in_tiles(level_pixels, start, level_unknown, options, (rounds, noise), report)
        done_pixels += level_guess.size
        below = (level_pixels, level_unknown)
    return freeze(matte)


def _downsample(pixels: Pixels, guess: Mask, unknown: BoolMask) -> tuple[Pixels, Mask, BoolMask]:
    """Return everything at half the size. A pixel is unknown if any of its parts is, or if subject and background share it."""
    import cv2

    size = ((guess.shape[1] + 1) // 2, (guess.shape[0] + 1) // 2)
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.float32).reshape(size[1], size[0], -1)
    matte = np.asarray(cv2.resize(guess, size, interpolation=cv2.INTER_AREA), np.float32)
    small_unknown = np.asarray(cv2.resize(unknown.astype(np.float32), size, interpolation=cv2.INTER_AREA)) > 0
    return small, matte, small_unknown | ((matte > 0) & (matte < 1))


def _upsample_matte(coarse: tuple[Pixels, BoolMask], matte: Mask, pixels: Pixels) -> Mask:
    """Return the matte at the size of the finer ``pixels``: the colour lines of the coarse picture hold there too."""
    import cv2

    slope, offset = fit_colour_lines(coarse[0], matte, coarse[1])
    size = pixels.shape[1::-1]
    result = np.asarray(cv2.resize(offset, size, interpolation=cv2.INTER_LINEAR), np.float32)
    for channel in range(pixels.shape[2]):
        plane = np.ascontiguousarray(slope[:, :, channel])
        result += np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR), np.float32) * pixels[:, :, channel]
    return np.clip(result, 0.0, 1.0, out=result)


def _solve_in_tiles(
    pixels: Pixels,
    start: Mask,
    unknown: BoolMask,
    options: MattingOptions,
    iterations_and_noise: tuple[int, float],
    on_progress: OnProgress,
) -> Mask:
    """Return the matte, solved tile by tile and blended."""
    windows = list(_tile_windows(unknown, options))
    total, weight = np.zeros_like(start), np.zeros_like(start)
    pool = ThreadPoolExecutor(_THREADS)
    try:
        parts = pool.map(
            lambda window: _solve_tile(pixels[window], start[window], unknown[window], options.tolerance, *iterations_and_noise), windows
        )
        for number, (window, part) in enumerate(zip(windows, parts, strict=True)):
            share = _tile_weights(window, start.shape, options.margin)
            total[window] += share * part
            weight[window] += share
            on_progress((number + 1) / len(windows))
    finally:
        pool.shutdown(cancel_futures=True)
    result: Mask = np.where(unknown & (weight > 0), total / np.maximum(weight, np.float32(1e-9)), start)
    return result


def _tile_windows(unknown: BoolMask, options: MattingOptions) -> Iterator[Window]:
    """Yield the tiles with unknown pixels, including their overlap."""
    height, width = unknown.shape
    for top in _tile_starts(height, options.tile):
        for left in _tile_starts(width, options.tile):
            rows = slice(max(0, top - options.margin), min(height, top + options.tile + options.margin))
            columns = slice(max(0, left - options.margin), min(width, left + options.tile + options.margin))
            if unknown[rows, columns].any():
                yield rows, columns


def _tile_starts(side: int, tile: int) -> range:
    """Return where tiles start; a remainder of less than half a tile belongs to the last one."""
    count = max(1, round(side / tile))
    return range(0, side, -(-side // count))


def _tile_weights(window: Window, shape: tuple[int, ...], margin: int) -> Mask:
    """Return the weights of a tile: full inside, falling over its overlap, but not at the picture's own border."""
    sides = []
    for span, length in zip(window, shape, strict=True):
        count = span.stop - span.start
        ramp = np.ones(count, np.float32)
        overlap = min(2 * margin, count)
        rise = (np.arange(overlap, dtype=np.float32) + 0.5) / max(overlap, 1)
        if span.start > 0:
            ramp[:overlap] = np.minimum(ramp[:overlap], rise)
        if span.stop < length:
            ramp[count - overlap :] = np.minimum(ramp[count - overlap :], rise[::-1])
        sides.append(ramp)
    return np.asarray(np.outer(*sides), np.float32)


def _solve_tile(pixels: Pixels, start: Mask, unknown: BoolMask, tolerance: float, max_iterations: int, noise: float) -> Mask:
    if not unknown.any():
        return start
    matte = start.copy()
    matte[unknown] = np.clip(
        _conjugate_gradients(
            matting_system(pixels, start, unknown, _GUESS_WEIGHT, noise), start[unknown].astype(np.float64), tolerance, max_iterations
        ),
        0.0,
        1.0,
    )
    return matte


def _conjugate_gradients(equations: LinearSystem, start: Vector, tolerance: float, max_iterations: int) -> Vector:
    """Solve by conjugate gradients with a Jacobi preconditioner, from ``start`` until a step is small."""
    preconditioner = 1 / np.maximum(equations.matrix.diagonal(), 1e-12)
    solution = start.copy()
    residual = equations.rhs - equations.matrix @ solution
    preconditioned = preconditioner * residual
    direction, gain = preconditioned.copy(), float(residual @ preconditioned)
    for _ in range(max_iterations):
        if gain <= 0:
            break
        product = equations.matrix @ direction
        length = gain / max(float(direction @ product), 1e-30)
        solution += length * direction
        if length * float(np.abs(direction).max()) < tolerance:
            break
        residual -= length * product
        np.multiply(preconditioner, residual, out=preconditioned)
        gain, before = float(residual @ preconditioned), gain
        direction *= gain / before
        direction += preconditioned
    return solution
