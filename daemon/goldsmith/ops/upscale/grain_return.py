"""Put the grain of a picture back after a net has smoothed it away."""

from __future__ import annotations

import math

import numpy as np

from goldsmith.picture.colour import luma
from goldsmith.picture.picture import Mask, Pixels
from goldsmith.picture.quality_metrics import estimate_noise_by_rows

# Deviation of the softening of the noise, in px of the source: a grain of the source has about this size.
_GRAIN_SIGMA = 0.4
# Rows of noise that share one seed, so that the grain does not depend on how the picture is cut into pieces.
_BAND = 128
# The largest deviation that counts as grain; more is texture or a damaged picture.
_MOST_GRAIN = 0.04
# 1/1024 of full scale: less is invisible.
_LEAST_GRAIN = 1 / 1024


def return_grain(pixels: Pixels, source: Pixels, share: float, seed: int, kept: float = 0.0) -> float:
    """Add the grain that ``source`` (h, w, c), 0..1, has and the enlarged ``pixels`` (H, W, c), 0..1, lack, in place; return its deviation.

    Display-encoded values. Noise is measured in the quiet parts of both; the missing deviation times ``share`` (0..1) is added, equal in
    all channels, as large as the source's grain, and less of it in nearly black and nearly white parts. ``kept`` (0..1) is the share of the
    source's grain that a plain enlargement has brought into ``pixels``: it is too coarse for the measurement, which sees single px.
    """
    before = min(estimate_noise_by_rows(source.shape[:2], lambda rows: luma(source[rows])), _MOST_GRAIN)
    after = max(kept * before, estimate_noise_by_rows(pixels.shape[:2], lambda rows: luma(pixels[rows])))
    deviation = share * math.sqrt(max(before * before - after * after, 0.0))
    if deviation < _LEAST_GRAIN:
        return 0.0
    sigma = _GRAIN_SIGMA * pixels.shape[0] / source.shape[0]
    for top in range(0, pixels.shape[0], _BAND):
        part = pixels[top : top + _BAND]
        shade = np.clip(luma(part), 0.0, 1.0)
        strength = np.clip(4 * np.sqrt(shade * (1 - shade)), 0.25, 1.0) * np.float32(deviation)
        part += (strength * _grain_rows(top, part.shape[:2], sigma, seed))[:, :, None]
        np.clip(part, 0.0, 1.0, out=part)
    return deviation


def _grain_rows(top: int, shape: tuple[int, ...], sigma: float, seed: int) -> Mask:
    """Return noise (h, w) of deviation 1 for the rows from ``top``, softened by ``sigma`` px."""
    import cv2

    margin = int(np.ceil(4 * sigma))
    first, last = (top - margin) // _BAND, (top + shape[0] + margin - 1) // _BAND
    noise = np.concatenate(
        [
            np.random.Generator(np.random.SFC64([seed, band + (1 << 20)])).standard_normal((_BAND, shape[1]), dtype=np.float32)
            for band in range(first, last + 1)
        ]
    )
    start = top - first * _BAND
    needed = noise[start - margin : start + shape[0] + margin]
    kernel = cv2.getGaussianKernel(2 * margin + 1, sigma)
    blurred = np.asarray(cv2.sepFilter2D(needed, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT), np.float32)
    return blurred[margin : margin + shape[0]] / np.float32((kernel**2).sum())
