"""A light second pass by tiles: an enlarged picture is drawn again piece by piece, each at the size a generating model works best at.

Tiles overlap, keep the tone of what they were made from, and are faded over. Where two tiles drew different detail, fading alone
would leave a soft band: there the detail is given back the strength it has in either tile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from goldsmith.errors import Problem
from goldsmith.picture.picture import Pixels
from goldsmith.picture.smooth import power, softened, strengthened

Redraw = Callable[[Pixels, int, Callable[[float], None]], Pixels]
"""(tile (h, w, 3) of 0..1, seed, step) -> the same tile drawn again, the same size; ``step`` may be told 0..1 of this tile."""

OVERLAP = 0.25
"""How much of a tile's side it shares with its neighbour, at least. Half of that is faded over, the rest of the rim is dropped."""
SLIM = 2.0
"""The longest shape, as a ratio of sides, that a tile takes where the picture is lower or narrower than a square one."""
TONE = 12.0
"""Detail coarser than this, as a sigma in px, stays that of the picture that was given."""
NEARBY = 6.0
"""Over how many px, as a sigma, the strength of detail is judged: less than what is faded over, enough to be sure."""
STRONGEST = 1.5
"""The most that detail in a seam is strengthened: two tiles with nothing in common need the root of 2."""


@dataclass(frozen=True, slots=True)
class Refining:
    """How to refine: the engine's native count of ``pixels``, the ``multiple`` its sides must be of, and the step's ``seed``."""

    pixels: int
    multiple: int
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """The new pixels, where the tiles lay (left, top, width, height), and how far, 0..1, their tone was off on average."""

    pixels: Pixels
    tiles: tuple[tuple[int, int, int, int], ...]
    seeds: tuple[int, ...]
    tone_offset: float

    def findings(self) -> dict[str, int | float | list[int]]:
        """What goes on record, as plain JSON."""
        width, height = self.tiles[0][2:]
        return {"tiles": len(self.tiles), "tile": [width, height], "tile_seeds": list(self.seeds), "tone_offset": self.tone_offset}


def refined(pixels: Pixels, redraw: Redraw, how: Refining, progress: Callable[[float], None]) -> Refined:
    """(h, w, 3) drawn again tile by tile, at the same size; colours and light stay those of ``pixels``.

    ``progress`` is told 0..1 before each tile and within it; what it raises ends the work. Tile ``i`` is drawn with ``tile_seed(seed, i)``.
    Raises Problem where the engine makes NaN or infinities, or a tile of another size.
    """
    height, width = pixels.shape[:2]
    high, wide = tile_size(height, width, how)
    rows, columns = _stretches(height, high), _stretches(width, wide)
    down, across = _shares(height, rows), _shares(width, columns)
    boxes = [(top, left, row, column) for row, top in enumerate(rows) for column, left in enumerate(columns)]
    detail: Pixels = np.zeros_like(pixels)
    strength = np.zeros((height, width), dtype=np.float32)
    seeds, offsets = [tile_seed(how.seed, number) for number in range(len(boxes))], []
    for number, (top, left, row, column) in enumerate(boxes):
        window = np.s_[top : min(top + high, height), left : min(left + wide, width)]
        progress(number / len(boxes))
        tile = pixels[window]
        made = _drawn(tile, redraw, how.multiple, seeds[number], _told(progress, number, len(boxes)))
        added, offset = _toned(tile, made)
        share = down[row][:, None] * across[column][None, :]
        detail[window] += added * share[:, :, None]
        strength[window] += power(added, NEARBY) * share
        offsets.append(offset)
    faded = _faded(down, rows, height)[:, None] | _faded(across, columns, width)[None, :]
    detail = pixels + np.where(faded[:, :, None], strengthened(detail, strength, NEARBY, STRONGEST), detail)
    np.clip(detail, 0, 1, out=detail)
    places = tuple((left, top, min(wide, width), min(high, height)) for top, left, _, _ in boxes)
    return Refined(detail, places, tuple(seeds), round(float(np.mean(offsets)), 5))


def tile_size(height: int, width: int, how: Refining) -> tuple[int, int]:
    """Height and width of the tiles: about the native count of pixels, multiples, square unless the picture is too low or narrow for it."""
    native = max(how.pixels, how.multiple**2)
    root = native**0.5
    low, narrow = (-(-side // how.multiple) * how.multiple for side in (height, width))
    high = min(root, low) if low < root else min(max(root, native / narrow), root * SLIM**0.5)
    wide = min(native / high, root * SLIM**0.5, narrow)
    return max(int(min(high, low) // how.multiple), 1) * how.multiple, max(int(wide // how.multiple), 1) * how.multiple


def tile_seed(seed: int, number: int) -> int:
    """The seed of a tile, 31 bits: neighbouring tiles and steps have nothing in common."""
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0] >> 1)


def _told(progress: Callable[[float], None], number: int, count: int) -> Callable[[float], None]:
    return lambda done: progress((number + min(max(done, 0.0), 1.0)) / count)


def _stretches(length: int, side: int) -> list[int]:
    """Where tiles of ``side`` begin on an axis: evenly spread, as few as the overlap allows, the last ending where the axis ends."""
    if length <= side:
        return [0]
    count = -(-(length - side) // max(int(side * (1 - OVERLAP)), 1)) + 1
    return [round(number * (length - side) / (count - 1)) for number in range(count)]


def _shares(length: int, starts: list[int]) -> list[NDArray[np.float32]]:
    """How much each tile counts along an axis; together 1 everywhere. Tiles meet in the middle of what they share."""
    side = _side(length, starts)
    place = np.arange(length, dtype=np.float32) + np.float32(0.5)
    rises = [_smooth((place - middle) / _fade(side) + 0.5) for middle in _meetings(side, starts)]
    ones, zeros = np.ones_like(place), np.zeros_like(place)
    return [(rise - fall)[start : start + side] for start, rise, fall in zip(starts, [ones, *rises], [*rises, zeros], strict=True)]


def _side(length: int, starts: list[int]) -> int:
    return length - starts[-1]


def _fade(side: int) -> float:
    return max(side * OVERLAP / 2, 1.0)


def _meetings(side: int, starts: list[int]) -> list[float]:
    return [(before + side + after) / 2 for before, after in pairwise(starts)]


def _smooth(rise: NDArray[np.float32]) -> NDArray[np.float32]:
    rise = np.clip(rise, 0, 1)
    return np.asarray(rise * rise * (3 - 2 * rise), dtype=np.float32)


def _faded(shares: list[NDArray[np.float32]], starts: list[int], length: int) -> NDArray[np.bool_]:
    """Where along an axis more than one tile counts."""
    found = np.zeros(length, dtype=np.bool_)
    for start, share in zip(starts, shares, strict=True):
        found[start : start + len(share)] |= (share > 0) & (share < 1)
    return found


def _drawn(tile: Pixels, redraw: Redraw, multiple: int, seed: int, step: Callable[[float], None]) -> Pixels:
    """One tile through the engine; a side that is no multiple is mirrored on until it is, and cut again."""
    height, width = tile.shape[:2]
    beside = ((0, -height % multiple), (0, -width % multiple), (0, 0))
    shown = np.ascontiguousarray(np.pad(tile, beside, mode="symmetric"))
    made = redraw(shown, seed, step)
    if made.shape != shown.shape:
        raise Problem(
            f"The engine gave back a tile of {made.shape[1]} x {made.shape[0]} px for one of {shown.shape[1]} x {shown.shape[0]} px."
        )
    if not np.isfinite(made).all():
        raise Problem("The engine made values that are no numbers while refining.", "Name another model for this step, or try again.")
    return made[:height, :width]


def _toned(tile: Pixels, made: Pixels) -> tuple[Pixels, float]:
    """What the engine added to the tile without its coarse part, and how large, on average, that coarse part was."""
    added = made - tile
    coarse = softened(added, TONE)
    added = np.clip(tile + added - coarse, 0, 1) - tile  # what clipping takes is no tone: the second time evens that out as well
    return added - softened(added, TONE), float(np.abs(coarse).mean())
