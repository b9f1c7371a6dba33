"""Compute sizes: how a picture fits into a box or fills it. Whole numbers only, no pixels."""

from __future__ import annotations

from typing import Literal

MAX_SIDE = 30000
MAX_PIXELS = 200_000_000

# The part that stays if a picture is cropped.
Anchor = Literal["center", "left", "right", "top", "bottom", "top-left", "top-right", "bottom-left", "bottom-right"]

# Width and height in px.
Size = tuple[int, int]


def fit_size(size: Size, box_size: Size, can_enlarge: bool) -> Size:
    """Return ``size`` scaled to the largest size with its ratio inside ``box_size``; never larger than itself unless ``can_enlarge``."""
    (width, height), (wide, high) = size, box_size
    if not can_enlarge and width <= wide and height <= high:
        return size
    if width * high >= height * wide:
        return wide, min(high, max(1, _divide_rounded(height * wide, width)))
    return min(wide, max(1, _divide_rounded(width * high, height))), high


def fill_size(size: Size, box_size: Size, can_enlarge: bool) -> tuple[Size, Size]:
    """Return, to fill ``box_size``: the size of the part of the picture that is kept, and the size that part is scaled to.

    Without ``can_enlarge``, a picture that is too small gives its largest part with the box's ratio, at its own scale.
    """
    (width, height), (wide, high) = size, box_size
    if width * high >= height * wide:
        part = (min(width, max(1, _divide_rounded(height * wide, high))), height)
    else:
        part = (width, min(height, max(1, _divide_rounded(width * high, wide))))
    too_small = part[0] < wide or part[1] < high
    return part, part if too_small and not can_enlarge else box_size


def anchor_offset(size: Size, part_size: Size, anchor: Anchor) -> tuple[int, int]:
    """Return the left and top of a part cropped out of ``size`` so that the part at ``anchor`` stays."""
    spare_x, spare_y = size[0] - part_size[0], size[1] - part_size[1]
    left = 0 if "left" in anchor else spare_x if "right" in anchor else spare_x // 2
    top = 0 if "top" in anchor else spare_y if "bottom" in anchor else spare_y // 2
    return left, top


def scale_size(size: Size, factor: float) -> Size:
    """Return ``size`` times ``factor``, rounded, at least one px a side."""
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _divide_rounded(numerator: int, denominator: int) -> int:
    """Return the quotient rounded half up, exact however large the numbers are."""
    return (2 * numerator + denominator) // (2 * denominator)
