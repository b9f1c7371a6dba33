"""Reduce pictures by Lanczos and by area means in one pass over strips, which stay in the CPU's cache; no full-size copy is made."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels
from goldsmith.picture.row_slabs import for_each_slab

# The lobes of Lanczos' window on each side.
_LANCZOS_SUPPORT = 3
# Source pixels per strip.
_STRIP_PIXELS = 1 << 20
# Pixels whose light is computed together.
_CACHED_PIXELS = 1 << 16
# Rows and columns of the result that are computed together: more of them waste multiplications with zero, fewer of them calls.
_BLOCK_ROWS = 16
_BLOCK_COLUMNS = 32
# Rows of the result in a strip. With more of them, two threads would not be equally busy.
_MAX_ROWS = 128
# Strips overlap by the window of the filter. With fewer rows, most of a strip would be overlap.
_MIN_ROWS = 2 * _LANCZOS_SUPPORT

_FilterName = Literal["lanczos", "area"]


class _Block(NamedTuple):
    """Which source px make a run of px of the result, with their weights by each filter, (result px, source px)."""

    target: slice
    source: slice
    weights: dict[_FilterName, NDArray[np.float32]]


def reduce_pixels(
    shape: tuple[int, int, int],
    read_light: Callable[[slice], Pixels],
    height: int,
    width: int,
    lanczos: Pixels,
    area_mean: Pixels,
    on_progress: Callable[[float], None] = lambda _: None,
) -> None:
    """Write a picture of ``shape`` (h, w, c) in linear light, 0..1, reduced to ``height`` x ``width`` px, into two arrays.

    ``read_light`` returns the rows of a slice, (rows, w, c), and is called on two threads. ``lanczos`` (not clipped) and ``area_mean`` are
    (height, width, c), and neither side of them is longer than that of the picture. Weights as in Pillow and in OpenCV; sums in single
    precision: the results differ from theirs by less than 1e-6.
    """
    source_height, source_width, _ = shape
    columns = [_weigh(across, source_width, width) for across in _blocks(0, width, _BLOCK_COLUMNS)]

    def run(rows: slice) -> None:
        blocks = [_weigh(block, source_height, height) for block in _blocks(rows.start, rows.stop, _BLOCK_ROWS)]
        source = slice(blocks[0].source.start, blocks[-1].source.stop)
        light = _read_strip(source, shape, read_light)
        filters: tuple[tuple[_FilterName, Pixels], ...] = (("lanczos", lanczos), ("area", area_mean))
        for name, result in filters:
            _reduce_across(_reduce_down(light, source.start, blocks, name), columns, name, result[rows])

    scale = source_height / height
    fitting = (_STRIP_PIXELS // source_width - 2 * _LANCZOS_SUPPORT * scale) / scale
    for_each_slab((height, source_width), run, on_progress, min_rows=int(min(max(fitting, _MIN_ROWS), _MAX_ROWS)))


def _blocks(start: int, stop: int, size: int) -> list[slice]:
    return [slice(first, min(first + size, stop)) for first in range(start, stop, size)]


def _read_strip(rows: slice, shape: tuple[int, int, int], read_light: Callable[[slice], Pixels]) -> Pixels:
    """Return linear light of some rows, (rows, w, c), read a few rows at a time."""
    light = np.empty((rows.stop - rows.start, *shape[1:]), np.float32)
    for part in _blocks(rows.start, rows.stop, max(1, _CACHED_PIXELS // shape[1])):
        light[part.start - rows.start : part.stop - rows.start] = read_light(part)
    return light


def _reduce_down(light: Pixels, top: int, blocks: list[_Block], name: _FilterName) -> Pixels:
    """Return the rows of the blocks, (rows, w, c), made from ``light`` (h, w, c), of which the first row is ``top`` of the picture."""
    source = light.reshape(len(light), -1)
    result = np.empty((blocks[-1].target.stop - blocks[0].target.start, source.shape[1]), np.float32)
    for block in blocks:
        target = slice(block.target.start - blocks[0].target.start, block.target.stop - blocks[0].target.start)
        np.matmul(block.weights[name], source[block.source.start - top : block.source.stop - top], out=result[target])
    return result.reshape(-1, *light.shape[1:])


def _reduce_across(rows: Pixels, columns: list[_Block], name: _FilterName, into: Pixels) -> None:
    """Write ``rows`` (rows, w, c) with the columns of the blocks into an array (rows, width, c)."""
    import cv2

    count, source_width, channels = rows.shape
    planes = np.empty((channels, count, source_width), np.float32)
    cv2.split(rows, list(planes))
    reduced = np.empty((channels, count, into.shape[1]), np.float32)
    flat = planes.reshape(-1, source_width)
    for block in columns:
        reduced.reshape(-1, into.shape[1])[:, block.target] = flat[:, block.source] @ block.weights[name].T
    into[...] = cv2.merge(list(reduced)).reshape(into.shape)


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
    return _Block(target, slice(first, last), {"lanczos": _to_shares(window), "area": _to_shares(np.maximum(covered, 0.0))})


def _to_shares(weights: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
