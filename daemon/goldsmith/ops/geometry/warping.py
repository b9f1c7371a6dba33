"""Resample a picture, its alpha and its masks once through a camera model: Lanczos in linear light, without over- and undershoot."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.geometry.camera_model import CameraModel
from goldsmith.picture import colour
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze
from goldsmith.picture.resample import MIN_ALPHA
from goldsmith.picture.slab_processing import OnProgress

# px. The result is computed in squares of this side.
_TILE = 256
# px. How far the filters reach round a point.
_REACH = 6


class _TileMap(NamedTuple):
    """A tile of the result, the part of the source that it needs, and where its pixels (h, w) come from in that part, in px."""

    target: tuple[slice, slice]
    source: tuple[slice, slice]
    x: NDArray[np.float32]
    y: NDArray[np.float32]


def warp_picture(
    picture: Picture, model: CameraModel, origin: tuple[float, float], size: tuple[int, int], on_progress: OnProgress
) -> Picture:
    """Return the part of the upright picture whose upper left pixel is at ``origin``, in px, and that is ``size`` (width, height) px.

    Pixels and alpha are resampled with Lanczos (a = 4) in linear light, masks linearly.
    """
    width, height = size
    pixels = np.empty((height, width, picture.channels), np.float32)
    alpha = None if picture.alpha is None else np.empty((height, width), np.float32)
    masks = {name: np.empty((height, width), np.float32) for name in picture.masks}
    tiles = list(_tile_corners(height, width))
    for number, (top, left) in enumerate(tiles):
        tile = _map_tile(picture, model, origin, (slice(top, min(height, top + _TILE)), slice(left, min(width, left + _TILE))))
        light = colour.to_linear(picture.pixels[tile.source], picture.icc)
        if picture.alpha is None or alpha is None:
            warped = _warp_sharp([light], tile)[0]
        else:
            warped, alpha[tile.target] = _warp_with_alpha(light, picture.alpha[tile.source], tile)
        pixels[tile.target] = np.clip(colour.from_linear(warped, picture.icc), 0.0, 1.0)
        for name, mask in picture.masks.items():
            masks[name][tile.target] = _warp_linear(mask[tile.source], tile)
        on_progress((number + 1) / len(tiles))
    return picture.with_planes(pixels, alpha, MappingProxyType({name: freeze(mask) for name, mask in masks.items()}))


def _tile_corners(height: int, width: int) -> Iterator[tuple[int, int]]:
    return ((top, left) for top in range(0, height, _TILE) for left in range(0, width, _TILE))


def _map_tile(picture: Picture, model: CameraModel, origin: tuple[float, float], target: tuple[slice, slice]) -> _TileMap:
    rows, columns = (np.arange(span.start, span.stop, dtype=np.float64) for span in target)
    x, y = model.source_points(*np.meshgrid(columns + origin[0], rows + origin[1]))
    x, y = np.clip(x, 0, picture.width - 1), np.clip(y, 0, picture.height - 1)
    left, top = max(0, math.floor(x.min()) - _REACH), max(0, math.floor(y.min()) - _REACH)
    right, bottom = min(picture.width, math.ceil(x.max()) + _REACH + 1), min(picture.height, math.ceil(y.max()) + _REACH + 1)
    return _TileMap(target, (slice(top, bottom), slice(left, right)), (x - left).astype(np.float32), (y - top).astype(np.float32))


def _warp_with_alpha(light: Pixels, alpha: Mask, tile: _TileMap) -> tuple[Pixels, Mask]:
    """Return the pixels and the alpha of the tile: colours are weighted with alpha, so that those of transparent pixels never show."""
    weighted, coverage = _warp_sharp([light * alpha[..., None], alpha], tile)
    plain = _remap(light, tile, is_sharp=False)
    coverage = np.clip(coverage[..., 0], 0.0, 1.0)
    colours = weighted / np.maximum(coverage, MIN_ALPHA)[..., None]
    return np.where((coverage > MIN_ALPHA)[..., None], np.clip(colours, 0.0, 1.0), plain), coverage


def _warp_sharp(planes: Sequence[NDArray[np.float32]], tile: _TileMap) -> list[Pixels]:
    """Return the planes of the tile's source, (h, w) or (h, w, c), at the tile, (h, w, c), without over- and undershoot."""
    import cv2

    square = np.ones((3, 3), np.uint8)
    results = []
    for plane in planes:
        sharp = _remap(plane, tile, is_sharp=True)
        low, high = (_remap(limit(plane, square), tile, is_sharp=False) for limit in (cv2.erode, cv2.dilate))
        results.append(np.clip(sharp, low, high, out=sharp))
    return results


def _warp_linear(mask: Mask, tile: _TileMap) -> Mask:
    return np.clip(_remap(mask, tile, is_sharp=False)[..., 0], 0.0, 1.0)


def _remap(plane: NDArray[np.float32], tile: _TileMap, is_sharp: bool) -> Pixels:
    """Return the plane at the tile's points, (h, w, c)."""
    import cv2

    flags = cv2.INTER_LANCZOS4 if is_sharp else cv2.INTER_LINEAR
    result = cv2.remap(np.ascontiguousarray(plane), tile.x, tile.y, flags, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(result, np.float32).reshape(*tile.x.shape, -1)
