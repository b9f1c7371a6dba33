"""Redraw an enlarged picture tile by tile, each at the size a generating model works best at.

Tiles overlap, keep the tone of their input, and are cross-faded. If two tiles drew different detail, cross-fading alone would leave a soft
band; the detail there is amplified back to its strength in the tiles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from goldsmith.errors import InputError
from goldsmith.picture.companion import Companion
from goldsmith.picture.picture import Pixels
from goldsmith.picture.smoothing import boost_detail, detail_power, gaussian_blur

# (tile (h, w, 3), 0..1, seed, on_progress) -> the tile redrawn at the same size; ``on_progress`` receives 0..1 of this tile.
RedrawTile = Callable[[Pixels, int, Callable[[float], None]], Pixels]

# Minimum overlap of neighbouring tiles, as a share of the side. Half of it is cross-faded, the rest of the rim is dropped.
OVERLAP = 0.25
# The largest aspect ratio of a tile, if the picture is lower or narrower than a square tile.
MAX_ASPECT_RATIO = 2.0
# Detail coarser than this sigma in px stays that of the given picture.
TONE_SIGMA = 12.0
# Sigma in px over which the strength of detail is measured: less than the cross-fade, but enough for a reliable estimate.
STRENGTH_SIGMA = 6.0
# Maximum gain of the detail in an overlap: two unrelated tiles need the square root of 2.
MAX_DETAIL_GAIN = 1.5


@dataclass(frozen=True, slots=True)
class RefineOptions:
    """How to refine: the engine's native number of pixels, the multiple its sides must have, and the step's seed."""

    native_pixels: int
    multiple: int
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class RefinedPixels:
    """The new pixels, the tiles (left, top, width, height), and the mean deviation of their tone, 0..1."""

    pixels: Pixels
    tiles: tuple[tuple[int, int, int, int], ...]
    seeds: tuple[int, ...]
    tone_offset: float

    def findings(self) -> dict[str, int | float | list[int]]:
        """Return the facts for the record, as plain JSON."""
        width, height = self.tiles[0][2:]
        return {"tiles": len(self.tiles), "tile": [width, height], "tile_seeds": list(self.seeds), "tone_offset": self.tone_offset}


def refine_by_tiles(
    pixels: Pixels,
    redraw_tile: RedrawTile,
    options: RefineOptions,
    on_progress: Callable[[float], None],
    companion: Companion | None = None,
) -> RefinedPixels:
    """Return ``pixels``, (h, w, 3), 0..1, display-encoded, redrawn tile by tile at the same size, with the same colours and light.

    ``on_progress`` receives 0..1 before and within each tile and may raise to cancel. ``companion``: pixels of the same size, of which the
    part that belongs to each tile is handed over before it is redrawn. Tile ``i`` uses ``tile_seed(seed, i)``. Raises
    InputError if the engine returns NaN, infinity, or a tile of another size.
    """
    height, width = pixels.shape[:2]
    high, wide = tile_size(height, width, options)
    rows, columns = _tile_starts(height, high), _tile_starts(width, wide)
    down, across = _tile_weights(height, rows), _tile_weights(width, columns)
    boxes = [(top, left, row, column) for row, top in enumerate(rows) for column, left in enumerate(columns)]
    detail: Pixels = np.zeros_like(pixels)
    strength = np.zeros((height, width), dtype=np.float32)
    seeds, offsets = [tile_seed(options.seed, number) for number in range(len(boxes))], []
    for number, (top, left, row, column) in enumerate(boxes):
        window = np.s_[top : min(top + high, height), left : min(left + wide, width)]
        on_progress(number / len(boxes))
        tile = pixels[window]
        if companion is not None:
            companion.on_part(_pad(companion.pixels[window], options.multiple))
        redrawn = _redraw_padded_tile(tile, redraw_tile, options.multiple, seeds[number], _tile_progress(on_progress, number, len(boxes)))
        added, offset = _detail_difference(tile, redrawn)
        share = down[row][:, None] * across[column][None, :]
        detail[window] += added * share[:, :, None]
        strength[window] += detail_power(added, STRENGTH_SIGMA) * share
        offsets.append(offset)
    faded = _overlap_mask(down, rows, height)[:, None] | _overlap_mask(across, columns, width)[None, :]
    detail = pixels + np.where(faded[:, :, None], boost_detail(detail, strength, STRENGTH_SIGMA, MAX_DETAIL_GAIN), detail)
    np.clip(detail, 0, 1, out=detail)
    tiles = tuple((left, top, min(wide, width), min(high, height)) for top, left, _, _ in boxes)
    return RefinedPixels(detail, tiles, tuple(seeds), round(float(np.mean(offsets)), 5))


def tile_size(height: int, width: int, options: RefineOptions) -> tuple[int, int]:
    """Return the height and width of the tiles: about the native number of pixels, multiples, and square unless the picture is too low or
    narrow.
    """
    native = max(options.native_pixels, options.multiple**2)
    root = native**0.5
    low, narrow = (-(-side // options.multiple) * options.multiple for side in (height, width))
    high = min(root, low) if low < root else min(max(root, native / narrow), root * MAX_ASPECT_RATIO**0.5)
    wide = min(native / high, root * MAX_ASPECT_RATIO**0.5, narrow)
    return max(int(min(high, low) // options.multiple), 1) * options.multiple, max(int(wide // options.multiple), 1) * options.multiple


def tile_seed(seed: int, number: int) -> int:
    """Return the seed of a tile, 31 bits: neighbouring tiles and steps are unrelated."""
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0] >> 1)


def _tile_progress(on_progress: Callable[[float], None], number: int, count: int) -> Callable[[float], None]:
    return lambda done: on_progress((number + min(max(done, 0.0), 1.0)) / count)


def _tile_starts(length: int, tile_side: int) -> list[int]:
    """Return where tiles of ``tile_side`` start on an axis: evenly spaced, as few as the overlap allows, the last ending with the axis."""
    if length <= tile_side:
        return [0]
    count = -(-(length - tile_side) // max(int(tile_side * (1 - OVERLAP)), 1)) + 1
    return [round(number * (length - tile_side) / (count - 1)) for number in range(count)]


def _tile_weights(length: int, starts: list[int]) -> list[NDArray[np.float32]]:
    """Return the weight of each tile along an axis; they sum to 1. Tiles meet in the middle of their overlap."""
    side = _tile_side(length, starts)
    place = np.arange(length, dtype=np.float32) + np.float32(0.5)
    rises = [_smoothstep((place - middle) / _fade_width(side) + 0.5) for middle in _seam_centres(side, starts)]
    ones, zeros = np.ones_like(place), np.zeros_like(place)
    return [(rise - fall)[start : start + side] for start, rise, fall in zip(starts, [ones, *rises], [*rises, zeros], strict=True)]


def _tile_side(length: int, starts: list[int]) -> int:
    return length - starts[-1]


def _fade_width(tile_side: int) -> float:
    return max(tile_side * OVERLAP / 2, 1.0)


def _seam_centres(tile_side: int, starts: list[int]) -> list[float]:
    return [(before + tile_side + after) / 2 for before, after in pairwise(starts)]


def _smoothstep(values: NDArray[np.float32]) -> NDArray[np.float32]:
    values = np.clip(values, 0, 1)
    return np.asarray(values * values * (3 - 2 * values), dtype=np.float32)


def _overlap_mask(weights: list[NDArray[np.float32]], starts: list[int], length: int) -> NDArray[np.bool_]:
    """Return where more than one tile counts along an axis."""
    mask = np.zeros(length, dtype=np.bool_)
    for start, share in zip(starts, weights, strict=True):
        mask[start : start + len(share)] |= (share > 0) & (share < 1)
    return mask


def _redraw_padded_tile(tile: Pixels, redraw_tile: RedrawTile, multiple: int, seed: int, on_progress: Callable[[float], None]) -> Pixels:
    """Run one tile through the engine; a side that is not a multiple is extended by mirroring and cropped again."""
    height, width = tile.shape[:2]
    padded = _pad(tile, multiple)
    redrawn = redraw_tile(padded, seed, on_progress)
    if redrawn.shape != padded.shape:
        raise InputError(
            f"The engine returned a tile of {redrawn.shape[1]} x {redrawn.shape[0]} px instead of {padded.shape[1]} x {padded.shape[0]} px."
        )
    if not np.isfinite(redrawn).all():
        raise InputError(
            "The engine returned values that are not numbers while refining.", "Name another model for this step, or try again."
        )
    return redrawn[:height, :width]


def _pad(tile: Pixels, multiple: int) -> Pixels:
    """Return the tile, extended by mirroring to sides that are multiples."""
    height, width = tile.shape[:2]
    padding = ((0, -height % multiple), (0, -width % multiple), (0, 0))
    return np.ascontiguousarray(np.pad(tile, padding, mode="symmetric"))


def _detail_difference(tile: Pixels, redrawn: Pixels) -> tuple[Pixels, float]:
    """Return the detail the engine added to the tile, without its coarse part, and the mean size of that coarse part."""
    added = redrawn - tile
    coarse = gaussian_blur(added, TONE_SIGMA)
    added = np.clip(tile + added - coarse, 0, 1) - tile  # clipping shifts the tone; the second pass compensates for it
    return added - gaussian_blur(added, TONE_SIGMA), float(np.abs(coarse).mean())
