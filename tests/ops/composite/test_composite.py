"""composite: layers in order, each where it belongs, and nothing else touched."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pytest
from pydantic import ValidationError

from doubles.ground import CHECKOUT, context, picture
from doubles.step_context import StepContextDouble
from goldsmith.ops.composite.compositing import LayerSettings
from goldsmith.ops.composite.operation import Composite
from goldsmith.picture import profiles
from goldsmith.picture.picture import Mask, Picture, freeze


def _flat(height: int, width: int, *colour: float, alpha: Mask | None = None) -> Picture:
    pixels = np.full((height, width, len(colour)), colour, np.float32)
    return Picture(freeze(pixels), alpha=None if alpha is None else freeze(alpha))


def _comp(*layers: Mapping[str, object]) -> Composite:
    return Composite.model_validate({"layers": list(layers)})


GREY = _flat(40, 60, 0.5, 0.5, 0.5)
RED = _flat(10, 20, 0.8, 0.1, 0.1)
BLUE = _flat(40, 60, 0.1, 0.1, 0.9)


def _with(**layers: Picture) -> StepContextDouble:
    return StepContextDouble(seed=5, layers=layers)


def test_a_layer_lies_where_its_anchor_and_offset_put_it() -> None:
    """Bottom right, moved 5 px to the left and 10 % of the height up; all else is the same memory's values."""
    seen = _with(red=RED)
    done = _comp({"from": "red", "anchor": "bottom-right", "offset": [-5, "-10%"]}).apply(GREY, seen)
    box = np.s_[26:36, 35:55]
    assert np.array_equal(done.pixels[box], RED.pixels)
    outside = np.ones((40, 60), bool)
    outside[box] = False
    assert np.array_equal(done.pixels[outside], GREY.pixels[outside])
    assert seen.results.findings["layers"] == [{"layer": 1, "of": "red", "mode": "normal", "box": [35, 26, 20, 10], "coverage": 0.083333}]


def test_later_layers_lie_over_earlier_ones() -> None:
    """The list is read from the bottom up."""
    done = _comp({"from": "red"}, {"from": "blue"}).apply(GREY, _with(red=RED, blue=BLUE))
    assert np.array_equal(done.pixels, BLUE.pixels)
    done = _comp({"from": "blue"}, {"from": "red"}).apply(GREY, _with(red=RED, blue=BLUE))
    assert np.array_equal(done.pixels[15:25, 20:40], RED.pixels)


def test_opacity_mask_and_alpha_multiply() -> None:
    """What covers a pixel is the layer's alpha times its mask times its opacity."""
    mask = np.zeros((40, 60), np.float32)
    mask[:, 30:] = 0.5
    given = Picture(GREY.pixels, masks=MappingProxyType({"sky": freeze(mask)}))
    layer = _flat(40, 60, 1.0, 1.0, 1.0, alpha=np.full((40, 60), 0.8, np.float32))
    done = _comp({"from": "white", "opacity": 0.5, "mask": "sky"}).apply(given, _with(white=layer))
    assert np.array_equal(done.pixels[:, :30], GREY.pixels[:, :30])
    assert np.allclose(done.pixels[:, 30:], 0.5 + 0.5 * 0.2)


@pytest.mark.parametrize(
    "layer",
    [
        {"from": "red", "opacity": 0},
        {"from": "red", "offset": [900, 0]},
        {"element": "rain", "density": 0},
        {"element": "haze", "density": 0},
    ],
)
def test_what_does_not_show_leaves_the_very_plate(layer: dict[str, object]) -> None:
    """No opacity, wholly outside, or nothing drawn: the picture itself, and the record says that it covers nothing."""
    seen = _with(red=RED)
    assert _comp(layer).apply(GREY, seen) is GREY
    (told,) = seen.results.findings["layers"]  # type: ignore[misc,union-attr]
    assert told["coverage"] == 0.0


def test_a_clipped_layer_shows_only_in_the_layer_below() -> None:
    """It takes the shape of its base and goes with the base's opacity."""
    half = np.zeros((40, 60), np.float32)
    half[:20] = 1
    base = _flat(40, 60, 0.0, 0.0, 0.0, alpha=half)
    done = _comp({"from": "base", "opacity": 0.5}, {"from": "blue", "clip": True}).apply(GREY, _with(base=base, blue=BLUE))
    assert np.allclose(done.pixels[:20], (GREY.pixels[0, 0] + BLUE.pixels[0, 0]) / 2)
    assert np.array_equal(done.pixels[20:], GREY.pixels[20:])


def test_alphas_unite() -> None:
    """On a transparent picture a layer brings its own alpha; where nothing is laid alpha stays."""
    clear = Picture(GREY.pixels, alpha=freeze(np.zeros((40, 60), np.float32)))
    done = _comp({"from": "red"}).apply(clear, _with(red=RED))
    assert done.alpha is not None
    assert done.alpha[20, 30] == 1
    assert done.alpha[0, 0] == 0
    assert np.allclose(done.pixels[20, 30], RED.pixels[0, 0])


def test_a_layer_comes_into_the_profile_of_the_plate() -> None:
    """sRGB red is other numbers in Display P3, and the picture keeps its profile."""
    wide = Picture(GREY.pixels, icc=profiles.builtin_profile("display-p3"))
    done = _comp({"from": "red"}).apply(wide, _with(red=RED))
    assert done.icc == wide.icc
    red, green, _ = done.pixels[20, 30]
    assert 0.6 < red < 0.79
    assert green > 0.11


def test_a_grey_plate_becomes_coloured_for_a_coloured_layer_only() -> None:
    """Its own values are kept in all three channels."""
    grey = _flat(40, 60, 0.3)
    done = _comp({"from": "red"}).apply(grey, _with(red=RED))
    assert done.channels == 3
    assert np.array_equal(done.pixels[0, 0], np.repeat(grey.pixels[0, 0], 3))
    assert _comp({"element": "snow"}).apply(grey, _with()).channels == 1


def test_a_grey_profile_keeps_the_plate_grey() -> None:
    """A profile that knows no colour has its layers grey, converted and not just averaged."""
    from imagecodecs import cms_profile

    grey = Picture(_flat(40, 60, 0.3).pixels, icc=cms_profile("gray", whitepoint=(0.9642, 1.0, 0.8249), gamma=2.2))
    done = _comp({"from": "red"}, {"element": "embers"}).apply(grey, _with(red=RED))
    assert done.channels == 1
    assert done.icc == grey.icc
    assert done.pixels[20, 30, 0] != pytest.approx(0.3)


def test_elements_have_a_seed_each() -> None:
    """Two rains in a comp differ; the picture's seed changes them, a seed of one's own does not; the same seeds give the same pixels."""
    once = _comp({"element": "rain"}).apply(GREY, StepContextDouble(seed=1)).pixels
    assert np.array_equal(once, _comp({"element": "rain"}).apply(GREY, StepContextDouble(seed=1)).pixels)
    assert not np.array_equal(once, _comp({"element": "rain"}).apply(GREY, StepContextDouble(seed=2)).pixels)
    fixed = _comp({"element": "rain", "seed": 4})
    assert np.array_equal(fixed.apply(GREY, StepContextDouble(seed=1)).pixels, fixed.apply(GREY, StepContextDouble(seed=2)).pixels)
    twice = _comp({"element": "rain"}, {"element": "rain"}).apply(GREY, StepContextDouble(seed=1)).pixels
    both = _comp({"element": "rain", "seed": 4}, {"element": "rain", "seed": 4}).apply(GREY, StepContextDouble(seed=1)).pixels
    assert not np.array_equal(twice, both)


def test_haze_keeps_out_of_what_depth_calls_near() -> None:
    """Where the region is zero nothing is laid; elsewhere the picture comes towards the colour."""
    far = np.zeros((40, 60), np.float32)
    far[:20] = 1
    given = Picture(BLUE.pixels, masks=MappingProxyType({"far": freeze(far)}))
    done = _comp({"element": "haze", "depth": "far", "colour": "#ffffff", "density": 2}).apply(given, _with())
    assert np.array_equal(done.pixels[20:], BLUE.pixels[20:])
    assert (done.pixels[:20, :, 0] > 0.2).all()


def test_haze_takes_the_light_of_the_picture() -> None:
    """Without a colour it is as bright as the brightest parts, half as colourful."""
    pixels = np.full((40, 60, 3), 0.1, np.float32)
    pixels[:10] = (0.9, 0.7, 0.5)
    done = _comp({"element": "haze", "density": 4, "gradient": "bottom"}).apply(Picture(freeze(pixels)), _with()).pixels[-1].mean(axis=0)
    assert done[0] > done[1] > done[2] > 0.45


def test_haze_leaves_no_bands_in_eight_bits() -> None:
    """Seen from a little further off the codes follow the slope; outside of it values between codes stay what they are."""
    import cv2

    dark = np.full((300, 400, 3), 0.1001, np.float32)
    hidden = np.zeros((300, 400), np.float32)
    hidden[:, :200] = 1
    haze = _comp({"element": "haze", "density": 0.06, "mask": "far", "colour": "#ffffff"})
    coarse, fine = (
        haze.apply(Picture(freeze(dark), depth=depth, masks=MappingProxyType({"far": freeze(hidden)})), StepContextDouble(seed=1))
        for depth in (8, 16)
    )
    seen = cv2.blur(coarse.to_codes().astype(np.float32), (21, 21))[20:-20, 20:180]
    meant = cv2.blur(fine.pixels * 255, (21, 21))[20:-20, 20:180]
    assert np.abs(seen - meant).max() < 0.2
    assert np.array_equal(coarse.pixels[:, 200:], dark[:, 200:])


def test_it_says_what_it_needs() -> None:
    """Layers by name, masks and the engines of regions that are looked for."""
    needs = _comp({"from": "logo", "mask": "sky"}, {"element": "haze", "depth": "background"}, {"from": "logo"}).needs()
    assert needs.layers == {"logo"}
    assert needs.masks == {"sky"}
    assert [need.kind.name for need in needs.engines] == ["matte"]


@pytest.mark.parametrize(
    ("layers", "where"),
    [
        ([{"from": "a"}], ""),
        ([{"from": "a", "mask": "sky"}], "((sky))"),
        ([{"from": "a", "mask": "sky"}, {"from": "b", "clip": True}], "((sky))"),
        ([{"from": "a", "mask": "sky"}, {"element": "haze", "depth": "mask", "mask": "left"}], "((sky)) | ((left) & (mask))"),
        ([{"from": "a", "mask": "sky"}, {"from": "b"}], "box(0, 0, 1, 1)"),
    ],
)
def test_the_lane_knows_outside_of_what_nothing_changes(layers: list[Mapping[str, object]], where: str) -> None:
    """The layers' regions together; everywhere as soon as one of them has none."""
    assert _comp(*layers).where == where


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        ({}, "either from"),
        ({"from": "a", "element": "rain"}, "either from"),
        ({"from": "../a"}, "is a path"),
        ({"from": "a", "angle": 3}, "angle does nothing for a picture"),
        ({"from": "a", "depth": "sky"}, "depth does nothing for a picture"),
        ({"element": "rain", "rotation": 3}, "rotation does nothing for rain"),
        ({"element": "rain", "gradient": "top"}, "gradient does nothing for rain"),
        ({"element": "dust", "angle": 3}, "angle does nothing for dust"),
        ({"element": "haze", "depth": "sky", "gradient": "top"}, "two ways"),
        ({"element": "snow", "scale": 50}, "scale is 0.1 to 10"),
        ({"element": "fog"}, "haze"),
        ({"source": "a"}, "source"),
        ({"from": "a", "offset": ["5", 0]}, "write px as a number"),
        ({"from": "a", "size": ["-5%", 10]}, "more than 0"),
        ({"element": "snow", "colour": "pink"}, 'such as "#ff8800"'),
        ({"from": "a", "clip": True}, "first layer cannot be clipped"),
        ({"from": "a", "mask": "sky &"}, "breaks off"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_brief(layer: dict[str, object], told: str) -> None:
    """One sentence, before anything is done."""
    with pytest.raises(ValidationError, match=re.escape(told)):
        _comp(layer)


def test_there_is_an_end_to_layers() -> None:
    """32 at most, 1 at least."""
    _comp(*[{"from": "a"}] * 32)
    for count in (0, 33):
        with pytest.raises(ValidationError):
            _comp(*[{"from": "a"}] * count)


def test_every_setting_of_a_layer_has_a_row_in_the_manual() -> None:
    """And none is there that does not exist."""
    page = (CHECKOUT / "docs" / "operations" / "composite.md").read_text()
    rows = set(re.findall(r"^\| `layers\.([a-z_]+)`", page, re.MULTILINE))
    assert rows == {field.alias or name for name, field in LayerSettings.model_fields.items()}


def test_a_small_layer_costs_its_box() -> None:
    """The picture beside it is the very memory of the one that was given."""
    given = picture(200, 300)
    done = _comp({"from": "red", "anchor": "top-left"}).apply(given, _with(red=RED))
    assert done.differing_windows(given) == (np.s_[0:10, 0:20],)


def test_a_whole_comp_in_sixteen_bits_keeps_them() -> None:
    """A layer of 16 bits laid as it is comes out with its own codes."""
    deep = picture(37, 53, depth=16)
    done = _comp({"from": "deep"}).apply(picture(37, 53, depth=16, channels=3), _with(deep=Picture(freeze(deep.pixels[::-1]), depth=16)))
    assert np.array_equal(done.to_codes(), deep.to_codes()[::-1])


def test_it_is_told_how_far_it_is() -> None:
    """Each layer is a step of the bar, and where it can be called off."""
    seen = context()
    _comp({"element": "snow"}, {"element": "dust"}).apply(GREY, seen)
    assert [note for _, note in seen.progress.reports] == ["layer 1 of 2", "layer 2 of 2"]
