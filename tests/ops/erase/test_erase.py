"""erase: the masked object disappears with its rim and shadow, and no other pixel changes."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest
from pydantic import ValidationError

from doubles.step_context import DetectDouble, NullInpainter, NullPainter, StepContextDouble
from goldsmith.engines.kinds import INPAINTER
from goldsmith.engines.protocols import EngineNeed, OnProgress, ignore_progress
from goldsmith.errors import InputError
from goldsmith.ops.erase.operation import Erase
from goldsmith.picture.crop_planning import CropBox
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze
from goldsmith.picture.smoothing import gaussian_blur


def _wall_with_square(rim: int = 3) -> Picture:
    """Return a bright wall with a dark square on it, whose soft rim extends ``rim`` px beyond the painted mask."""
    pixels = np.full((120, 160, 3), 0.8, dtype=np.float32)
    pixels[CropBox(40 - rim, 60 - rim, 70 + rim, 90 + rim).window] = 0.5
    pixels[CropBox(40, 60, 70, 90).window] = 0.1
    mask = np.zeros((120, 160), dtype=np.float32)
    mask[CropBox(40, 60, 70, 90).window] = 1
    return Picture(freeze(np.round(pixels * 255) / np.float32(255)), masks=MappingProxyType({"mask": freeze(mask)}))


def test_the_masked_object_is_replaced_by_the_background() -> None:
    """The object's rim lies outside the mask, and none of its tone bleeds into the hole."""
    picture = _wall_with_square()
    result = Erase().apply(picture, StepContextDouble(inpainter=NullInpainter(side=160)))
    inside = picture.masks["mask"] > 0
    assert result.pixels[inside].min() > 0.74
    assert np.array_equal(result.pixels[~inside], picture.pixels[~inside])


def test_the_engine_does_not_see_the_rim() -> None:
    """By default, the hole that the engine gets is ten px wider than the mask."""
    engine = NullInpainter(side=160)
    Erase(model="null-inpaint").apply(_wall_with_square(), StepContextDouble(inpainter=engine))
    rows, columns = np.nonzero(engine.calls[0][1][:120])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (30, 79, 50, 99)


def test_the_number_of_changed_pixels_outside_the_mask_is_recorded() -> None:
    """The record also has the number of pixels outside the mask (law 4)."""
    context = StepContextDouble(inpainter=NullInpainter(side=160))
    Erase().apply(_wall_with_square(), context)
    assert (context.results.findings["outside_pixels"], context.results.findings["outside_changed"]) == (120 * 160 - 900, 0)


def test_a_prompt_is_refused() -> None:
    """Erasing continues the background; inpaint adds an object."""
    with pytest.raises(ValidationError, match="prompt"):
        Erase.model_validate({"prompt": "a vase"})


def test_the_prompt_of_the_brief_is_ignored() -> None:
    """The brief's prompt describes the picture. The engine does not get it, although it takes prompts."""
    engine = NullPainter(side=160, colour=0.8)
    context = StepContextDouble(prompt="a vase", inpainter=engine)
    Erase().apply(_wall_with_square(), context)
    assert context.engines.options == [None]
    assert len(engine.calls) == 1
    assert "prompt" not in context.results.findings


def test_needs_name_the_mask_and_the_engine() -> None:
    """The engine is the named model or, without a name, the default."""
    assert Erase(where="bin", model="migan").needs().masks == {"bin"}
    assert Erase(where="bin", model="migan").needs().engines == (EngineNeed(INPAINTER, "migan"),)
    assert Erase().needs().engines == (EngineNeed(INPAINTER),)


def test_an_empty_region_returns_the_same_picture() -> None:
    """The record has no region."""
    picture = _wall_with_square()
    empty = Picture(picture.pixels, masks=MappingProxyType({"mask": freeze(np.zeros((120, 160), dtype=np.float32))}))
    context = StepContextDouble()
    assert Erase().apply(empty, context) is empty
    assert context.results.findings == {"regions": 0}


@pytest.mark.parametrize("where", ["", "mask |", "box(a)"])
def test_an_invalid_region_is_refused_with_the_brief(where: str) -> None:
    """Validation fails before any picture is opened."""
    with pytest.raises(ValidationError):
        Erase(where=where)


def test_only_a_detected_object_is_replaced_to_the_end_of_its_soft_rim() -> None:
    """A half-replaced hair would stay as a ghost, so a detected object is replaced as a whole. A mask is used as it was painted."""
    rim = np.zeros((120, 160), np.float32)
    rim[40:70, 50:100] = 0.4
    rim[40:70, 60:90] = 1
    picture = _wall_with_square(rim=0)
    pixels = picture.pixels.copy()
    pixels[40:70, 50:60] = pixels[40:70, 90:100] = 0.5
    picture_with_mask = Picture(freeze(pixels), masks=MappingProxyType({"mask": freeze(rim)}))
    context = StepContextDouble(spots={"subject": freeze(rim)}, inpainter=NullInpainter(side=160))
    assert Erase(where="subject").apply(picture_with_mask, context).pixels[40:70, 50:100].min() > 0.74
    assert Erase(where="mask").apply(picture_with_mask, context).pixels[40:70, 51:59].max() < 0.7


def test_an_erased_background_is_not_filled_with_the_subject() -> None:
    """The engine sees neither the region nor the subject beside it. The subject is bit-identical."""
    pixels = np.full((120, 160, 3), 0.8, dtype=np.float32)
    pixels[30:120, 60:100] = (1, 0.3, 0)
    pixels[20:60, 10:30] = 0.1
    subject = np.zeros((120, 160), np.float32)
    subject[30:120, 60:100] = 1
    picture = Picture(freeze(np.round(pixels * 255) / np.float32(255)))
    engine = NullInpainter(side=160)
    context = StepContextDouble(spots={"subject": freeze(subject)}, inpainter=engine)
    result = Erase(where="background & left", model="null-inpaint").apply(picture, context)
    [(crop, hole, _)] = engine.calls
    assert not ((crop[:, :, 0] - crop[:, :, 2] > 0.5) & (hole < 0.5)).any()
    assert result.pixels[20:60, 10:30] == pytest.approx(0.8, abs=0.02)
    assert np.array_equal(result.pixels[subject > 0], picture.pixels[subject > 0])
    assert np.array_equal(result.pixels[:, 80:], picture.pixels[:, 80:])


def test_an_erased_subject_hides_only_its_own_area() -> None:
    """No other part needs protection, so the engine sees everything around the subject."""
    subject = np.zeros((120, 160), np.float32)
    subject[40:70, 60:90] = 1
    engine = NullInpainter(side=160)
    Erase(where="subject", grow=0).apply(_wall_with_square(), StepContextDouble(spots={"subject": freeze(subject)}, inpainter=engine))
    assert engine.calls[0][1][:120].sum() < 40 * 40


def _grainy_wall(object_colour: tuple[float, float, float] = (0.1, 0.1, 0.1)) -> Picture:
    """Return a wall with grain, and an object on it under the mask."""
    pixels = np.random.default_rng(6).normal(0.6, 2 / 255, (120, 160, 3)).astype(np.float32)
    pixels[40:80, 60:110] = object_colour
    mask = np.zeros((120, 160), dtype=np.float32)
    mask[40:80, 60:110] = 1
    return Picture(freeze(np.round(pixels * 255) / np.float32(255)), masks=MappingProxyType({"mask": freeze(mask)}))


def test_auto_needs_no_engine_on_a_plain_wall() -> None:
    """The record names the fill and the smoothness of the ground, and nothing is kept aside."""
    engine, picture = NullInpainter(), _grainy_wall()
    context = StepContextDouble(inpainter=engine)
    result = Erase(model="auto").apply(picture, context)
    inside = picture.masks["mask"] > 0
    assert engine.calls == []
    assert abs(float(result.pixels[inside].mean()) - 0.6) < 0.5 / 255
    assert np.array_equal(result.pixels[~inside], picture.pixels[~inside])
    [fill] = context.results.findings["fills"]  # type: ignore[misc,union-attr]
    assert fill["chosen"] == "smooth"  # type: ignore[index,call-overload]
    assert context.results.findings["outside_changed"] == 0
    assert context.results.archived == []
    assert context.engines.models == [None]


def test_auto_keeps_the_compared_fills_aside() -> None:
    """On cloth, several fills are compared. Their scores go on record, and a sheet shows them."""
    pixels = np.random.default_rng(7).uniform(0.2, 0.8, (120, 160, 3)).astype(np.float32)
    picture = Picture(freeze(np.round(pixels * 255) / np.float32(255)), masks=_grainy_wall().masks)
    context = StepContextDouble(inpainter=NullInpainter())
    Erase(model="auto").apply(picture, context)
    [fill] = context.results.findings["fills"]  # type: ignore[misc,union-attr]
    assert fill["chosen"] == "patches"  # type: ignore[index,call-overload]
    assert set(fill["scores"]) >= {"engine", "patches"}  # type: ignore[index,call-overload,arg-type]
    assert [each.tail for each in context.results.archived] == ["_fills01"]
    assert "remark" not in context.results.findings


def test_a_doubtful_fill_is_remarked() -> None:
    """If nothing can be copied and the engine fills cloth with one colour, the remark says where and what is wrong."""
    pixels = np.random.default_rng(7).uniform(0.2, 0.8, (50, 50, 3)).astype(np.float32)
    mask = np.zeros((50, 50), dtype=np.float32)
    mask[5:45, 5:45] = 1
    context = StepContextDouble(inpainter=NullInpainter())
    Erase(model="auto", grow=2).apply(Picture(freeze(pixels), masks=MappingProxyType({"mask": freeze(mask)})), context)
    assert context.results.findings["remark"] == (
        "The fill of 40 x 40 px at (5, 5) is doubtful: it has 0.33 times the fine detail of its surroundings."
    )


def test_an_engine_that_takes_a_prompt_is_not_compared() -> None:
    """What it paints is what the brief asks for."""
    context = StepContextDouble(inpainter=NullPainter(side=160))
    Erase(model="auto").apply(_grainy_wall(), context)
    assert "fills" not in context.results.findings


class _CrownInpainter(NullInpainter):
    """Invents a golden object in every hole."""

    def fill(self, pixels: Pixels, hole: Mask, seed: int, on_progress: OnProgress = ignore_progress) -> Pixels:
        filled = super().fill(pixels, hole, seed)
        filled[hole > 0.5] = (0.9, 0.7, 0.1)
        return filled


def _cloth_with_large_hole() -> Picture:
    """Return cloth with a hole that leaves too little round it to copy from."""
    noise = gaussian_blur(np.random.default_rng(3).normal(0, 0.15, (70, 70, 1)).astype(np.float32), 0.8)
    pixels = np.clip(np.float32([0.3, 0.4, 0.5]) + noise, 0, 1).astype(np.float32)
    mask = np.zeros((70, 70), dtype=np.float32)
    mask[8:62, 8:62] = 1
    return Picture(freeze(np.round(pixels * 255) / np.float32(255)), masks=MappingProxyType({"mask": freeze(mask)}))


def test_an_invented_object_holds_the_picture() -> None:
    """The note says what was measured and how to take the fill all the same; naming the engine does so."""
    with pytest.raises(InputError, match="colours or edges") as caught:
        Erase().apply(_cloth_with_large_hole(), StepContextDouble(inpainter=_CrownInpainter(side=70)))
    assert 'model = "null-inpaint"' in caught.value.remedy
    picture = _cloth_with_large_hole()
    result = Erase(model="null-inpaint").apply(picture, StepContextDouble(inpainter=_CrownInpainter(side=70)))
    assert not np.array_equal(result.pixels, picture.pixels)


def test_a_person_beside_the_hole_lends_nothing_to_the_fill() -> None:
    """The subject is looked for round the hole; in the fill there is none of its red."""
    noise = gaussian_blur(np.random.default_rng(4).normal(0, 0.2, (160, 200, 1)).astype(np.float32), 1.0)
    pixels = np.clip(np.float32([0.4, 0.45, 0.5]) + noise, 0, 1).astype(np.float32)
    pixels[:, 120:170] = np.clip(np.float32([0.8, 0.1, 0.1]) + noise[:, 120:170], 0, 1)
    mask = np.zeros((160, 200), dtype=np.float32)
    mask[60:100, 60:110] = 1
    picture = Picture(freeze(np.round(pixels * 255) / np.float32(255)), masks=MappingProxyType({"mask": freeze(mask)}))

    class FindsPerson(DetectDouble):
        def find(self, word: str, picture: Picture) -> Mask | None:
            matte = np.zeros((picture.height, picture.width), dtype=np.float32)
            matte[(picture.pixels[..., 0] - picture.pixels[..., 1]) > 0.3] = 1
            return matte if word == "subject" else None

    context = StepContextDouble(inpainter=NullInpainter(side=200), detect=FindsPerson())
    result = Erase().apply(picture, context)
    inside = mask > 0
    assert context.results.findings["fills"][0]["chosen"] == "patches"  # type: ignore[index, call-overload]
    assert not (result.pixels[inside][:, 0] - result.pixels[inside][:, 1] > 0.3).any()
