"""Elements: the same picture at any size, of one seed, as much of it as was asked."""

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
HOW = ParticleOptions(seed=3, density=1, scale=1, lean_degrees=10, colour=(1.0, 0.5, 0.1))
LIKENESS = {"dust": 0.9, "rain": 0.9, "snow": 0.97, "embers": 0.97}


@pytest.mark.parametrize("kind", KINDS)
def test_a_smaller_picture_is_the_large_one_scaled_down(kind: Falling) -> None:
    """Every drop lies in the same place, and as much of the picture is covered."""
    large, small = draw_element(kind, 900, 1350, HOW).coverage, draw_element(kind, 450, 675, HOW).coverage
    shrunk = resize(large, 450, 675, "area")
    assert np.corrcoef(shrunk.ravel(), small.ravel())[0, 1] > LIKENESS[kind]
    assert small.mean() == pytest.approx(large.mean(), rel=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_is_a_picture(kind: Falling) -> None:
    """The same seed gives the same drops, another one others."""
    one, again, other = (draw_element(kind, 120, 180, replace(HOW, seed=seed)).coverage for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] < 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_density_says_how_much(kind: Falling) -> None:
    """Nothing at 0, about twice as much at 2, and larger parts cover more."""
    nothing, one, two = (draw_element(kind, 400, 600, replace(HOW, density=density)).coverage for density in (0, 1, 2))
    assert nothing.max() == 0
    assert 1.5 < two.mean() / one.mean() < 2.6
    assert draw_element(kind, 400, 600, replace(HOW, scale=2)).coverage.mean() > 1.5 * one.mean()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2), (500, 20)])
def test_values_stay_values(kind: Falling, size: tuple[int, int]) -> None:
    """Whatever the shape: cover and colours are numbers in 0..1."""
    made = draw_element(kind, *size, replace(HOW, density=4, scale=5))
    assert made.coverage.shape == size
    for values in made:
        assert np.isfinite(values).all()
        assert values.min() >= 0
        assert values.max() <= 1


@pytest.mark.parametrize("angle", [-40, 0, 40])
def test_rain_falls_as_it_leans(angle: float) -> None:
    """Moved along its lean the picture looks most like itself."""
    rain = draw_element("rain", 500, 500, replace(HOW, angle=angle, density=0.6)).coverage
    rain = rain - resize(resize(rain, 25, 25, "area"), 500, 500)
    likeness = {}
    for lean in (-40, 0, 40):
        right, down = round(8 * np.sin(np.radians(lean))), round(8 * np.cos(np.radians(lean)))
        likeness[lean] = float((rain * np.roll(rain, (down, right), (0, 1))).mean())
    assert max(likeness, key=lambda lean: likeness[lean]) == angle


def test_embers_are_many_below_and_burn() -> None:
    """The lower half has most of them; where they are hottest they are lighter than their colour, never another hue."""
    made = draw_element("embers", 400, 600, HOW)
    assert made.coverage[200:].sum() > 1.5 * made.coverage[:200].sum()
    red, green, blue = made.pixels[made.coverage > 0.9].mean(axis=0)
    assert red > green > blue > 0.1


def test_haze_grows_with_depth() -> None:
    """Nothing where it is near, more with distance, more with density; drifts of the same place at every size."""
    depth = depth_gradient(600, 900, 180)
    assert depth[0].max() < 0.01
    assert depth[-1].min() > 0.99
    thin, thick = (draw_haze(depth, replace(HOW, density=density)).coverage for density in (0.5, 2))
    assert thin[0].max() < 0.01
    assert (thick >= thin).all()
    assert thick[-1].mean() > 0.7 > thin[-1].mean()
    small = draw_haze(depth_gradient(300, 450, 180), replace(HOW, density=2)).coverage
    assert np.abs(resize(thick, 300, 450, "area") - small).max() < 0.03
    assert np.ptp(thin[300]) > 0.05


@pytest.mark.parametrize(
    ("angle", "thick", "thin"), [(0, np.s_[0, 20], np.s_[-1, 20]), (90, np.s_[20, -1], np.s_[20, 0]), (270, np.s_[20, 0], np.s_[20, -1])]
)
def test_a_gradient_rises_towards_its_angle(angle: float, thick: tuple[int, int], thin: tuple[int, int]) -> None:
    """0 is up, and it turns clockwise."""
    depth = depth_gradient(41, 41, angle)
    assert depth[thick] > 0.95
    assert depth[thin] < 0.05


def test_air_has_the_light_of_the_brightest_parts() -> None:
    """Half as colourful as they are; grey where the picture is."""
    pixels = np.full((200, 100, 3), 0.1, np.float32)
    pixels[:20] = (1.0, 0.8, 0.6)
    assert estimate_airlight(pixels) == pytest.approx((0.9, 0.8, 0.7), abs=0.02)
    assert estimate_airlight(pixels[:, :, :1]) == pytest.approx((1.0, 1.0, 1.0), abs=0.02)


def test_a_stroke_thinner_than_a_px_is_as_much_fainter() -> None:
    """A line of a tenth of the width leaves a tenth of the light, wherever between the px it falls."""
    covers = []
    for x in (50.0, 50.25, 50.5):
        for sigma in (0.5, 0.05):
            canvas = StrokeCanvas(100, 100)
            canvas.draw_stroke(BrushStroke(x, 50, 40, 0, sigma, 0.5))
            covers.append(float(canvas.coverage().sum()))
    assert max(covers[::2]) < 1.05 * min(covers[::2])
    assert covers[1] == pytest.approx(covers[0] / 10, rel=0.1)


def test_strokes_outside_cost_nothing_and_those_inside_add_up_as_glass_does() -> None:
    """Two sheets of a half let a quarter through."""
    canvas = StrokeCanvas(50, 50)
    canvas.draw_stroke(BrushStroke(-300, 20, 10, 0, 2, 1))
    assert canvas.coverage().max() == 0
    for _ in range(2):
        canvas.draw_stroke(BrushStroke(25.5, 25.5, 10, 0, 3, 0.5))
    assert canvas.coverage()[25, 25] == pytest.approx(0.75, abs=0.01)
    assert canvas.coverage_behind_veil(np.full((50, 50), 0.5, np.float32))[25, 25] == pytest.approx(0.875, abs=0.01)
