"""Reduce the bit depth without banding: triangular dither, reproducible for a seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels

_ON_CODE_TOLERANCE = 0.02


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
    for top in range(0, pixels.shape[0], 256):
        rows = slice(top, top + 256)
        result[rows] = np.clip(_dither_to_codes(pixels[rows] * levels, rng), 0.0, levels) / levels
    return result


def _dither_to_codes(scaled: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    nearest = np.floor(scaled + np.float32(0.5))
    is_between_codes = np.abs(scaled - nearest) > _ON_CODE_TOLERANCE
    shape = scaled.shape[:2]
    noise = rng.random(shape, dtype=np.float32) - rng.random(shape, dtype=np.float32)  # drawn even if unused: rows stay in step
    dithered = np.floor(scaled + noise[:, :, None] + np.float32(0.5))
    result: NDArray[np.float32] = np.where(is_between_codes, dithered, nearest)
    return result
