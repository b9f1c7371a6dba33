"""Process a picture in tiles that fit the memory and the size of an engine, without a visible seam.

Neighbouring tiles overlap by two pads. A network's result near a tile's edge is wrong for lack of surroundings, the more so the nearer, and
many networks see further than any affordable pad. So the outer three quarters of a pad are dropped, and tiles are cross-faded only around
the middle of the overlap, where both are best: a longer fade measured worse, a shorter one no better. At the picture's own border a tile
ends where the picture ends, so the result equals that for the whole picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.errors import InputError
from goldsmith.picture.picture import Pixels


@dataclass(frozen=True, slots=True)
class Tiling:
    """What an upscaling engine needs: the ``side`` of its tiles (0 = any size), ``pad`` px of context on each side, sides that are
    multiples of ``multiple``, and the ``scale`` of the result.
    """

    side: int
    pad: int
    multiple: int
    scale: int


def upscale_by_tiles(
    pixels: Pixels, upscale_tile: Callable[[Pixels], Pixels], tiling: Tiling, on_progress: Callable[[float], None]
) -> Pixels:
    """Return (h * scale, w * scale, 3), 0..1, sRGB: ``upscale_tile`` applied to (h, w, 3), 0..1, tile by tile.

    ``on_progress`` receives 0..1 before each tile and may raise to cancel. Raises InputError if the engine returns NaN or infinity.
    """
    height, width = pixels.shape[:2]
    rows, columns = tile_spans(height, tiling), tile_spans(width, tiling)
    down, across = _tile_weights(height, rows, tiling), _tile_weights(width, columns, tiling)
    scale = tiling.scale
    upscaled: Pixels = np.zeros((height * scale, width * scale, 3), dtype=np.float32)
    for number, (row, column) in enumerate((row, column) for row in range(len(rows)) for column in range(len(columns))):
        on_progress(number / (len(rows) * len(columns)))
        (top, bottom), (left, right) = rows[row], columns[column]
        result = _upscale_padded_tile(pixels[top:bottom, left:right], upscale_tile, tiling)
        weight = down[row][:, None, None] * across[column][None, :, None]
        upscaled[top * scale : bottom * scale, left * scale : right * scale] += result * weight
    return upscaled


def tile_spans(length: int, tiling: Tiling) -> list[tuple[int, int]]:
    """Return half-open spans of one axis, all equally long, inside the picture, neighbours overlapping by at least two pads.

    As few as the tile's side allows, and each no longer than necessary, so that few pixels are processed twice.
    """
    side = tiling.side - tiling.side % tiling.multiple
    if not side or length <= side:
        return [(0, length)]
    overlap = 2 * tiling.pad
    count = -(-(length - overlap) // max(side - overlap, 1))
    min_side = -(-(length - overlap) // count) + overlap
    side = min(side, min_side + -min_side % tiling.multiple)
    return [(start, start + side) for start in (min(number * (side - overlap), length - side) for number in range(count))]


def _tile_weights(length: int, spans: list[tuple[int, int]], tiling: Tiling) -> list[NDArray[np.float32]]:
    """Return the weight of each tile along one axis of the enlarged picture; they sum to 1 everywhere."""
    scale = tiling.scale
    total = np.zeros(length * scale, dtype=np.float32)
    weights: list[NDArray[np.float32]] = []
    dropped_px, ramp = tiling.pad * scale * 3 // 4, max(tiling.pad * scale // 2, 1)
    for start, stop in spans:
        position = np.arange((stop - start) * scale, dtype=np.float32) + np.float32(0.5)
        rising = np.ones_like(position) if start == 0 else (position - dropped_px) / ramp
        falling = np.ones_like(position) if stop == length else (position[::-1] - dropped_px) / ramp
        weight = _smoothstep(np.clip(np.minimum(rising, falling), 0, 1).astype(np.float32))
        total[start * scale : stop * scale] += weight
        weights.append(weight)
    return [weight / total[start * scale : stop * scale] for weight, (start, stop) in zip(weights, spans, strict=True)]


def _smoothstep(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 0..1 without a corner at either end; opposite weights still sum to 1."""
    return weight * weight * (3 - 2 * weight)


def _upscale_padded_tile(tile: Pixels, upscale_tile: Callable[[Pixels], Pixels], tiling: Tiling) -> Pixels:
    """Run one tile through the engine; a side that is not a multiple is extended by mirroring and cropped again."""
    height, width = tile.shape[:2]
    padding = ((0, -height % tiling.multiple), (0, -width % tiling.multiple), (0, 0))
    result = upscale_tile(np.ascontiguousarray(np.pad(tile, padding, mode="symmetric")))
    if not np.isfinite(result).all():
        raise InputError("The upscaling engine made values that are no numbers.", "Name another model for this step, or try again.")
    return result[: height * tiling.scale, : width * tiling.scale]
