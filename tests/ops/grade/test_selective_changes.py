"""Lightness by zone, vibrance and hues: OpenColorIO's tone curve, hue and luma kept, neighbours and skin spared, and their .cube."""

from __future__ import annotations

import numpy as np
import PyOpenColorIO
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage import data
from skimage.color import hsv2rgb, rgb2hsv

from doubles.step_context import StepContextDouble
from goldsmith.ops.grade.grading_changes import look_change
from goldsmith.ops.grade.look_files import parse_cube
from goldsmith.ops.grade.operation import Grade
from goldsmith.picture.colour import luma
from goldsmith.picture.picture import Picture, freeze

_HUES = {"red": 0, "orange": 30, "yellow": 60, "green": 120, "aqua": 180, "blue": 225, "purple": 270, "magenta": 315}


def _photograph() -> Picture:
    return Picture(freeze(data.astronaut()[40:240, 100:400].astype(np.float32) / np.float32(255)))


def _grade(picture: Picture, **fields: object) -> NDArray[np.float32]:
    return Grade.model_validate(fields).apply(picture, StepContextDouble()).pixels


def _hue_difference(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the turn of the HSV hue (scikit-image), in turns, of pixels that have a hue before and after."""
    first, second = rgb2hsv(before), rgb2hsv(after)
    turn = np.abs((first[..., 0] - second[..., 0] + 0.5) % 1 - 0.5)
    chroma = np.minimum(np.ptp(before, axis=2), np.ptp(after, axis=2))
    return np.asarray(turn[chroma > 0.05])


@pytest.mark.parametrize("zone", ["shadows", "midtones", "highlights"])
@pytest.mark.parametrize("lightness", [-100, -30, 50, 100])
def test_lightness_of_greys_equals_opencolorios_grading_tone(zone: str, lightness: int) -> None:
    """Greys get the value of OpenColorIO's GradingTone in video style, stay in order, and keep black and white."""
    ramp = np.repeat(np.linspace(0, 1, 256, dtype=np.float32)[None, :, None], 3, axis=2)
    tone = PyOpenColorIO.GradingTone(PyOpenColorIO.GRADING_VIDEO)
    getattr(tone, zone).master = 1 + 0.8 * lightness / 100
    change = PyOpenColorIO.GradingToneTransform(tone, PyOpenColorIO.GRADING_VIDEO, False)
    expected = ramp.copy()
    PyOpenColorIO.Config.CreateRaw().getProcessor(change).getDefaultCPUProcessor().applyRGB(expected)
    result = _grade(Picture(freeze(ramp)), **{zone: {"lightness": lightness}})
    assert np.abs(result - expected).max() < 1e-4
    assert (np.diff(result[0, :, 0]) > 0).all()
    assert np.abs(result[0, (0, 255)] - ramp[0, (0, 255)]).max() < 1e-6
    assert ((result - ramp).mean() > 0) == (lightness > 0)


@pytest.mark.parametrize("zones", [{"shadows": {"lightness": 80}}, {"midtones": {"lightness": -60}}, {"highlights": {"lightness": -90}}])
def test_lightness_keeps_the_hue_and_the_saturation(zones: dict[str, object]) -> None:
    """A photograph keeps its hues, and what gets darker or stays within the gamut keeps its HSV saturation."""
    picture = _photograph()
    result = _grade(picture, **zones)
    assert np.percentile(_hue_difference(picture.pixels, result), 99) < 2e-3
    safe = (np.ptp(picture.pixels, axis=2) > 0.05) & (picture.pixels.max(axis=2) < 0.5)
    assert np.abs(rgb2hsv(picture.pixels)[safe, 1] - rgb2hsv(result)[safe, 1]).max() < 0.02


def test_a_grey_picture_has_lightness_and_stays_grey() -> None:
    """Lightness by zone works on a picture with one channel; vibrance and hues change nothing there."""
    grey = Picture(freeze(np.tile(np.linspace(0, 1, 60, dtype=np.float32), (4, 1))[:, :, None]))
    assert _grade(grey, shadows={"lightness": 50}).shape == (4, 60, 1)
    assert _grade(grey, shadows={"lightness": 50}).mean() > grey.pixels.mean()
    assert Grade.model_validate({"vibrance": 50, "hues": {"red": {"lightness": 40}}}).apply(grey, StepContextDouble()) is grey


@settings(max_examples=20, deadline=None)
@given(amount=st.floats(-100, 100))
def test_vibrance_keeps_luma_and_hue_within_range(amount: float) -> None:
    """Every pixel of the photograph keeps its luma and its hue and stays within 0..1."""
    picture = _photograph()
    result = _grade(picture, vibrance=amount)
    assert 0 <= result.min() <= result.max() <= 1
    assert np.abs(luma(result) - luma(picture.pixels)).max() < 1e-5
    assert _hue_difference(picture.pixels, result).max(initial=0) < 5e-3


def test_vibrance_acts_on_dull_colours_most_and_on_skin_least() -> None:
    """A dull blue gains more than a strong blue, in proportion, and more than skin of the same saturation."""
    colours = np.array([[[0.45, 0.5, 0.6], [0.1, 0.2, 0.6], [0.6, 0.505, 0.45], [0.5, 0.5, 0.5]]], np.float32)
    result = _grade(Picture(freeze(colours)), vibrance=50)
    gains = np.ptp(result, axis=2)[0, :3] / np.ptp(colours, axis=2)[0, :3]
    assert gains[0] > 1.3
    assert 1.0 < gains[1] < 1.15
    assert 1.0 < gains[2] < 1.2
    assert np.abs(result[0, 3] - 0.5).max() < 1e-6


@pytest.mark.parametrize("name", list(_HUES))
def test_a_hue_changes_itself_and_not_its_neighbours(name: str) -> None:
    """At its own centre a hue takes its full saturation and lightness; at the seven other centres nothing changes."""
    hues = np.array([list(_HUES.values())], np.float64) / 360
    chart = np.stack([hues, np.full_like(hues, 0.5), np.full_like(hues, 0.6)], axis=-1)
    picture = Picture(freeze(hsv2rgb(chart).astype(np.float32)), depth=16)
    index = list(_HUES).index(name)
    others = [number for number in range(8) if number != index]
    dull = _grade(picture, hues={name: {"saturation": -100}})
    assert np.ptp(dull, axis=2)[0, index] < 1e-5
    dark = _grade(picture, hues={name: {"lightness": -100}})
    assert luma(dark)[0, index] == pytest.approx(luma(picture.pixels)[0, index] ** 2, abs=1e-4)
    for result in (dull, dark):
        assert np.abs(result - picture.pixels)[0, others].max() < 1e-5


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(list(_HUES)), st.floats(-100, 100), st.floats(-100, 100))
def test_hues_stay_in_range_and_leave_greys(name: str, saturation: float, lightness: float) -> None:
    """Any change of a hue keeps every pixel's hue and 0..1, and leaves grey, black and white as they are."""
    pixels = _photograph().pixels[::4, ::4].copy()
    pixels[0] = np.linspace(0, 1, pixels.shape[1], dtype=np.float32)[:, None]
    result = _grade(Picture(freeze(pixels)), hues={name: {"saturation": saturation, "lightness": lightness}})
    assert 0 <= result.min() <= result.max() <= 1
    assert np.abs(result[0] - pixels[0]).max() < 1e-6
    assert _hue_difference(pixels, result).max(initial=0) < 5e-3


def test_growing_colours_keep_their_differences_at_the_edge_of_the_gamut() -> None:
    """Doubled saturation makes strong reds one colour without `gamut`, and leaves them distinct with it; dull reds are the same."""
    reds = np.stack([np.linspace(0.55, 0.8, 32), np.full(32, 0.3), np.full(32, 0.3)], axis=-1)[None].astype(np.float32)
    hard, soft = (_grade(Picture(freeze(reds), depth=16), hues={"red": {"saturation": 100}}, gamut=gamut) for gamut in (0, 20))
    assert (hard.max(axis=2) > 1 - 1e-4).mean() > 0.3
    assert (soft.max(axis=2) < 0.99).all()
    assert (np.diff(soft[0, :, 0]) > 0).all()
    assert 0 <= soft.min() <= soft.max() <= 1


@pytest.mark.parametrize(
    "fields",
    [
        {"exposure": 1},
        {"white_balance": {"temperature": 40}, "exposure": 0.5},
        {"vibrance": 60},
        {"hues": {"blue": {"lightness": -40, "saturation": 30}}},
        {"shadows": {"lightness": 50}, "highlights": {"lightness": -40, "temperature": 20}, "contrast": {"amount": 20}},
    ],
)
def test_the_exported_cube_repeats_the_grade(fields: dict[str, object]) -> None:
    """OpenColorIO gives the graded photograph from the .cube beside the result: 0.5 codes of 255 on average, 3 for 99 of 100 values."""
    picture, context = _photograph(), StepContextDouble()
    grained = Grade.model_validate({**fields, "cube": True, "grain": {"amount": 50}}).apply(picture, context)
    (file,) = context.results.added
    assert (file.tail, file.suffix) == ("", ".cube")
    repeated = look_change(parse_cube(file.data, "hero.cube"), 1.0)(picture.pixels.copy())
    difference = np.abs(repeated - _grade(picture, **fields)) * 255
    assert difference.mean() < 0.5
    assert np.percentile(difference, 99) < 3
    assert np.abs(grained.pixels - repeated).max() * 255 > 10


def test_dodge_and_burn_is_a_step_of_its_own() -> None:
    """Exposure where = "highlights" or "shadows" changes only that side of one half, bit for bit."""
    picture = _photograph()
    grey = luma(picture.pixels)
    dodged, burned = _grade(picture, where="highlights", exposure=0.3), _grade(picture, where="shadows", exposure=-0.3)
    assert np.array_equal(dodged[grey <= 0.5], picture.pixels[grey <= 0.5])
    assert np.array_equal(burned[grey >= 0.5], picture.pixels[grey >= 0.5])
    assert dodged.mean() > picture.pixels.mean() > burned.mean()
