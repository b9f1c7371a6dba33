"""Tone at a join: no step of light or colour, and nothing else touched."""

from __future__ import annotations

import numpy as np
import pytest

from goldsmith.ops.outpaint.seam_tone import MAX_TONE_SHIFT, match_tone_at_seam
from goldsmith.picture.picture import Pixels


def _grey(value: float, width: int = 200, height: int = 160) -> Pixels:
    return np.full((height, width, 3), value, dtype=np.float32)


def test_a_step_of_tone_is_gone_at_the_join_and_fades_behind_it() -> None:
    """At the join it is the picture's tone, in the middle of the way half, beyond the way its own."""
    made, offset = match_tone_at_seam(_grey(0.5), _grey(0.6), 128)
    assert made[:, 0] == pytest.approx(0.6, abs=1e-3)
    assert made[:, 64] == pytest.approx(0.55, abs=5e-3)
    assert np.array_equal(made[:, 130:], _grey(0.5)[:, 130:])
    assert offset == pytest.approx(0.1, abs=1e-3)


def test_each_colour_is_met_by_itself() -> None:
    """A blue cast goes, the other channels stay."""
    cast = _grey(0.5) + np.float32([0, 0, 0.08])
    made, _ = match_tone_at_seam(cast, _grey(0.5), 100)
    assert np.abs(made[:, 0] - 0.5).max() < 1e-3
    assert np.array_equal(made[..., :2], cast[..., :2])


def test_the_step_may_differ_along_the_join() -> None:
    """Darker at the top, lighter at the bottom: both meet."""
    down = np.linspace(-0.06, 0.06, 160, dtype=np.float32)[:, None, None]
    made, _ = match_tone_at_seam(_grey(0.5) + down, _grey(0.5), 100)
    assert np.abs(made[:, 0] - 0.5).max() < 0.015


def test_another_thing_at_the_join_is_no_step_of_tone() -> None:
    """A white post begins where the picture ends: the wall beside it keeps its tone."""
    new = _grey(0.4)
    new[70:80] = 1.0
    made, _ = match_tone_at_seam(new, _grey(0.4), 100)
    assert np.abs(made[:40] - 0.4).max() < 2e-3
    assert made[75, 0].min() > 1 - MAX_TONE_SHIFT - 1e-3


def test_a_tone_that_wanders_off_behind_the_join_is_brought_back() -> None:
    """The fill begins like the edge and is lighter a few px on, as copied patches are: no dark line stays between the two."""
    new = _grey(0.5)
    new[:, :8] = 0.4
    made, _ = match_tone_at_seam(new, _grey(0.4), 256)
    assert made[:, 20:40].mean() < 0.45
    assert np.abs(np.diff(made.mean(axis=(0, 2))))[:6].max() < 0.02


def test_nothing_to_blend_over_changes_nothing() -> None:
    """blend = 0, and no picture beside it."""
    new = _grey(0.5)
    made, offset = match_tone_at_seam(new, _grey(0.7), 0)
    assert np.array_equal(made, new)
    assert offset == 0
    made, offset = match_tone_at_seam(new, _grey(0.7)[:, :0], 64)
    assert np.array_equal(made, new)
    assert offset == 0


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 50, 1), (50, 1, 3), (3, 2, 1)])
def test_tiny_strips_work(shape: tuple[int, int, int]) -> None:
    """Values stay numbers from 0 to 1."""
    rng = np.random.default_rng(0)
    made, _ = match_tone_at_seam(rng.random(shape, dtype=np.float32), rng.random(shape, dtype=np.float32), 64)
    assert made.shape == shape
    assert np.isfinite(made).all()
    assert made.min() >= 0
    assert made.max() <= 1
