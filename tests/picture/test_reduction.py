"""Reducing in strips gives what Pillow's Lanczos and OpenCV's area means give for whole planes."""

from __future__ import annotations

from itertools import product

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from goldsmith.picture import reduction
from goldsmith.picture.antiringing import resize_without_ringing
from goldsmith.picture.picture import Picture, Pixels, channel_maximum, channel_minimum, freeze
from goldsmith.picture.reduction import reduce_pixels

SIZES = [(97, 131, 33, 60), (200, 90, 100, 45), (64, 300, 7, 9), (50, 50, 50, 12), (31, 17, 1, 1)]


def noise(height: int, width: int, channels: int = 3) -> Pixels:
    return np.random.default_rng(height * width).random((height, width, channels), dtype=np.float32)


def reduced(pixels: Pixels, height: int, width: int) -> tuple[Pixels, Pixels]:
    lanczos, area = (np.empty((height, width, pixels.shape[2]), np.float32) for _ in range(2))
    shape = (pixels.shape[0], pixels.shape[1], pixels.shape[2])
    reduce_pixels(shape, lambda rows: pixels[rows], height, width, lanczos, area)
    return lanczos, area


def by_pillow(plane: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.LANCZOS))


@pytest.mark.parametrize(("size", "channels"), product(SIZES, (1, 3)))
def test_both_filters_agree_with_pillow_and_opencv(size: tuple[int, int, int, int], channels: int) -> None:
    """Each channel is compared with the plane that the libraries make of it."""
    pixels, (high, wide) = noise(size[0], size[1], channels), size[2:]
    lanczos, area = reduced(pixels, high, wide)
    for channel in range(channels):
        plane = np.ascontiguousarray(pixels[:, :, channel])
        assert np.abs(lanczos[:, :, channel] - by_pillow(plane, high, wide)).max() < 2e-6
        expected = cv2.resize(plane, (wide, high), interpolation=cv2.INTER_AREA)
        assert np.abs(area[:, :, channel] - expected.reshape(high, wide)).max() < 2e-6


def test_the_height_of_the_strips_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips of one block of rows give what one strip gives."""
    pixels = noise(400, 120)
    whole = reduced(pixels, 150, 50)
    monkeypatch.setattr(reduction, "_STRIP_PIXELS", 1)
    monkeypatch.setattr(reduction, "_BLOCK_ROWS", 7)
    strips = reduced(pixels, 150, 50)
    assert max(np.abs(expected - in_strips).max() for expected, in_strips in zip(whole, strips, strict=True)) < 1e-6


def test_a_flat_picture_stays_flat_and_an_edge_does_not_overshoot() -> None:
    """The weights of every pixel add up to one, and the limit to the area means holds."""
    flat = resize_without_ringing(Picture(freeze(np.full((90, 70, 3), 0.4, np.float32))), 30, 25)
    assert np.abs(flat.pixels - 0.4).max() < 1e-6
    edge = np.full((90, 90, 1), 0.2, np.float32)
    edge[:, 40:] = 0.9
    small = resize_without_ringing(Picture(freeze(edge)), 31, 31).pixels
    assert small.min() > 0.2 - 1e-6
    assert small.max() < 0.9 + 1e-6


@pytest.mark.parametrize("channels", [1, 3])
def test_the_extremes_of_channels_are_those_of_numpy(channels: int) -> None:
    """One channel and three, with values below zero."""
    pixels = noise(9, 11, channels) - np.float32(0.5)
    assert np.array_equal(channel_minimum(pixels), pixels.min(axis=2))
    assert np.array_equal(channel_maximum(pixels), pixels.max(axis=2))
