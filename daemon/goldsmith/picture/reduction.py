"""Reduce pictures by Lanczos and by area means in one pass over strips, which stay in the CPU's cache; no full-size copy is made."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels
from goldsmith.picture.slab_processing import for_each_slab

# The lobes of Lanczos' window on each side.
_LANCZOS_SUPPORT = 3
# Source pixels per strip.
_STRIP_PIXELS = 1 << 20
# Pixels whose light is computed together.
_CACHED_PIXELS = 1 << 15
# Rows and columns of the result that are computed together: more of them waste multiplications with zero.
_BLOCK = 64
# Strips overlap by the window of the filter. With fewer rows, most of a strip would be overlap.
_MIN_ROWS = 2 * _LANCZOS_SUPPORT


class _Block(NamedTuple):
    """Which source px make a run of px of the result, with their weights by both filters, each (result px, source px)."""

    target: slice
    source: slice
    lanczos: NDArray[np.float32]
    area: NDArray[np.float32]


def reduce_pixels(
    pixels: Pixels, height: int, width: int, to_light: Callable[[Pixels], Pixels], lanczos: Pixels, area_mean: Pixels
) -> None:
    """Write ``pixels`` (h, w, c), 0..1, as linear light (``to_light``), reduced to ``height`` x ``width`` px, into two arrays.

    ``lanczos`` (not clipped) and ``area_mean`` are (height, width, c), and neither side of them is longer than that of ``pixels``.
    Weights as in Pillow and in OpenCV; sums in single precision: the results differ from theirs by less than 1e-6.
    """
    source_height, source_width, channels = pixels.shape
    columns = [_weigh(slice(left, min(left + _BLOCK, width)), source_width, width) for left in range(0, width, _BLOCK)]

    def run(rows: slice) -> None:
        down = _weigh(rows, source_height, height)
        light = _linearise(pixels[down.source], to_light)
        for weights, result in ((down.lanczos, lanczos), (down.area, area_mean)):
            reduced = (weights @ light).reshape(-1, source_width, channels)
            planes = np.ascontiguousarray(reduced.transpose(2, 0, 1)).reshape(-1, source_width)
            for across in columns:
                factors = across.lanczos if result is lanczos else across.area
                part = planes[:, across.source] @ factors.T
                result[rows, across.target] = part.reshape(channels, -1, part.shape[1]).transpose(1, 2, 0)

    scale = source_height / height
    fitting = (_STRIP_PIXELS // source_width - 2 * _LANCZOS_SUPPORT * scale) / scale
    for_each_slab((height, source_width), run, min_rows=int(min(max(fitting, _MIN_ROWS), _BLOCK)))


def _linearise(strip: Pixels, to_light: Callable[[Pixels], Pixels]) -> NDArray[np.float32]:
    """Return linear light of a strip (h, w, c), 0..1, as (h, w * c), made a few rows at a time."""
    light = np.empty((strip.shape[0], strip.shape[1] * strip.shape[2]), np.float32)
    rows = max(1, _CACHED_PIXELS // strip.shape[1])
    for top in range(0, len(strip), rows):
        part = to_light(strip[top : top + rows])
        light[top : top + rows] = part.reshape(len(part), -1)
    return light


def _weigh(target: slice, source_side: int, side: int) -> _Block:
    """Return the weights for the px ``target`` of a side of ``side`` px, made from ``source_side`` px."""
    scale = source_side / side
    centres = (np.arange(target.start, target.stop) + 0.5)[:, None] * scale
    first = max(0, math.floor(float(centres[0, 0]) - _LANCZOS_SUPPORT * scale))
    last = min(source_side, math.ceil(float(centres[-1, 0]) + _LANCZOS_SUPPORT * scale) + 1)
    left = np.arange(first, last)[None, :]
    distance = (left + 0.5 - centres) / scale
    window = np.where(np.abs(distance) < _LANCZOS_SUPPORT, np.sinc(distance) * np.sinc(distance / _LANCZOS_SUPPORT), 0.0)
    covered = np.minimum(left + 1, centres + scale / 2) - np.maximum(left, centres - scale / 2)
    return _Block(target, slice(first, last), _to_shares(window), _to_shares(np.maximum(covered, 0.0)))


def _to_shares(weights: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
