"""Selective tone and colour of display-encoded pixels: lightness by zone, vibrance, and saturation and lightness by hue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.grade.grading_changes import chroma_share, limit_chroma
from goldsmith.picture.colour import luma
from goldsmith.picture.picture import Mask, Pixels
from goldsmith.picture.slab_processing import PixelChange
from goldsmith.picture.tonal_ranges import smoothstep

HueName = Literal["red", "orange", "yellow", "green", "aqua", "blue", "purple", "magenta"]
HUE_NAMES: tuple[HueName, ...] = get_args(HueName)
# Degrees of HSV hue at which each name has its full effect.
HUE_CENTRES = (0.0, 30.0, 60.0, 120.0, 180.0, 225.0, 270.0, 315.0)
_HUE_STEPS = 3600
_LUMA_STEPS = 4096
# The range of OpenColorIO's GradingTone is 0.01 to 1.99; beyond this its curves come close to flat.
_MAX_TONE = 0.8
# HSV saturation below which the lightness of a hue fades out: the hue of a nearly grey pixel is noise.
_LEAST_SATURATION = 0.25
# HSV hues of skin, light and dark, lie round this one (degrees); vibrance leaves them the rest of its effect.
_SKIN_HUE, _SKIN_WIDTH, _SKIN_GUARD = 22.0, 30.0, 0.6


class HueAdjustment(NamedTuple):
    """Change to one hue, -1..1 each: saturation (-1 none, +1 twice) and lightness (exponent 2 ** -lightness on the luma)."""

    saturation: float = 0.0
    lightness: float = 0.0


def zone_lightness_change(shadows: float, midtones: float, highlights: float, *, gamut: float) -> PixelChange:
    """Return the change of lightness by zone, each -1..1; black and white stay, and every pixel keeps its hue and relative saturation.

    The luma follows the curve of OpenColorIO's GradingTone (video style), 1 + 0.8 x as its master value. ``gamut`` as in ``limit_chroma``.
    """
    steps = np.linspace(0.0, 1.0, _LUMA_STEPS, dtype=np.float32)
    curve = grading_tone_curve(steps, shadows, midtones, highlights)

    def change(pixels: Pixels) -> Pixels:
        grey = luma(pixels)
        return _relight(pixels, grey, np.interp(grey, steps, curve).astype(np.float32), gamut)

    return change


def grading_tone_curve(values: NDArray[np.float32], shadows: float, midtones: float, highlights: float) -> NDArray[np.float32]:
    """Return values 0..1 (n,) after OpenColorIO's GradingTone for -1..1 of lightness in each zone, clipped to 0..1."""
    import PyOpenColorIO

    tone = PyOpenColorIO.GradingTone(PyOpenColorIO.GRADING_VIDEO)
    for name, amount in (("shadows", shadows), ("midtones", midtones), ("highlights", highlights)):
        getattr(tone, name).master = 1.0 + _MAX_TONE * amount
    transform = PyOpenColorIO.GradingToneTransform(tone, PyOpenColorIO.GRADING_VIDEO, False)
    greys = np.repeat(values[:, None], 3, axis=1)
    PyOpenColorIO.Config.CreateRaw().getProcessor(transform).getDefaultCPUProcessor().applyRGB(greys)
    return np.clip(greys[:, 0], 0.0, 1.0)


def vibrance_change(amount: float, gamut: float) -> PixelChange:
    """Return the change of saturation, ``amount`` -1..1, that acts on dull colours most and on skin least; luma and hue stay.

    The chroma is multiplied by 1 + amount (1 - s) (1 - 0.6 k): s is the HSV saturation, k how much the hue is that of skin.
    """

    def change(pixels: Pixels) -> Pixels:
        grey, (hue, saturation) = luma(pixels), _hue_and_saturation(pixels)
        skin_distance = np.abs((hue - np.float32(_SKIN_HUE) + 180.0) % 360.0 - 180.0)
        guard = np.float32(1.0) - np.float32(_SKIN_GUARD) * (np.float32(1.0) - smoothstep(skin_distance / np.float32(_SKIN_WIDTH)))
        factor: Mask = np.float32(1.0) + np.float32(amount) * (np.float32(1.0) - saturation) * guard
        return _scale_chroma(pixels, grey, factor, gamut)

    return change


def hue_change(adjustments: Mapping[HueName, HueAdjustment], gamut: float) -> PixelChange:
    """Return the change of saturation and lightness by hue. A hue between two names gets a smooth mixture of both; greys stay.

    Lightness raises the luma to the power 2 ** -lightness, so black and white stay. ``gamut`` as in ``limit_chroma``.
    """
    values = [adjustments.get(name, HueAdjustment()) for name in HUE_NAMES]
    saturations, lightnesses = (_by_hue([value[part] for value in values]) for part in (0, 1))

    def change(pixels: Pixels) -> Pixels:
        hue, saturation = _hue_and_saturation(pixels)
        index = np.rint(hue * np.float32(_HUE_STEPS / 360)).astype(np.int32)
        if saturations.any():
            pixels = _scale_chroma(pixels, luma(pixels), 1.0 + saturations[index], gamut)
        if lightnesses.any():
            grey = luma(pixels)
            power = np.exp2(-lightnesses[index] * smoothstep(saturation / np.float32(_LEAST_SATURATION)))
            pixels = _relight(pixels, grey, np.clip(grey, 0.0, 1.0) ** power, gamut)
        return pixels

    return change


def _by_hue(amounts: list[float]) -> NDArray[np.float32]:
    """Return the amounts of the eight hues at every step of the circle (_HUE_STEPS + 1,), with smooth transitions."""
    hues = np.linspace(0.0, 360.0, _HUE_STEPS + 1)
    centres, values = np.array([*HUE_CENTRES, 360.0]), np.array([*amounts, amounts[0]])
    index = np.clip(np.searchsorted(centres, hues, "right") - 1, 0, len(HUE_CENTRES) - 1)
    share = smoothstep(((hues - centres[index]) / (centres[index + 1] - centres[index])).astype(np.float32))
    return np.asarray(values[index] * (1.0 - share) + values[index + 1] * share, np.float32)


def _hue_and_saturation(pixels: Pixels) -> tuple[Mask, Mask]:
    """Return the HSV hue in degrees and the HSV saturation 0..1 of pixels (h, w, 3), 0..1: (h, w) each."""
    import cv2

    hsv = cv2.cvtColor(np.ascontiguousarray(pixels, np.float32), cv2.COLOR_RGB2HSV)
    return np.clip(hsv[:, :, 0], 0.0, 360.0), np.clip(hsv[:, :, 1], 0.0, 1.0)


def _scale_chroma(pixels: Pixels, grey: Mask, factor: Mask, gamut: float) -> Pixels:
    """Return pixels (h, w, 3), 0..1, with their chroma times ``factor`` (h, w), within 0..1; their luma ``grey`` stays."""
    chroma = pixels - grey[:, :, None]
    return limit_chroma(grey, chroma * factor[:, :, None], chroma_share(grey, chroma), gamut)


def _relight(pixels: Pixels, grey: Mask, new_grey: Mask, gamut: float) -> Pixels:
    """Return pixels (h, w, 3), 0..1, with the luma ``new_grey`` (h, w) for ``grey``, and the same hue and relative saturation."""
    chroma = pixels - grey[:, :, None]
    ratio = np.asarray(new_grey / np.maximum(grey, np.float32(1e-6)), np.float32)
    return limit_chroma(new_grey, chroma * ratio[:, :, None], chroma_share(grey, chroma), gamut)
