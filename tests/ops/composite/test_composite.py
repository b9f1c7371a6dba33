"""composite: layers in order, each at its place, and no other pixel changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pytest
from pydantic import ValidationError

from doubles.operation_samples import CHECKOUT, context, picture
from doubles.step_context import StepContextDouble
from goldsmith.ops.composite.compositing import LayerSettings
from goldsmith.ops.composite.operation import Composite
from goldsmith.picture import profiles
from goldsmith.picture.picture import Mask, Picture, freeze


def _flat(height: int, width: int, *colour: float, alpha: Mask | None = None) -> Picture:
    pixels = np.full((height, width, len(colour)), colour, np.float32)
    return Picture(freeze(pixels), alpha=None if alpha is None else freeze(alpha))


def _composite_of(*layers: Mapping[str, object]) -> Composite:
    return Composite.model_validate({"layers": list(layers)})


GREY = _flat(40, 60, 0.5, 0.5, 0.5)
RED = _flat(10, 20, 0.8, 0.1, 0.1)
BLUE = _flat(40, 60, 0.1, 0.1, 0.9)


def _context(**layers: Picture) -> StepContextDouble:
    return StepContextDouble(seed=5, layers=layers)


def test_a_layer_lies_at_its_anchor_and_offset() -> None:
    """Layers at bottom right, moved 5 px to the left and 10 % of the height up, change only their own box."""
    context = _context(red=RED)
    result = _composite_of({"from": "red", "anchor": "bottom-right", "offset": [-5, "-10%"]}).apply(GREY, context)
    box = np.s_[26:36, 35:55]
    assert np.array_equal(result.pixels[box], RED.pixels)
    outside = np.ones((40, 60), bool)
    outside[box] = False
    assert np.array_equal(result.pixels[outside], GREY.pixels[outside])
    assert context.results.findings["layers"] == [
        {"layer": 1, "source": "red", "mode": "normal", "box": [35, 26, 20, 10], "coverage": 0.083333}
    ]


@pytest.mark.parametrize(
    ("settings", "is_remarked"), [({"scale": 2}, True), ({"scale": 1.4}, False), ({"size": ["100%", "100%"]}, True), ({}, False)]
)
def test_a_layer_that_is_enlarged_far_beyond_its_pixels_is_remarked(settings: dict[str, object], is_remarked: bool) -> None:
    """It looks soft beside a sharp picture, whichever setting enlarges it."""
    context = _context(red=RED)
    _composite_of({"from": "red", **settings}).apply(GREY, context)
    assert ("red is enlarged" in str(context.results.findings.get("remarks"))) == is_remarked


def test_later_layers_lie_over_earlier_ones() -> None:
    """Layers are listed from the bottom up."""
    result = _composite_of({"from": "red"}, {"from": "blue"}).apply(GREY, _context(red=RED, blue=BLUE))
    assert np.array_equal(result.pixels, BLUE.pixels)
    result = _composite_of({"from": "blue"}, {"from": "red"}).apply(GREY, _context(red=RED, blue=BLUE))
    assert np.array_equal(result.pixels[15:25, 20:40], RED.pixels)


def test_opacity_mask_and_alpha_multiply() -> None:
    """Coverage is the layer's alpha times its mask times its opacity."""
    mask = np.zeros((40, 60), np.float32)
    mask[:, 30:] = 0.5
    masked = Picture(GREY.pixels, masks=MappingProxyType({"sky": freeze(mask)}))
    layer = _flat(40, 60, 1.0, 1.0, 1.0, alpha=np.full((40, 60), 0.8, np.float32))
    result = _composite_of({"from": "white", "opacity": 0.5, "mask": "sky"}).apply(masked, _context(white=layer))
    assert np.array_equal(result.pixels[:, :30], GREY.pixels[:, :30])
    assert np.allclose(result.pixels[:, 30:], 0.5 + 0.5 * 0.2)


@pytest.mark.parametrize(
    "layer",
    [
        {"from": "red", "opacity": 0},
        {"from": "red", "offset": [900, 0]},
        {"element": "rain", "density": 0},
        {"element": "haze", "density": 0},
    ],
)
def test_an_invisible_layer_returns_the_picture_itself(layer: dict[str, object]) -> None:
    """Invisible layers return the picture itself, and the record shows a coverage of 0."""
    context = _context(red=RED)
    assert _composite_of(layer).apply(GREY, context) is GREY
    (record,) = context.results.findings["layers"]  # type: ignore[misc,union-attr]
    assert record["coverage"] == 0.0


def test_a_clipped_layer_is_visible_only_in_its_base() -> None:
    """Clipped layers take the shape and the opacity of their base."""
    half = np.zeros((40, 60), np.float32)
    half[:20] = 1
    base = _flat(40, 60, 0.0, 0.0, 0.0, alpha=half)
    result = _composite_of({"from": "base", "opacity": 0.5}, {"from": "blue", "clip": True}).apply(GREY, _context(base=base, blue=BLUE))
    assert np.allclose(result.pixels[:20], (GREY.pixels[0, 0] + BLUE.pixels[0, 0]) / 2)
    assert np.array_equal(result.pixels[20:], GREY.pixels[20:])


def test_alphas_are_combined() -> None:
    """Layers bring their alpha to a transparent picture; elsewhere its alpha is unchanged."""
    clear = Picture(GREY.pixels, alpha=freeze(np.zeros((40, 60), np.float32)))
    result = _composite_of({"from": "red"}).apply(clear, _context(red=RED))
    assert result.alpha is not None
    assert result.alpha[20, 30] == 1
    assert result.alpha[0, 0] == 0
    assert np.allclose(result.pixels[20, 30], RED.pixels[0, 0])


def test_a_layer_is_converted_to_the_profile_of_the_picture() -> None:
    """Red in sRGB has other values in Display P3, and the picture keeps its profile."""
    wide = Picture(GREY.pixels, icc=profiles.builtin_profile("display-p3"))
    result = _composite_of({"from": "red"}).apply(wide, _context(red=RED))
    assert result.icc == wide.icc
    red, green, _ = result.pixels[20, 30]
    assert 0.6 < red < 0.79
    assert green > 0.11


def test_a_grey_picture_becomes_rgb_only_for_a_coloured_layer() -> None:
    """Grey values are kept in all three channels."""
    grey = _flat(40, 60, 0.3)
    result = _composite_of({"from": "red"}).apply(grey, _context(red=RED))
    assert result.channels == 3
    assert np.array_equal(result.pixels[0, 0], np.repeat(grey.pixels[0, 0], 3))
    assert _composite_of({"element": "snow"}).apply(grey, _context()).channels == 1


def test_a_grey_profile_keeps_the_picture_grey() -> None:
    """Layers are converted to a grey profile, not averaged."""
    from imagecodecs import cms_profile

    grey = Picture(_flat(40, 60, 0.3).pixels, icc=cms_profile("gray", whitepoint=(0.9642, 1.0, 0.8249), gamma=2.2))
    result = _composite_of({"from": "red"}, {"element": "embers"}).apply(grey, _context(red=RED))
    assert result.channels == 1
    assert result.icc == grey.icc
    assert result.pixels[20, 30, 0] != pytest.approx(0.3)


def test_each_element_has_its_own_seed() -> None:
    """Seeds come from the picture and the layer's number, or from the layer's own seed; equal seeds give equal pixels."""
    once = _composite_of({"element": "rain"}).apply(GREY, StepContextDouble(seed=1)).pixels
    assert np.array_equal(once, _composite_of({"element": "rain"}).apply(GREY, StepContextDouble(seed=1)).pixels)
    assert not np.array_equal(once, _composite_of({"element": "rain"}).apply(GREY, StepContextDouble(seed=2)).pixels)
    fixed = _composite_of({"element": "rain", "seed": 4})
    assert np.array_equal(fixed.apply(GREY, StepContextDouble(seed=1)).pixels, fixed.apply(GREY, StepContextDouble(seed=2)).pixels)
    twice = _composite_of({"element": "rain"}, {"element": "rain"}).apply(GREY, StepContextDouble(seed=1)).pixels
    both = _composite_of({"element": "rain", "seed": 4}, {"element": "rain", "seed": 4}).apply(GREY, StepContextDouble(seed=1)).pixels
    assert not np.array_equal(twice, both)


def test_haze_spares_parts_without_depth() -> None:
    """Pixels are unchanged where the depth is zero, and move towards the colour elsewhere."""
    far = np.zeros((40, 60), np.float32)
    far[:20] = 1
    masked = Picture(BLUE.pixels, masks=MappingProxyType({"far": freeze(far)}))
    result = _composite_of({"element": "haze", "depth": "far", "colour": "#ffffff", "density": 2}).apply(masked, _context())
    assert np.array_equal(result.pixels[20:], BLUE.pixels[20:])
    assert (result.pixels[:20, :, 0] > 0.2).all()


def test_haze_takes_its_colour_from_the_brightest_parts() -> None:
    """Haze without a colour is as bright as the brightest parts and half as colourful."""
    pixels = np.full((40, 60, 3), 0.1, np.float32)
    pixels[:10] = (0.9, 0.7, 0.5)
    result = (
        _composite_of({"element": "haze", "density": 4, "gradient": "bottom"})
        .apply(Picture(freeze(pixels)), _context())
        .pixels[-1]
        .mean(axis=0)
    )
    assert result[0] > result[1] > result[2] > 0.45


def test_haze_leaves_no_bands_in_eight_bits() -> None:
    """Blurred 8-bit codes follow the slope; values outside the haze are unchanged."""
    import cv2

    dark = np.full((300, 400, 3), 0.1001, np.float32)
    hidden = np.zeros((300, 400), np.float32)
    hidden[:, :200] = 1
    haze = _composite_of({"element": "haze", "density": 0.06, "mask": "far", "colour": "#ffffff"})
    coarse, fine = (
        haze.apply(Picture(freeze(dark), depth=depth, masks=MappingProxyType({"far": freeze(hidden)})), StepContextDouble(seed=1))
        for depth in (8, 16)
    )
    actual = cv2.blur(coarse.to_codes().astype(np.float32), (21, 21))[20:-20, 20:180]
    expected = cv2.blur(fine.pixels * 255, (21, 21))[20:-20, 20:180]
    assert np.abs(actual - expected).max() < 0.2
    assert np.array_equal(coarse.pixels[:, 200:], dark[:, 200:])


def test_layers_masks_and_engines_are_needed() -> None:
    """Needs name layers, masks and the engines of detected regions."""
    needs = _composite_of({"from": "logo", "mask": "sky"}, {"element": "haze", "depth": "background"}, {"from": "logo"}).needs()
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
def test_the_region_of_change_is_known(layers: list[Mapping[str, object]], where: str) -> None:
    """Regions of the layers are combined; one layer without a region means the whole picture."""
    assert _composite_of(*layers).where == where


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({}, "either from"),
        ({"from": "a", "element": "rain"}, "either from"),
        ({"from": "../a"}, "is a path"),
        ({"from": "a", "angle": 3}, "angle does nothing for a picture"),
        ({"from": "a", "depth": "sky"}, "depth does nothing for a picture"),
        ({"element": "rain", "rotation": 3}, "rotation does nothing for rain"),
        ({"element": "rain", "gradient": "top"}, "gradient does nothing for rain"),
        ({"element": "dust", "angle": 3}, "angle does nothing for dust"),
        ({"element": "haze", "depth": "sky", "gradient": "top"}, "both set the distance"),
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
def test_contradictory_settings_are_refused_with_the_brief(layer: dict[str, object], message: str) -> None:
    """Validation names the problem before anything runs."""
    with pytest.raises(ValidationError, match=re.escape(message)):
        _composite_of(layer)


def test_the_number_of_layers_is_limited() -> None:
    """Composites have 1 to 32 layers."""
    _composite_of(*[{"from": "a"}] * 32)
    for count in (0, 33):
        with pytest.raises(ValidationError):
            _composite_of(*[{"from": "a"}] * count)


def test_every_setting_of_a_layer_has_a_row_in_the_manual() -> None:
    """Rows of the manual and settings of a layer are the same set."""
    page = (CHECKOUT / "docs" / "operations" / "composite.md").read_text()
    rows = set(re.findall(r"^\| `layers\.([a-z_]+)`", page, re.MULTILINE))
    assert rows == {field.alias or name for name, field in LayerSettings.model_fields.items()}


def test_a_small_layer_changes_only_its_box() -> None:
    """Pixels outside the layer's box are shared with the picture."""
    before = picture(200, 300)
    result = _composite_of({"from": "red", "anchor": "top-left"}).apply(before, _context(red=RED))
    assert result.differing_windows(before) == (np.s_[0:10, 0:20],)


def test_a_composite_keeps_16_bit_codes() -> None:
    """16-bit layers keep their codes."""
    deep = picture(37, 53, depth=16)
    result = _composite_of({"from": "deep"}).apply(
        picture(37, 53, depth=16, channels=3), _context(deep=Picture(freeze(deep.pixels[::-1]), depth=16))
    )
    assert np.array_equal(result.to_codes(), deep.to_codes()[::-1])


def test_progress_is_reported_for_each_layer() -> None:
    """Progress is reported for each layer, and the step can be cancelled there."""
    step_context = context()
    _composite_of({"element": "snow"}, {"element": "dust"}).apply(GREY, step_context)
    assert [note for _, note in step_context.progress.reports] == ["layer 1 of 2", "layer 2 of 2"]
