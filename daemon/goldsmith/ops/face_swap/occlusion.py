"""Estimate which pixels of a face are hidden by hair, the brim of a hat or a dark rim of glasses.

The estimate uses colour, so it is never certain.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.face_swap.face_parts import FaceParts
from goldsmith.ops.face_swap.relighting import Lab, to_lab
from goldsmith.picture.distance_transform import distance_transform
from goldsmith.picture.linear_light import LinearLight
from goldsmith.picture.picture import Mask, Pixels
from goldsmith.picture.smoothing import gaussian_blur, pull_push_fill, resize_values

# Size of the face in px at which skin is classified.
_WORKING_SIZE = 128
# L*, and a* and b* together: a pixel that differs more from the skin around it is not skin.
_MAX_DARKER, _MAX_LIGHTER, _MAX_CHROMA_DIFFERENCE = 16.0, 30.0, 15.0
# How far an occluding object extends beyond its detected area, also across a brow; and the softness of its edge.
_GROWTH, _EDGE_SOFTNESS = 0.03, 0.02
_ITERATIONS = 3


def visibility_mask(pixels: Pixels, parts: FaceParts, light: LinearLight) -> Mask:
    """Return the visibility of each pixel of a face (h, w, c), 0..1, display-encoded, as (h, w), 0..1: 1 for bare skin and features, 0 for
    an occluding object.

    Pixels that resemble the middle of the cheeks and the nose are skin, and so are pixels that merge smoothly with them. Other pixels
    count as occluding only if they are connected to the outline of the face; eyes, brows and lips never do.
    """
    height, width = parts.inside.shape
    shrink = min(1.0, _WORKING_SIZE / parts.size)
    high, wide = max(1, round(height * shrink)), max(1, round(width * shrink))
    small = to_lab(np.clip(resize_values(pixels, high, wide), 0, 1), light)
    is_inside, trust = resize_values(parts.inside, high, wide) > 0.5, resize_values(parts.reliable_skin, high, wide)
    if not is_inside.any() or trust.max() <= 0:
        return np.ones((height, width), np.float32)
    difference = np.zeros((high, wide), np.float32)
    for _ in range(_ITERATIONS):
        difference = _skin_difference(small, _extend_skin_tone(small, trust, parts.size * shrink))
        trust = np.where(is_inside, 1 / (1 + difference**6), 0).astype(np.float32)
    occluded = _touching_outline(is_inside & (difference > 1) & (resize_values(parts.features, high, wide) < 0.5), is_inside)
    occluded = _dilate(occluded, _GROWTH * parts.size * shrink)
    clear = 1 - gaussian_blur(occluded.astype(np.float32), max(_EDGE_SOFTNESS * parts.size * shrink, 0.3))
    return np.clip(resize_values(np.clip(2 * clear - 1, 0, 1).astype(np.float32), height, width), 0.0, 1.0)


def _extend_skin_tone(lab: Lab, trusted: Mask, size: float) -> Lab:
    """Return the broad tones of the skin, extended from where it is visible to everywhere."""
    sigma = max(0.12 * size, 0.3)
    weight = gaussian_blur(trusted, sigma)
    mean = gaussian_blur(lab * trusted[:, :, None], sigma) / np.maximum(weight, np.float32(1e-5))[:, :, None]
    return pull_push_fill(mean.astype(np.float32), np.clip(weight / 0.2, 0, 1).astype(np.float32))


def _skin_difference(lab: Lab, skin: Lab) -> Mask:
    """Return the difference of each pixel from the skin around it; more than 1 is not skin."""
    difference = lab - skin
    lightness = difference[:, :, 0] / np.where(difference[:, :, 0] < 0, np.float32(_MAX_DARKER), np.float32(_MAX_LIGHTER))
    chroma = np.linalg.norm(difference[:, :, 1:], axis=2) / np.float32(_MAX_CHROMA_DIFFERENCE) if lab.shape[2] == 3 else 0
    return np.asarray(np.hypot(lightness, chroma), np.float32)


def _touching_outline(occluded: NDArray[np.bool_], within: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the parts of ``occluded`` that touch the outside of ``within``."""
    import cv2

    _, numbers = cv2.connectedComponents(occluded.astype(np.uint8), connectivity=8)
    rim = within & (cv2.erode(within.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0)
    reaching = np.unique(numbers[rim & occluded])
    return np.asarray(np.isin(numbers, reaching[reaching > 0]))


def _dilate(occluded: NDArray[np.bool_], px: float) -> NDArray[np.bool_]:
    return np.asarray(distance_transform(~occluded) <= px, np.bool_) if occluded.any() else occluded
