"""Align a face upright in a square by its five landmarks, in the form that face models were trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.engines.drivers._tflite import RotatedSquare
from goldsmith.engines.vision import Points
from goldsmith.picture.picture import Pixels

# Positions of eyes, nose and corners of the mouth in a square of 112 px (Deng et al., "ArcFace", 2019).
_LANDMARK_TEMPLATE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
_TEMPLATE_SIDE = 112
# Models that generate faces take a wider crop: the same positions in a square of 128 px, moved right by 8 px.
_WIDE_TEMPLATE_SIDE = 128


def align_square(landmarks: Points, side: int, *, wide: bool = False) -> RotatedSquare:
    """Return the square of the picture whose upright crop brings the five landmarks, (5, 2) px, nearest to the template.

    wide: the template for models that generate faces.
    """
    transform = _estimate_similarity(_template_points(side, wide=wide), landmarks.astype(np.float64))
    along, across = transform[:, 0], transform @ np.array([side / 2, side / 2, 1.0])
    return RotatedSquare(float(across[0]), float(across[1]), float(np.hypot(*along)) * side, float(np.arctan2(along[1], along[0])))


def _template_points(side: int, *, wide: bool) -> NDArray[np.float64]:
    return (_LANDMARK_TEMPLATE + np.array([8.0, 0.0])) * side / _WIDE_TEMPLATE_SIDE if wide else _LANDMARK_TEMPLATE * side / _TEMPLATE_SIDE


def _estimate_similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (2, 3): the rotation, scale and shift without mirroring that bring the source points nearest to the target points (Umeyama
    1991, least squares).
    """
    x, y = source.T
    zeros, ones = np.zeros(len(source)), np.ones(len(source))
    rows = np.concatenate([np.stack([x, -y, ones, zeros], axis=1), np.stack([y, x, zeros, ones], axis=1)])
    a, b, left, top = np.linalg.lstsq(rows, np.concatenate([target[:, 0], target[:, 1]]), rcond=None)[0]
    return np.array([[a, -b, left], [b, a, top]])


def aligned_crop(pixels: Pixels, landmarks: Points, side: int, *, wide: bool = False) -> Pixels:
    """Return the upright face, (side, side, 3), 0..1, sRGB, from its five landmarks, (5, 2) px."""
    return align_square(landmarks, side, wide=wide).crop(pixels, side)
