"""Working in tiles, so that a picture of any size fits the memory and the sides of an engine, without a seam to be seen.

Neighbouring tiles overlap by two pads. What a net makes near a tile's edge is wrong for want of surroundings, the more so the nearer,
and many nets see further than any pad that could be paid for. So the outer three quarters of a pad are dropped, and tiles are faded
over only around the middle of the overlap, where both are best: a longer fade measured worse, a shorter one no better.
At the picture's own border a tile ends where the picture ends, so the result is what the whole picture at once would give.
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
    """What an enlarging engine asks for: ``side`` of its tiles (0 = any size), ``pad`` px of context at each side, sides that are
    multiples of ``multiple``, and the ``scale`` of what comes back."""

    side: int
    pad: int
    multiple: int
    scale: int


def upscale_by_tiles(
    pixels: Pixels, upscale_tile: Callable[[Pixels], Pixels], tiling: Tiling, on_progress: Callable[[float], None]
) -> Pixels:
    """``enlarge`` done to (h, w, 3) tile by tile: (h * scale, w * scale, 3).

    ``progress`` is told 0..1 before each tile; what it raises ends the work. Raises InputError where the engine makes NaN or infinities.
    """
    height, width = pixels.shape[:2]
    rows, columns = tile_spans(height, tiling), tile_spans(width, tiling)
    down, across = _tile_weights(height, rows, tiling), _tile_weights(width, columns, tiling)
    scale = tiling.scale
    out: Pixels = np.zeros((height * scale, width * scale, 3), dtype=np.float32)
    for number, (row, column) in enumerate((row, column) for row in range(len(rows)) for column in range(len(columns))):
        on_progress(number / (len(rows) * len(columns)))
        (top, bottom), (left, right) = rows[row], columns[column]
        made = _upscale_padded_tile(pixels[top:bottom, left:right], upscale_tile, tiling)
        weight = down[row][:, None, None] * across[column][None, :, None]
        out[top * scale : bottom * scale, left * scale : right * scale] += made * weight
    return out


def tile_spans(length: int, tiling: Tiling) -> list[tuple[int, int]]:
    """Half-open stretches of one axis, all equally long, inside the picture, neighbours overlapping by two pads or more.

    As few as ``side`` allows, and each no longer than it then has to be, so that no pixel is worked on more often than needed.
    """
    side = tiling.side - tiling.side % tiling.multiple
    if not side or length <= side:
        return [(0, length)]
    beside = 2 * tiling.pad
    count = -(-(length - beside) // max(side - beside, 1))
    needed = -(-(length - beside) // count) + beside
    side = min(side, needed + -needed % tiling.multiple)
    return [(start, start + side) for start in (min(number * (side - beside), length - side) for number in range(count))]


def _tile_weights(length: int, spans: list[tuple[int, int]], tiling: Tiling) -> list[NDArray[np.float32]]:
    """How much each tile counts along one axis of the enlarged picture; together 1 everywhere."""
    scale = tiling.scale
    total = np.zeros(length * scale, dtype=np.float32)
    raw: list[NDArray[np.float32]] = []
    bare, ramp = tiling.pad * scale * 3 // 4, max(tiling.pad * scale // 2, 1)
    for start, stop in spans:
        place = np.arange((stop - start) * scale, dtype=np.float32) + np.float32(0.5)
        rising = np.ones_like(place) if start == 0 else (place - bare) / ramp
        falling = np.ones_like(place) if stop == length else (place[::-1] - bare) / ramp
        weight = _smoothstep(np.clip(np.minimum(rising, falling), 0, 1).astype(np.float32))
        total[start * scale : stop * scale] += weight
        raw.append(weight)
    return [weight / total[start * scale : stop * scale] for weight, (start, stop) in zip(raw, spans, strict=True)]


def _smoothstep(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """0..1 without a corner at either end; opposite weights still make 1 together."""
    return weight * weight * (3 - 2 * weight)


def _upscale_padded_tile(tile: Pixels, upscale_tile: Callable[[Pixels], Pixels], tiling: Tiling) -> Pixels:
    """One tile through the engine; a side that is no multiple is mirrored on until it is, and cut again."""
    height, width = tile.shape[:2]
    beside = ((0, -height % tiling.multiple), (0, -width % tiling.multiple), (0, 0))
    made = upscale_tile(np.ascontiguousarray(np.pad(tile, beside, mode="symmetric")))
    if not np.isfinite(made).all():
        raise InputError("The upscaling engine made values that are no numbers.", "Name another model for this step, or try again.")
    return made[: height * tiling.scale, : width * tiling.scale]
