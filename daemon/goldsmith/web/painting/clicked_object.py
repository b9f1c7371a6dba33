"""Finds the object at a point of a picture with a matte estimator, which by itself finds only what a whole picture is of.

The estimator looks at cuts around the point, from small to large: in a cut that an object fills well, the object is what the cut is of. The
first cut that contains the whole object counts. Then it looks once more, at the object with some surroundings, for the finest outline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from goldsmith.engines.vision import MatteEstimator
from goldsmith.picture.picture import Mask, Picture, Pixels, Window, freeze
from goldsmith.worker.detections import to_rgb
from goldsmith.worker.guided_filter import refine_matte

# The sides of the cuts, as shares of the picture's longer side: each shows two and a half times the area of the one before. In smaller ones
# the parts of small objects were found, such as the shell of a beetle.
_CUT_SIDES = (0.16, 0.25, 0.4, 0.63, 1.0)
# With fewer px there is nothing to recognise.
_MIN_CUT_PX = 64
# The longer side, in px, at which the estimator works. It may work at a larger one: then edges are searched for a little farther.
_LOOK_PX = 320
# The part of a matte that counts as the object, 0..1.
_HALF = 0.5
# How far, as a share of a cut's longer side, the object may be from the point, and its soft rim may reach.
_NEAR, _RIM = 0.01, 0.03
# The surroundings on each side in the last look, as a share of the object's box.
_MARGIN = 0.35
# The last look counts if both looks have at least this share of what either has in common.
_MIN_AGREEMENT = 0.5
# What covers more of the picture is its ground, and no object on it.
_MAX_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look has shown at the point. ``matte``: (h, w) of the window, 0..1; ``is_cut``: whether the object goes on outside it."""

    window: Window
    matte: Mask
    is_cut: bool


def find_object(estimator: MatteEstimator, picture: Picture, x: int, y: int) -> Mask | None:
    """Return the object at the px (x, y), as a mask (h, w), 0..1, with its edges at those of the picture; None if nothing stands out."""
    pixels = to_rgb(picture)
    looks = (_look(estimator, pixels, _window_around(pixels, x, y, share), x, y) for share in _CUT_SIDES)
    whole = next((look for look in looks if look is not None and not look.is_cut), None)
    if whole is None:
        return None
    closer = _look(estimator, pixels, _surroundings(whole, pixels), x, y)
    if closer is not None and not closer.is_cut and _agreement(whole, closer) >= _MIN_AGREEMENT:
        whole = closer
    if float((whole.matte > _HALF).sum()) > _MAX_SHARE * picture.height * picture.width:
        return None
    mask = np.zeros((picture.height, picture.width), np.float32)
    mask[whole.window] = refine_matte(whole.matte, np.ascontiguousarray(pixels[whole.window]), _LOOK_PX)
    return freeze(mask)


def _look(estimator: MatteEstimator, pixels: Pixels, window: Window, x: int, y: int) -> _Look | None:
    """Return what the estimator sees at the point in a window; None if it sees nothing there."""
    import cv2

    matte = estimator.matte(np.ascontiguousarray(pixels[window]))
    rows, columns = window
    longest = max(matte.shape)
    _, labels = cv2.connectedComponents((matte > _HALF).astype(np.uint8))
    near = math.ceil(_NEAR * longest)
    top, left = max(0, y - rows.start - near), max(0, x - columns.start - near)
    around = labels[top : y - rows.start + near + 1, left : x - columns.start + near + 1]
    counts = np.bincount(around[around > 0])
    if not len(counts):
        return None
    part = labels == int(counts.argmax())
    rim = cv2.dilate(part.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * math.ceil(_RIM * longest) + 1,) * 2))
    alone = np.where(part | ((rim > 0) & (matte <= _HALF)), matte, np.float32(0))
    height, width = pixels.shape[:2]
    is_cut = any(
        inside and bool(edge.any())
        for inside, edge in (
            (rows.start > 0, part[0]),
            (rows.stop < height, part[-1]),
            (columns.start > 0, part[:, 0]),
            (columns.stop < width, part[:, -1]),
        )
    )
    return _Look(window, alone, is_cut)


def _window_around(pixels: Pixels, x: int, y: int, share: float) -> Window:
    """Return the window around a point with this share of the picture's longer side; at an edge of the picture it moves inside."""
    height, width = pixels.shape[:2]
    side = max(_MIN_CUT_PX, round(share * max(height, width)))

    def span(middle: int, length: int) -> slice:
        start = max(0, min(middle - side // 2, length - side))
        return slice(start, min(length, start + side))

    return span(y, height), span(x, width)


def _surroundings(look: _Look, pixels: Pixels) -> Window:
    """Return the window of the object's box with a margin."""

    def span(axis: int) -> slice:
        inside = np.flatnonzero((look.matte > _HALF).any(axis=1 - axis)) + look.window[axis].start
        first, last = int(inside[0]), int(inside[-1]) + 1
        margin = max(_MIN_CUT_PX // 4, round(_MARGIN * (last - first)))
        return slice(max(0, first - margin), min(pixels.shape[axis], last + margin))

    return span(0), span(1)


def _agreement(first: _Look, second: _Look) -> float:
    """Return what two looks at an object have in common, as a share of what either has, 0..1."""
    tops, lefts = [look.window[0].start for look in (first, second)], [look.window[1].start for look in (first, second)]
    bottom, right = (max(look.window[axis].stop for look in (first, second)) for axis in (0, 1))
    top, left = min(tops), min(lefts)
    both = np.zeros((2, bottom - top, right - left), bool)
    for plane, look in zip(both, (first, second), strict=True):
        rows, columns = look.window
        plane[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = look.matte > _HALF
    return float((both[0] & both[1]).sum() / (both[0] | both[1]).sum())
