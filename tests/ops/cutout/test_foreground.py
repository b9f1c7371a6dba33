"""The subject's own colours: closer to the true ones than the picture's, and without visible tiles."""

from __future__ import annotations

import numpy as np
import pytest

from doubles.mattes import scene
from goldsmith.ops.cutout import foreground as module
from goldsmith.ops.cutout.foreground import estimate_foreground

SCENE = scene(240, 320)
SOFT = (SCENE.alpha > 0) & (SCENE.alpha < 1)


def test_the_estimate_comes_close_to_the_true_colours() -> None:
    """With the true alpha the error in half-transparent pixels falls below a quarter of the picture's."""
    half_transparent = (SCENE.alpha > 0.2) & (SCENE.alpha < 0.8)
    colours = estimate_foreground(SCENE.pixels, SCENE.alpha, SOFT)
    before, after = (np.abs(pixels - SCENE.front)[half_transparent].mean() for pixels in (SCENE.pixels, colours))
    assert after < before / 4


def test_pixels_outside_the_selection_are_unchanged() -> None:
    """Inside the selection, colours change."""
    colours = estimate_foreground(SCENE.pixels, SCENE.alpha, SOFT)
    assert np.array_equal(colours[~SOFT], SCENE.pixels[~SOFT])
    assert not np.array_equal(colours[SOFT], SCENE.pixels[SOFT])


def test_small_tiles_equal_one_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The colours do not depend on the tiles."""
    monkeypatch.setattr(module, "_TILE", 4096)
    whole = estimate_foreground(SCENE.pixels, SCENE.alpha, SOFT)
    monkeypatch.setattr(module, "_TILE", 50)
    assert np.abs(estimate_foreground(SCENE.pixels, SCENE.alpha, SOFT) - whole).max() < 1e-5


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (33, 2)])
def test_pictures_of_any_shape_are_estimated(shape: tuple[int, int]) -> None:
    """Down to one pixel, values stay in 0..1."""
    random = np.random.default_rng(1)
    colours = estimate_foreground(random.random((*shape, 3), np.float32), random.random(shape, np.float32), np.ones(shape, np.bool_))
    assert colours.shape == (*shape, 3)
    assert colours.min() >= 0
    assert colours.max() <= 1
