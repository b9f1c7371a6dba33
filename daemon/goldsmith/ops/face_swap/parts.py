"""The parts of one face as masks: all of it, the features that are no skin, and what is skin for sure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from goldsmith.ops.face_swap.points import (
    BROWS,
    CHEEKS,
    EYES,
    FACE,
    LIPS,
    NOSE,
    OUTLINE,
    Points,
    size_of,
)
from goldsmith.picture.distance_transform import away
from goldsmith.picture.patches import Box
from goldsmith.picture.picture import Mask
from goldsmith.picture.spots import hull, spots

_FINE = 4
"""Bits below one px at which the outline is drawn."""
_ROOM = 0.05
"""How far beyond the face its box reaches, as a part of its size."""
_ROUND_EYES, _ROUND_LIPS, _ROUND_NOSE = 0.04, 0.05, 0.04
"""How far parts reach beyond their points, as parts of the face's size."""


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of the face with that mesh, in the box; each mask is (h, w) of the box, 0..1."""

    mesh: Points
    box: Box

    @cached_property
    def size(self) -> float:
        """How large the face is, px; never nothing."""
        return max(size_of(self.mesh), 1.0)

    @cached_property
    def depth(self) -> Mask:
        """How far inside its outline each pixel lies, px; 0 outside."""
        import cv2

        outline = np.round((self._own(OUTLINE) + 0.5) * 2**_FINE).astype(np.int32)
        drawn = np.zeros((self.box.height + 2, self.box.width + 2), np.uint8)
        cv2.fillPoly(drawn, [outline], 1, lineType=cv2.LINE_8, shift=_FINE)
        return away(drawn)[1:-1, 1:-1]

    @cached_property
    def inside(self) -> Mask:
        """1 within the outline."""
        return np.asarray(self.depth > 0, np.float32)

    @cached_property
    def features(self) -> Mask:
        """Eyes with their brows, and lips."""
        eyes = [hull(self._own((*eye, *brow))) for eye, brow in zip(EYES, BROWS, strict=True)]
        grown = [(eye, _ROUND_EYES * self.size, 1.0) for eye in eyes]
        return self._spots([*grown, (self._own(LIPS), _ROUND_LIPS * self.size, 1.0)])

    @cached_property
    def eyes(self) -> Mask:
        """Between the lids."""
        return self._spots([(self._own(eye), 0.0, 1.0) for eye in EYES])

    @cached_property
    def firm(self) -> Mask:
        """The middle of the cheeks and the nose's back."""
        return self._spots([*((self._own(cheek), 0.0, 1.0) for cheek in CHEEKS), (self._own(NOSE), _ROUND_NOSE * self.size, 1.0)])

    def _own(self, numbers: Sequence[int]) -> Points:
        """Some of its points, in px of the box."""
        return np.asarray(self.mesh[list(numbers)] - np.array([self.box.left, self.box.top]), np.float32)

    def _spots(self, outlines: Sequence[tuple[Points, float, float]]) -> Mask:
        return spots(self.box.height, self.box.width, outlines)


def box_of(mesh: Points, height: int, width: int) -> Box:
    """The box round a face, as far as it lies in a picture of that size; never empty."""
    room = _ROOM * size_of(mesh) + 2
    (left, top), (right, bottom) = (mesh[:FACE].min(axis=0) - room), (mesh[:FACE].max(axis=0) + room)
    first = min(max(0, math.floor(top)), height - 1), min(max(0, math.floor(left)), width - 1)
    return Box(*first, max(first[0] + 1, min(height, math.ceil(bottom))), max(first[1] + 1, min(width, math.ceil(right))))
