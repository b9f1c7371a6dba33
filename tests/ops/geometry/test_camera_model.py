"""The map of a correction: it agrees with OpenCV's and scikit-image's own transforms, and the crop has no empty corner."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import ProjectiveTransform, SimilarityTransform

from goldsmith.ops.geometry.camera_model import CameraModel, Lens, camera_matrix

WIDTH, HEIGHT = 640, 480
POINTS = np.random.default_rng(3).uniform((40, 40), (WIDTH - 40, HEIGHT - 40), (200, 2))


def source(model: CameraModel, points: np.ndarray = POINTS) -> np.ndarray:
    """Return where the points (n, 2) come from, in px."""
    return np.column_stack(model.source_points(points[:, 0], points[:, 1]))


def test_a_turn_is_a_rotation_about_the_middle() -> None:
    """As scikit-image's similarity transform, clockwise on the screen, whatever the focal length."""
    middle = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    turn = SimilarityTransform(rotation=math.radians(7))
    rotation = SimilarityTransform(translation=-middle) + turn + SimilarityTransform(translation=middle)
    for focal in (14, 28, 200):
        assert source(CameraModel(WIDTH, HEIGHT, turn=7, focal_mm=focal)) == pytest.approx(rotation.inverse(POINTS), abs=1e-6)


def test_a_lens_is_undone_as_by_opencv() -> None:
    """The map is that of ``cv2.initUndistortRectifyMap`` for the same coefficients and a focal length of half the diagonal."""
    focal = math.hypot(WIDTH, HEIGHT) / 2
    matrix = np.array([[focal, 0, (WIDTH - 1) / 2], [0, focal, (HEIGHT - 1) / 2], [0, 0, 1]])
    coefficients = np.array([-0.12, 0.03, 0, 0, -0.01])
    map_x, map_y = cv2.initUndistortRectifyMap(matrix, coefficients, np.eye(3), matrix, (WIDTH, HEIGHT), cv2.CV_32FC1)
    y, x = np.mgrid[0:HEIGHT:16, 0:WIDTH:16].astype(np.float64)
    across, down = CameraModel(WIDTH, HEIGHT, lens=Lens(-0.12, 0.03, -0.01)).source_points(x, y)
    assert across == pytest.approx(map_x[::16, ::16], abs=2e-3)
    assert down == pytest.approx(map_y[::16, ::16], abs=2e-3)


def test_a_tilt_and_a_pan_are_a_turned_camera() -> None:
    """A wall that OpenCV's camera saw while it looked up or aside becomes the wall that it sees straight ahead."""
    matrix = camera_matrix(WIDTH, HEIGHT, 28)
    wall = np.array([(x, y, 5.0) for x in (-1.0, 0.0, 1.2) for y in (-0.8, 0.3, 0.9)])
    straight = cv2.projectPoints(wall, np.zeros(3), np.zeros(3), matrix, None)[0].reshape(-1, 2)
    for model, axis in (
        (CameraModel(WIDTH, HEIGHT, tilt=12), (-12.0, 0.0, 0.0)),
        (CameraModel(WIDTH, HEIGHT, pan=-9), (0.0, 9.0, 0.0)),
    ):
        seen_points = cv2.projectPoints(wall, np.radians(axis), np.zeros(3), matrix, None)[0].reshape(-1, 2)
        assert source(model, straight) == pytest.approx(seen_points, abs=1e-3)


def test_a_camera_that_looks_up_sees_the_wall_lower() -> None:
    """The picture of a point straight ahead lies below the middle, and that of a camera that looks to the right lies left of it."""
    (middle_x, middle_y) = CameraModel(WIDTH, HEIGHT).centre
    (above,) = source(CameraModel(WIDTH, HEIGHT, tilt=10), np.array([[middle_x, middle_y]]))
    (aside,) = source(CameraModel(WIDTH, HEIGHT, pan=10), np.array([[middle_x, middle_y]]))
    assert above[1] > middle_y + 20
    assert aside[0] < middle_x - 20


def test_corners_become_an_upright_rectangle() -> None:
    """Its sides are the means of the given ones, and the map agrees with scikit-image's projective transform."""
    corners = np.array([[80.0, 60], [560, 100], [590, 400], [60, 430]])
    model = CameraModel(WIDTH, HEIGHT, corners=corners)
    homogeneous = np.column_stack([corners, np.ones(4)]) @ model.to_upright().T
    upright = homogeneous[:, :2] / homogeneous[:, 2:]
    assert upright[0, 1] == pytest.approx(upright[1, 1], abs=1e-3)
    assert upright[2, 1] == pytest.approx(upright[3, 1], abs=1e-3)
    assert upright[0, 0] == pytest.approx(upright[3, 0], abs=1e-3)
    top, bottom = np.linalg.norm(corners[1] - corners[0]), np.linalg.norm(corners[2] - corners[3])
    assert upright[1, 0] - upright[0, 0] == pytest.approx((top + bottom) / 2, abs=1e-3)
    transform = ProjectiveTransform.from_estimate(upright, corners)
    assert source(model) == pytest.approx(transform(POINTS), abs=0.02)


@pytest.mark.parametrize("degrees", [0.5, 2, 4, 10, 30])
@pytest.mark.parametrize("size", [(640, 480), (480, 640), (500, 500)])
def test_the_crop_of_a_turn_has_the_known_size(degrees: float, size: tuple[int, int]) -> None:
    """The largest rectangle of the same shape is smaller by cos a + sin a times the longer over the shorter side."""
    rectangle = CameraModel(*size, turn=degrees).inner_rectangle()
    assert rectangle is not None
    angle = math.radians(degrees)
    assert rectangle[2] == pytest.approx(1 / (math.cos(angle) + max(size) / min(size) * math.sin(angle)), abs=2e-3)


@settings(max_examples=25, deadline=None)
@given(
    turn=st.floats(-20, 20),
    tilt=st.floats(-20, 20),
    pan=st.floats(-15, 15),
    k1=st.floats(-0.2, 0.2),
    size=st.tuples(st.integers(20, 900), st.integers(20, 900)),
)
def test_the_crop_has_no_empty_corner(turn: float, tilt: float, pan: float, k1: float, size: tuple[int, int]) -> None:
    """Every pixel of the crop comes from inside the picture, up to the half pixel at its edge."""
    model = CameraModel(*size, turn=turn, tilt=tilt, pan=pan, lens=Lens(k1))
    rectangle = model.inner_rectangle()
    if rectangle is None:
        return
    left, top, scale = rectangle
    x, y = np.meshgrid(np.linspace(left, left + size[0] * scale - 1, 60), np.linspace(top, top + size[1] * scale - 1, 60))
    across, down = model.source_points(x, y)
    assert across.min() >= -0.6
    assert across.max() <= size[0] - 0.4
    assert down.min() >= -0.6
    assert down.max() <= size[1] - 0.4
