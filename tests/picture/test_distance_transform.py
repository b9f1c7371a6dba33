"""Distances into a shape are exact to the bit, wherever the array is in memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.picture.distance_transform import distance_transform


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 25), st.integers(2, 25))
def test_the_result_is_the_distance_to_the_nearest_pixel_outside(seed: int, height: int, width: int) -> None:
    """Distances equal a search of all pixels outside."""
    shape = (np.random.default_rng(seed).random((height, width)) < 0.8).astype(np.uint8)
    shape[0, 0] = 0
    outside = np.argwhere(shape == 0)
    for row, column in np.argwhere(np.ones_like(shape)):
        expected = np.sqrt(np.float64(np.square(outside - [row, column]).sum(axis=1).min()))
        assert distance_transform(shape)[row, column] == np.float32(expected)


def test_the_result_does_not_depend_on_the_memory_address() -> None:
    """Copies at a hundred other addresses give the same bits."""
    shape = np.zeros((140, 117), np.uint8)
    shape[3:130, 5:110] = 1
    first = distance_transform(shape)
    padding = []
    for number in range(100):
        padding.append(np.zeros(1 + 37 * number, np.uint8))
        assert np.array_equal(distance_transform(shape.copy()), first)


@pytest.mark.parametrize("kind", [np.bool_, np.uint8])
def test_booleans_and_bytes_are_accepted(kind: type) -> None:
    """Shapes without any pixel give zeros."""
    assert not distance_transform(np.zeros((4, 5), kind)).any()
