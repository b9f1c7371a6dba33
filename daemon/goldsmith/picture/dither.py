"""Reduce the bit depth without banding: triangular dither, reproducible for a seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels

_ON_CODE_TOLERANCE = 0.02
# Rows whose noise is drawn together, and rows that are computed together, in the CPU's cache.
_NOISE_ROWS, _CACHED_ROWS = 256, 16


def dither(pixels: Pixels, depth: int, seed: int, *, out: Pixels | None = None) -> Pixels:
    """Return pixels (h, w, c), 0..1, display-encoded, moved to codes of ``depth`` bits by triangular noise of one code on each side.

    One noise serves all channels, so that grey stays grey. A value that is already a code (to a fiftieth of a step) keeps that code, so
    that untouched pixels, clean white and clean black stay unchanged. The mean of a flat area is kept. ``out``: the array for the result,
    which may be ``pixels`` itself if no other code uses it; default: a new one. Lipshitz, Wannamaker and Vanderkooy, "Quantization and
    Dither" (JAES 1992).
    """
    levels = np.float32(2**depth - 1)
    rng = np.random.default_rng(seed)
    result = np.empty_like(pixels) if out is None else out
    height, width = pixels.shape[:2]
    for band in range(0, height, _NOISE_ROWS):
        shape = min(_NOISE_ROWS, height - band), width
        noise = rng.random(shape, dtype=np.float32) - rng.random(shape, dtype=np.float32)  # drawn even if unused: rows stay in step
        for first in range(0, shape[0], _CACHED_ROWS):
            rows = slice(band + first, min(band + first + _CACHED_ROWS, height))
            codes = _dither_to_codes(pixels[rows] * levels, noise[first : first + _CACHED_ROWS])
            np.divide(np.clip(codes, 0.0, levels, out=codes), levels, out=result[rows])
    return result


def _dither_to_codes(scaled: NDArray[np.float32], noise: NDArray[np.float32]) -> NDArray[np.float32]:
    nearest = np.floor(scaled + np.float32(0.5))
    is_between_codes = np.abs(scaled - nearest) > _ON_CODE_TOLERANCE
    dithered = np.floor(scaled + noise[:, :, None] + np.float32(0.5))
    result: NDArray[np.float32] = np.where(is_between_codes, dithered, nearest)
    return result
