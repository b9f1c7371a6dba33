"""What was found: its place in the picture, and its size before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import PixelPatch, Window

# (rows, columns): True where something is.
BoolMask = NDArray[np.bool_]

# Sizes are told in codes of 8 bits, whatever the picture's depth.
MAX_8BIT_CODE = 255


@dataclass(frozen=True, slots=True)
class Defect:
    """One fault: the box it lies in, its size before and after (the unit is its kind's), and the pixels that mend it, or None.

    ``also`` is the other place of what is there twice.
    """

    window: Window
    before: float
    after: float
    repair: PixelPatch | None = None
    duplicate_of: Window | None = None


def make_window(top: int, left: int, height: int, width: int) -> Window:
    """A box by its upper left corner and its size, all in px."""
    return slice(top, top + height), slice(left, left + width)


def to_box(window: Window) -> list[int]:
    """left, top, width, height in px, as the record tells it."""
    rows, columns = window
    return [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start]


def expand_window(window: Window, margin: int, height: int, width: int) -> Window:
    """The box with ``by`` px more at each side, as far as the picture goes."""
    rows, columns = window
    return slice(max(0, rows.start - margin), min(height, rows.stop + margin)), slice(
        max(0, columns.start - margin), min(width, columns.stop + margin)
    )


def connected_components(mask: BoolMask, min_area: int) -> list[tuple[Window, BoolMask]]:
    """The connected parts of ``marked`` with ``least`` px or more, largest first: the box of each, and what of the box is its own."""
    import cv2

    count, labels, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    order: Sequence[int] = sorted(range(1, count), key=lambda number: -int(facts[number, cv2.CC_STAT_AREA]))
    found = []
    for number in order:
        left, top, width, height, area = (int(value) for value in facts[number])
        if area >= min_area:
            place = make_window(top, left, height, width)
            found.append((place, labels[place] == number))
    return found
