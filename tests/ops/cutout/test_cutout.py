"""cutout: hair is found, the old background removed from it, solid pixels stay, and an uncertain matte is held and shown."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from pydantic import ValidationError

from doubles.mattes import Pane, Scene, pane, scene
from doubles.step_context import DetectDouble, StepContextDouble
from goldsmith.engines.kinds import MATTE_ESTIMATOR
from goldsmith.engines.protocols import EngineNeed
from goldsmith.errors import InputError
from goldsmith.ops.cutout.operation import Cutout
from goldsmith.picture.picture import Mask, Picture, freeze
from goldsmith.picture.profiles import builtin_profile

SCENE = scene(240, 320)


def _picture(source: Scene = SCENE, mask: Mask | None = None, **fields: object) -> Picture:
    masks = {} if mask is None else {"mask": freeze(mask)}
    return Picture(freeze(source.pixels), masks=MappingProxyType(masks), **fields)  # type: ignore[arg-type]


def _cut(picture: Picture, context: StepContextDouble | None = None, **settings: object) -> Picture:
    return Cutout.model_validate({"max_unsure": 1, "max_holes": 1, **settings}).apply(picture, context or _context())


def _context() -> StepContextDouble:
    return StepContextDouble(spots={"subject": freeze(SCENE.coarse)})


def _alpha(picture: Picture) -> Mask:
    assert picture.alpha is not None
    return picture.alpha


def test_hair_that_the_coarse_matte_lacks_is_found() -> None:
    """The error against the known alpha is less than half of the coarse matte's."""
    alpha = _alpha(_cut(_picture(), edge=12))
    assert np.abs(alpha - SCENE.alpha).mean() < 0.5 * np.abs(SCENE.coarse - SCENE.alpha).mean()


def test_solid_pixels_keep_their_colours() -> None:
    """Colours stay bit for bit where alpha is 1, and alpha is 1 in more than half of the solid subject."""
    picture = _picture()
    result = _cut(picture)
    solid = _alpha(result) == 1
    assert solid.mean() > 0.5 * (SCENE.alpha == 1).mean()
    assert np.array_equal(result.pixels[solid], picture.pixels[solid])


def test_the_old_background_is_removed_from_the_edge() -> None:
    """In half-transparent pixels the error of the subject's colours halves, and pixels far from the subject become black."""
    result = _cut(_picture(), edge=12)
    alpha = _alpha(result)
    half_transparent = (SCENE.alpha > 0.2) & (SCENE.alpha < 0.8) & (alpha > 0.2) & (alpha < 0.8)
    before, after = (np.abs(pixels - SCENE.front)[half_transparent].mean() for pixels in (SCENE.pixels, result.pixels))
    assert after < 0.5 * before
    assert not result.pixels[:20, :20].any()


def test_without_decontamination_the_colours_stay() -> None:
    """With decontaminate = 0 only alpha changes."""
    picture = _picture()
    assert _cut(picture, decontaminate=0).pixels is picture.pixels


def test_depth_profile_and_masks_are_kept() -> None:
    """A 16-bit picture in another profile keeps depth, profile, ppi and masks."""
    picture = _picture(mask=SCENE.coarse, depth=16, icc=builtin_profile("adobe-rgb"), ppi=(300.0, 300.0))
    result = _cut(picture, where="mask")
    assert (result.depth, result.icc, result.ppi, set(result.masks)) == (16, picture.icc, (300.0, 300.0), {"mask"})


def test_a_painted_mask_is_a_trimap() -> None:
    """White stays, black goes, and hair is found in a broad grey brush stroke."""
    mask = np.where(SCENE.near, np.float32(0.5), np.round(SCENE.alpha))
    alpha = _alpha(_cut(_picture(mask=mask), where="mask", edge=0))
    assert np.abs(alpha - SCENE.alpha)[SCENE.near].mean() < 0.3 * np.abs(mask - SCENE.alpha)[SCENE.near].mean()
    assert np.array_equal(alpha[~SCENE.near], np.round(SCENE.alpha)[~SCENE.near])


def test_transparent_pixels_stay_transparent() -> None:
    """The cutout makes no transparent pixel of the picture opaque."""
    before = np.ones_like(SCENE.alpha)
    before[:, :160] = 0
    assert not _alpha(_cut(_picture(alpha=freeze(before))))[:, :160].any()


def test_without_refinement_the_mask_is_the_alpha() -> None:
    """refine = "none" is a setting and never a fallback: the mask stays as it was painted, with its hard edges."""
    mask = np.round(SCENE.alpha)
    result = _cut(_picture(mask=mask), where="mask", edge=0, refine="none")
    assert np.array_equal(_alpha(result), mask)


def test_an_uncertain_matte_is_held_and_shown() -> None:
    """Above the limit the message has the share, and a picture shows the uncertain pixels in magenta."""
    context = _context()
    with pytest.raises(InputError, match=r"\d+% of the subject is uncertain \(max_unsure is 1%\)"):
        Cutout(max_unsure=0.01).apply(_picture(), context)
    [overlay] = context.results.problem_pictures
    magenta = (overlay.pixels[:, :, 0] > 0.6) & (overlay.pixels[:, :, 1] < 0.4) & (overlay.pixels[:, :, 2] > 0.5)
    assert 0 < magenta.mean() < 0.5
    assert context.results.findings["unsure"] > 0.01  # type: ignore[operator]


def test_grey_areas_of_the_model_are_uncertain_even_if_the_edge_becomes_sharp() -> None:
    """A broad grey area in the model's matte counts as uncertain; painted grey is a request to search and does not."""
    grey = np.round(SCENE.alpha)
    grey[100:150, 135:185] = 0.5
    unsure: list[object] = []
    for where in ("", "mask"):
        context = StepContextDouble(spots={"subject": freeze(grey)})
        alpha = _alpha(_cut(_picture(mask=grey), context, where=where, edge=4))
        assert alpha[105:145, 140:180].mean() > 0.9
        unsure.append(context.results.findings["unsure"])
    assert unsure[0] > unsure[1] + 0.08  # type: ignore[operator]


def test_a_subject_cut_by_the_frame_is_held_above_the_limit() -> None:
    """The cut share of the border is measured; the default allows a portrait that stands on the lower edge."""
    mask = np.zeros_like(SCENE.alpha)
    mask[100:, 60:260] = 1
    picture, context = _picture(mask=mask), _context()
    _cut(picture, context, where="mask", edge=0)
    assert context.results.findings["cut_at"] == ["bottom"]
    assert context.results.findings["cut"] == pytest.approx(200 / (2 * 240 + 2 * 320), abs=1e-4)
    with pytest.raises(InputError, match="18% of the picture's border cuts the subject"):
        _cut(picture, where="mask", edge=0, max_cut=0.1)


def test_holes_are_held_above_the_limit() -> None:
    """The area of a hole is measured against that of the subject."""
    mask = np.zeros_like(SCENE.alpha)
    mask[50:150, 50:150] = 1
    mask[80:120, 80:120] = 0
    with pytest.raises(InputError, match="holes are 19% of the subject"):
        _cut(_picture(mask=mask), where="mask", edge=0, max_holes=0.15)


def test_an_empty_cutout_is_held() -> None:
    """A cutout without a subject is no result, whatever the limits."""
    with pytest.raises(InputError, match="nothing of the picture remains"):
        _cut(_picture(mask=np.zeros_like(SCENE.alpha)), where="mask")


def _glass_picture(source: Pane) -> Picture:
    return Picture(freeze(source.pixels), masks=MappingProxyType({"mask": freeze(source.foot), "pane": freeze(source.brush_matte)}))


def test_painted_glass_is_transparent_and_neither_uncertain_nor_a_hole() -> None:
    """The glass is as opaque as painted, its reflection more so, and has its own colour; the solid foot beside it stays bit for bit."""
    source, context = pane(), StepContextDouble()
    result = Cutout(where="mask", glass="pane", edge=2).apply(_glass_picture(source), context)
    alpha = _alpha(result)
    assert alpha[120:150, 140:160] == pytest.approx(0.18, abs=0.03)
    assert alpha[60:110, 100].min() > 0.6
    assert np.abs(result.pixels - source.front)[120:150, 140:160].mean() < 0.1
    assert np.array_equal(result.pixels[180:184, 80:170], source.pixels[180:184, 80:170])
    assert context.results.findings["unsure"] == pytest.approx(0, abs=0.02)
    assert context.results.findings["glass"] == pytest.approx((source.brush_matte > 0.02).mean(), abs=1e-4)
    assert Cutout(where="mask", glass="pane").needs().masks == {"mask", "pane"}


def test_glass_before_an_uneven_background_is_held() -> None:
    """The background cannot be separated from the glass: the message says so, and the brief may allow it."""
    picture = _glass_picture(pane(busy=True))
    with pytest.raises(InputError, match=r"background of the glass is uneven by \d+% \(max_uneven is 5%\)"):
        Cutout(where="mask", glass="pane", edge=2).apply(picture, StepContextDouble())
    result = Cutout(where="mask", glass="pane", edge=2, max_uneven=1).apply(picture, StepContextDouble())
    assert _alpha(result)[120:150, 140:160].mean() < 0.6


def test_glass_without_a_visible_background_is_held() -> None:
    """The colour of a background that is nowhere visible cannot be removed."""
    source = pane()
    picture = Picture(
        freeze(source.pixels), masks=MappingProxyType({"mask": freeze(np.ones_like(source.foot)), "pane": freeze(source.brush_matte)})
    )
    with pytest.raises(InputError, match="no background is visible beside the glass"):
        Cutout(where="mask", glass="pane", max_cut=1).apply(picture, StepContextDouble())
    assert Cutout(where="mask", glass="pane", max_cut=1, max_uneven=1).apply(picture, StepContextDouble()).alpha is not None


def test_a_background_colour_is_converted_to_the_pictures_profile() -> None:
    """The colour looks as written in the brief, the result is opaque, and solid pixels stay bit for bit."""
    picture = _picture(icc=builtin_profile("adobe-rgb"))
    result = _cut(picture, onto="#ff8000")
    assert result.alpha is None
    assert result.pixels[0, 0] == pytest.approx([0.8653, 0.4961, 0.1216], abs=0.03)
    solid = _alpha(_cut(picture)) == 1
    assert np.array_equal(result.pixels[solid], picture.pixels[solid])


def test_a_picture_of_the_library_becomes_the_background() -> None:
    """The background is scaled to cover the frame, and its own transparency stays."""
    background = np.zeros((60, 80, 3), np.float32)
    background[:, 40:] = (0, 0, 1)
    context = StepContextDouble(spots={"subject": freeze(SCENE.coarse)}, layers={"studio": Picture(freeze(background))})
    result = _cut(_picture(), context, onto="studio")
    assert (result.width, result.height, result.alpha) == (320, 240, None)
    assert result.pixels[5, 5] == pytest.approx([0, 0, 0], abs=0.01)
    assert result.pixels[5, 315] == pytest.approx([0, 0, 1], abs=0.01)
    clear = replace(Picture(freeze(background)), alpha=freeze(np.zeros((60, 80), np.float32)))
    context = StepContextDouble(spots={"subject": freeze(SCENE.coarse)}, layers={"studio": clear})
    assert np.array_equal(_alpha(_cut(_picture(), context, onto="studio")), _alpha(_cut(_picture())))


def test_trim_crops_the_frame() -> None:
    """The frame becomes the visible subject plus the margin in px; masks are cropped with it."""
    mask = np.zeros_like(SCENE.alpha)
    mask[50:150, 60:150] = 1
    result = _cut(_picture(mask=mask), where="mask", edge=0, trim=10)
    assert (result.height, result.width) == (120, 110)
    assert result.masks["mask"].shape == (120, 110)
    assert _alpha(result)[10:-10, 10:-10].all()


def test_the_needs_depend_on_the_settings() -> None:
    """Without where, a matte engine is needed; with a mask, only the mask. A background is needed by its name, unless it is a colour."""
    assert Cutout().needs().engines == (EngineNeed(MATTE_ESTIMATOR),)
    assert Cutout(model="u2net").needs().engines == (EngineNeed(MATTE_ESTIMATOR, "u2net"),)
    needs = Cutout(where="mask", onto="studio").needs()
    assert (needs.masks, needs.engines, needs.layers) == (frozenset({"mask"}), (), frozenset({"studio"}))
    assert not Cutout(onto="#ffffff").needs().layers


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"onto": "#ff80"}, "not a colour"),
        ({"onto": "../etc/passwd"}, "a path"),
        ({"onto": "studio", "trim": 4}, "trim needs"),
        ({"where": "mask", "model": "u2net"}, "keep one of them"),
        ({"refine": "quick"}, "closed-form"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object], message: str) -> None:
    """Validation refuses them when the brief is read, with a message."""
    with pytest.raises(ValidationError, match=message):
        Cutout.model_validate(settings)


def test_the_named_model_is_used() -> None:
    """The context gets the name in model as written."""
    context = _context()
    _cut(_picture(), context, model="u2net")
    assert context.detect.models == ["u2net"]


def _findings_with(agreement: float | None, **settings: object) -> dict[str, object]:
    """Return the record of a cut-out where a second model agrees that far."""
    spots = {"subject": freeze(SCENE.coarse)}
    context = StepContextDouble(detect=DetectDouble(spots, agreement=agreement))
    _cut(_picture(mask=np.zeros_like(SCENE.coarse)), context, max_left_out=1, **settings)
    return dict(context.results.findings)


@pytest.mark.parametrize(("agreement", "is_remarked"), [(0.79, True), (0.81, False), (None, False)])
def test_people_that_a_second_model_sees_otherwise_are_remarked(agreement: float | None, is_remarked: bool) -> None:
    """One model alone does not know what it has left out. With one model on the machine, or with a thing, there is no such remark."""
    findings = _findings_with(agreement)
    assert ("remark" in findings) == is_remarked
    assert findings.get("agreement") == agreement


@pytest.mark.parametrize("settings", [{"where": "subject & !mask"}, {"model": "modnet"}])
def test_no_second_model_is_asked_where_the_step_says_what_the_subject_is(settings: dict[str, object]) -> None:
    """A person has chosen the region or the model."""
    assert "agreement" not in _findings_with(0.1, **settings)
