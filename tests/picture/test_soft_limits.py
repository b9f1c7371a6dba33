"""Soft limits: the curve of the ACES gamut compression as OpenColorIO computes it, order and hue kept, nothing clipped."""

from __future__ import annotations

import numpy as np
import PyOpenColorIO
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.color import rgb2hsv

from goldsmith.picture.soft_limits import compress_gamut, roll_off, roll_off_light


def _aces_gamut_compression(pixels: NDArray[np.float32], threshold: float, limits: list[float]) -> NDArray[np.float32]:
    """Return OpenColorIO's ACES gamut compression with a power of 1."""
    parameters = [*limits, threshold, threshold, threshold, 1.0]
    change = PyOpenColorIO.FixedFunctionTransform(PyOpenColorIO.FIXED_FUNCTION_ACES_GAMUT_COMP_13, parameters)
    result = pixels.copy()
    PyOpenColorIO.Config.CreateRaw().getProcessor(change).getDefaultCPUProcessor().applyRGB(result)
    return result


def test_gamut_compression_equals_opencolorios() -> None:
    """Colours outside the gamut come out as from OpenColorIO's ACES gamut compression with a power of 1."""
    pixels = np.random.default_rng(3).uniform(-0.1, 1.0, (40, 50, 3)).astype(np.float32)
    pixels[:, :, 0] = np.abs(pixels[:, :, 0]) + 0.3
    limits = [1.2, 1.35, 1.5]
    ours = compress_gamut(pixels, 0.8, np.array(limits, np.float32))
    assert np.abs(ours - _aces_gamut_compression(pixels, 0.8, limits)).max() < 1e-5
    assert np.abs(ours - pixels).max() > 0.05


@settings(max_examples=60, deadline=None)
@given(knee=st.floats(0.05, 0.95), peak=st.floats(1.0, 16.0))
def test_the_roll_off_joins_smoothly_and_ends_at_white(knee: float, peak: float) -> None:
    """Below the knee nothing changes; above it values rise without a step, ever more slowly, and the peak becomes 1."""
    values = np.linspace(0.0, peak, 4001, dtype=np.float32)
    result = roll_off(values, knee, peak)
    assert np.array_equal(result[values <= knee], values[values <= knee])
    assert abs(result[-1] - 1.0) < 1e-4
    steps = np.diff(result.astype(np.float64)) / np.diff(values.astype(np.float64))
    assert steps.min() > 0
    assert steps.max() < 1.01


def test_a_knee_of_one_is_a_hard_limit() -> None:
    """Values above 1 become 1, all others stay."""
    values = np.array([0.0, 0.5, 1.0, 1.5], np.float32)
    assert np.array_equal(roll_off(values, 1.0, 2.0), np.array([0.0, 0.5, 1.0, 1.0], np.float32))
    pixels = np.array([[[0.5, -0.2, 1.0]]], np.float32)
    assert np.array_equal(compress_gamut(pixels, 1.0, np.ones(3, np.float32)), np.array([[[0.5, 0.0, 1.0]]], np.float32))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 99), stops=st.floats(0.1, 4))
def test_the_shoulder_keeps_the_hue_and_the_order_of_the_channels(seed: int, stops: float) -> None:
    """No channel exceeds 1, the HSV hue of scikit-image stays, and no colour becomes more saturated."""
    linear = np.random.default_rng(seed).uniform(0.02, 1.0, (20, 30, 3)).astype(np.float32) * np.float32(2.0**stops)
    result = roll_off_light(linear, 0.3, 2.0**stops)
    assert result.max() <= 1.0 + 1e-5
    before, after = rgb2hsv(np.clip(linear / linear.max(), 0, 1)), rgb2hsv(np.clip(result, 0, 1))
    turn = np.abs((before[..., 0] - after[..., 0] + 0.5) % 1 - 0.5)
    assert turn[after[..., 1] > 0.02].max() < 2e-3
    assert (after[..., 1] - before[..., 1]).max() < 1e-4
