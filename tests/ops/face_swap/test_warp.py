"""The warp: exact if the map is affine, neutral for the same face, right at each landmark, and without aliasing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doubles.faces import mesh_at
from goldsmith.ops.face_swap.face_parts import FaceParts, face_box
from goldsmith.ops.face_swap.landmarks import FACE_POINT_COUNT, LIPS, OUTLINE, face_size
from goldsmith.ops.face_swap.warp import apply_warp, build_warp_map, fit_affine, place_source_landmarks

MESH = mesh_at(30, 30, 100)
BOX = face_box(MESH, 200, 180)
INSIDE = FaceParts(MESH, BOX).depth > 1
ROWS, COLUMNS = np.mgrid[BOX.top : BOX.bottom, BOX.left : BOX.right].astype(np.float32)


def test_a_face_warped_onto_itself_stays_in_place() -> None:
    """Every pixel comes from its own place."""
    warp = build_warp_map(MESH, MESH[:FACE_POINT_COUNT], BOX)
    assert np.abs(warp.x - COLUMNS)[INSIDE].max() < 1e-3
    assert np.abs(warp.y - ROWS)[INSIDE].max() < 1e-3
    assert warp.scale == pytest.approx(1)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.3, 3), st.floats(0.3, 3), st.floats(-1, 1), st.floats(-1, 1), st.floats(-99, 99))
def test_an_affine_map_of_the_mesh_applies_to_every_pixel(
    x_scale: float, y_scale: float, x_shear: float, y_shear: float, shift: float
) -> None:
    """Whatever the triangles, a piecewise affine map is affine if all pieces agree."""
    matrix = np.array([[x_scale, x_shear * 0.2], [y_shear * 0.2, y_scale]])
    source = (MESH.astype(np.float64) @ matrix + shift).astype(np.float32)
    warp = build_warp_map(source, MESH[:FACE_POINT_COUNT], BOX)
    expected = np.stack([COLUMNS + 0.5, ROWS + 0.5], axis=2) @ matrix + shift - 0.5
    assert np.abs(warp.x - expected[..., 0])[INSIDE].max() < 0.02
    assert np.abs(warp.y - expected[..., 1])[INSIDE].max() < 0.02


def test_each_landmark_comes_from_its_place_in_the_source() -> None:
    """The px under a landmark comes from its place within 2 px, and the map does not tear between neighbours."""
    source = mesh_at(400, 100, 150, turn=15, aside=0.3)
    warp = build_warp_map(source, MESH[:FACE_POINT_COUNT], BOX)
    for number in (4, 61, 291, 33, 263, 152, 205):
        x, y = (MESH[number] - [BOX.left, BOX.top]).astype(int)
        assert (warp.x[y, x], warp.y[y, x]) == pytest.approx(tuple(source[number] - 0.5), abs=2.0)
    steps = np.abs(np.diff(warp.x, axis=1))[INSIDE[:, 1:] & INSIDE[:, :-1]]
    assert np.percentile(steps, 99.5) < 4


def test_pixels_outside_the_mesh_have_no_source() -> None:
    """Their coordinates lie far outside every picture."""
    warp = build_warp_map(MESH, MESH[:FACE_POINT_COUNT], BOX)
    assert warp.x[0, 0] < -1000
    assert warp.y[-1, -1] < -1000


def test_flat_triangles_give_finite_coordinates() -> None:
    """In a closed mouth, points lie on each other."""
    closed = MESH.copy()
    closed[list(LIPS)] = closed[0]
    for source, onto in ((closed, MESH), (MESH, closed)):
        warp = build_warp_map(source, onto[:FACE_POINT_COUNT], BOX)
        assert np.isfinite(warp.x).all()
        assert np.isfinite(warp.y).all()


def test_the_fit_of_an_affine_map_is_exact() -> None:
    """The result is (3, 2), by least squares."""
    matrix = np.array([[2.0, 0.5], [-0.3, 1.5], [10, 20]])
    points = MESH.astype(np.float64)
    assert fit_affine(points, np.hstack([points, np.ones((len(points), 1))]) @ matrix) == pytest.approx(matrix, abs=1e-6)


def test_the_own_shape_is_mixed_between_target_and_source() -> None:
    """At 0 the face takes the target's shape, at 1 only the target's outline; between, the landmarks move linearly."""
    source = mesh_at(300, 10, 70, aside=0.5)
    none, half, whole = (place_source_landmarks(source, MESH, own_shape) for own_shape in (0, 0.5, 1))
    assert np.array_equal(none, MESH[:FACE_POINT_COUNT])
    assert np.abs(whole[list(OUTLINE)] - MESH[list(OUTLINE)]).max() < 1e-3
    assert np.abs(whole[4] - MESH[4]).max() > 3
    assert half == pytest.approx((none + whole) / 2, abs=1e-3)


@given(st.floats(0.5, 4), st.floats(-90, 90))
def test_the_own_shape_is_independent_of_size_and_turn(size: float, turn: float) -> None:
    """The affine fit removes place, size and turn, so the same face has no shape of its own."""
    source = mesh_at(77, -30, 100 * size, turn)
    assert np.abs(place_source_landmarks(source, MESH, 1) - MESH[:FACE_POINT_COUNT]).max() < 0.05


def test_a_reduced_face_is_averaged() -> None:
    """A fine chequer from a source four times as large becomes grey and not moiré."""
    source = mesh_at(60, 60, 400)
    rows, columns = np.mgrid[:560, :520]
    chequer = ((rows // 2 + columns // 2) % 2).astype(np.float32)[:, :, None]
    warp = build_warp_map(source, MESH[:FACE_POINT_COUNT], BOX)
    assert warp.scale == pytest.approx(4, rel=0.01)
    assert np.abs(apply_warp(chequer, warp)[INSIDE] - 0.5).max() < 0.26
    assert apply_warp(chequer, warp)[INSIDE].std() < 0.1


def test_warped_values_stay_in_range() -> None:
    """Cubic resampling overshoots at edges; the result does not."""
    stripes = (np.indices((200, 180)).sum(axis=0) % 7 < 3).astype(np.float32)[:, :, None]
    warped = apply_warp(stripes, build_warp_map(mesh_at(31.3, 30.6, 95), MESH[:FACE_POINT_COUNT], BOX))
    assert warped.min() >= 0
    assert warped.max() <= 1


def test_a_ramp_of_brightness_is_warped_exactly() -> None:
    """Brightness that grows evenly to the right does so in the warped face, at its own scale."""
    ramp = np.broadcast_to(np.linspace(0, 1, 400, dtype=np.float32)[None, :, None], (400, 400, 1))
    source = mesh_at(80, 80, 200)
    warped = apply_warp(np.ascontiguousarray(ramp), build_warp_map(source, MESH[:FACE_POINT_COUNT], BOX))[:, :, 0]
    x = (COLUMNS + 0.5 - 30) * 2 + 80 - 0.5
    assert np.abs(warped - x / 399)[INSIDE].max() < 2e-3
    assert face_size(source) == pytest.approx(200, rel=2e-3)
