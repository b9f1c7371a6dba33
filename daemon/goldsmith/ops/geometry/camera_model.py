"""Where each pixel of a straightened picture comes from: one map for the lens, the tilt of the camera and the turn of the picture.

A pixel's position is that of its centre; (0, 0) is the centre of the upper left pixel, x to the right and y down, as in OpenCV. The
camera is a pinhole whose optical axis meets the middle of the picture. Turning it by R moves the picture by K R K^-1 (Hartley, Zisserman,
"Multiple View Geometry", 2nd edition, 8.4.2). The lens is Brown's radial model (1971), as in OpenCV, with radii in half diagonals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]

# mm. The diagonal of the 35 mm frame, to which focal lengths are converted.
_FRAME_DIAGONAL_MM = math.hypot(36, 24)
# Points along each side of a rectangle that are tested.
_SIDE_POINTS = 129
# Positions across and down at which a rectangle is tried, and steps in which its size is refined.
_GRID, _BISECTIONS = 13, 16
# A larger rectangle counts if its sides gain this share. Its place is refined so often, down to this many px.
_MIN_GAIN, _REFINEMENTS, _MIN_STEP = 2e-4, 40, 0.25
# The part of a px that the crop stays away from the picture's edge.
_EDGE_SLACK = 1e-3


@dataclass(frozen=True, slots=True)
class Lens:
    """Radial distortion: a point at the radius r, in half diagonals, comes from r (1 + k1 r^2 + k2 r^4 + k3 r^6)."""

    k1: float = 0.0
    k2: float = 0.0
    k3: float = 0.0


@dataclass(frozen=True, eq=False, slots=True)
class CameraModel:
    """The correction of a picture of ``width`` x ``height`` px.

    turn: degrees clockwise. tilt: degrees that the camera looked up. pan: degrees that it looked to the right. focal_mm: as for 35 mm film.
    corners: (4, 2), the points of the picture, in px, that become the corners of an upright rectangle: upper left, upper right, lower
    right, lower left; the other angles then act on the rectified picture.
    """

    width: int
    height: int
    turn: float = 0.0
    tilt: float = 0.0
    pan: float = 0.0
    focal_mm: float = 28.0
    lens: Lens = Lens()
    corners: Float64Array | None = None

    @property
    def is_identity(self) -> bool:
        """Whether nothing moves."""
        return not (self.turn or self.tilt or self.pan or self.corners is not None) and self.lens == Lens()

    @property
    def centre(self) -> tuple[float, float]:
        """The middle of the picture, in px."""
        return (self.width - 1) / 2, (self.height - 1) / 2

    def camera_matrix(self) -> Float64Array:
        """Return the matrix K (3, 3) from directions to px."""
        return camera_matrix(self.width, self.height, self.focal_mm)

    def to_upright(self) -> Float64Array:
        """Return the homography (3, 3) from px of the picture without its lens's distortion to px of the upright one."""
        matrix = self.camera_matrix()
        turn, tilt, pan = (math.radians(angle) for angle in (self.turn, self.tilt, self.pan))
        around_z = np.array([[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0], [0, 0, 1]])
        around_x = np.array([[1, 0, 0], [0, math.cos(tilt), -math.sin(tilt)], [0, math.sin(tilt), math.cos(tilt)]])
        around_y = np.array([[math.cos(pan), 0, math.sin(pan)], [0, 1, 0], [-math.sin(pan), 0, math.cos(pan)]])
        camera = matrix @ around_y @ around_x @ around_z @ np.linalg.inv(matrix)
        return np.asarray(camera if self.corners is None else camera @ self._rectification(self.corners), np.float64)

    def source_points(self, x: Float64Array, y: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Return where points (h, w) of the upright picture, in px, come from in the picture as it was, (h, w) each, in px.

        A point behind the camera comes from nowhere: NaN.
        """
        matrix = np.linalg.inv(self.to_upright())
        depth = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
        depth = np.where(depth * np.sign(self._middle_depth(matrix)) > 1e-9, depth, np.nan)
        across = (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]) / depth
        down = (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]) / depth
        if self.lens == Lens():
            return across, down
        half_diagonal = math.hypot(self.width, self.height) / 2
        dx, dy = across - self.centre[0], down - self.centre[1]
        squared = (dx * dx + dy * dy) / half_diagonal**2
        factor = 1 + squared * (self.lens.k1 + squared * (self.lens.k2 + squared * self.lens.k3))
        return self.centre[0] + dx * factor, self.centre[1] + dy * factor

    def _middle_depth(self, to_source: NDArray[np.floating]) -> float:
        """Return the depth of the middle of the picture: what is visible lies on the same side of the camera."""
        upright = self.to_upright() @ np.array([*self.centre, 1.0])
        return float(to_source[2] @ (upright / upright[2]))

    def _rectification(self, corners: Float64Array) -> Float64Array:
        """Return the homography (3, 3) that makes the four points an upright rectangle with their mean sides round their own middle."""
        import cv2

        sides = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
        half_width, half_height = (sides[0] + sides[2]) / 4, (sides[1] + sides[3]) / 4
        x, y = corners.mean(axis=0)
        rectangle = [
            (x - half_width, y - half_height),
            (x + half_width, y - half_height),
            (x + half_width, y + half_height),
            (x - half_width, y + half_height),
        ]
        return np.asarray(cv2.getPerspectiveTransform(corners.astype(np.float32), np.array(rectangle, np.float32)), np.float64)

    def inner_rectangle(self) -> tuple[float, float, float] | None:
        """Return the left, the top and the scale of the largest rectangle of the picture's shape without an empty corner, in px.

        Its size is the picture's times the scale. None if there is none of at least a tenth of the picture's size.
        """
        best: tuple[float, float, float] | None = None
        for row in range(_GRID):
            for column in range(_GRID):
                middle = self.width * (column + 0.5) / _GRID - 0.5, self.height * (row + 0.5) / _GRID - 0.5
                best = self._grow_at(middle, best)
        step = max(self.width, self.height) / _GRID / 2
        for _ in range(_REFINEMENTS):
            if best is None or step < _MIN_STEP:
                break
            middle = best[0] + (self.width * best[2] - 1) / 2, best[1] + (self.height * best[2] - 1) / 2
            grown = best
            for dx, dy in ((step, 0), (-step, 0), (0, step), (0, -step)):
                grown = self._grow_at((middle[0] + dx, middle[1] + dy), grown) or grown
            step = step / 2 if grown is best else step
            best = grown
        return best

    def _grow_at(self, middle: tuple[float, float], best: tuple[float, float, float] | None) -> tuple[float, float, float] | None:
        """Return the largest rectangle round ``middle``, in px, if it is larger than ``best``; else ``best``."""
        low, high = (0.1 if best is None else best[2] * (1 + _MIN_GAIN)), 4.0
        if not self._is_inside(middle, low):
            return best
        for _ in range(_BISECTIONS):
            scale = (low + high) / 2
            low, high = (scale, high) if self._is_inside(middle, scale) else (low, scale)
        return middle[0] - (self.width * low - 1) / 2, middle[1] - (self.height * low - 1) / 2, low

    def _is_inside(self, middle: tuple[float, float], scale: float) -> bool:
        """Return whether every point on the edge of that rectangle comes from inside the picture."""
        along = np.linspace(-0.5, 0.5, _SIDE_POINTS)
        ends = np.full(_SIDE_POINTS, 0.5)
        x = middle[0] + self.width * scale * np.concatenate([along, along, -ends, ends])
        y = middle[1] + self.height * scale * np.concatenate([-ends, ends, along, along])
        across, down = self.source_points(x, y)
        low, wide, high = -0.5 - _EDGE_SLACK, self.width - 0.5 + _EDGE_SLACK, self.height - 0.5 + _EDGE_SLACK
        return bool(((across >= low) & (across <= wide) & (down >= low) & (down <= high)).all())


def camera_matrix(width: int, height: int, focal_mm: float) -> Float64Array:
    """Return the matrix K (3, 3) from directions to px of a picture, for a focal length in mm as for 35 mm film."""
    focal = focal_mm / _FRAME_DIAGONAL_MM * math.hypot(width, height)
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
