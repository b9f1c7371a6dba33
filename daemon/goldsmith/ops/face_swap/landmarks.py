"""Landmarks of a face mesh: the outline, the eyes and the mouth, and the pose of the head that follows from them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# (n, 2): x and y in px; (0, 0) is the upper left corner of the upper left pixel.
Landmarks = NDArray[np.float32]

# The landmarks of the face; the ten after them belong to the irises.
FACE_POINT_COUNT = 468
# From the middle of the forehead all the way round.
OUTLINE = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
# The edges of the eyelids, on the left and on the right of the picture.
EYES = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
)
BROWS = ((70, 63, 105, 66, 107, 55, 65, 52, 53, 46), (300, 293, 334, 296, 336, 285, 295, 282, 283, 276))
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
# The inner edge of the lips.
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
# Around the middle of each cheek: skin, whatever else is hidden.
CHEEKS = ((117, 118, 101, 36, 205, 187, 147, 123), (346, 347, 330, 266, 425, 411, 376, 352))
# Down the bridge to the tip.
NOSE = (6, 197, 195, 5, 4)
_FOREHEAD, _CHIN, _LEFT_END, _RIGHT_END, _NOSE_TIP = 10, 152, 234, 454, 4
_OUTER_EYE_CORNERS = (33, 263)
_UPPER_LIDS, _LOWER_LIDS = (159, 386), (145, 374)
_INNER_LIP_MIDDLES = (13, 14)
# How far the tip of the nose stands out from the ends of the cheeks, as a share of half the face's width.
_NOSE_DEPTH_BY_WIDTH = 1.2
# How far below the middle between forehead and chin the tip of the nose of a level face lies, as a share of half that height.
_LEVEL_NOSE_OFFSET = 0.02
# Like ``_NOSE_DEPTH_BY_WIDTH``, as a share of half the face's height.
_NOSE_DEPTH_BY_HEIGHT = 0.75


@dataclass(frozen=True, slots=True)
class Pose:
    """The approximate pose of a head in degrees: ``yaw`` to the picture's right, ``pitch`` downwards, ``roll`` clockwise."""

    yaw: float
    pitch: float
    roll: float

    def angle_to(self, other: Pose) -> float:
        """Return the angle between two poses in degrees; the roll does not count, because faces are turned upright."""
        return math.hypot(self.yaw - other.yaw, self.pitch - other.pitch)


def face_size(mesh: Landmarks) -> float:
    """Return the size of a face: the square root of its outline's area, in px of the mesh, (468, 2)."""
    x, y = mesh[list(OUTLINE)].astype(np.float64).T
    return math.sqrt(abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2)


def estimate_pose(mesh: Landmarks) -> Pose:
    """Return the pose of the head with that mesh, (468, 2) px, from the position of the nose's tip between the ends of the face."""
    across = mesh[_OUTER_EYE_CORNERS[1]].astype(np.float64) - mesh[_OUTER_EYE_CORNERS[0]]
    roll = math.atan2(across[1], across[0])
    cos, sin = math.cos(-roll), math.sin(-roll)
    rotated = mesh.astype(np.float64) @ np.array([[cos, sin], [-sin, cos]])
    left, right = rotated[_LEFT_END, 0], rotated[_RIGHT_END, 0]
    top, bottom = rotated[_FOREHEAD, 1], rotated[_CHIN, 1]
    nose_x = (rotated[_NOSE_TIP, 0] - (left + right) / 2) / max((right - left) / 2, 1e-6)
    nose_y = (rotated[_NOSE_TIP, 1] - (top + bottom) / 2) / max((bottom - top) / 2, 1e-6)
    yaw, pitch = math.atan(nose_x / _NOSE_DEPTH_BY_WIDTH), math.atan((nose_y - _LEVEL_NOSE_OFFSET) / _NOSE_DEPTH_BY_HEIGHT)
    return Pose(*(round(math.degrees(angle), 1) for angle in (yaw, pitch, roll)))


def eye_openness(mesh: Landmarks) -> float:
    """Return how far the wider eye is open, as a share of its length, for a mesh (468, 2) in px; below 0.1 the eye is closed."""
    return max(_opening_ratio(mesh, upper, lower, eye[0], eye[8]) for upper, lower, eye in zip(_UPPER_LIDS, _LOWER_LIDS, EYES, strict=True))


def mouth_openness(mesh: Landmarks) -> float:
    """Return how far the lips are apart, as a share of the mouth's length, for a mesh (468, 2) in px."""
    return _opening_ratio(mesh, *_INNER_LIP_MIDDLES, INNER_LIPS[0], INNER_LIPS[10])


def _opening_ratio(mesh: Landmarks, upper: int, lower: int, start: int, end: int) -> float:
    high, long = np.linalg.norm(mesh[upper] - mesh[lower]), np.linalg.norm(mesh[start] - mesh[end])
    return float(high / max(float(long), 1e-6))


def five_landmarks(mesh: Landmarks) -> Landmarks:
    """Return (5, 2) px: the centres of the eyes, the tip of the nose and the corners of the mouth, like a face detector."""
    eyes = [mesh[[eye[0], eye[8]]].mean(axis=0) for eye in EYES]
    return np.stack([*eyes, mesh[_NOSE_TIP], mesh[LIPS[0]], mesh[LIPS[10]]]).astype(np.float32)
