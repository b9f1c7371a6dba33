"""regenerate: candidates with seeds of their own, from words or a picture; nothing of the picture is lost but what was asked for."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from doubles.ground import picture
from doubles.step_context import NullGenerator, NullUpscaler, StepContextDouble
from goldsmith.errors import InputError, JobCancelled
from goldsmith.ops.regenerate.operation import Regenerate, candidate_seed, crop_and_resize, native_size
from goldsmith.picture.picture import Picture
from goldsmith.picture.profiles import builtin_profile


def made(pictures: Sequence[Picture] = (), context: StepContextDouble | None = None, **settings: Any) -> list[Picture]:
    """What a step of these settings makes of these pictures."""
    return list(Regenerate(**settings).apply_set(pictures, context or StepContextDouble(prompt="a chair")))


def test_words_alone_make_a_picture_of_the_models_own_size() -> None:
    """8-bit sRGB, on exact codes, opaque, with the seed it was made with."""
    (one,) = made()
    assert (one.width, one.height, one.channels, one.depth, one.icc, one.alpha) == (256, 256, 3, 8, None, None)
    assert np.array_equal(one.pixels, one.to_codes().astype(np.float32) / np.float32(255))
    assert one.record_values == {"number": 1, "seed": candidate_seed(0, 1)}


def test_a_candidates_seed_hangs_on_the_steps_seed_and_its_number_alone() -> None:
    """Number 3 is the same picture whether 3 or 20 are made, and another seed gives others."""
    few, many = made(candidates=3), made(candidates=20)
    assert np.array_equal(few[2].pixels, many[2].pixels)
    assert len({one.record_values["seed"] for one in many}) == 20
    assert not np.array_equal(made(context=StepContextDouble(seed=5, prompt="x"))[0].pixels, few[0].pixels)


def test_the_engine_is_asked_for_a_bounded_number_at_once() -> None:
    """Each seed once, in order, and never more pixels than the engine is meant to get in one call."""
    engine = NullGenerator(pixels=1024 * 1024)
    context = StepContextDouble(seed=3, prompt="a chair", generator=engine)
    step = Regenerate(candidates=10).apply_set([], context)
    first = next(iter(step))
    assert first.record_values["number"] == 1
    assert [len(request.seeds) for request in engine.asked] == [4]
    assert len(list(step)) == 9
    assert [len(request.seeds) for request in engine.asked] == [4, 4, 2]
    assert [seed for request in engine.asked for seed in request.seeds] == [candidate_seed(3, number) for number in range(1, 11)]
    assert context.results.findings["candidates"] == [{"number": number, "seed": candidate_seed(3, number)} for number in range(1, 11)]


def test_candidates_come_one_by_one() -> None:
    """A hundred that are let go as they come need hardly more memory than a few."""

    def peak(count: int) -> int:
        tracemalloc.start()
        for one in Regenerate(candidates=count).apply_set([], StepContextDouble(prompt="x")):
            assert one.width == 256
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(100) < peak(24) * 1.3


def test_a_picture_is_begun_from_and_the_strength_says_how_far() -> None:
    """Unset it is 0.55; its own prompt wins over the brief's, and everything else is told to the engine."""
    engine = NullGenerator()
    context = StepContextDouble(prompt="the brief's", generator=engine)
    given = picture(256, 256)
    made([given], context)
    made([given], context, prompt="own", strength=0.2, negative="blur", steps=7, guidance=3.5)
    wishes = [request.options for request in engine.asked]
    assert [(wish.prompt, wish.strength) for wish in wishes] == [("the brief's", 0.55), ("own", 0.2)]
    assert (wishes[1].negative, wishes[1].steps, wishes[1].guidance) == ("blur", 7, 3.5)
    assert engine.asked[0].picture is not None
    assert np.array_equal(engine.asked[0].picture, given.pixels)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_the_picture_was_stays(depth: Any, channels: int) -> None:
    """Depth, channels, ppi, metadata; alpha and masks bit for bit where the size stays."""
    given = picture(256, 256, channels, depth, alpha=True)
    (one,) = made([given])
    assert (one.depth, one.channels, one.ppi, one.metadata) == (given.depth, given.channels, given.ppi, given.metadata)
    assert one.alpha is given.alpha
    assert one.masks is given.masks
    if depth == 16:
        assert len(np.unique(one.to_codes())) > 256


@pytest.mark.parametrize("name", ["adobe-rgb", "display-p3", "prophoto"])
def test_a_picture_in_another_profile_is_shown_and_laid_back_in_its_own(name: str) -> None:
    """The engine sees sRGB; nearly no strength gives nearly the same picture, in its profile."""
    given = replace(picture(256, 256), icc=builtin_profile(name), pixels=picture(256, 256).pixels * np.float32(0.5) + np.float32(0.25))
    engine = NullGenerator()
    (one,) = made([given], StepContextDouble(prompt="x", generator=engine), strength=0.001)
    assert one.icc == given.icc
    assert engine.asked[0].picture is not None
    assert np.abs(engine.asked[0].picture - given.pixels).max() > 0.02
    assert np.abs(one.pixels - given.pixels).max() < 0.02


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({}, (320, 208)),
        ({"aspect": "16:9"}, (336, 192)),
        ({"aspect": "1:2"}, (176, 352)),
        ({"size": (1000, 400)}, (1000, 400)),
        ({"size": (99, 101)}, (99, 101)),
        ({"refine": 2}, (640, 416)),
        ({"refine": 1.5, "size": (500, 500)}, (500, 500)),
    ],
)
def test_the_size_is_the_models_own_in_the_shape_that_was_asked_for(settings: dict[str, Any], size: tuple[int, int]) -> None:
    """Sides are multiples of the model's; a size that was asked for comes out exactly, masks and alpha with it."""
    engine = NullGenerator()
    (one,) = made([picture(210, 315, alpha=True)], StepContextDouble(prompt="x", generator=engine), **settings)
    assert (one.width, one.height) == size
    assert one.alpha is not None
    assert one.alpha.shape == one.masks["mask"].shape == (size[1], size[0])
    request = engine.asked[0]
    assert request.width % 16 == request.height % 16 == 0
    assert 0.8 < request.width * request.height / 256**2 < 1.2


def test_masks_go_where_the_picture_goes() -> None:
    """A white box in picture and mask lies in the same place after cutting and scaling."""
    base = np.zeros((600, 800, 3), np.float32)
    base[200:400, 300:500] = 1
    given = Picture(base, masks=MappingProxyType({"mask": np.ascontiguousarray(base[:, :, 0])}))
    (one,) = made([given], strength=0.0001, size=(700, 300))
    inside, box = one.pixels[:, :, 0] > 0.5, one.masks["mask"] > 0.5
    assert np.mean(inside != box) < 0.015
    assert 0.05 < box.mean() < 0.2


def test_a_second_pass_is_drawn_by_tiles_at_its_own_strength() -> None:
    """Enlarged first, then piece by piece at the model's own size; the enlarging engine is on record."""
    engine = NullGenerator()
    context = StepContextDouble(prompt="x", generator=engine, upscaler=NullUpscaler(2))
    (one,) = made([], context, refine=2, refine_strength=0.3)
    assert (one.width, one.height) == (512, 512)
    tiles = engine.asked[1:]
    assert len(tiles) > 3
    assert {tile.options.strength for tile in tiles} == {0.3}
    assert len({tile.seeds for tile in tiles}) == len(tiles)
    refined = context.results.findings["refined"]
    assert isinstance(refined, dict)
    assert refined["upscaler"] == "null-upscale"
    assert [done for done, _ in context.progress.reports] == sorted(done for done, _ in context.progress.reports)


def test_reference_pictures_are_shown_to_a_model_that_looks_at_them() -> None:
    """As sRGB; `references = false` leaves them aside."""
    shown = picture(40, 30, 1)
    engine = NullGenerator()
    made([], StepContextDouble(prompt="x", generator=engine, shown=[shown]))
    made([], StepContextDouble(prompt="x", generator=engine, shown=[shown]), references=False)
    assert [len(request.references) for request in engine.asked] == [1, 0]
    assert engine.asked[0].references[0].shape == (40, 30, 3)


def test_reference_pictures_and_a_model_that_cannot_look_at_them_is_a_problem() -> None:
    """And so is `references = true` where none lies there."""
    blind = NullGenerator(can=("text", "image"))
    with pytest.raises(InputError):
        made([], StepContextDouble(prompt="x", generator=blind, shown=[picture(8, 8)]))
    with pytest.raises(InputError, match=r"hero\.ref\.png"):
        made([], StepContextDouble(prompt="x"), references=True)


def test_a_model_that_edits_by_instruction_takes_a_picture_when_it_is_named() -> None:
    """But knows no strength; and one that only writes from words takes none."""
    editor = NullGenerator(can=("edit",))
    assert made([picture(64, 64)], StepContextDouble(prompt="x", generator=editor), model="kontext")
    with pytest.raises(InputError):
        made([picture(64, 64)], StepContextDouble(prompt="x", generator=editor), model="kontext", strength=0.5)
    with pytest.raises(InputError, match="cannot start from a picture"):
        made([picture(64, 64)], StepContextDouble(prompt="x", generator=NullGenerator(can=("text",))), model="words")


def test_a_named_model_that_also_edits_takes_words_without_a_strength_as_its_instruction() -> None:
    """With a strength it starts from the picture; the house's own choice of a model always does."""
    both = NullGenerator(can=("text", "image", "edit"))
    context = StepContextDouble(prompt="x", generator=both)
    for settings in ({"model": "klein"}, {"model": "klein", "strength": 0.5}, {}):
        made([picture(64, 64)], context, **settings)
    assert [request.options.strength for request in both.asked] == [None, 0.5, 0.55]


def test_neither_picture_nor_words_is_a_problem() -> None:
    """There is nothing to begin with."""
    with pytest.raises(InputError, match="neither a picture nor a prompt"):
        made([], StepContextDouble())


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
def test_work_that_is_called_off_ends_at_the_next_step(at: float) -> None:
    """Wherever it is."""
    engine = NullGenerator(pixels=2048 * 2048)
    context = StepContextDouble(prompt="x", generator=engine, cancel_at=at)
    with pytest.raises(JobCancelled):
        made([], context, candidates=10, size=(64, 64))
    assert len(engine.asked) <= at * 10 + 2
    assert context.progress.reports[-1][0] <= at + 0.2


def test_what_it_needs_is_known_from_its_settings() -> None:
    """A strength needs a picture; words of its own need no prompt; loras are things of the library."""
    bare, strong = Regenerate().needs(), Regenerate(strength=0.5, prompt="x", model="premium").needs()
    assert (bare.needs_picture, bare.needs_prompt) == (False, True)
    assert (strong.needs_picture, strong.needs_prompt) == (True, False)
    assert [(need.model, need.can) for need in strong.engines] == [("premium", frozenset({"image"}))]
    lora = Regenerate.model_validate({"loras": [{"name": "film", "weight": 0.5}]})
    assert lora.needs().library_files == (("loras", "film", (".safetensors",)),)
    assert [Regenerate(candidates=8).max_results(count) for count in (0, 1, 3)] == [8, 8, 24]


@pytest.mark.parametrize(
    "wrong",
    [
        {"candidates": 0},
        {"candidates": 101},
        {"strength": 0},
        {"strength": 1.1},
        {"aspect": "wide"},
        {"aspect": "0:9"},
        {"aspect": "9:0"},
        {"aspect": "100:1"},
        {"aspect": "1:1", "size": (64, 64)},
        {"size": (15, 64)},
        {"size": (30000, 30000)},
        {"size": (30000, 16)},
        {"refine": 5},
        {"loras": [{"name": ""}]},
    ],
)
def test_what_makes_no_sense_is_refused_early(wrong: dict[str, Any]) -> None:
    """Before anything runs."""
    with pytest.raises(ValidationError):
        Regenerate(**wrong)


@pytest.mark.parametrize("ratio", [0.125, 0.5, 1, 16 / 9, 8])
def test_the_native_size_keeps_count_and_shape(ratio: float) -> None:
    """About the model's pixels in about that shape, both sides multiples."""
    descriptor = NullGenerator(pixels=1024 * 1024, multiple=16).descriptor
    wide, high = native_size(ratio, descriptor)
    assert wide % 16 == high % 16 == 0
    assert wide / high == pytest.approx(ratio, rel=0.05)
    assert wide * high == pytest.approx(1024 * 1024, rel=0.06)


def test_a_picture_of_the_right_size_is_not_changed() -> None:
    """Nothing asked, nothing touched."""
    given = picture(20, 30)
    assert crop_and_resize(given, (30, 20)) is given
