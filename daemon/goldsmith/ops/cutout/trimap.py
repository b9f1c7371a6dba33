"""What of a matte is sure and what is open: inside, outside, and the band between that closed-form matting settles."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from goldsmith.ops.cutout.laplacian import Flags
from goldsmith.picture.distance_transform import away
from goldsmith.picture.picture import Mask

_SURE = 0.02
"""A matte nearer to 0 or 1 than this is taken for it."""
_LEAST, _MOST = 0.006, 0.03
"""The narrowest and the widest band that is chosen unasked, to each side, in parts of the square root of the picture's area."""
_PAINTED = 0.01
"""The same of a band along a painted outline."""
_THIN = 5
"""px: a grey seam narrower than this is the soft edge of a brush and not a place that somebody left open."""


class Trimap(NamedTuple):
    """guess (h, w): 0 and 1 where it is sure, else what is thought so far; open_ (h, w); edge: px of the band, to each side."""

    guess: Mask
    open_: Flags
    edge: int


_SMALL = 8
"""A band takes at most this part of the shorter side to each side."""


def of_matte(matte: Mask, edge: int | None = None) -> Trimap:
    """The trimap of a coarse matte (h, w), 0..1: open round its contour, as wide as the matte itself is soft, and wherever it is unsure."""
    width = _within(matte, _band(matte) if edge is None else edge)
    unsure = (matte > _SURE) & (matte < 1 - _SURE)
    return _trimap(matte, unsure | _grown(unsure, math.ceil(width / 3)) | _grown(_contour(matte), width), width)


def of_mask(mask: Mask, edge: int | None = None) -> Trimap:
    """The trimap that a painted mask is: white is inside, black outside, grey open; so is a band where white meets black."""
    width = _within(mask, max(2, round(math.sqrt(mask.size) * _PAINTED)) if edge is None else edge)
    grey = (mask > _SURE) & (mask < 1 - _SURE)
    left = _opened(grey)
    met = _contour(mask) & ~_grown(left, _THIN)
    return _trimap(mask, grey | _grown(met, width), width)


def _trimap(matte: Mask, open_: Flags, edge: int) -> Trimap:
    sure = np.where(matte > 0.5, np.float32(1), np.float32(0))
    return Trimap(np.where(open_, matte, sure), open_, edge)


def _band(matte: Mask) -> int:
    """px: how far the matte takes from outside to inside, in the middle of all its contours."""
    size = math.sqrt(matte.size)
    along = int(np.count_nonzero(_contour(matte)))
    soft = int(np.count_nonzero((matte > 0.05) & (matte < 0.95))) / max(along, 1)
    return max(2, int(min(max(1.5 * soft, _LEAST * size), _MOST * size) + 0.5))


def _within(matte: Mask, width: int) -> int:
    return min(width, int(min(matte.shape)) // _SMALL)


def _contour(matte: Mask) -> Flags:
    """The pixels inside that lie beside one that is outside."""
    import cv2

    inside = (matte > 0.5).astype(np.uint8)
    return np.asarray(cv2.erode(inside, np.ones((3, 3), np.uint8)) != inside)


def _grown(flags: Flags, radius: int) -> Flags:
    """Every pixel that lies less than ``radius`` px from one of them; none for 0."""
    if radius <= 0 or not flags.any():
        return np.zeros_like(flags)
    return np.asarray(away(~flags) < radius)


def _opened(flags: Flags) -> Flags:
    """Without what is thinner than a brush's soft edge."""
    import cv2

    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_THIN, _THIN))
    return np.asarray(cv2.morphologyEx(flags.astype(np.uint8), cv2.MORPH_OPEN, shape, borderType=cv2.BORDER_REPLICATE) > 0)
