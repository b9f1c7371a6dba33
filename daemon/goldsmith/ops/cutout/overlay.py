"""A matte shown over its picture, so that a person sees at once what is wrong with it."""

from __future__ import annotations

import numpy as np

from goldsmith.ops.cutout.matte_quality import Verdict
from goldsmith.picture.picture import Mask, Pixels

_SIDE = 1400
"""px of the longer side."""
_UNSURE, _HOLE, _CUT = (1.0, 0.1, 0.75), (0.1, 0.55, 1.0), (1.0, 0.85, 0.0)
_BEHIND = 0.3
"""What is left of the picture's light outside the subject."""


def overlay(pixels: Pixels, alpha: Mask, verdict: Verdict) -> Pixels:
    """(h, w, 3), at most 1400 px: the subject in its own grey, the rest dark; magenta is unsure, blue a hole, yellow cut by the frame."""
    import cv2

    height, width = alpha.shape
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))

    def small(plane: np.ndarray) -> Mask:
        return np.asarray(cv2.resize(plane.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)

    grey = small(np.ascontiguousarray(pixels.mean(axis=2)))
    matte = small(alpha)
    shown: Pixels = np.repeat((grey * (_BEHIND + (1 - _BEHIND) * matte))[:, :, None], 3, axis=2)
    for flags, colour in ((verdict.unsure_at, _UNSURE), (verdict.holes_at, _HOLE)):
        share = np.float32(0.75) * np.minimum(1, 2 * small(flags))[:, :, None]
        shown = shown * (1 - share) + share * np.asarray(colour, np.float32)
    return _framed(shown, matte)


def _framed(shown: Pixels, matte: Mask) -> Pixels:
    """With a yellow rim where the subject runs out of the picture."""
    rim = max(3, max(matte.shape) // 150)
    cut = matte > 0.5
    yellow = np.asarray(_CUT, np.float32)
    for edge, part in ((cut[0], shown[:rim]), (cut[-1], shown[-rim:])):
        part[:, edge] = yellow
    for edge, part in ((cut[:, 0], shown[:, :rim]), (cut[:, -1], shown[:, -rim:])):
        part[edge] = yellow
    return np.clip(shown, 0.0, 1.0)
