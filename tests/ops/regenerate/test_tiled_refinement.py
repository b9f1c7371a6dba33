"""The second pass: finer detail, the same colours, and no visible tiles."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.errors import InputError, JobCancelled
from goldsmith.ops.regenerate.tiled_refinement import RefineOptions, refine_by_tiles, tile_seed, tile_size
from goldsmith.picture.companion import Companion
from goldsmith.picture.picture import Pixels
from goldsmith.picture.smoothing import gaussian_blur

OPTIONS = RefineOptions(native_pixels=128 * 128, multiple=16, seed=7)
OnProgress = Callable[[float], None]


def _ignore_progress(fraction: float) -> None:
    """Do nothing."""


def _slope(height: int = 300, width: int = 420) -> Pixels:
    """Return a smooth slope, (h, w, 3), 0..1, on which every seam shows."""
    across = np.linspace(0.3, 0.7, width, dtype=np.float32)
    down = np.linspace(-0.1, 0.1, height, dtype=np.float32)
    return np.repeat((across[None, :] + down[:, None])[:, :, None], 3, axis=2)


def _shift_colour(tile: Pixels, seed: int, on_progress: OnProgress) -> Pixels:
    """Return the tile in another colour and brightness for every seed."""
    return np.clip(tile + np.random.default_rng(seed).uniform(-0.15, 0.15, 3).astype(np.float32), 0, 1)


def _add_grain(tile: Pixels, seed: int, on_progress: OnProgress) -> Pixels:
    """Return the tile with other detail for every seed, so that no two tiles agree."""
    return tile + np.float32(0.05) * np.random.default_rng(seed).standard_normal(tile.shape, dtype=np.float32)


def test_colour_shifts_of_the_engine_are_removed() -> None:
    """The tone is that of the source, and the removed offset is on record."""
    source = _slope()
    result = refine_by_tiles(source, _shift_colour, OPTIONS, _ignore_progress)
    assert np.abs(result.pixels - source).max() < 0.5 / 255
    assert 0.03 < result.tone_offset < 0.15


def test_the_shifting_engine_changes_the_tone_from_tile_to_tile() -> None:
    """Without the tone match, its tiles differ by more than 0.05."""
    tiles = [_shift_colour(np.full((4, 4, 3), 0.5, np.float32), tile_seed(7, number), _ignore_progress).mean() for number in range(6)]
    assert max(tiles) - min(tiles) > 0.05


def test_the_detail_of_the_engine_keeps_its_strength() -> None:
    """It is as strong as the engine drew it, in the middle of a tile and in the fade between two tiles."""
    result = refine_by_tiles(_slope(), _add_grain, OPTIONS, _ignore_progress)
    detail_strength = (result.pixels - _slope()).std(axis=2)
    columns = gaussian_blur(np.ascontiguousarray(detail_strength.mean(axis=0)[None, :].repeat(3, 0)), 3)[1]
    assert columns.min() > 0.8 * np.median(columns)
    assert columns.max() < 1.2 * np.median(columns)
    assert (result.pixels - _slope()).std() == pytest.approx(0.05, rel=0.1)


def test_seams_show_no_step() -> None:
    """A step would add up in the averages along a seam; neighbouring columns and rows differ no more there than elsewhere."""
    result = refine_by_tiles(
        _slope(),
        lambda tile, seed, on_progress: _add_grain(_shift_colour(tile, seed, on_progress), seed, on_progress),
        OPTIONS,
        _ignore_progress,
    )
    for axis in (0, 1):
        means = (result.pixels - _slope()).mean(axis=(axis, 2))
        jumps = np.abs(np.diff(means))
        assert jumps.max() < 4.5 * np.median(jumps)


def test_artefacts_at_the_rim_of_a_tile_are_dropped() -> None:
    """A dark frame round every tile, as networks produce it, is nowhere inside the picture."""

    def darken_rim(tile: Pixels, seed: int, on_progress: OnProgress) -> Pixels:
        framed = tile.copy()
        framed[:4] = framed[-4:] = framed[:, :4] = framed[:, -4:] = 0
        return framed

    source = _slope(700, 900)
    result = refine_by_tiles(source, darken_rim, RefineOptions(512 * 512, 16, 7), _ignore_progress)
    assert len(result.tiles) == 6
    assert np.abs(result.pixels - source)[50:-50, 50:-50].max() < 1 / 255


def test_an_engine_that_returns_its_tiles_changes_nothing() -> None:
    """The picture is the same to a hundredth of a code."""
    source = _slope()
    result = refine_by_tiles(source, lambda tile, seed, on_progress: tile, OPTIONS, _ignore_progress)
    assert np.abs(result.pixels - source).max() < 0.01 / 255
    assert result.tone_offset == 0


def test_every_tile_has_the_native_size_and_its_own_seed() -> None:
    """Another step has other seeds. Tiles, sizes and seeds are on record."""
    calls: list[tuple[tuple[int, ...], int]] = []

    def record_call(tile: Pixels, seed: int, on_progress: OnProgress) -> Pixels:
        calls.append((tile.shape, seed))
        return tile

    result = refine_by_tiles(_slope(), record_call, OPTIONS, _ignore_progress)
    assert {shape for shape, _ in calls} == {(128, 128, 3)}
    seeds = [seed for _, seed in calls]
    assert len(set(seeds)) == len(seeds) == len(result.tiles) == result.findings()["tiles"]
    assert result.findings()["tile_seeds"] == seeds
    assert result.findings()["tile"] == [128, 128]
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert not set(seeds) & {tile_seed(8, number) for number in range(len(seeds))}


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Another seed gives other bytes."""
    first, second = (refine_by_tiles(_slope(), _add_grain, OPTIONS, _ignore_progress).pixels for _ in range(2))
    other = refine_by_tiles(_slope(), _add_grain, RefineOptions(OPTIONS.native_pixels, OPTIONS.multiple, 8), _ignore_progress).pixels
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 900), st.integers(1, 900), st.sampled_from([64 * 64, 200 * 200, 512 * 512]), st.sampled_from([8, 16, 64]))
def test_the_tiles_cover_the_picture(height: int, width: int, pixels: int, multiple: int) -> None:
    """Every pixel lies in a tile, no tile leaves the picture, and neighbours share a quarter of their side."""
    options = RefineOptions(pixels, multiple, 0)
    result = refine_by_tiles(np.zeros((height, width, 3), np.float32), lambda tile, seed, on_progress: tile, options, _ignore_progress)
    tile_counts = np.zeros((height, width), dtype=np.int32)
    for left, top, wide, high in result.tiles:
        assert min(left, top) >= 0
        assert left + wide <= width
        assert top + high <= height
        tile_counts[top : top + high, left : left + wide] += 1
    assert tile_counts.min() >= 1
    lefts = sorted({(left, wide) for left, _, wide, _ in result.tiles})
    assert all(left + wide - next_left >= 0.25 * wide - 1 for (left, wide), (next_left, _) in pairwise(lefts))


@pytest.mark.parametrize(
    ("shape", "tile"),
    [((900, 900), (128, 128)), ((90, 900), (96, 160)), ((900, 40), (176, 48)), ((1, 1), (16, 16)), ((100, 120), (112, 128))],
)
def test_tiles_have_about_the_native_number_of_pixels(shape: tuple[int, int], tile: tuple[int, int]) -> None:
    """Tiles are square if there is room. In a low or narrow picture they are longer, up to the long side of a native 2:1 tile."""
    assert tile_size(*shape, OPTIONS) == tile


@pytest.mark.parametrize("shape", [(1, 1), (37, 53), (130, 129)])
def test_sides_that_are_not_multiples_are_extended_for_the_engine(shape: tuple[int, int]) -> None:
    """The engine gets only sides that it can work at, and the picture keeps its own size."""
    shapes: list[tuple[int, ...]] = []

    def record_shape(tile: Pixels, seed: int, on_progress: OnProgress) -> Pixels:
        shapes.append(tile.shape)
        return tile

    picture = np.random.default_rng(1).random((*shape, 3), dtype=np.float32)
    assert refine_by_tiles(picture, record_shape, OPTIONS, _ignore_progress).pixels.shape == picture.shape
    assert all(side % 16 == 0 for shape in shapes for side in shape[:2])


def test_progress_rises_through_tiles_and_their_steps() -> None:
    """It starts at 0, never falls, and counts the engine's own steps."""
    fractions: list[float] = []

    def redraw_in_two_steps(tile: Pixels, seed: int, on_progress: OnProgress) -> Pixels:
        on_progress(0.5)
        on_progress(1.0)
        return tile

    result = refine_by_tiles(_slope(), redraw_in_two_steps, OPTIONS, fractions.append)
    assert fractions[0] == 0
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert len(fractions) == 3 * len(result.tiles)


def test_a_cancelled_job_stops_within_a_tile() -> None:
    """An exception of the progress callback ends the work at the engine's next step."""
    finished_seeds: list[int] = []

    def redraw(tile: Pixels, seed: int, on_progress: OnProgress) -> Pixels:
        on_progress(0.5)
        finished_seeds.append(seed)
        return tile

    def cancel_early(fraction: float) -> None:
        if fraction > 0.2:
            raise JobCancelled

    with pytest.raises(JobCancelled):
        refine_by_tiles(_slope(), redraw, OPTIONS, cancel_early)
    assert 0 < len(finished_seeds) < 6


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_from_the_engine_are_refused(value: float) -> None:
    """They never reach a picture."""
    with pytest.raises(InputError, match="not numbers"):
        refine_by_tiles(_slope(), lambda tile, seed, on_progress: np.full_like(tile, value), OPTIONS, _ignore_progress)


def test_a_tile_of_another_size_is_refused() -> None:
    """The error gives both sizes."""
    with pytest.raises(InputError, match="64 x 64 px instead of 128 x 128"):
        refine_by_tiles(_slope(), lambda tile, seed, on_progress: tile[:64, :64], OPTIONS, _ignore_progress)


def test_the_source_is_not_written_to() -> None:
    """Pictures are read-only, so a write would raise an error."""
    source = _slope()
    source.flags.writeable = False
    before = source.copy()
    refine_by_tiles(source, _add_grain, OPTIONS, _ignore_progress)
    assert np.array_equal(source, before)


def test_the_part_of_a_companion_belongs_to_the_tile_that_is_redrawn_next() -> None:
    """Check a companion that is the picture itself: each part is the tile, also where a tile is extended to a multiple."""
    parts: list[Pixels] = []
    tiles: list[Pixels] = []

    def keep_tile(tile: Pixels, seed: int, on_progress: OnProgress) -> Pixels:
        assert len(parts) == len(tiles) + 1
        tiles.append(tile)
        return tile

    source = _slope(150, 421)
    refine_by_tiles(source, keep_tile, OPTIONS, _ignore_progress, Companion(source, parts.append))
    assert len(tiles) > 3
    assert all(np.array_equal(part, tile) for part, tile in zip(parts, tiles, strict=True))
