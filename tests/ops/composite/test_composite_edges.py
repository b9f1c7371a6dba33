"""composite at its edges: groups that do not show, layers half outside, turned layers without a rim, the same weather at any size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import numpy as np
import pytest

from doubles.ground import picture
from doubles.step_context import StepContextDouble
from goldsmith.ops.composite.blend_modes import BlendMode, blended
from goldsmith.ops.composite.operation import Composite
from goldsmith.picture.picture import BitDepth, Picture, freeze
from goldsmith.picture.resample import resize


def _flat(height: int, width: int, value: float) -> Picture:
    return Picture(freeze(np.full((height, width, 3), value, np.float32)))


def _done(ground: Picture, *layers: Mapping[str, object], **given: Picture) -> Picture:
    return Composite.model_validate({"layers": list(layers)}).apply(ground, StepContextDouble(seed=5, layers=given))


@pytest.mark.parametrize("mode", get_args(BlendMode))
def test_a_group_of_no_opacity_is_the_very_plate_and_of_all_is_its_top(mode: BlendMode) -> None:
    """What is clipped to a layer goes and comes with it, in every mode."""
    ground, base, top = picture(40, 60), _flat(40, 60, 0.3), picture(40, 60, depth=16)
    clipped: dict[str, object] = {"from": "top", "clip": True, "mode": mode}
    assert _done(ground, {"from": "base", "opacity": 0}, clipped, base=base, top=top) is ground
    done = _done(ground, {"from": "base", "opacity": 1}, clipped, base=base, top=top)
    assert np.abs(done.pixels - blended(mode, base.pixels, top.pixels)).max() < 1e-6


@pytest.mark.parametrize("mode", get_args(BlendMode))
@pytest.mark.parametrize("depth", [8, 16])
def test_a_layer_that_hangs_over_is_that_of_a_larger_plate_cut_off(mode: BlendMode, depth: BitDepth) -> None:
    """Over each corner: the part inside is blended as the whole would be, the rest of the picture is bit for bit as it was."""
    ground, layer = picture(40, 60, depth=depth), picture(30, 30, depth=depth, alpha=True)
    wide = Picture(freeze(np.pad(ground.pixels, ((20, 20), (20, 20), (0, 0)), mode="edge")), depth=depth)
    for across, down in ((-15, -10), (45, -10), (-15, 25), (45, 25)):
        put: dict[str, object] = {"from": "x", "anchor": "top-left", "mode": mode}
        done = _done(ground, {**put, "offset": [across, down]}, x=layer).pixels
        whole = _done(wide, {**put, "offset": [across + 20, down + 20]}, x=layer).pixels
        assert np.abs(done - whole[20:60, 20:80]).max() < 1e-6
        inside = np.zeros((40, 60), bool)
        inside[max(0, down) : max(0, down + 30), max(0, across) : max(0, across + 30)] = True
        assert np.array_equal(done[~inside], ground.pixels[~inside])


@pytest.mark.parametrize("degrees", [1, 7, 45, 90, 181.5])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_turned_layer_on_its_own_colour_has_no_rim(degrees: float, value: float) -> None:
    """White on white stays white, black on black black, whatever the angle and the place between px."""
    ground, layer = _flat(120, 160, value), _flat(50, 70, value)
    for offset in ([0, 0], [3.3, -2.7]):
        done = _done(ground, {"from": "x", "rotation": degrees, "offset": offset}, x=layer)
        assert np.abs(done.pixels - value).max() < 1e-5


def test_a_turned_layer_never_leaves_what_lies_between_it_and_the_ground() -> None:
    """Bright on dark: along its edge values lie between the two, and rise once."""
    done = _done(_flat(120, 160, 0.2), {"from": "x", "rotation": 13}, x=_flat(50, 70, 0.8)).pixels
    assert done.min() >= 0.2 - 1e-5
    assert done.max() <= 0.8 + 1e-5
    assert (np.diff(done[60, :80, 0]) >= -1e-5).all()


@pytest.mark.parametrize(("kind", "alike"), [("dust", 0.85), ("rain", 0.8), ("snow", 0.95), ("embers", 0.93), ("haze", 0.99)])
def test_weather_at_one_and_at_twelve_megapixels_is_the_same_picture(kind: str, alike: float) -> None:
    """The large comp made small looks like the small comp, and is as bright."""
    layer = {"element": kind, "seed": 3, "colour": "#ffd0a0"}
    large, small = (_done(_flat(height, width, 0.2), layer).pixels for height, width in ((2880, 4160), (720, 1040)))
    shrunk = resize(large, 720, 1040, "area")
    assert np.corrcoef(shrunk.ravel(), small.ravel())[0, 1] > alike
    assert (small - 0.2).mean() == pytest.approx((shrunk - 0.2).mean(), rel=0.12)


def test_dust_at_its_default_is_seen() -> None:
    """On a dark ground something is there, and the ground is not covered by it."""
    lit = _done(_flat(480, 640, 0.1), {"element": "dust"}).pixels.max(axis=2) - 0.1
    assert 0.02 < (lit > 0.03).mean() < 0.2
    assert lit.max() > 0.2
