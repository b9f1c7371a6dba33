"""Faces are aligned by rotation, scale and shift, without mirroring or skew."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldsmith.engines.drivers._face_alignment import _LANDMARK_TEMPLATE, align_square, aligned_crop

ANGLES = st.floats(-3, 3)


@given(ANGLES, st.floats(0.3, 8), st.floats(-500, 500), st.booleans())
def test_a_template_is_aligned_at_any_rotation_and_scale(angle: float, scale: float, shift: float, is_wide: bool) -> None:
    """Check that the corners of the square are those that generated the points."""
    template = (_LANDMARK_TEMPLATE + np.array([8, 0])) / 128 if is_wide else _LANDMARK_TEMPLATE / 112
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    landmarks = 100 * template @ np.array([[cos, sin], [-sin, cos]]) + shift
    square = align_square(landmarks.astype(np.float32), 64, wide=is_wide)
    assert square.side == pytest.approx(100 * scale, rel=1e-3)
    assert math.cos(square.angle - angle) == pytest.approx(1, abs=1e-5)
    assert square.to_picture(np.float32([[0, 0]]), 64)[0] == pytest.approx((shift, shift), abs=0.1 + 0.01 * scale)


def test_a_wide_face_is_not_squeezed() -> None:
    """Check that the square follows the nearest similarity, which keeps the face wide."""
    wide = _LANDMARK_TEMPLATE * [1.3, 1]
    square = align_square(wide.astype(np.float32), 112)
    assert square.angle == pytest.approx(0, abs=0.01)
    assert 112 < square.side < 1.3 * 112


def test_the_nose_is_at_its_position_in_the_crop() -> None:
    """Check a bright spot at the nose."""
    pixels = np.zeros((300, 300, 3), np.float32)
    points = (2 * _LANDMARK_TEMPLATE + 30).astype(np.float32)
    x, y = (round(float(value)) for value in points[2])
    pixels[y - 3 : y + 3, x - 3 : x + 3] = 1
    crop = aligned_crop(pixels, points, 112)[:, :, 0]
    row, column = np.unravel_index(int(crop.argmax()), crop.shape)
    assert (column + 0.5, row + 0.5) == pytest.approx(tuple(_LANDMARK_TEMPLATE[2]), abs=1.6)
