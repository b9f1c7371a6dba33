"""Beyond the edge: every new pixel is made once, from the inside out, and the old ones are copied."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doubles.step_context import NullInpainter
from goldsmith.errors import InputError, JobCancelled
from goldsmith.ops.outpaint.canvas_extension import (
    MAX_CONTEXT_SHARE,
    MAX_WINDOW_SIDE,
    OVERDRAW,
    ExtensionOptions,
    extend_canvas,
    plan_windows,
)
from goldsmith.picture.crop_and_stitch import OnProgress
from goldsmith.picture.crop_planning import CropBox
from goldsmith.picture.picture import Mask, Pixels

ANY = ExtensionOptions(context=1.5, blend=0, window_side=0, multiple=1, seed=5)
FIXED = replace(ANY, window_side=64)


def _unheard(fraction: float) -> None:
    """Nobody listens."""


def _old(height: int = 60, width: int = 80, channels: int = 3) -> Pixels:
    return np.random.default_rng(height).random((height, width, channels), dtype=np.float32)


def _white(pixels: Pixels, hole: Mask, seed: int, step: OnProgress) -> Pixels:
    return np.where(hole[..., None] > 0.5, np.float32(1), pixels)


@settings(max_examples=120, deadline=None)
@given(
    st.integers(1, 200),
    st.integers(1, 200),
    st.tuples(*[st.integers(0, 150)] * 4),
    st.sampled_from([0, 16, 64, 100]),
    st.sampled_from([0.1, 1.5, 4.0]),
)
def test_the_gaps_are_all_that_is_new_each_once(
    height: int, width: int, around: tuple[int, int, int, int], side: int, context: float
) -> None:
    """Whatever the sizes: no pixel is left out, none made twice, none of the old ones touched, no window leaves the picture."""
    left, top, right, bottom = around
    size = (top + height + bottom, left + width + right)
    place = CropBox(top, left, top + height, left + width)
    made = np.zeros(size, dtype=np.int32)
    made[place.window] = 1
    for opening in plan_windows(place, size, replace(ANY, window_side=side, context=context)):
        view, gap = opening.crop, opening.gap
        assert 0 <= view.top <= gap.top < gap.bottom <= view.bottom <= size[0]
        assert 0 <= view.left <= gap.left < gap.right <= view.right <= size[1]
        seen = made[view.window].copy()
        seen[gap.relative_to(view).window] = 1
        assert seen.all(), "a window shows nothing but what is known and what it makes"
        made[gap.window] += 1
    assert (made == 1).all()


def test_an_engine_of_one_size_is_shown_windows_of_that_size() -> None:
    """Along the edge and away from it, with as much known beside what is new as the context asks for."""
    openings = list(plan_windows(CropBox(0, 100, 300, 400), (300, 500), FIXED))
    assert {(each.crop.height, each.crop.width) for each in openings} == {(64, 64)}
    assert max(each.gap.width for each in openings) <= 64 / 2.5
    assert {each.edge for each in openings} == {"left", "right"}


def test_bands_go_from_the_inside_out() -> None:
    """The first window at an edge touches the picture, the next the first."""
    lefts = [each.gap.left for each in plan_windows(CropBox(0, 100, 60, 180), (60, 180), FIXED)]
    assert lefts == sorted(lefts, reverse=True)
    assert lefts[-1] == 0
    assert len(lefts) == 4


def test_an_engine_of_any_size_is_shown_the_rim_and_not_the_subject() -> None:
    """A whole edge at once, with no more of the picture than its outer third."""
    left, right = plan_windows(CropBox(0, 300, 400, 700), (400, 1000), ANY)
    assert (left.crop, left.gap) == (CropBox(0, 0, 400, 300 + int(400 * MAX_CONTEXT_SHARE)), CropBox(0, 0, 400, 300))
    assert right.crop == CropBox(0, 700 - int(700 * MAX_CONTEXT_SHARE), 400, 1000)


def test_the_old_pixels_are_copied_and_the_rest_is_the_engines() -> None:
    """White all round, the picture in the middle as it was."""
    old = _old()
    place = CropBox(20, 30, 80, 110)
    for reach in (ANY, FIXED):
        done = extend_canvas(old, place, (110, 150), _white, reach, 8, _unheard)
        assert np.array_equal(done.pixels[place.window], old)
        new = np.ones((110, 150), bool)
        new[place.window] = False
        assert np.median(done.pixels[new]) > 0.95
        assert done.pixels.min() >= 0
        assert done.pixels.max() <= 1


@pytest.mark.parametrize("edge", ["left", "right", "top", "bottom"])
def test_up_is_up_for_the_engine_at_every_edge(edge: str) -> None:
    """The engine sees the picture as it stands, with its hole at the edge in question."""
    old = np.repeat(np.linspace(0, 1, 60, dtype=np.float32)[:, None], 80, 1)[:, :, None].repeat(3, 2)
    engine = NullInpainter()
    place = {
        "left": CropBox(0, 20, 60, 100),
        "right": CropBox(0, 0, 60, 80),
        "top": CropBox(20, 0, 80, 80),
        "bottom": CropBox(0, 0, 60, 80),
    }[edge]
    size = (60, 100) if edge in ("left", "right") else (80, 80)
    extend_canvas(old, place, size, engine.fill, ANY, 8, _unheard)
    (shown, hole, seed) = engine.asked[0]
    rim = {"left": hole[:, 0], "right": hole[:, -1], "top": hole[0], "bottom": hole[-1]}[edge]
    assert rim.all()
    assert hole.sum() == (20 + OVERDRAW) * (60 if edge in ("left", "right") else 80)
    rows = [line[open_ < 0.5].mean() for line, open_ in zip(shown[..., 0], hole, strict=True) if not open_.all()]
    assert (np.diff(rows) > 0).all()
    assert seed == 5


def test_a_large_edge_is_drawn_small_and_keeps_the_picture_s_detail() -> None:
    """Beyond WHOLE_EDGE the engine works on a copy, and grain and texture are still those of the picture."""
    height = MAX_WINDOW_SIDE * 2 - 100
    rng = np.random.default_rng(0)
    old = np.clip(0.5 + 0.1 * rng.standard_normal((height, 300, 3), dtype=np.float32), 0, 1)
    engine = NullInpainter()
    done = extend_canvas(old, CropBox(0, 0, height, 300), (height, 400), engine.fill, ANY, 8, _unheard)
    assert done.scales == (0.5,)
    assert max(engine.asked[0][1].shape) <= MAX_WINDOW_SIDE
    new = done.pixels[:, 300:]
    high = [np.abs(np.diff(each, axis=0)).mean() for each in (old, new)]
    assert high[1] == pytest.approx(high[0], rel=0.25)
    assert np.array_equal(done.pixels[:, :300], old)


def test_an_engine_that_is_off_in_tone_leaves_no_step() -> None:
    """Every fill a tenth too dark: with ``blend`` the join is level, without it there is a step."""

    def dark(pixels: Pixels, hole: Mask, seed: int, step: OnProgress) -> Pixels:
        return np.full_like(pixels, 0.4)

    old = np.full((90, 120, 3), 0.5, np.float32)
    for reach in (ANY, FIXED):
        steps = []
        for blend in (0, 64):
            done = extend_canvas(old, CropBox(30, 40, 120, 160), (150, 200), dark, replace(reach, blend=blend), 8, _unheard)
            joins = [done.pixels[30:120, 39] - 0.5, done.pixels[30:120, 160] - 0.5, done.pixels[29, 40:160] - 0.5]
            steps.append(max(float(np.abs(each).mean()) for each in joins))
        assert steps[0] > 0.09
        assert steps[1] < 0.01


def test_models_that_generate_start_from_the_edge_carried_on() -> None:
    """Not from black: a model that takes the picture as its beginning begins with the colours that are there."""
    engine = NullInpainter(side=64)
    old = np.full((64, 60, 3), 0.7, np.float32)
    extend_canvas(old, CropBox(0, 0, 64, 60), (64, 80), engine.fill, replace(FIXED, generates=True), 8, _unheard)
    shown, hole, _ = engine.asked[0]
    assert shown[hole > 0.5] == pytest.approx(0.7, abs=0.01)


def test_every_window_has_its_own_seed_and_the_same_each_time() -> None:
    """Seeds count up from the step's."""
    engine = NullInpainter(side=64)
    done = [extend_canvas(_old(), CropBox(0, 60, 60, 140), (60, 200), engine.fill, FIXED, 8, _unheard) for _ in range(2)]
    seeds = [seed for _, _, seed in engine.asked]
    assert seeds[: len(seeds) // 2] == seeds[len(seeds) // 2 :] == list(range(5, 5 + len(seeds) // 2))
    assert np.array_equal(done[0].pixels, done[1].pixels)


def test_what_was_done_is_told() -> None:
    """Views as left, top, width, height; the scale of each; how large the step of tone was."""
    done = extend_canvas(_old(), CropBox(0, 0, 60, 80), (60, 100), _white, replace(ANY, blend=32), 8, _unheard)
    findings = done.findings()
    assert findings["windows"] == [[48, 0, 52, 60]]
    assert findings["scales"] == [1.0]
    assert 0 < findings["seam_offset"] < 0.2  # type: ignore[operator]


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_stays_grey(channels: int) -> None:
    """The engine is shown three channels, the picture keeps its own."""
    engine = NullInpainter(side=64)
    done = extend_canvas(_old(40, 50, channels), CropBox(0, 0, 40, 50), (50, 60), engine.fill, FIXED, 16, _unheard)
    assert done.pixels.shape == (50, 60, channels)
    assert engine.asked[0][0].shape[2] == 3


def test_progress_rises_and_a_withdrawn_job_stops_between_windows() -> None:
    """What the report raises ends the work."""
    told: list[float] = []
    extend_canvas(_old(), CropBox(0, 60, 60, 140), (60, 200), _white, FIXED, 8, told.append)
    assert told[0] == 0
    assert told == sorted(told)
    engine = NullInpainter(side=64)

    def cancelling(fraction: float) -> None:
        if fraction >= 0.5:
            raise JobCancelled

    with pytest.raises(JobCancelled):
        extend_canvas(_old(), CropBox(0, 60, 60, 140), (60, 200), engine.fill, FIXED, 8, cancelling)
    assert 0 < len(engine.asked) < len(told)


def test_an_engine_that_makes_no_numbers_is_a_problem() -> None:
    """NaN never gets into a picture."""
    with pytest.raises(InputError, match="no numbers"):
        extend_canvas(
            _old(), CropBox(0, 0, 60, 80), (60, 90), lambda pixels, hole, seed, step: pixels * np.float32("nan"), ANY, 8, _unheard
        )
