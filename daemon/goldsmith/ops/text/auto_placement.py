"""Finding the place for a block of text in a picture: beside the subject, never over a face, on a calm and legible ground.

All maps are small copies of the picture, so the cost does not depend on its size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.engines.vision import Face
from goldsmith.ops.text.layout import PlacedText, Rect, Typesetter
from goldsmith.ops.text.wcag_contrast import contrast_ratio, relative_luminance
from goldsmith.picture.picture import Mask, Picture

# The part of a matte that counts as the subject, 0..1.
_HALF_SUBJECT = 0.5
# px of the longer side of the maps.
_MAP_SIDE = 256
# A face box is grown by this share of its size on each side: hair, chin and ears belong to the face.
_FACE_MARGIN = 0.25
# em. The ground is judged this far round the letters too, and the subject this far.
_MARGIN_EM = 0.3
_SUBJECT_MARGIN_EM = 0.7
# Positions tried across and down.
_STEPS = 32
# Shares of the area's width in which the text is wrapped, to find a column beside the subject.
_COLUMN_SHARES = (1.0, 0.75, 0.6, 0.5, 0.42, 0.34, 0.27)
# The area is divided into this many parts across and down to find the largest text that fits.
_FIT_PARTS = 8
_FIT_TRIALS = 12
# Text with more than this share of its ground below the contrast that the step requires would be held.
_MAX_LOW_CONTRAST = 0.05
# The maps average fine texture, so they ask for this much more contrast than the step.
_CONTRAST_RESERVE = 1.2
# The weights of the parts of the cost, each part 0..1.
_SUBJECT_WEIGHT = 6.0
_CORE_WEIGHT = 3.0
_CONTRAST_WEIGHT = 1.5
_HELD_WEIGHT = 3.0
_BUSY_WEIGHT = 1.0
_DISTANCE_WEIGHT = 0.5
_BREAK_WEIGHT = 0.06
# Text that covers less of a subject than this lies beside it: mattes have soft rims.
MAX_SUBJECT_COVERED = 0.04
# Text of which more than this lies on the subject is told to a person.
MAX_UNTOLD_SUBJECT = 0.25


class TextPlacement(NamedTuple):
    """A placed block, and the shares, 0..1, of its box and a margin that cover the subject and a face."""

    text: PlacedText
    subject_covered: float
    face_covered: float


@dataclass(frozen=True, eq=False, slots=True)
class GroundMaps:
    """Integral images (h + 1, w + 1) of small maps of the picture, 0..1. ``scale``: px of the map for one px of the picture, x and y.

    ``core``: how deep in the subject a pixel lies, as a share of the deepest: text at its rim does less harm than in its middle.
    ``low_contrast``: pixels on which the letters have less contrast than the step requires, one map for each colour that they may have.
    """

    scale: tuple[float, float]
    subject: NDArray[np.float64]
    core: NDArray[np.float64]
    faces: NDArray[np.float64]
    busy: NDArray[np.float64]
    low_contrast: tuple[NDArray[np.float64], ...]

    def share(self, integral: NDArray[np.float64], box: Rect) -> float:
        """Return the mean, 0..1, of a map whose integral image is (h + 1, w + 1), in a box of the picture, in px, cut to the picture."""
        height, width = integral.shape[0] - 1, integral.shape[1] - 1
        left = min(width - 1, max(0, math.floor(box[0] * self.scale[0])))
        top = min(height - 1, max(0, math.floor(box[1] * self.scale[1])))
        right = min(width, max(left + 1, math.ceil((box[0] + box[2]) * self.scale[0])))
        bottom = min(height, max(top + 1, math.ceil((box[1] + box[3]) * self.scale[1])))
        total = integral[bottom, right] - integral[top, right] - integral[bottom, left] + integral[top, left]
        return float(total / ((right - left) * (bottom - top)))


def make_ground_maps(
    picture: Picture, subject: Mask, faces: Sequence[Face], letter_luminances: Sequence[float], min_contrast: float
) -> GroundMaps:
    """Return the maps of a picture.

    ``subject``: (h, w), 0..1. ``letter_luminances``: those of the colours that the letters may have, 0..1. ``min_contrast``: a WCAG ratio;
    0 = the ground need give none.
    """
    import cv2

    factor = min(1.0, _MAP_SIDE / max(picture.width, picture.height))
    size = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
    small = cv2.resize(picture.pixels, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], picture.channels)
    luminance = relative_luminance(np.asarray(small, np.float32).reshape(-1, picture.channels), picture.icc).reshape(size[1], size[0])
    lightness = np.cbrt(luminance).astype(np.float32)
    across, down = cv2.Sobel(lightness, cv2.CV_32F, 1, 0), cv2.Sobel(lightness, cv2.CV_32F, 0, 1)
    face_map = np.zeros((size[1], size[0]), np.float32)
    scale = size[0] / picture.width, size[1] / picture.height
    for face in faces:
        x, y, width, height = face.box
        if min(width, height) < 1:
            continue  # less than a pixel
        top, bottom = (y - _FACE_MARGIN * height) * scale[1], (y + (1 + _FACE_MARGIN) * height) * scale[1]
        left, right = (x - _FACE_MARGIN * width) * scale[0], (x + (1 + _FACE_MARGIN) * width) * scale[0]
        face_map[max(0, math.floor(top)) : max(0, math.ceil(bottom)), max(0, math.floor(left)) : max(0, math.ceil(right))] = 1
    least = _CONTRAST_RESERVE * min_contrast
    low_contrast = tuple(_integral(contrast_ratio(np.full(luminance.shape, light), luminance) < least) for light in letter_luminances)
    subject_map = cv2.resize(np.asarray(subject, np.float32), size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0])
    busy = np.clip(np.hypot(across, down) / 0.5, 0, 1)
    return GroundMaps(scale, _integral(subject_map), _integral(_depth(subject_map)), _integral(face_map), _integral(busy), low_contrast)


def _depth(subject: Mask) -> Mask:
    """Return how far each pixel lies inside the subject (h, w), 0..1, as a share of the largest distance; the frame ends it too."""
    import cv2

    inside = np.pad((subject > _HALF_SUBJECT).astype(np.uint8), 1)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
    return np.asarray(distance / max(float(distance.max()), 1.0), np.float32)


def place_beside_subject(typesetter: Typesetter, maps: GroundMaps, area: Rect, preferred: Rect, size: float) -> TextPlacement | None:
    """Return the text at ``size`` px at the best place of ``area``, or None if it fits nowhere in it.

    Faces are avoided first, then the subject, then poor contrast and busy ground. Of equal places the one nearest to ``preferred`` wins.
    If the subject is everywhere, the text goes to its rim.
    """
    best: tuple[tuple[float, ...], TextPlacement] | None = None
    known: set[tuple[str, ...]] = set()
    for share in _COLUMN_SHARES:
        column = (area[0], area[1], area[2] * share, area[3])
        placed = typesetter.set_at_size(size, column, align_ink=True)
        if placed is None or placed.block.lines in known:
            continue
        known.add(placed.block.lines)
        for moved in _positions(placed, area):
            placement, cost = _judge(moved, maps, preferred, area)
            breaks = _BREAK_WEIGHT * (len(moved.block.lines) - 1)
            key = (round(placement.face_covered, 3), round(cost + breaks, 5))
            if best is None or key < best[0]:
                best = key, placement
    return None if best is None else best[1]


def place_largest_beside_subject(
    typesetter: Typesetter, maps: GroundMaps, area: Rect, preferred: Rect, max_size: float
) -> TextPlacement | None:
    """Return the text at the largest size up to ``max_size`` px that fits beside subject and faces; None if it fits nowhere."""
    boxes = _largest_free_boxes(maps, area, must_be_legible=True) or _largest_free_boxes(maps, area, must_be_legible=False) or [area]
    best: tuple[tuple[float, ...], TextPlacement] | None = None
    for box in boxes:
        placed = typesetter.set_largest(box, max_size)
        if placed is None:
            continue
        placement, cost = _judge(placed, maps, preferred, area)
        key = (round(placement.face_covered, 3), -math.floor(8 * math.log2(placed.size)), round(cost, 5))
        if best is None or key < best[0]:
            best = key, placement
    return None if best is None else best[1]


def _positions(placed: PlacedText, area: Rect) -> Iterator[PlacedText]:
    """Yield the block at every position of a grid over the area, its edges included."""
    spare_x, spare_y = max(0.0, area[2] - placed.ink_box[2]), max(0.0, area[3] - placed.ink_box[3])
    for row in range(_STEPS + 1):
        for column in range(_STEPS + 1):
            across = area[0] + spare_x * column / _STEPS - placed.ink_box[0]
            down = area[1] + spare_y * row / _STEPS - placed.ink_box[1]
            yield _moved(placed, across, down)


def _moved(placed: PlacedText, across: float, down: float) -> PlacedText:
    left, top, width, height = placed.ink_box
    return replace(placed, origin=(placed.origin[0] + across, placed.origin[1] + down), ink_box=(left + across, top + down, width, height))


def _judge(placed: PlacedText, maps: GroundMaps, preferred: Rect, area: Rect) -> tuple[TextPlacement, float]:
    """Return the placement with the shares that it covers, and its cost."""
    left, top, width, height = placed.ink_box
    ground, near = (
        (left - margin, top - margin, width + 2 * margin, height + 2 * margin)
        for margin in (_MARGIN_EM * placed.size, _SUBJECT_MARGIN_EM * placed.size)
    )
    subject, faces = maps.share(maps.subject, near), maps.share(maps.faces, ground)
    low_contrast = min(maps.share(each, ground) for each in maps.low_contrast)
    distance = math.hypot(
        (left + width / 2 - preferred[0] - preferred[2] / 2) / area[2], (top + height / 2 - preferred[1] - preferred[3] / 2) / area[3]
    )
    cost = (
        _SUBJECT_WEIGHT * max(0.0, subject - MAX_SUBJECT_COVERED)
        + _CORE_WEIGHT * maps.share(maps.core, ground)
        + _CONTRAST_WEIGHT * low_contrast
        + _HELD_WEIGHT * min(1.0, low_contrast / _MAX_LOW_CONTRAST)
        + _BUSY_WEIGHT * maps.share(maps.busy, ground)
        + _DISTANCE_WEIGHT * distance
    )
    return TextPlacement(placed, subject, faces), cost


def _largest_free_boxes(maps: GroundMaps, area: Rect, must_be_legible: bool) -> list[Rect]:
    """Return boxes of a grid over the area that hold no face and next to nothing of the subject, the largest first, none within another.

    With ``must_be_legible`` letters of one colour have enough contrast nearly everywhere in each box.
    """
    left, top, width, height = area
    spans = [(start, end) for start in range(_FIT_PARTS) for end in range(start + 1, _FIT_PARTS + 1)]
    cells = sorted(
        ((rows, columns) for rows in spans for columns in spans),
        key=lambda cell: -(cell[0][1] - cell[0][0]) * (cell[1][1] - cell[1][0]),
    )
    kept: list[tuple[tuple[int, int], tuple[int, int]]] = []
    boxes: list[Rect] = []
    for rows, columns in cells:
        if any(_contains(other[0], rows) and _contains(other[1], columns) for other in kept):
            continue
        box = (
            left + width * columns[0] / _FIT_PARTS,
            top + height * rows[0] / _FIT_PARTS,
            width * (columns[1] - columns[0]) / _FIT_PARTS,
            height * (rows[1] - rows[0]) / _FIT_PARTS,
        )
        if maps.share(maps.faces, box) > 0 or maps.share(maps.subject, box) > MAX_SUBJECT_COVERED:
            continue
        if must_be_legible and min(maps.share(each, box) for each in maps.low_contrast) > _MAX_LOW_CONTRAST:
            continue
        kept.append((rows, columns))
        boxes.append(box)
    return boxes[:_FIT_TRIALS]


def _contains(outer: tuple[int, int], inner: tuple[int, int]) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def _integral(plane: NDArray[np.bool_] | NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.float64]:
    return np.pad(np.asarray(plane, np.float64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
