"""The parts of a face as masks: at the right place, at any size, within the picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubles.faces import mesh_at
from goldsmith.ops.face_swap.face_parts import FaceParts, face_box
from goldsmith.ops.face_swap.landmarks import FACE_POINT_COUNT


def _parts(size: float) -> FaceParts:
    mesh = mesh_at(0.4 * size, 0.3 * size, size)
    return FaceParts(mesh, face_box(mesh, round(2 * size), round(2 * size)))


@given(st.floats(-400, 700), st.floats(-400, 700), st.floats(0.5, 600), st.integers(1, 300), st.integers(1, 300))
def test_a_box_lies_in_the_picture_and_is_never_empty(left: float, top: float, size: float, height: int, width: int) -> None:
    """This holds wherever the face is, even outside the picture; every mask has the box's size."""
    mesh = mesh_at(left, top, size)
    box = face_box(mesh, height, width)
    assert 0 <= box.top < box.bottom <= height
    assert 0 <= box.left < box.right <= width
    parts = FaceParts(mesh, box)
    assert parts.depth.shape == parts.features.shape == parts.reliable_skin.shape == parts.eyes.shape == (box.height, box.width)


@pytest.mark.parametrize("size", [40, 100, 400])
def test_the_inside_has_the_face_s_area(size: int) -> None:
    """A face covers a square of its size, and its deepest point is about half of that from the outline."""
    parts = _parts(size)
    assert parts.inside.sum() == pytest.approx(size**2, rel=0.05)
    assert 0.35 * size < parts.depth.max() < 0.6 * size
    assert parts.size == pytest.approx(size, rel=0.01)


@pytest.mark.parametrize("size", [60, 300])
def test_features_and_reliable_skin_are_separate_and_inside(size: int) -> None:
    """Cheeks and nose hardly overlap the eyes, brows and lips; the eyes lie within the features."""
    parts = _parts(size)
    assert (parts.reliable_skin * parts.features).sum() < 0.12 * parts.reliable_skin.sum()
    assert parts.eyes[parts.features < 0.5].sum() < 0.05 * parts.eyes.sum()
    for mask in (parts.reliable_skin, parts.features, parts.eyes):
        assert 0.005 * size**2 < mask.sum() < 0.5 * size**2
        assert mask[parts.inside == 0].sum() < 0.02 * mask.sum()


def test_each_part_lies_at_its_landmarks() -> None:
    """The pupils are in the eyes, the corners of the mouth in the features, and the tip of the nose in the reliable skin."""
    parts = _parts(200)

    def value_at(mask: np.ndarray, number: int) -> float:
        x, y = parts.mesh[number] - np.array([parts.box.left, parts.box.top])
        return float(mask[int(y), int(x)])

    assert value_at(parts.eyes, 468) == value_at(parts.eyes, 473) == 1
    assert value_at(parts.features, 61) == value_at(parts.features, 105) == 1
    assert value_at(parts.reliable_skin, 4) == 1
    assert value_at(parts.reliable_skin, 468) == 0
    assert len(parts.mesh) > FACE_POINT_COUNT
