"""Fine detail carried over: the same texture, from where it looks alike."""

from __future__ import annotations

import numpy as np
import pytest

from goldsmith.ops.outpaint.detail_transfer import MAX_ROW_OFFSET, transfer_detail
from goldsmith.picture.picture import Pixels


def _unheard(fraction: float) -> None:
    """Nobody listens."""


def _coarse(height: int = 96, width: int = 120) -> Pixels:
    """No two places alike."""
    return np.random.default_rng(5).random((height, width, 3), dtype=np.float32)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_what_was_copied_gets_the_detail_it_had(factor: int) -> None:
    """The right half repeats the left: its detail is that of where it came from, to a hundredth, away from the join."""
    coarse = _coarse()
    coarse[:, 60:] = coarse[:, :60]
    fine = np.random.default_rng(6).standard_normal((96 * factor, 120 * factor, 3)).astype(np.float32)
    fine[:, 60 * factor :] = 0
    made = transfer_detail(coarse, fine, 60, _unheard)
    assert made.shape == (96 * factor, 60 * factor, 3)
    inner = np.s_[:, 16 * factor :]
    assert np.abs(made[inner] - fine[:, : 60 * factor][inner]).max() < 0.02


def test_detail_comes_from_the_known_side_alone() -> None:
    """Whatever stands right of the join in the fine detail is never looked at."""
    fine = np.random.default_rng(6).standard_normal((192, 240, 3)).astype(np.float32)
    spoilt = fine.copy()
    spoilt[:, 120:] = np.nan
    made = transfer_detail(_coarse(), spoilt, 60, _unheard)
    assert np.isfinite(made).all()
    assert np.array_equal(made, transfer_detail(_coarse(), fine, 60, _unheard))


def test_detail_comes_from_about_its_own_row() -> None:
    """Sky above, grass below: where all places look alike, low texture stays low and high texture high."""
    coarse = np.full((160, 90, 3), 0.5, np.float32)
    fine = np.repeat(np.linspace(0, 1, 320, dtype=np.float32)[:, None], 180, 1)[:, :, None]
    made = transfer_detail(coarse, fine, 60, _unheard)
    rows = np.linspace(0, 1, 320, dtype=np.float32)[:, None, None]
    assert np.abs(made - rows).max() <= (MAX_ROW_OFFSET + 16) * 2 / 320 + 0.01


@pytest.mark.parametrize(("shape", "join"), [((4, 9), 3), ((1, 2), 1), ((40, 41), 40), ((16, 30), 5)])
def test_small_pictures_work(shape: tuple[int, int], join: int) -> None:
    """Every pixel right of the join gets a number."""
    fine = np.ones((shape[0] * 2, shape[1] * 2, 1), np.float32)
    made = transfer_detail(_coarse(*shape), fine, join, _unheard)
    assert made.shape == (shape[0] * 2, (shape[1] - join) * 2, 1)
    assert made == pytest.approx(1, abs=1e-4)


def test_progress_is_told() -> None:
    """From 0, rising, below 1."""
    told: list[float] = []
    transfer_detail(_coarse(), np.zeros((96, 120, 1), np.float32), 60, told.append)
    assert told[0] == 0
    assert told == sorted(told)
    assert told[-1] < 1


def test_detail_that_was_mixed_is_as_strong_as_before() -> None:
    """Where no two blocks come from the same place their grain would blur: it is as strong as the picture's."""
    grain = np.random.default_rng(6).standard_normal((192, 240, 3)).astype(np.float32)
    made = transfer_detail(_coarse(), grain, 60, _unheard)
    assert made.std() == pytest.approx(1, rel=0.12)
