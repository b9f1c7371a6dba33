"""Tone at a seam: no step in light or colour, and no other change."""

from __future__ import annotations

import numpy as np
import pytest

from goldsmith.ops.outpaint.seam_tone import MAX_TONE_SHIFT, match_tone_at_seam
from goldsmith.picture.picture import Pixels


def _grey(value: float, width: int = 200, height: int = 160) -> Pixels:
    return np.full((height, width, 3), value, dtype=np.float32)


def test_the_correction_is_full_at_the_seam_and_fades_behind_it() -> None:
    """The tone is the picture's at the seam, the mean of both halfway, and the fill's own beyond the fade."""
    matched, offset = match_tone_at_seam(_grey(0.5), _grey(0.6), 128)
    assert matched[:, 0] == pytest.approx(0.6, abs=1e-3)
    assert matched[:, 64] == pytest.approx(0.55, abs=5e-3)
    assert np.array_equal(matched[:, 130:], _grey(0.5)[:, 130:])
    assert offset == pytest.approx(0.1, abs=1e-3)


def test_each_channel_is_corrected_separately() -> None:
    """A blue cast is removed; the other channels stay to a millionth."""
    cast = _grey(0.5) + np.float32([0, 0, 0.08])
    matched, _ = match_tone_at_seam(cast, _grey(0.5), 100)
    assert np.abs(matched[:, 0] - 0.5).max() < 1e-3
    assert np.abs(matched[..., :2] - cast[..., :2]).max() < 1e-6


def test_a_step_that_varies_along_the_seam_is_removed() -> None:
    """The new part is darker at the top and lighter at the bottom."""
    down = np.linspace(-0.06, 0.06, 160, dtype=np.float32)[:, None, None]
    matched, _ = match_tone_at_seam(_grey(0.5) + down, _grey(0.5), 100)
    assert np.abs(matched[:, 0] - 0.5).max() < 0.015


def test_an_object_at_the_seam_is_not_taken_for_a_step_in_tone() -> None:
    """A white post begins at the seam; the wall beside it keeps its tone."""
    new = _grey(0.4)
    new[70:80] = 1.0
    matched, _ = match_tone_at_seam(new, _grey(0.4), 100)
    assert np.abs(matched[:40] - 0.4).max() < 2e-3
    assert matched[75, 0].min() > 1 - MAX_TONE_SHIFT - 1e-3


def test_a_tone_that_changes_behind_the_seam_is_corrected() -> None:
    """A fill of copied patches may begin with the tone of the edge and turn lighter a few px on. No dark line stays between the two."""
    new = _grey(0.5)
    new[:, :8] = 0.4
    matched, _ = match_tone_at_seam(new, _grey(0.4), 256)
    assert matched[:, 20:40].mean() < 0.45
    assert np.abs(np.diff(matched.mean(axis=(0, 2))))[:6].max() < 0.02


def test_a_fade_of_zero_px_or_no_known_pixels_changes_nothing() -> None:
    """The offset is 0, too."""
    new = _grey(0.5)
    matched, offset = match_tone_at_seam(new, _grey(0.7), 0)
    assert np.array_equal(matched, new)
    assert offset == 0
    matched, offset = match_tone_at_seam(new, _grey(0.7)[:, :0], 64)
    assert np.array_equal(matched, new)
    assert offset == 0


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 50, 1), (50, 1, 3), (3, 2, 1)])
def test_tiny_strips_give_finite_values(shape: tuple[int, int, int]) -> None:
    """Values are within 0..1."""
    rng = np.random.default_rng(0)
    matched, _ = match_tone_at_seam(rng.random(shape, dtype=np.float32), rng.random(shape, dtype=np.float32), 64)
    assert matched.shape == shape
    assert np.isfinite(matched).all()
    assert matched.min() >= 0
    assert matched.max() <= 1


def test_on_blur_an_edge_of_the_fill_near_the_seam_is_no_line() -> None:
    """Beside a blurred edge with grain, a jump 2 px behind the seam is spread and the grain stays; beside detail the jump stays."""
    random = np.random.default_rng(4)
    slope = np.linspace(0.4, 0.6, 120, dtype=np.float32)[None, :, None] + random.normal(0, 0.004, (80, 120, 3)).astype(np.float32)
    known, new = slope[:, :60], slope[:, 60:].copy()
    new[:, 2:] += 0.06
    smooth = match_tone_at_seam(new, known, 60)[0]
    across = np.abs(np.diff(np.concatenate([known, smooth], axis=1).mean(axis=0), axis=0)).max(axis=1)
    assert across.max() < 0.02
    assert smooth[:, :20].std(axis=0).mean() == pytest.approx(0.004, rel=0.5)
    texture = random.choice([-0.1, 0.1], (80, 120, 1)).astype(np.float32)
    rough = match_tone_at_seam(new + texture[:, 60:], known + texture[:, :60], 60)[0]
    jump = (rough - texture[:, 60:]).mean(axis=0)
    assert (jump[2] - jump[1]).min() > 0.04
