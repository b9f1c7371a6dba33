"""Resampling averages linear light, does not alias, and never shows the colours of transparent pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from goldsmith.picture.picture import Picture, freeze
from goldsmith.picture.resample import resize, resize_picture


@pytest.mark.parametrize("method", ["lanczos", "cubic", "linear", "area"])
def test_a_flat_picture_stays_flat(method: Any) -> None:
    """Enlarging and reducing keep the value, also at odd ratios."""
    flat = np.full((30, 50, 3), 0.37, np.float32)
    for height, width in ((7, 11), (61, 123), (30, 3)):
        result = resize(flat, height, width, method)
        assert result.shape == (height, width, 3)
        assert np.allclose(result, 0.37, atol=1e-5)


@pytest.mark.parametrize("method", ["lanczos", "cubic", "linear"])
def test_fine_stripes_become_grey_instead_of_moire(method: Any) -> None:
    """Alternating columns at a third of the size give their mean, except at the borders."""
    stripes = np.tile(np.array([0.0, 1.0], np.float32), (60, 120))
    result = resize(stripes, 20, 80, method)
    assert np.abs(result[5:-5, 5:-5] - 0.5).max() < 0.12


def test_the_mean_is_kept_when_shrinking() -> None:
    """Area averaging by a whole factor gives the mean of the pixels that each new pixel covers."""
    values = np.random.default_rng(0).random((40, 60), dtype=np.float32)
    expected = values.reshape(20, 2, 30, 2).mean(axis=(1, 3))
    assert np.allclose(resize(values, 20, 30, "area"), expected, atol=1e-6)


def test_resizing_averages_linear_light() -> None:
    """Black and white columns shrink to the sRGB code of half the light, 0.735, not to 0.5."""
    stripes = np.repeat(np.tile(np.array([0.0, 1.0], np.float32), (40, 40))[..., None], 3, axis=2)
    picture = Picture(freeze(stripes))
    assert np.allclose(resize_picture(picture, 20, 40, "area").pixels, 0.7354, atol=1e-3)
    assert np.allclose(resize_picture(picture, 20, 40, "area", in_linear_light=False).pixels, 0.5, atol=1e-3)


def test_colours_of_transparent_pixels_never_show() -> None:
    """White on transparent black has no grey fringe at any size."""
    pixels, alpha = np.zeros((40, 40, 3), np.float32), np.zeros((40, 40), np.float32)
    pixels[10:30, 10:30], alpha[10:30, 10:30] = 1, 1
    picture = Picture(freeze(pixels), freeze(alpha))
    for side in (13, 97):
        result = resize_picture(picture, side, side)
        assert result.alpha is not None
        assert (result.pixels[result.alpha > 0.02] > 0.99).all()
        assert 0 <= result.alpha.min() <= result.alpha.max() <= 1


def test_masks_and_alpha_are_resized_too(photo: Any, make_picture: Any) -> None:
    """Masks have the new size and stay within 0..1."""
    from dataclasses import replace
    from types import MappingProxyType

    mask = np.zeros((48, 64), np.float32)
    mask[10:20, 10:20] = 1
    picture = replace(make_picture(photo, photo[:, :, 0]), masks=MappingProxyType({"mask": mask}))
    result = resize_picture(picture, 96, 128)
    assert result.alpha is not None
    assert result.pixels.shape == (96, 128, 3)
    assert result.alpha.shape == result.masks["mask"].shape == (96, 128)
    assert result.masks["mask"][30, 30] == 1


def test_the_same_size_returns_the_same_picture(photo: Any, make_picture: Any) -> None:
    """No pixel is resampled."""
    picture = make_picture(photo)
    assert resize_picture(picture, 48, 64) is picture
