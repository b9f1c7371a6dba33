"""Place a layer on a picture: scaled, rotated and shifted; only shifts by whole px keep its values exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.errors import InputError
from goldsmith.picture.picture import Mask, Picture, Pixels, Window
from goldsmith.picture.resample import resize_picture
from goldsmith.picture.size_fitting import MAX_PIXELS, MAX_SIDE, Anchor, Size, anchor_offset

FitMode = Literal["none", "contain", "cover"]

# From this coverage on, a rotated layer is drawn with the sharp filter; below it, colours are weighted with alpha and never overshoot.
_OPAQUE_COVERAGE = np.float32(0.98)
# Width of the sharp filter in px: nothing transparent may lie inside it.
_FILTER_WIDTH = 9


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a layer lies, and how large it is; all in px of the picture.

    fit_box:          the size that the fit brings it to.
    scale:            an additional factor.
    rotation_degrees: clockwise.
    anchor:           which of nine points of the layer (of its bounding box if it is rotated) lies on the same point of the picture.
    offset:           from there, right and down.
    """

    fit_box: Size
    fit: FitMode = "none"
    scale: float = 1.0
    rotation_degrees: float = 0.0
    anchor: Anchor = "center"
    offset: tuple[float, float] = (0.0, 0.0)


class PlacedLayer(NamedTuple):
    """The visible part of a layer."""

    window: Window
    # (rows, columns, c) of the window, or (1, 1, c) for one colour.
    pixels: Pixels
    # (rows, columns): the layer's coverage.
    coverage: Mask


def place_layer(layer: Picture, canvas_size: Size, placement: Placement) -> PlacedLayer | None:
    """Return the layer's pixels at their place in a picture of that size, or None if it lies completely outside.

    A layer at its own size, not rotated and shifted by whole px, keeps its values bit for bit. Raises InputError if it would be larger than
    the largest picture.
    """
    fitted = _resize_to_fit(layer, placement)
    rotation = placement.rotation_degrees % 360
    origin = anchor_offset(canvas_size, _rotated_size((fitted.width, fitted.height), rotation), placement.anchor)
    left, top = origin[0] + placement.offset[0], origin[1] + placement.offset[1]
    if rotation or left % 1 or top % 1:
        return _rotate_and_shift(fitted, canvas_size, rotation, left, top)
    return _crop_to_canvas(fitted, canvas_size, round(left), round(top))


def enlargement(layer: Picture, placement: Placement) -> float:
    """Return how many times as large as its own pixels the layer is placed."""
    across, down = placement.fit_box[0] / layer.width, placement.fit_box[1] / layer.height
    return placement.scale * {"none": 1.0, "contain": min(across, down), "cover": max(across, down)}[placement.fit]


def _resize_to_fit(layer: Picture, placement: Placement) -> Picture:
    factor = enlargement(layer, placement)
    width, height = max(1, round(layer.width * factor)), max(1, round(layer.height * factor))
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise InputError(
            f"A layer of {layer.width} x {layer.height} px would become {width} x {height} px.",
            f"Make `scale` or `size` smaller: {MAX_SIDE} px a side and {MAX_PIXELS // 10**6} million px are the limit.",
        )
    return resize_picture(layer, height, width)


def _rotated_size(size: Size, degrees: float) -> Size:
    """Return the width and height of a rotated rectangle."""
    across, down = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    return math.ceil(size[0] * across + size[1] * down - 1e-6), math.ceil(size[0] * down + size[1] * across - 1e-6)


def _crop_to_canvas(layer: Picture, canvas_size: Size, left: int, top: int) -> PlacedLayer | None:
    x0, y0, x1, y1 = max(0, left), max(0, top), min(canvas_size[0], left + layer.width), min(canvas_size[1], top + layer.height)
    if x0 >= x1 or y0 >= y1:
        return None
    inside = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    coverage = np.ones((y1 - y0, x1 - x0), np.float32) if layer.alpha is None else layer.alpha[inside]
    return PlacedLayer(np.s_[y0:y1, x0:x1], layer.pixels[inside], coverage)


def _rotate_and_shift(layer: Picture, canvas_size: Size, degrees: float, left: float, top: float) -> PlacedLayer | None:
    """Return the layer rotated about its centre, with its bounding box at ``left``, ``top``."""
    import cv2

    wide, high = _rotated_size((layer.width, layer.height), degrees)
    x0, y0 = max(0, math.floor(left)), max(0, math.floor(top))
    x1, y1 = min(canvas_size[0], math.ceil(left) + wide), min(canvas_size[1], math.ceil(top) + high)
    if x0 >= x1 or y0 >= y1:
        return None
    size = (x1 - x0, y1 - y0)
    centre = (left + wide / 2 - x0 - 0.5, top + high / 2 - y0 - 0.5)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    layer_centre = ((layer.width - 1) / 2, (layer.height - 1) / 2)
    matrix = np.array(
        [
            [cos, -sin, centre[0] - cos * layer_centre[0] + sin * layer_centre[1]],
            [sin, cos, centre[1] - sin * layer_centre[0] - cos * layer_centre[1]],
        ],
        np.float64,
    )

    def warp(values: NDArray[np.float32], interpolation: int, border: int) -> NDArray[np.float32]:
        return np.asarray(cv2.warpAffine(values, matrix, size, flags=interpolation, borderMode=border), np.float32)

    alpha = np.ones((layer.height, layer.width), np.float32) if layer.alpha is None else layer.alpha
    coverage = np.clip(warp(alpha, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT), 0.0, 1.0)
    sharp = np.clip(warp(layer.pixels, cv2.INTER_LANCZOS4, cv2.BORDER_REPLICATE), 0.0, 1.0).reshape(*coverage.shape, layer.channels)
    if layer.alpha is None:
        return PlacedLayer(np.s_[y0:y1, x0:x1], sharp, coverage)
    weighted = warp(layer.pixels * alpha[..., None], cv2.INTER_LINEAR, cv2.BORDER_CONSTANT).reshape(sharp.shape)
    soft = np.clip(weighted / np.maximum(coverage, np.float32(1e-6))[..., None], 0.0, 1.0)
    is_opaque = cv2.erode(coverage, np.ones((_FILTER_WIDTH, _FILTER_WIDTH), np.uint8), borderType=cv2.BORDER_REPLICATE) >= _OPAQUE_COVERAGE
    return PlacedLayer(np.s_[y0:y1, x0:x1], np.where(is_opaque[..., None], sharp, soft), coverage)
