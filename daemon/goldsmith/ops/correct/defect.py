"""What was found: its place in the picture, and its size before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Laid, Window

Marked = NDArray[np.bool_]
"""(rows, columns): True where something is."""

CODE = 255
"""Sizes are told in codes of 8 bits, whatever the plate's depth."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: the box it lies in, its size before and after (the unit is its kind's), and the pixels that mend it, or None.

    ``also`` is the other place of what is there twice.
    """

    window: Window
    before: float
    after: float
    laid: Laid | None = None
    also: Window | None = None


def window(top: int, left: int, height: int, width: int) -> Window:
    """A box by its upper left corner and its size, all in px."""
    return slice(top, top + height), slice(left, left + width)


def box(place: Window) -> list[int]:
    """left, top, width, height in px, as the record tells it."""
    rows, columns = place
    return [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start]


def grown(place: Window, by: int, height: int, width: int) -> Window:
    """The box with ``by`` px more at each side, as far as the picture goes."""
    rows, columns = place
    return slice(max(0, rows.start - by), min(height, rows.stop + by)), slice(max(0, columns.start - by), min(width, columns.stop + by))


def parts(marked: Marked, least: int) -> list[tuple[Window, Marked]]:
    """The connected parts of ``marked`` with ``least`` px or more, largest first: the box of each, and what of the box is its own."""
    import cv2

    count, labels, facts, _ = cv2.connectedComponentsWithStats(marked.astype(np.uint8), connectivity=8)
    order: Sequence[int] = sorted(range(1, count), key=lambda number: -int(facts[number, cv2.CC_STAT_AREA]))
    found = []
    for number in order:
        left, top, width, height, area = (int(value) for value in facts[number])
        if area >= least:
            place = window(top, left, height, width)
            found.append((place, labels[place] == number))
    return found
