"""Carried detail: it comes from what looks like the fill, and is as strong as there."""

from __future__ import annotations

import numpy as np
import pytest

from goldsmith.picture.picture import Pixels
from goldsmith.picture.smoothing import gaussian_blur
from goldsmith.stitching import carried_detail
from goldsmith.stitching.carried_detail import BLOCK_SIDE, REDUCTION, carry_detail

SIDE = 160
HOLE = np.s_[48:112, 40:120]


def _two_grounds() -> Pixels:
    """Return a dark ground with strong grain above a light one with weak grain; the hole over both has forms and no grain."""
    noise = np.random.default_rng(4).normal(0, 1, (SIDE, SIDE, 3)).astype(np.float32)
    pixels = np.full((SIDE, SIDE, 3), 0.3, dtype=np.float32)
    pixels[80:] = 0.7
    grain = np.full((SIDE, SIDE, 1), 0.06, dtype=np.float32)
    grain[80:] = 0.01
    grainy = pixels + grain * noise
    grainy[HOLE] = pixels[HOLE]
    return np.clip(grainy, 0, 1).astype(np.float32)


def test_each_part_gets_the_grain_of_what_looks_like_it() -> None:
    """Strong grain in the dark half, weak grain in the light one; what was known stays bit for bit."""
    pixels, unknown = _two_grounds(), np.zeros((SIDE, SIDE), dtype=np.bool_)
    unknown[HOLE] = True
    filled = carry_detail(pixels, unknown, 1.0)
    fine = filled - gaussian_blur(filled, 1.2)
    known = pixels - gaussian_blur(pixels, 1.2)
    assert fine[56:68, 48:112].std() == pytest.approx(known[10:40].std(), rel=0.35)
    assert fine[92:104, 48:112].std() == pytest.approx(known[125:150].std(), rel=0.5)
    assert np.array_equal(filled[~unknown], pixels[~unknown])


def test_the_most_alike_block_is_found_in_whatever_part_of_the_sources_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search goes through the sources in parts; a search block by block finds the same."""
    monkeypatch.setattr(carried_detail, "_COMPARED_AT_ONCE", 7)
    side = BLOCK_SIDE // REDUCTION
    small = np.random.default_rng(1).random((30, 34, 3), dtype=np.float32)
    views = np.lib.stride_tricks.sliding_window_view(small, (side, side), axis=(0, 1))
    sources, targets = np.argwhere(np.ones((10, 27), np.bool_)), np.array([[12, 3], [20, 9], [4, 6]])
    best, differences = carried_detail._most_alike(views, sources, targets)
    for (row, column), number, difference in zip(targets, best, differences, strict=True):
        errors = [float(np.square(views[top, left] - views[row, column]).mean()) for top, left in sources]
        assert number == int(np.argmin(errors))
        assert difference == pytest.approx(min(errors), abs=1e-6)
