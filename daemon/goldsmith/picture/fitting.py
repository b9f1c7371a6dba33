"""Sizes: what a picture comes to in a box, and how much of it a box of another shape shows. Whole numbers only, no pixels."""

from __future__ import annotations

from typing import Literal

LONGEST_SIDE = 30000
MOST_PIXELS = 200_000_000

Anchor = Literal["center", "left", "right", "top", "bottom", "top-left", "top-right", "bottom-left", "bottom-right"]
"""Which part stays when something is cut off."""

Size = tuple[int, int]
"""Width and height in px."""


def fitted(size: Size, box: Size, enlarge: bool) -> Size:
    """``size`` scaled to the largest that lies in ``box`` with its shape kept; never larger than it is unless ``enlarge``."""
    (width, height), (wide, high) = size, box
    if not enlarge and width <= wide and height <= high:
        return size
    if width * high >= height * wide:
        return wide, min(high, max(1, _rounded(height * wide, width)))
    return min(wide, max(1, _rounded(width * high, height))), high


def filled(size: Size, box: Size, enlarge: bool) -> tuple[Size, Size]:
    """To fill ``box``: the part of the picture that is kept (its size), and the size that part is brought to.

    Without ``enlarge`` a picture that is too small gives the largest of the box's shape that it has, at its own scale.
    """
    (width, height), (wide, high) = size, box
    if width * high >= height * wide:
        part = (min(width, max(1, _rounded(height * wide, high))), height)
    else:
        part = (width, min(height, max(1, _rounded(width * high, wide))))
    too_small = part[0] < wide or part[1] < high
    return part, part if too_small and not enlarge else box


def corner(size: Size, part: Size, anchor: Anchor) -> tuple[int, int]:
    """Left and top of a ``part`` cut out of ``size`` so that what lies at ``anchor`` stays."""
    spare_x, spare_y = size[0] - part[0], size[1] - part[1]
    left = 0 if "left" in anchor else spare_x if "right" in anchor else spare_x // 2
    top = 0 if "top" in anchor else spare_y if "bottom" in anchor else spare_y // 2
    return left, top


def scaled(size: Size, factor: float) -> Size:
    """``size`` times ``factor``, rounded, at least one px a side."""
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _rounded(numerator: int, denominator: int) -> int:
    """The quotient rounded half up, exact however large the numbers."""
    return (2 * numerator + denominator) // (2 * denominator)
