"""Closed-form matting of whole pictures: coarse to fine, and where it is large in tiles that know what lies round them.

What a band of open pixels comes to is decided over long ways by the coarse picture, and within a few px by the fine one. So each size
starts from what the one below it found, a tile is held at its rim by that too, and neighbouring tiles run into each other.
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

# px of the longer side from which the answer is looked for over the whole picture at once.
_COARSEST_SIDE = 256
# How much the first guess counts beside the picture: only where colours tell nothing.
_GUESS_WEIGHT = 1e-5
_THREADS = 2


@dataclass(frozen=True, slots=True)
class MattingOptions:
    """How finely it is worked. tile, margin: px of a tile's core and of what it shares with its neighbours at each side; rounds: at
    most so many steps towards the answer at the coarsest size and at the others; close: where a step changes less, it is there; noise: how
    much colours vary by themselves, as a variance at full size. A camera's grain and the blocks of a JPEG are no edges."""

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
    """The matte (h, w) of ``pixels`` (h, w, c): found where ``open_``, elsewhere ``guess`` as it is. ``tick`` may raise."""
    if not unknown.any():
        return guess
    sizes = [(pixels, guess, unknown)]
    while max(sizes[-1][1].shape) > _COARSEST_SIDE and min(sizes[-1][1].shape) > 8:
        sizes.append(_downsample(*sizes[-1]))
    matte, work, done = sizes[-1][1], sum(at[1].size for at in sizes), 0
    below = (sizes[-1][0], sizes[-1][2])
    for level, (seen, held, free) in reversed(list(enumerate(sizes))):
        noise = max(MIN_VARIANCE, options.noise_variance / 4**level)  # of four pixels that become one, a quarter of the variance is left
        first = held is sizes[-1][1]
        start = held if first else np.where(free, _upsample_matte(below, matte, seen), held)
        rounds = options.coarse_iterations if first else options.fine_iterations

        def heard(share: float, size: int = held.size, before: int = done) -> None:
            on_progress((before + share * size) / work)

        matte = _solve_in_tiles(seen, start, free, options, (rounds, noise), heard)
        done += held.size
        below = (seen, free)
    return freeze(matte)


def _downsample(pixels: Pixels, guess: Mask, unknown: BoolMask) -> tuple[Pixels, Mask, BoolMask]:
    """At half the size. What is open in any part is open; so is what the subject and what lies behind it share."""
    import cv2

    size = ((guess.shape[1] + 1) // 2, (guess.shape[0] + 1) // 2)
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.float32).reshape(size[1], size[0], -1)
    matte = np.asarray(cv2.resize(guess, size, interpolation=cv2.INTER_AREA), np.float32)
    free = np.asarray(cv2.resize(unknown.astype(np.float32), size, interpolation=cv2.INTER_AREA)) > 0
    return small, matte, free | ((matte > 0) & (matte < 1))


def _upsample_matte(coarse: tuple[Pixels, BoolMask], matte: Mask, pixels: Pixels) -> Mask:
    """A matte at the size of the finer ``pixels``: the lines through colour space that hold in the coarse picture hold there, too."""
    import cv2

    slope, offset = fit_colour_lines(coarse[0], matte, coarse[1])
    size = pixels.shape[1::-1]
    made = np.asarray(cv2.resize(offset, size, interpolation=cv2.INTER_LINEAR), np.float32)
    for channel in range(pixels.shape[2]):
        plane = np.ascontiguousarray(slope[:, :, channel])
        made += np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR), np.float32) * pixels[:, :, channel]
    return np.clip(made, 0.0, 1.0, out=made)


def _solve_in_tiles(
    pixels: Pixels,
    start: Mask,
    unknown: BoolMask,
    options: MattingOptions,
    iterations_and_noise: tuple[int, float],
    on_progress: OnProgress,
) -> Mask:
    """The matte, each tile found for itself and all of them run into each other."""
    windows = list(_tile_windows(unknown, options))
    total, weight = np.zeros_like(start), np.zeros_like(start)
    pool = ThreadPoolExecutor(_THREADS)
    try:
        found = pool.map(
            lambda window: _solve_tile(pixels[window], start[window], unknown[window], options.tolerance, *iterations_and_noise), windows
        )
        for number, (window, part) in enumerate(zip(windows, found, strict=True)):
            share = _tile_weights(window, start.shape, options.margin)
            total[window] += share * part
            weight[window] += share
            on_progress((number + 1) / len(windows))
    finally:
        pool.shutdown(cancel_futures=True)
    laid: Mask = np.where(unknown & (weight > 0), total / np.maximum(weight, np.float32(1e-9)), start)
    return laid


def _tile_windows(unknown: BoolMask, options: MattingOptions) -> Iterator[Window]:
    """The tiles in which something is open, with what they share."""
    height, width = unknown.shape
    for top in _tile_starts(height, options.tile):
        for left in _tile_starts(width, options.tile):
            rows = slice(max(0, top - options.margin), min(height, top + options.tile + options.margin))
            columns = slice(max(0, left - options.margin), min(width, left + options.tile + options.margin))
            if unknown[rows, columns].any():
                yield rows, columns


def _tile_starts(side: int, tile: int) -> range:
    """Where tiles begin; a rest of less than half a tile goes with the last one."""
    count = max(1, round(side / tile))
    return range(0, side, -(-side // count))


def _tile_weights(window: Window, shape: tuple[int, ...], margin: int) -> Mask:
    """How much a tile counts: fully inside, less and less over what it shares, never at the picture's own border."""
    sides = []
    for span, length in zip(window, shape, strict=True):
        count = span.stop - span.start
        ramp = np.ones(count, np.float32)
        over = min(2 * margin, count)
        rise = (np.arange(over, dtype=np.float32) + 0.5) / max(over, 1)
        if span.start > 0:
            ramp[:over] = np.minimum(ramp[:over], rise)
        if span.stop < length:
            ramp[count - over :] = np.minimum(ramp[count - over :], rise[::-1])
        sides.append(ramp)
    return np.asarray(np.outer(*sides), np.float32)


def _solve_tile(pixels: Pixels, start: Mask, unknown: BoolMask, tolerance: float, max_iterations: int, noise: float) -> Mask:
    if not unknown.any():
        return start
    made = start.copy()
    made[unknown] = np.clip(
        _conjugate_gradients(
            matting_system(pixels, start, unknown, _GUESS_WEIGHT, noise), start[unknown].astype(np.float64), tolerance, max_iterations
        ),
        0.0,
        1.0,
    )
    return made


def _conjugate_gradients(equations: LinearSystem, start: Vector, tolerance: float, max_iterations: int) -> Vector:
    """Conjugate gradients, each pixel weighed by its own entry (Jacobi); from ``start`` until a step is small."""
    easing = 1 / np.maximum(equations.matrix.diagonal(), 1e-12)
    found = start.copy()
    left = equations.rhs - equations.matrix @ found
    eased = easing * left
    way, gain = eased.copy(), float(left @ eased)
    for _ in range(max_iterations):
        if gain <= 0:
            break
        pushed = equations.matrix @ way
        length = gain / max(float(way @ pushed), 1e-30)
        found += length * way
        if length * float(np.abs(way).max()) < tolerance:
            break
        left -= length * pushed
        np.multiply(easing, left, out=eased)
        gain, before = float(left @ eased), gain
        way *= gain / before
        way += eased
    return found
