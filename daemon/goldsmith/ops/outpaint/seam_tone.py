"""Tone at a join: what was added goes over into what was there without a step of light or colour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels
from goldsmith.picture.smoothing import gaussian_blur

# First broadly, then closely, then the last px: how many px of the new and of the old are compared, the sigma in px along the join, and
# over which part of the way it fades. A fill takes its tone from the edge and wanders off behind it to that of where it was copied from.
PASSES = ((48, 8, 48.0, 1.0), (6, 6, 6.0, 0.125), (1, 2, 1.5, 0.02))
# The most, 0..1, that tone is moved: more is no step of tone but another thing.
MAX_TONE_SHIFT = 0.12
# How far, 0..1, the step at one place may be from that of the whole join.
MAX_LOCAL_DEVIATION = 0.05
# Differences this far, 0..1, from the join's own median count half: an edge that ends there is no difference of tone.
OUTLIER_DIFFERENCE = 0.08


def match_tone_at_seam(new_pixels: Pixels, known_pixels: Pixels, fade_px: int) -> tuple[Pixels, float]:
    """``new`` (h, w, c), which lies right of ``known`` (h, k, c), moved to its tone at the join and less and less over ``px``.

    Returns the moved px and how large the step at the join was on average.
    """
    offset = 0.0
    for added, beside, sigma, part in PASSES:
        ours, theirs = min(added, new_pixels.shape[1]), min(beside, known_pixels.shape[1])
        if fade_px < 1 or not ours or not theirs:
            continue
        apart = np.asarray(np.median(known_pixels[:, -theirs:], axis=1) - np.median(new_pixels[:, :ours], axis=1), dtype=np.float32)
        step = _smooth_along_seam(apart, sigma)
        new_pixels = new_pixels + step[:, None, :] * _fade_weights(new_pixels.shape[1], fade_px * part)[None, :, None]
        offset = max(offset, float(np.abs(step).mean()))
    return np.clip(new_pixels, 0, 1).astype(np.float32, copy=False), offset


def _smooth_along_seam(difference: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """(h, c): the step smoothed along the join by what of it is to be trusted; less than it is where that is less than half."""
    middle = np.median(difference, axis=0)
    strange = np.abs(difference - middle).max(axis=1) / OUTLIER_DIFFERENCE
    trust = (1 / (1 + strange**4)).astype(np.float32)
    seen = gaussian_blur(np.ascontiguousarray((difference * trust[:, None])[:, None, :]), sigma)[:, 0]
    step = seen / np.maximum(gaussian_blur(trust[:, None], sigma), 0.5)
    middle = np.clip(middle, -MAX_TONE_SHIFT, MAX_TONE_SHIFT)
    return np.asarray(np.clip(step, middle - MAX_LOCAL_DEVIATION, middle + MAX_LOCAL_DEVIATION), dtype=np.float32)


def _fade_weights(width: int, fade_px: float) -> NDArray[np.float32]:
    """1 at the join, level there, 0 from ``px`` on."""
    away = np.clip(np.arange(width, dtype=np.float32) / max(fade_px, 1.0), 0, 1)
    return np.asarray((1 + np.cos(np.pi * away)) / 2, dtype=np.float32)
