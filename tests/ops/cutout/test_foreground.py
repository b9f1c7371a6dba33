"""The subject's own colours: nearer to the truth than the picture, and no tile to be seen."""

from __future__ import annotations

import numpy as np
import pytest

from doubles.mattes import scene
from goldsmith.ops.cutout import foreground as module
from goldsmith.ops.cutout.foreground import estimate_foreground

SEEN = scene(240, 320)
SOFT = (SEEN.alpha > 0) & (SEEN.alpha < 1)


def test_the_colours_come_near_the_truth() -> None:
    """With the true alpha the error in half-transparent pixels falls below a quarter of the picture's."""
    half = (SEEN.alpha > 0.2) & (SEEN.alpha < 0.8)
    found = estimate_foreground(SEEN.pixels, SEEN.alpha, SOFT)
    before, after = (np.abs(pixels - SEEN.front)[half].mean() for pixels in (SEEN.pixels, found))
    assert after < before / 4


def test_what_is_not_wanted_is_not_touched() -> None:
    """Outside, the very values."""
    found = estimate_foreground(SEEN.pixels, SEEN.alpha, SOFT)
    assert np.array_equal(found[~SOFT], SEEN.pixels[~SOFT])
    assert not np.array_equal(found[SOFT], SEEN.pixels[SOFT])


def test_tiles_are_the_same_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small tiles give the very same colours as one."""
    monkeypatch.setattr(module, "_TILE", 4096)
    whole = estimate_foreground(SEEN.pixels, SEEN.alpha, SOFT)
    monkeypatch.setattr(module, "_TILE", 50)
    assert np.abs(estimate_foreground(SEEN.pixels, SEEN.alpha, SOFT) - whole).max() < 1e-5


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (33, 2)])
def test_any_shape_is_taken(shape: tuple[int, int]) -> None:
    """Down to one pixel, values stay in 0..1."""
    random = np.random.default_rng(1)
    found = estimate_foreground(random.random((*shape, 3), np.float32), random.random(shape, np.float32), np.ones(shape, np.bool_))
    assert found.shape == (*shape, 3)
    assert found.min() >= 0
    assert found.max() <= 1
