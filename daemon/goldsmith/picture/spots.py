"""Masks of things whose outline is known as points: a face, a hand, a line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.distance_transform import away
from goldsmith.picture.picture import Mask

Outline = NDArray[np.float32]
"""(n, 2): x and y of the corners of a polygon, in px; (0, 0) is the upper left corner of the upper left pixel."""

_FINE = 4
"""Bits below one px at which outlines are drawn."""


def spots(height: int, width: int, outlines: Sequence[tuple[Outline, float, float]]) -> Mask:
    """The union (h, w), 0..1, of outlines; each comes with how far it is grown and how wide its soft edge is, both in px.

    The edge is 0.5 at the grown outline. Cost follows the outlines' area.
    """
    made = np.zeros((height, width), np.float32)
    for outline, grow, soft in outlines:
        reach = grow + soft + 2
        left, top = (max(0, math.floor(float(low) - reach)) for low in outline.min(axis=0))
        most = outline.max(axis=0) + reach
        right, bottom = min(width, math.ceil(float(most[0]))), min(height, math.ceil(float(most[1])))
        if left < right and top < bottom:
            margin = math.ceil(reach)
            corner = np.array([left - margin, top - margin], np.float32)
            drawn = _drawn(outline - corner, bottom - top + 2 * margin, right - left + 2 * margin)
            spot = _soft(drawn, grow, soft)[margin : margin + bottom - top, margin : margin + right - left]
            window = made[top:bottom, left:right]
            np.maximum(window, spot, out=window)
    return made


_ALL = 0.02
"""A found thing's mask above this is part of it, for whoever removes it."""
_BEYOND = 0.004
"""How far beyond its soft rim a thing still shows in the picture, in parts of the square root of the picture's area."""
_GAPS = 2
"""Gaps are closed that are narrower than this many times as much."""


def whole(mask: Mask) -> Mask:
    """Of a thing that was found, (h, w) 0..1, all of it: 1 to the end of its soft rim and a little beyond, with its narrow gaps.

    Half of a hair stays as a ghost where it is only half replaced.
    """
    import cv2

    reach = max(2.0, _BEYOND * math.sqrt(mask.size))
    thing = mask > _ALL
    if not thing.any() or thing.all():
        return mask
    away = cv2.distanceTransform((~thing).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    wide = np.pad((away < _GAPS * reach).astype(np.uint8), 1, mode="edge")
    closed = cv2.distanceTransform(wide, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1] >= (_GAPS - 1) * reach
    made: Mask = np.where(closed | (away < reach), np.float32(1), np.float32(0))
    return made


def hull(points: Outline) -> Outline:
    """The corners of the smallest convex polygon round some points."""
    import cv2

    return np.asarray(cv2.convexHull(np.ascontiguousarray(points, dtype=np.float32)), np.float32).reshape(-1, 2)


def ellipse(middle: tuple[float, float], half: tuple[float, float], turn: float) -> Outline:
    """An ellipse as 72 corners: its middle, half its width and height before it is turned, its turn in radians, clockwise as seen."""
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    across, down = half[0] * np.cos(angles), half[1] * np.sin(angles)
    x = middle[0] + across * math.cos(turn) - down * math.sin(turn)
    y = middle[1] + across * math.sin(turn) + down * math.cos(turn)
    return np.stack([x, y], axis=1).astype(np.float32)


def _drawn(outline: Outline, height: int, width: int) -> NDArray[np.uint8]:
    import cv2

    drawn = np.zeros((height, width), np.uint8)
    corners = np.round((outline - 0.5) * 2**_FINE).astype(np.int32)
    cv2.fillPoly(drawn, [corners], 1, lineType=cv2.LINE_8, shift=_FINE)
    return drawn


def _soft(drawn: NDArray[np.uint8], grow: float, soft: float) -> Mask:
    """By the distance of each pixel to the outline."""
    depth = np.where(drawn > 0, away(drawn) - 0.5, 0.5 - away(1 - drawn))
    return np.asarray(np.clip((depth + grow) / max(soft, 1.0) + 0.5, 0.0, 1.0), np.float32)
