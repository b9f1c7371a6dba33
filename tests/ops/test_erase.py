"""erase: what lies under the mask goes, rim and shadow too, and nothing else does."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest
from pydantic import ValidationError

from doubles.step_context import NullInpainter, NullPainter, StepContextDouble
from goldsmith.engines.kinds import INPAINTER
from goldsmith.engines.protocols import EngineNeed
from goldsmith.ops.erase import Erase
from goldsmith.picture.crop_planning import CropBox
from goldsmith.picture.picture import Picture, freeze


def _spotted(rim: int = 3) -> Picture:
    """A bright wall with a dark square on it whose soft rim reaches ``rim`` px beyond the painted mask."""
    pixels = np.full((120, 160, 3), 0.8, dtype=np.float32)
    pixels[CropBox(40 - rim, 60 - rim, 70 + rim, 90 + rim).window] = 0.5
    pixels[CropBox(40, 60, 70, 90).window] = 0.1
    mask = np.zeros((120, 160), dtype=np.float32)
    mask[CropBox(40, 60, 70, 90).window] = 1
    return Picture(freeze(np.round(pixels * 255) / np.float32(255)), masks=MappingProxyType({"mask": freeze(mask)}))


def test_the_object_is_gone_and_the_wall_goes_on() -> None:
    """Although its rim was not painted over, no trace of it bleeds into the hole."""
    picture = _spotted()
    done = Erase().apply(picture, StepContextDouble(inpainter=NullInpainter(side=160)))
    inside = picture.masks["mask"] > 0
    assert done.pixels[inside].min() > 0.74
    assert np.array_equal(done.pixels[~inside], picture.pixels[~inside])


def test_the_engine_does_not_see_the_rim() -> None:
    """The hole it is shown is ten px wider than the mask by default."""
    engine = NullInpainter(side=160)
    Erase().apply(_spotted(), StepContextDouble(inpainter=engine))
    rows, columns = np.nonzero(engine.asked[0][1][:120])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (30, 79, 50, 99)


def test_the_proof_is_on_record() -> None:
    """Law 4 as two numbers."""
    context = StepContextDouble(inpainter=NullInpainter(side=160))
    Erase().apply(_spotted(), context)
    assert (context.results.findings["outside_pixels"], context.results.findings["outside_changed"]) == (120 * 160 - 900, 0)


def test_it_takes_no_prompt() -> None:
    """Erasing carries the background on; to put something there is what inpaint is for."""
    with pytest.raises(ValidationError, match="prompt"):
        Erase.model_validate({"prompt": "a vase"})


def test_the_briefs_prompt_is_not_for_erasing() -> None:
    """It tells what is to be seen; the engine hears nothing of it, though it would take words."""
    engine = NullPainter(side=160, colour=0.8)
    context = StepContextDouble(prompt="a vase", inpainter=engine)
    Erase().apply(_spotted(), context)
    assert context.engines.options == [None]
    assert len(engine.asked) == 1
    assert "prompt" not in context.results.findings


def test_it_says_what_it_needs() -> None:
    """The mask of its region, and an inpainting engine, by name or the house's own."""
    assert Erase(where="bin", model="migan").needs().masks == {"bin"}
    assert Erase(where="bin", model="migan").needs().engines == (EngineNeed(INPAINTER, "migan"),)
    assert Erase().needs().engines == (EngineNeed(INPAINTER),)


def test_an_empty_region_is_no_work() -> None:
    """The very picture comes back."""
    picture = _spotted()
    empty = Picture(picture.pixels, masks=MappingProxyType({"mask": freeze(np.zeros((120, 160), dtype=np.float32))}))
    context = StepContextDouble()
    assert Erase().apply(empty, context) is empty
    assert context.results.findings == {"regions": 0}


@pytest.mark.parametrize("where", ["", "mask |", "box(a)"])
def test_a_region_that_cannot_be_read_is_refused_when_the_brief_is_read(where: str) -> None:
    """Before anything is opened."""
    with pytest.raises(ValidationError):
        Erase(where=where)


def test_a_found_thing_goes_with_its_soft_rim_and_a_painted_one_as_it_was_painted() -> None:
    """Half of a hair that is half replaced stays as a ghost: what was found is replaced to the end of its rim; a mask is the painter's."""
    rim = np.zeros((120, 160), np.float32)
    rim[40:70, 50:100] = 0.4
    rim[40:70, 60:90] = 1
    picture = _spotted(rim=0)
    pixels = picture.pixels.copy()
    pixels[40:70, 50:60] = pixels[40:70, 90:100] = 0.5
    given = Picture(freeze(pixels), masks=MappingProxyType({"mask": freeze(rim)}))
    context = StepContextDouble(spots={"subject": freeze(rim)}, inpainter=NullInpainter(side=160))
    assert Erase(where="subject").apply(given, context).pixels[40:70, 50:100].min() > 0.74
    assert Erase(where="mask").apply(given, context).pixels[40:70, 51:59].max() < 0.7


def test_a_background_goes_without_carrying_the_subject_on() -> None:
    """The engine sees neither the region nor the subject beside it; the subject stays bit for bit what it was."""
    pixels = np.full((120, 160, 3), 0.8, dtype=np.float32)
    pixels[30:120, 60:100] = (1, 0.3, 0)
    pixels[20:60, 10:30] = 0.1
    subject = np.zeros((120, 160), np.float32)
    subject[30:120, 60:100] = 1
    picture = Picture(freeze(np.round(pixels * 255) / np.float32(255)))
    engine = NullInpainter(side=160)
    context = StepContextDouble(spots={"subject": freeze(subject)}, inpainter=engine)
    done = Erase(where="background & left").apply(picture, context)
    [(seen, hole, _)] = engine.asked
    assert not ((seen[:, :, 0] - seen[:, :, 2] > 0.5) & (hole < 0.5)).any()
    assert done.pixels[20:60, 10:30] == pytest.approx(0.8, abs=0.02)
    assert np.array_equal(done.pixels[subject > 0], picture.pixels[subject > 0])
    assert np.array_equal(done.pixels[:, 80:], picture.pixels[:, 80:])


def test_a_subject_that_goes_is_hidden_once() -> None:
    """Nothing else is kept from the engine where nothing is spared: what lies round the subject is all it has."""
    subject = np.zeros((120, 160), np.float32)
    subject[40:70, 60:90] = 1
    engine = NullInpainter(side=160)
    Erase(where="subject", grow=0).apply(_spotted(), StepContextDouble(spots={"subject": freeze(subject)}, inpainter=engine))
    assert engine.asked[0][1][:120].sum() < 40 * 40
