"""Finding how a camera was held from the straight edges of a picture: verticals that should be upright, and a horizon that should be level.

Segments come from OpenCV's line segment detector (Grompone von Gioi and others, "LSD", 2012). The direction of all upright edges of a scene
is perpendicular to the plane through the camera and each of them, so it is found by voting over pairs of segments.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.geometry.camera_model import Float64Array, camera_matrix
from goldsmith.picture.picture import Picture

# px of the longer side at which lines are searched for.
_SEARCH_SIDE = 1000
# Degrees. A camera that is held worse than this is held so on purpose.
_MAX_TURN, _MAX_TILT = 12.0, 30.0
# Degrees that a segment may miss the common direction by.
_TOLERANCE = 0.7
# The length of a segment that counts, and the least sum of those that agree, as shares of the picture's shorter side.
_MIN_LENGTH, _MIN_VERTICALS, _MIN_HORIZON = 0.04, 1.0, 0.8
# The share of the candidates' length that must agree.
_MIN_AGREEMENT = 0.55
_MIN_LEVEL_AGREEMENT = 0.6
# Degrees. Edges up to this steep must agree with a horizon, and a horizon that slopes more than the second is none.
_FAN_ANGLE, _MAX_LEVEL = 20.0, 7.0
_VOTERS = 60
_MIN_SEGMENTS = 3
# Verticals this much further left or right than others are needed to tell a tilt from a turn, as a share of the width.
_MIN_SPREAD = 0.25


class Attitude(NamedTuple):
    """How the camera was held: the turn that levels the picture, degrees clockwise, and how far the camera looked up, in degrees.

    ``tilt``: None if the edges do not tell. ``source``: the edges that it comes from.
    """

    turn: float
    tilt: float | None
    source: str


def find_attitude(picture: Picture, focal_mm: float) -> Attitude | None:
    """Return how the camera was held: from the verticals, else from the horizon; None if neither is clear."""
    segments, size = _find_segments(picture)
    if not len(segments):
        return None
    return _from_verticals(segments, size, focal_mm) or _from_horizon(segments, size)


def _find_segments(picture: Picture) -> tuple[Float64Array, tuple[int, int]]:
    """Return the straight segments (n, 4) of a smaller copy, x1, y1, x2, y2 in px, and the copy's (width, height)."""
    import cv2

    factor = min(1.0, _SEARCH_SIDE / max(picture.width, picture.height))
    size = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
    small = cv2.resize(picture.pixels, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], picture.channels)
    grey = np.clip(small.mean(axis=2) * 255, 0, 255).astype(np.uint8)
    if min(size) < 16:
        return np.empty((0, 4)), size
    detected = cv2.createLineSegmentDetector().detect(grey)[0]
    segments = np.empty((0, 4)) if detected is None else np.asarray(detected, np.float64).reshape(-1, 4)
    lengths = np.hypot(segments[:, 2] - segments[:, 0], segments[:, 3] - segments[:, 1])
    return segments[lengths >= _MIN_LENGTH * min(size)], size


def _from_verticals(segments: Float64Array, size: tuple[int, int], focal_mm: float) -> Attitude | None:
    dx, dy = segments[:, 2] - segments[:, 0], segments[:, 3] - segments[:, 1]
    steep = segments[np.degrees(np.arctan2(np.abs(dx), np.abs(dy))) < _MAX_TURN + _MAX_TILT / 2]
    if len(steep) < _MIN_SEGMENTS:
        return None
    lengths = np.hypot(steep[:, 2] - steep[:, 0], steep[:, 3] - steep[:, 1])
    inverse = np.linalg.inv(camera_matrix(*size, focal_mm))
    rays = [np.column_stack([steep[:, first : first + 2], np.ones(len(steep))]) @ inverse.T for first in (0, 2)]
    planes = np.cross(rays[0], rays[1])
    planes /= np.linalg.norm(planes, axis=1, keepdims=True)
    middles = (steep[:, :2] + steep[:, 2:]) / 2
    direction, agrees = _vote(planes, lengths)
    if direction is None:
        return None
    total = float(lengths[agrees].sum())
    if agrees.sum() < _MIN_SEGMENTS or total < _MIN_VERTICALS * min(size) or total < _MIN_AGREEMENT * lengths.sum():
        return None
    spread = np.ptp(middles[agrees, 0]) / size[0]
    turn = math.degrees(math.atan2(direction[0], direction[1]))
    tilt = -math.degrees(math.atan2(direction[2], math.hypot(direction[0], direction[1])))
    return Attitude(turn, tilt if spread >= _MIN_SPREAD else None, f"{int(agrees.sum())} upright edges")


def _vote(planes: Float64Array, lengths: Float64Array) -> tuple[Float64Array | None, NDArray[np.bool_]]:
    """Return the direction (3,) that the planes (n, 3) share, by their lengths (n,) in px, downwards, and which of them agree (n,)."""
    voters = np.argsort(-lengths, kind="stable")[:_VOTERS]
    first, second = np.triu_indices(len(voters), 1)
    candidates = np.cross(planes[voters[first]], planes[voters[second]])
    norms = np.linalg.norm(candidates, axis=1)
    candidates = candidates[norms > 1e-6] / norms[norms > 1e-6, None]
    candidates *= np.where(candidates[:, 1:2] < 0, -1, 1)
    upright = np.vstack([candidates, [0.0, 1.0, 0.0]])
    turn = np.degrees(np.abs(np.arctan2(upright[:, 0], upright[:, 1])))
    tilt = np.degrees(np.abs(np.arctan2(upright[:, 2], np.hypot(upright[:, 0], upright[:, 1]))))
    upright = upright[(turn <= _MAX_TURN) & (tilt <= _MAX_TILT)]
    limit = math.sin(math.radians(_TOLERANCE))
    votes = (np.abs(upright @ planes.T) < limit) @ lengths
    best: Float64Array = upright[int(np.argmax(votes))]
    agrees = np.abs(planes @ best) < limit
    for _ in range(5):
        if agrees.sum() < 2:
            return None, agrees
        weights = lengths[agrees, None]
        _, _, axes = np.linalg.svd(planes[agrees] * weights)
        best = axes[2] * (-1 if axes[2][1] < 0 else 1)
        agrees = np.abs(planes @ best) < limit
    turn_left, tilt_left = math.atan2(best[0], best[1]), math.atan2(best[2], math.hypot(best[0], best[1]))
    is_plausible = abs(math.degrees(turn_left)) <= _MAX_TURN and abs(math.degrees(tilt_left)) <= _MAX_TILT
    return (best if is_plausible else None), agrees


def _from_horizon(segments: Float64Array, size: tuple[int, int]) -> Attitude | None:
    """Return the turn that levels the long flat edges, if nearly all of them have one direction."""
    dx, dy = segments[:, 2] - segments[:, 0], segments[:, 3] - segments[:, 1]
    angles = np.degrees(np.arctan(np.divide(dy, dx, out=np.full_like(dy, np.inf), where=np.abs(dx) > 1e-9)))
    is_flat = np.abs(angles) <= _FAN_ANGLE
    angles, lengths = angles[is_flat], np.hypot(dx, dy)[is_flat]
    if not len(angles):
        return None
    near = np.abs(angles[:, None] - angles[None, :]) <= _TOLERANCE
    best = int(np.argmax(near @ lengths**2))
    agrees = near[best]
    # A horizon is one long edge, or several that lie in one line: squares let them win over many short ones. Edges that run to a
    # vanishing point, such as planks, have many directions.
    if lengths[agrees].sum() < _MIN_HORIZON * size[0] or (lengths[agrees] ** 2).sum() < _MIN_LEVEL_AGREEMENT * (lengths**2).sum():
        return None
    level = float(np.average(angles[agrees], weights=lengths[agrees] ** 2))
    if abs(level) > _MAX_LEVEL:
        return None
    return Attitude(-level, None, f"{int(agrees.sum())} level edges")
