"""denoise: as much noise as there is comes out; edges, tone and clean pictures stay."""

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


def _error(made: Picture, clean: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean((made.pixels - clean) ** 2)))


@pytest.mark.parametrize(("sigma", "left"), [(0.02, 0.76), (0.05, 0.6)])
def test_noise_comes_out_of_a_photograph(sigma: float, left: float) -> None:
    """Fur under noise comes back to a good part of what it was, the more so the worse the noise is."""
    clean = _clean()
    noisy = _noisy(clean, sigma)
    context = StepContextDouble()
    made = Denoise().apply(noisy, context)
    assert _error(made, clean) < left * _error(noisy, clean)
    assert context.results.findings["noise_luma"] == pytest.approx(78 * sigma, rel=0.35)


def test_an_edge_stays_where_and_as_steep_as_it_was() -> None:
    """A step of half the scale under noise keeps nine tenths of its height over one pixel."""
    clean = np.full((128, 128, 1), 0.25, np.float32)
    clean[:, 64:] = 0.75
    made = Denoise(luma=50).apply(_noisy(clean, 0.03), StepContextDouble()).pixels
    assert (made[:, 64] - made[:, 63]).mean() > 0.45
    assert made[20:108, 20:50].std() < 0.012


@settings(max_examples=12, deadline=None)
@given(level=st.floats(0.3, 0.7), sigma=st.floats(0.01, 0.05), seed=st.integers(0, 9))
def test_the_tone_stays(level: float, sigma: float, seed: int) -> None:
    """The mean of a flat field moves by less than a third of a code."""
    noisy = _noisy(np.full((96, 96, 3), level, np.float32), sigma, seed)
    made = Denoise(luma=80, colour=80).apply(noisy, StepContextDouble())
    assert np.abs(made.pixels.mean(axis=(0, 1)) - noisy.pixels.mean(axis=(0, 1))).max() < 0.33 / 255


def test_strengths_of_zero_return_the_plate_itself() -> None:
    """Nothing asked, nothing touched; and a grey picture has no colour noise."""
    picture = _noisy(_clean(), 0.03)
    assert Denoise(luma=0, colour=0).apply(picture, StepContextDouble()) is picture
    grey = Picture(picture.pixels[:, :, :1])
    assert Denoise(luma=0, colour=100).apply(grey, StepContextDouble()) is grey


@pytest.mark.parametrize("depth", [8, 16])
def test_a_clean_gradient_is_left_smooth(depth: BitDepth) -> None:
    """A slope without noise comes back within half a code at its own depth: no bands, no blocks."""
    levels = 2**depth - 1
    slope = np.round(np.linspace(0.2, 0.8, 300) * levels) / levels
    pixels = np.broadcast_to(slope[None, :, None], (100, 300, 3)).astype(np.float32)
    picture = Picture(freeze(pixels), depth=depth)
    made = Denoise(luma=100, colour=100).apply(picture, StepContextDouble())
    assert np.abs(made.pixels - pixels).max() < 1.0 / levels if depth == 16 else np.abs(made.pixels - pixels).max() < 0.51 / levels


def test_colour_noise_alone_leaves_the_luma() -> None:
    """With luma = 0 the brightness of every pixel is what it was."""
    picture = _noisy(_clean() * np.float32(0.6) + np.float32(0.2), 0.03)
    made = Denoise(luma=0, colour=100).apply(picture, StepContextDouble())
    weights = np.array((0.2126, 0.7152, 0.0722), np.float32)
    assert np.abs(made.pixels @ weights - picture.pixels @ weights).max() < 1e-5
    assert _error(made, picture.pixels) > 0.005


def test_outside_the_region_nothing_changes() -> None:
    """Where the mask is zero the floats are the same; inside they are those of the whole picture."""
    picture = _noisy(_clean(), 0.03)
    mask = np.zeros((picture.height, picture.width), np.float32)
    mask[60:160, 70:150] = 1.0
    masked = Picture(picture.pixels, masks={"sky": freeze(mask)})
    made, whole = Denoise(where="sky").apply(masked, StepContextDouble()).pixels, Denoise().apply(picture, StepContextDouble()).pixels
    assert np.array_equal(made[mask == 0], picture.pixels[mask == 0])
    assert np.abs(made[mask == 1] - whole[mask == 1]).max() < 1e-6
    assert Denoise(where="sky").needs().masks == {"sky"}


@pytest.mark.parametrize("side", [(1, 1), (1, 40), (17, 3)])
def test_the_smallest_pictures_pass(side: tuple[int, int]) -> None:
    """A picture too small to measure is left as it is."""
    picture = Picture(freeze(np.random.default_rng(1).random((*side, 3))))
    assert Denoise().apply(picture, StepContextDouble()) is picture


@pytest.mark.parametrize("wrong", [{"luma": -1}, {"colour": 101}, {"luma": float("nan")}, {"where": "("}])
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    """Each setting has its bounds."""
    with pytest.raises(ValidationError):
        Denoise.model_validate(wrong)
