"""Flat colour over pixels: edges mix in linear light, translucency in display values, and alpha follows Porter and Duff's over operator."""

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
    soft_box_coverage,
)

WHITE, RED = np.ones(3, np.float32), np.array([1, 0, 0], np.float32)


def backdrop(grey: float, alpha: float | None = None, width: int = 5) -> Backdrop:
    pixels = np.full((1, width, 3), grey, np.float32)
    return Backdrop(pixels, None if alpha is None else np.full((1, width), alpha, np.float32), None)


def coverage(*values: float) -> np.ndarray:
    """Return one row of coverage, (1, n), 0..1."""
    return np.array([values], np.float32)


def test_edges_mix_in_linear_light() -> None:
    """Half coverage of white on black gives code 188 of 255, by sRGB's curve."""
    result = composite_fills(backdrop(0), [ColourFill(WHITE, 1.0, coverage(0, 0.25, 0.5, 0.75, 1))]).pixels[0, :, 0]
    light = np.array([0, 0.25, 0.5, 0.75, 1])
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)
    assert result == pytest.approx(expected, abs=1e-4)
    assert (result[0], result[4]) == (0, 1)


def test_translucency_mixes_display_values() -> None:
    """Half-opaque white on a grey of 0.2 gives 0.6, as in design programs."""
    assert composite_fills(backdrop(0.2), [ColourFill(WHITE, 0.5, coverage(1, 1, 1, 1, 1))]).pixels[0, 0, 0] == pytest.approx(0.6)
    assert composite_shadow(backdrop(0.2), WHITE, coverage(0.5, 0, 0, 0, 0)).pixels[0, :2, 0] == pytest.approx([0.6, 0.2])


def test_adjacent_fills_leave_no_gap() -> None:
    """Pixels that are half stroke and half letter show nothing of the backdrop."""
    result = composite_fills(
        backdrop(0), [ColourFill(WHITE, 1.0, coverage(0.5, 1, 0, 0, 0)), ColourFill(WHITE, 1.0, coverage(0.5, 0, 1, 0, 0))]
    )
    assert result.pixels[0, :3, 0] == pytest.approx([1, 1, 1], abs=1e-4)


def test_a_fill_over_transparency_keeps_its_colour() -> None:
    """Coverage becomes alpha, and hidden colours do not show through."""
    result = composite_fills(backdrop(0.3, alpha=0), [ColourFill(RED, 1.0, coverage(0, 0.5, 1, 0, 0))])
    assert result.alpha is not None
    assert result.alpha[0, :3] == pytest.approx([0, 0.5, 1])
    assert result.pixels[0, 1:3] == pytest.approx(np.stack([RED, RED]), abs=1e-4)
    assert (result.pixels[0, 0] == np.float32(0.3)).all()


def test_alpha_follows_the_over_operator() -> None:
    """Alpha becomes o + a (1 - o), for fills and shadows alike."""
    half = composite_fills(backdrop(0.0, alpha=0.5), [ColourFill(WHITE, 0.5, coverage(1, 1, 1, 1, 1))])
    shadowed = composite_shadow(backdrop(0.0, alpha=0.5), WHITE, coverage(0.5, 0.5, 0.5, 0.5, 0.5))
    for result in (half, shadowed):
        assert result.alpha is not None
        assert result.alpha[0, 0] == pytest.approx(0.75)
        assert result.pixels[0, 0, 0] == pytest.approx(2 / 3)


def test_no_coverage_returns_the_backdrop_itself() -> None:
    """Fills and shadows without coverage make no copy."""
    unpainted = backdrop(0.4)
    assert composite_fills(unpainted, [ColourFill(WHITE, 1.0, coverage(0, 0, 0, 0, 0))]) is unpainted
    assert composite_shadow(unpainted, WHITE, coverage(0, 0, 0, 0, 0)) is unpainted


def test_a_rotated_or_rounded_box_has_its_area() -> None:
    """Partly covered edges keep the area; round corners remove 4 - pi of the radius squared."""
    window = (slice(0, 100), slice(0, 100))
    for angle in (0.0, 27.0):
        assert float(rounded_box_coverage(window, (20.25, 30.5, 50.5, 30.0), 0.0, angle).sum()) == pytest.approx(50.5 * 30, rel=0.005)
    soft = rounded_box_coverage(window, (20, 30, 50, 30), 10.0, 0.0)
    assert float(soft.sum()) == pytest.approx(50 * 30 - (4 - np.pi) * 100, rel=0.005)


def test_a_blur_keeps_the_sum_of_the_coverage() -> None:
    """Blurring keeps the sum of the coverage, and sigma 0 returns the array itself."""
    dot = np.zeros((41, 41), np.float32)
    dot[20, 20] = 1
    assert float(blur_coverage(dot, 3).sum()) == pytest.approx(1, abs=1e-3)
    assert blur_coverage(dot, 0) is dot


def test_a_soft_box_is_full_inside_and_fades_to_nothing() -> None:
    """Coverage is 1 in the box, one half at half the softness, 0 beyond it, and falls steadily."""
    coverage = soft_box_coverage((slice(0, 60), slice(0, 80)), (20, 20, 40, 20), 15, 0)
    assert (coverage[20:40, 20:60] == 1).all()
    assert coverage[30, 67] == pytest.approx(0.5, abs=0.06)
    assert coverage[:4].max() == coverage[:, 76:].max() == 0
    assert (np.diff(coverage[30, 59:]) <= 0).all()
