"""inpaint: fills the masked part anew, records how, and changes no other pixel."""

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


def _noise_picture(
    height: int = 90, width: int = 120, channels: int = 3, depth: BitDepth = 8, *boxes: tuple[int, int, int, int]
) -> Picture:
    levels = 2**depth - 1
    codes = np.random.default_rng(1).integers(0, levels + 1, (height, width, channels))
    mask = np.zeros((height, width), dtype=np.float32)
    for box in boxes or ((20, 30, 50, 60),):
        mask[CropBox(*box).window] = 1
    return Picture(freeze((codes / levels).astype(np.float32)), depth=depth, masks=MappingProxyType({"mask": freeze(mask)}))


class _FlatInpainter(NullInpainter):
    """Fills with one colour and needs neither weights nor time."""

    def __init__(self, colour: tuple[float, float, float], side: int = 0) -> None:
        super().__init__(side=side)
        self._colour = np.array(colour, dtype=np.float32)

    def fill(self, pixels: Pixels, hole: Mask, seed: int, on_progress: OnProgress = ignore_progress) -> Pixels:
        super().fill(pixels, hole, seed)
        return np.where(hole[..., None] > 0.5, self._colour, pixels).astype(np.float32)


def test_the_engine_fills_the_hole_and_nothing_else() -> None:
    """In a picture of noise, the hole becomes green and every other pixel is unchanged."""
    picture = _noise_picture()
    step = Inpaint(grow=0, feather=0, model="null-inpaint")
    result = step.apply(picture, StepContextDouble(inpainter=_FlatInpainter((0.1, 0.8, 0.2))))
    inside = picture.masks["mask"] > 0
    assert np.abs(result.pixels[inside].mean(axis=0) - (0.1, 0.8, 0.2)).max() < 0.02
    assert np.array_equal(result.pixels[~inside], picture.pixels[~inside])


def test_regions_crops_and_scales_are_recorded() -> None:
    """The record also has the step in tone at the seam and the number of changed pixels outside the mask."""
    context = StepContextDouble(inpainter=NullInpainter(side=64))
    Inpaint().apply(_noise_picture(), context)
    assert context.results.findings["regions"] == 1
    assert context.results.findings["crops"] == [[0, 0, 112, 90]]
    assert context.results.findings["outside_pixels"] == 90 * 120 - 30 * 30
    assert context.results.findings["outside_changed"] == 0
    assert set(context.results.findings) >= {"scales", "seam_offset"}


def test_a_prompt_of_the_brief_is_recorded_as_unused_if_the_engine_takes_none() -> None:
    """Small engines fill from the surroundings, and the record must not suggest that the prompt had an effect."""
    with_prompt = StepContextDouble(prompt="the brief's")
    Inpaint().apply(_noise_picture(), with_prompt)
    assert (with_prompt.results.findings["prompt"], with_prompt.results.findings["prompt_used"]) == ("the brief's", False)
    without_prompt = StepContextDouble()
    Inpaint().apply(_noise_picture(), without_prompt)
    assert "prompt" not in without_prompt.results.findings
    assert without_prompt.engines.options == [None]


def test_an_engine_that_takes_a_prompt_gets_the_prompt_and_its_settings() -> None:
    """The step's own prompt has priority over the brief's, and the record marks the prompt as used."""
    context = StepContextDouble(
        prompt="the brief's", inpainter=NullPainter(), references={("loras", "linen"): Path("/l/linen.safetensors")}
    )
    step = Inpaint.model_validate(
        {"prompt": "a hand", "negative": "rings", "strength": 0.7, "steps": 9, "guidance": 3.5, "loras": [{"name": "linen", "weight": 0.5}]}
    )
    step.apply(_noise_picture(), context)
    Inpaint().apply(_noise_picture(), context)
    expected = GenerationOptions("a hand", "rings", 0.7, 9, 3.5, ((Path("/l/linen.safetensors"), 0.5),))
    assert context.engines.options == [expected, GenerationOptions("the brief's")]
    assert (context.results.findings["prompt"], context.results.findings["prompt_used"]) == ("the brief's", True)


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        ({"prompt": "a hand"}, "prompt"),
        ({"negative": "rings"}, "negative"),
        ({"strength": 0.5}, "strength"),
        ({"steps": 20, "guidance": 2}, "steps, guidance"),
        ({"loras": [{"name": "linen"}]}, "loras"),
    ],
)
def test_a_prompt_or_its_settings_are_refused_if_the_engine_takes_no_prompt(setting: dict[str, object], names: str) -> None:
    """The error names the settings, and no fill is made. The step's needs ask for an engine that takes prompts."""
    engine = NullInpainter()
    context = StepContextDouble(inpainter=engine, references={("loras", "linen"): Path("/l/linen.safetensors")})
    step = Inpaint.model_validate(setting)
    with pytest.raises(InputError, match=f"null-inpaint uses the surroundings alone and cannot use {names}"):
        step.apply(_noise_picture(), context)
    assert engine.calls == []
    assert step.needs().engines == (EngineNeed(INPAINTER, needs_prompt=True),)


def test_loras_are_files_of_the_library() -> None:
    """Needs name each LoRA as a safetensors file in library/loras. A missing file is refused."""
    step = Inpaint.model_validate({"loras": [{"name": "linen"}, {"name": "oak", "weight": -0.5}]})
    assert step.needs().library_files == (("loras", "linen", (".safetensors",)), ("loras", "oak", (".safetensors",)))
    with pytest.raises(InputError, match=r"There is no 'linen' in library/loras"):
        step.apply(_noise_picture(), StepContextDouble(inpainter=NullPainter()))


def test_a_small_hole_is_enlarged_for_an_engine_of_a_fixed_size() -> None:
    """A 16 px hole fills more than 2 % of the engine's square, and the fill is reduced to the picture's scale."""
    picture = _noise_picture(300, 400, 3, 8, (96, 96, 112, 112))
    engine = NullPainter(side=512)
    context = StepContextDouble(inpainter=engine)
    result = Inpaint(prompt="moss").apply(picture, context)
    pixels, hole, _ = engine.calls[0]
    assert pixels.shape == (512, 512, 3)
    assert hole.mean() > 0.02
    assert 0 <= pixels.min() < pixels.max() <= 1
    assert context.results.findings["scales"] == [4.0]
    assert np.array_equal(result.pixels[picture.masks["mask"] == 0], picture.pixels[picture.masks["mask"] == 0])
    assert (result.pixels != picture.pixels).any(axis=2).sum() > 200


def test_separate_regions_get_separate_crops_and_seeds() -> None:
    """Two distant holes are two calls at the engine's native size."""
    engine = NullPainter(side=64)
    Inpaint(prompt="moss").apply(
        _noise_picture(90, 600, 3, 8, (10, 10, 20, 20), (10, 560, 20, 570)), StepContextDouble(inpainter=engine, seed=7)
    )
    assert [(pixels.shape, seed) for pixels, _, seed in engine.calls] == [((64, 64, 3), 7), ((64, 64, 3), 8)]


def test_progress_counts_the_steps_of_every_region() -> None:
    """With two regions of four steps each, progress rises in eighths."""
    context = StepContextDouble(inpainter=NullPainter(side=64, steps=4))
    Inpaint(prompt="moss").apply(_noise_picture(90, 600, 3, 8, (10, 10, 20, 20), (10, 560, 20, 570)), context)
    fractions = [fraction for fraction, _ in context.progress.reports]
    assert sorted(fractions) == fractions
    assert set(fractions) == {number / 8 for number in range(8)}


def test_a_cancelled_job_stops_at_the_next_step_of_the_engine() -> None:
    """The engine stops in the middle of a region."""
    engine = NullPainter(side=64, steps=8)
    with pytest.raises(JobCancelled):
        Inpaint(prompt="moss").apply(_noise_picture(), StepContextDouble(inpainter=engine, cancel_at=0.5))
    assert engine.steps_done == 4


class _BlackInpainter(NullPainter):
    """Fills with black, as a generating model does when it fails."""

    def fill(self, pixels: Pixels, hole: Mask, seed: int, on_progress: OnProgress = ignore_progress) -> Pixels:
        return np.zeros_like(pixels)


def test_a_black_fill_from_a_generating_engine_is_refused() -> None:
    """In texture, one even colour is a failed fill; on an even wall it may be right and is accepted."""
    with pytest.raises(InputError, match="one even colour"):
        Inpaint(prompt="moss").apply(_noise_picture(), StepContextDouble(inpainter=_BlackInpainter()))
    wall = _noise_picture().with_pixels(np.full((90, 120, 3), 0.25, np.float32))
    Inpaint(prompt="moss").apply(wall, StepContextDouble(inpainter=_BlackInpainter()))


def test_the_model_setting_selects_the_engine() -> None:
    """``model`` is a name in config/models.toml. Without it, the settings choose the engine."""
    context = StepContextDouble()
    Inpaint(model="patchmatch").apply(_noise_picture(), context)
    Inpaint().apply(_noise_picture(), context)
    assert context.engines.models == ["patchmatch", None]
    assert Inpaint(model="patchmatch").needs().engines == (EngineNeed(INPAINTER, "patchmatch"),)


def test_needs_name_the_masks_of_the_region() -> None:
    """A picture waits for exactly these masks. A region without masks needs none."""
    assert Inpaint().needs().masks == {"mask"}
    assert Inpaint(where="hand & left").needs().masks == {"hand"}
    assert Inpaint(where="box(0.1, 0.2, 0.3, 0.4)").needs().masks == frozenset()


def test_a_region_without_a_mask_is_filled() -> None:
    """With ``where = "left"``, the left half is filled and the right half is unchanged."""
    picture = _noise_picture()
    result = Inpaint(where="left", grow=0, model="null-inpaint").apply(picture, StepContextDouble(inpainter=_FlatInpainter((0, 0, 0))))
    assert np.array_equal(result.pixels[:, 60:], picture.pixels[:, 60:])
    assert result.pixels[40:50, 10:20].mean() < 0.2


@pytest.mark.parametrize("where", ["", "mask &", "box(1, 2)", "mask; rm", "x" * 600])
def test_an_invalid_region_is_refused_with_the_brief(where: str) -> None:
    """Validation fails before any picture is opened."""
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
    """Limits of each setting are enforced."""
    with pytest.raises(ValidationError):
        Inpaint.model_validate(setting)


def test_an_empty_region_returns_the_same_picture() -> None:
    """No engine is loaded."""
    picture = _noise_picture()
    empty = Picture(picture.pixels, masks=MappingProxyType({"mask": freeze(np.zeros((90, 120), dtype=np.float32))}))
    context = StepContextDouble()
    assert Inpaint().apply(empty, context) is empty
    assert context.engines.models == []
    assert context.results.findings["regions"] == 0


@pytest.mark.parametrize("depth", [8, 16])
def test_grey_stays_grey(depth: BitDepth) -> None:
    """The engine gets three channels; the picture keeps its one."""
    engine = NullInpainter(side=64)
    result = Inpaint().apply(_noise_picture(90, 120, 1, depth), StepContextDouble(inpainter=engine))
    assert engine.calls[0][0].shape == (64, 64, 3)
    assert result.channels == 1


def test_a_cancelled_job_stops_between_two_crops() -> None:
    """The second of two distant holes is not filled."""
    engine = NullInpainter(side=64)
    picture = _noise_picture(90, 600, 3, 8, (10, 10, 20, 20), (10, 560, 20, 570))
    with pytest.raises(JobCancelled):
        Inpaint().apply(picture, StepContextDouble(inpainter=engine, cancel_at=0.5))
    assert len(engine.calls) == 1


def test_the_work_depends_on_the_mask_and_not_on_the_picture_size() -> None:
    """The engine gets as many pixels of a large picture as of a small one."""
    pixel_counts = []
    for side in (200, 1500):
        engine = NullInpainter(side=128)
        Inpaint().apply(_noise_picture(side, side), StepContextDouble(inpainter=engine))
        pixel_counts.append(sum(pixels.size for pixels, _, _ in engine.calls))
    assert pixel_counts[0] == pixel_counts[1]


def test_the_seed_of_the_step_reaches_the_engine() -> None:
    """Each call of the engine has the seed of its step."""
    engine = NullInpainter()
    for seed in (3, 4):
        Inpaint().apply(_noise_picture(), StepContextDouble(inpainter=engine, seed=seed))
    assert [seed for _, _, seed in engine.calls] == [3, 4]


def test_another_try_of_a_fill_without_a_prompt_keeps_the_next_fill() -> None:
    """An engine without a prompt makes the same fill with every seed. A prompt of the step changes with the seed."""
    step = Inpaint()
    assert step.another_try({"where": "mask"}) == {"where": "mask", "choice": 2}
    assert Inpaint(choice=99).another_try({"choice": 99}) == {"choice": 1}
    assert Inpaint(prompt="a hand").another_try({"prompt": "a hand"}) == {"prompt": "a hand"}


def test_the_second_choice_beside_a_named_engine_is_another_fill() -> None:
    """The first is the engine's own and compares nothing."""
    picture = _noise_picture(200, 240, 3, 8, (70, 80, 120, 140))
    first, second = (StepContextDouble(inpainter=NullInpainter()) for _ in range(2))
    results = [Inpaint(model="null-inpaint", choice=choice).apply(picture, context) for choice, context in ((1, first), (2, second))]
    assert "fills" not in first.results.findings
    assert second.results.findings["fills"][0]["chosen"] != "engine"
    assert not np.array_equal(results[0].pixels, results[1].pixels)
