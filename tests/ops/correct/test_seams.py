"""Seams: told from horizons, stripes, frames and texture; spread until the step is gone."""

from __future__ import annotations

import numpy as np
import pytest

from doubles.faults_of_pictures import PHOTOGRAPHS, changed, coded, photograph, sharpened, tiled, under_sky
from goldsmith.ops.correct import seams
from goldsmith.picture.picture import Pixels


def _laid(given: Pixels) -> Pixels:
    made = given.copy()
    for fault in seams.find(given):
        assert fault.repair is not None
        made[fault.repair[0]] = fault.repair[1]
    return made


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_photograph_has_none(name: str) -> None:
    """Nor has it any where its texture is sharpened."""
    assert seams.find(photograph(name)) == []
    assert seams.find(sharpened(photograph(name), 1)) == []


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_straight_horizon_is_none(name: str) -> None:
    """Where a sky meets the land in one straight line from side to side, another thing begins."""
    assert seams.find(under_sky(name, 200)[1]) == []


@pytest.mark.parametrize(("name", "side"), [("astronaut", 200), ("coffee", 200), ("rocket", 128), ("rocket", 256)])
def test_each_line_lies_where_a_tile_ends(name: str, side: int) -> None:
    """Boxes go from side to side about a multiple of the tile's side; steps fall to less than half."""
    given = tiled(photograph(name), side, 6)
    faults = seams.find(given)
    assert len(faults) >= 2
    for fault in faults:
        rows, columns = fault.window
        upright = rows == slice(0, given.shape[0])
        assert upright or columns == slice(0, given.shape[1])
        span = columns if upright else rows
        assert any(span.start < line < span.stop for line in range(side, max(given.shape[:2]), side))
        assert fault.after < 0.45 * fault.before


def test_away_from_the_line_nothing_changes() -> None:
    """One seam: beyond 96 px on either side all is bit for bit as it was, and both sides move by about half the step."""
    given = photograph("rocket").copy()
    given[:, 160:] = np.clip(given[:, 160:] + np.float32(4 / 255), 0, 1)
    given = coded(given)
    moved = changed(given, made := _laid(given))
    assert moved[:, 70:250].mean() > 0.8
    assert not moved[:, : 160 - 96].any()
    assert not moved[:, 160 + 96 :].any()
    assert np.abs(made - given).max() * 255 < 3


def test_the_step_is_gone_and_the_texture_is_not() -> None:
    """The mean over the line steps by less than a tenth of what it did, and the picture is no softer than it was."""
    clean = photograph("rocket")
    given = clean.copy()
    given[:, 160:] = np.clip(given[:, 160:] + np.float32(4 / 255), 0, 1)
    made = _laid(coded(given))
    excess = [(one[:200, 160] - one[:200, 159] - clean[:200, 160] + clean[:200, 159]).mean() * 255 for one in (given, made)]
    assert excess[0] == pytest.approx(4, abs=0.1)
    assert abs(excess[1]) < 0.4
    assert np.abs(np.diff(made, axis=0)).mean() == pytest.approx(np.abs(np.diff(given, axis=0)).mean(), rel=0.02)


def test_uneven_stripes_are_drawn_and_not_left_by_tiles() -> None:
    """Lines at uneven distances, low as they are, stay."""
    given = np.full((400, 600, 3), 0.5, np.float32) + np.random.default_rng(1).normal(0, 1 / 255, (400, 600, 3)).astype(np.float32)
    for number, (start, stop) in enumerate([(70, 190), (260, 340), (520, 600)]):
        given[:, start:stop] += (3 + number) / 255
    assert seams.find(coded(given)) == []


def test_a_frame_is_no_seam() -> None:
    """A line near the border belongs to a frame."""
    given = photograph("rocket") * np.float32(0.9)
    given[:, :20] += 5 / 255
    assert seams.find(coded(given)) == []


@pytest.mark.parametrize("shape", [(1, 1), (127, 600), (128, 128)])
def test_small_pictures_have_none(shape: tuple[int, int]) -> None:
    """There is too little of a line to tell."""
    assert seams.find(np.full((*shape, 3), 0.5, np.float32)) == []
