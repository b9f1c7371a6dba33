"""Contrast between letters and their background, by WCAG 2.2 (success criterion 1.4.3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture import colour
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze

# Per cent. The ratio at this percentile counts: a few noisy pixels are not a problem.
_WORST_PERCENTILE = 5.0
_MAX_PIXELS = 1 << 18


@dataclass(frozen=True, slots=True)
class ContrastMeasure:
    """Contrast ratios from 1 (equal) to 21 (black on white). ``worst`` is the ratio that 95 % of the pixels reach."""

    worst: float
    median: float


def relative_luminance(pixels: Pixels, icc: bytes | None) -> NDArray[np.float64]:
    """Return WCAG's relative luminance (n,), 0..1, of display-encoded pixels (n, c) in the profile."""
    row = Picture(freeze(pixels[None]), icc=icc)
    light = colour.to_linear(colour.convert_profile(row, "srgb").pixels, None)
    return np.asarray(colour.luminance(light)[0], np.float64)


def contrast_ratio(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (L1 + 0.05) / (L2 + 0.05) of luminances (n,), 0..1, the lighter one as L1: (n,), 1..21."""
    high, low = np.maximum(first, second), np.minimum(first, second)
    return np.asarray((high + 0.05) / (low + 0.05))


def sample_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the bool mask (h, w) with at most 262144 of its pixels, evenly chosen; the mask itself if it has no more."""
    count = int(np.count_nonzero(mask))
    if count <= _MAX_PIXELS:
        return mask
    sampled = np.zeros(mask.size, np.bool_)
    sampled[np.flatnonzero(mask)[:: -(-count // _MAX_PIXELS)]] = True
    return sampled.reshape(mask.shape)


def measure_contrast(foreground: Pixels, background: Pixels, icc: bytes | None) -> ContrastMeasure:
    """Return the contrast of display-encoded pixels (n, c), or one colour (1, c), with the pixels (n, c) behind them, n >= 1; 0..1.

    More than 262144 pixels are sampled evenly.
    """
    step = max(1, len(background) // _MAX_PIXELS)
    sampled = foreground if len(foreground) == 1 else foreground[::step]
    ratios = contrast_ratio(relative_luminance(sampled, icc), relative_luminance(background[::step], icc))
    return ContrastMeasure(float(np.percentile(ratios, _WORST_PERCENTILE)), float(np.median(ratios)))


def dilate_coverage(coverage: Mask, radius: float) -> NDArray[np.bool_]:
    """Return a bool mask (h, w) of the pixels within ``radius`` px of those that are at least half covered (coverage 0..1).

    If no pixel is half covered, the mask is every pixel with any coverage.
    """
    import cv2

    outside = np.asarray(coverage < 0.5, np.uint8)
    if outside.all():
        return np.asarray(coverage > 0)
    return np.asarray(cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_5) <= radius)
