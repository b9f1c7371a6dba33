"""Where to crop a picture: at one of nine fixed anchors, or round its subject or its faces. Plain numbers; nothing is detected here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Mask, Picture
from goldsmith.picture.size_fitting import Anchor, Size, anchor_offset

FoundAnchor = Literal["subject", "face"]
# A part of the picture that stays in a crop: a fixed one, or what is found there.
CropAnchor = Literal[Anchor, FoundAnchor]
# Left, top, width and height, in px.
PixelBox = tuple[float, float, float, float]
WholeBox = tuple[int, int, int, int]

# Detected boxes reach from brow to chin. These shares of their sides are added for hair, ears and chin.
_FACE_SIDE, _FACE_ABOVE, _FACE_BELOW = 0.2, 0.6, 0.15
# The share of the window above the middle of the faces: eyes lie a little above the middle.
_FACE_HEIGHT = 0.42
# A subject reaches from where this share of its matte lies before it to where as much lies behind it.
_SUBJECT_TAIL = 0.005
# A fainter part of a matte does not count.
_FAINT = 0.3
# The weights of what a crop keeps and cuts. Distances are shares of the window.
_SUBJECT_WEIGHT, _FACE_KEPT_WEIGHT, _FACE_CUT_WEIGHT, _DISTANCE_WEIGHT = 4.0, 4.0, 8.0, 1.0
# The share of the subject in the densest window with which a higher one is preferred, if no face is found.
_NEARLY_DENSEST = 0.8
# A face is cut if more than this share of its box is outside and more than this share inside.
_CUT_TOLERANCE = 0.05
# A subject of which less is kept is cut: more than an ear or the end of a tail is missing.
_MIN_SUBJECT_KEPT = 0.9


@dataclass(frozen=True, eq=False, slots=True)
class CropFocus:
    """What stays if a picture is cropped.

    subject: (h, w), 0..1, empty if there is none; faces: the detected boxes. Both are used only if ``anchor`` is ``subject`` or ``face``.
    """

    anchor: CropAnchor = "center"
    subject: Mask | None = None
    faces: tuple[PixelBox, ...] = ()

    @property
    def is_found(self) -> bool:
        """Whether the picture has what the anchor names; a fixed anchor is always there."""
        return self.anchor not in get_args(FoundAnchor) or bool(self.faces) or self._has_subject

    @property
    def _has_subject(self) -> bool:
        return self.subject is not None and bool(self.subject.any())

    def offset(self, size: Size, part_size: Size) -> tuple[int, int]:
        """Return the left and top of a part of ``part_size`` that is cropped out of ``size``, in px."""
        if self.anchor == "subject" or self.anchor == "face":
            across, down = (self._offset_along(axis, size[axis], part_size[axis]) for axis in (0, 1))
            return across, down
        return anchor_offset(size, part_size, self.anchor)

    def subject_kept(self, window: WholeBox) -> float:
        """Return the share of the subject, 0..1, in a window (left, top, width, height) in px; 1 without a subject."""
        if self.subject is None or not self._has_subject:
            return 1.0
        left, top, width, height = window
        kept = self.subject[top : top + height, left : left + width].sum(dtype=np.float64)
        return float(kept / self.subject.sum(dtype=np.float64))

    def cuts_subject(self, window: WholeBox) -> bool:
        """Return whether a window (left, top, width, height) in px keeps too little of the subject and no whole face of it.

        A portrait keeps its face and not its feet. Where there is no face, an animal's head may be in the part that is cut off.
        """
        left, top, width, height = window
        has_face = any(
            left <= x and top <= y and x + face_width <= left + width and y + face_height <= top + height
            for x, y, face_width, face_height in self.faces
        )
        return not has_face and self.subject_kept(window) < _MIN_SUBJECT_KEPT

    def _offset_along(self, axis: int, length: int, part: int) -> int:
        """Return the best start of a window of ``part`` px on the axis (0 = x) of ``length`` px."""
        spare = length - part
        starts = np.arange(spare + 1)
        if spare == 0:
            return 0
        profile = np.zeros(length) if self.subject is None else _certain(self.subject).sum(axis=axis, dtype=np.float64)
        kept = np.concatenate([[0.0], profile.cumsum()])
        total = kept[-1]
        spans = [_head_span(face, axis, length, part) for face in self.faces]
        weights = [width * height for _, _, width, height in self.faces]
        score = np.zeros(spare + 1)
        if total > 0:
            score += (_SUBJECT_WEIGHT if self.anchor == "subject" else 1.0) * (kept[starts + part] - kept[starts]) / total
        for (start, end), weight in zip(spans, weights, strict=True):
            share = weight / max(weights)
            is_kept = (starts <= start) & (starts + part >= end)
            is_cut = ~is_kept & (starts < end) & (starts + part > start)
            score += share * (_FACE_KEPT_WEIGHT * is_kept - _FACE_CUT_WEIGHT * is_cut)
        target = self._target_start(axis, part, kept, spans, weights)
        if target is None:
            return spare // 2
        if not spans:
            return round(min(max(target, 0.0), float(spare)))
        score -= _DISTANCE_WEIGHT * np.abs(starts - min(max(target, 0.0), float(spare))) / part
        return int(np.argmax(score))

    def _target_start(
        self, axis: int, part: int, kept: NDArray[np.float64], spans: Sequence[tuple[float, float]], weights: Sequence[float]
    ) -> float | None:
        """Return where the window would start if nothing stood in its way, in px; None without a subject and faces.

        A subject that fits is centred. Else the largest faces that fit together are, a little above the middle.
        """
        if kept[-1] > 0:
            start, end = (float(np.searchsorted(kept, share * kept[-1])) for share in (_SUBJECT_TAIL, 1 - _SUBJECT_TAIL))
            fits = end - start <= part
            if (fits and self.anchor == "subject") or not spans:
                return (start + end - part) / 2 if fits else self._densest_start(axis, part, kept)
        if not spans:
            return None
        by_size = sorted(range(len(spans)), key=lambda number: -weights[number])
        first, last = spans[by_size[0]]
        for number in by_size[1:]:
            grown = min(first, spans[number][0]), max(last, spans[number][1])
            if grown[1] - grown[0] <= part:
                first, last = grown
        return (first + last) / 2 - (_FACE_HEIGHT if axis == 1 else 0.5) * part

    def _densest_start(self, axis: int, part: int, kept: NDArray[np.float64]) -> float:
        """Return the start of the window of ``part`` px with the most of the subject; of equal ones the middle one.

        Heads are at the top, so of heights (axis 1) the highest with nearly as much.
        """
        inside = kept[part:] - kept[:-part]
        if axis == 1:
            return float(np.argmax(inside >= inside.max() * _NEARLY_DENSEST))
        best = np.flatnonzero(inside >= inside.max() * (1 - 1e-9))
        return float(best[len(best) // 2])


def crop_to_part(picture: Picture, part_size: Size, focus: CropFocus) -> tuple[Picture, WholeBox | None]:
    """Return the part of the picture that stays, and its left, top, width and height in px; the picture itself and None if all of it does.

    Alpha and masks are cropped with it.
    """
    if part_size == (picture.width, picture.height):
        return picture, None
    left, top = focus.offset((picture.width, picture.height), part_size)
    rows, columns = slice(top, top + part_size[1]), slice(left, left + part_size[0])
    return picture.with_geometry(picture.pixels[rows, columns], lambda mask: mask[rows, columns]), (left, top, *part_size)


def count_cut_faces(faces: Sequence[PixelBox], window: PixelBox) -> int:
    """Return how many of the faces, boxes in px, lie partly inside and partly outside a window of the picture."""
    count = 0
    for left, top, width, height in faces:
        across = min(left + width, window[0] + window[2]) - max(left, window[0])
        down = min(top + height, window[1] + window[3]) - max(top, window[1])
        inside = max(0.0, across) * max(0.0, down) / max(width * height, 1e-9)
        count += _CUT_TOLERANCE < inside < 1 - _CUT_TOLERANCE
    return count


def _certain(subject: Mask) -> Mask:
    """Return the matte (h, w), 0..1, with 0 where it is faint: a haze over the whole picture is not the subject."""
    return np.where(subject > _FAINT, subject, np.float32(0))


def _head_span(face: PixelBox, axis: int, length: int, part: int) -> tuple[float, float]:
    """Return the first and last px, on the axis (0 = x) of ``length`` px, of what a window of ``part`` px shall show of a face.

    It is the whole head if that fits, else the face with less hair and chin, else the part of the face round the eyes.
    """
    before, behind = (_FACE_ABOVE, _FACE_BELOW) if axis == 1 else (_FACE_SIDE, _FACE_SIDE)
    start, side = face[axis], max(face[axis + 2], 1e-6)
    if side > part:
        middle = start + (_FACE_HEIGHT if axis == 1 else 0.5) * side
        first = float(min(max(0, round(middle - part / 2)), length - part))
        return first, first + part
    share = min(1.0, (part - side) / (side * (before + behind)))
    first = max(0.0, math.floor(start - share * before * side))
    return first, min(float(length), first + part, math.ceil(start + (1 + share * behind) * side))
