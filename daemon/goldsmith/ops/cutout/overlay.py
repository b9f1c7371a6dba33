"""Render a matte over its picture, so that a person sees its faults at once."""

from __future__ import annotations

import numpy as np

from goldsmith.ops.cutout.matte_quality import MatteVerdict
from goldsmith.picture.picture import Mask, Pixels

# px of the longer side.
_MAX_SIDE = 1400
_UNSURE_COLOUR, _HOLE_COLOUR, _CUT_COLOUR = (1.0, 0.1, 0.75), (0.1, 0.55, 1.0), (1.0, 0.85, 0.0)
# Brightness of the picture outside the subject.
_BACKGROUND_LIGHT = 0.3


def render_overlay(pixels: Pixels, alpha: Mask, verdict: MatteVerdict) -> Pixels:
    """Return the overlay, (h, w, 3), 0..1, display-encoded, at most 1400 px: the subject in grey, the rest dark; magenta = uncertain, blue
    = hole, yellow = cut by the frame.
    """
    import cv2

    height, width = alpha.shape
    scale = min(1.0, _MAX_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))

    def small(plane: np.ndarray) -> Mask:
        return np.asarray(cv2.resize(plane.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)

    grey = small(np.ascontiguousarray(pixels.mean(axis=2)))
    matte = small(alpha)
    overlay: Pixels = np.repeat((grey * (_BACKGROUND_LIGHT + (1 - _BACKGROUND_LIGHT) * matte))[:, :, None], 3, axis=2)
    for flags, colour in ((verdict.unsure_mask, _UNSURE_COLOUR), (verdict.hole_mask, _HOLE_COLOUR)):
        share = np.float32(0.75) * np.minimum(1, 2 * small(flags))[:, :, None]
        overlay = overlay * (1 - share) + share * np.asarray(colour, np.float32)
    return _mark_cut_sides(overlay, matte)


def _mark_cut_sides(overlay: Pixels, matte: Mask) -> Pixels:
    """Draw a yellow rim where the frame cuts the subject."""
    rim = max(3, max(matte.shape) // 150)
    cut = matte > 0.5
    yellow = np.asarray(_CUT_COLOUR, np.float32)
    for edge, part in ((cut[0], overlay[:rim]), (cut[-1], overlay[-rim:])):
        part[:, edge] = yellow
    for edge, part in ((cut[:, 0], overlay[:, :rim]), (cut[:, -1], overlay[:, -rim:])):
        part[edge] = yellow
    return np.clip(overlay, 0.0, 1.0)
