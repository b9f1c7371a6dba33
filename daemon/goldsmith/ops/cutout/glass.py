"""Glass: what is partly see-through all over, as solid as somebody painted it, with its reflections and rims as solid as they show.

A picture does not tell how clear a pane is, so a person says that. Where what lies behind is even, the picture tells the rest: a colour
that no mixture with so little glass could make needs more of it. Smith and Blinn, "Blue Screen Matting" (1996), their known backing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from goldsmith.ops.cutout.laplacian import BoolMask
from goldsmith.picture.picture import Mask, Pixels
from goldsmith.picture.smoothing import pull_push_fill, resize_values

# px of the longer side at which what lies behind is carried on under the glass: it is even there, or it is not done.
_WORKING_SIDE = 512
# Painted fainter than this is no glass.
_MIN_OPACITY = 0.02
# px: over so much the soft edge of a brush is no thinner glass.
_BRUSH_EDGE_PX = 9
# So far from what lies behind, 0..1, a colour may be by noise alone.
_NOISE_TOLERANCE = 0.03
# How far round the glass what lies behind is looked at, in parts of the picture's longer side.
_NEIGHBOURHOOD = 0.08


class Glass(NamedTuple):
    """at (h, w): where it is; alpha (h, w): how solid it is there; pixels (h, w, c): its own colours there. ``uneven``: how far what lies
    behind strays from its own mean round the glass, 0..1; None where nothing of it is to be seen."""

    mask: BoolMask
    alpha: Mask
    pixels: Pixels
    unevenness: float | None


def extract_glass(pixels: Pixels, matte: Mask, painted_opacity: Mask) -> Glass:
    """Of a picture (h, w, c), its matte and how solid the glass was painted (h, w), 0..1: the glass."""
    import cv2

    at = painted_opacity > _MIN_OPACITY
    solid = np.asarray(cv2.dilate(painted_opacity, np.ones((_BRUSH_EDGE_PX, _BRUSH_EDGE_PX), np.uint8)), np.float32)
    behind, uneven = _estimate_background(pixels, matte, at)
    if uneven is None:
        return Glass(at, np.where(at, solid, matte), pixels, None)
    apart = pixels - behind
    room = np.where(apart > 0, 1 - behind, behind)
    least = (np.maximum(np.abs(apart) - _NOISE_TOLERANCE, 0) / np.maximum(room - _NOISE_TOLERANCE, np.float32(_NOISE_TOLERANCE))).max(
        axis=2
    )
    alpha = np.clip(np.maximum(solid, least), 0, 1)
    own = np.clip(behind + apart / np.maximum(alpha, np.float32(_MIN_OPACITY))[:, :, None], 0, 1)
    return Glass(at, np.where(at, alpha, matte).astype(np.float32), np.where(at[:, :, None], own, pixels).astype(np.float32), uneven)


def _estimate_background(pixels: Pixels, matte: Mask, glass_mask: BoolMask) -> tuple[Pixels, float | None]:
    """What lies behind, carried on smoothly from where it is seen, and how uneven it is near the glass."""
    import cv2

    height, width = matte.shape
    scale = min(1.0, _WORKING_SIDE / max(height, width))
    high, wide = max(1, round(height * scale)), max(1, round(width * scale))
    seen = resize_values(pixels, high, wide).reshape(high, wide, -1)
    free = resize_values(((matte <= 0) & ~glass_mask).astype(np.float32), high, wide) > 0.999
    glass = resize_values(glass_mask.astype(np.float32), high, wide) > 0
    away = cv2.distanceTransform((~glass).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    reach = _NEIGHBOURHOOD * max(high, wide)
    near = free & (away < reach)
    if not near.any():
        return pixels, None
    known = near.astype(np.float32)
    mean = _blur(seen * known[:, :, None], reach / 2) / np.maximum(_blur(known[:, :, None], reach / 2), np.float32(1e-6))
    uneven = float(np.abs(seen - mean)[near].mean(axis=0).max())
    carried = np.clip(pull_push_fill(np.ascontiguousarray(mean), known), 0, 1)
    return np.clip(resize_values(carried, height, width).reshape(pixels.shape), 0, 1), uneven


def _blur(planes: Pixels, sigma: float) -> Pixels:
    import cv2

    made = cv2.GaussianBlur(planes, (0, 0), max(sigma, 1.0), borderType=cv2.BORDER_REFLECT)
    return np.asarray(made, np.float32).reshape(planes.shape)
