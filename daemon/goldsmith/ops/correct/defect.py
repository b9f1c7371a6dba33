"""A defect that was found: its place in the picture, and its size before and after the correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Picture, PixelPatch, Pixels, Window

# (rows, columns): True where the property holds.
BoolMask = NDArray[np.bool_]

# Sizes are in 8-bit codes, whatever the picture's depth.
MAX_8BIT_CODE = 255


@dataclass(frozen=True, slots=True)
class Defect:
    """One defect: its box, its size before and after (the unit depends on the kind), and the pixels that correct it, or None.

    ``duplicate_of`` is the box of the original of a duplicated region.
    """

    window: Window
    before: float
    after: float
    repair: PixelPatch | None = None
    duplicate_of: Window | None = None


def copy_with_repairs(pixels: Pixels, window: Window, defects: Sequence[Defect]) -> Pixels:
    """Return a copy of the box of ``pixels``, (h, w, c), 0..1, with what the defects' repairs change in it."""
    repairs = [defect.repair for defect in defects if defect.repair is not None]
    return np.array(Picture(pixels).with_patches(repairs).pixels_in(window))


def make_window(top: int, left: int, height: int, width: int) -> Window:
    """Return a window from its upper left corner and its size, all in px."""
    return slice(top, top + height), slice(left, left + width)


def to_box(window: Window) -> list[int]:
    """Return left, top, width and height in px, as the record has them."""
    rows, columns = window
    return [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start]


def expand_window(window: Window, margin: int, height: int, width: int) -> Window:
    """Return the window with ``margin`` px more on each side, clipped to the picture."""
    rows, columns = window
    return slice(max(0, rows.start - margin), min(height, rows.stop + margin)), slice(
        max(0, columns.start - margin), min(width, columns.stop + margin)
    )


def connected_components(mask: BoolMask, min_area: int) -> list[tuple[Window, BoolMask]]:
    """Return the connected components of ``mask``, (h, w), bool, with at least ``min_area`` px, largest first: the window of each, and its
    own pixels in it.
    """
    import cv2

    if not mask.any():  # OpenCV crashes on an empty mask
        return []
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    order: Sequence[int] = sorted(range(1, count), key=lambda number: -int(stats[number, cv2.CC_STAT_AREA]))
    components = []
    for number in order:
        left, top, width, height, area = (int(value) for value in stats[number])
        if area >= min_area:
            window = make_window(top, left, height, width)
            components.append((window, labels[window] == number))
    return components
