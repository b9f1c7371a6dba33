"""What tells the light of a scene whatever its subject: its greys, its skin, and its brightest and darkest parts; all in CIE Lab."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]

# Chroma. Greys are sought round the neutral axis within this distance, and their mean is followed (mean shift).
_GREY_REACH = 10.0
# Share of the pixels that must be greys before they tell the colour of the light.
_LEAST_GREYS = 0.03
_MEAN_SHIFTS = 8
# L* of the pixels that can be greys: darker ones are noise, brighter ones are clipped.
_DARKEST, _BRIGHTEST = 10.0, 98.0


class SkinRange(NamedTuple):
    """A range of one Lab quantity of skin: its middle, and the distance at which it ends."""

    middle: float
    reach: float


# Skin, light and dark: the hue angle in degrees, the chroma and the lightness.
_SKIN_HUE, _SKIN_CHROMA, _SKIN_LIGHTNESS = SkinRange(52.0, 38.0), SkinRange(26.0, 22.0), SkinRange(60.0, 45.0)


def mean_grey(lab: Float64Array) -> tuple[float, float] | None:
    """Return a*, b* of the greys among Lab colours (n, 3), L 0..100: a mean shift from the neutral axis; None if too few lie near it."""
    usable = lab[(lab[:, 0] > _DARKEST) & (lab[:, 0] < _BRIGHTEST), 1:]
    mean = np.zeros(2)
    for _ in range(_MEAN_SHIFTS):
        weight = np.exp(-((usable - mean) ** 2).sum(axis=1) / (2 * _GREY_REACH**2))
        if not len(usable) or weight.sum() < _LEAST_GREYS * len(lab):
            return None
        mean = (weight[:, None] * usable).sum(axis=0) / weight.sum()
    return float(mean[0]), float(mean[1])


def skin_likeness(lab: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return how much Lab colours (n, ..., 3), L 0..100, are those of skin, light and dark alike: (n, ...), 0..1."""
    hue = np.degrees(np.arctan2(lab[..., 2], lab[..., 1]))
    values = ((hue, _SKIN_HUE), (np.hypot(lab[..., 1], lab[..., 2]), _SKIN_CHROMA), (lab[..., 0], _SKIN_LIGHTNESS))
    distances = [np.abs(value - known.middle) / known.reach for value, known in values]
    inside = np.clip(2.0 * (1.0 - np.maximum(np.maximum(distances[0], distances[1]), distances[2])), 0.0, 1.0)
    return np.asarray(inside * inside * (3.0 - 2.0 * inside), np.float32)
