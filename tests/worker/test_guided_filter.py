"""A coarse matte brought to the picture's edges: sharper than it came, exact where nothing is in doubt, at any size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from goldsmith.worker.guided_filter import refine_matte


def scene(side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A light disc with a little texture on a dark ground, and its true matte."""
    down, across = np.mgrid[0:side, 0:side]
    inside = (np.hypot(down - side / 2, across - side / 2) < side / 3).astype(np.float32)
    noise = np.random.default_rng(3).normal(0, 0.02, (side, side, 1))
    pixels = inside[..., None] * np.array([0.8, 0.5, 0.3]) + (1 - inside[..., None]) * np.array([0.2, 0.3, 0.4]) + noise
    return np.clip(pixels, 0, 1).astype(np.float32), inside


def coarse(matte: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """The matte as a net of so many px would give it."""
    small = cv2.resize(matte, (side, side), interpolation=cv2.INTER_AREA)
    return np.clip(cv2.resize(small, matte.shape[::-1], interpolation=cv2.INTER_LINEAR), 0, 1)


@pytest.mark.parametrize("side", [200, 640, 1500])
def test_edges_come_to_where_the_pictures_are(side: int) -> None:
    """The error left is a small part of what the coarse matte had, also where the picture is larger than what is looked at."""
    pixels, true = scene(side)
    rough = coarse(true, 40)
    made = refine_matte(rough, pixels, 40)
    assert (made.shape, made.dtype) == (true.shape, np.float32)
    assert np.abs(made - true).mean() < 0.35 * np.abs(rough - true).mean()


def test_what_is_sure_is_exact() -> None:
    """Far from any edge a matte is 0 or 1 to the last bit, whatever texture is there: outside the region nothing may change."""
    pixels, true = scene(300)
    made = refine_matte(coarse(true, 40), pixels, 40)
    assert set(np.unique(made[:40, :40])) == {0.0}
    assert set(np.unique(made[130:170, 130:170])) == {1.0}
    assert 0 <= made.min() <= made.max() <= 1


def test_a_matte_that_is_all_one_thing_stays_so() -> None:
    """Nothing and everything have no edges."""
    pixels, _ = scene(100)
    assert not refine_matte(np.zeros((100, 100), np.float32), pixels, 40).any()
    assert refine_matte(np.ones((100, 100), np.float32), pixels, 40).min() == 1


def test_a_grey_picture_guides_too() -> None:
    """One channel has edges as well."""
    pixels, true = scene(300)
    rough = coarse(true, 40)
    made = refine_matte(rough, np.ascontiguousarray(pixels[:, :, :1]), 40)
    assert np.abs(made - true).mean() < 0.5 * np.abs(rough - true).mean()


def test_large_and_small_pictures_get_the_same_edge() -> None:
    """What is found at the working size is laid over the full one."""
    pixels, true = scene(2048)
    large = refine_matte(coarse(true, 64), pixels, 64)

    def halved(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.resize(plane, (1024, 1024), interpolation=cv2.INTER_AREA), np.float32)

    small = refine_matte(halved(coarse(true, 64)), halved(pixels), 64)
    assert np.abs(halved(large) - small).mean() < 0.01


def test_a_narrow_picture_is_no_fault() -> None:
    """A strip of one row, and one px."""
    for shape in ((1, 300), (300, 1), (1, 1)):
        made = refine_matte(np.full(shape, 0.5, np.float32), np.full((*shape, 3), 0.5, np.float32), 40)
        assert made.shape == shape
