"""How well something can be told from what lies behind it: contrast by WCAG 2.2 (1.4.3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture import colour
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze

# The ratio that counts is the one below which so many per cent of the pixels lie: a speck of noise is no fault.
_WORST_PERCENTILE = 5.0
_MAX_PIXELS = 1 << 20


@dataclass(frozen=True, slots=True)
class ContrastMeasure:
    """worst: the ratio that 95 % of the pixels reach; median; 1 (the same) to 21 (black on white)."""

    worst: float
    median: float


def relative_luminance(pixels: Pixels, icc: bytes | None) -> NDArray[np.float64]:
    """WCAG's relative luminance of display-encoded pixels (n, c) in that profile: (n,), 0..1."""
    row = Picture(freeze(pixels[None]), icc=icc)
    light = colour.to_linear(colour.convert_profile(row, "srgb").pixels, None)
    return np.asarray(colour.luminance(light)[0], np.float64)


def contrast_ratio(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """(L1 + 0.05) / (L2 + 0.05) of two luminances, the lighter one above."""
    high, low = np.maximum(first, second), np.minimum(first, second)
    return np.asarray((high + 0.05) / (low + 0.05))


def measure_contrast(foreground: Pixels, background: Pixels, icc: bytes | None) -> ContrastMeasure:
    """The contrast of pixels (n, c) or one colour (1, c) with those behind them (n, c), n >= 1; far more than enough are thinned out."""
    step = max(1, len(background) // _MAX_PIXELS)
    thin = foreground if len(foreground) == 1 else foreground[::step]
    ratios = contrast_ratio(relative_luminance(thin, icc), relative_luminance(background[::step], icc))
    return ContrastMeasure(float(np.percentile(ratios, _WORST_PERCENTILE)), float(np.median(ratios)))


def dilate_coverage(coverage: Mask, radius: float) -> NDArray[np.bool_]:
    """Where a shape (h, w, coverage 0..1) is and ``editable_region`` px round it."""
    import cv2

    outside = np.asarray(coverage < 0.5, np.uint8)
    if outside.all():
        return np.asarray(coverage > 0)
    return np.asarray(cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_5) <= radius)
