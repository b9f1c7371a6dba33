"""Derive a trimap from a matte or a mask: inside, outside, and the unknown band that closed-form matting resolves."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from goldsmith.ops.cutout.laplacian import BoolMask
from goldsmith.picture.distance_transform import distance_transform
from goldsmith.picture.picture import Mask

# A matte nearer to 0 or 1 than this is certain.
_SURE_MARGIN = 0.02
# The narrowest and widest automatic band on each side, as a share of the square root of the picture's area.
_MIN_BAND, _MAX_BAND = 0.006, 0.03
# The same for a band along a painted outline.
_PAINTED_BAND = 0.01
# px. A narrower grey rim is the soft edge of a brush, not an area that was left to be found.
_BRUSH_EDGE_PX = 5


class Trimap(NamedTuple):
    """A trimap. ``guess`` (h, w): 0 and 1 where certain, else the current estimate; ``unknown`` (h, w), bool; ``band_width``: px of the
    band on each side.
    """

    guess: Mask
    unknown: BoolMask
    band_width: int


# A band covers at most this fraction of the shorter side on each side.
_MAX_BAND_DIVISOR = 8


def trimap_from_matte(matte: Mask, band_width: int | None = None) -> Trimap:
    """Return the trimap of a coarse matte (h, w), 0..1: unknown around its contour, as wide as the matte is soft there, and where the matte
    is uncertain.
    """
    width = _limit_band_width(matte, _choose_band_width(matte) if band_width is None else band_width)
    unsure = (matte > _SURE_MARGIN) & (matte < 1 - _SURE_MARGIN)
    return _build_trimap(matte, unsure | _dilate(unsure, math.ceil(width / 3)) | _dilate(_contour(matte), width), width)


def trimap_from_mask(mask: Mask, band_width: int | None = None) -> Trimap:
    """Return the trimap of a painted mask (h, w), 0..1: white is inside, black outside, grey unknown, and so is a band where white meets
    black.
    """
    width = _limit_band_width(mask, max(2, round(math.sqrt(mask.size) * _PAINTED_BAND)) if band_width is None else band_width)
    grey = (mask > _SURE_MARGIN) & (mask < 1 - _SURE_MARGIN)
    grey_area = _drop_thin(grey)
    edge = _contour(mask) & ~_dilate(grey_area, _BRUSH_EDGE_PX)
    return _build_trimap(mask, grey | _dilate(edge, width), width)


def _build_trimap(matte: Mask, unknown: BoolMask, band_width: int) -> Trimap:
    sure = np.where(matte > 0.5, np.float32(1), np.float32(0))
    return Trimap(np.where(unknown, matte, sure), unknown, band_width)


def _choose_band_width(matte: Mask) -> int:
    """Return the median distance over which the matte goes from outside to inside, in px."""
    size = math.sqrt(matte.size)
    along = int(np.count_nonzero(_contour(matte)))
    soft = int(np.count_nonzero((matte > 0.05) & (matte < 0.95))) / max(along, 1)
    return max(2, int(min(max(1.5 * soft, _MIN_BAND * size), _MAX_BAND * size) + 0.5))


def _limit_band_width(matte: Mask, width: int) -> int:
    return min(width, int(min(matte.shape)) // _MAX_BAND_DIVISOR)


def _contour(matte: Mask) -> BoolMask:
    """Return the inside pixels beside an outside pixel."""
    import cv2

    inside = (matte > 0.5).astype(np.uint8)
    return np.asarray(cv2.erode(inside, np.ones((3, 3), np.uint8)) != inside)


def _dilate(flags: BoolMask, radius: int) -> BoolMask:
    """Return every pixel less than ``radius`` px from a flagged one; none for radius 0."""
    if radius <= 0 or not flags.any():
        return np.zeros_like(flags)
    return np.asarray(distance_transform(~flags) < radius)


def _drop_thin(flags: BoolMask) -> BoolMask:
    """Return the flags without parts thinner than a brush's soft edge."""
    import cv2

    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_BRUSH_EDGE_PX, _BRUSH_EDGE_PX))
    return np.asarray(cv2.morphologyEx(flags.astype(np.uint8), cv2.MORPH_OPEN, shape, borderType=cv2.BORDER_REPLICATE) > 0)
