"""Flat colour over pixels: edges in linear light, translucency in display values, alpha by Porter and Duff's over."""

from __future__ import annotations

import numpy as np
import pytest

from goldsmith.ops.text.colour_fill import (
    Backdrop,
    ColourFill,
    blur_coverage,
    composite_fills,
    composite_shadow,
    rounded_box_coverage,
)

WHITE, RED = np.ones(3, np.float32), np.array([1, 0, 0], np.float32)


def ground(grey: float, alpha: float | None = None, width: int = 5) -> Backdrop:
    pixels = np.full((1, width, 3), grey, np.float32)
    return Backdrop(pixels, None if alpha is None else np.full((1, width), alpha, np.float32), None)


def cover(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


def test_edges_mix_light() -> None:
    """Half covered by white on black: 188 of 255 by sRGB's curve; uncovered pixels are copied, covered ones exact."""
    done = composite_fills(ground(0), [ColourFill(WHITE, 1.0, cover(0, 0.25, 0.5, 0.75, 1))]).pixels[0, :, 0]
    light = np.array([0, 0.25, 0.5, 0.75, 1])
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)
    assert done == pytest.approx(expected, abs=1e-4)
    assert (done[0], done[4]) == (0, 1)


def test_translucency_mixes_display_values() -> None:
    """As design programs do: half white on a grey of 0.2 is 0.6."""
    assert composite_fills(ground(0.2), [ColourFill(WHITE, 0.5, cover(1, 1, 1, 1, 1))]).pixels[0, 0, 0] == pytest.approx(0.6)
    assert composite_shadow(ground(0.2), WHITE, cover(0.5, 0, 0, 0, 0)).pixels[0, :2, 0] == pytest.approx([0.6, 0.2])


def test_coats_beside_each_other_leave_no_gap() -> None:
    """A pixel half stroke and half letter shows nothing of what lies under both."""
    done = composite_fills(ground(0), [ColourFill(WHITE, 1.0, cover(0.5, 1, 0, 0, 0)), ColourFill(WHITE, 1.0, cover(0.5, 0, 1, 0, 0))])
    assert done.pixels[0, :3, 0] == pytest.approx([1, 1, 1], abs=1e-4)


def test_over_transparency_the_colour_is_the_coats_own() -> None:
    """Coverage becomes alpha, and nothing of what lay hidden comes through."""
    done = composite_fills(ground(0.3, alpha=0), [ColourFill(RED, 1.0, cover(0, 0.5, 1, 0, 0))])
    assert done.alpha is not None
    assert done.alpha[0, :3] == pytest.approx([0, 0.5, 1])
    assert done.pixels[0, 1:3] == pytest.approx(np.stack([RED, RED]), abs=1e-4)
    assert (done.pixels[0, 0] == np.float32(0.3)).all()


def test_over_half_alpha_it_is_over() -> None:
    """a' = o + a (1 - o), for coats and shades alike."""
    half = composite_fills(ground(0.0, alpha=0.5), [ColourFill(WHITE, 0.5, cover(1, 1, 1, 1, 1))])
    shade = composite_shadow(ground(0.0, alpha=0.5), WHITE, cover(0.5, 0.5, 0.5, 0.5, 0.5))
    for done in (half, shade):
        assert done.alpha is not None
        assert done.alpha[0, 0] == pytest.approx(0.75)
        assert done.pixels[0, 0, 0] == pytest.approx(2 / 3)


def test_nothing_laid_is_the_ground_itself() -> None:
    """No copy of it."""
    given = ground(0.4)
    assert composite_fills(given, [ColourFill(WHITE, 1.0, cover(0, 0, 0, 0, 0))]) is given
    assert composite_shadow(given, WHITE, cover(0, 0, 0, 0, 0)) is given


def test_a_box_has_its_area_also_when_turned_and_rounded() -> None:
    """Edges between pixels are partly covered; corners take 4 - pi of the radius' square."""
    window = (slice(0, 100), slice(0, 100))
    for angle in (0.0, 27.0):
        assert float(rounded_box_coverage(window, (20.25, 30.5, 50.5, 30.0), 0.0, angle).sum()) == pytest.approx(50.5 * 30, rel=0.005)
    soft = rounded_box_coverage(window, (20, 30, 50, 30), 10.0, 0.0)
    assert float(soft.sum()) == pytest.approx(50 * 30 - (4 - np.pi) * 100, rel=0.005)


def test_a_blur_keeps_how_much_there_is() -> None:
    """And none is none."""
    dot = np.zeros((41, 41), np.float32)
    dot[20, 20] = 1
    assert float(blur_coverage(dot, 3).sum()) == pytest.approx(1, abs=1e-3)
    assert blur_coverage(dot, 0) is dot
