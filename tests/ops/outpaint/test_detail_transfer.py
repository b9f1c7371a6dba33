"""Detail transfer: new parts get the texture of known parts that look alike."""

from __future__ import annotations

import numpy as np
import pytest

from goldsmith.ops.outpaint.detail_transfer import MAX_ROW_OFFSET, transfer_detail
from goldsmith.picture.picture import Pixels


def _ignore_progress(fraction: float) -> None:
    """Do nothing."""


def _coarse(height: int = 96, width: int = 120) -> Pixels:
    """Return noise, (h, w, 3), 0..1, so that no two places look alike."""
    return np.random.default_rng(5).random((height, width, 3), dtype=np.float32)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_a_repeated_part_gets_the_detail_of_its_original(factor: int) -> None:
    """The right half repeats the left half. Away from the seam, its detail equals that of the left half within 0.02."""
    coarse = _coarse()
    coarse[:, 60:] = coarse[:, :60]
    fine = np.random.default_rng(6).standard_normal((96 * factor, 120 * factor, 3)).astype(np.float32)
    fine[:, 60 * factor :] = 0
    detail = transfer_detail(coarse, fine, 60, _ignore_progress)
    assert detail.shape == (96 * factor, 60 * factor, 3)
    away_from_seam = np.s_[:, 16 * factor :]
    assert np.abs(detail[away_from_seam] - fine[:, : 60 * factor][away_from_seam]).max() < 0.02


def test_detail_comes_only_from_the_known_side() -> None:
    """Fine detail to the right of the seam is not used."""
    fine = np.random.default_rng(6).standard_normal((192, 240, 3)).astype(np.float32)
    spoilt = fine.copy()
    spoilt[:, 120:] = np.nan
    detail = transfer_detail(_coarse(), spoilt, 60, _ignore_progress)
    assert np.isfinite(detail).all()
    assert np.array_equal(detail, transfer_detail(_coarse(), fine, 60, _ignore_progress))


def test_detail_comes_from_nearby_rows() -> None:
    """All places look alike in the coarse picture; still, each row gets detail from about its own height: sky above, grass below."""
    coarse = np.full((160, 90, 3), 0.5, np.float32)
    fine = np.repeat(np.linspace(0, 1, 320, dtype=np.float32)[:, None], 180, 1)[:, :, None]
    detail = transfer_detail(coarse, fine, 60, _ignore_progress)
    rows = np.linspace(0, 1, 320, dtype=np.float32)[:, None, None]
    assert np.abs(detail - rows).max() <= (MAX_ROW_OFFSET + 16) * 2 / 320 + 0.01


@pytest.mark.parametrize(("shape", "seam_column"), [((4, 9), 3), ((1, 2), 1), ((40, 41), 40), ((16, 30), 5)])
def test_small_pictures_get_detail_in_every_pixel(shape: tuple[int, int], seam_column: int) -> None:
    """Every pixel to the right of the seam has a value."""
    fine = np.ones((shape[0] * 2, shape[1] * 2, 1), np.float32)
    detail = transfer_detail(_coarse(*shape), fine, seam_column, _ignore_progress)
    assert detail.shape == (shape[0] * 2, (shape[1] - seam_column) * 2, 1)
    assert detail == pytest.approx(1, abs=1e-4)


def test_progress_rises_from_0() -> None:
    """It stays below 1."""
    fractions: list[float] = []
    transfer_detail(_coarse(), np.zeros((96, 120, 1), np.float32), 60, fractions.append)
    assert fractions[0] == 0
    assert fractions == sorted(fractions)
    assert fractions[-1] < 1


def test_mixed_detail_keeps_its_strength() -> None:
    """Mixing unrelated blocks blurs their grain; the result is as strong as the picture's grain."""
    grain = np.random.default_rng(6).standard_normal((192, 240, 3)).astype(np.float32)
    detail = transfer_detail(_coarse(), grain, 60, _ignore_progress)
    assert detail.std() == pytest.approx(1, rel=0.12)
