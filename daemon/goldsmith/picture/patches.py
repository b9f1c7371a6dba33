"""Where to cut: a mask becomes a few crops, each with enough of its surroundings, so that cost follows the mask and not the picture.

All boxes are in px of the plate. Nothing here looks at colours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Mask

CELL = 16
"""Side of the cells, in px, in which a mask's separate regions are told apart."""
REACH = 32
"""The least surroundings, in px, that a crop shows beside its hole."""
ANY_SIDE = 1280
"""Engines of any size are shown at most this many px: beyond it their time and memory grow faster than what they can tell."""
MOST_ENLARGED = 4
"""Engines that work well at one size only are shown small crops enlarged, but by no more than this: beyond it there is nothing to see."""
THIN = 0.3
"""A region thinner than this part of the engine's side is filled piece by piece at full size, rather than shrunk as a whole."""


class Box(NamedTuple):
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

    def joined(self, other: Box) -> Box:
        """The smallest box round both."""
        low = (min(self.top, other.top), min(self.left, other.left))
        return Box(*low, max(self.bottom, other.bottom), max(self.right, other.right))

    def grown(self, px: int, height: int, width: int) -> Box:
        """Larger by ``px`` at each side, as far as the picture goes."""
        return Box(max(self.top - px, 0), max(self.left - px, 0), min(self.bottom + px, height), min(self.right + px, width))

    def within(self, outer: Box) -> Box:
        """The same box, counted from the corner of ``outer``."""
        return Box(self.top - outer.top, self.left - outer.left, self.bottom - outer.top, self.right - outer.left)


@dataclass(frozen=True, slots=True)
class Patch:
    """One crop to fill: ``core`` holds the hole, ``crop`` the hole and its surroundings, ``regions`` which of the mask's regions."""

    core: Box
    crop: Box
    regions: frozenset[int]


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """How a mask is to be worked off: the patches, and the map of cells that says to which region each pixel belongs."""

    patches: tuple[Patch, ...]
    cells: NDArray[np.int32]

    def regions_in(self, box: Box) -> NDArray[np.int32]:
        """(h, w) region numbers of the pixels in ``box``; 0 where the mask is zero throughout the cell."""
        rows = np.arange(box.top, box.bottom) // CELL
        columns = np.arange(box.left, box.right) // CELL
        return self.cells[np.ix_(rows, columns)]


def cut(mask: Mask, side: int, context: float, *, enlarges: bool = False, within: Box | None = None) -> Cut:
    """The crops that cover every pixel where ``mask`` > 0.

    mask: (h, w). side: the square in px that the engine works at, 0 = any size. context: surroundings at each side as a part of
    the hole's longer side. enlarges: a crop may be smaller than ``side``, because the engine is shown it enlarged. within: the
    mask's ``extent``, where it is known already. Crops whose work together is less than apart are merged; long thin regions are
    cut in pieces.
    """
    height, width = mask.shape
    framing = _Framing(side, context, height, width, -(-side // MOST_ENLARGED) if enlarges else side)
    within = within or extent(mask)
    if within is None:
        return Cut((), np.zeros([-(-edge // CELL) for edge in mask.shape], np.int32))
    labels, boxes = _regions(_cells(mask, within), mask.shape, side)
    labels, boxes = _split(mask, labels, boxes, framing)
    patches = (Patch(box, framing.crop(box), regions) for box, regions in _merged(boxes, framing))
    return Cut(tuple(patches), labels)


@dataclass(frozen=True, slots=True)
class _Framing:
    side: int
    context: float
    height: int
    width: int
    least: int
    """The smallest square that is cut."""

    @property
    def fits(self) -> int:
        """The longest crop that is filled at full size."""
        return self.side or ANY_SIDE

    def needed(self, box: Box) -> int:
        """The side of the square that shows the hole with its surroundings."""
        longer = max(box.height, box.width)
        return longer + 2 * max(ceil(longer * self.context), REACH)

    def crop(self, box: Box) -> Box:
        """A square round the box, moved and cut so that it lies inside the picture; any rectangle for an engine of any size."""
        if not self.side:
            return box.grown((self.needed(box) - max(box.height, box.width)) // 2, self.height, self.width)
        want = max(self.needed(box), self.least)
        top, bottom = _span(box.top, box.bottom, want, self.height)
        left, right = _span(box.left, box.right, want, self.width)
        return Box(top, left, bottom, right)


def _span(low: int, high: int, want: int, limit: int) -> tuple[int, int]:
    """``want`` px round low..high, shifted into 0..limit and cut to it."""
    start = min(max((low + high - want) // 2, 0), max(limit - want, 0))
    return start, min(start + want, limit)


def extent(mask: Mask) -> Box | None:
    """The smallest box that holds every pixel where ``mask`` > 0; None where there is none. One look at the whole mask."""
    rows = np.flatnonzero(mask.max(axis=1) > 0)
    if not rows.size:
        return None
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[top:bottom].max(axis=0) > 0)
    return Box(top, int(columns[0]), bottom, int(columns[-1]) + 1)


def _cells(mask: Mask, within: Box) -> NDArray[np.bool_]:
    """One value for each cell of CELL x CELL px: whether the mask, which is empty but for a box, has anything in it."""
    made = np.zeros([-(-edge // CELL) for edge in mask.shape], np.bool_)
    top, left = within.top // CELL, within.left // CELL
    solid = mask[top * CELL : within.bottom, left * CELL : within.right] > 0
    rows = np.logical_or.reduceat(solid, np.arange(0, solid.shape[0], CELL), axis=0)
    found = np.logical_or.reduceat(rows, np.arange(0, solid.shape[1], CELL), axis=1)
    made[top : top + found.shape[0], left : left + found.shape[1]] = found
    return made


def _regions(cells: NDArray[np.bool_], shape: tuple[int, ...], side: int) -> tuple[NDArray[np.int32], dict[int, Box]]:
    """Connected cells numbered from 1, and the box of each; specks that lie near each other share a number."""
    import cv2

    count, labels, stats, _ = cv2.connectedComponentsWithStats(cells.astype(np.uint8), connectivity=8)
    pitch = max((side or ANY_SIDE) // 2 // CELL, 1)
    renamed = np.arange(count, dtype=np.int32)
    blocks: dict[tuple[int, int], int] = {}
    for label in range(1, count):
        left, top, wide, high, _ = stats[label].tolist()
        if max(wide, high) * 2 <= pitch:
            renamed[label] = blocks.setdefault((top // pitch, left // pitch), label)
    boxes: dict[int, Box] = {}
    for label in range(1, count):
        left, top, wide, high, _ = stats[label].tolist()
        box = Box(*(edge * CELL for edge in (top, left, top + high, left + wide)))
        box = Box(box.top, box.left, min(box.bottom, shape[0]), min(box.right, shape[1]))
        name = int(renamed[label])
        boxes[name] = boxes[name].joined(box) if name in boxes else box
    return renamed[labels], boxes


def _split(mask: Mask, labels: NDArray[np.int32], boxes: dict[int, Box], framing: _Framing) -> tuple[NDArray[np.int32], dict[int, Box]]:
    """Long thin regions (a wire across the sky) in pieces that fit the engine without being shrunk."""
    pitch = max(framing.fits // 2 // CELL, 1)
    kept: dict[int, Box] = {}
    following = max(boxes, default=0) + 1
    for label, box in boxes.items():
        crop = framing.crop(box)
        if max(crop.height, crop.width) <= framing.fits or not _is_thin(mask[box.window] > 0, framing.fits):
            kept[label] = box
            continue
        rows, columns = np.nonzero(labels == label)
        blocks = sorted(set(zip((rows // pitch).tolist(), (columns // pitch).tolist(), strict=True)))
        for row, column in blocks:
            chosen = (rows // pitch == row) & (columns // pitch == column)
            labels[rows[chosen], columns[chosen]] = following
            kept[following] = _box_of_cells(rows[chosen], columns[chosen], mask.shape)
            following += 1
    return labels, kept


def _box_of_cells(rows: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, ...]) -> Box:
    bottom, right = (int(rows.max()) + 1) * CELL, (int(columns.max()) + 1) * CELL
    return Box(int(rows.min()) * CELL, int(columns.min()) * CELL, min(bottom, shape[0]), min(right, shape[1]))


def _is_thin(solid: NDArray[np.bool_], side: int) -> bool:
    """Whether no point of the region lies deep inside it."""
    import cv2

    depth = cv2.distanceTransform(np.pad(solid, 1).astype(np.uint8), cv2.DIST_L2, 3)
    return bool(2 * depth.max() < THIN * side)


def _merged(boxes: dict[int, Box], framing: _Framing) -> Iterable[tuple[Box, frozenset[int]]]:
    """Regions whose common crop is no larger than their own crops together, joined, until none are left to join."""
    groups = [(box, frozenset({label})) for label, box in sorted(boxes.items(), key=lambda entry: entry[1])]
    before = len(groups) + 1
    while len(groups) < before:
        before = len(groups)
        joined: list[tuple[Box, frozenset[int]]] = []
        for box, labels in groups:
            for index, (other, theirs) in enumerate(joined):
                common = box.joined(other)
                if _worth_joining(common, box, other, framing):
                    joined[index] = (common, theirs | labels)
                    break
            else:
                joined.append((box, labels))
        groups = joined
    return groups


def _worth_joining(common: Box, one: Box, other: Box, framing: _Framing) -> bool:
    """Whether one crop for both is no more work than two, and the fill no coarser: what fits alone is not shrunk for being together."""
    if framing.crop(common).area > framing.crop(one).area + framing.crop(other).area:
        return False
    return framing.needed(common) <= max(framing.fits, framing.needed(one), framing.needed(other))
