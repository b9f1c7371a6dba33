"""Find colour fringes, thin purple or green rims of dark objects in front of blown highlights, and reduce their colour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.correct.defect import MAX_8BIT_CODE, BoolMask, Defect, connected_components, expand_window
from goldsmith.picture.colour import luma
from goldsmith.picture.picture import Mask, Pixels, Window, freeze
from goldsmith.picture.smoothing import gaussian_blur

# Minimum luma of a blown highlight.
_BLOWN_LUMA = 0.93
# How much darker the object must be within reach of the highlight.
_MIN_CONTRAST = 0.4
# px from the highlight to the end of a fringe.
_REACH = 7
# Colour above that of the neighbourhood, as a share of full scale.
_MIN_EXCESS = 0.06
# Leaves and yellow petals have naturally green edges.
_MIN_GREEN_EXCESS = 0.12
_MAX_EXCESS = 0.35
_LEAST_AREA = 24
_MIN_LENGTH = 8
_JOIN = 15
# px. The fringes of thinner highlights (stars, lettering) cannot be told from their own colour.
_MIN_LIGHT_WIDTH = 9
# Difference between the highest and the lowest channel: a red object on white has a rim of its own colour.
_STRONG_COLOUR = 0.4
_NEIGHBOURHOOD_PX = 16
# Within 16 px of a rim, at most this share of the darker pixels may have the fringe's colour, the rim included; more is an object of that
# colour.
_MAX_COLOURED_SHARE = 0.25


def find(pixels: Pixels, strength: float = 1.0) -> list[Defect]:
    """Return the fringes of ``pixels``, (h, w, 3), 0..1, display-encoded, near ones combined, each with the pixels that correct it. The
    luma is kept.

    The size of a defect is the mean colour above that of the neighbourhood, in 8-bit codes.
    """
    import cv2

    if pixels.shape[2] < 3 or min(pixels.shape[:2]) < 4 * _REACH:
        return []
    grey = luma(pixels)
    near = _edges_of_blown_areas(grey)
    if not near.any():
        return []
    rim = {sign: _rim_excess(_fringe_colour(pixels, sign), near) for sign in (1, -1)}
    rim[-1][rim[-1] < _MIN_GREEN_EXCESS] = 0
    marked = (rim[1] > _MIN_EXCESS) | (rim[-1] > _MIN_EXCESS)
    joined = cv2.dilate(marked.astype(np.uint8), np.ones((_JOIN, _JOIN), np.uint8)) > 0
    found, made = [], pixels.copy()
    for place, own in connected_components(joined, _LEAST_AREA):
        mine = marked[place] & own
        if mine.sum() < _LEAST_AREA or max(np.ptp(axis) for axis in np.nonzero(mine)) < _MIN_LENGTH:
            continue
        if _is_object_colour(pixels, expand_window(place, _NEIGHBOURHOOD_PX, *grey.shape), grey):
            continue
        fault = _desaturate_rim(made, place, own, rim, strength)
        if fault is not None and fault.repair is not None:
            made[place] = fault.repair[1]
            found.append(fault)
    return found


def _is_object_colour(pixels: Pixels, window: Window, grey: Mask) -> bool:
    """Return whether the colour belongs to an object: many of the darker pixels have it, or the dark object itself has a strong colour."""
    dark = grey[window] < _BLOWN_LUMA
    deep = pixels[window][grey[window] < _BLOWN_LUMA - _MIN_CONTRAST]
    if len(deep) and float(np.median(np.ptp(deep, axis=1))) > _STRONG_COLOUR:
        return True
    coloured = np.maximum(_fringe_colour(pixels[window], 1), _fringe_colour(pixels[window], -1)) > _MIN_EXCESS
    return bool((coloured & dark).sum() > _MAX_COLOURED_SHARE * dark.sum())


def _edges_of_blown_areas(grey: Mask) -> BoolMask:
    """Return the edges to something much darker within reach of a blown highlight."""
    import cv2

    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _REACH + 1, 2 * _REACH + 1))
    light = (grey >= _BLOWN_LUMA).astype(np.uint8)
    light = cv2.morphologyEx(light, cv2.MORPH_OPEN, np.ones((_MIN_LIGHT_WIDTH, _MIN_LIGHT_WIDTH), np.uint8))
    if not light.any():
        return np.asarray(light > 0)
    dark = cv2.dilate((grey < _BLOWN_LUMA - _MIN_CONTRAST).astype(np.uint8), shape)
    return np.asarray((cv2.dilate(light, shape) > 0) & (dark > 0) & (light == 0))


def _fringe_colour(pixels: Pixels, sign: int) -> Mask:
    """Return how purple (1) or green (-1) each pixel is, 0..1."""
    red, green, blue = (pixels[:, :, channel] for channel in range(3))
    return np.maximum(np.minimum(red, blue) - green if sign > 0 else green - np.maximum(red, blue), 0).astype(np.float32)


def _rim_excess(colour: Mask, near: BoolMask) -> Mask:
    """Return the colour above that on either side of the rim, (h, w)."""
    import cv2

    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _REACH + 1, 2 * _REACH + 1))
    ground = gaussian_blur(np.asarray(cv2.morphologyEx(colour, cv2.MORPH_OPEN, shape), np.float32), 2)
    return np.where(near, np.maximum(colour - ground, 0), 0).astype(np.float32)


def _desaturate_rim(pixels: Pixels, place: Window, mask: BoolMask, rim: dict[int, Mask], strength: float) -> Defect | None:
    """Return the rim with its colour reduced to that of the neighbourhood, at constant luma and within a bound."""
    whole = expand_window(place, 0, *pixels.shape[:2])
    given = pixels[whole]
    made = given.copy()
    excess = np.zeros(mask.shape, np.float32)
    for sign, over in rim.items():
        amount = np.minimum(over[whole] * mask, _MAX_EXCESS)
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
    there = excess > _MIN_EXCESS
    if not there.any():
        return None
    after = np.maximum(excess - _removed_colour(given, made), 0)
    return Defect(whole, _mean_codes(excess, there), _mean_codes(after, there), (whole, freeze(made.astype(np.float32))))


def _removed_colour(original: Pixels, result: Pixels) -> Mask:
    return np.asarray(sum(_fringe_colour(original, sign) - _fringe_colour(result, sign) for sign in (1, -1)), np.float32)


def _mean_codes(values: NDArray[np.float32], mask: BoolMask) -> float:
    return round(float(values[mask].mean()) * MAX_8BIT_CODE, 2)
