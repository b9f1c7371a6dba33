"""Matching: tone, grain and light of the picture on a layer, within bounds."""

from __future__ import annotations

import numpy as np
import pytest

from goldsmith.picture.harmonisation import match_grain, transfer_colour, wrap_light
from goldsmith.picture.quality_metrics import estimate_noise

RANDOM = np.random.default_rng(1)
WHOLE = np.ones((200, 200), np.float32)


def _tones(mean: tuple[float, float, float], spread: float) -> np.ndarray:
    return np.clip(np.array(mean) + RANDOM.normal(0, spread, (200, 200, 1)), 0, 1).astype(np.float32)


def test_tone_comes_towards_the_ground_by_its_amount() -> None:
    """Half of it goes half as far; none of it goes nowhere; a darker, bluer ground makes a darker, bluer layer."""
    layer, ground = _tones((0.55, 0.5, 0.46), 0.05), _tones((0.45, 0.44, 0.46), 0.05)
    whole, half = transfer_colour(layer, WHOLE, ground, 1.0), transfer_colour(layer, WHOLE, ground, 0.5)
    assert np.abs(transfer_colour(layer, WHOLE, ground, 0.0) - layer).max() < 2e-3
    before, after, between = (np.abs(made.mean(axis=(0, 1)) - ground.mean(axis=(0, 1))).max() for made in (layer, whole, half))
    assert after < 0.1 * before
    assert 0.3 * before < between < 0.7 * before


def test_contrast_is_matched_within_bounds() -> None:
    """A flat layer on a contrasty ground gains contrast, at most 1.6 times."""
    layer, ground = _tones((0.5, 0.5, 0.5), 0.03), _tones((0.5, 0.5, 0.5), 0.25)
    gain = transfer_colour(layer, WHOLE, ground, 1.0).std() / layer.std()
    assert 1.4 < gain < 1.65


def test_a_red_box_stays_a_red_box() -> None:
    """However blue the ground, the hue is not turned round."""
    made = transfer_colour(_tones((0.8, 0.1, 0.1), 0.03), WHOLE, _tones((0.1, 0.1, 0.9), 0.03), 1.0).mean(axis=(0, 1))
    assert made[0] > 2 * made[2]
    assert made[0] > 2 * made[1]


def test_only_what_shows_is_measured() -> None:
    """Colours under zero cover change nothing about the tone."""
    layer, ground = _tones((0.6, 0.5, 0.4), 0.05), _tones((0.4, 0.42, 0.5), 0.05)
    cover = WHOLE.copy()
    cover[:, 100:] = 0
    hidden = layer.copy()
    hidden[:, 100:] = (0, 1, 0)
    one, other = transfer_colour(layer, cover, ground, 1.0), transfer_colour(hidden, cover, ground, 1.0)
    assert np.abs(one[:, :90] - other[:, :90]).max() < 0.01
    assert transfer_colour(layer, np.zeros_like(WHOLE), ground, 1.0) is layer


def test_a_grey_layer_is_toned_in_grey() -> None:
    """One channel stays one, on a coloured ground as well."""
    made = transfer_colour(_tones((0.6, 0.6, 0.6), 0.05)[:, :, :1], WHOLE, _tones((0.4, 0.4, 0.4), 0.05), 1.0)
    assert made.shape == (200, 200, 1)
    assert made.mean() == pytest.approx(0.4, abs=0.03)


def test_a_clean_layer_becomes_as_grainy_as_the_ground() -> None:
    """Measured again it has the ground's noise; the same seed gives the same grain."""
    layer, ground = np.full((200, 200, 3), 0.5, np.float32), _tones((0.5, 0.5, 0.5), 0.03)
    made, added = match_grain(layer, WHOLE, ground, 4)
    assert added == pytest.approx(0.03, rel=0.1)
    assert estimate_noise(made.mean(axis=2)) == pytest.approx(0.03, rel=0.15)
    assert np.ptp(made - layer, axis=2).max() < 1e-6
    assert np.array_equal(made, match_grain(layer, WHOLE, ground, 4)[0])
    assert not np.array_equal(made, match_grain(layer, WHOLE, ground, 5)[0])


def test_a_grainy_layer_on_a_clean_ground_is_left_alone() -> None:
    """Grain is added, never taken away."""
    layer = _tones((0.5, 0.5, 0.5), 0.03)
    made, added = match_grain(layer, WHOLE, np.full((200, 200, 3), 0.5, np.float32), 4)
    assert made is layer
    assert added == 0


@pytest.mark.parametrize("radius", [0.2, 3, 17])
def test_light_runs_over_the_edge_and_not_beyond(radius: float) -> None:
    """A dark layer on a bright ground is lit at its edge, dark in its middle; outside not a bit changes; a dark ground lights nothing."""
    cover = np.zeros((200, 200), np.float32)
    cover[50:150, 50:150] = 1
    bright, laid = np.full((200, 200, 3), 0.9, np.float32), np.full((200, 200, 3), 0.9, np.float32)
    laid[50:150, 50:150] = 0.1
    made = wrap_light(laid, bright, cover, 1.0, radius)
    assert np.array_equal(made[cover == 0], laid[cover == 0])
    assert made.max() <= 1
    if radius > 1:
        assert made[50, 100, 0] > 0.4
        assert made[100, 100, 0] < made[50, 100, 0] - 0.2
        assert (np.diff(made[50:100, 100, 0]) <= 1e-4).all()
    assert np.array_equal(wrap_light(laid, np.zeros_like(bright), cover, 1.0, radius), laid)
