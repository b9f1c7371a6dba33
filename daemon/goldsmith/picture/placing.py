"""Placing: a layer brought to its size, turned, and put down on a plate; only whole px are kept exactly as they are."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.errors import Problem
from goldsmith.picture.fitting import LONGEST_SIDE, MOST_PIXELS, Anchor, Size, corner
from goldsmith.picture.picture import Mask, Pixels, Plate, Window
from goldsmith.picture.resample import resized_plate

Fit = Literal["none", "contain", "cover"]

_SOLID = np.float32(0.98)
"""From this cover on a turned layer is drawn with the sharp filter; below, colours are weighted with alpha and never overshoot."""
_TAPS = 9
"""How far, in px from side to side, the sharp filter looks: nothing transparent may lie in there."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a layer lies, and how large; all in px of the plate.

    box: what ``fit`` brings it to the size of; scale: factor on top; rotation: degrees clockwise; anchor: which of nine points of
    the layer (of its bounding box, where it is turned) lies on the same point of the plate; offset: from there, right and down.
    """

    box: Size
    fit: Fit = "none"
    scale: float = 1.0
    rotation: float = 0.0
    anchor: Anchor = "center"
    offset: tuple[float, float] = (0.0, 0.0)


class Placed(NamedTuple):
    """What of a layer lies in the plate."""

    window: Window
    pixels: Pixels
    """(rows, columns, c) of the window, or (1, 1, c) for one colour."""
    cover: Mask
    """(rows, columns): how much the layer covers."""


def placed(layer: Plate, on: Size, how: Placement) -> Placed | None:
    """The layer's pixels where they come to lie in a plate of that size; None where it lies wholly outside.

    A layer at its own size, neither turned nor moved by parts of a px, keeps its values bit for bit. Raises Problem where it
    would be larger than any picture may be.
    """
    fitted = _at_size(layer, how)
    turned = how.rotation % 360
    at = corner(on, _bounds((fitted.width, fitted.height), turned), how.anchor)
    left, top = at[0] + how.offset[0], at[1] + how.offset[1]
    if turned or left % 1 or top % 1:
        return _warped(fitted, on, turned, left, top)
    return _cut(fitted, on, round(left), round(top))


def _at_size(layer: Plate, how: Placement) -> Plate:
    across, down = how.box[0] / layer.width, how.box[1] / layer.height
    factor = how.scale * {"none": 1.0, "contain": min(across, down), "cover": max(across, down)}[how.fit]
    width, height = max(1, round(layer.width * factor)), max(1, round(layer.height * factor))
    if max(width, height) > LONGEST_SIDE or width * height > MOST_PIXELS:
        raise Problem(
            f"A layer of {layer.width} x {layer.height} px would become {width} x {height} px.",
            f"Make `scale` or `size` smaller: {LONGEST_SIDE} px a side and {MOST_PIXELS // 10**6} million px are the limit.",
        )
    return resized_plate(layer, height, width)


def _bounds(size: Size, degrees: float) -> Size:
    """Width and height that a turned rectangle takes up."""
    across, down = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    return math.ceil(size[0] * across + size[1] * down - 1e-6), math.ceil(size[0] * down + size[1] * across - 1e-6)


def _cut(layer: Plate, on: Size, left: int, top: int) -> Placed | None:
    x0, y0, x1, y1 = max(0, left), max(0, top), min(on[0], left + layer.width), min(on[1], top + layer.height)
    if x0 >= x1 or y0 >= y1:
        return None
    inside = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    cover = np.ones((y1 - y0, x1 - x0), np.float32) if layer.alpha is None else layer.alpha[inside]
    return Placed(np.s_[y0:y1, x0:x1], layer.pixels[inside], cover)


def _warped(layer: Plate, on: Size, degrees: float, left: float, top: float) -> Placed | None:
    """The layer turned about its middle, its bounding box at ``left``, ``top``."""
    import cv2

    wide, high = _bounds((layer.width, layer.height), degrees)
    x0, y0 = max(0, math.floor(left)), max(0, math.floor(top))
    x1, y1 = min(on[0], math.ceil(left) + wide), min(on[1], math.ceil(top) + high)
    if x0 >= x1 or y0 >= y1:
        return None
    size = (x1 - x0, y1 - y0)
    middle = (left + wide / 2 - x0 - 0.5, top + high / 2 - y0 - 0.5)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    own = ((layer.width - 1) / 2, (layer.height - 1) / 2)
    matrix = np.array(
        [[cos, -sin, middle[0] - cos * own[0] + sin * own[1]], [sin, cos, middle[1] - sin * own[0] - cos * own[1]]], np.float64
    )

    def warp(values: NDArray[np.float32], how: int, border: int) -> NDArray[np.float32]:
        return np.asarray(cv2.warpAffine(values, matrix, size, flags=how, borderMode=border), np.float32)

    alpha = np.ones((layer.height, layer.width), np.float32) if layer.alpha is None else layer.alpha
    cover = np.clip(warp(alpha, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT), 0.0, 1.0)
    sharp = np.clip(warp(layer.pixels, cv2.INTER_LANCZOS4, cv2.BORDER_REPLICATE), 0.0, 1.0).reshape(*cover.shape, layer.channels)
    if layer.alpha is None:
        return Placed(np.s_[y0:y1, x0:x1], sharp, cover)
    weighted = warp(layer.pixels * alpha[..., None], cv2.INTER_LINEAR, cv2.BORDER_CONSTANT).reshape(sharp.shape)
    soft = np.clip(weighted / np.maximum(cover, np.float32(1e-6))[..., None], 0.0, 1.0)
    solid = cv2.erode(cover, np.ones((_TAPS, _TAPS), np.uint8), borderType=cv2.BORDER_REPLICATE) >= _SOLID
    return Placed(np.s_[y0:y1, x0:x1], np.where(solid[..., None], sharp, soft), cover)


def in_colours(layer: Plate, channels: int) -> Plate:
    """A grey layer with three channels where the plate has three."""
    if layer.channels == channels:
        return layer
    return replace(layer, pixels=np.repeat(layer.pixels, channels, axis=2))
