"""Shadows of layers: where they fall, how dark and soft they are, and where the light of a backdrop comes from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from doubles.step_context import StepContextDouble
from goldsmith.ops.composite.light_direction import guess_light
from goldsmith.ops.composite.operation import Composite
from goldsmith.picture.colour import to_linear
from goldsmith.picture.picture import Picture, freeze

BACKDROP = Picture(freeze(np.full((300, 400, 3), 0.7, np.float32)))
# A post of 10 x 100 px whose foot is 60 px above the bottom edge of the backdrop, in its middle.
POST: dict[str, object] = {"from": "post", "anchor": "bottom", "offset": [0, -60]}


def _post(height: int = 100, width: int = 10) -> Picture:
    return Picture(freeze(np.zeros((height, width, 3), np.float32)), alpha=freeze(np.ones((height, width), np.float32)))


def _shadow(
    layer: Picture, settings: Mapping[str, object], backdrop: Picture = BACKDROP, **more: object
) -> tuple[NDArray[np.float32], object]:
    """Return the share of light (h, w) that the shadow takes from the backdrop, and the finding about it."""
    context = StepContextDouble(seed=5, layers={"post": layer})
    result = Composite.model_validate({"layers": [{**POST, "shadow": settings, **more}]}).apply(backdrop, context)
    finding = next(entry for entry in context.results.findings["layers"] if "shadow_of" in entry)  # type: ignore[union-attr,operator]
    return 1 - to_linear(result.pixels, None)[..., 1] / to_linear(backdrop.pixels, None)[..., 1], finding


@pytest.mark.parametrize(("angle", "side"), [(90, "right"), (270, "left"), (60, "right"), (120, "right")])
def test_a_cast_shadow_falls_where_its_angle_says(angle: float, side: str) -> None:
    """The shadow of a post lies on that side of it, above the foot for angles of the upper half and below it for the lower half."""
    darkening, _ = _shadow(_post(), {"kind": "cast", "angle": angle, "length": 1, "softness": 0})
    darkening[140:240, 195:205] = 0  # the post itself
    y, x = np.mgrid[:300, :400]
    centre = (darkening * x).sum() / darkening.sum() - 200, (darkening * y).sum() / darkening.sum() - 239
    assert (centre[0] > 15) == (side == "right")
    assert (centre[0] < -15) == (side == "left")
    if angle in (60, 120):
        assert (centre[1] < -5) == (angle == 60)
        assert (centre[1] > 5) == (angle == 120)


def test_the_length_is_given_in_heights_of_the_layer() -> None:
    """A shadow twice as long reaches twice as far."""
    reach = []
    for length in (0.5, 1.0):
        darkening, _ = _shadow(_post(), {"kind": "cast", "angle": 90, "length": length, "softness": 0})
        reach.append(int(np.flatnonzero((darkening > 0.15).any(axis=0)).max()) - 200)
    assert reach[0] == pytest.approx(50, abs=8)
    assert reach[1] == pytest.approx(100, abs=10)


def test_opacity_is_the_share_of_light_that_is_taken() -> None:
    """Under a wide layer the contact shadow takes its opacity of the linear light, and never more; opacity 0 takes nothing."""
    layer = _post(100, 120)
    for opacity in (0.4, 0.8):
        darkening, _ = _shadow(layer, {"opacity": opacity})
        below = darkening[240:, :]
        assert below.max() == pytest.approx(opacity, abs=0.06)
        assert below.max() <= opacity + 1e-3
    darkening, _ = _shadow(layer, {"opacity": 0})
    assert not darkening[240:].any()


def test_softness_blurs_the_far_end_and_not_the_foot() -> None:
    """The edge of a soft shadow is as sharp near the foot as that of a hard one, and much softer at the far end."""

    def steepest(softness: float, column: int) -> float:
        darkening, _ = _shadow(_post(100, 40), {"kind": "cast", "angle": 60, "length": 1.5, "softness": softness})
        return float(np.abs(np.diff(darkening[:, column])).max())

    assert steepest(1.0, 320) < 0.5 * steepest(0.0, 320)


def test_outside_shadow_layer_and_mask_no_pixel_changes() -> None:
    """Far from the layer, and outside its mask, every pixel keeps its bits."""
    backdrop = Picture(BACKDROP.pixels, masks={"left": freeze(np.repeat((np.arange(400) < 220)[None], 300, axis=0).astype(np.float32))})
    darkening, _ = _shadow(_post(), {"kind": "cast", "angle": 90, "length": 1}, backdrop, mask="left")
    assert darkening[:, :220].any()
    context = StepContextDouble(seed=5, layers={"post": _post()})
    layers = [{**POST, "mask": "left", "shadow": {"kind": "cast", "angle": 90, "length": 1}}]
    result = Composite.model_validate({"layers": layers}).apply(backdrop, context)
    assert np.array_equal(result.pixels[:, 220:], backdrop.pixels[:, 220:])
    assert np.array_equal(result.pixels[:100], backdrop.pixels[:100])


def test_each_foot_keeps_its_own_shadow() -> None:
    """Of two posts of different length, both have a dark line below them."""
    alpha = np.zeros((100, 100), np.float32)
    alpha[:60] = 1
    alpha[60:100, 5:25] = 1
    alpha[60:92, 75:95] = 1
    layer = Picture(freeze(np.zeros((100, 100, 3), np.float32)), alpha=freeze(alpha))
    darkening, _ = _shadow(layer, {})
    assert darkening[241, 150 + 15] > 0.3
    assert darkening[233, 150 + 85] > 0.3


def test_a_layer_cut_by_the_bottom_edge_throws_no_shadow_and_says_so() -> None:
    """Nothing is drawn round a layer without a foot in the picture, and the record says why."""
    darkening, finding = _shadow(_post(), {"kind": "cast"}, offset=[0, 0])
    assert "no foot" in finding["not_drawn"]  # type: ignore[index]
    darkening[200:, 195:205] = 0
    assert not darkening.any()


@pytest.mark.parametrize(
    ("shadow", "offset", "remark"),
    [
        ({"kind": "cast"}, -60, "is a guess (light: not found in the picture: behind and to the right)"),
        ({"kind": "cast"}, 0, "post throws no shadow: the layer has no foot"),
        ({"kind": "cast", "angle": 60}, -60, ""),
        ({}, -60, ""),
    ],
)
def test_a_guessed_direction_and_a_shadow_that_is_missing_are_remarked(shadow: dict[str, object], offset: int, remark: str) -> None:
    """Most pictures do not show their light, and who asks for a shadow expects one. A direction that is set, or none, needs no remark."""
    context = StepContextDouble(seed=5, layers={"post": _post()})
    Composite.model_validate({"layers": [{**POST, "offset": [0, offset], "shadow": shadow}]}).apply(BACKDROP, context)
    remarks = context.results.findings.get("remarks", [])
    assert isinstance(remarks, list)
    assert len(remarks) == bool(remark)
    assert all(remark in str(each) for each in remarks)


def test_the_light_is_told_from_a_lamp_or_from_the_brighter_side() -> None:
    """A lamp behind the layer throws the shadow towards the viewer, a bright left side to the right; a flat backdrop has none."""
    lamp = np.full((90, 120, 3), 0.3, np.float32)
    lamp[20:28, 20:28] = 1
    direction = guess_light(lamp, (0.7, 0.8))
    assert 90 < direction.shadow_angle < 180
    assert "a light in the picture" in direction.reason
    slope = np.repeat(np.tile(np.linspace(0.9, 0.3, 120, dtype=np.float32), (90, 1))[:, :, None], 3, axis=2)
    assert guess_light(slope, (0.5, 0.8)) == (60.0, "the picture is brighter on the left")
    assert guess_light(slope[:, ::-1], (0.5, 0.8)) == (-60.0, "the picture is brighter on the right")
    assert "not found" in guess_light(np.full((90, 120, 3), 0.5, np.float32), (0.5, 0.8)).reason
    _, finding = _shadow(_post(), {"kind": "cast"})
    assert finding["angle"] == 60  # type: ignore[index]
    assert "not found" in finding["light"]  # type: ignore[index]


@pytest.mark.parametrize(
    "layers",
    [
        [{"from": "a"}, {"from": "b", "clip": True, "shadow": {}}],
        [{"element": "rain", "shadow": {}}],
        [{"from": "a", "shadow": {"kind": "long"}}],
        [{"from": "a", "shadow": {"length": 0}}],
        [{"from": "a", "shadow": {"opacity": 2}}],
    ],
)
def test_shadows_that_make_no_sense_are_refused(layers: list[dict[str, object]]) -> None:
    """Clipped layers and elements throw no shadow, and numbers have limits."""
    with pytest.raises(ValidationError):
        Composite.model_validate({"layers": layers})
