"""Tone at a join: what was added goes over into what was there without a step of light or colour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels
from goldsmith.picture.smooth import softened

PASSES = ((48, 8, 48.0, 1.0), (6, 6, 6.0, 0.125), (1, 2, 1.5, 0.02))
"""First broadly, then closely, then the last px: how many px of the new and of the old are compared, the sigma in px along the join,
and over which part of the way it fades. A fill takes its tone from the edge and wanders off behind it to that of where it was copied
from."""
STRONGEST = 0.12
"""The most, 0..1, that tone is moved: more is no step of tone but another thing."""
LOCAL = 0.05
"""How far, 0..1, the step at one place may be from that of the whole join."""
STRANGE = 0.08
"""Differences this far, 0..1, from the join's own median count half: an edge that ends there is no difference of tone."""


def met(new: Pixels, known: Pixels, px: int) -> tuple[Pixels, float]:
    """``new`` (h, w, c), which lies right of ``known`` (h, k, c), moved to its tone at the join and less and less over ``px``.

    Returns the moved px and how large the step at the join was on average.
    """
    offset = 0.0
    for added, beside, sigma, part in PASSES:
        ours, theirs = min(added, new.shape[1]), min(beside, known.shape[1])
        if px < 1 or not ours or not theirs:
            continue
        apart = np.asarray(np.median(known[:, -theirs:], axis=1) - np.median(new[:, :ours], axis=1), dtype=np.float32)
        step = _along(apart, sigma)
        new = new + step[:, None, :] * _fading(new.shape[1], px * part)[None, :, None]
        offset = max(offset, float(np.abs(step).mean()))
    return np.clip(new, 0, 1).astype(np.float32, copy=False), offset


def _along(apart: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """(h, c): the step smoothed along the join by what of it is to be trusted; less than it is where that is less than half."""
    middle = np.median(apart, axis=0)
    strange = np.abs(apart - middle).max(axis=1) / STRANGE
    trust = (1 / (1 + strange**4)).astype(np.float32)
    seen = softened(np.ascontiguousarray((apart * trust[:, None])[:, None, :]), sigma)[:, 0]
    step = seen / np.maximum(softened(trust[:, None], sigma), 0.5)
    middle = np.clip(middle, -STRONGEST, STRONGEST)
    return np.asarray(np.clip(step, middle - LOCAL, middle + LOCAL), dtype=np.float32)


def _fading(width: int, px: float) -> NDArray[np.float32]:
    """1 at the join, level there, 0 from ``px`` on."""
    away = np.clip(np.arange(width, dtype=np.float32) / max(px, 1.0), 0, 1)
    return np.asarray((1 + np.cos(np.pi * away)) / 2, dtype=np.float32)
