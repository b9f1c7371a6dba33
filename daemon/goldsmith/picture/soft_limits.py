"""Soft limits: values that would be clipped are compressed towards the limit and keep their order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels, channel_maximum, channel_minimum

FloatPlane = NDArray[np.float32]


def roll_off(values: FloatPlane, knee: float, peak: FloatPlane | float) -> FloatPlane:
    """Return values of any shape (n, ...) with ``knee``..``peak`` compressed to ``knee``..1; values up to ``knee`` stay as they are.

    The curve is a hyperbola that leaves the knee with a slope of 1 and reaches 1 at the peak: k + u / (1 + c u), u = x - k,
    c = 1 / (1 - k) - 1 / (peak - k). With a peak of 1 or less nothing changes up to 1. A knee of 1 is a hard limit.
    """
    if knee >= 1.0:
        return np.minimum(values, np.float32(1.0))
    low = np.float32(knee)
    bend = np.float32(1.0) / (1.0 - low) - np.float32(1.0) / (np.maximum(peak, 1.0) - low)
    over = np.maximum(values - low, np.float32(0.0))
    return np.asarray(np.where(values > low, low + over / (1.0 + bend * over), values), np.float32)


def roll_off_light(linear: Pixels, knee: float, peak: float) -> Pixels:
    """Return linear light (h, w, c) with a shoulder: ``knee``..``peak`` is compressed to ``knee``..1, in linear units.

    The curve is applied to the largest and the smallest channel; the middle one keeps its place between them, so the hue (HSV) stays, and
    bright colours become paler towards white, as in the DNG specification's reference rendering (Adobe, "RGB tone").
    """
    if linear.shape[2] == 1:
        return roll_off(linear, knee, peak)
    high = channel_maximum(linear)[:, :, None]
    bright = high[:, :, 0] > knee
    if not bright.any():
        return linear
    low = channel_minimum(linear)[:, :, None]
    new_low = roll_off(low, knee, peak)
    ratio = (roll_off(high, knee, peak) - new_low) / np.maximum(high - low, np.float32(1e-9))
    return np.where(bright[:, :, None], new_low + (linear - low) * ratio, linear)


def compress_gamut(linear: Pixels, threshold: float, limits: FloatPlane) -> Pixels:
    """Return linear light (h, w, 3), 0..1 inside the gamut, with colours outside the gamut brought inside: no channel is negative.

    The distance of a channel from grey is (largest - channel) / largest; it is above 1 outside the gamut. Distances from ``threshold`` to
    the channel's limit, ``limits`` (3,), are compressed to ``threshold``..1, as the ACES reference gamut compression does (Academy
    S-2021-001), here with the curve of ``roll_off``. The largest channel does not change.
    """
    largest = np.maximum(channel_maximum(linear)[:, :, None], np.float32(1e-9))
    distance = np.asarray((largest - linear) / largest, np.float32)
    if threshold >= 1.0:
        return np.maximum(linear, np.float32(0.0))
    return np.where(distance > threshold, largest * (1.0 - roll_off(distance, threshold, limits)), linear)
