"""Fill a hole with blocks of the picture itself, at full size.

Each block is copied once and never averaged, so the fill is as sharp and as grainy as the picture. The seam between two blocks runs where
they differ least (Efros and Freeman, Image Quilting, 2001).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels
from goldsmith.picture.smoothing import gaussian_blur
from goldsmith.stitching.border_likeness import LEAST_UNLIKENESS
from goldsmith.stitching.offset_labels import BLOCK_SIDE, BLOCK_STEP, BlockGrids, BlockLabels, choose_offsets, window_counts
from goldsmith.stitching.seam_blend import KNOWN, OUTLIER_STEP, blend_seams
from goldsmith.stitching.surroundings import distance_from, reduce_by, reduction

# The standard deviation in px of the blur that separates fine detail from form.
FINE_SIGMA = 1.5
# Steps in tone at the seams are measured on a copy that is reduced at least so far, so that texture does not count as tone.
LEAST_BLEND_REDUCTION = 3
# The standard deviation in px of the transition at a seam.
SEAM_SIGMA = 0.8
# At the hole's border the step in tone is measured over so many px, smoothed over as many, and faded inwards over these.
BORDER_PX = 3
BORDER_SIGMA = 2.5
BORDER_FADING = 4.0
# The step is not known where less of it can be trusted, 0..1: there two forms meet.
LEAST_BORDER_TRUST = 0.02
# A join is visible where the picture jumps by so many standard deviations of what lies around it, and at least by this, 0..1.
JOIN_CONTRAST = 2.5
LEAST_JOIN = 24 / 255
CONTRAST_SIGMA = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class CopiedPatches:
    """The filled pixels (h, w, 3), 0..1, and the length of visible joins between copied blocks as a share of the hole's outline."""

    pixels: Pixels
    joins: float


def copy_patches(
    pixels: Pixels,
    unknown: NDArray[np.bool_],
    barred: NDArray[np.bool_] | None = None,
    on_progress: Callable[[float], None] = lambda done: None,
    *,
    keeps_detail: bool = False,
    find_objects: Callable[[], NDArray[np.bool_]] | None = None,
    grids: BlockGrids | None = None,
) -> CopiedPatches | None:
    """Return ``pixels`` with the unknown part made of blocks of the known part, or None if there is too little of it.

    pixels: (h, w, 3), 0..1, display-encoded. unknown: (h, w). barred: (h, w), what is known and must not be copied, such as a subject.
    ``on_progress`` receives 0..1. keeps_detail: blocks have about as much detail as is expected at their place; else they may be smoother,
    which makes better seams on grounds with few forms. find_objects: returns more that must not be copied (h, w); it is called only if a
    block would be copied that is unlike everything beside the hole. grids: keeps what a second copy into the same hole needs.
    """
    barred = np.zeros_like(unknown) if barred is None else barred
    factor = reduction(unknown)
    small_unknown, small_barred = (reduce_by(each.astype(np.float32), factor) > 0 for each in (unknown, barred))
    reduced = reduce_by(np.where(unknown[..., None], 0, pixels), factor)
    details = (_contrast(reduced, small_unknown), _fine_detail(pixels, unknown, factor)) if keeps_detail else ()
    chosen = choose_offsets(reduced, small_unknown, small_barred, details, grids)
    if chosen is not None and find_objects is not None and float(chosen.unlikeness.max()) > LEAST_UNLIKENESS:
        barred = barred | find_objects()
        chosen = choose_offsets(reduced, small_unknown, reduce_by(barred.astype(np.float32), factor) > 0, details, grids)
    if chosen is None:
        return None
    on_progress(0.6)
    quilt = _Quilt(pixels, unknown, unknown | barred, factor)
    quilt.place(chosen, lambda done: on_progress(0.6 + 0.4 * done))
    joins = quilt.visible_joins()
    blended = blend_seams(quilt.result, quilt.owners, max(factor, LEAST_BLEND_REDUCTION))
    return CopiedPatches(np.clip(blended + quilt.border_correction(blended - quilt.result), 0, 1).astype(np.float32), joins)


def _contrast(pixels: Pixels, unknown: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return how far (h, w), 0..1, the lightness of pixels (h, w, 3) departs from its mean over half a block; 0 in the unknown part."""
    light, known = pixels.mean(axis=2), (~unknown).astype(np.float32)
    weight = np.maximum(gaussian_blur(known, BLOCK_STEP), 1e-3)
    departure = np.abs(light - gaussian_blur(light * known, BLOCK_STEP) / weight)
    return np.asarray(departure * known, dtype=np.float32)


def _fine_detail(pixels: Pixels, unknown: NDArray[np.bool_], factor: int) -> NDArray[np.float32]:
    """Return the mean fine detail, 0..1, of the known part of pixels (h, w, 3) in cells of factor x factor px."""
    light = pixels.mean(axis=2)
    known = (distance_from(unknown) > 3 * FINE_SIGMA).astype(np.float32)
    detail = np.abs(light - gaussian_blur(light, FINE_SIGMA)) * known
    return np.asarray(reduce_by(detail, factor) / np.maximum(reduce_by(known, factor), 1e-3), dtype=np.float32)


class _Quilt:
    """The fill while it grows: ``result`` (h, w, 3) has the known pixels and the blocks so far, ``owners`` (h, w) where they come from."""

    def __init__(self, pixels: Pixels, unknown: NDArray[np.bool_], blocked: NDArray[np.bool_], factor: int) -> None:
        self.result = pixels.copy()
        # The number of the block offset that each pixel comes from.
        self.owners = np.full(unknown.shape, KNOWN, dtype=np.int32)
        self._original = pixels
        self._unknown = unknown
        self._blocked = blocked
        self._placed = ~unknown
        self._factor = factor
        self._side = BLOCK_SIDE * factor
        self._offset_numbers: dict[tuple[int, int], int] = {}
        # Where a block reaches beyond the hole: how much lighter the known pixel is than the block's, and whether there is one.
        self._mismatch = np.zeros_like(pixels)
        self._is_compared = np.zeros(unknown.shape, dtype=np.bool_)
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

    def border_correction(self, blend: Pixels) -> Pixels:
        """Return what takes the rest of the step in tone out of the hole's border, (h, w, 3), in units of 0..1 around 0; it fades inwards.

        ``blend`` (h, w, 3) is what ``blend_seams`` has added: it works on a reduced copy and leaves a part of the step, or takes out too
        much.
        """
        near = self._is_compared & (distance_from(self._unknown) <= BORDER_PX)
        size = np.abs(self._mismatch).max(axis=2) / OUTLIER_STEP
        trust = (near / (1 + size**4)).astype(np.float32)
        weight = gaussian_blur(trust, BORDER_SIGMA)
        step = gaussian_blur(self._mismatch * trust[..., None], BORDER_SIGMA) / np.maximum(weight, LEAST_BORDER_TRUST)[..., None]
        fading = np.exp(-distance_from(~self._unknown) / BORDER_FADING) * self._unknown
        is_measured = (weight > LEAST_BORDER_TRUST)[..., None]
        return np.asarray(np.where(is_measured, step - blend, 0) * fading[..., None], dtype=np.float32)

    def visible_joins(self) -> float:
        """Return the length of the joins at which the picture visibly jumps, as a share of the hole's outline.

        At a join, one block ends and another begins. It is visible if the next pixel differs from how the block would have gone on, by more
        than the blocks vary there.
        """
        contrast = _local_contrast(self._original)
        offsets = np.array([*self._offset_numbers] or [(0, 0)], dtype=np.intp)
        visible = 0
        for down, across in ((1, 0), (0, 1)):
            first = self.owners[: -1 if down else None, : -1 if across else None]
            second = self.owners[down:, across:]
            rows, columns = np.nonzero((first != second) & (first != KNOWN) & (second != KNOWN))
            if not len(rows):
                continue
            beyond, beyond_contrast = self._at_offset(offsets[first[rows, columns]], rows + down, columns + across, contrast)
            _, own_contrast = self._at_offset(offsets[second[rows, columns]], rows + down, columns + across, contrast)
            jump = np.abs(self.result[rows + down, columns + across] - beyond).max(axis=1)
            visible += int((jump > np.maximum(JOIN_CONTRAST * np.maximum(beyond_contrast, own_contrast), LEAST_JOIN)).sum())
        outline = self._unknown & (distance_from(~self._unknown) <= 1)
        return visible / max(int(outline.sum()), 1)

    def _at_offset(
        self, offsets: NDArray[np.intp], rows: NDArray[np.intp], columns: NDArray[np.intp], contrast: NDArray[np.float32]
    ) -> tuple[Pixels, NDArray[np.float32]]:
        """Return the pixels (n, 3) that lie at these offsets (n, 2) from rows, columns (n), and the contrast there (n)."""
        height, width = self._unknown.shape
        from_rows, from_columns = np.clip(rows + offsets[:, 0], 0, height - 1), np.clip(columns + offsets[:, 1], 0, width - 1)
        return self._original[from_rows, from_columns], contrast[from_rows, from_columns]

    def _place_block(self, row: int, column: int, label: int, offset: NDArray[np.intp]) -> None:
        target = np.s_[row : row + self._side, column : column + self._side]
        placed = self._placed[target]
        if not self._unknown[target].any():
            return
        down, across = self._refine(row, column, label, offset, target)
        block = self._original[row + down : row + down + self._side, column + across : column + across + self._side]
        present = self.result[target]
        fresh = _seam_side(present, block, placed)
        known = ~self._unknown[target]
        self._mismatch[target][known] = (present - block)[known]
        self._is_compared[target] |= known
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
        return not self._blocked[top : top + self._side, left : left + self._side].any()

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
        counts = window_counts(self._blocked[low_row:high_row, low_column:high_column], self._side)
        error = np.where(counts > 0, 1e9 + counts, error)
        down, across = np.unravel_index(int(np.argmin(error)), error.shape)
        return low_row + int(down) - row, low_column + int(across) - column


def _local_contrast(pixels: Pixels) -> NDArray[np.float32]:
    """Return the standard deviation (h, w) around each pixel, over ``CONTRAST_SIGMA`` px, of the channel that varies most."""
    values = pixels - np.float32(0.5)
    variance = gaussian_blur(np.square(values), CONTRAST_SIGMA) - np.square(gaussian_blur(values, CONTRAST_SIGMA))
    return np.asarray(np.sqrt(np.maximum(variance.max(axis=2), 0)), dtype=np.float32)


def _seam_side(present: Pixels, block: Pixels, placed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where (h, w) the block is taken: everywhere that is not placed, and up to the seam where it is."""
    if not placed.any() or placed.all():
        return ~placed
    cost = np.square(present - block).sum(axis=2)
    fresh = np.ones(placed.shape, dtype=np.bool_)
    half = placed.shape[0] // 2
    turns, strips = [], []
    for number in range(4):
        strip = np.rot90(placed, number)[:, :half]
        if strip[:, 0].mean() < LEAST_PLACED:
            continue
        strip_cost = np.where(strip, np.rot90(cost, number)[:, :half], UNPLACED_COST)
        # Where the block goes on as what is there, the seam lies at its edge.
        if strip_cost.any():
            turns.append(number)
            strips.append(strip_cost)
    paths = _cheapest_paths(np.stack(strips)) if strips else ()
    for number, path in zip(turns, paths, strict=True):
        beyond = np.arange(half)[None, :] >= path[:, None]
        whole = np.concatenate([beyond, np.ones((len(placed), len(placed) - half), dtype=np.bool_)], axis=1)
        fresh &= np.rot90(whole, -number)
    return np.asarray(fresh | ~placed)


# A strip beside a block's edge has a seam if at least this share of the edge is placed.
LEAST_PLACED = 0.3
# The cost of a seam through pixels that are not placed: the seam is free to pass there, as they are always taken from the block.
UNPLACED_COST = 0.0


def _cheapest_paths(costs: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return for each of the costs (n, h, w) the column (n, h) in each row of the path from the first row to the last that costs least.

    By dynamic programming, for all of them together.
    """
    count, height, width = costs.shape
    total = costs[:, 0].astype(np.float32)
    came_from = np.zeros((height, count, width), dtype=np.int8)
    options = np.full((3, count, width), np.inf, dtype=np.float32)
    for row in range(1, height):
        options[0, :, 1:], options[1], options[2, :, :-1] = total[:, :-1], total, total[:, 1:]
        came_from[row] = options.argmin(axis=0) - 1
        total = costs[:, row] + options.min(axis=0)
    paths = np.empty((count, height), dtype=np.intp)
    paths[:, -1] = total.argmin(axis=1)
    all_paths = np.arange(count)
    for row in range(height - 1, 0, -1):
        paths[:, row - 1] = paths[:, row] + came_from[row, all_paths, paths[:, row]]
    return paths
