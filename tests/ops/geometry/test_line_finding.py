"""How the camera was held is found from drawn windows and horizons, and nothing is found where there is none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from goldsmith.ops.geometry.camera_model import camera_matrix
from goldsmith.ops.geometry.line_finding import find_attitude
from goldsmith.picture.picture import Picture, freeze

WIDTH, HEIGHT = 900, 600


def as_picture(drawing: np.ndarray) -> Picture:
    return Picture(freeze(np.repeat(cv2.GaussianBlur(drawing, (0, 0), 0.8)[..., None], 3, axis=2)))


def windows(turn: float, tilt: float) -> Picture:
    """Return windows in a wall, seen by a camera of 28 mm that looked up by ``tilt`` and is to be turned by ``turn`` degrees clockwise."""
    axes = np.array([0.0, 0.0, turn]), np.array([tilt, 0.0, 0.0])
    around_z, around_x = (cv2.Rodrigues(np.radians(axis))[0] for axis in axes)
    to_taken = (around_x @ around_z).T
    canvas, matrix = np.full((HEIGHT, WIDTH), 0.75, np.float32), camera_matrix(WIDTH, HEIGHT, 28)
    for x in np.arange(-2.6, 2.6, 0.62):
        for y in np.arange(-2.0, 2.0, 0.9):
            corners = np.array([(x, y, 4), (x + 0.34, y, 4), (x + 0.34, y + 0.6, 4), (x, y + 0.6, 4)]) @ to_taken.T @ matrix.T
            cv2.fillConvexPoly(canvas, np.round(corners[:, :2] / corners[:, 2:] * 16).astype(np.int32), 0.2, cv2.LINE_AA, 4)
    return as_picture(canvas)


@pytest.mark.parametrize(("turn", "tilt"), [(0, 0), (3, 0), (-5, 0), (0, 8), (2, -10), (-4, 15)])
def test_upright_edges_tell_turn_and_tilt(turn: float, tilt: float) -> None:
    """To a quarter of a degree, and to one degree of tilt."""
    attitude = find_attitude(windows(turn, tilt), 28)
    assert attitude is not None
    assert attitude.tilt is not None
    assert attitude.turn == pytest.approx(turn, abs=0.25)
    assert attitude.tilt == pytest.approx(tilt, abs=1)


@pytest.mark.parametrize("slope", [-4.0, -1.0, 0.0, 2.5, 6.0])
def test_a_horizon_is_levelled(slope: float) -> None:
    """A sea that slopes down to the right by that angle is turned back by it; the tilt stays unknown."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    sea = (y - 330 - (x - WIDTH / 2) * np.float32(np.tan(np.radians(slope)))) > 0
    attitude = find_attitude(as_picture(np.where(sea, 0.3, 0.8).astype(np.float32)), 28)
    assert attitude is not None
    assert attitude.turn == pytest.approx(-slope, abs=0.15)
    assert attitude.tilt is None


def test_edges_that_run_to_a_vanishing_point_are_no_horizon() -> None:
    """Planks of a pier, wide on one side and narrow on the other, tell nothing."""
    planks = np.full((HEIGHT, WIDTH), 0.7, np.float32)
    for end in range(200, 900, 45):
        cv2.line(planks, (-400, 150), (WIDTH, end), 0.2, 5, cv2.LINE_AA)
    assert find_attitude(as_picture(planks), 28) is None


@pytest.mark.parametrize("kind", ["flat", "noise", "blobs", "tiny"])
def test_nothing_is_found_where_nothing_is_straight(kind: str) -> None:
    """Flat, noisy, round or tiny pictures have no attitude."""
    random = np.random.default_rng(4)
    drawing = np.full((HEIGHT, WIDTH), 0.5, np.float32)
    if kind == "noise":
        drawing = random.random((HEIGHT, WIDTH), dtype=np.float32)
    if kind == "blobs":
        for x, y, radius in random.integers((0, 0, 8), (WIDTH, HEIGHT, 60), (40, 3)).tolist():
            cv2.circle(drawing, (x, y), radius, float(random.random()), -1, cv2.LINE_AA)
    assert find_attitude(as_picture(drawing[:5, :5] if kind == "tiny" else drawing), 28) is None


def test_a_picture_that_leans_far_is_not_turned() -> None:
    """A turn of 20 degrees is taken for intended."""
    attitude = find_attitude(windows(20, 0), 28)
    assert attitude is None or abs(attitude.turn) <= 12
