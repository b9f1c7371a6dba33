"""Landmarks: the size and the pose of a face, and how far its eyes and mouth are open."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubles.faces import mesh_at
from goldsmith.ops.face_swap.landmarks import (
    BROWS,
    CHEEKS,
    EYES,
    FACE_POINT_COUNT,
    INNER_LIPS,
    LIPS,
    NOSE,
    OUTLINE,
    estimate_pose,
    eye_openness,
    face_size,
    five_landmarks,
    mouth_openness,
)

MESH = mesh_at(50, 50, 100)


def test_every_part_lists_each_point_of_the_face_once() -> None:
    """Points of the irises belong to no part."""
    for part in (OUTLINE, *EYES, *BROWS, LIPS, INNER_LIPS, *CHEEKS, NOSE):
        assert len(set(part)) == len(part)
        assert 0 <= min(part) <= max(part) < FACE_POINT_COUNT


@given(st.floats(5, 2000), st.floats(-180, 180), st.floats(-500, 500))
def test_the_size_is_the_outline_s_at_any_turn_and_place(size: float, turn: float, shift: float) -> None:
    """The mesh is a face of unit area, enlarged."""
    assert face_size(mesh_at(shift, -shift, size, turn)) == pytest.approx(size, rel=2e-3)


@given(st.floats(20, 2000), st.floats(-170, 170))
def test_yaw_and_pitch_are_independent_of_size_and_roll(size: float, turn: float) -> None:
    """A tilted head looks the same way; the tilt itself is the roll."""
    upright, turned = estimate_pose(MESH), estimate_pose(mesh_at(0, 0, size, turn))
    assert turned.yaw == pytest.approx(upright.yaw, abs=0.3)
    assert turned.pitch == pytest.approx(upright.pitch, abs=0.3)
    roll_error = np.radians(turned.roll - upright.roll - turn)
    assert np.cos(roll_error) == pytest.approx(1, abs=1e-3)
    assert upright.angle_to(turned) < 0.5


def test_the_yaw_follows_the_nose_to_the_side() -> None:
    """The yaw grows with the nose's offset, and has the opposite sign on the other side."""
    angles = [estimate_pose(mesh_at(0, 0, 100, aside=aside)).yaw for aside in (-0.8, -0.4, 0, 0.4, 0.8)]
    assert angles == sorted(angles)
    assert angles[0] < -20
    assert angles[4] > 20
    assert abs(angles[2]) < 3


def test_the_pitch_follows_the_nose_down() -> None:
    """A nose 20 px lower adds more than 10 degrees."""
    lower = MESH.copy()
    lower[4, 1] += 20
    assert estimate_pose(lower).pitch > estimate_pose(MESH).pitch + 10


def test_eyes_and_mouth_are_open_by_the_distance_of_their_edges() -> None:
    """The wider eye counts, so a wink is not a face with closed eyes."""
    assert eye_openness(MESH) > 0.25
    wink = MESH.copy()
    wink[159] = wink[145]
    assert eye_openness(wink) > 0.2
    wink[386] = wink[374]
    assert eye_openness(wink) == 0
    closed = MESH.copy()
    closed[13] = closed[14]
    assert mouth_openness(closed) == 0 < mouth_openness(MESH)


def test_five_landmarks_have_the_order_of_a_face_detector() -> None:
    """The order is left eye, right eye, nose, left and right corner of the mouth."""
    points = five_landmarks(MESH)
    assert points.shape == (5, 2)
    assert points[0, 0] < points[2, 0] < points[1, 0]
    assert points[3, 0] < points[2, 0] < points[4, 0]
    assert points[0, 1] < points[2, 1] < points[3, 1]
    assert np.abs(points[3] - MESH[61]).max() == 0
