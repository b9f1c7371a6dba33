"""Fringes: thin purple or green rims where something dark stands against a blown light; made as colourful as what lies beside them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.correct.defect import CODE, Fault, Marked, grown, parts
from goldsmith.picture.colour import luma
from goldsmith.picture.picture import Mask, Pixels, Window, frozen
from goldsmith.picture.smooth import softened

_BLOWN = 0.93
"""Luma of the light that fringes lie beside."""
_CONTRAST = 0.4
"""How much darker than that light it gets within the reach of it."""
_REACH = 7
"""px from the light to the end of a fringe."""
_LEAST = 0.06
"""Colour above what lies beside it, of full scale."""
_LEAST_GREEN = 0.12
"""Leaves and yellow petals are green at their edges by nature."""
_MOST = 0.35
_LEAST_AREA = 24
_LEAST_LONG = 8
_JOIN = 15
_LIGHT = 9
"""px: thinner lights (stars, lettering) have no rims that could be told from their own colour."""
_STRONG = 0.4
"""Between the highest and the lowest channel: a red thing on white has a rim of its own colour."""
_ABOUT = 16
_RARE = 0.25
"""Of what is not light within 16 px of a rim so much may have the colour, the rim itself included: more is a thing of that colour."""


def find(pixels: Pixels, strength: float = 1.0) -> list[Fault]:
    """The fringes of (h, w, 3), near ones taken together, with what mends them; luma stays.

    Size: the mean colour above what lies beside, in codes of 8 bits.
    """
    import cv2

    if pixels.shape[2] < 3 or min(pixels.shape[:2]) < 4 * _REACH:
        return []
    grey = luma(pixels)
    near = _beside_light(grey)
    if not near.any():
        return []
    rim = {sign: _thin(_colour(pixels, sign), near) for sign in (1, -1)}
    rim[-1][rim[-1] < _LEAST_GREEN] = 0
    marked = (rim[1] > _LEAST) | (rim[-1] > _LEAST)
    joined = cv2.dilate(marked.astype(np.uint8), np.ones((_JOIN, _JOIN), np.uint8)) > 0
    found, made = [], pixels.copy()
    for place, own in parts(joined, _LEAST_AREA):
        mine = marked[place] & own
        if mine.sum() < _LEAST_AREA or max(np.ptp(axis) for axis in np.nonzero(mine)) < _LEAST_LONG:
            continue
        if _usual(pixels, grown(place, _ABOUT, *grey.shape), grey):
            continue
        fault = _mended(made, place, own, rim, strength)
        if fault is not None and fault.laid is not None:
            made[place] = fault.laid[1]
            found.append(fault)
    return found


def _usual(pixels: Pixels, about: Window, grey: Mask) -> bool:
    """Whether the colour is that of a thing there: much of what is no light has it, or what is dark has a strong one itself."""
    dark = grey[about] < _BLOWN
    deep = pixels[about][grey[about] < _BLOWN - _CONTRAST]
    if len(deep) and float(np.median(np.ptp(deep, axis=1))) > _STRONG:
        return True
    coloured = np.maximum(_colour(pixels[about], 1), _colour(pixels[about], -1)) > _LEAST
    return bool((coloured & dark).sum() > _RARE * dark.sum())


def _beside_light(grey: Mask) -> Marked:
    """Within reach of a blown light, at an edge to something much darker."""
    import cv2

    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _REACH + 1, 2 * _REACH + 1))
    light = (grey >= _BLOWN).astype(np.uint8)
    light = cv2.morphologyEx(light, cv2.MORPH_OPEN, np.ones((_LIGHT, _LIGHT), np.uint8))
    if not light.any():
        return np.asarray(light > 0)
    dark = cv2.dilate((grey < _BLOWN - _CONTRAST).astype(np.uint8), shape)
    return np.asarray((cv2.dilate(light, shape) > 0) & (dark > 0) & (light == 0))


def _colour(pixels: Pixels, sign: int) -> Mask:
    """How purple (1) or green (-1) each pixel is, 0..1."""
    red, green, blue = (pixels[:, :, channel] for channel in range(3))
    return np.maximum(np.minimum(red, blue) - green if sign > 0 else green - np.maximum(red, blue), 0).astype(np.float32)


def _thin(colour: Mask, near: Marked) -> Mask:
    """The colour above what it is on either side of the rim, (h, w)."""
    import cv2

    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _REACH + 1, 2 * _REACH + 1))
    ground = softened(np.asarray(cv2.morphologyEx(colour, cv2.MORPH_OPEN, shape), np.float32), 2)
    return np.where(near, np.maximum(colour - ground, 0), 0).astype(np.float32)


def _mended(pixels: Pixels, place: Window, own: Marked, rim: dict[int, Mask], strength: float) -> Fault | None:
    """The rim's colour taken down to its ground, at constant luma; bounded."""
    whole = grown(place, 0, *pixels.shape[:2])
    given = pixels[whole]
    made = given.copy()
    excess = np.zeros(own.shape, np.float32)
    for sign, over in rim.items():
        amount = np.minimum(over[whole] * own, _MOST)
        excess = np.maximum(excess, amount)
        amount = amount * np.float32(strength)
        grey = luma(made)
        if sign > 0:
            made[:, :, 0] -= amount
            made[:, :, 2] -= amount
        else:
            made[:, :, 1] -= amount
        made += ((grey - luma(made)) * (amount > 0))[:, :, None]
    made = np.where((excess > 0)[:, :, None], np.clip(made, 0, 1), given)
    there = excess > _LEAST
    if not there.any():
        return None
    after = np.maximum(excess - _taken(given, made), 0)
    return Fault(whole, _mean(excess, there), _mean(after, there), (whole, frozen(made.astype(np.float32))))


def _taken(given: Pixels, made: Pixels) -> Mask:
    return np.asarray(sum(_colour(given, sign) - _colour(made, sign) for sign in (1, -1)), np.float32)


def _mean(values: NDArray[np.float32], there: Marked) -> float:
    return round(float(values[there].mean()) * CODE, 2)
