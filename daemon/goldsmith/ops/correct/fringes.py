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
# px. The fringes of thinner highlights (stars, lettering) cannot be distinguished from their own colour.
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
    edges = _edges_of_blown_areas(grey)
    if not edges.any():
        return []
    rim = {sign: _rim_excess(_fringe_colour(pixels, sign), edges) for sign in (1, -1)}
    rim[-1][rim[-1] < _MIN_GREEN_EXCESS] = 0
    marked = (rim[1] > _MIN_EXCESS) | (rim[-1] > _MIN_EXCESS)
    joined = cv2.dilate(marked.astype(np.uint8), np.ones((_JOIN, _JOIN), np.uint8)) > 0
    defects, result = [], pixels.copy()
    for window, component in connected_components(joined, _LEAST_AREA):
        fringe = marked[window] & component
        if fringe.sum() < _LEAST_AREA or max(np.ptp(axis) for axis in np.nonzero(fringe)) < _MIN_LENGTH:
            continue
        if _is_object_colour(pixels, expand_window(window, _NEIGHBOURHOOD_PX, *grey.shape), grey):
            continue
        defect = _desaturate_rim(result, window, component, rim, strength)
        if defect is not None and defect.repair is not None:
            result[window] = defect.repair[1]
            defects.append(defect)
    return defects


def _is_object_colour(pixels: Pixels, window: Window, grey: Mask) -> bool:
    """Return whether the colour belongs to an object: many of the darker pixels have it, or the dark object itself has a strong colour."""
    is_dark = grey[window] < _BLOWN_LUMA
    dark_pixels = pixels[window][grey[window] < _BLOWN_LUMA - _MIN_CONTRAST]
    if len(dark_pixels) and float(np.median(np.ptp(dark_pixels, axis=1))) > _STRONG_COLOUR:
        return True
    coloured = np.maximum(_fringe_colour(pixels[window], 1), _fringe_colour(pixels[window], -1)) > _MIN_EXCESS
    return bool((coloured & is_dark).sum() > _MAX_COLOURED_SHARE * is_dark.sum())


def _edges_of_blown_areas(grey: Mask) -> BoolMask:
    """Return the pixels at the edge of a blown highlight, within reach of much darker pixels."""
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


def _rim_excess(colour: Mask, edges: BoolMask) -> Mask:
    """Return the colour above that on either side of the rim, (h, w)."""
    import cv2

    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _REACH + 1, 2 * _REACH + 1))
    ground = gaussian_blur(np.asarray(cv2.morphologyEx(colour, cv2.MORPH_OPEN, shape), np.float32), 2)
    return np.where(edges, np.maximum(colour - ground, 0), 0).astype(np.float32)


def _desaturate_rim(pixels: Pixels, window: Window, mask: BoolMask, rim: dict[int, Mask], strength: float) -> Defect | None:
    """Return the rim with its colour reduced to that of the neighbourhood, at constant luma and within a bound."""
    area = expand_window(window, 0, *pixels.shape[:2])
    original = pixels[area]
    result = original.copy()
    excess = np.zeros(mask.shape, np.float32)
    for sign, rim_excess in rim.items():
        amount = np.minimum(rim_excess[area] * mask, _MAX_EXCESS)
        excess = np.maximum(excess, amount)
        amount = amount * np.float32(strength)
        grey = luma(result)
        if sign > 0:
            result[:, :, 0] -= amount
            result[:, :, 2] -= amount
        else:
            result[:, :, 1] -= amount
        result += ((grey - luma(result)) * (amount > 0))[:, :, None]
    result = np.where((excess > 0)[:, :, None], np.clip(result, 0, 1), original)
    is_fringe = excess > _MIN_EXCESS
    if not is_fringe.any():
        return None
    after = np.maximum(excess - _removed_colour(original, result), 0)
    return Defect(area, _mean_codes(excess, is_fringe), _mean_codes(after, is_fringe), (area, freeze(result.astype(np.float32))))


def _removed_colour(original: Pixels, result: Pixels) -> Mask:
    return np.asarray(sum(_fringe_colour(original, sign) - _fringe_colour(result, sign) for sign in (1, -1)), np.float32)


def _mean_codes(values: NDArray[np.float32], mask: BoolMask) -> float:
    return round(float(values[mask].mean()) * MAX_8BIT_CODE, 2)
