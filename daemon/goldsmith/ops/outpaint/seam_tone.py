"""Match the tone at a seam: the new part continues the old one without a step in light or colour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels
from goldsmith.picture.smoothing import gaussian_blur

# Passes from broad to fine: how many px of the new and of the old part are compared, the sigma along the seam in px, and the fraction of
# the fade. A fill starts with the tone of the edge and drifts to the tone of the place it was copied from.
PASSES = ((48, 8, 48.0, 1.0), (6, 6, 6.0, 0.125), (1, 2, 1.5, 0.02))
# px of the old part that are examined for blur, and their fine detail, 0..1, up to which a place is blurred and from which it is not.
_RIM_PX, _BLURRED, _DETAILED = 12, 0.008, 0.02
# On blur, the first px of the new part are softened with that sigma, in px: an edge of copied parts is a line there. And the finest pass
# fades as far as the one before; beside detail that would be streaks.
_SOFT_PX, _SOFT_SIGMA, _SOFT_TAPS = 48, 6.0, 37
# The largest tone shift, 0..1: a larger step is another object.
MAX_TONE_SHIFT = 0.12
# How far, 0..1, the step at one place may differ from that of the whole seam.
MAX_LOCAL_DEVIATION = 0.05
# Differences this far, 0..1, from the seam's own median count half: an edge that ends there is not a difference in tone.
OUTLIER_DIFFERENCE = 0.08


def match_tone_at_seam(new_pixels: Pixels, known_pixels: Pixels, fade_px: int) -> tuple[Pixels, float]:
    """Return ``new_pixels`` (h, w, c), which lie right of ``known_pixels`` (h, k, c), shifted to their tone at the seam and fading over
    ``fade_px``; and the mean step at the seam.

    All pixels are 0..1, display-encoded.
    """
    offset = 0.0
    blur = _blur_along_seam(known_pixels)
    new_pixels = _soften_on_blur(new_pixels, known_pixels, blur) if fade_px >= 1 else new_pixels
    for new_px, known_px, sigma, least_part in PASSES:
        new_width, known_width = min(new_px, new_pixels.shape[1]), min(known_px, known_pixels.shape[1])
        if fade_px < 1 or not new_width or not known_width:
            continue
        difference = np.asarray(
            np.median(known_pixels[:, -known_width:], axis=1) - np.median(new_pixels[:, :new_width], axis=1), dtype=np.float32
        )
        step = _smooth_along_seam(difference, sigma)
        parts = np.maximum(least_part, PASSES[1][3] * blur)
        new_pixels = new_pixels + step[:, None, :] * _fade_weights(new_pixels.shape[1], fade_px * parts)[:, :, None]
        offset = max(offset, float(np.abs(step).mean()))
    return np.clip(new_pixels, 0, 1).astype(np.float32, copy=False), offset


def _smooth_along_seam(difference: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Return the step (h, c), smoothed along the seam by its reliability, and reduced where less than half of it is reliable."""
    middle = np.median(difference, axis=0)
    deviation = np.abs(difference - middle).max(axis=1) / OUTLIER_DIFFERENCE
    trust = (1 / (1 + deviation**4)).astype(np.float32)
    weighted = gaussian_blur(np.ascontiguousarray((difference * trust[:, None])[:, None, :]), sigma)[:, 0]
    step = weighted / np.maximum(gaussian_blur(trust[:, None], sigma), 0.5)
    middle = np.clip(middle, -MAX_TONE_SHIFT, MAX_TONE_SHIFT)
    return np.asarray(np.clip(step, middle - MAX_LOCAL_DEVIATION, middle + MAX_LOCAL_DEVIATION), dtype=np.float32)


def _soften_on_blur(new_pixels: Pixels, known_pixels: Pixels, blur: NDArray[np.float32]) -> Pixels:
    """Return ``new_pixels`` (h, w, c) without edges near the seam where the old part is blurred, with the grain of the old part."""
    import cv2

    width = min(_SOFT_PX, new_pixels.shape[1], known_pixels.shape[1])
    if not width or not blur.any():
        return new_pixels
    rim = np.ascontiguousarray(known_pixels[:, -width:])
    joined = np.concatenate([rim, new_pixels[:, :width]], axis=1)
    grain = (rim - gaussian_blur(rim, 1.5))[:, ::-1]
    across = cv2.GaussianBlur(joined, (_SOFT_TAPS, 1), _SOFT_SIGMA, borderType=cv2.BORDER_REFLECT).reshape(joined.shape)
    soft = across[:, width:] + grain
    step = np.abs(new_pixels[:, :_RIM_PX].mean(axis=1) - rim[:, -_RIM_PX:].mean(axis=1)).max(axis=1)
    likeness = np.clip(2 - step / MAX_TONE_SHIFT, 0, 1)
    share = (blur * likeness)[:, None] * _fade_weights(width, np.full(len(blur), width, np.float32))
    result = new_pixels.copy()
    result[:, :width] += share[:, :, None] * (soft - result[:, :width])
    return result


def _blur_along_seam(known_pixels: Pixels) -> NDArray[np.float32]:
    """Return how blurred (h,), 0..1, the old part (h, k, c) is at each place of the seam."""
    rim = np.ascontiguousarray(known_pixels[:, -_RIM_PX:])
    if not rim.shape[1]:
        return np.zeros(known_pixels.shape[0], np.float32)
    detail = np.abs(rim - gaussian_blur(rim, 1.5)).mean(axis=(1, 2))
    smooth = gaussian_blur(np.ascontiguousarray(detail[:, None]), PASSES[1][2])[:, 0]
    return np.asarray(np.clip((_DETAILED - smooth) / (_DETAILED - _BLURRED), 0, 1), np.float32)


def _fade_weights(width: int, fade_px: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return weights (h, width) that are 1 at the seam, flat there, and 0 from ``fade_px`` (h,) on."""
    distance = np.clip(np.arange(width, dtype=np.float32)[None, :] / np.maximum(fade_px, 1.0)[:, None], 0, 1)
    return np.asarray((1 + np.cos(np.pi * distance)) / 2, dtype=np.float32)
