"""Harmonise a layer with its backdrop: match grain, and wrap the backdrop's light around its edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.colour import luma
from goldsmith.picture.picture import Mask, Pixels
from goldsmith.picture.quality_metrics import estimate_noise
from goldsmith.picture.slab_processing import map_slabs_with_row
from goldsmith.picture.smoothing import gaussian_blur

# px. A wider blur is computed at a reduced size.
_MAX_FULL_SIZE_BLUR = 64


def match_grain(layer: Pixels, coverage: Mask, backdrop: Pixels, seed: int) -> tuple[Pixels, float]:
    """Return the layer (h, w, c), 0..1, display-encoded, as grainy as ``backdrop``, and the deviation of the added noise, 0..1; never
    smoother than before.

    The noise is measured in the quiet parts of both (``quality_metrics.estimate_noise``) and is the same in all channels. Nearly black and
    nearly white parts get less of it, as with film and sensors. ``coverage`` is (h, w), 0..1.
    """
    shade = luma(layer)
    visible = np.where(coverage > 0.98, shade, np.float32(0.0))  # tiles with black in them are not measured
    backdrop_sigma, layer_sigma = estimate_noise(luma(backdrop)), estimate_noise(np.ascontiguousarray(visible))
    missing_sigma = float(max(backdrop_sigma * backdrop_sigma - layer_sigma * layer_sigma, 0.0)) ** 0.5
    if missing_sigma * 1024 < 1:
        return layer, 0.0
    grain = np.random.default_rng(seed).standard_normal(layer.shape[:2], dtype=np.float32)

    def slab(piece: Pixels, top: int) -> Pixels:
        rows = slice(top, top + len(piece))
        noise = np.sqrt(np.maximum(shade[rows] * (1 - shade[rows]), np.float32(0)))
        noise = np.clip(4 * noise, 0.25, 1.0) * grain[rows] * np.float32(missing_sigma)
        piece += noise[:, :, None]
        return np.clip(piece, 0.0, 1.0, out=piece)

    return map_slabs_with_row(layer, slab), missing_sigma


def wrap_light(composited: Pixels, backdrop: Pixels, coverage: Mask, amount: float, radius: float) -> Pixels:
    """Return the composite (h, w, c), 0..1, display-encoded, with the light of the backdrop wrapped over the layer's edge from outside; all
    of one size.

    The weight is coverage x (1 - blurred coverage), highest at the edge and gone ``radius`` px further in; there, the blurred backdrop is
    screened over the layer. Nothing outside the layer changes. ``coverage`` is (h, w), 0..1.
    """
    inside = _blur(coverage, radius)
    light = _blur(backdrop, radius * 1.5)

    def slab(piece: Pixels, top: int) -> Pixels:
        rows = slice(top, top + len(piece))
        weight = np.clip(2 * np.float32(amount) * coverage[rows] * (1 - inside[rows]), 0.0, 1.0)
        if not weight.any():
            return piece
        added = weight[:, :, None] * light[rows]
        added *= 1 - piece
        piece += added  # + 0 where the weight is zero: the same bits
        return piece

    return map_slabs_with_row(composited, slab)


def _blur(values: NDArray[np.float32], radius: float) -> NDArray[np.float32]:
    import cv2

    if radius <= 0.3:
        return values
    shrink = max(1, round(radius / _MAX_FULL_SIZE_BLUR * 4))
    height, width = values.shape[:2]
    if shrink == 1:
        return gaussian_blur(values, radius)
    small = gaussian_blur(_downscale(values, max(1, height // shrink), max(1, width // shrink)), radius / shrink)
    result: NDArray[np.float32] = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return result.reshape(values.shape)


def _downscale(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Return (h, w[, c]) reduced by area; many times as fast as plane by plane."""
    import cv2

    result: NDArray[np.float32] = cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA)
    return result.reshape(height, width, *values.shape[2:])
