"""The result of tiling equals that of one pass over the whole picture."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doubles.step_context import NullUpscaler
from goldsmith.errors import InputError
from goldsmith.picture.picture import Pixels
from goldsmith.picture.tiling import Tiling, tile_spans, upscale_by_tiles


def _picture(height: int, width: int) -> Pixels:
    return np.random.default_rng(height * width).random((height, width, 3), dtype=np.float32)


def _net(scale: int, radius: int, shapes: list[tuple[int, int]] | None = None):  # type: ignore[no-untyped-def]
    """Return a network whose result depends, like a convolution, on the pixels within ``radius``, with zeros beyond the border."""

    def enlarge(tile: Pixels) -> Pixels:
        if shapes is not None:
            shapes.append(tile.shape[:2])
        padded = np.pad(tile, ((radius, radius), (radius, radius), (0, 0)))
        windows = [
            np.roll(padded, (down, across), (0, 1)) * (1 + down * 0.1)
            for down in range(-radius, radius + 1)
            for across in (-radius, 0, radius)
        ]
        mixed = sum(windows)[radius:-radius, radius:-radius] / len(windows)  # type: ignore[index]
        return np.repeat(np.repeat(mixed, scale, 0), scale, 1).astype(np.float32)

    return enlarge


@pytest.mark.parametrize("shape", [(64, 64), (65, 130), (200, 47), (33, 300)])
@pytest.mark.parametrize("scale", [2, 4])
def test_tiles_give_the_same_result_as_the_whole_picture(shape: tuple[int, int], scale: int) -> None:
    """Networks that reach no further than half the pad leave no seam: the difference is far below 1/255, also at the borders."""
    picture = _picture(*shape)
    whole_result = _net(scale, 4)(picture)
    tiled_result = upscale_by_tiles(picture, _net(scale, 4), Tiling(side=48, pad=8, multiple=1, scale=scale), lambda fraction: None)
    assert tiled_result.shape == whole_result.shape
    assert float(np.abs(tiled_result - whole_result).max()) < 1e-5


def test_different_tones_of_tiles_are_blended() -> None:
    """Transitions between tiles are slopes, not steps."""
    tone = iter(np.linspace(0, 1, 50))

    def fill_with_next_tone(tile: Pixels) -> Pixels:
        return np.full_like(tile, next(tone))

    flat = upscale_by_tiles(_picture(40, 200), fill_with_next_tone, Tiling(side=64, pad=16, multiple=1, scale=1), lambda fraction: None)
    assert float(np.abs(np.diff(flat[20, :, 0])).max()) <= 1.5 / 49 / 8 + 1e-6


def test_a_network_that_reaches_further_than_the_pad_leaves_no_step() -> None:
    """Errors fall off with the distance from the edge of a tile; blending makes a slope of the difference."""
    pad, signs = 32, iter(np.tile([1.0, -1.0], 50))

    def wrong_at_the_edges(tile: Pixels) -> Pixels:
        width = tile.shape[1]
        nearest = np.minimum(np.arange(width), np.arange(width)[::-1])
        return (tile + next(signs) * 10 / 255 * 0.5 ** (nearest / (pad / 3))[None, :, None]).astype(np.float32)

    gradient = np.repeat(np.linspace(0.3, 0.6, 400, dtype=np.float32)[None, :, None], 40, 0).repeat(3, 2)
    result = upscale_by_tiles(gradient, wrong_at_the_edges, Tiling(side=160, pad=pad, multiple=1, scale=1), lambda fraction: None)
    inside = slice(2 * pad, -2 * pad)  # at the picture's own borders the net is wrong without tiles too
    added = np.abs(np.diff(result[20, inside, 0]) - np.diff(gradient[20, inside, 0])) * 255
    step_at_cut = 2 * 10 * 0.5**3
    assert float(added.max()) < step_at_cut / 8, "tiles are cut instead of blended"
    assert float(np.abs(result - gradient)[:, inside].max()) * 255 < 10 * 0.5 ** (3 * 0.75), "the outer part of a pad is used"


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 700), st.sampled_from([0, 16, 33, 64, 256]), st.integers(0, 7), st.sampled_from([1, 2, 4]))
def test_tiles_cover_the_axis_and_overlap(length: int, side: int, pad: int, multiple: int) -> None:
    """Spans reach from the first to the last pixel, have the same length, and overlap by two pads."""
    spans = tile_spans(length, Tiling(side=side, pad=pad, multiple=multiple, scale=2))
    assert spans[0][0] == 0
    assert spans[-1][1] == length
    assert len({stop - start for start, stop in spans}) == 1
    assert all(before[1] - after[0] >= 2 * pad for before, after in pairwise(spans))


@pytest.mark.parametrize("shape", [(1, 1), (7, 90), (37, 53)])
def test_the_network_gets_sides_that_are_multiples(shape: tuple[int, int]) -> None:
    """Tiles of another size are padded by mirroring and cropped again."""
    shapes: list[tuple[int, int]] = []
    result = upscale_by_tiles(_picture(*shape), _net(2, 1, shapes), Tiling(side=32, pad=4, multiple=4, scale=2), lambda fraction: None)
    assert result.shape == (shape[0] * 2, shape[1] * 2, 3)
    assert all(height % 4 == 0 and width % 4 == 0 and max(height, width) <= 32 for height, width in shapes)


def test_an_engine_without_a_fixed_side_gets_the_whole_picture() -> None:
    """A side of 0 gives one tile."""
    engine = NullUpscaler(scale=3)
    picture = _picture(50, 70)
    result = upscale_by_tiles(picture, engine.enlarge, Tiling(side=0, pad=0, multiple=1, scale=3), lambda fraction: None)
    assert len(engine.calls) == 1
    assert np.array_equal(result, np.repeat(np.repeat(picture, 3, 0), 3, 1))


def test_an_engine_that_returns_nan_is_refused() -> None:
    """InputError is raised before NaN gets into a picture."""
    with pytest.raises(InputError, match="no numbers"):
        upscale_by_tiles(
            _picture(8, 8), lambda tile: np.full_like(tile, np.inf), Tiling(side=0, pad=0, multiple=1, scale=1), lambda fraction: None
        )


def test_progress_is_reported_before_every_tile() -> None:
    """Fractions rise from zero and stay below one."""
    reports: list[float] = []
    upscale_by_tiles(_picture(90, 90), NullUpscaler(2).enlarge, Tiling(side=48, pad=4, multiple=2, scale=2), reports.append)
    assert reports == sorted(reports)
    assert reports[0] == 0
    assert len(reports) == 9
