"""Harmonise a layer with its backdrop: transfer tone and colour, match grain, and wrap the backdrop's light around its edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.colour import luma
from goldsmith.picture.picture import Mask, Pixels
from goldsmith.picture.quality_metrics import estimate_noise
from goldsmith.picture.slab_processing import map_slabs, map_slabs_with_row
from goldsmith.picture.smoothing import gaussian_blur

# Longest side in px at which tones are measured.
_MEASURE_SIDE = 256
# Limits of the gain for contrast and saturation: more would turn an object into another one.
_MIN_GAIN, _MAX_GAIN = 0.6, 1.6
# Limits of the shift of the means of L*, a* and b*.
_MAX_MEAN_SHIFT = np.array([18.0, 14.0, 14.0], np.float32)
# px. A wider blur is computed at a reduced size.
_MAX_FULL_SIZE_BLUR = 64


def transfer_colour(layer: Pixels, coverage: Mask, backdrop: Pixels, amount: float) -> Pixels:
    """Return the layer (h, w, c), 0..1, display-encoded, with means and deviations shifted by ``amount`` (0..1) towards those of
    ``backdrop`` (any size, c).

    Reinhard et al., "Color Transfer between Images" (2001), in CIE L*a*b*: x' = (x - mean) s / s0 + mean'. The ratio of the deviations and
    the shift of the means are limited, so that a red box stays a red box. Only the part under ``coverage`` (h, w), 0..1, is measured.
    """
    if coverage.max() <= 0:
        return layer
    (mean, spread), (backdrop_mean, backdrop_spread) = (
        _lab_statistics(layer, coverage),
        _lab_statistics(backdrop, np.ones(backdrop.shape[:2], np.float32)),
    )
    gain = 1 + (np.clip((backdrop_spread + 1) / (spread + 1), _MIN_GAIN, _MAX_GAIN) - 1) * np.float32(amount)
    shift = np.clip(backdrop_mean - mean, -_MAX_MEAN_SHIFT, _MAX_MEAN_SHIFT) * np.float32(amount)
    return map_slabs(layer, lambda slab: _from_lab((_to_lab(slab) - mean) * gain + mean + shift, slab.shape[2]))


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


def _lab_statistics(pixels: Pixels, coverage: Mask) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean and standard deviation of L*, a* and b*, weighted with the coverage, measured at a reduced size."""
    height, width = coverage.shape
    shrink = min(1.0, _MEASURE_SIDE / max(height, width))
    size = max(1, round(height * shrink)), max(1, round(width * shrink))
    weight = _downscale(coverage, *size)[:, :, None]
    is_opaque = float(coverage.min()) == 1.0
    colours = _downscale(pixels if is_opaque else pixels * coverage[:, :, None], *size) / np.maximum(weight, np.float32(1e-6))
    lab = _to_lab(np.clip(colours, 0.0, 1.0))
    total = max(float(weight.sum()), 1e-6)
    mean = (lab * weight).sum(axis=(0, 1)) / total
    spread = np.sqrt((np.square(lab - mean) * weight).sum(axis=(0, 1)) / total)
    return mean.astype(np.float32), spread.astype(np.float32)


def _to_lab(pixels: Pixels) -> Pixels:
    import cv2

    colours = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    result: Pixels = cv2.cvtColor(np.ascontiguousarray(colours, np.float32), cv2.COLOR_RGB2LAB)
    return result


def _from_lab(lab: Pixels, channels: int) -> Pixels:
    import cv2

    result: Pixels = np.clip(cv2.cvtColor(np.ascontiguousarray(lab, np.float32), cv2.COLOR_LAB2RGB), 0.0, 1.0)
    return result if channels == 3 else luma(result)[:, :, None]
