"""Resizing keeps means, blurring keeps flat fields flat, and filling keeps known values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.picture.smoothing import gaussian_blur, pull_push_fill, resize_values


def test_resizing_keeps_shape_and_mean() -> None:
    """Area averaging shrinks, bicubic interpolation enlarges; a mask stays two-dimensional."""
    mask = np.random.default_rng(0).random((40, 60), dtype=np.float32)
    small = resize_values(mask, 20, 30)
    assert small.shape == (20, 30)
    assert float(small.mean()) == pytest.approx(float(mask.mean()), abs=1e-5)
    assert resize_values(mask[..., None], 80, 120).shape == (80, 120, 1)


def test_resizing_to_the_same_size_returns_the_same_array() -> None:
    """The array is returned without a computation."""
    values = np.ones((5, 7, 3), dtype=np.float32)
    assert resize_values(values, 5, 7) is values


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 3), (30, 20, 3), (30, 20)])
def test_a_flat_field_stays_flat(shape: tuple[int, ...]) -> None:
    """Borders do not darken, and no axis is lost."""
    blurred = gaussian_blur(np.full(shape, 0.3, dtype=np.float32), 4)
    assert blurred.shape == shape
    assert blurred == pytest.approx(0.3, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_a_fill_keeps_known_values_and_stays_between_them(height: int, width: int, seed: int) -> None:
    """Known values are kept; others stay within their range, except for the overshoot of bicubic interpolation."""
    random = np.random.default_rng(seed)
    values = random.random((height, width, 3), dtype=np.float32)
    trust = (random.random((height, width)) < 0.3).astype(np.float32)
    trust[0, 0] = 1
    field = pull_push_fill(values, trust)
    known = trust > 0
    assert np.allclose(field[known], values[known], atol=1e-5)
    assert field.min() > values[known].min() - 0.2
    assert field.max() < values[known].max() + 0.2


def test_a_fill_extends_a_constant() -> None:
    """If the rim is 0.25, the middle becomes 0.25, whatever the unknown values are."""
    values = np.random.default_rng(0).random((60, 80, 3), dtype=np.float32)
    trust = np.zeros((60, 80), dtype=np.float32)
    values[0], trust[0] = 0.25, 1
    assert pull_push_fill(values, trust) == pytest.approx(0.25, abs=1e-4)
