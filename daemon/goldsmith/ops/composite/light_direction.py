"""Where the light of a backdrop comes from, as far as it shows it: a lamp or the sun in it, or one side brighter than the other."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.colour import luma
from goldsmith.picture.picture import Pixels

# px. Light is measured at this size.
_MEASURE_SIDE = 160
# Display value from which a pixel may be a lamp, and how much brighter than the backdrop's mean it must be.
_LAMP_VALUE, _LAMP_CONTRAST = 0.97, 0.3
# Share of the backdrop that a lamp may cover, and of its bounding box that it must fill: a sky or a wall is no lamp.
_LEAST_LAMP, _MOST_LAMP, _LAMP_FILL = 0.0004, 0.06, 0.4
# A plane of brightness across the backdrop must rise by this, and explain this share of the variance, to tell a side.
_LEAST_RISE, _LEAST_SHARE = 0.12, 0.12
# Degrees clockwise from the top: behind the layer and to the right, where a shadow disturbs least.
DEFAULT_ANGLE = 60.0


class LightDirection(NamedTuple):
    """Where a shadow falls, in degrees clockwise from the top of the picture, and in words what it was told from."""

    shadow_angle: float
    reason: str


def guess_light(backdrop: Pixels, foot: tuple[float, float]) -> LightDirection:
    """Return where the shadow of a thing that stands at ``foot`` (x, y, fractions) falls on the backdrop (h, w, c), 0..1."""
    import cv2

    height, width = backdrop.shape[:2]
    shrink = min(1.0, _MEASURE_SIDE / max(height, width))
    size = max(2, round(width * shrink)), max(2, round(height * shrink))
    brightness = np.asarray(cv2.resize(np.ascontiguousarray(luma(backdrop)), size, interpolation=cv2.INTER_AREA), np.float32)
    lamp = _find_lamp(brightness)
    if lamp is not None:
        across, down = foot[0] - lamp[0], (foot[1] - lamp[1]) * height / width
        if down > 0:
            return LightDirection(round(_ground_angle(across, down), 1), f"a light in the picture at {lamp[0]:.2f}, {lamp[1]:.2f}")
    rise = _side_rise(brightness)
    if rise > 0:
        return LightDirection(-DEFAULT_ANGLE, "the picture is brighter on the right")
    if rise < 0:
        return LightDirection(DEFAULT_ANGLE, "the picture is brighter on the left")
    return LightDirection(DEFAULT_ANGLE, "not found in the picture: behind and to the right")


def _ground_angle(across: float, down: float) -> float:
    """Return the angle of a shadow that falls from a light behind the thing, towards the viewer: 90 to 270 degrees."""
    return math.degrees(math.atan2(across, -down)) % 360


def _find_lamp(brightness: NDArray[np.float32]) -> tuple[float, float] | None:
    """Return the centre (x, y, fractions) of the largest compact white spot of a brightness plane (h, w), 0..1; None without one."""
    import cv2

    if float(brightness.mean()) > _LAMP_VALUE - _LAMP_CONTRAST:
        return None
    count, _, stats, centres = cv2.connectedComponentsWithStats((brightness >= _LAMP_VALUE).astype(np.uint8))
    best, best_area = None, 0
    for index in range(1, count):
        _, _, width, height, area = (int(value) for value in stats[index])
        share, fill = area / brightness.size, area / (width * height)
        if _LEAST_LAMP <= share <= _MOST_LAMP and fill >= _LAMP_FILL and 0.3 <= width / height <= 3.3 and area > best_area:
            best_area = area
            best = (float(centres[index][0]) / brightness.shape[1], float(centres[index][1]) / brightness.shape[0])
    return best


def _side_rise(brightness: NDArray[np.float32]) -> float:
    """Return how much a brightness plane (h, w), 0..1, rises from left to right; 0 if it does not tell a side."""
    profile = brightness.mean(axis=0)
    x = np.linspace(-0.5, 0.5, len(profile))
    slope = float((x * profile).sum() / (x * x).sum())
    explained = slope * slope * float((x * x).mean()) / max(float(brightness.var()), 1e-9)
    return slope if abs(slope) >= _LEAST_RISE and explained >= _LEAST_SHARE else 0.0
