"""Harmonisation: a layer gets the grain and the light of the picture, within bounds."""

from __future__ import annotations

import numpy as np
import pytest

from goldsmith.picture.harmonisation import match_grain, wrap_light
from goldsmith.picture.quality_metrics import estimate_noise

RANDOM = np.random.default_rng(1)
WHOLE = np.ones((200, 200), np.float32)


def _tones(mean: tuple[float, float, float], spread: float) -> np.ndarray:
    return np.clip(np.array(mean) + RANDOM.normal(0, spread, (200, 200, 1)), 0, 1).astype(np.float32)


def test_a_clean_layer_becomes_as_grainy_as_the_ground() -> None:
    """Measured again, the layer has the ground's noise; the same seed gives the same grain."""
    layer, ground = np.full((200, 200, 3), 0.5, np.float32), _tones((0.5, 0.5, 0.5), 0.03)
    result, added = match_grain(layer, WHOLE, ground, 4)
    assert added == pytest.approx(0.03, rel=0.1)
    assert estimate_noise(result.mean(axis=2)) == pytest.approx(0.03, rel=0.15)
    assert np.ptp(result - layer, axis=2).max() < 1e-6
    assert np.array_equal(result, match_grain(layer, WHOLE, ground, 4)[0])
    assert not np.array_equal(result, match_grain(layer, WHOLE, ground, 5)[0])


def test_a_grainy_layer_on_a_clean_ground_is_not_changed() -> None:
    """Grain is added, never removed."""
    layer = _tones((0.5, 0.5, 0.5), 0.03)
    result, added = match_grain(layer, WHOLE, np.full((200, 200, 3), 0.5, np.float32), 4)
    assert result is layer
    assert added == 0


@pytest.mark.parametrize("radius", [0.2, 3, 17])
def test_light_of_the_ground_reaches_over_the_edge_of_a_layer_only(radius: float) -> None:
    """Dark layers on a bright ground are lit at their edge; the middle and the outside do not change; a dark ground gives no light."""
    cover = np.zeros((200, 200), np.float32)
    cover[50:150, 50:150] = 1
    bright, placed = np.full((200, 200, 3), 0.9, np.float32), np.full((200, 200, 3), 0.9, np.float32)
    placed[50:150, 50:150] = 0.1
    result = wrap_light(placed, bright, cover, 1.0, radius)
    assert np.array_equal(result[cover == 0], placed[cover == 0])
    assert result.max() <= 1
    if radius > 1:
        assert result[50, 100, 0] > 0.4
        assert result[100, 100, 0] < result[50, 100, 0] - 0.2
        assert (np.diff(result[50:100, 100, 0]) <= 1e-4).all()
    assert np.array_equal(wrap_light(placed, np.zeros_like(bright), cover, 1.0, radius), placed)
