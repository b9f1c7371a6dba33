"""cutout: hair found, the old background gone from it, solid pixels untouched, and what is not sure is held and shown."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from pydantic import ValidationError

from doubles.mattes import Pane, Scene, pane, scene
from doubles.step_context import StepContextDouble
from goldsmith.engines.kinds import MATTE_ESTIMATOR
from goldsmith.engines.protocols import EngineNeed
from goldsmith.errors import InputError
from goldsmith.ops.cutout.operation import Cutout
from goldsmith.picture.picture import Mask, Picture, freeze
from goldsmith.picture.profiles import builtin_profile

SEEN = scene(240, 320)


def _plate(seen: Scene = SEEN, mask: Mask | None = None, **more: object) -> Picture:
    masks = {} if mask is None else {"mask": freeze(mask)}
    return Picture(freeze(seen.pixels), masks=MappingProxyType(masks), **more)  # type: ignore[arg-type]


def _cut(picture: Picture, context: StepContextDouble | None = None, **settings: object) -> Picture:
    return Cutout.model_validate({"max_unsure": 1, "max_holes": 1, **settings}).apply(picture, context or _bench())


def _bench() -> StepContextDouble:
    return StepContextDouble(spots={"subject": freeze(SEEN.coarse)})


def _alpha(picture: Picture) -> Mask:
    assert picture.alpha is not None
    return picture.alpha


def test_hair_is_found_that_the_coarse_matte_lacks() -> None:
    """Against the known alpha the error is less than half of the matte's that came in."""
    found = _alpha(_cut(_plate(), edge=12))
    assert np.abs(found - SEEN.alpha).mean() < 0.5 * np.abs(SEEN.coarse - SEEN.alpha).mean()


def test_what_is_wholly_inside_keeps_its_pixels() -> None:
    """Where alpha is 1 not a bit of the colours is another, and where the subject is solid alpha is 1."""
    picture = _plate()
    made = _cut(picture)
    solid = _alpha(made) == 1
    assert solid.mean() > 0.5 * (SEEN.alpha == 1).mean()
    assert np.array_equal(made.pixels[solid], picture.pixels[solid])


def test_the_old_background_leaves_the_edge() -> None:
    """In half-transparent pixels the colours come much nearer to the subject's own, and nothing of what lay far behind is left."""
    made = _cut(_plate(), edge=12)
    alpha = _alpha(made)
    hair = (SEEN.alpha > 0.2) & (SEEN.alpha < 0.8) & (alpha > 0.2) & (alpha < 0.8)
    before, after = (np.abs(pixels - SEEN.front)[hair].mean() for pixels in (SEEN.pixels, made.pixels))
    assert after < 0.5 * before
    assert not made.pixels[:20, :20].any()


def test_colours_stay_where_they_are_not_to_be_cleaned() -> None:
    """With decontaminate = 0 only alpha is new."""
    picture = _plate()
    assert _cut(picture, decontaminate=0).pixels is picture.pixels


def test_depth_profile_and_masks_are_kept() -> None:
    """A 16-bit picture in another profile stays what it is, with its ppi and masks."""
    given = _plate(mask=SEEN.coarse, depth=16, icc=builtin_profile("adobe-rgb"), ppi=(300.0, 300.0))
    made = _cut(given, where="mask")
    assert (made.depth, made.icc, made.ppi, set(made.masks)) == (16, given.icc, (300.0, 300.0), {"mask"})


def test_a_painted_mask_is_a_trimap() -> None:
    """White stays, black goes, and grey is found out: hair comes out of a broad grey brush."""
    painted = np.where(SEEN.near, np.float32(0.5), np.round(SEEN.alpha))
    found = _alpha(_cut(_plate(mask=painted), where="mask", edge=0))
    assert np.abs(found - SEEN.alpha)[SEEN.near].mean() < 0.3 * np.abs(painted - SEEN.alpha)[SEEN.near].mean()
    assert np.array_equal(found[~SEEN.near], np.round(SEEN.alpha)[~SEEN.near])


def test_alpha_that_was_there_stays_transparent() -> None:
    """What was transparent before is never made opaque."""
    before = np.ones_like(SEEN.alpha)
    before[:, :160] = 0
    assert not _alpha(_cut(_plate(alpha=freeze(before))))[:, :160].any()


def test_without_refining_the_mask_is_the_alpha() -> None:
    """refine = "none" is asked for, never fallen back to: the mask as it was painted, hard where it is hard."""
    painted = np.round(SEEN.alpha)
    made = _cut(_plate(mask=painted), where="mask", edge=0, refine="none")
    assert np.array_equal(_alpha(made), painted)


def test_an_unsure_matte_is_held_and_shown() -> None:
    """Past the limit the sentence says how far, and a picture shows it in magenta."""
    context = _bench()
    with pytest.raises(InputError, match=r"\d+% of the subject is uncertain \(max_unsure is 1%\)"):
        Cutout(max_unsure=0.01).apply(_plate(), context)
    [shown] = context.results.problem_pictures
    magenta = (shown.pixels[:, :, 0] > 0.6) & (shown.pixels[:, :, 1] < 0.4) & (shown.pixels[:, :, 2] > 0.5)
    assert 0 < magenta.mean() < 0.5
    assert context.results.findings["unsure"] > 0.01  # type: ignore[operator]


def test_a_model_that_could_not_tell_is_unsure_however_sharp_the_edge_comes_out() -> None:
    """A broad grey place in what the model said counts; painted grey is an order to look, and no doubt."""
    grey = np.round(SEEN.alpha)
    grey[100:150, 135:185] = 0.5
    told: list[object] = []
    for where in ("", "mask"):
        context = StepContextDouble(spots={"subject": freeze(grey)})
        made = _alpha(_cut(_plate(mask=grey), context, where=where, edge=4))
        assert made[105:145, 140:180].mean() > 0.9
        told.append(context.results.findings["unsure"])
    assert told[0] > told[1] + 0.08  # type: ignore[operator]


def test_a_subject_that_the_frame_cuts_is_held_past_the_limit() -> None:
    """How much of the border it takes is measured; at its default a portrait that stands on the lower edge goes on."""
    mask = np.zeros_like(SEEN.alpha)
    mask[100:, 60:260] = 1
    picture, context = _plate(mask=mask), _bench()
    _cut(picture, context, where="mask", edge=0)
    assert context.results.findings["cut_at"] == ["bottom"]
    assert context.results.findings["cut"] == pytest.approx(200 / (2 * 240 + 2 * 320), abs=1e-4)
    with pytest.raises(InputError, match="18% of the picture's border cuts the subject"):
        _cut(picture, where="mask", edge=0, max_cut=0.1)


def test_holes_are_held_past_the_limit() -> None:
    """A hole in the middle is measured against the subject."""
    mask = np.zeros_like(SEEN.alpha)
    mask[50:150, 50:150] = 1
    mask[80:120, 80:120] = 0
    with pytest.raises(InputError, match="holes are 19% of the subject"):
        _cut(_plate(mask=mask), where="mask", edge=0, max_holes=0.15)


def test_an_empty_cutout_is_held() -> None:
    """A subject of nothing is no result, whatever the limits."""
    with pytest.raises(InputError, match="nothing of the picture remains"):
        _cut(_plate(mask=np.zeros_like(SEEN.alpha)), where="mask")


def _glass(seen: Pane) -> Picture:
    return Picture(freeze(seen.pixels), masks=MappingProxyType({"mask": freeze(seen.foot), "pane": freeze(seen.painted)}))


def test_painted_glass_is_see_through_and_neither_unsure_nor_a_hole() -> None:
    """As solid as it was painted, its shine more so, its colour its own; what is solid beside it stays bit for bit."""
    seen, context = pane(), StepContextDouble()
    made = Cutout(where="mask", glass="pane", edge=2).apply(_glass(seen), context)
    alpha = _alpha(made)
    assert alpha[120:150, 140:160] == pytest.approx(0.18, abs=0.03)
    assert alpha[60:110, 100].min() > 0.6
    assert np.abs(made.pixels - seen.front)[120:150, 140:160].mean() < 0.1
    assert np.array_equal(made.pixels[180:184, 80:170], seen.pixels[180:184, 80:170])
    assert context.results.findings["unsure"] == pytest.approx(0, abs=0.02)
    assert context.results.findings["glass"] == pytest.approx((seen.painted > 0.02).mean(), abs=1e-4)
    assert Cutout(where="mask", glass="pane").needs().masks == {"mask", "pane"}


def test_glass_before_something_busy_is_held() -> None:
    """What lies behind cannot be told from the glass there: a sentence says so, and the brief may allow it."""
    picture = _glass(pane(busy=True))
    with pytest.raises(InputError, match=r"background of the glass is uneven by \d+% \(max_uneven is 5%\)"):
        Cutout(where="mask", glass="pane", edge=2).apply(picture, StepContextDouble())
    made = Cutout(where="mask", glass="pane", edge=2, max_uneven=1).apply(picture, StepContextDouble())
    assert _alpha(made)[120:150, 140:160].mean() < 0.6


def test_glass_with_nothing_seen_behind_it_is_held() -> None:
    """Nobody can take away a colour that is nowhere to be seen."""
    seen = pane()
    picture = Picture(freeze(seen.pixels), masks=MappingProxyType({"mask": freeze(np.ones_like(seen.foot)), "pane": freeze(seen.painted)}))
    with pytest.raises(InputError, match="no background is visible beside the glass"):
        Cutout(where="mask", glass="pane", max_cut=1).apply(picture, StepContextDouble())
    assert Cutout(where="mask", glass="pane", max_cut=1, max_uneven=1).apply(picture, StepContextDouble()).alpha is not None


def test_onto_a_colour_in_the_pictures_own_profile() -> None:
    """The ground has the colour that was written, as it looks, and the result is opaque; what is solid stays bit for bit."""
    picture = _plate(icc=builtin_profile("adobe-rgb"))
    made = _cut(picture, onto="#ff8000")
    assert made.alpha is None
    assert made.pixels[0, 0] == pytest.approx([0.8653, 0.4961, 0.1216], abs=0.03)
    solid = _alpha(_cut(picture)) == 1
    assert np.array_equal(made.pixels[solid], picture.pixels[solid])


def test_onto_a_plate_of_the_library() -> None:
    """It is brought to cover the frame, and its own transparency stays."""
    ground = np.zeros((60, 80, 3), np.float32)
    ground[:, 40:] = (0, 0, 1)
    context = StepContextDouble(spots={"subject": freeze(SEEN.coarse)}, layers={"studio": Picture(freeze(ground))})
    made = _cut(_plate(), context, onto="studio")
    assert (made.width, made.height, made.alpha) == (320, 240, None)
    assert made.pixels[5, 5] == pytest.approx([0, 0, 0], abs=0.01)
    assert made.pixels[5, 315] == pytest.approx([0, 0, 1], abs=0.01)
    clear = replace(Picture(freeze(ground)), alpha=freeze(np.zeros((60, 80), np.float32)))
    context = StepContextDouble(spots={"subject": freeze(SEEN.coarse)}, layers={"studio": clear})
    assert np.array_equal(_alpha(_cut(_plate(), context, onto="studio")), _alpha(_cut(_plate())))


def test_trim_cuts_the_frame_down() -> None:
    """To what is seen of the subject and so many px round it; masks go with it."""
    mask = np.zeros_like(SEEN.alpha)
    mask[50:150, 60:150] = 1
    made = _cut(_plate(mask=mask), where="mask", edge=0, trim=10)
    assert (made.height, made.width) == (120, 110)
    assert made.masks["mask"].shape == (120, 110)
    assert _alpha(made)[10:-10, 10:-10].all()


def test_what_it_needs() -> None:
    """A matte engine without where; a mask and none with one; a picture by its name and no colour."""
    assert Cutout().needs().engines == (EngineNeed(MATTE_ESTIMATOR),)
    assert Cutout(model="u2net").needs().engines == (EngineNeed(MATTE_ESTIMATOR, "u2net"),)
    painted = Cutout(where="mask", onto="studio").needs()
    assert (painted.masks, painted.engines, painted.layers) == (frozenset({"mask"}), (), frozenset({"studio"}))
    assert not Cutout(onto="#ffffff").needs().layers


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"onto": "#ff80"}, "not a colour"),
        ({"onto": "../etc/passwd"}, "a path"),
        ({"onto": "studio", "trim": 4}, "trim needs"),
        ({"where": "mask", "model": "u2net"}, "keep one of them"),
        ({"refine": "quick"}, "closed-form"),
    ],
)
def test_what_makes_no_sense_is_refused_early(settings: dict[str, object], said: str) -> None:
    """When the brief is read, in a sentence."""
    with pytest.raises(ValidationError, match=said):
        Cutout.model_validate(settings)


def test_the_named_model_is_asked() -> None:
    """model = NAME goes to the bench as it is written."""
    context = _bench()
    _cut(_plate(), context, model="u2net")
    assert context.detect.models == ["u2net"]
