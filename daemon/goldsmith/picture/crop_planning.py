"""Plan crops: a mask becomes a few crops with enough surroundings, so that the cost depends on the mask and not on the picture.

All boxes are in px of the picture. Colours are not used here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Mask

# Side in px of the cells in which the separate regions of a mask are found.
CELL_SIDE = 16
# A crop shows at least this many px around its hole.
MIN_CONTEXT_PX = 32
# Engines of any size see at most this many px: beyond it, time and memory grow faster than the benefit.
MAX_FREE_SIDE = 1280
# Engines with a fixed size see small crops enlarged by at most this factor: beyond it there is no more detail.
MAX_ENLARGEMENT = 4
# A region thinner than this share of the engine's side is filled piece by piece at full size instead of being reduced as a whole.
MAX_THIN_SHARE = 0.3


class CropBox(NamedTuple):
    """A half-open box: rows top..bottom, columns left..right."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def area(self) -> int:
        return self.height * self.width

    @property
    def window(self) -> tuple[slice, slice]:
        """The box as an index into (h, w, ...) arrays."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def union(self, other: CropBox) -> CropBox:
        """Return the smallest box around both."""
        low = (min(self.top, other.top), min(self.left, other.left))
        return CropBox(*low, max(self.bottom, other.bottom), max(self.right, other.right))

    def expand(self, px: int, height: int, width: int) -> CropBox:
        """Return the box enlarged by ``px`` on each side, clipped to the picture."""
        return CropBox(max(self.top - px, 0), max(self.left - px, 0), min(self.bottom + px, height), min(self.right + px, width))

    def shifted(self, down: int, across: int) -> CropBox:
        """Return the box moved by so many px."""
        return CropBox(self.top + down, self.left + across, self.bottom + down, self.right + across)

    def relative_to(self, outer_box: CropBox) -> CropBox:
        """Return the same box relative to the corner of ``outer_box``."""
        return CropBox(self.top - outer_box.top, self.left - outer_box.left, self.bottom - outer_box.top, self.right - outer_box.left)


@dataclass(frozen=True, slots=True)
class FillCrop:
    """One crop to fill: ``core`` contains the hole, ``crop`` the hole and its surroundings, ``regions`` the numbers of the mask's regions
    in it.
    """

    core: CropBox
    crop: CropBox
    regions: frozenset[int]


@dataclass(frozen=True, slots=True, eq=False)
class CropPlan:
    """The crops for a mask, and the map of cells that gives the region of each pixel."""

    fill_crops: tuple[FillCrop, ...]
    cell_regions: NDArray[np.int32]

    def regions_in(self, box: CropBox) -> NDArray[np.int32]:
        """Return the region numbers (h, w), counts from 1, of the pixels in ``box``; 0 where the mask is zero in the whole cell."""
        rows = np.arange(box.top, box.bottom) // CELL_SIDE
        columns = np.arange(box.left, box.right) // CELL_SIDE
        return self.cell_regions[np.ix_(rows, columns)]


def plan_crops(
    mask: Mask, engine_side: int, context_share: float, *, enlarges: bool = False, mask_bounds: CropBox | None = None
) -> CropPlan:
    """Return the crops that cover every pixel where ``mask`` > 0.

    mask: (h, w), 0..1. engine_side: the square in px that the engine works at, 0 = any size. context_share: surroundings on each side as a
    share of the hole's longer side. enlarges: a crop may be smaller than ``engine_side``, because the engine sees it enlarged. mask_bounds:
    the mask's ``find_mask_bounds``, if already known. Crops are merged if that saves work; long thin regions are split.
    """
    height, width = mask.shape
    framing = _CropFraming(engine_side, context_share, height, width, -(-engine_side // MAX_ENLARGEMENT) if enlarges else engine_side)
    mask_bounds = mask_bounds or find_mask_bounds(mask)
    if mask_bounds is None:
        return CropPlan((), np.zeros([-(-edge // CELL_SIDE) for edge in mask.shape], np.int32))
    labels, boxes = _label_regions(_occupied_cells(mask, mask_bounds), mask.shape, engine_side)
    labels, boxes = _split_thin_regions(mask, labels, boxes, framing)
    patches = (FillCrop(box, framing.crop_around(box), regions) for box, regions in _merge_regions(boxes, framing))
    return CropPlan(tuple(patches), labels)


@dataclass(frozen=True, slots=True)
class _CropFraming:
    engine_side: int
    context_share: float
    height: int
    width: int
    # The smallest square crop.
    min_side: int

    @property
    def max_full_size_side(self) -> int:
        """The longest crop that is filled at full size."""
        return self.engine_side or MAX_FREE_SIDE

    def side_with_context(self, box: CropBox) -> int:
        """Return the side of the square that shows the hole with its surroundings."""
        longer = max(box.height, box.width)
        return longer + 2 * max(ceil(longer * self.context_share), MIN_CONTEXT_PX)

    def crop_around(self, box: CropBox) -> CropBox:
        """Return a square around the box, moved and clipped into the picture; any rectangle for an engine of any size."""
        if not self.engine_side:
            return box.expand((self.side_with_context(box) - max(box.height, box.width)) // 2, self.height, self.width)
        side = max(self.side_with_context(box), self.min_side)
        top, bottom = _clamped_span(box.top, box.bottom, side, self.height)
        left, right = _clamped_span(box.left, box.right, side, self.width)
        return CropBox(top, left, bottom, right)


def _clamped_span(low: int, high: int, wanted_length: int, limit: int) -> tuple[int, int]:
    """Return a span of ``wanted_length`` px around low..high, moved into 0..limit and clipped to it."""
    start = min(max((low + high - wanted_length) // 2, 0), max(limit - wanted_length, 0))
    return start, min(start + wanted_length, limit)


def find_mask_bounds(mask: Mask) -> CropBox | None:
    """Return the smallest box with every pixel where ``mask`` (h, w), 0..1, is > 0, or None if there is none. Reads the mask once."""
    rows = np.flatnonzero(mask.max(axis=1) > 0)
    if not rows.size:
        return None
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[top:bottom].max(axis=0) > 0)
    return CropBox(top, int(columns[0]), bottom, int(columns[-1]) + 1)


def find_separate_holes(mask: Mask, mask_bounds: CropBox) -> list[tuple[CropBox, NDArray[np.bool_]]]:
    """Return the box of each separate hole and its pixels (h, w) in the box, from top to bottom; holes in neighbouring cells are one.

    mask: (h, w), 0..1. mask_bounds: its ``find_mask_bounds``.
    """
    import cv2

    area = mask_bounds.expand(2 * CELL_SIDE, *mask.shape)
    count, labels = cv2.connectedComponents(_occupied_cells(mask, mask_bounds).astype(np.uint8), connectivity=8)
    rows, columns = np.arange(area.top, area.bottom) // CELL_SIDE, np.arange(area.left, area.right) // CELL_SIDE
    numbers = np.where(mask[area.window] > 0, labels[np.ix_(rows, columns)], 0)
    holes = []
    for number in range(1, count):
        own = numbers == number
        high, wide = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
        box = CropBox(int(high[0]), int(wide[0]), int(high[-1]) + 1, int(wide[-1]) + 1)
        holes.append((box.shifted(area.top, area.left), own[box.window]))
    return sorted(holes, key=lambda hole: hole[0])


def _occupied_cells(mask: Mask, mask_bounds: CropBox) -> NDArray[np.bool_]:
    """Return for each cell whether the mask has a pixel in it; the mask is empty outside ``mask_bounds``."""
    result = np.zeros([-(-edge // CELL_SIDE) for edge in mask.shape], np.bool_)
    top, left = mask_bounds.top // CELL_SIDE, mask_bounds.left // CELL_SIDE
    solid = mask[top * CELL_SIDE : mask_bounds.bottom, left * CELL_SIDE : mask_bounds.right] > 0
    rows = np.logical_or.reduceat(solid, np.arange(0, solid.shape[0], CELL_SIDE), axis=0)
    cells = np.logical_or.reduceat(rows, np.arange(0, solid.shape[1], CELL_SIDE), axis=1)
    result[top : top + cells.shape[0], left : left + cells.shape[1]] = cells
    return result


def _label_regions(occupied: NDArray[np.bool_], shape: tuple[int, ...], engine_side: int) -> tuple[NDArray[np.int32], dict[int, CropBox]]:
    """Return the connected cells, numbered from 1, and the box of each region; specks near each other share a number."""
    import cv2

    count, labels, stats, _ = cv2.connectedComponentsWithStats(occupied.astype(np.uint8), connectivity=8)
    pitch = max((engine_side or MAX_FREE_SIDE) // 2 // CELL_SIDE, 1)
    renamed = np.arange(count, dtype=np.int32)
    blocks: dict[tuple[int, int], int] = {}
    for label in range(1, count):
        left, top, wide, high, _ = stats[label].tolist()
        if max(wide, high) * 2 <= pitch:
            renamed[label] = blocks.setdefault((top // pitch, left // pitch), label)
    boxes: dict[int, CropBox] = {}
    for label in range(1, count):
        left, top, wide, high, _ = stats[label].tolist()
        box = CropBox(*(edge * CELL_SIDE for edge in (top, left, top + high, left + wide)))
        box = CropBox(box.top, box.left, min(box.bottom, shape[0]), min(box.right, shape[1]))
        name = int(renamed[label])
        boxes[name] = boxes[name].union(box) if name in boxes else box
    return renamed[labels], boxes


def _split_thin_regions(
    mask: Mask, labels: NDArray[np.int32], boxes: dict[int, CropBox], framing: _CropFraming
) -> tuple[NDArray[np.int32], dict[int, CropBox]]:
    """Return long thin regions (a wire across the sky) split into pieces that fit the engine without being reduced."""
    pitch = max(framing.max_full_size_side // 2 // CELL_SIDE, 1)
    kept: dict[int, CropBox] = {}
    next_label = max(boxes, default=0) + 1
    for label, box in boxes.items():
        crop = framing.crop_around(box)
        if max(crop.height, crop.width) <= framing.max_full_size_side or not _is_thin(mask[box.window] > 0, framing.max_full_size_side):
            kept[label] = box
            continue
        rows, columns = np.nonzero(labels == label)
        blocks = sorted(set(zip((rows // pitch).tolist(), (columns // pitch).tolist(), strict=True)))
        for row, column in blocks:
            chosen = (rows // pitch == row) & (columns // pitch == column)
            labels[rows[chosen], columns[chosen]] = next_label
            kept[next_label] = _cells_to_box(rows[chosen], columns[chosen], mask.shape)
            next_label += 1
    return labels, kept


def _cells_to_box(rows: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, ...]) -> CropBox:
    bottom, right = (int(rows.max()) + 1) * CELL_SIDE, (int(columns.max()) + 1) * CELL_SIDE
    return CropBox(int(rows.min()) * CELL_SIDE, int(columns.min()) * CELL_SIDE, min(bottom, shape[0]), min(right, shape[1]))


def _is_thin(solid: NDArray[np.bool_], side: int) -> bool:
    """Return whether no point of the region lies deep inside it."""
    import cv2

    depth = cv2.distanceTransform(np.pad(solid, 1).astype(np.uint8), cv2.DIST_L2, 3)
    return bool(2 * depth.max() < MAX_THIN_SHARE * side)


def _merge_regions(boxes: dict[int, CropBox], framing: _CropFraming) -> Iterable[tuple[CropBox, frozenset[int]]]:
    """Return the regions, joined as long as their common crop is no larger than their own crops together."""
    groups = [(box, frozenset({label})) for label, box in sorted(boxes.items(), key=lambda entry: entry[1])]
    before = len(groups) + 1
    while len(groups) < before:
        before = len(groups)
        joined: list[tuple[CropBox, frozenset[int]]] = []
        for box, labels in groups:
            for index, (other, other_labels) in enumerate(joined):
                common = box.union(other)
                if _is_worth_merging(common, box, other, framing):
                    joined[index] = (common, other_labels | labels)
                    break
            else:
                joined.append((box, labels))
        groups = joined
    return groups


def _is_worth_merging(merged: CropBox, first: CropBox, second: CropBox, framing: _CropFraming) -> bool:
    """Return whether one crop for both is no more work than two, and the fill no coarser: a crop that fits alone is not reduced for being
    merged.
    """
    if framing.crop_around(merged).area > framing.crop_around(first).area + framing.crop_around(second).area:
        return False
    return framing.side_with_context(merged) <= max(
        framing.max_full_size_side, framing.side_with_context(first), framing.side_with_context(second)
    )
