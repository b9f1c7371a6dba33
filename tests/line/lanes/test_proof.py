"""Law 4's count: pixels where the mask is zero, at the picture's own bit depth."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.line.lanes.proof import Count, count_outside
from goldsmith.plate.plate import Plate, frozen


def _plate(height: int, width: int, channels: int, depth: Literal[8, 16], seed: int) -> Plate:
    rng = np.random.default_rng(seed)
    return Plate(
        frozen(rng.random((height, width, channels), np.float32)), alpha=frozen(rng.random((height, width), np.float32)), depth=depth
    )


@given(st.integers(1, 150), st.integers(1, 5), st.sampled_from([1, 3]), st.sampled_from([8, 16]), st.integers(0, 2**31), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_the_count_is_what_comparing_every_code_gives(
    height: int, width: int, channels: int, depth: Literal[8, 16], seed: int, share: float
) -> None:
    """Colour and alpha, over every band of rows."""
    rng = np.random.default_rng(seed)
    before = _plate(height, width, channels, depth, seed)
    after = _plate(height, width, channels, depth, seed + 1)
    same = rng.random((height, width)) < 0.7
    after = replace(
        after,
        pixels=frozen(np.where(same[:, :, None], before.pixels, after.pixels)),
        alpha=frozen(np.where(same, before.alpha, after.alpha)),  # type: ignore[arg-type]
    )
    mask = frozen((rng.random((height, width)) < share).astype(np.float32))
    alphas = [np.floor(np.float32(2**depth - 1) * plate.alpha + np.float32(0.5)) for plate in (before, after) if plate.alpha is not None]
    changed = (before.codes() != after.codes()).any(axis=2) | (alphas[0] != alphas[1])
    assert count_outside(before, after, mask) == Count(int((mask == 0).sum()), int((changed & (mask == 0)).sum()))


def test_less_than_half_a_code_is_no_change() -> None:
    """What is written is what counts; the faintest of masks is a mask all the same."""
    before = replace(_plate(4, 4, 3, 8, 0), pixels=frozen(np.full((4, 4, 3), 100 / 255)))
    after = before.with_pixels(before.pixels + np.float32(0.4 / 255))
    mask = np.zeros((4, 4), np.float32)
    assert count_outside(before, after, mask) == Count(16, 0)
    assert count_outside(replace(before, depth=16), replace(after, depth=16), mask).changed == 16
    mask[0] = 1e-6
    assert count_outside(before, after, mask).pixels == 12


@pytest.mark.parametrize("change", [{"depth": 16}, {"icc": b"another"}, {"alpha": None}])
def test_codes_that_mean_something_else_have_all_changed(change: dict[str, object]) -> None:
    """Another profile, another depth, alpha that came or went: nobody may call that unchanged."""
    before = _plate(4, 4, 3, 8, 0)
    assert count_outside(before, replace(before, **change), np.zeros((4, 4), np.float32)) == Count(16, 16)  # type: ignore[arg-type]


def test_a_pixel_that_is_no_number_has_changed() -> None:
    """An engine's NaN outside the mask is not overlooked."""
    before = _plate(2, 2, 3, 8, 0)
    pixels = before.pixels.copy()
    pixels[0, 0, 1] = np.nan
    with np.errstate(invalid="ignore"):
        assert count_outside(before, before.with_pixels(pixels), np.zeros((2, 2), np.float32)).changed == 1
