"""A coarse matte is refined to the picture's edges: sharper, exact away from edges, at any size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from goldsmith.worker.guided_filter import refine_matte


def scene(side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a light disc with a little texture on a dark ground, (h, w, 3) 0..1, and its true matte (h, w)."""
    down, across = np.mgrid[0:side, 0:side]
    inside = (np.hypot(down - side / 2, across - side / 2) < side / 3).astype(np.float32)
    noise = np.random.default_rng(3).normal(0, 0.02, (side, side, 1))
    pixels = inside[..., None] * np.array([0.8, 0.5, 0.3]) + (1 - inside[..., None]) * np.array([0.2, 0.3, 0.4]) + noise
    return np.clip(pixels, 0, 1).astype(np.float32), inside


def coarse(matte: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return the matte (h, w), 0..1, like that of a model whose side is ``side`` px."""
    small = cv2.resize(matte, (side, side), interpolation=cv2.INTER_AREA)
    return np.clip(cv2.resize(small, matte.shape[::-1], interpolation=cv2.INTER_LINEAR), 0, 1)


@pytest.mark.parametrize("side", [200, 640, 1500])
def test_edges_move_to_the_edges_of_the_picture(side: int) -> None:
    """The remaining error is a small part of the coarse matte's error, also in a picture larger than the working size."""
    pixels, true = scene(side)
    rough = coarse(true, 40)
    refined = refine_matte(rough, pixels, 40)
    assert (refined.shape, refined.dtype) == (true.shape, np.float32)
    assert np.abs(refined - true).mean() < 0.35 * np.abs(rough - true).mean()


def test_far_from_edges_the_matte_is_exact() -> None:
    """The matte is exactly 0 or 1 on any texture, because no pixel outside the region may change."""
    pixels, true = scene(300)
    refined = refine_matte(coarse(true, 40), pixels, 40)
    assert set(np.unique(refined[:40, :40])) == {0.0}
    assert set(np.unique(refined[130:170, 130:170])) == {1.0}
    assert 0 <= refined.min() <= refined.max() <= 1


def test_a_uniform_matte_stays_uniform() -> None:
    """A uniform matte has no edges to move."""
    pixels, _ = scene(100)
    assert not refine_matte(np.zeros((100, 100), np.float32), pixels, 40).any()
    assert refine_matte(np.ones((100, 100), np.float32), pixels, 40).min() == 1


def test_a_grey_picture_guides_as_well() -> None:
    """One channel has edges too."""
    pixels, true = scene(300)
    rough = coarse(true, 40)
    refined = refine_matte(rough, np.ascontiguousarray(pixels[:, :, :1]), 40)
    assert np.abs(refined - true).mean() < 0.5 * np.abs(rough - true).mean()


@pytest.mark.soak
def test_a_large_picture_gets_the_same_edge_as_a_small_picture() -> None:
    """The result at the working size is applied at full size."""
    pixels, true = scene(2048)
    large = refine_matte(coarse(true, 64), pixels, 64)

    def halved(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.resize(plane, (1024, 1024), interpolation=cv2.INTER_AREA), np.float32)

    small = refine_matte(halved(coarse(true, 64)), halved(pixels), 64)
    assert np.abs(halved(large) - small).mean() < 0.01


def test_pictures_of_one_row_column_or_pixel_are_refined() -> None:
    """The matte keeps its shape."""
    for shape in ((1, 300), (300, 1), (1, 1)):
        refined = refine_matte(np.full(shape, 0.5, np.float32), np.full((*shape, 3), 0.5, np.float32), 40)
        assert refined.shape == shape
