"""Seams: distinguished from horizons, stripes, frames and texture, and spread until the step is gone."""

from __future__ import annotations

import numpy as np
import pytest

from doubles.faults_of_pictures import PHOTOGRAPHS, changed, coded, photograph, sharpened, tiled, under_sky
from goldsmith.ops.correct import seams
from goldsmith.picture.picture import Pixels


def _repair_all(picture: Pixels) -> Pixels:
    repaired = picture.copy()
    for fault in seams.find(picture):
        assert fault.repair is not None
        repaired[fault.repair[0]] = fault.repair[1]
    return repaired


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_photograph_has_no_seams(name: str) -> None:
    """A photograph with sharpened texture has none either."""
    assert seams.find(photograph(name)) == []
    assert seams.find(sharpened(photograph(name), 1)) == []


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_straight_horizon_is_not_a_seam(name: str) -> None:
    """At a straight line from side to side between sky and land, the subject changes and not only the tone."""
    assert seams.find(under_sky(name, 200)[1]) == []


@pytest.mark.parametrize(("name", "side"), [("astronaut", 200), ("coffee", 200), ("rocket", 128), ("rocket", 256)])
def test_each_seam_lies_at_the_edge_of_a_tile(name: str, side: int) -> None:
    """Boxes go from side to side around a multiple of the tile's side; steps fall to less than half."""
    picture = tiled(photograph(name), side, 6)
    faults = seams.find(picture)
    assert len(faults) >= 2
    for fault in faults:
        rows, columns = fault.window
        upright = rows == slice(0, picture.shape[0])
        assert upright or columns == slice(0, picture.shape[1])
        span = columns if upright else rows
        assert any(span.start < edge < span.stop for edge in range(side, max(picture.shape[:2]), side))
        assert fault.after < 0.45 * fault.before


def test_a_seam_is_spread_over_96_px_on_each_side() -> None:
    """Farther away all stays bit for bit, and each side moves by about half the step."""
    picture = photograph("rocket").copy()
    picture[:, 160:] = np.clip(picture[:, 160:] + np.float32(4 / 255), 0, 1)
    picture = coded(picture)
    difference = changed(picture, repaired := _repair_all(picture))
    assert difference[:, 70:250].mean() > 0.8
    assert not difference[:, : 160 - 96].any()
    assert not difference[:, 160 + 96 :].any()
    assert np.abs(repaired - picture).max() * 255 < 3


def test_the_step_goes_and_the_texture_stays() -> None:
    """The mean step across the seam falls to a tenth or less, and the picture is as sharp as before."""
    clean = photograph("rocket")
    picture = clean.copy()
    picture[:, 160:] = np.clip(picture[:, 160:] + np.float32(4 / 255), 0, 1)
    repaired = _repair_all(coded(picture))
    excess = [(pixels[:200, 160] - pixels[:200, 159] - clean[:200, 160] + clean[:200, 159]).mean() * 255 for pixels in (picture, repaired)]
    assert excess[0] == pytest.approx(4, abs=0.1)
    assert abs(excess[1]) < 0.4
    assert np.abs(np.diff(repaired, axis=0)).mean() == pytest.approx(np.abs(np.diff(picture, axis=0)).mean(), rel=0.02)


def test_uneven_stripes_are_not_seams() -> None:
    """Tiles end at even distances, so lines at uneven distances stay, however faint they are."""
    picture = np.full((400, 600, 3), 0.5, np.float32) + np.random.default_rng(1).normal(0, 1 / 255, (400, 600, 3)).astype(np.float32)
    for number, (start, stop) in enumerate([(70, 190), (260, 340), (520, 600)]):
        picture[:, start:stop] += (3 + number) / 255
    assert seams.find(coded(picture)) == []


def test_a_frame_is_not_a_seam() -> None:
    """A line near the border belongs to a frame."""
    picture = photograph("rocket") * np.float32(0.9)
    picture[:, :20] += 5 / 255
    assert seams.find(coded(picture)) == []


@pytest.mark.parametrize("shape", [(1, 1), (127, 600), (128, 128)])
def test_small_pictures_have_no_seams(shape: tuple[int, int]) -> None:
    """The line is too short to measure."""
    assert seams.find(np.full((*shape, 3), 0.5, np.float32)) == []


@pytest.mark.parametrize(
    ("positions", "is_alike"),
    [([128], True), ([160], False), ([200, 400], True), ([161, 229], False), ([375, 832], False), ([70, 150, 230], True)],
)
def test_one_or_two_lines_lie_like_tiles_or_must_stand_out(positions: list[int], is_alike: bool) -> None:
    """One line lies at a multiple of 64, or two at multiples of one side; three have passed a test of their own."""
    assert seams._are_multiples_of_a_side(positions) is is_alike
