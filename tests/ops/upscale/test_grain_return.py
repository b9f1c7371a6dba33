"""The grain of a photograph comes back after it was smoothed, and nothing gets grain that had none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from goldsmith.ops.upscale.grain_return import return_grain


def _grainy(deviation: float, shape: tuple[int, int] = (200, 240), value: float = 0.5) -> NDArray[np.float32]:
    noise = np.random.default_rng(4).normal(0, deviation, (*shape, 1))
    return np.repeat(np.clip(value + noise, 0, 1), 3, axis=2).astype(np.float32)


@pytest.mark.parametrize("factor", [2, 3])
def test_the_grain_has_its_deviation_and_its_size(factor: int) -> None:
    """Reduced to the source's size, a smoothed picture with its grain back is about as grainy as the source; alike in all channels."""
    source = _grainy(0.02)
    smooth = np.full((200 * factor, 240 * factor, 3), 0.5, np.float32)
    assert return_grain(smooth, source, 1.0, 7) == pytest.approx(0.02, rel=0.15)
    assert smooth[..., 0].std() == pytest.approx(0.02, rel=0.2)
    assert np.ptp(smooth - 0.5, axis=2).max() < 1e-6
    reduced = cv2.resize(smooth, (240, 200), interpolation=cv2.INTER_AREA)
    assert 0.5 * 0.02 < reduced[..., 0].std() < 1.1 * 0.02


def test_half_the_share_adds_half_the_grain_and_a_seed_repeats_it() -> None:
    """The share scales the deviation; the same seed gives the same grain, another seed another."""
    source = _grainy(0.02)
    results = []
    for share, seed in ((1.0, 7), (0.5, 7), (1.0, 7), (1.0, 8)):
        smooth = np.full((400, 480, 3), 0.5, np.float32)
        return_grain(smooth, source, share, seed)
        results.append(smooth)
    assert (results[1] - 0.5).std() == pytest.approx(0.5 * (results[0] - 0.5).std(), rel=0.02)
    assert np.array_equal(results[0], results[2])
    assert not np.array_equal(results[0], results[3])


def test_a_clean_source_and_a_grainy_result_get_none() -> None:
    """Nothing is added to a picture without grain, nor where the net has kept it."""
    smooth = np.full((400, 480, 3), 0.5, np.float32)
    assert return_grain(smooth, np.full((200, 240, 3), 0.5, np.float32), 1.0, 7) == 0
    assert np.array_equal(smooth, np.full((400, 480, 3), np.float32(0.5)))
    grainy = _grainy(0.03, (400, 480))
    assert return_grain(grainy, _grainy(0.02), 1.0, 7) == 0


def test_strong_noise_is_not_copied_in_full() -> None:
    """More than 4 % is taken for damage, and black parts get a quarter."""
    smooth = np.full((400, 480, 3), 0.5, np.float32)
    assert return_grain(smooth, _grainy(0.1), 1.0, 7) == pytest.approx(0.04, rel=0.05)
    black = np.zeros((400, 480, 3), np.float32)
    black[:] = 0.001
    return_grain(black, _grainy(0.02), 1.0, 7)
    assert black.std() < 0.25 * 0.02


def test_bands_join_without_a_seam() -> None:
    """Rows on both sides of a band differ no more than other neighbours."""
    smooth = np.full((512, 300, 3), 0.5, np.float32)
    return_grain(smooth, _grainy(0.02, (256, 150)), 1.0, 7)
    steps = np.abs(np.diff(smooth[..., 0], axis=0)).mean(axis=1)
    assert steps[127] < 1.25 * np.median(steps)
    assert steps[127] > 0.75 * np.median(steps)
