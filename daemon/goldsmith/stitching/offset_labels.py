"""Choose for each block of a hole from where in the picture it is copied, for all blocks together.

The places are the few offsets at which the surroundings resemble themselves (He and Sun, Statistics of Patch Offsets for Image Completion,
ECCV 2012). Which block takes which offset is found by belief propagation, so that neighbouring blocks agree where they overlap (Komodakis
and Tziritas, Image Completion Using Efficient Belief Propagation, 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels
from goldsmith.picture.smoothing import gaussian_blur, pull_push_fill
from goldsmith.stitching.border_likeness import BorderLikeness

# Distance in px between two blocks, and the side of a block: neighbours overlap by half.
BLOCK_STEP = 5
BLOCK_SIDE = 2 * BLOCK_STEP
# How many offsets are tried.
MAX_OFFSETS = 60
# Side in px of the patches by which the surroundings are compared with themselves; so many of them, by so many principal components.
PATCH_SIDE = 9
COMPARED_PATCHES = 700
COMPONENTS = 20
# An offset is longer than this share of the longer side: nearer places are alike because they are near.
MIN_OFFSET_SHARE = 1 / 15
# Passes of belief propagation, and the part of a message that is kept from the pass before, so that it settles.
PASSES = 24
DAMPING = 0.3
# The cost of a block that would be copied from the unknown part.
FORBIDDEN = 1e4
# The weight of pixels beside the hole against those inside: where the fill meets the picture a fault is seen first.
BORDER_WEIGHT = 2.0
# The cost of a block that is wholly unlike everything beside the hole: an object is not copied for the sake of a good seam.
UNLIKE_COST = 12.0
# The cost of a block for each octave of detail that it has less than is expected at its place, beyond so many octaves and up to so many:
# of all blocks the smooth ones differ least from anything, so that seams alone would choose them. Too much detail costs a share of it.
SMOOTH_COST = 2.0
EXPECTED_WITHIN = 0.25
MAX_OCTAVES = 3.0
ROUGH_SHARE = 0.35
# Detail below this, 0..1, is not told apart from none.
LEAST_DETAIL = 0.35 / 255
# Expected detail is that of the known part within so many block sides of the hole.
EXPECTED_FROM_SIDES = 1.5


@dataclass(frozen=True, slots=True)
class BlockLabels:
    """The blocks that cover a hole: top and left of each (n, 2), its offset to where it is copied from (n, 2), and the offset's number (n).

    All in px of the pixels that were given. unlikeness: (n), 0..1, how unlike everything beside the hole each copied block is.
    """

    places: NDArray[np.intp]
    offsets: NDArray[np.intp]
    labels: NDArray[np.intp]
    unlikeness: NDArray[np.float32]


def choose_offsets(
    pixels: Pixels,
    unknown: NDArray[np.bool_],
    barred: NDArray[np.bool_] | None = None,
    details: Sequence[NDArray[np.float32]] = (),
    grids: BlockGrids | None = None,
) -> BlockLabels | None:
    """Return the blocks of the hole and their offsets, or None if nothing can be copied.

    pixels: (h, w, 3), 0..1, display-encoded, small (a hole of about 100 px). unknown: (h, w). barred: (h, w), what must not be copied.
    details: (h, w) each, 0..1, measures of detail, 0 in the hole: with them, a block costs more the more it departs from the detail that is
    expected at its place. grids: keeps the grid for the next choice.
    """
    grid = (grids or BlockGrids()).get(pixels, unknown, unknown if barred is None else unknown | barred)
    if grid is None or not grid.active.any() or grid.unary[grid.active].min(axis=1).max() >= FORBIDDEN:
        return None
    labels = grid.choose(details)
    rows, columns = np.nonzero(grid.active)
    chosen = labels[rows, columns]
    places = np.stack([grid.tops[rows], grid.lefts[columns]], axis=1)
    offsets = grid.offsets[chosen]
    return BlockLabels(places, offsets, chosen, grid.likeness.unlikeness(places + offsets))


class BlockGrids:
    """Keep the last grid of blocks: a second choice among the same pixels needs the same one."""

    def __init__(self) -> None:
        self._arrays: tuple[NDArray[Any], ...] = ()
        self._grid: BlockGrid | None = None

    def get(self, pixels: Pixels, unknown: NDArray[np.bool_], blocked: NDArray[np.bool_]) -> BlockGrid | None:
        """Return the grid for a hole, or None if no place resembles another. pixels: (h, w, 3), 0..1; unknown, blocked: (h, w)."""
        arrays = (pixels, unknown, blocked)
        if not self._arrays or not all(np.array_equal(*pair) for pair in zip(self._arrays, arrays, strict=True)):
            offsets = find_offsets(pixels, blocked, unknown)
            self._grid = None if offsets is None else BlockGrid(pixels, unknown, blocked, _with_long_offsets(offsets, unknown))
            self._arrays = arrays
        return self._grid


def find_offsets(pixels: Pixels, blocked: NDArray[np.bool_], unknown: NDArray[np.bool_] | None = None) -> NDArray[np.intp] | None:
    """Return the offsets (n, 2), down and across in px, at which the part of pixels (h, w, 3), 0..1, that is not blocked (h, w) most often
    resembles itself; near the ``unknown`` part (h, w; by default the blocked part) it counts most.
    """
    import cv2

    unknown = blocked if unknown is None else unknown
    height, width = unknown.shape
    side = PATCH_SIDE
    if min(height, width) <= side + 1:
        return None
    views = np.lib.stride_tricks.sliding_window_view(pixels, (side, side), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
    places = np.argwhere(window_counts(blocked, side) == 0)
    if len(places) < 2 * side * side:
        return None
    distance = cv2.distanceTransform((~unknown).astype(np.uint8), cv2.DIST_L2, 3)
    near = np.argsort(distance[places[:, 0] + side // 2, places[:, 1] + side // 2], kind="stable")[: max(len(places) * 2 // 3, 1)]
    targets = places[near[:: max(len(near) // COMPARED_PATCHES, 1)]]
    places = places[places.sum(axis=1) % 2 == 0]  # half the work, and every offset is still possible
    features, target_features = _principal_components(views, places, targets)
    shortest = max(MIN_OFFSET_SHARE * max(height, width), side)
    votes = np.zeros((2 * height + 1, 2 * width + 1), dtype=np.float32)
    norms = np.square(features).sum(axis=1)
    for start in range(0, len(targets), 128):
        part = targets[start : start + 128]
        difference = norms[None] - 2 * (target_features[start : start + 128] @ features.T)
        too_near = (np.abs(part[:, None, 0] - places[None, :, 0]) < shortest) & (np.abs(part[:, None, 1] - places[None, :, 1]) < shortest)
        difference[too_near] = np.inf
        best = places[np.argmin(difference, axis=1)] - part
        np.add.at(votes, (best[:, 0] + height, best[:, 1] + width), 1)
    votes[height, width] = 0
    return _peaks(gaussian_blur(votes + votes[::-1, ::-1], 1.4), (height, width))


def window_counts(unknown: NDArray[np.bool_], side: int) -> NDArray[np.int32]:
    """Return the number of unknown pixels (h, w) in the square of ``side`` px at each place: (h - side + 1, w - side + 1)."""
    import cv2

    count = cv2.integral(unknown.astype(np.uint8))
    return np.asarray(count[side:, side:] - count[:-side, side:] - count[side:, :-side] + count[:-side, :-side], dtype=np.int32)


def _principal_components(
    views: NDArray[np.float32], places: NDArray[np.intp], targets: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the patches at ``places`` and at ``targets``, each as (n, COMPONENTS)."""
    learned = views[targets[:, 0], targets[:, 1]].reshape(len(targets), -1)
    mean = learned.mean(axis=0)
    _, vectors = np.linalg.eigh(((learned - mean).T @ (learned - mean)).astype(np.float64))
    basis = np.ascontiguousarray(vectors[:, -COMPONENTS:], dtype=np.float32)
    parts = np.array_split(places, -(-len(places) // 8192))
    features = [(views[part[:, 0], part[:, 1]].reshape(len(part), -1) - mean) @ basis for part in parts]
    return np.concatenate(features).astype(np.float32, copy=False), np.asarray((learned - mean) @ basis, dtype=np.float32)


def _with_long_offsets(offsets: NDArray[np.intp], unknown: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the offsets (n, 2) and, if the hole touches the border of the picture, those that lead past the hole on each side.

    There, most of the others lead out of the picture or into the hole.
    """
    if not (unknown[0].any() or unknown[-1].any() or unknown[:, 0].any() or unknown[:, -1].any()):
        return offsets
    rows, columns = np.flatnonzero(unknown.any(axis=1)), np.flatnonzero(unknown.any(axis=0))
    down, across = (int(each[-1] - each[0]) + 1 + BLOCK_SIDE for each in (rows, columns))
    longer = [(down, 0), (-down, 0), (0, across), (0, -across), (down, across), (down, -across), (-down, across), (-down, -across)]
    return np.concatenate([offsets, np.array(longer, dtype=offsets.dtype)])


def _peaks(votes: NDArray[np.float32], middle: tuple[int, int]) -> NDArray[np.intp] | None:
    """Return the offsets of the highest peaks, the highest first."""
    import cv2

    is_peak = (votes >= cv2.dilate(votes, np.ones((5, 5), np.uint8))) & (votes > 0)
    rows, columns = np.nonzero(is_peak)
    order = np.argsort(-votes[rows, columns], kind="stable")[:MAX_OFFSETS]
    if not len(order):
        return None
    return np.stack([rows[order] - middle[0], columns[order] - middle[1]], axis=1)


class BlockGrid:
    """The grid of blocks over a hole, with the cost of each offset for each block, (rows, columns, offsets).

    pixels: (h, w, 3), 0..1; unknown, blocked: (h, w); offsets: (n, 2), down and across in px.
    """

    def __init__(self, pixels: Pixels, unknown: NDArray[np.bool_], blocked: NDArray[np.bool_], offsets: NDArray[np.intp]) -> None:
        self.offsets = offsets
        self._unknown = unknown
        height, width = unknown.shape
        rows, columns = np.flatnonzero(unknown.any(axis=1)), np.flatnonzero(unknown.any(axis=0))
        self.tops = _starts(int(rows[0]), int(rows[-1]), height)
        self.lefts = _starts(int(columns[0]), int(columns[-1]), width)
        counts = window_counts(blocked, BLOCK_SIDE)
        self.active = window_counts(unknown, BLOCK_SIDE)[np.ix_(self.tops, self.lefts)] > 0
        source_tops = self.tops[:, None] + offsets[None, :, 0]
        source_lefts = self.lefts[:, None] + offsets[None, :, 1]
        inside_rows = (source_tops >= 0) & (source_tops <= height - BLOCK_SIDE)
        inside_columns = (source_lefts >= 0) & (source_lefts <= width - BLOCK_SIDE)
        source_tops, source_lefts = np.clip(source_tops, 0, height - BLOCK_SIDE), np.clip(source_lefts, 0, width - BLOCK_SIDE)
        at_rows, at_columns = source_tops[:, None, :], source_lefts[None, :, :]
        allowed = inside_rows[:, None, :] & inside_columns[None, :, :] & (counts[at_rows, at_columns] == 0)
        views = np.lib.stride_tricks.sliding_window_view(pixels, (BLOCK_SIDE, BLOCK_SIDE), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
        self.likeness = BorderLikeness(pixels, unknown, np.zeros_like(unknown), BLOCK_SIDE)
        # (rows, columns, offsets, side, side, 3)
        self._blocks = views[at_rows, at_columns]
        self.unary = self._border_costs(views, unknown, allowed) + UNLIKE_COST * self._unlikeness(at_rows, at_columns)
        self._source_rows, self._source_columns = at_rows, at_columns

    def _border_costs(self, views: NDArray[np.float32], unknown: NDArray[np.bool_], allowed: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return the costs (rows, columns, offsets) of each offset at the known pixels that a block overlaps."""
        own = views[self.tops[:, None], self.lefts[None, :]]
        known = ~np.lib.stride_tricks.sliding_window_view(unknown, (BLOCK_SIDE, BLOCK_SIDE))[self.tops[:, None], self.lefts[None, :]]
        costs = np.empty(allowed.shape, dtype=np.float32)
        for row in range(len(self.tops)):
            difference = np.square(self._blocks[row] - own[row][:, None]) * known[row][:, None, :, :, None]
            costs[row] = difference.sum(axis=(2, 3, 4))
        return np.where(allowed, BORDER_WEIGHT * costs, np.float32(FORBIDDEN))

    def _unlikeness(self, source_tops: NDArray[np.intp], source_lefts: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return how unlike the hole's border (rows, columns, offsets), 0..1, each block is that could be copied."""
        tops, lefts = np.broadcast_arrays(source_tops, source_lefts)
        places = np.broadcast_arrays(self.tops[:, None, None], self.lefts[None, :, None], tops)[:2]
        sources = np.stack([tops.ravel(), lefts.ravel()], axis=1)
        unlike = self.likeness.unlikeness(sources, np.stack([each.ravel() for each in places], axis=1))
        return np.asarray(unlike.reshape(tops.shape) * self.active[..., None], dtype=np.float32)

    def _detail_errors(self, detail: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return by how many octaves (rows, columns, offsets) the detail (h, w) of each block is off what is expected at its place."""
        import cv2

        unknown = self._unknown
        near = (cv2.distanceTransform((~unknown).astype(np.uint8), cv2.DIST_L2, 3) <= EXPECTED_FROM_SIDES * BLOCK_SIDE) & ~unknown
        whole = pull_push_fill(detail[..., None], near.astype(np.float32))[..., 0]
        expected, own = (
            cv2.boxFilter(each, cv2.CV_32F, (BLOCK_SIDE, BLOCK_SIDE), anchor=(0, 0)) + LEAST_DETAIL
            for each in (np.where(unknown, np.maximum(whole, 0), detail).astype(np.float32), detail)
        )
        octaves = np.log2(expected[self.tops[:, None], self.lefts[None, :]])[..., None] - np.log2(
            own[self._source_rows, self._source_columns]
        )
        missing = np.clip(octaves - EXPECTED_WITHIN, 0, MAX_OCTAVES) + ROUGH_SHARE * np.clip(-octaves - EXPECTED_WITHIN, 0, MAX_OCTAVES)
        return np.asarray(missing * self.active[..., None], dtype=np.float32)

    def choose(self, details: Sequence[NDArray[np.float32]] = ()) -> NDArray[np.intp]:
        """Return the number of the offset (rows, columns) of each block: the cheapest by min-sum belief propagation.

        details: (h, w) each, 0..1; see ``choose_offsets``.
        """
        unary = sum((SMOOTH_COST * self._detail_errors(detail) for detail in details), self.unary)
        across = _pair_costs(self._blocks[:, :-1, :, :, BLOCK_STEP:], self._blocks[:, 1:, :, :, :BLOCK_STEP])
        down = _pair_costs(self._blocks[:-1, :, :, BLOCK_STEP:], self._blocks[1:, :, :, :BLOCK_STEP])
        joined_across = (self.active[:, :-1] & self.active[:, 1:])[..., None]
        joined_down = (self.active[:-1] & self.active[1:])[..., None]
        from_left, from_right, from_above, from_below = np.zeros((4, *unary.shape), dtype=np.float32)
        for _ in range(PASSES):
            belief = unary + from_left + from_right + from_above + from_below
            _update(from_left[:, 1:], _message((belief - from_right)[:, :-1], across, 2), joined_across)
            _update(from_right[:, :-1], _message((belief - from_left)[:, 1:], across, 3), joined_across)
            belief = unary + from_left + from_right + from_above + from_below
            _update(from_above[1:], _message((belief - from_below)[:-1], down, 2), joined_down)
            _update(from_below[:-1], _message((belief - from_above)[1:], down, 3), joined_down)
        return np.asarray(np.argmin(unary + from_left + from_right + from_above + from_below, axis=2))


def _starts(low: int, high: int, limit: int) -> NDArray[np.intp]:
    """Return where blocks start so that, overlapping by half, they cover low..high and reach beyond it on both sides."""
    first = max(low - BLOCK_STEP, 0)
    starts = np.arange(first, max(high + 1 - BLOCK_STEP, first + 1), BLOCK_STEP)
    return np.minimum(starts, limit - BLOCK_SIDE)


def _pair_costs(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the squared difference (rows, columns, offsets, offsets) of two neighbours where they overlap."""
    left, right = (each.reshape(*each.shape[:3], -1) for each in (first, second))
    product = left @ right.swapaxes(2, 3)
    costs = np.square(left).sum(axis=3)[..., None] + np.square(right).sum(axis=3)[:, :, None] - 2 * product
    return np.asarray(np.maximum(costs, 0), dtype=np.float32)


def _message(beliefs: NDArray[np.float32], costs: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Return the message along an edge: the least cost of each offset of the other block. axis: that of the sender's offsets."""
    spread = beliefs[:, :, :, None] if axis == 2 else beliefs[:, :, None, :]
    message = (costs + spread).min(axis=axis)
    return np.asarray(message - message.min(axis=2, keepdims=True))


def _update(present: NDArray[np.float32], message: NDArray[np.float32], joined: NDArray[np.bool_]) -> None:
    present[...] = np.where(joined, DAMPING * present + (1 - DAMPING) * message, 0)
