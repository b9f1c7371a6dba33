"""Shadows, midtones and highlights: three soft ranges of brightness."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from goldsmith.picture.tonal_ranges import zone_weights


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=50))
def test_zone_weights_add_up_to_one(values: list[float]) -> None:
    """Shadows, midtones and highlights are each 0..1 and add up to 1 everywhere."""
    weights = zone_weights(np.array([values], np.float32))
    assert np.allclose(sum(weights), 1.0, atol=1e-6)
    assert all(weight.min() >= -1e-6 and weight.max() <= 1 + 1e-6 for weight in weights)


def test_each_range_ends_where_the_opposite_one_begins() -> None:
    """Shadows are exactly zero from one half up, highlights from one half down, and black and white belong to one range alone."""
    luma = np.linspace(0, 1, 101, dtype=np.float32)[None]
    shadows, midtones, highlights = zone_weights(luma)
    assert not shadows[luma >= 0.5].any()
    assert not highlights[luma <= 0.5].any()
    assert [float(weights[0, 0]) for weights in (shadows, midtones, highlights)] == [1, 0, 0]
    assert [float(weights[0, -1]) for weights in (shadows, midtones, highlights)] == [0, 0, 1]
