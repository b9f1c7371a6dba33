"""The warp: exact where the map is affine, the same face stays where it is, each point of the mesh lands on its own, nothing aliases."""

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


def test_a_face_onto_itself_stays_where_it_is() -> None:
    """Every pixel comes from its own place."""
    along = build_warp_map(MESH, MESH[:FACE_POINT_COUNT], BOX)
    assert np.abs(along.x - COLUMNS)[INSIDE].max() < 1e-3
    assert np.abs(along.y - ROWS)[INSIDE].max() < 1e-3
    assert along.scale == pytest.approx(1)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.3, 3), st.floats(0.3, 3), st.floats(-1, 1), st.floats(-1, 1), st.floats(-99, 99))
def test_an_affine_map_of_the_mesh_is_that_map_at_every_pixel(across: float, down: float, one: float, other: float, shift: float) -> None:
    """Whatever the triangles: piecewise affine is affine where all pieces agree."""
    matrix = np.array([[across, one * 0.2], [other * 0.2, down]])
    source = (MESH.astype(np.float64) @ matrix + shift).astype(np.float32)
    along = build_warp_map(source, MESH[:FACE_POINT_COUNT], BOX)
    wanted = np.stack([COLUMNS + 0.5, ROWS + 0.5], axis=2) @ matrix + shift - 0.5
    assert np.abs(along.x - wanted[..., 0])[INSIDE].max() < 0.02
    assert np.abs(along.y - wanted[..., 1])[INSIDE].max() < 0.02


def test_each_point_of_the_mesh_comes_from_its_own_in_the_source() -> None:
    """Where the pixel under it is, within a px; the map does not tear between neighbours."""
    source = mesh_at(400, 100, 150, turn=15, aside=0.3)
    along = build_warp_map(source, MESH[:FACE_POINT_COUNT], BOX)
    for number in (4, 61, 291, 33, 263, 152, 205):
        x, y = (MESH[number] - [BOX.left, BOX.top]).astype(int)
        assert (along.x[y, x], along.y[y, x]) == pytest.approx(tuple(source[number] - 0.5), abs=2.0)
    steps = np.abs(np.diff(along.x, axis=1))[INSIDE[:, 1:] & INSIDE[:, :-1]]
    assert np.percentile(steps, 99.5) < 4


def test_outside_the_mesh_nothing_comes_from_anywhere() -> None:
    """Its place is far outside of every picture."""
    along = build_warp_map(MESH, MESH[:FACE_POINT_COUNT], BOX)
    assert along.x[0, 0] < -1000
    assert along.y[-1, -1] < -1000


def test_a_triangle_that_is_flat_breaks_nothing() -> None:
    """Points that lie on each other: a mouth that is shut."""
    shut = MESH.copy()
    shut[list(LIPS)] = shut[0]
    for source, onto in ((shut, MESH), (MESH, shut)):
        along = build_warp_map(source, onto[:FACE_POINT_COUNT], BOX)
        assert np.isfinite(along.x).all()
        assert np.isfinite(along.y).all()


def test_an_affine_fit_is_exact_where_there_is_one() -> None:
    """(3, 2), by least squares."""
    matrix = np.array([[2.0, 0.5], [-0.3, 1.5], [10, 20]])
    given_ = MESH.astype(np.float64)
    assert fit_affine(given_, np.hstack([given_, np.ones((len(given_), 1))]) @ matrix) == pytest.approx(matrix, abs=1e-6)


def test_with_no_shape_of_its_own_a_face_takes_the_other_s() -> None:
    """And with all of it only the outline does; between, the way is a share of that."""
    source = mesh_at(300, 10, 70, aside=0.5)
    none, half, whole = (place_source_landmarks(source, MESH, own) for own in (0, 0.5, 1))
    assert np.array_equal(none, MESH[:FACE_POINT_COUNT])
    assert np.abs(whole[list(OUTLINE)] - MESH[list(OUTLINE)]).max() < 1e-3
    assert np.abs(whole[4] - MESH[4]).max() > 3
    assert half == pytest.approx((none + whole) / 2, abs=1e-3)


@given(st.floats(0.5, 4), st.floats(-90, 90))
def test_the_same_face_at_another_size_and_turn_has_no_other_shape(size: float, turn: float) -> None:
    """The affine fit takes place, size and turn away: nothing of its own is left."""
    source = mesh_at(77, -30, 100 * size, turn)
    assert np.abs(place_source_landmarks(source, MESH, 1) - MESH[:FACE_POINT_COUNT]).max() < 0.05


def test_what_is_made_smaller_is_averaged() -> None:
    """A fine chequer from a source four times as large comes out grey, not as moiré."""
    source = mesh_at(60, 60, 400)
    rows, columns = np.mgrid[:560, :520]
    light = ((rows // 2 + columns // 2) % 2).astype(np.float32)[:, :, None]
    along = build_warp_map(source, MESH[:FACE_POINT_COUNT], BOX)
    assert along.scale == pytest.approx(4, rel=0.01)
    assert np.abs(apply_warp(light, along)[INSIDE] - 0.5).max() < 0.26
    assert apply_warp(light, along)[INSIDE].std() < 0.1


def test_values_stay_within_light() -> None:
    """A cubic resampling overshoots at edges; what comes out does not."""
    light = (np.indices((200, 180)).sum(axis=0) % 7 < 3).astype(np.float32)[:, :, None]
    made = apply_warp(light, build_warp_map(mesh_at(31.3, 30.6, 95), MESH[:FACE_POINT_COUNT], BOX))
    assert made.min() >= 0
    assert made.max() <= 1


def test_a_slope_is_carried_over_exactly() -> None:
    """Light that grows evenly to the right does so in the face that comes, at its own scale."""
    light = np.broadcast_to(np.linspace(0, 1, 400, dtype=np.float32)[None, :, None], (400, 400, 1))
    source = mesh_at(80, 80, 200)
    made = apply_warp(np.ascontiguousarray(light), build_warp_map(source, MESH[:FACE_POINT_COUNT], BOX))[:, :, 0]
    x = (COLUMNS + 0.5 - 30) * 2 + 80 - 0.5
    assert np.abs(made - x / 399)[INSIDE].max() < 2e-3
    assert face_size(source) == pytest.approx(200, rel=2e-3)
