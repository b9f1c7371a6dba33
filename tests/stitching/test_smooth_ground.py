"""Smooth grounds: a hole in a wall or a sky is continued without a model, with the grain of its surroundings."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels
from goldsmith.picture.smoothing import gaussian_blur
from goldsmith.stitching.smooth_ground import copy_grain, fill_smooth, fit_surface, measure_smoothness

SIDE = 160


def _hole(top: int = 50, left: int = 50, bottom: int = 110, right: int = 110) -> NDArray[np.bool_]:
    hole = np.zeros((SIDE, SIDE), dtype=np.bool_)
    hole[top:bottom, left:right] = True
    return hole


def _nothing() -> NDArray[np.bool_]:
    return np.zeros((SIDE, SIDE), dtype=np.bool_)


def _slope() -> Pixels:
    """Return a sky: it becomes brighter to the right and, more and more, downwards."""
    down, across = np.mgrid[:SIDE, :SIDE].astype(np.float32) / SIDE
    return np.stack([0.3 + 0.3 * across, 0.4 + 0.2 * down * down, 0.5 + 0 * down], axis=2).astype(np.float32)


def _grain(sigma: float, blur: float = 0.0) -> Pixels:
    noise = np.random.default_rng(5).normal(0, 1, (SIDE, SIDE, 3)).astype(np.float32)
    noise = gaussian_blur(noise, blur) if blur else noise
    return np.asarray(noise * np.float32(sigma / noise.std()), dtype=np.float32)


def test_one_flat_colour_continues_as_that_colour() -> None:
    """Every pixel of the hole is within a tenth of a code of 8 bits."""
    flat = np.broadcast_to(np.float32([0.2, 0.5, 0.8]), (SIDE, SIDE, 3))
    pixels = np.where(_hole()[..., None], 1, flat).astype(np.float32)
    assert np.abs(fill_smooth(pixels, _hole(), _nothing(), 1) - flat).max() < 0.1 / 255


@pytest.mark.parametrize("corners", [(50, 50, 110, 110), (0, 40, 50, 120), (100, 100, 160, 160)], ids=["inside", "edge", "corner"])
def test_a_slope_continues_through_the_hole(corners: tuple[int, int, int, int]) -> None:
    """At the picture's edge there is nothing beyond the hole, and the slope is guessed to three codes."""
    hole = _hole(*corners)
    pixels = np.where(hole[..., None], 0, _slope()).astype(np.float32)
    filled = fill_smooth(pixels, hole, _nothing(), 1)
    assert np.abs(filled - _slope()).max() < 3 / 255
    assert np.array_equal(filled[~hole], pixels[~hole])


@pytest.mark.parametrize("blur", [0.0, 1.2])
def test_the_fill_has_the_grain_of_its_surroundings(blur: float) -> None:
    """Its strength is right to a tenth, and how much neighbouring pixels have in common too: grain of a scan is soft."""
    pixels = _slope() + _grain(3 / 255, blur)
    filled = fill_smooth(pixels, _hole(), _nothing(), 1) - _slope()
    inside, outside = filled[50:110, 50:110, 0], filled[50:110, 110:, 0]
    assert inside.std() == pytest.approx(outside.std(), rel=0.12)

    def neighbours_in_common(values: NDArray[np.float32]) -> float:
        return float(np.corrcoef(values[:, :-1].ravel(), values[:, 1:].ravel())[0, 1])

    assert neighbours_in_common(inside) == pytest.approx(neighbours_in_common(outside), abs=0.12)
    assert abs(float(inside.mean())) < 0.6 / 255


def test_grain_follows_the_tone() -> None:
    """In a picture whose light part alone is grainy, a hole in the dark part stays clean."""
    pixels = np.full((SIDE, SIDE, 3), 0.2, dtype=np.float32)
    pixels[:, 110:] = 0.7
    surface = pixels.copy()
    pixels[:, 110:] += _grain(4 / 255)[:, 110:]
    grain = copy_grain(pixels, surface, _hole(50, 4, 110, 64), 1)
    assert grain[55:105, 9:59].std() < 1 / 255


def test_the_rim_of_an_object_does_not_bend_the_ground() -> None:
    """A dark shadow along one side of the hole does not count."""
    pixels = _slope()
    pixels[50:110, 110:114] -= 0.15
    surface = fit_surface(pixels, ~_hole())
    assert np.abs(surface - _slope())[60:100, 60:100].max() < 3 / 255


def test_the_same_seed_gives_the_same_fill() -> None:
    """Another seed gives other grain."""
    pixels = _slope() + _grain(3 / 255)
    first, second, third = (fill_smooth(pixels, _hole(), _nothing(), seed) for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)


def test_slopes_and_grain_are_smooth_and_forms_are_not() -> None:
    """Smooth surroundings need no model; cloth, stripes and a horizon do."""
    rows = np.arange(SIDE, dtype=np.float32)[:, None, None]
    horizon = np.where(rows < 80, np.float32(0.7), np.float32(0.3)) + np.zeros((SIDE, SIDE, 3), dtype=np.float32)
    stripes = np.float32(0.5) + np.float32(0.05) * np.sin(rows / 2) + np.zeros((SIDE, SIDE, 3), dtype=np.float32)
    assert measure_smoothness(_slope() + _grain(2 / 255), _hole(), _nothing()).is_smooth
    for pixels in (horizon, stripes):
        assert not measure_smoothness(pixels, _hole(), _nothing()).is_smooth


def test_small_forms_alone_settle_that_a_ground_is_not_smooth(monkeypatch: pytest.MonkeyPatch) -> None:
    """On cloth no surface is fitted, which takes long; a slope with grain needs it."""
    fitted: list[int] = []

    def fit(pixels: Pixels, known: NDArray[np.bool_]) -> Pixels:
        fitted.append(1)
        return fit_surface(pixels, known)

    monkeypatch.setattr("goldsmith.stitching.smooth_ground.fit_surface", fit)
    enlarged = [np.kron(each, np.ones((4, 4, 1), dtype=np.float32)) for each in (_slope(), _slope() + _grain(0.1))]
    hole = np.kron(_hole(), np.ones((4, 4), dtype=np.bool_))
    slope, cloth = (measure_smoothness(each, hole, np.zeros_like(hole)) for each in enlarged)
    assert slope.is_smooth
    assert not cloth.is_nearly_smooth
    assert len(fitted) == 1


def test_what_is_hidden_is_not_looked_at() -> None:
    """A subject beside the hole does not make a smooth ground rough."""
    pixels, hidden = _slope(), _hole(50, 115, 110, 150)
    pixels[hidden] = np.random.default_rng(1).random((int(hidden.sum()), 3))
    assert measure_smoothness(pixels, _hole(), hidden).is_smooth
    assert not measure_smoothness(pixels, _hole(), _nothing()).is_smooth
    assert np.abs(fill_smooth(pixels, _hole(), hidden, 1) - _slope())[_hole()].max() < 2 / 255
