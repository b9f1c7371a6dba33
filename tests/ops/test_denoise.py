"""denoise removes the measured noise; edges, tone and clean pictures stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from skimage import data

from doubles.step_context import StepContextDouble
from goldsmith.ops.denoise import Denoise
from goldsmith.picture.picture import BitDepth, Picture, freeze


def _clean() -> NDArray[np.float32]:
    return np.asarray(data.chelsea()[:200, 100:350] / np.float32(255), np.float32)


def _noisy(pixels: NDArray[np.float32], sigma: float, seed: int = 1) -> Picture:
    grain = np.random.default_rng(seed).standard_normal(pixels.shape, dtype=np.float32)
    return Picture(freeze(np.clip(pixels + np.float32(sigma) * grain, 0, 1)))


def _error(result: Picture, clean: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean((result.pixels - clean) ** 2)))


@pytest.mark.parametrize(("sigma", "left"), [(0.02, 0.76), (0.05, 0.6)])
def test_noise_is_removed_from_a_photograph(sigma: float, left: float) -> None:
    """Errors of noisy fur shrink, and more so the stronger the noise is."""
    clean = _clean()
    noisy = _noisy(clean, sigma)
    context = StepContextDouble()
    result = Denoise().apply(noisy, context)
    assert _error(result, clean) < left * _error(noisy, clean)
    assert context.results.findings["noise_luma"] == pytest.approx(78 * sigma, rel=0.35)


def test_an_edge_keeps_its_position_and_steepness() -> None:
    """Noisy steps of half the range keep nine tenths of their height over one pixel."""
    clean = np.full((128, 128, 1), 0.25, np.float32)
    clean[:, 64:] = 0.75
    result = Denoise(luma=50).apply(_noisy(clean, 0.03), StepContextDouble()).pixels
    assert (result[:, 64] - result[:, 63]).mean() > 0.45
    assert result[20:108, 20:50].std() < 0.012


@settings(max_examples=12, deadline=None)
@given(level=st.floats(0.3, 0.7), sigma=st.floats(0.01, 0.05), seed=st.integers(0, 9))
def test_the_tone_is_kept(level: float, sigma: float, seed: int) -> None:
    """Means of flat fields move by less than a third of a code."""
    noisy = _noisy(np.full((96, 96, 3), level, np.float32), sigma, seed)
    result = Denoise(luma=80, colour=80).apply(noisy, StepContextDouble())
    assert np.abs(result.pixels.mean(axis=(0, 1)) - noisy.pixels.mean(axis=(0, 1))).max() < 0.33 / 255


def test_strengths_of_zero_return_the_same_picture() -> None:
    """Grey pictures have no colour noise, so there only ``luma`` counts."""
    picture = _noisy(_clean(), 0.03)
    assert Denoise(luma=0, colour=0).apply(picture, StepContextDouble()) is picture
    grey = Picture(picture.pixels[:, :, :1])
    assert Denoise(luma=0, colour=100).apply(grey, StepContextDouble()) is grey


@pytest.mark.parametrize("depth", [8, 16])
def test_a_clean_gradient_stays_smooth(depth: BitDepth) -> None:
    """Gradients without noise come back within half a code at 8 bits and within one code at 16: no bands, no blocks."""
    levels = 2**depth - 1
    slope = np.round(np.linspace(0.2, 0.8, 300) * levels) / levels
    pixels = np.broadcast_to(slope[None, :, None], (100, 300, 3)).astype(np.float32)
    picture = Picture(freeze(pixels), depth=depth)
    result = Denoise(luma=100, colour=100).apply(picture, StepContextDouble())
    assert np.abs(result.pixels - pixels).max() < 1.0 / levels if depth == 16 else np.abs(result.pixels - pixels).max() < 0.51 / levels


def test_removing_colour_noise_keeps_the_luma() -> None:
    """luma = 0 keeps the brightness of every pixel."""
    picture = _noisy(_clean() * np.float32(0.6) + np.float32(0.2), 0.03)
    result = Denoise(luma=0, colour=100).apply(picture, StepContextDouble())
    weights = np.array((0.2126, 0.7152, 0.0722), np.float32)
    assert np.abs(result.pixels @ weights - picture.pixels @ weights).max() < 1e-5
    assert _error(result, picture.pixels) > 0.005


def test_nothing_changes_outside_the_region() -> None:
    """Floats are equal to the original where the mask is 0, and to the result for the whole picture inside."""
    picture = _noisy(_clean(), 0.03)
    mask = np.zeros((picture.height, picture.width), np.float32)
    mask[60:160, 70:150] = 1.0
    masked = Picture(picture.pixels, masks={"sky": freeze(mask)})
    result, whole = Denoise(where="sky").apply(masked, StepContextDouble()).pixels, Denoise().apply(picture, StepContextDouble()).pixels
    assert np.array_equal(result[mask == 0], picture.pixels[mask == 0])
    assert np.abs(result[mask == 1] - whole[mask == 1]).max() < 1e-6
    assert Denoise(where="sky").needs().masks == {"sky"}


@pytest.mark.parametrize("side", [(1, 1), (1, 40), (17, 3)])
def test_very_small_pictures_are_not_changed(side: tuple[int, int]) -> None:
    """They are too small for a measurement."""
    picture = Picture(freeze(np.random.default_rng(1).random((*side, 3))))
    assert Denoise().apply(picture, StepContextDouble()) is picture


@pytest.mark.parametrize("wrong", [{"luma": -1}, {"colour": 101}, {"luma": float("nan")}, {"where": "("}])
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    """Limits of each setting are enforced."""
    with pytest.raises(ValidationError):
        Denoise.model_validate(wrong)
