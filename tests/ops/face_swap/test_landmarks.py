"""What a mesh's points tell: how large a face is, how it is turned, whether eyes and mouth are open."""

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
    face_size,
    five_landmarks,
    mouth_openness,
)
from goldsmith.ops.face_swap.landmarks import eye_openness as wide_open

MESH = mesh_at(50, 50, 100)


def test_every_part_names_points_of_the_face_each_once() -> None:
    """Irises are no part of it."""
    for part in (OUTLINE, *EYES, *BROWS, LIPS, INNER_LIPS, *CHEEKS, NOSE):
        assert len(set(part)) == len(part)
        assert 0 <= min(part) <= max(part) < FACE_POINT_COUNT


@given(st.floats(5, 2000), st.floats(-180, 180), st.floats(-500, 500))
def test_size_is_that_of_the_outline_at_any_turn_and_place(size: float, turn: float, shift: float) -> None:
    """A face of unit area, enlarged."""
    assert face_size(mesh_at(shift, -shift, size, turn)) == pytest.approx(size, rel=2e-3)


@given(st.floats(20, 2000), st.floats(-170, 170))
def test_a_pose_does_not_hang_on_size_or_roll(size: float, turn: float) -> None:
    """A tilted head looks the same way; the tilt itself is the roll."""
    here, there = estimate_pose(MESH), estimate_pose(mesh_at(0, 0, size, turn))
    assert there.yaw == pytest.approx(here.yaw, abs=0.3)
    assert there.pitch == pytest.approx(here.pitch, abs=0.3)
    apart = np.radians(there.roll - here.roll - turn)
    assert np.cos(apart) == pytest.approx(1, abs=1e-3)
    assert here.angle_to(there) < 0.5


def test_a_nose_to_the_right_is_a_head_that_looks_there() -> None:
    """The further, the more; mirrored it is the other way."""
    angles = [estimate_pose(mesh_at(0, 0, 100, aside=aside)).yaw for aside in (-0.8, -0.4, 0, 0.4, 0.8)]
    assert angles == sorted(angles)
    assert angles[0] < -20
    assert angles[4] > 20
    assert abs(angles[2]) < 3


def test_a_nose_further_down_is_a_head_that_looks_down() -> None:
    """Pitch follows it."""
    lower = MESH.copy()
    lower[4, 1] += 20
    assert estimate_pose(lower).pitch > estimate_pose(MESH).pitch + 10


def test_eyes_and_mouth_are_open_as_far_as_their_edges_lie_apart() -> None:
    """Of two eyes the wider counts: a wink is no shut face."""
    assert wide_open(MESH) > 0.25
    wink = MESH.copy()
    wink[159] = wink[145]
    assert wide_open(wink) > 0.2
    wink[386] = wink[374]
    assert wide_open(wink) == 0
    shut = MESH.copy()
    shut[13] = shut[14]
    assert mouth_openness(shut) == 0 < mouth_openness(MESH)


def test_five_points_are_as_a_finder_gives_them() -> None:
    """Left eye, right eye, nose, left and right corner of the mouth."""
    points = five_landmarks(MESH)
    assert points.shape == (5, 2)
    assert points[0, 0] < points[2, 0] < points[1, 0]
    assert points[3, 0] < points[2, 0] < points[4, 0]
    assert points[0, 1] < points[2, 1] < points[3, 1]
    assert np.abs(points[3] - MESH[61]).max() == 0
