"""The light second pass: finer, but nowhere another colour, and no trace of the tiles."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.errors import InputError, JobCancelled
from goldsmith.ops.regenerate.tiled_refinement import RefineOptions, refine_by_tiles, tile_seed, tile_size
from goldsmith.picture.picture import Pixels
from goldsmith.picture.smoothing import gaussian_blur

HOW = RefineOptions(native_pixels=128 * 128, multiple=16, seed=7)
Step = Callable[[float], None]


def _unheard(fraction: float) -> None:
    """Nobody listens."""


def _slope(height: int = 300, width: int = 420) -> Pixels:
    """Smooth, so that every seam would show."""
    across = np.linspace(0.3, 0.7, width, dtype=np.float32)
    down = np.linspace(-0.1, 0.1, height, dtype=np.float32)
    return np.repeat((across[None, :] + down[:, None])[:, :, None], 3, axis=2)


def _shifting(tile: Pixels, seed: int, step: Step) -> Pixels:
    """An engine that gives every tile another colour and another light."""
    return np.clip(tile + np.random.default_rng(seed).uniform(-0.15, 0.15, 3).astype(np.float32), 0, 1)


def _grainy(tile: Pixels, seed: int, step: Step) -> Pixels:
    """An engine that draws other detail in every tile: two tiles agree on nothing."""
    return tile + np.float32(0.05) * np.random.default_rng(seed).standard_normal(tile.shape, dtype=np.float32)


def test_an_engine_that_shifts_colour_leaves_no_trace() -> None:
    """Tone is that of what was given, and what was taken off is on record."""
    given_ = _slope()
    done = refine_by_tiles(given_, _shifting, HOW, _unheard)
    assert np.abs(done.pixels - given_).max() < 0.5 / 255
    assert 0.03 < done.tone_offset < 0.15


def test_the_shift_would_show_without_the_tone_match() -> None:
    """The double is no paper tiger: the same tiles laid side by side step by more than a tenth."""
    tiles = [_shifting(np.full((4, 4, 3), 0.5, np.float32), tile_seed(7, number), _unheard).mean() for number in range(6)]
    assert max(tiles) - min(tiles) > 0.05


def test_detail_stays_what_the_engine_drew() -> None:
    """Not smoothed away: as strong as drawn, in the middle of a tile and in the fade between two alike."""
    done = refine_by_tiles(_slope(), _grainy, HOW, _unheard)
    drawn = (done.pixels - _slope()).std(axis=2)
    columns = gaussian_blur(np.ascontiguousarray(drawn.mean(axis=0)[None, :].repeat(3, 0)), 3)[1]
    assert columns.min() > 0.8 * np.median(columns)
    assert columns.max() < 1.2 * np.median(columns)
    assert (done.pixels - _slope()).std() == pytest.approx(0.05, rel=0.1)


def test_no_step_at_any_seam() -> None:
    """Averaged along the seams, where a step would add up, neighbouring columns and rows differ no more there than elsewhere."""
    done = refine_by_tiles(_slope(), lambda tile, seed, step: _grainy(_shifting(tile, seed, step), seed, step), HOW, _unheard)
    for axis in (0, 1):
        line = (done.pixels - _slope()).mean(axis=(axis, 2))
        jumps = np.abs(np.diff(line))
        assert jumps.max() < 4.5 * np.median(jumps)


def test_what_an_engine_does_to_a_tiles_rim_is_dropped() -> None:
    """A dark frame round every tile, as nets make them, is nowhere inside the picture."""

    def framed(tile: Pixels, seed: int, step: Step) -> Pixels:
        made = tile.copy()
        made[:4] = made[-4:] = made[:, :4] = made[:, -4:] = 0
        return made

    given_ = _slope(700, 900)
    done = refine_by_tiles(given_, framed, RefineOptions(512 * 512, 16, 7), _unheard)
    assert len(done.tiles) == 6
    assert np.abs(done.pixels - given_)[50:-50, 50:-50].max() < 1 / 255


def test_an_engine_that_does_nothing_changes_nothing() -> None:
    """Strength zero: the picture as it was, to a hundredth of a code."""
    given_ = _slope()
    done = refine_by_tiles(given_, lambda tile, seed, step: tile, HOW, _unheard)
    assert np.abs(done.pixels - given_).max() < 0.01 / 255
    assert done.tone_offset == 0


def test_every_tile_is_drawn_at_the_native_size_with_a_seed_of_its_own() -> None:
    """The same seeds each time, other ones for another step, and all of it on record."""
    told: list[tuple[tuple[int, ...], int]] = []

    def noting(tile: Pixels, seed: int, step: Step) -> Pixels:
        told.append((tile.shape, seed))
        return tile

    done = refine_by_tiles(_slope(), noting, HOW, _unheard)
    assert {shape for shape, _ in told} == {(128, 128, 3)}
    seeds = [seed for _, seed in told]
    assert len(set(seeds)) == len(seeds) == len(done.tiles) == done.findings()["tiles"]
    assert done.findings()["tile_seeds"] == seeds
    assert done.findings()["tile"] == [128, 128]
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert not set(seeds) & {tile_seed(8, number) for number in range(len(seeds))}


def test_same_seed_same_bytes() -> None:
    """The pass is as repeatable as its engine."""
    one, again = (refine_by_tiles(_slope(), _grainy, HOW, _unheard).pixels for _ in range(2))
    other = refine_by_tiles(_slope(), _grainy, RefineOptions(HOW.native_pixels, HOW.multiple, 8), _unheard).pixels
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 900), st.integers(1, 900), st.sampled_from([64 * 64, 200 * 200, 512 * 512]), st.sampled_from([8, 16, 64]))
def test_the_tiles_cover_the_picture(height: int, width: int, pixels: int, multiple: int) -> None:
    """Every pixel lies in a tile, no tile leaves the picture, neighbours share a quarter of their side."""
    how = RefineOptions(pixels, multiple, 0)
    done = refine_by_tiles(np.zeros((height, width, 3), np.float32), lambda tile, seed, step: tile, how, _unheard)
    seen = np.zeros((height, width), dtype=np.int32)
    for left, top, wide, high in done.tiles:
        assert min(left, top) >= 0
        assert left + wide <= width
        assert top + high <= height
        seen[top : top + high, left : left + wide] += 1
    assert seen.min() >= 1
    lefts = sorted({(left, wide) for left, _, wide, _ in done.tiles})
    assert all(one + wide - two >= 0.25 * wide - 1 for (one, wide), (two, _) in pairwise(lefts))


@pytest.mark.parametrize(
    ("shape", "tile"),
    [((900, 900), (128, 128)), ((90, 900), (96, 160)), ((900, 40), (176, 48)), ((1, 1), (16, 16)), ((100, 120), (112, 128))],
)
def test_tiles_have_the_native_count_of_pixels(shape: tuple[int, int], tile: tuple[int, int]) -> None:
    """Square where there is room; in a low or narrow picture longer, but never longer than two to one of the native square."""
    assert tile_size(*shape, HOW) == tile


@pytest.mark.parametrize("shape", [(1, 1), (37, 53), (130, 129)])
def test_sides_that_are_no_multiples_are_mirrored_on(shape: tuple[int, int]) -> None:
    """The engine only ever sees sides it can work at, and the picture keeps its own."""
    told: list[tuple[int, ...]] = []

    def noting(tile: Pixels, seed: int, step: Step) -> Pixels:
        told.append(tile.shape)
        return tile

    picture = np.random.default_rng(1).random((*shape, 3), dtype=np.float32)
    assert refine_by_tiles(picture, noting, HOW, _unheard).pixels.shape == picture.shape
    assert all(side % 16 == 0 for size in told for side in size[:2])


def test_progress_rises_through_tiles_and_their_steps() -> None:
    """From 0, never back, and the engine's own steps count."""
    told: list[float] = []

    def stepping(tile: Pixels, seed: int, step: Step) -> Pixels:
        step(0.5)
        step(1.0)
        return tile

    done = refine_by_tiles(_slope(), stepping, HOW, told.append)
    assert told[0] == 0
    assert told == sorted(told)
    assert told[-1] == 1
    assert len(told) == 3 * len(done.tiles)


def test_a_withdrawn_job_stops_within_a_tile() -> None:
    """What the report raises ends the work at the engine's next step."""
    drawn: list[int] = []

    def stepping(tile: Pixels, seed: int, step: Step) -> Pixels:
        step(0.5)
        drawn.append(seed)
        return tile

    def cancelling(fraction: float) -> None:
        if fraction > 0.2:
            raise JobCancelled

    with pytest.raises(JobCancelled):
        refine_by_tiles(_slope(), stepping, HOW, cancelling)
    assert 0 < len(drawn) < 6


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_a_problem(bad: float) -> None:
    """They never get into a picture."""
    with pytest.raises(InputError, match="not numbers"):
        refine_by_tiles(_slope(), lambda tile, seed, step: np.full_like(tile, bad), HOW, _unheard)


def test_a_tile_of_another_size_is_a_problem() -> None:
    """And says both sizes."""
    with pytest.raises(InputError, match="64 x 64 px instead of 128 x 128"):
        refine_by_tiles(_slope(), lambda tile, seed, step: tile[:64, :64], HOW, _unheard)


def test_the_given_picture_is_not_written_to() -> None:
    """Plates are read-only, and so is what the engine is shown of them where it keeps it."""
    given_ = _slope()
    given_.flags.writeable = False
    before = given_.copy()
    refine_by_tiles(given_, _grainy, HOW, _unheard)
    assert np.array_equal(given_, before)
