"""A face brought upright into a square by its five points, as nets for faces were trained on them, and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.engines.drivers._task import Square
from goldsmith.engines.vision import Points
from goldsmith.picture.picture import Pixels

_PLACES = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
"""Where eyes, nose and corners of the mouth lie in a square of 112 px (Deng et al., "ArcFace", 2019)."""
_SIDE = 112
_WIDER = 128
"""Nets that draw faces look at a little more at the left and right: the same places in a square of 128 px, 8 px further in."""


def squared(points: Points, side: int, *, wider: bool = False) -> Square:
    """The square of the picture in which the five points come nearest to their places; ``wider`` as nets that draw faces want it."""
    turned = _similarity(_places(side, wider=wider), points.astype(np.float64))
    along, across = turned[:, 0], turned @ np.array([side / 2, side / 2, 1.0])
    return Square(float(across[0]), float(across[1]), float(np.hypot(*along)) * side, float(np.arctan2(along[1], along[0])))


def _places(side: int, *, wider: bool) -> NDArray[np.float64]:
    return (_PLACES + np.array([8.0, 0.0])) * side / _WIDER if wider else _PLACES * side / _SIDE


def _similarity(given: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2, 3): turn, scale and shift without mirroring that carry points nearest to others (Umeyama 1991, least squares)."""
    x, y = given.T
    zero, one = np.zeros(len(given)), np.ones(len(given))
    rows = np.concatenate([np.stack([x, -y, one, zero], axis=1), np.stack([y, x, zero, one], axis=1)])
    a, b, left, top = np.linalg.lstsq(rows, np.concatenate([wanted[:, 0], wanted[:, 1]]), rcond=None)[0]
    return np.array([[a, -b, left], [b, a, top]])


def seen(pixels: Pixels, points: Points, side: int, *, wider: bool = False) -> Pixels:
    """The face, upright, (side, side, 3), 0..1."""
    return squared(points, side, wider=wider).crop(pixels, side)
