"""How well something can be told from what lies behind it: contrast by WCAG 2.2 (1.4.3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture import colour
from goldsmith.picture.picture import Mask, Pixels, Plate, frozen

_WORST = 5.0
"""The ratio that counts is the one below which so many per cent of the pixels lie: a speck of noise is no fault."""
_MOST = 1 << 20


@dataclass(frozen=True, slots=True)
class Contrast:
    """worst: the ratio that 95 % of the pixels reach; median; 1 (the same) to 21 (black on white)."""

    worst: float
    median: float


def relative_luminance(pixels: Pixels, icc: bytes | None) -> NDArray[np.float64]:
    """WCAG's relative luminance of display-encoded pixels (n, c) in that profile: (n,), 0..1."""
    row = Plate(frozen(pixels[None]), icc=icc)
    light = colour.to_linear(colour.converted(row, "srgb").pixels, None)
    return np.asarray(colour.luminance(light)[0], np.float64)


def ratio(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """(L1 + 0.05) / (L2 + 0.05) of two luminances, the lighter one above."""
    high, low = np.maximum(one, other), np.minimum(one, other)
    return np.asarray((high + 0.05) / (low + 0.05))


def measured(front: Pixels, behind: Pixels, icc: bytes | None) -> Contrast:
    """The contrast of pixels (n, c) or one colour (1, c) with those behind them (n, c), n >= 1; far more than enough are thinned out."""
    step = max(1, len(behind) // _MOST)
    thin = front if len(front) == 1 else front[::step]
    ratios = ratio(relative_luminance(thin, icc), relative_luminance(behind[::step], icc))
    return Contrast(float(np.percentile(ratios, _WORST)), float(np.median(ratios)))


def around(shape: Mask, reach: float) -> NDArray[np.bool_]:
    """Where a shape (h, w, coverage 0..1) is and ``reach`` px round it."""
    import cv2

    outside = np.asarray(shape < 0.5, np.uint8)
    if outside.all():
        return np.asarray(shape > 0)
    return np.asarray(cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_5) <= reach)
