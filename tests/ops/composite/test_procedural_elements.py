"""Elements: equal at any size, reproducible by seed, and as dense as their settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import pytest

from goldsmith.ops.composite.brush_strokes import BrushStroke, StrokeCanvas
from goldsmith.ops.composite.procedural_elements import ParticleOptions, depth_gradient, draw_element, draw_haze, estimate_airlight
from goldsmith.picture.resample import resize

Falling = Literal["dust", "rain", "snow", "embers"]
KINDS: tuple[Falling, ...] = get_args(Falling)
OPTIONS = ParticleOptions(seed=3, density=1, scale=1, lean_degrees=10, colour=(1.0, 0.5, 0.1))
MIN_CORRELATION = {"dust": 0.9, "rain": 0.9, "snow": 0.97, "embers": 0.97}


@pytest.mark.parametrize("kind", KINDS)
def test_elements_scale_with_the_picture(kind: Falling) -> None:
    """Particles lie in the same places at both sizes and cover the same share."""
    large, small = draw_element(kind, 900, 1350, OPTIONS).coverage, draw_element(kind, 450, 675, OPTIONS).coverage
    shrunk = resize(large, 450, 675, "area")
    assert np.corrcoef(shrunk.ravel(), small.ravel())[0, 1] > MIN_CORRELATION[kind]
    assert small.mean() == pytest.approx(large.mean(), rel=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_reproduces_an_element(kind: Falling) -> None:
    """Equal seeds give equal particles; another seed gives others."""
    first, second, other = (draw_element(kind, 120, 180, replace(OPTIONS, seed=seed)).coverage for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert np.corrcoef(first.ravel(), other.ravel())[0, 1] < 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_density_sets_the_amount(kind: Falling) -> None:
    """Density 0 draws nothing, 2 about twice as much as 1, and larger parts cover more."""
    none, single, double = (draw_element(kind, 400, 600, replace(OPTIONS, density=density)).coverage for density in (0, 1, 2))
    assert none.max() == 0
    assert 1.5 < double.mean() / single.mean() < 2.6
    assert draw_element(kind, 400, 600, replace(OPTIONS, scale=2)).coverage.mean() > 1.5 * single.mean()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2), (500, 20)])
def test_values_are_finite_and_in_range(kind: Falling, size: tuple[int, int]) -> None:
    """Coverage and colours are finite and within 0..1 for any shape."""
    element = draw_element(kind, *size, replace(OPTIONS, density=4, scale=5))
    assert element.coverage.shape == size
    for values in element:
        assert np.isfinite(values).all()
        assert values.min() >= 0
        assert values.max() <= 1


@pytest.mark.parametrize("angle", [-40, 0, 40])
def test_rain_falls_along_its_lean(angle: float) -> None:
    """Rain correlates most with itself when shifted along its lean."""
    rain = draw_element("rain", 500, 500, replace(OPTIONS, lean_degrees=angle, density=0.6)).coverage
    rain = rain - resize(resize(rain, 25, 25, "area"), 500, 500)
    correlation = {}
    for lean in (-40, 0, 40):
        right, down = round(8 * np.sin(np.radians(lean))), round(8 * np.cos(np.radians(lean)))
        correlation[lean] = float((rain * np.roll(rain, (down, right), (0, 1))).mean())
    assert max(correlation, key=lambda lean: correlation[lean]) == angle


def test_embers_are_denser_below_and_white_hot() -> None:
    """Embers lie mostly in the lower half; the hottest are lighter than their colour and keep its hue."""
    embers = draw_element("embers", 400, 600, OPTIONS)
    assert embers.coverage[200:].sum() > 1.5 * embers.coverage[:200].sum()
    red, green, blue = embers.pixels[embers.coverage > 0.9].mean(axis=0)
    assert red > green > blue > 0.1


def test_haze_grows_with_depth() -> None:
    """Haze is absent where it is near, grows with distance and density, and drifts alike at every size."""
    depth = depth_gradient(600, 900, 180)
    assert depth[0].max() < 0.01
    assert depth[-1].min() > 0.99
    thin, thick = (draw_haze(depth, replace(OPTIONS, density=density)).coverage for density in (0.5, 2))
    assert thin[0].max() < 0.01
    assert (thick >= thin).all()
    assert thick[-1].mean() > 0.7 > thin[-1].mean()
    small = draw_haze(depth_gradient(300, 450, 180), replace(OPTIONS, density=2)).coverage
    assert np.abs(resize(thick, 300, 450, "area") - small).max() < 0.03
    assert np.ptp(thin[300]) > 0.05


@pytest.mark.parametrize(
    ("angle", "thick", "thin"), [(0, np.s_[0, 20], np.s_[-1, 20]), (90, np.s_[20, -1], np.s_[20, 0]), (270, np.s_[20, 0], np.s_[20, -1])]
)
def test_a_gradient_rises_towards_its_angle(angle: float, thick: tuple[int, int], thin: tuple[int, int]) -> None:
    """Angle 0 is up, and angles turn clockwise."""
    depth = depth_gradient(41, 41, angle)
    assert depth[thick] > 0.95
    assert depth[thin] < 0.05


def test_airlight_comes_from_the_brightest_parts() -> None:
    """Airlight is half as colourful as the brightest parts, and grey in a grey picture."""
    pixels = np.full((200, 100, 3), 0.1, np.float32)
    pixels[:20] = (1.0, 0.8, 0.6)
    assert estimate_airlight(pixels) == pytest.approx((0.9, 0.8, 0.7), abs=0.02)
    assert estimate_airlight(pixels[:, :, :1]) == pytest.approx((1.0, 1.0, 1.0), abs=0.02)


def test_a_stroke_thinner_than_a_pixel_is_fainter() -> None:
    """Strokes of a tenth of the width give a tenth of the light at any sub-pixel position."""
    covers = []
    for x in (50.0, 50.25, 50.5):
        for sigma in (0.5, 0.05):
            canvas = StrokeCanvas(100, 100)
            canvas.draw_stroke(BrushStroke(x, 50, 40, 0, sigma, 0.5))
            covers.append(float(canvas.coverage().sum()))
    assert max(covers[::2]) < 1.05 * min(covers[::2])
    assert covers[1] == pytest.approx(covers[0] / 10, rel=0.1)


def test_overlapping_strokes_multiply_their_transparency() -> None:
    """Two strokes of one half let a quarter through. A stroke outside draws nothing."""
    canvas = StrokeCanvas(50, 50)
    canvas.draw_stroke(BrushStroke(-300, 20, 10, 0, 2, 1))
    assert canvas.coverage().max() == 0
    for _ in range(2):
        canvas.draw_stroke(BrushStroke(25.5, 25.5, 10, 0, 3, 0.5))
    assert canvas.coverage()[25, 25] == pytest.approx(0.75, abs=0.01)
    assert canvas.coverage_behind_veil(np.full((50, 50), 0.5, np.float32))[25, 25] == pytest.approx(0.875, abs=0.01)
