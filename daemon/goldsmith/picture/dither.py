"""Fewer bits without bands: triangular dither, the same every time for the same seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels

_ON_CODE_TOLERANCE = 0.02


def dither(pixels: Pixels, depth: int, seed: int, *, out: Pixels | None = None) -> Pixels:
    """Pixels (h, w, c), moved to codes of ``depth`` bits by triangular noise of one code to each side.

    One noise serves all channels, so that grey stays grey. A value that is a code already (to a fiftieth of a step) stays that
    code: what nobody touched, clean white and clean black come through as they are. The mean of a flat area is kept.
    ``into``: the array that takes the result, ``pixels`` itself where nobody else has it; a new one where none is given.
    Lipshitz, Wannamaker and Vanderkooy, "Quantization and Dither" (JAES 1992).
    """
    levels = np.float32(2**depth - 1)
    rng = np.random.default_rng(seed)
    made = np.empty_like(pixels) if out is None else out
    for top in range(0, pixels.shape[0], 256):
        rows = slice(top, top + 256)
        made[rows] = np.clip(_dither_to_codes(pixels[rows] * levels, rng), 0.0, levels) / levels
    return made


def _dither_to_codes(scaled: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    nearest = np.floor(scaled + np.float32(0.5))
    off = np.abs(scaled - nearest) > _ON_CODE_TOLERANCE
    shape = scaled.shape[:2]
    grain = rng.random(shape, dtype=np.float32) - rng.random(shape, dtype=np.float32)  # drawn even where unused: rows stay in step
    moved = np.floor(scaled + grain[:, :, None] + np.float32(0.5))
    made: NDArray[np.float32] = np.where(off, moved, nearest)
    return made
