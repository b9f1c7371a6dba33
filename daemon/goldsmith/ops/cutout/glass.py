"""Glass: what is partly see-through all over, as solid as somebody painted it, with its reflections and rims as solid as they show.

A picture does not tell how clear a pane is, so a person says that. Where what lies behind is even, the picture tells the rest: a colour
that no mixture with so little glass could make needs more of it. Smith and Blinn, "Blue Screen Matting" (1996), their known backing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from goldsmith.ops.cutout.laplacian import Flags
from goldsmith.picture.picture import Mask, Pixels
from goldsmith.picture.smooth import at_size, membrane

_WORK = 512
"""px of the longer side at which what lies behind is carried on under the glass: it is even there, or it is not done."""
_PAINTED = 0.02
"""Painted fainter than this is no glass."""
_RIM = 9
"""px: over so much the soft edge of a brush is no thinner glass."""
_NOISE = 0.03
"""So far from what lies behind, 0..1, a colour may be by noise alone."""
_NEAR = 0.08
"""How far round the glass what lies behind is looked at, in parts of the picture's longer side."""


class Glass(NamedTuple):
    """at (h, w): where it is; alpha (h, w): how solid it is there; pixels (h, w, c): its own colours there. ``uneven``: how far what lies
    behind strays from its own mean round the glass, 0..1; None where nothing of it is to be seen."""

    at: Flags
    alpha: Mask
    pixels: Pixels
    uneven: float | None


def glazed(pixels: Pixels, matte: Mask, painted: Mask) -> Glass:
    """Of a picture (h, w, c), its matte and how solid the glass was painted (h, w), 0..1: the glass."""
    import cv2

    at = painted > _PAINTED
    solid = np.asarray(cv2.dilate(painted, np.ones((_RIM, _RIM), np.uint8)), np.float32)
    behind, uneven = _behind(pixels, matte, at)
    if uneven is None:
        return Glass(at, np.where(at, solid, matte), pixels, None)
    apart = pixels - behind
    room = np.where(apart > 0, 1 - behind, behind)
    least = (np.maximum(np.abs(apart) - _NOISE, 0) / np.maximum(room - _NOISE, np.float32(_NOISE))).max(axis=2)
    alpha = np.clip(np.maximum(solid, least), 0, 1)
    own = np.clip(behind + apart / np.maximum(alpha, np.float32(_PAINTED))[:, :, None], 0, 1)
    return Glass(at, np.where(at, alpha, matte).astype(np.float32), np.where(at[:, :, None], own, pixels).astype(np.float32), uneven)


def _behind(pixels: Pixels, matte: Mask, at: Flags) -> tuple[Pixels, float | None]:
    """What lies behind, carried on smoothly from where it is seen, and how uneven it is near the glass."""
    import cv2

    height, width = matte.shape
    scale = min(1.0, _WORK / max(height, width))
    high, wide = max(1, round(height * scale)), max(1, round(width * scale))
    seen = at_size(pixels, high, wide).reshape(high, wide, -1)
    free = at_size(((matte <= 0) & ~at).astype(np.float32), high, wide) > 0.999
    glass = at_size(at.astype(np.float32), high, wide) > 0
    away = cv2.distanceTransform((~glass).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    reach = _NEAR * max(high, wide)
    near = free & (away < reach)
    if not near.any():
        return pixels, None
    known = near.astype(np.float32)
    mean = _blurred(seen * known[:, :, None], reach / 2) / np.maximum(_blurred(known[:, :, None], reach / 2), np.float32(1e-6))
    uneven = float(np.abs(seen - mean)[near].mean(axis=0).max())
    carried = np.clip(membrane(np.ascontiguousarray(mean), known), 0, 1)
    return np.clip(at_size(carried, height, width).reshape(pixels.shape), 0, 1), uneven


def _blurred(planes: Pixels, sigma: float) -> Pixels:
    import cv2

    made = cv2.GaussianBlur(planes, (0, 0), max(sigma, 1.0), borderType=cv2.BORDER_REFLECT)
    return np.asarray(made, np.float32).reshape(planes.shape)
