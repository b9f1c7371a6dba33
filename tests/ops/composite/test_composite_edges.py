"""Edge cases of composite: invisible groups, layers partly outside, rotated layers without a rim, and equal weather at any size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import numpy as np
import pytest

from doubles.operation_samples import picture
from doubles.step_context import StepContextDouble
from goldsmith.ops.composite.operation import Composite
from goldsmith.picture.blend_modes import BlendMode, blend_layer
from goldsmith.picture.picture import BitDepth, Picture, freeze
from goldsmith.picture.resample import resize


def _flat(height: int, width: int, value: float) -> Picture:
    return Picture(freeze(np.full((height, width, 3), value, np.float32)))


def _composite(backdrop: Picture, *layers: Mapping[str, object], **layer_pictures: Picture) -> Picture:
    return Composite.model_validate({"layers": list(layers)}).apply(backdrop, StepContextDouble(seed=5, layers=layer_pictures))


@pytest.mark.parametrize("mode", get_args(BlendMode))
def test_a_clipped_layer_follows_the_opacity_of_its_base(mode: BlendMode) -> None:
    """Clipped layers appear and disappear with their base, in every mode."""
    backdrop, base, top = picture(40, 60), _flat(40, 60, 0.3), picture(40, 60, depth=16)
    clipped: dict[str, object] = {"from": "top", "clip": True, "mode": mode}
    assert _composite(backdrop, {"from": "base", "opacity": 0}, clipped, base=base, top=top) is backdrop
    result = _composite(backdrop, {"from": "base", "opacity": 1}, clipped, base=base, top=top)
    assert np.abs(result.pixels - blend_layer(mode, base.pixels, None, top.pixels, np.ones((40, 60), np.float32)).pixels).max() < 1e-6


@pytest.mark.parametrize("mode", get_args(BlendMode))
@pytest.mark.parametrize("depth", [8, 16])
def test_a_layer_partly_outside_is_cropped(mode: BlendMode, depth: BitDepth) -> None:
    """Layers over a corner are blended inside as a whole layer is; the rest of the picture is bit-identical."""
    backdrop, layer = picture(40, 60, depth=depth), picture(30, 30, depth=depth, alpha=True)
    wide = Picture(freeze(np.pad(backdrop.pixels, ((20, 20), (20, 20), (0, 0)), mode="edge")), depth=depth)
    for across, down in ((-15, -10), (45, -10), (-15, 25), (45, 25)):
        placement: dict[str, object] = {"from": "x", "anchor": "top-left", "mode": mode}
        result = _composite(backdrop, {**placement, "offset": [across, down]}, x=layer).pixels
        whole = _composite(wide, {**placement, "offset": [across + 20, down + 20]}, x=layer).pixels
        assert np.abs(result - whole[20:60, 20:80]).max() < 1e-6
        inside = np.zeros((40, 60), bool)
        inside[max(0, down) : max(0, down + 30), max(0, across) : max(0, across + 30)] = True
        assert np.array_equal(result[~inside], backdrop.pixels[~inside])


@pytest.mark.parametrize("degrees", [1, 7, 45, 90, 181.5])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_rotated_layer_on_its_own_colour_has_no_rim(degrees: float, value: float) -> None:
    """White on white stays white and black on black stays black, at any angle and sub-pixel offset."""
    backdrop, layer = _flat(120, 160, value), _flat(50, 70, value)
    for offset in ([0, 0], [3.3, -2.7]):
        result = _composite(backdrop, {"from": "x", "rotation": degrees, "offset": offset}, x=layer)
        assert np.abs(result.pixels - value).max() < 1e-5


def test_edges_of_a_rotated_layer_do_not_overshoot() -> None:
    """Edge values of a bright layer on a dark picture lie between the two and rise monotonically."""
    result = _composite(_flat(120, 160, 0.2), {"from": "x", "rotation": 13}, x=_flat(50, 70, 0.8)).pixels
    assert result.min() >= 0.2 - 1e-5
    assert result.max() <= 0.8 + 1e-5
    assert (np.diff(result[60, :80, 0]) >= -1e-5).all()


@pytest.mark.parametrize("factor", [2, pytest.param(4, marks=pytest.mark.soak)])
@pytest.mark.parametrize(("kind", "correlation"), [("dust", 0.85), ("rain", 0.8), ("snow", 0.95), ("embers", 0.93), ("haze", 0.99)])
def test_elements_look_the_same_in_large_pictures(kind: str, correlation: float, factor: int) -> None:
    """Composites of 3 and 12 megapixels scaled down look like those of less than one, and are as bright."""
    layer = {"element": kind, "seed": 3, "colour": "#ffd0a0"}
    large, small = (_composite(_flat(height, width, 0.2), layer).pixels for height, width in ((720 * factor, 1040 * factor), (720, 1040)))
    shrunk = resize(large, 720, 1040, "area")
    assert np.corrcoef(shrunk.ravel(), small.ravel())[0, 1] > correlation
    assert (small - 0.2).mean() == pytest.approx((shrunk - 0.2).mean(), rel=0.12)


def test_dust_is_visible_by_default() -> None:
    """Dust is visible on a dark picture and does not cover it."""
    lit = _composite(_flat(480, 640, 0.1), {"element": "dust"}).pixels.max(axis=2) - 0.1
    assert 0.02 < (lit > 0.03).mean() < 0.2
    assert lit.max() > 0.2
