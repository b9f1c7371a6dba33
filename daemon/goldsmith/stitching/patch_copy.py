"""Fill a hole with blocks of the picture itself, at full size.

Each block is copied once and never averaged, so the fill is as sharp and as grainy as the picture. The seam between two blocks runs where
they differ least (Efros and Freeman, Image Quilting, 2001).
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels
from goldsmith.picture.smoothing import gaussian_blur, resize_values
from goldsmith.stitching.offset_labels import BLOCK_SIDE, BlockLabels, choose_offsets, window_counts
from goldsmith.stitching.seam_blend import KNOWN, blend_seams
from goldsmith.stitching.surroundings import distance_from

# Offsets are chosen on a copy that is reduced until the hole is about this long, in px.
CHOSEN_AT_PX = 110
# Steps in tone at the seams are measured on a copy that is reduced at least so far, so that texture does not count as tone.
LEAST_BLEND_REDUCTION = 3
# The standard deviation in px of the transition at a seam.
SEAM_SIGMA = 0.8


def copy_patches(pixels: Pixels, unknown: NDArray[np.bool_], on_progress: Callable[[float], None] = lambda done: None) -> Pixels | None:
    """Return ``pixels`` with the unknown part made of blocks of the known part, or None if there is too little of it.

    pixels: (h, w, 3), 0..1, display-encoded. unknown: (h, w). ``on_progress`` receives 0..1.
    """
    factor = _reduction(unknown)
    small_unknown = _reduce(unknown.astype(np.float32), factor) > 0
    reduced = _reduce(np.where(unknown[..., None], 0, pixels), factor)
    chosen = choose_offsets(reduced, small_unknown)
    if chosen is None:
        return None
    on_progress(0.6)
    quilt = _Quilt(pixels, unknown, factor)
    quilt.place(chosen, lambda done: on_progress(0.6 + 0.4 * done))
    return blend_seams(quilt.result, quilt.owners, max(factor, LEAST_BLEND_REDUCTION))


def _reduction(unknown: NDArray[np.bool_]) -> int:
    rows, columns = np.flatnonzero(unknown.any(axis=1)), np.flatnonzero(unknown.any(axis=0))
    longer = max(int(rows[-1] - rows[0]), int(columns[-1] - columns[0])) + 1
    return max(1, ceil(longer / CHOSEN_AT_PX))


def _reduce(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Return the means of factor x factor px; the last rows and columns that make no whole cell are repeated."""
    padding = [(0, -edge % factor) for edge in values.shape[:2]] + [(0, 0)] * (values.ndim - 2)
    padded = np.pad(values, padding, mode="edge").astype(np.float32, copy=False)
    return resize_values(np.ascontiguousarray(padded), padded.shape[0] // factor, padded.shape[1] // factor)


class _Quilt:
    """The fill while it grows: ``result`` (h, w, 3) has the known pixels and the blocks so far, ``owners`` (h, w) where they come from."""

    def __init__(self, pixels: Pixels, unknown: NDArray[np.bool_], factor: int) -> None:
        self.result = pixels.copy()
        # The number of the block offset that each pixel comes from.
        self.owners = np.full(unknown.shape, KNOWN, dtype=np.int32)
        self._original = pixels
        self._unknown = unknown
        self._placed = ~unknown
        self._factor = factor
        self._side = BLOCK_SIDE * factor
        self._offset_numbers: dict[tuple[int, int], int] = {}
        # The refined offset of each label, by where it was last used.
        self._refined: list[tuple[int, int, int, tuple[int, int]]] = []

    def place(self, chosen: BlockLabels, on_progress: Callable[[float], None]) -> None:
        """Copy all blocks, from the outside in."""
        depth = distance_from(~self._unknown)
        height, width = self._unknown.shape
        places = np.minimum(chosen.places * self._factor, [height - self._side, width - self._side])
        half = self._side // 2
        order = np.argsort(depth[places[:, 0] + half, places[:, 1] + half], kind="stable")
        for number, index in enumerate(order):
            on_progress(number / len(order))
            row, column = places[index].tolist()
            self._place_block(row, column, int(chosen.labels[index]), chosen.offsets[index] * self._factor)

    def _place_block(self, row: int, column: int, label: int, offset: NDArray[np.intp]) -> None:
        target = np.s_[row : row + self._side, column : column + self._side]
        placed = self._placed[target]
        if not self._unknown[target].any():
            return
        down, across = self._refine(row, column, label, offset, target)
        block = self._original[row + down : row + down + self._side, column + across : column + across + self._side]
        present = self.result[target]
        fresh = _seam_side(present, block, placed)
        share = np.where(placed, gaussian_blur(fresh.astype(np.float32), SEAM_SIGMA), 1)[..., None] * self._unknown[target][..., None]
        self.result[target] = present + (block - present) * share
        number = self._offset_numbers.setdefault((down, across), len(self._offset_numbers))
        self.owners[target] = np.where(fresh & self._unknown[target], number, self.owners[target])
        self._placed[target] = True

    def _refine(self, row: int, column: int, label: int, offset: NDArray[np.intp], target: tuple[slice, slice]) -> tuple[int, int]:
        """Return the offset in px of the full size: that of a neighbour with the same label, else where the block fits its surroundings."""
        for top, left, used, refined in reversed(self._refined):
            if used == label and abs(top - row) <= self._side and abs(left - column) <= self._side and self._is_known(row, column, refined):
                self._refined.append((row, column, label, refined))
                return refined
        refined = self._fit(row, column, offset, target)
        self._refined.append((row, column, label, refined))
        return refined

    def _is_known(self, row: int, column: int, offset: tuple[int, int]) -> bool:
        top, left = row + offset[0], column + offset[1]
        height, width = self._unknown.shape
        if not (0 <= top <= height - self._side and 0 <= left <= width - self._side):
            return False
        return not self._unknown[top : top + self._side, left : left + self._side].any()

    def _fit(self, row: int, column: int, offset: NDArray[np.intp], target: tuple[slice, slice]) -> tuple[int, int]:
        import cv2

        height, width = self._unknown.shape
        top = int(np.clip(row + offset[0], 0, height - self._side))
        left = int(np.clip(column + offset[1], 0, width - self._side))
        low_row, low_column = max(top - self._factor, 0), max(left - self._factor, 0)
        high_row, high_column = min(top + self._side + self._factor, height), min(left + self._side + self._factor, width)
        placed = self._placed[target]
        if not placed.any():
            return top - row, left - column
        area = self._original[low_row:high_row, low_column:high_column]
        mask = np.repeat(placed[..., None], 3, axis=2).astype(np.float32)
        error = cv2.matchTemplate(area, self.result[target], cv2.TM_SQDIFF, mask=mask)
        counts = window_counts(self._unknown[low_row:high_row, low_column:high_column], self._side)
        error = np.where(counts > 0, 1e9 + counts, error)
        down, across = np.unravel_index(int(np.argmin(error)), error.shape)
        return low_row + int(down) - row, low_column + int(across) - column


def _seam_side(present: Pixels, block: Pixels, placed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where (h, w) the block is taken: everywhere that is not placed, and up to the seam where it is."""
    if not placed.any() or placed.all():
        return ~placed
    cost = np.square(present - block).sum(axis=2)
    fresh = np.ones(placed.shape, dtype=np.bool_)
    half = placed.shape[0] // 2
    for turns in range(4):
        turned_placed = np.rot90(placed, turns)
        strip = turned_placed[:, :half]
        if strip[:, 0].mean() < LEAST_PLACED:
            continue
        turned_cost = np.where(strip, np.rot90(cost, turns)[:, :half], UNPLACED_COST)
        path = _cheapest_path(turned_cost)
        beyond = np.arange(half)[None, :] >= path[:, None]
        whole = np.concatenate([beyond, np.ones_like(turned_placed[:, half:])], axis=1)
        fresh &= np.rot90(whole, -turns)
    return np.asarray(fresh | ~placed)


# A strip beside a block's edge has a seam if at least this share of the edge is placed.
LEAST_PLACED = 0.3
# The cost of a seam through pixels that are not placed: the seam is free to pass there, as they are always taken from the block.
UNPLACED_COST = 0.0


def _cheapest_path(cost: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the column in each row of the path from the first row to the last with the least cost (h, w), by dynamic programming."""
    height, width = cost.shape
    total = cost[0].astype(np.float32)
    came_from = np.zeros((height, width), dtype=np.int8)
    options = np.full((3, width), np.inf, dtype=np.float32)
    for row in range(1, height):
        options[0, 1:], options[1], options[2, :-1] = total[:-1], total, total[1:]
        choice = options.argmin(axis=0)
        came_from[row] = choice - 1
        total = cost[row] + options.min(axis=0)
    path = np.empty(height, dtype=np.intp)
    path[-1] = int(total.argmin())
    for row in range(height - 1, 0, -1):
        path[row - 1] = path[row] + came_from[row, path[row]]
    return path
