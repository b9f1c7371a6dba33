"""Halos: light and dark rims along edges, from too much sharpening; found by edges that overshoot, and undone about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.correct.defect import Fault, Marked, parts
from goldsmith.picture.colour import luma
from goldsmith.picture.picture import Mask, Pixels, frozen
from goldsmith.picture.smooth import softened

_EDGE = 0.12
"""Luma over 2 px of an edge that can be judged."""
_RADIUS = 6
"""px from an edge to the end of its halo."""
_FAR = 12
_QUIET = 0.2
"""An edge is judged where what lies beyond on either side is quieter than this part of its height."""
_LINE = 1.5
"""What overshoots by more than its own height is a line, and no halo."""
_ASKED = 16000
_LEAST_EDGES = 30
_CRISP = 0.8
"""An edge is judged where so much of its rise lies within 4 px: over wider ones a sharpener leaves no rim ..."""
_ROOM = 0.15
"""... and where so much of its rise is left to black and to white: what is clipped has no rim to measure."""
_RIM = 0.1
"""A rim, as a part of the edge's height, on the side where it is lower: textures, grooves and glints have one on one side."""
_LIMIT = 0.4
"""Share of the judged edges with a rim on both sides, from which on a picture is over-sharpened."""
_DRAWN = 1.3
"""Where most edges overshoot by more, on both sides together, they are lines that somebody drew."""
_WIDTHS = (0.7, 1.1, 1.7, 2.6)
_AMOUNTS = (0.4, 0.8, 1.4, 2.2, 3.2)
_ROUNDS = 8
_SOFTER = 0.6
"""What an edge that became too soft counts for beside its overshoot."""
_HALVED = 0.55
"""So much of the overshoot is left at most, or it came from something else."""
_AS_GOOD = 0.004
_SQUARE = 1024
_CELL = 64


@dataclass(frozen=True, slots=True)
class Edges:
    """Judged edges: where (n, 2: row, column), overshoot on both sides together as a part of their height (n), that of the
    side where it is less (n), and how far the flanks 3 to 5 px off lie beyond what follows them, likewise: below zero where too
    much was undone (n)."""

    places: NDArray[np.int64]
    overshoot: NDArray[np.float32]
    lesser: NDArray[np.float32]
    bent: NDArray[np.float32]

    @property
    def typical(self) -> float:
        return float(np.median(self.overshoot)) if len(self.overshoot) >= _LEAST_EDGES else 0.0

    @property
    def rimmed(self) -> float:
        """The share with a rim on both sides; 0 of too few."""
        return float((self.lesser > _RIM).mean()) if len(self.lesser) >= _LEAST_EDGES else 0.0


def find(pixels: Pixels, strength: float = 1.0) -> list[Fault]:
    """Where the edges of an over-sharpened picture (h, w, c) overshoot, near ones taken together, and what mends them.

    Size: overshoot as per cent of the edges' height, both sides together. Nothing where most edges are as they should be.
    """
    if min(pixels.shape[:2]) < 2 * _CELL:
        return []
    grey = luma(pixels)
    edges = judge(grey)
    if edges.rimmed < _LIMIT or edges.typical > _DRAWN:
        return []
    moved = _undone(grey, edges) * np.float32(strength)
    made = np.clip(pixels - moved[:, :, None], 0, 1)
    after = judge(luma(made), edges.places)
    if np.median(after.overshoot) > (1 - (1 - _HALVED) * strength) * edges.typical:
        return []
    height, width = grey.shape
    cells = _cells(moved)
    found, whole = [], pixels.copy()
    for place, own in parts(cells, 1):
        rows, columns = (slice(span.start * _CELL, min(span.stop * _CELL, side)) for span, side in zip(place, (height, width), strict=True))
        mine = _within(edges, (rows, columns), place, own)
        if not mine.any():
            continue
        shown = np.repeat(np.repeat(own, _CELL, axis=0), _CELL, axis=1)[: rows.stop - rows.start, : columns.stop - columns.start]
        laid = np.where(shown[:, :, None], made[rows, columns], whole[rows, columns])
        whole[rows, columns] = laid
        sizes = [round(100 * float(np.median(one.overshoot[mine])), 1) for one in (edges, after)]
        found.append(Fault((rows, columns), sizes[0], sizes[1], ((rows, columns), frozen(laid))))
    return found


def judge(grey: Mask, places: NDArray[np.int64] | None = None) -> Edges:
    """Overshoot at lone edges of a plane (h, w), or at the places that are given."""
    import cv2

    soft = softened(grey, 1.0)
    across, down = (cv2.Scharr(soft, cv2.CV_32F, *order, scale=1 / 16) for order in ((1, 0), (0, 1)))
    steep = np.hypot(across, down)
    given = places is not None
    where = _crests(steep, across, down) if places is None else places
    row, column = where[:, 0], where[:, 1]
    size = np.maximum(steep[row, column], np.float32(1e-6))
    far = np.arange(-_FAR, _FAR + 1, dtype=np.float32)
    x = column[:, None].astype(np.float32) + far * (across[row, column] / size)[:, None]
    y = row[:, None].astype(np.float32) + far * (down[row, column] / size)[:, None]
    if not len(where):
        return Edges(where, *3 * [np.zeros(0, np.float32)])
    lines = _sampled(grey, x, y)
    dark, light = lines[:, : _FAR - _RADIUS], lines[:, _FAR + _RADIUS + 1 :]
    low, high = dark.mean(axis=1), light.mean(axis=1)
    rise = high - low
    quiet = np.maximum(np.ptp(dark, axis=1), np.ptp(light, axis=1)) < 2 * _QUIET * rise
    over = lines[:, _FAR + 1 : _FAR + _RADIUS].max(axis=1) - high
    under = low - lines[:, _FAR - _RADIUS + 1 : _FAR].min(axis=1)
    height = np.maximum(rise, np.float32(0.02))
    share, lesser = (np.maximum(over, 0) + np.maximum(under, 0)) / height, np.minimum(over, under) / height
    flanks = lines[:, _FAR + 3 : _FAR + 6].mean(axis=1) - high + low - lines[:, _FAR - 5 : _FAR - 2].mean(axis=1)
    good = quiet & (rise > _EDGE) & (share < _LINE) & (lines[:, _FAR + 2] - lines[:, _FAR - 2] > _CRISP * rise)
    good &= (high + _ROOM * rise < 1) & (low - _ROOM * rise > 0)
    if given:
        good[:] = True
    return Edges(where[good], *(one[good].astype(np.float32) for one in (share, lesser, flanks / height)))


def _sampled(grey: Mask, x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    import cv2

    return np.asarray(cv2.remap(grey, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _crests(steep: Mask, across: NDArray[np.float32], down: NDArray[np.float32]) -> NDArray[np.int64]:
    """Pixels on the steepest line of an edge, away from the border, some thousands at most, evenly taken."""
    inner = np.zeros(steep.shape, bool)
    inner[_FAR:-_FAR, _FAR:-_FAR] = True
    row, column = np.nonzero((steep > _EDGE / 4) & inner)
    every = max(1, len(row) // (4 * _ASKED))
    row, column = row[::every], column[::every]
    size = steep[row, column]
    right, below = np.rint(across[row, column] / size).astype(int), np.rint(down[row, column] / size).astype(int)
    crest = (size >= steep[row + below, column + right]) & (size > steep[row - below, column - right])
    found = np.stack([row[crest], column[crest]], axis=1)
    return np.asarray(found[:: -(-len(found) // _ASKED) or 1])


def _undone(grey: Mask, edges: Edges) -> Mask:
    """By how much each pixel near an edge lies too high, (h, w).

    A sharpener adds ``amount`` times what a blur takes away. Of a few amounts and widths the one is undone that leaves least overshoot,
    and the weakest that leaves as little as a photograph has. What thin things there are stays: nothing is clamped.
    """
    window = _most_edges(edges, grey.shape)
    inside = np.all((edges.places >= [span.start for span in window]) & (edges.places < [span.stop for span in window]), axis=1)
    places = edges.places[inside] - [span.start for span in window]
    part = np.ascontiguousarray(grey[window])
    tried: list[tuple[float, float, float]] = []
    for sigma in _WIDTHS:
        for amount in _AMOUNTS:
            made = _less_sharp(part, sigma, amount)
            seen = judge(made, places)
            left = float(np.median(seen.overshoot)) + abs(float(np.median(seen.bent))) + _SOFTER * _softness(part, made, places)
            tried.append((left, sigma, amount))
    least = min(tried)[0]
    _, sigma, amount = min((one for one in tried if one[0] <= least + _AS_GOOD), key=lambda one: one[1] * one[2])
    return np.asarray((grey - _less_sharp(grey, sigma, amount)) * _near(grey), np.float32)


def _less_sharp(grey: Mask, sigma: float, amount: float) -> Mask:
    """A plane as it was before an unsharp mask of that width and amount: by fixed-point rounds, which never ring."""
    made = grey
    for _ in range(_ROUNDS):
        made = np.asarray((grey + np.float32(amount) * softened(made, sigma)) / np.float32(1 + amount), np.float32)
    return made


def _softness(given: Mask, made: Mask, places: NDArray[np.int64]) -> float:
    """How much of their steepness edges lose beyond a half, 0..0.5: a blur has no halos either."""
    row, column = places[:, 0], places[:, 1]
    steep = [np.abs(np.gradient(one)[0])[row, column] + np.abs(np.gradient(one)[1])[row, column] for one in (given, made)]
    return float(np.clip(0.5 - np.median(steep[1] / np.maximum(steep[0], np.float32(1e-4))), 0, 0.5))


def _near(grey: Mask) -> Mask:
    """1 within a halo's reach of a strong edge, fading to 0 beyond it."""
    import cv2

    soft = softened(grey, 1.0)
    steep = np.hypot(*(cv2.Scharr(soft, cv2.CV_32F, *order, scale=1 / 16) for order in ((1, 0), (0, 1))))
    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _RADIUS + 5, 2 * _RADIUS + 5))
    zone = cv2.dilate((steep > _EDGE / 4).astype(np.uint8), shape)
    size = 2 * _RADIUS + 1
    return np.asarray(np.clip(2 * cv2.blur(zone.astype(np.float32), (size, size), borderType=cv2.BORDER_REFLECT) - 1, 0, 1), np.float32)


def _most_edges(edges: Edges, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The square of a megapixel with most judged edges in it."""
    best, found = -1, (slice(0, shape[0]), slice(0, shape[1]))
    for top in range(0, max(shape[0] - _SQUARE // 2, 1), _SQUARE // 2):
        for left in range(0, max(shape[1] - _SQUARE // 2, 1), _SQUARE // 2):
            rows, columns = slice(top, min(top + _SQUARE, shape[0])), slice(left, min(left + _SQUARE, shape[1]))
            row, column = edges.places[:, 0], edges.places[:, 1]
            count = int(((row >= rows.start) & (row < rows.stop) & (column >= columns.start) & (column < columns.stop)).sum())
            if count > best:
                best, found = count, (rows, columns)
    return found


def _cells(moved: Mask) -> Marked:
    """Which squares of 64 px hold something that is to move."""
    height, width = moved.shape
    padded = np.pad(np.abs(moved) > 1 / 255, ((0, -height % _CELL), (0, -width % _CELL)))
    rows, columns = padded.shape[0] // _CELL, padded.shape[1] // _CELL
    return np.asarray(padded.reshape(rows, _CELL, columns, _CELL).any(axis=(1, 3)))


def _within(edges: Edges, box: tuple[slice, slice], cells: tuple[slice, slice], own: Marked) -> Marked:
    """Which edges lie in those squares."""
    row, column = edges.places[:, 0], edges.places[:, 1]
    inside = (row >= box[0].start) & (row < box[0].stop) & (column >= box[1].start) & (column < box[1].stop)
    made = np.zeros(len(row), bool)
    made[inside] = own[row[inside] // _CELL - cells[0].start, column[inside] // _CELL - cells[1].start]
    return made
