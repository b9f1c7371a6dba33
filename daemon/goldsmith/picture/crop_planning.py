"""Where to cut: a mask becomes a few crops, each with enough of its surroundings, so that cost follows the mask and not the picture.

All boxes are in px of the picture. Nothing here looks at colours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Mask

# Side of the cells, in px, in which a mask's separate regions are told apart.
CELL_SIDE = 16
# The least surroundings, in px, that a crop shows beside its hole.
MIN_CONTEXT_PX = 32
# Engines of any size are shown at most this many px: beyond it their time and memory grow faster than what they can tell.
MAX_FREE_SIDE = 1280
# Engines that work well at one size only are shown small crops enlarged, but by no more than this: beyond it there is nothing to see.
MAX_ENLARGEMENT = 4
# A region thinner than this part of the engine's side is filled piece by piece at full size, rather than shrunk as a whole.
MAX_THIN_SHARE = 0.3


class CropBox(NamedTuple):
    """Half-open: rows top..bottom, columns left..right."""

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
        """The smallest box round both."""
        low = (min(self.top, other.top), min(self.left, other.left))
        return CropBox(*low, max(self.bottom, other.bottom), max(self.right, other.right))

    def expand(self, px: int, height: int, width: int) -> CropBox:
        """Larger by ``px`` at each side, as far as the picture goes."""
        return CropBox(max(self.top - px, 0), max(self.left - px, 0), min(self.bottom + px, height), min(self.right + px, width))

    def relative_to(self, outer_box: CropBox) -> CropBox:
        """The same box, counted from the corner of ``outer``."""
        return CropBox(self.top - outer_box.top, self.left - outer_box.left, self.bottom - outer_box.top, self.right - outer_box.left)


@dataclass(frozen=True, slots=True)
class FillCrop:
    """One crop to fill: ``core`` holds the hole, ``crop`` the hole and its surroundings, ``regions`` which of the mask's regions."""

    core: CropBox
    crop: CropBox
    regions: frozenset[int]


@dataclass(frozen=True, slots=True, eq=False)
class CropPlan:
    """How a mask is to be worked off: the patches, and the map of cells that says to which region each pixel belongs."""

    fill_crops: tuple[FillCrop, ...]
    cell_regions: NDArray[np.int32]

    def regions_in(self, box: CropBox) -> NDArray[np.int32]:
        """(h, w) region numbers of the pixels in ``box``; 0 where the mask is zero throughout the cell."""
        rows = np.arange(box.top, box.bottom) // CELL_SIDE
        columns = np.arange(box.left, box.right) // CELL_SIDE
        return self.cell_regions[np.ix_(rows, columns)]


def plan_crops(
    mask: Mask, engine_side: int, context_share: float, *, enlarges: bool = False, mask_bounds: CropBox | None = None
) -> CropPlan:
    """The crops that cover every pixel where ``mask`` > 0.

    mask: (h, w). side: the square in px that the engine works at, 0 = any size. context: surroundings at each side as a part of
    the hole's longer side. enlarges: a crop may be smaller than ``side``, because the engine is shown it enlarged. within: the
    mask's ``find_mask_bounds``, where it is known already. Crops whose work together is less than apart are merged; long thin regions are
    cut in pieces.
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
    # The smallest square that is cut.
    min_side: int

    @property
    def max_full_size_side(self) -> int:
        """The longest crop that is filled at full size."""
        return self.engine_side or MAX_FREE_SIDE

    def side_with_context(self, box: CropBox) -> int:
        """The side of the square that shows the hole with its surroundings."""
        longer = max(box.height, box.width)
        return longer + 2 * max(ceil(longer * self.context_share), MIN_CONTEXT_PX)

    def crop_around(self, box: CropBox) -> CropBox:
        """A square round the box, moved and cut so that it lies inside the picture; any rectangle for an engine of any size."""
        if not self.engine_side:
            return box.expand((self.side_with_context(box) - max(box.height, box.width)) // 2, self.height, self.width)
        want = max(self.side_with_context(box), self.min_side)
        top, bottom = _clamped_span(box.top, box.bottom, want, self.height)
        left, right = _clamped_span(box.left, box.right, want, self.width)
        return CropBox(top, left, bottom, right)


def _clamped_span(low: int, high: int, wanted_length: int, limit: int) -> tuple[int, int]:
    """``want`` px round low..high, shifted into 0..limit and cut to it."""
    start = min(max((low + high - wanted_length) // 2, 0), max(limit - wanted_length, 0))
    return start, min(start + wanted_length, limit)


def find_mask_bounds(mask: Mask) -> CropBox | None:
    """The smallest box that holds every pixel where ``mask`` > 0; None where there is none. One look at the whole mask."""
    rows = np.flatnonzero(mask.max(axis=1) > 0)
    if not rows.size:
        return None
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[top:bottom].max(axis=0) > 0)
    return CropBox(top, int(columns[0]), bottom, int(columns[-1]) + 1)


def _occupied_cells(mask: Mask, mask_bounds: CropBox) -> NDArray[np.bool_]:
    """One value for each cell of CELL x CELL px: whether the mask, which is empty but for a box, has anything in it."""
    made = np.zeros([-(-edge // CELL_SIDE) for edge in mask.shape], np.bool_)
    top, left = mask_bounds.top // CELL_SIDE, mask_bounds.left // CELL_SIDE
    solid = mask[top * CELL_SIDE : mask_bounds.bottom, left * CELL_SIDE : mask_bounds.right] > 0
    rows = np.logical_or.reduceat(solid, np.arange(0, solid.shape[0], CELL_SIDE), axis=0)
    found = np.logical_or.reduceat(rows, np.arange(0, solid.shape[1], CELL_SIDE), axis=1)
    made[top : top + found.shape[0], left : left + found.shape[1]] = found
    return made


def _label_regions(occupied: NDArray[np.bool_], shape: tuple[int, ...], engine_side: int) -> tuple[NDArray[np.int32], dict[int, CropBox]]:
    """Connected cells numbered from 1, and the box of each; specks that lie near each other share a number."""
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
    """Long thin regions (a wire across the sky) in pieces that fit the engine without being shrunk."""
    pitch = max(framing.max_full_size_side // 2 // CELL_SIDE, 1)
    kept: dict[int, CropBox] = {}
    following = max(boxes, default=0) + 1
    for label, box in boxes.items():
        crop = framing.crop_around(box)
        if max(crop.height, crop.width) <= framing.max_full_size_side or not _is_thin(mask[box.window] > 0, framing.max_full_size_side):
            kept[label] = box
            continue
        rows, columns = np.nonzero(labels == label)
        blocks = sorted(set(zip((rows // pitch).tolist(), (columns // pitch).tolist(), strict=True)))
        for row, column in blocks:
            chosen = (rows // pitch == row) & (columns // pitch == column)
            labels[rows[chosen], columns[chosen]] = following
            kept[following] = _cells_to_box(rows[chosen], columns[chosen], mask.shape)
            following += 1
    return labels, kept


def _cells_to_box(rows: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, ...]) -> CropBox:
    bottom, right = (int(rows.max()) + 1) * CELL_SIDE, (int(columns.max()) + 1) * CELL_SIDE
    return CropBox(int(rows.min()) * CELL_SIDE, int(columns.min()) * CELL_SIDE, min(bottom, shape[0]), min(right, shape[1]))


def _is_thin(solid: NDArray[np.bool_], side: int) -> bool:
    """Whether no point of the region lies deep inside it."""
    import cv2

    depth = cv2.distanceTransform(np.pad(solid, 1).astype(np.uint8), cv2.DIST_L2, 3)
    return bool(2 * depth.max() < MAX_THIN_SHARE * side)


def _merge_regions(boxes: dict[int, CropBox], framing: _CropFraming) -> Iterable[tuple[CropBox, frozenset[int]]]:
    """Regions whose common crop is no larger than their own crops together, joined, until none are left to join."""
    groups = [(box, frozenset({label})) for label, box in sorted(boxes.items(), key=lambda entry: entry[1])]
    before = len(groups) + 1
    while len(groups) < before:
        before = len(groups)
        joined: list[tuple[CropBox, frozenset[int]]] = []
        for box, labels in groups:
            for index, (other, theirs) in enumerate(joined):
                common = box.union(other)
                if _is_worth_merging(common, box, other, framing):
                    joined[index] = (common, theirs | labels)
                    break
            else:
                joined.append((box, labels))
        groups = joined
    return groups


def _is_worth_merging(merged: CropBox, first: CropBox, second: CropBox, framing: _CropFraming) -> bool:
    """Whether one crop for both is no more work than two, and the fill no coarser: what fits alone is not shrunk for being together."""
    if framing.crop_around(merged).area > framing.crop_around(first).area + framing.crop_around(second).area:
        return False
    return framing.side_with_context(merged) <= max(
        framing.max_full_size_side, framing.side_with_context(first), framing.side_with_context(second)
    )
