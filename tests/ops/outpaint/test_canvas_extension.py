"""Extending the canvas: every new pixel is filled once, from the inside out, and the old pixels are copied."""

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

ANY_SIZE = ExtensionOptions(context=1.5, blend=0, window_side=0, multiple=1, seed=5)
FIXED_SIZE = replace(ANY_SIZE, window_side=64)


def _ignore_progress(fraction: float) -> None:
    """Do nothing."""


def _known_pixels(height: int = 60, width: int = 80, channels: int = 3) -> Pixels:
    return np.random.default_rng(height).random((height, width, channels), dtype=np.float32)


def _fill_white(pixels: Pixels, hole: Mask, seed: int, step: OnProgress) -> Pixels:
    return np.where(hole[..., None] > 0.5, np.float32(1), pixels)


@settings(max_examples=120, deadline=None)
@given(
    st.integers(1, 200),
    st.integers(1, 200),
    st.tuples(*[st.integers(0, 150)] * 4),
    st.sampled_from([0, 16, 64, 100]),
    st.sampled_from([0.1, 1.5, 4.0]),
)
def test_every_new_pixel_is_filled_exactly_once(
    height: int, width: int, around: tuple[int, int, int, int], side: int, context: float
) -> None:
    """At any size, no pixel is left out or filled twice, no old pixel is filled, and every window lies in the picture."""
    left, top, right, bottom = around
    size = (top + height + bottom, left + width + right)
    place = CropBox(top, left, top + height, left + width)
    fill_counts = np.zeros(size, dtype=np.int32)
    fill_counts[place.window] = 1
    for window in plan_windows(place, size, replace(ANY_SIZE, window_side=side, context=context)):
        crop, gap = window.crop, window.gap
        assert 0 <= crop.top <= gap.top < gap.bottom <= crop.bottom <= size[0]
        assert 0 <= crop.left <= gap.left < gap.right <= crop.right <= size[1]
        known = fill_counts[crop.window].copy()
        known[gap.relative_to(crop).window] = 1
        assert known.all(), "a window contains only known pixels and its own gap"
        fill_counts[gap.window] += 1
    assert (fill_counts == 1).all()


def test_an_engine_of_a_fixed_size_gets_windows_of_that_size() -> None:
    """Windows have that size on both axes and show as much of the known picture as the context asks for."""
    windows = list(plan_windows(CropBox(0, 100, 300, 400), (300, 500), FIXED_SIZE))
    assert {(window.crop.height, window.crop.width) for window in windows} == {(64, 64)}
    assert max(window.gap.width for window in windows) <= 64 / 2.5
    assert {window.edge for window in windows} == {"left", "right"}


def test_windows_go_from_the_inside_out() -> None:
    """The first window at an edge touches the picture, and each next window touches the previous one."""
    lefts = [window.gap.left for window in plan_windows(CropBox(0, 100, 60, 180), (60, 180), FIXED_SIZE)]
    assert lefts == sorted(lefts, reverse=True)
    assert lefts[-1] == 0
    assert len(lefts) == 4


def test_an_engine_of_any_size_sees_only_the_rim_of_the_picture() -> None:
    """It fills a whole edge at once and sees at most MAX_CONTEXT_SHARE of the picture, so that it does not repeat the subject."""
    left, right = plan_windows(CropBox(0, 300, 400, 700), (400, 1000), ANY_SIZE)
    assert (left.crop, left.gap) == (CropBox(0, 0, 400, 300 + int(400 * MAX_CONTEXT_SHARE)), CropBox(0, 0, 400, 300))
    assert right.crop == CropBox(0, 700 - int(700 * MAX_CONTEXT_SHARE), 400, 1000)


def test_old_pixels_are_copied_and_new_pixels_come_from_the_engine() -> None:
    """With a white fill, the new pixels are white and the old pixels are unchanged."""
    old = _known_pixels()
    place = CropBox(20, 30, 80, 110)
    for options in (ANY_SIZE, FIXED_SIZE):
        result = extend_canvas(old, place, (110, 150), _fill_white, options, 8, _ignore_progress)
        assert np.array_equal(result.pixels[place.window], old)
        new = np.ones((110, 150), bool)
        new[place.window] = False
        assert np.median(result.pixels[new]) > 0.95
        assert result.pixels.min() >= 0
        assert result.pixels.max() <= 1


@pytest.mark.parametrize("edge", ["left", "right", "top", "bottom"])
def test_the_engine_sees_the_picture_upright_at_every_edge(edge: str) -> None:
    """The picture is not rotated, and the hole lies at the edge that is extended."""
    old = np.repeat(np.linspace(0, 1, 60, dtype=np.float32)[:, None], 80, 1)[:, :, None].repeat(3, 2)
    engine = NullInpainter()
    place = {
        "left": CropBox(0, 20, 60, 100),
        "right": CropBox(0, 0, 60, 80),
        "top": CropBox(20, 0, 80, 80),
        "bottom": CropBox(0, 0, 60, 80),
    }[edge]
    size = (60, 100) if edge in ("left", "right") else (80, 80)
    extend_canvas(old, place, size, engine.fill, ANY_SIZE, 8, _ignore_progress)
    (crop, hole, seed) = engine.calls[0]
    rim = {"left": hole[:, 0], "right": hole[:, -1], "top": hole[0], "bottom": hole[-1]}[edge]
    assert rim.all()
    assert hole.sum() == (20 + OVERDRAW) * (60 if edge in ("left", "right") else 80)
    row_means = [row[row_hole < 0.5].mean() for row, row_hole in zip(crop[..., 0], hole, strict=True) if not row_hole.all()]
    assert (np.diff(row_means) > 0).all()
    assert seed == 5


def test_a_large_edge_is_filled_at_a_reduced_size_and_gets_the_detail_of_the_picture() -> None:
    """Above MAX_WINDOW_SIDE, the engine works on a reduced copy; grain and texture still match the picture."""
    height = MAX_WINDOW_SIDE * 2 - 100
    rng = np.random.default_rng(0)
    old = np.clip(0.5 + 0.1 * rng.standard_normal((height, 300, 3), dtype=np.float32), 0, 1)
    engine = NullInpainter()
    result = extend_canvas(old, CropBox(0, 0, height, 300), (height, 400), engine.fill, ANY_SIZE, 8, _ignore_progress)
    assert result.scales == (0.5,)
    assert max(engine.calls[0][1].shape) <= MAX_WINDOW_SIDE
    new = result.pixels[:, 300:]
    detail_strengths = [np.abs(np.diff(pixels, axis=0)).mean() for pixels in (old, new)]
    assert detail_strengths[1] == pytest.approx(detail_strengths[0], rel=0.25)
    assert np.array_equal(result.pixels[:, :300], old)


def test_blend_removes_a_step_in_tone() -> None:
    """Every fill is a tenth too dark. With ``blend`` the seam is level; without it there is a step."""

    def fill_dark(pixels: Pixels, hole: Mask, seed: int, step: OnProgress) -> Pixels:
        return np.full_like(pixels, 0.4)

    old = np.full((90, 120, 3), 0.5, np.float32)
    for options in (ANY_SIZE, FIXED_SIZE):
        steps = []
        for blend in (0, 64):
            result = extend_canvas(
                old, CropBox(30, 40, 120, 160), (150, 200), fill_dark, replace(options, blend=blend), 8, _ignore_progress
            )
            seam_differences = [result.pixels[30:120, 39] - 0.5, result.pixels[30:120, 160] - 0.5, result.pixels[29, 40:160] - 0.5]
            steps.append(max(float(np.abs(difference).mean()) for difference in seam_differences))
        assert steps[0] > 0.09
        assert steps[1] < 0.01


def test_a_generating_model_starts_from_the_continued_edge() -> None:
    """A model that starts from the picture begins with the colours at the edge, not with black."""
    engine = NullInpainter(side=64)
    old = np.full((64, 60, 3), 0.7, np.float32)
    extend_canvas(old, CropBox(0, 0, 64, 60), (64, 80), engine.fill, replace(FIXED_SIZE, generates=True), 8, _ignore_progress)
    crop, hole, _ = engine.calls[0]
    assert crop[hole > 0.5] == pytest.approx(0.7, abs=0.01)


def test_every_window_has_its_own_reproducible_seed() -> None:
    """Seeds count up from the step's seed."""
    engine = NullInpainter(side=64)
    results = [
        extend_canvas(_known_pixels(), CropBox(0, 60, 60, 140), (60, 200), engine.fill, FIXED_SIZE, 8, _ignore_progress) for _ in range(2)
    ]
    seeds = [seed for _, _, seed in engine.calls]
    assert seeds[: len(seeds) // 2] == seeds[len(seeds) // 2 :] == list(range(5, 5 + len(seeds) // 2))
    assert np.array_equal(results[0].pixels, results[1].pixels)


def test_findings_describe_windows_scales_and_the_step_in_tone() -> None:
    """A window is [left, top, width, height] and has its scale. ``seam_offset`` is the size of the step in tone."""
    result = extend_canvas(_known_pixels(), CropBox(0, 0, 60, 80), (60, 100), _fill_white, replace(ANY_SIZE, blend=32), 8, _ignore_progress)
    findings = result.findings()
    assert findings["windows"] == [[48, 0, 52, 60]]
    assert findings["scales"] == [1.0]
    assert 0 < findings["seam_offset"] < 0.2  # type: ignore[operator]


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_stays_grey(channels: int) -> None:
    """The engine gets three channels; the picture keeps its own number."""
    engine = NullInpainter(side=64)
    result = extend_canvas(_known_pixels(40, 50, channels), CropBox(0, 0, 40, 50), (50, 60), engine.fill, FIXED_SIZE, 16, _ignore_progress)
    assert result.pixels.shape == (50, 60, channels)
    assert engine.calls[0][0].shape[2] == 3


def test_progress_rises_and_a_cancelled_job_stops_between_windows() -> None:
    """An exception of the progress callback ends the work."""
    fractions: list[float] = []
    extend_canvas(_known_pixels(), CropBox(0, 60, 60, 140), (60, 200), _fill_white, FIXED_SIZE, 8, fractions.append)
    assert fractions[0] == 0
    assert fractions == sorted(fractions)
    engine = NullInpainter(side=64)

    def cancel_at_half(fraction: float) -> None:
        if fraction >= 0.5:
            raise JobCancelled

    with pytest.raises(JobCancelled):
        extend_canvas(_known_pixels(), CropBox(0, 60, 60, 140), (60, 200), engine.fill, FIXED_SIZE, 8, cancel_at_half)
    assert 0 < len(engine.calls) < len(fractions)


def test_a_fill_of_nan_is_refused() -> None:
    """NaN never reaches a picture."""
    with pytest.raises(InputError, match="no numbers"):
        extend_canvas(
            _known_pixels(),
            CropBox(0, 0, 60, 80),
            (60, 90),
            lambda pixels, hole, seed, step: pixels * np.float32("nan"),
            ANY_SIZE,
            8,
            _ignore_progress,
        )
