"""Choose one of several faces by its position, and render a picture that numbers them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from goldsmith.picture.picture import Mask, Pixels, quantise
from goldsmith.picture.resample import resize

FaceChoice = Literal["largest", "leftmost", "rightmost", "center"]
# x, y, width and height in px.
FaceRect = tuple[float, float, float, float]

# A face so many times larger in area than any other is the main face.
_MAIN_FACE_RATIO = 4.0
# At least this share of a face must lie in the region for the face to be chosen.
_MIN_SHARE_IN_REGION = 0.5
# px of the longer side of the numbered picture.
_PREVIEW_SIDE = 1600
_BOX_COLOUR = (255, 0, 255)


def boxes_in_region(boxes: Sequence[FaceRect], region: Mask) -> list[int]:
    """Return the indices of the boxes with at least half their area in the region (h, w), 0..1."""
    return [number for number, box in enumerate(boxes) if _share_in_region(box, region) >= _MIN_SHARE_IN_REGION]


def left_to_right(boxes: Sequence[FaceRect]) -> list[int]:
    """Return the indices of the boxes from left to right by their centres: the first is number 1."""
    return sorted(range(len(boxes)), key=lambda number: (boxes[number][0] + boxes[number][2] / 2, boxes[number][1]))


def choose_face(boxes: Sequence[FaceRect], which: FaceChoice | int | None, middle: tuple[float, float]) -> int | None:
    """Return the index of the chosen box, or None if that number does not exist, or if none was chosen and no face is clearly the main one.

    ``middle`` is the picture's centre in px.
    """
    order = left_to_right(boxes)
    if isinstance(which, int):
        return order[which - 1] if which <= len(order) else None
    by_area = sorted(range(len(boxes)), key=lambda number: -_area(boxes[number]))
    if which is None:
        is_main = len(boxes) == 1 or (len(boxes) > 1 and _area(boxes[by_area[0]]) >= _MAIN_FACE_RATIO * _area(boxes[by_area[1]]))
        return by_area[0] if is_main else None
    if not boxes:
        return None
    central = min(range(len(boxes)), key=lambda number: _distance(boxes[number], middle))
    return {"largest": by_area[0], "leftmost": order[0], "rightmost": order[-1], "center": central}[which]


def draw_numbered_boxes(pixels: Pixels, boxes: Sequence[FaceRect]) -> Pixels:
    """Return the picture (h, w, 3), 0..1, display-encoded, reduced if it is large, with a frame and a number on each face, counted from the
    left.
    """
    import cv2

    shrink = min(1.0, _PREVIEW_SIDE / max(pixels.shape[:2]))
    high, wide = (max(1, round(side * shrink)) for side in pixels.shape[:2])
    preview = quantise(resize(pixels, high, wide, "area") if shrink < 1 else pixels, 8)
    thickness = max(1, round(max(high, wide) / 400))
    for number, index in enumerate(left_to_right(boxes), 1):
        x, y, w, h = (side * shrink for side in boxes[index])
        cv2.rectangle(preview, (round(x), round(y)), (round(x + w), round(y + h)), _BOX_COLOUR, thickness)
        font_scale = max(h / 60, 0.4)
        cv2.putText(
            preview,
            str(number),
            (round(x + thickness), round(y + h - 2 * thickness)),
            cv2.FONT_HERSHEY_SIMPLEX,
            font_scale,
            _BOX_COLOUR,
            thickness,
        )
    return np.asarray(preview, np.float32) / np.float32(255)


def _area(box: FaceRect) -> float:
    return box[2] * box[3]


def _distance(box: FaceRect, middle: tuple[float, float]) -> float:
    return float(np.hypot(box[0] + box[2] / 2 - middle[0], box[1] + box[3] / 2 - middle[1]))


def _share_in_region(box: FaceRect, region: Mask) -> float:
    height, width = region.shape
    left, top = (min(max(0, round(low)), length - 1) for low, length in ((box[0], width), (box[1], height)))
    right, bottom = (
        min(length, max(start + 1, round(end))) for start, end, length in ((left, box[0] + box[2], width), (top, box[1] + box[3], height))
    )
    return float(region[top:bottom, left:right].mean())
