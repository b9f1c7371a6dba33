"""Masks of the parts of one face: the whole face, the features, and reliable skin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from goldsmith.ops.face_swap.landmarks import (
    BROWS,
    CHEEKS,
    EYES,
    FACE_POINT_COUNT,
    LIPS,
    NOSE,
    OUTLINE,
    Landmarks,
    face_size,
)
from goldsmith.picture.crop_planning import CropBox
from goldsmith.picture.distance_transform import distance_transform
from goldsmith.picture.outline_masks import convex_hull, outlines_to_mask
from goldsmith.picture.picture import Mask

# Subpixel bits of the drawn outline.
_SUBPIXEL_BITS = 4
# How far the box extends beyond the face, as a share of its size.
_BOX_MARGIN = 0.05
# How far parts extend beyond their landmarks, as shares of the face's size.
_EYE_MARGIN, _LIP_MARGIN, _NOSE_MARGIN = 0.04, 0.05, 0.04


@dataclass(frozen=True, eq=False)
class FaceParts:
    """The parts of the face with that mesh, within the box; each mask is (h, w) of the box, 0..1."""

    mesh: Landmarks
    box: CropBox

    @cached_property
    def size(self) -> float:
        """The size of the face in px, never 0."""
        return max(face_size(self.mesh), 1.0)

    @cached_property
    def depth(self) -> Mask:
        """The distance of each pixel from the outline, (h, w) of the box, in px; 0 outside."""
        import cv2

        outline = np.round((self._local_landmarks(OUTLINE) + 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32)
        filled = np.zeros((self.box.height + 2, self.box.width + 2), np.uint8)
        cv2.fillPoly(filled, [outline], 1, lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)
        return distance_transform(filled)[1:-1, 1:-1]

    @cached_property
    def inside(self) -> Mask:
        """The inside of the outline, (h, w) of the box, 0..1."""
        return np.asarray(self.depth > 0, np.float32)

    @cached_property
    def features(self) -> Mask:
        """The eyes with their brows, and the lips, (h, w) of the box, 0..1."""
        eyes = [convex_hull(self._local_landmarks((*eye, *brow))) for eye, brow in zip(EYES, BROWS, strict=True)]
        grown = [(eye, _EYE_MARGIN * self.size, 1.0) for eye in eyes]
        return self._draw_mask([*grown, (self._local_landmarks(LIPS), _LIP_MARGIN * self.size, 1.0)])

    @cached_property
    def eyes(self) -> Mask:
        """The area between the eyelids, (h, w) of the box, 0..1."""
        return self._draw_mask([(self._local_landmarks(eye), 0.0, 1.0) for eye in EYES])

    @cached_property
    def reliable_skin(self) -> Mask:
        """The middle of the cheeks and the bridge of the nose, (h, w) of the box, 0..1."""
        return self._draw_mask(
            [*((self._local_landmarks(cheek), 0.0, 1.0) for cheek in CHEEKS), (self._local_landmarks(NOSE), _NOSE_MARGIN * self.size, 1.0)]
        )

    def _local_landmarks(self, numbers: Sequence[int]) -> Landmarks:
        """Return some of its landmarks, in px of the box."""
        return np.asarray(self.mesh[list(numbers)] - np.array([self.box.left, self.box.top]), np.float32)

    def _draw_mask(self, outlines: Sequence[tuple[Landmarks, float, float]]) -> Mask:
        return outlines_to_mask(self.box.height, self.box.width, outlines)


def face_box(mesh: Landmarks, height: int, width: int) -> CropBox:
    """Return the box around a face with that mesh, (468, 2) px, clipped to a picture of that size; never empty."""
    margin = _BOX_MARGIN * face_size(mesh) + 2
    (left, top), (right, bottom) = (mesh[:FACE_POINT_COUNT].min(axis=0) - margin), (mesh[:FACE_POINT_COUNT].max(axis=0) + margin)
    first = min(max(0, math.floor(top)), height - 1), min(max(0, math.floor(left)), width - 1)
    return CropBox(*first, max(first[0] + 1, min(height, math.ceil(bottom))), max(first[1] + 1, min(width, math.ceil(right))))
