"""Masks of objects whose outline is known as points: a face, a hand, a line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.distance_transform import distance_transform
from goldsmith.picture.picture import Mask

# (n, 2): x and y of the corners of a polygon, in px; (0, 0) is the upper left corner of the upper left pixel.
Outline = NDArray[np.float32]

# Subpixel bits of the drawn outlines.
_SUBPIXEL_BITS = 4


def outlines_to_mask(height: int, width: int, outlines: Sequence[tuple[Outline, float, float]]) -> Mask:
    """Return the union (h, w), 0..1, of outlines; each comes with the px it is grown by and the width of its soft edge in px.

    The edge is 0.5 at the grown outline. The cost depends on the outlines' area.
    """
    result = np.zeros((height, width), np.float32)
    for outline, grow_px, edge_width in outlines:
        reach = grow_px + edge_width + 2
        left, top = (max(0, math.floor(float(low) - reach)) for low in outline.min(axis=0))
        end = outline.max(axis=0) + reach
        right, bottom = min(width, math.ceil(float(end[0]))), min(height, math.ceil(float(end[1])))
        if left < right and top < bottom:
            margin = math.ceil(reach)
            corner = np.array([left - margin, top - margin], np.float32)
            shape = _rasterise(outline - corner, bottom - top + 2 * margin, right - left + 2 * margin)
            soft_mask = _soften_edge(shape, grow_px, edge_width)[margin : margin + bottom - top, margin : margin + right - left]
            window = result[top:bottom, left:right]
            np.maximum(window, soft_mask, out=window)
    return result


# A detected object's mask above this is part of it, for a step that removes it.
_OBJECT_THRESHOLD = 0.02
# How far beyond its soft rim an object is still visible, as a share of the square root of the picture's area.
_RIM_SHARE = 0.004
# Gaps narrower than this many times that distance are closed.
_GAP_FACTOR = 2


def cover_whole_object(mask: Mask) -> Mask:
    """Return the whole detected object, (h, w), 0..1: 1 to the end of its soft rim and slightly beyond, with its narrow gaps closed.

    If only half of a hair were replaced, the other half would stay as a ghost.
    """
    import cv2

    reach = max(2.0, _RIM_SHARE * math.sqrt(mask.size))
    is_object = mask > _OBJECT_THRESHOLD
    if not is_object.any() or is_object.all():
        return mask
    distance = cv2.distanceTransform((~is_object).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    wide = np.pad((distance < _GAP_FACTOR * reach).astype(np.uint8), 1, mode="edge")
    closed = cv2.distanceTransform(wide, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1] >= (_GAP_FACTOR - 1) * reach
    result: Mask = np.where(closed | (distance < reach), np.float32(1), np.float32(0))
    return result


def convex_hull(points: Outline) -> Outline:
    """Return the corners (n, 2) px of the smallest convex polygon around the points."""
    import cv2

    return np.asarray(cv2.convexHull(np.ascontiguousarray(points, dtype=np.float32)), np.float32).reshape(-1, 2)


def ellipse_outline(centre: tuple[float, float], half_axes: tuple[float, float], rotation: float) -> Outline:
    """Return an ellipse as 72 corners, (72, 2) px: its centre, half its width and height before the rotation, and the rotation in radians,
    clockwise.
    """
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    across, down = half_axes[0] * np.cos(angles), half_axes[1] * np.sin(angles)
    x = centre[0] + across * math.cos(rotation) - down * math.sin(rotation)
    y = centre[1] + across * math.sin(rotation) + down * math.cos(rotation)
    return np.stack([x, y], axis=1).astype(np.float32)


def _rasterise(outline: Outline, height: int, width: int) -> NDArray[np.uint8]:
    import cv2

    shape = np.zeros((height, width), np.uint8)
    corners = np.round((outline - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32)
    cv2.fillPoly(shape, [corners], 1, lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)
    return shape


def _soften_edge(shape: NDArray[np.uint8], grow_px: float, edge_width: float) -> Mask:
    """Soften the edge by the distance of each pixel to the outline."""
    depth = np.where(shape > 0, distance_transform(shape) - 0.5, 0.5 - distance_transform(1 - shape))
    return np.asarray(np.clip((depth + grow_px) / max(edge_width, 1.0) + 0.5, 0.0, 1.0), np.float32)
