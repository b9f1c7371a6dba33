"""Tone match: a layer gets the cast, the black point and the white point of the backdrop it lies on, within limits; skin is guarded."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.colour import REC709_WEIGHTS
from goldsmith.picture.curves import SRGB_TRC
from goldsmith.picture.picture import Mask, Pixels
from goldsmith.picture.scene_light import mean_grey, skin_likeness
from goldsmith.picture.slab_processing import map_slabs

Float64Array = NDArray[np.float64]

# px. Tones are measured at this size: smaller detail is texture.
_MEASURE_SIDE = 256
# Coverage from which a pixel of the layer is measured; its edge holds the colour of its old background.
_OPAQUE = 0.9
# Percentiles of L* that count as black and white point.
_BLACK_PERCENTILE, _WHITE_PERCENTILE = 1.0, 99.0
# In L*: a layer may only be lifted to the backdrop's haze, and lowered to the backdrop's brightest parts, as far as this.
_MOST_LIFT, _MOST_DIMMING = 10.0, 12.0
# In L*: a layer that has blacks and whites of its own may be stretched towards the backdrop's range by this.
_MOST_DEEPENING, _MOST_BRIGHTENING = 6.0, 5.0
_HAS_BLACKS, _HAS_WHITES = 25.0, 75.0
# Chroma of the strongest cast that is taken over.
_MOST_CAST = 18.0
# The largest gain between two channels' light, as a factor.
_MOST_GAIN = 1.3
# Share of the change of colour that skin is spared.
_SKIN_GUARD = 0.7


class LightMeasure(NamedTuple):
    """Light of a picture: L* of its black and white point, and a*, b* of its greys, None if it has too few of them."""

    black: float
    white: float
    cast: tuple[float, float] | None


def match_tone(layer: Pixels, coverage: Mask, backdrop: Pixels, amount: float) -> Pixels:
    """Return the layer (h, w, c), 0..1, display-encoded as sRGB, in the light of ``backdrop`` (any size, c), by ``amount`` 0..1.

    Light is scaled and lifted so that black and white point (1st and 99th percentile of L*) move towards the backdrop's; then the channels
    are scaled so that greys get the backdrop's cast (von Kries). Both stay within limits, so that a suit stays black and a face keeps its
    colour. Only the part under ``coverage`` (h, w), 0..1, is measured; without greys in the backdrop the colours stay as they are.
    """
    measured, target = measure_light(layer, coverage), measure_light(backdrop, np.ones(backdrop.shape[:2], np.float32))
    if measured is None or target is None:
        return layer
    slope, offset = _tone_line(measured, target, amount)
    log_gains = amount * np.log(_cast_gains(measured, target))

    def change(slab: Pixels) -> Pixels:
        light = SRGB_TRC.to_linear(slab) * np.float32(slope) + np.float32(offset)
        if slab.shape[2] == 3 and log_gains.any():
            share = np.float32(1.0) - np.float32(_SKIN_GUARD) * skin_likeness(_to_lab(slab))
            light = np.maximum(light, np.float32(0.0)) * np.exp(share[:, :, None] * log_gains.astype(np.float32))
        return np.clip(SRGB_TRC.from_linear(np.clip(light, 0.0, 1.0).astype(np.float32)), 0.0, 1.0)

    return map_slabs(layer, change) if slope != 1.0 or offset or log_gains.any() else layer


def measure_light(pixels: Pixels, coverage: Mask) -> LightMeasure | None:
    """Return the light of pixels (h, w, c), 0..1, under ``coverage`` (h, w), 0..1; None if nothing opaque is there to be measured."""
    lab = _measured_lab(pixels, coverage)
    if len(lab) < 16:
        return None
    black, white = np.percentile(lab[:, 0], (_BLACK_PERCENTILE, _WHITE_PERCENTILE))
    return LightMeasure(float(black), float(white), None if pixels.shape[2] == 1 else _limited_cast(lab))


def _measured_lab(pixels: Pixels, coverage: Mask) -> Float64Array:
    """Return the Lab colours (n, 3) of the opaque cells of a picture reduced to _MEASURE_SIDE."""
    import cv2

    height, width = coverage.shape
    shrink = min(1.0, _MEASURE_SIDE / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.float32).reshape(size[1], size[0], pixels.shape[2])
    opaque = cv2.resize(np.ascontiguousarray(coverage, np.float32), size, interpolation=cv2.INTER_AREA) >= _OPAQUE
    return np.asarray(_to_lab(small)[opaque], np.float64)


def _limited_cast(lab: Float64Array) -> tuple[float, float] | None:
    """Return a*, b* of the greys, at most _MOST_CAST from neutral; None if too few colours lie near it."""
    cast = mean_grey(lab)
    if cast is None:
        return None
    factor = min(1.0, _MOST_CAST / max(float(np.hypot(*cast)), 1e-6))
    return factor * cast[0], factor * cast[1]


def _tone_line(layer: LightMeasure, backdrop: LightMeasure, amount: float) -> tuple[float, float]:
    """Return slope and offset of linear light that take the layer's black and white point towards the backdrop's, within the limits."""
    if layer.white - layer.black < 5.0:
        return 1.0, 0.0
    deepening = _MOST_DEEPENING if layer.black < _HAS_BLACKS else 0.0
    brightening = _MOST_BRIGHTENING if layer.white > _HAS_WHITES else 0.0
    black = layer.black + amount * float(np.clip(backdrop.black - layer.black, -deepening, _MOST_LIFT))
    white = layer.white + amount * float(np.clip(backdrop.white - layer.white, -_MOST_DIMMING, brightening))
    low, high, new_low, new_high = (_luminance(value) for value in (layer.black, layer.white, black, max(white, black + 1.0)))
    slope = (new_high - new_low) / (high - low)
    return slope, new_low - slope * low


def _cast_gains(layer: LightMeasure, backdrop: LightMeasure) -> Float64Array:
    """Return the gains (3,) of linear red, green and blue that give the layer's greys the backdrop's cast, at the same luminance."""
    if backdrop.cast is None:
        return np.ones(3)
    before, after = (_light_of_grey(cast) for cast in (layer.cast or (0.0, 0.0), backdrop.cast))
    gains = np.clip(after / before, 1 / _MOST_GAIN, _MOST_GAIN)
    return np.asarray(gains / np.dot(gains, REC709_WEIGHTS))


def _light_of_grey(cast: tuple[float, float]) -> Float64Array:
    """Return the linear light (3,) of a middle grey with that a* and b*."""
    import cv2

    colour = cv2.cvtColor(np.array([[[65.0, *cast]]], np.float32), cv2.COLOR_LAB2RGB)
    return np.maximum(SRGB_TRC.to_linear(np.clip(colour, 0.0, 1.0)).reshape(3).astype(np.float64), 1e-4)


def _luminance(lightness: float) -> float:
    """Return the luminance 0..1 of CIE lightness 0..100."""
    return ((lightness + 16) / 116) ** 3 if lightness > 8 else lightness * 27 / 24389


def _to_lab(pixels: Pixels) -> Pixels:
    """Return pixels (h, w, c), 0..1, sRGB, as CIE Lab, L 0..100."""
    import cv2

    colours = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(colours, np.float32), cv2.COLOR_RGB2LAB), np.float32)
