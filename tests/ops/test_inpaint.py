"""inpaint: makes new what lies under the mask, says what it did, and touches nothing else."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from pydantic import ValidationError

from doubles.step_context import NullInpainter, NullPainter, StepContextDouble
from goldsmith.engines.kinds import INPAINTER
from goldsmith.engines.protocols import EngineNeed, GenerationOptions, OnProgress, ignore_progress
from goldsmith.errors import InputError, JobCancelled
from goldsmith.ops.inpaint import Inpaint
from goldsmith.picture.crop_planning import CropBox
from goldsmith.picture.picture import BitDepth, Mask, Picture, Pixels, freeze


def _plate(height: int = 90, width: int = 120, channels: int = 3, depth: BitDepth = 8, *boxes: tuple[int, int, int, int]) -> Picture:
    levels = 2**depth - 1
    codes = np.random.default_rng(1).integers(0, levels + 1, (height, width, channels))
    mask = np.zeros((height, width), dtype=np.float32)
    for box in boxes or ((20, 30, 50, 60),):
        mask[CropBox(*box).window] = 1
    return Picture(freeze((codes / levels).astype(np.float32)), depth=depth, masks=MappingProxyType({"mask": freeze(mask)}))


class _Painter(NullInpainter):
    """Fills with one colour and needs neither weights nor time."""

    def __init__(self, colour: tuple[float, float, float], side: int = 0) -> None:
        super().__init__(side=side)
        self._colour = np.array(colour, dtype=np.float32)

    def fill(self, pixels: Pixels, hole: Mask, seed: int, on_progress: OnProgress = ignore_progress) -> Pixels:
        super().fill(pixels, hole, seed)
        return np.where(hole[..., None] > 0.5, self._colour, pixels).astype(np.float32)


def test_the_hole_gets_what_the_engine_paints() -> None:
    """A picture of noise with a green hole in it: the middle of the hole is what the engine made, the rest is what it was."""
    picture = _plate()
    done = Inpaint(grow=0, feather=0).apply(picture, StepContextDouble(inpainter=_Painter((0.1, 0.8, 0.2))))
    inside = picture.masks["mask"] > 0
    assert np.abs(done.pixels[inside].mean(axis=0) - (0.1, 0.8, 0.2)).max() < 0.02
    assert np.array_equal(done.pixels[~inside], picture.pixels[~inside])


def test_what_was_done_is_on_record() -> None:
    """Regions, crops, the engine's scale, the seam, and the proof that nothing changed outside."""
    context = StepContextDouble(inpainter=NullInpainter(side=64))
    Inpaint().apply(_plate(), context)
    assert context.results.findings["regions"] == 1
    assert context.results.findings["crops"] == [[0, 0, 112, 90]]
    assert context.results.findings["outside_pixels"] == 90 * 120 - 30 * 30
    assert context.results.findings["outside_changed"] == 0
    assert set(context.results.findings) >= {"scales", "seam_offset"}


def test_the_briefs_prompt_is_on_record_as_unused_where_the_engine_takes_no_words() -> None:
    """Weight-light engines fill from the surroundings: nobody should believe that the words did it."""
    plain = StepContextDouble(prompt="the brief's")
    Inpaint().apply(_plate(), plain)
    assert (plain.results.findings["prompt"], plain.results.findings["prompt_used"]) == ("the brief's", False)
    silent = StepContextDouble()
    Inpaint().apply(_plate(), silent)
    assert "prompt" not in silent.results.findings
    assert silent.engines.options == [None]


def test_words_go_to_an_engine_that_takes_them() -> None:
    """The step's own before the brief's, with everything else that was asked for; both cases are on record as used."""
    context = StepContextDouble(
        prompt="the brief's", inpainter=NullPainter(), references={("loras", "linen"): Path("/l/linen.safetensors")}
    )
    step = Inpaint.model_validate(
        {"prompt": "a hand", "negative": "rings", "strength": 0.7, "steps": 9, "guidance": 3.5, "loras": [{"name": "linen", "weight": 0.5}]}
    )
    step.apply(_plate(), context)
    Inpaint().apply(_plate(), context)
    asked = GenerationOptions("a hand", "rings", 0.7, 9, 3.5, ((Path("/l/linen.safetensors"), 0.5),))
    assert context.engines.options == [asked, GenerationOptions("the brief's")]
    assert (context.results.findings["prompt"], context.results.findings["prompt_used"]) == ("the brief's", True)


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"prompt": "a hand"}, "prompt"),
        ({"negative": "rings"}, "negative"),
        ({"strength": 0.5}, "strength"),
        ({"steps": 20, "guidance": 2}, "steps, guidance"),
        ({"loras": [{"name": "linen"}]}, "loras"),
    ],
)
def test_what_only_words_can_do_is_never_left_aside_in_silence(setting: dict[str, object], named: str) -> None:
    """An engine that takes no prompt is refused with a sentence that names the settings; and the step says early what it needs."""
    engine = NullInpainter()
    context = StepContextDouble(inpainter=engine, references={("loras", "linen"): Path("/l/linen.safetensors")})
    step = Inpaint.model_validate(setting)
    with pytest.raises(InputError, match=f"null-inpaint uses the surroundings alone and cannot use {named}"):
        step.apply(_plate(), context)
    assert engine.asked == []
    assert step.needs().engines == (EngineNeed(INPAINTER, needs_prompt=True),)


def test_its_loras_are_looked_for_before_it_starts() -> None:
    """In library/loras, as safetensors and nothing else."""
    step = Inpaint.model_validate({"loras": [{"name": "linen"}, {"name": "oak", "weight": -0.5}]})
    assert step.needs().library_files == (("loras", "linen", (".safetensors",)), ("loras", "oak", (".safetensors",)))
    with pytest.raises(InputError, match=r"There is no 'linen' in library/loras"):
        step.apply(_plate(), StepContextDouble(inpainter=NullPainter()))


def test_small_holes_are_shown_enlarged_to_an_engine_that_works_at_one_size() -> None:
    """A 16 px hole fills a good part of the engine's square, and the result is brought back to the picture's scale."""
    picture = _plate(300, 400, 3, 8, (96, 96, 112, 112))
    engine = NullPainter(side=512)
    context = StepContextDouble(inpainter=engine)
    done = Inpaint(prompt="moss").apply(picture, context)
    pixels, hole, _ = engine.asked[0]
    assert pixels.shape == (512, 512, 3)
    assert hole.mean() > 0.02
    assert 0 <= pixels.min() < pixels.max() <= 1
    assert context.results.findings["scales"] == [4.0]
    assert np.array_equal(done.pixels[picture.masks["mask"] == 0], picture.pixels[picture.masks["mask"] == 0])
    assert (done.pixels != picture.pixels).any(axis=2).sum() > 200


def test_separate_regions_are_separate_crops_with_seeds_of_their_own() -> None:
    """Two holes far apart are two calls, each at the engine's native size."""
    engine = NullPainter(side=64)
    Inpaint(prompt="moss").apply(_plate(90, 600, 3, 8, (10, 10, 20, 20), (10, 560, 20, 570)), StepContextDouble(inpainter=engine, seed=7))
    assert [(pixels.shape, seed) for pixels, _, seed in engine.asked] == [((64, 64, 3), 7), ((64, 64, 3), 8)]


def test_every_step_inside_a_region_is_told() -> None:
    """Two regions of four steps each: the progress of the whole goes up in eighths."""
    context = StepContextDouble(inpainter=NullPainter(side=64, steps=4))
    Inpaint(prompt="moss").apply(_plate(90, 600, 3, 8, (10, 10, 20, 20), (10, 560, 20, 570)), context)
    told = [fraction for fraction, _ in context.progress.reports]
    assert sorted(told) == told
    assert set(told) == {number / 8 for number in range(8)}


def test_a_withdrawn_job_stops_at_the_next_step_of_the_engine() -> None:
    """In the middle of a region."""
    engine = NullPainter(side=64, steps=8)
    with pytest.raises(JobCancelled):
        Inpaint(prompt="moss").apply(_plate(), StepContextDouble(inpainter=engine, cancel_at=0.5))
    assert engine.steps_done == 4


class _Black(NullPainter):
    """What a generating model gives when it has failed."""

    def fill(self, pixels: Pixels, hole: Mask, seed: int, on_progress: OnProgress = ignore_progress) -> Pixels:
        return np.zeros_like(pixels)


def test_a_black_fill_of_a_generating_engine_is_a_failure_and_no_fill() -> None:
    """In the midst of texture one even colour was never meant; on an even wall it may be just right."""
    with pytest.raises(InputError, match="one even colour"):
        Inpaint(prompt="moss").apply(_plate(), StepContextDouble(inpainter=_Black()))
    wall = _plate().with_pixels(np.full((90, 120, 3), 0.25, np.float32))
    Inpaint(prompt="moss").apply(wall, StepContextDouble(inpainter=_Black()))


def test_the_named_engine_is_asked_for() -> None:
    """``model`` is the name in config/models.toml; without one the house decides."""
    context = StepContextDouble()
    Inpaint(model="patchmatch").apply(_plate(), context)
    Inpaint().apply(_plate(), context)
    assert context.engines.models == ["patchmatch", None]
    assert Inpaint(model="patchmatch").needs().engines == (EngineNeed(INPAINTER, "patchmatch"),)


def test_it_says_which_masks_it_needs() -> None:
    """So that a picture waits for exactly those; a region without masks needs none."""
    assert Inpaint().needs().masks == {"mask"}
    assert Inpaint(where="hand & left").needs().masks == {"hand"}
    assert Inpaint(where="box(0.1, 0.2, 0.3, 0.4)").needs().masks == frozenset()


def test_a_region_works_without_any_mask() -> None:
    """where = "left" fills the left half, and the right half stays."""
    picture = _plate()
    done = Inpaint(where="left", grow=0).apply(picture, StepContextDouble(inpainter=_Painter((0, 0, 0))))
    assert np.array_equal(done.pixels[:, 60:], picture.pixels[:, 60:])
    assert done.pixels[40:50, 10:20].mean() < 0.2


@pytest.mark.parametrize("where", ["", "mask &", "box(1, 2)", "mask; rm", "x" * 600])
def test_a_region_that_cannot_be_read_is_refused_when_the_brief_is_read(where: str) -> None:
    """Before anything is opened."""
    with pytest.raises(ValidationError):
        Inpaint(where=where)


@pytest.mark.parametrize(
    "setting",
    [
        {"grow": -1},
        {"feather": 999},
        {"context": 0},
        {"model": ""},
        {"grow": 1.5},
        {"steps": 0},
        {"strength": 0},
        {"guidance": 31},
        {"loras": [{"name": ""}]},
        {"seed": 3},
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, object]) -> None:
    """Each has its limits."""
    with pytest.raises(ValidationError):
        Inpaint.model_validate(setting)


def test_an_empty_region_is_no_work() -> None:
    """The very picture comes back and no engine is loaded."""
    picture = _plate()
    empty = Picture(picture.pixels, masks=MappingProxyType({"mask": freeze(np.zeros((90, 120), dtype=np.float32))}))
    context = StepContextDouble()
    assert Inpaint().apply(empty, context) is empty
    assert context.engines.models == []
    assert context.results.findings["regions"] == 0


@pytest.mark.parametrize("depth", [8, 16])
def test_grey_stays_grey(depth: BitDepth) -> None:
    """The engine is shown three channels; the picture keeps its one."""
    engine = NullInpainter(side=64)
    done = Inpaint().apply(_plate(90, 120, 1, depth), StepContextDouble(inpainter=engine))
    assert engine.asked[0][0].shape == (64, 64, 3)
    assert done.channels == 1


def test_a_withdrawn_job_stops_between_two_crops() -> None:
    """Two holes far apart; the second is never painted."""
    engine = NullInpainter(side=64)
    picture = _plate(90, 600, 3, 8, (10, 10, 20, 20), (10, 560, 20, 570))
    with pytest.raises(JobCancelled):
        Inpaint().apply(picture, StepContextDouble(inpainter=engine, cancel_at=0.5))
    assert len(engine.asked) == 1


def test_the_work_follows_the_mask_and_not_the_picture() -> None:
    """The engine is shown as much of a large picture as of a small one."""
    shown = []
    for side in (200, 1500):
        engine = NullInpainter(side=128)
        Inpaint().apply(_plate(side, side), StepContextDouble(inpainter=engine))
        shown.append(sum(pixels.size for pixels, _, _ in engine.asked))
    assert shown[0] == shown[1]


def test_other_seeds_ask_the_engine_with_other_seeds() -> None:
    """The step's seed reaches the engine."""
    engine = NullInpainter()
    for seed in (3, 4):
        Inpaint().apply(_plate(), StepContextDouble(inpainter=engine, seed=seed))
    assert [seed for _, _, seed in engine.asked] == [3, 4]
