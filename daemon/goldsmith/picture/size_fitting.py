"""Sizes: what a picture comes to in a box, and how much of it a box of another shape shows. Whole numbers only, no pixels."""

from __future__ import annotations

from typing import Literal

MAX_SIDE = 30000
MAX_PIXELS = 200_000_000

# Which part stays when something is cut off.
Anchor = Literal["center", "left", "right", "top", "bottom", "top-left", "top-right", "bottom-left", "bottom-right"]

# Width and height in px.
Size = tuple[int, int]


def fit_size(size: Size, box_size: Size, can_enlarge: bool) -> Size:
    """``size`` scaled to the largest that lies in ``box`` with its shape kept; never larger than it is unless ``enlarge``."""
    (width, height), (wide, high) = size, box_size
    if not can_enlarge and width <= wide and height <= high:
        return size
    if width * high >= height * wide:
        return wide, min(high, max(1, _divide_rounded(height * wide, width)))
    return min(wide, max(1, _divide_rounded(width * high, height))), high


def fill_size(size: Size, box_size: Size, can_enlarge: bool) -> tuple[Size, Size]:
    """To fill ``box``: the part of the picture that is kept (its size), and the size that part is brought to.

    Without ``enlarge`` a picture that is too small gives the largest of the box's shape that it has, at its own scale.
    """
    (width, height), (wide, high) = size, box_size
    if width * high >= height * wide:
        part = (min(width, max(1, _divide_rounded(height * wide, high))), height)
    else:
        part = (width, min(height, max(1, _divide_rounded(width * high, wide))))
    too_small = part[0] < wide or part[1] < high
    return part, part if too_small and not can_enlarge else box_size


def anchor_offset(size: Size, part_size: Size, anchor: Anchor) -> tuple[int, int]:
    """Left and top of a ``part`` cut out of ``size`` so that what lies at ``anchor`` stays."""
    spare_x, spare_y = size[0] - part_size[0], size[1] - part_size[1]
    left = 0 if "left" in anchor else spare_x if "right" in anchor else spare_x // 2
    top = 0 if "top" in anchor else spare_y if "bottom" in anchor else spare_y // 2
    return left, top


def scale_size(size: Size, factor: float) -> Size:
    """``size`` times ``factor``, rounded, at least one px a side."""
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _divide_rounded(numerator: int, denominator: int) -> int:
    """The quotient rounded half up, exact however large the numbers."""
    return (2 * numerator + denominator) // (2 * denominator)
