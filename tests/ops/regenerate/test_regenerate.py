"""regenerate: candidates with their own seeds, from a prompt or a picture, which keep the properties of the picture."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from doubles.operation_samples import picture
from doubles.step_context import NullGenerator, NullUpscaler, PartsDouble, StepContextDouble
from goldsmith.engines.kinds import GENERATOR
from goldsmith.engines.protocols import EngineNeed, GenerationRequest, GenerationResult, OnProgress, ignore_progress
from goldsmith.errors import InputError, JobCancelled, JobYielded
from goldsmith.operation import FinishedPart
from goldsmith.ops.regenerate.operation import Regenerate
from goldsmith.ops.regenerate.sizing import candidate_seed, crop_and_resize, native_size
from goldsmith.picture.picture import Picture
from goldsmith.picture.profiles import builtin_profile


def regenerate(pictures: Sequence[Picture] = (), context: StepContextDouble | None = None, **settings: Any) -> list[Picture]:
    """Return the candidates of a step with these settings."""
    return list(Regenerate(**settings).apply_set(pictures, context or StepContextDouble(prompt="a chair")))


def test_a_prompt_alone_gives_a_picture_of_the_native_size() -> None:
    """It is 8-bit sRGB on exact codes, opaque, and has its seed on record."""
    (candidate,) = regenerate()
    assert (candidate.width, candidate.height, candidate.channels, candidate.depth, candidate.icc, candidate.alpha) == (
        256,
        256,
        3,
        8,
        None,
        None,
    )
    assert np.array_equal(candidate.pixels, candidate.to_codes().astype(np.float32) / np.float32(255))
    assert candidate.record_values == {"number": 1, "seed": candidate_seed(0, 1)}


def test_the_seed_of_a_candidate_depends_only_on_the_step_seed_and_its_number() -> None:
    """Candidate 3 is the same picture among 3 or 20, and another step seed gives other pictures."""
    few, many = regenerate(candidates=3), regenerate(candidates=20)
    assert np.array_equal(few[2].pixels, many[2].pixels)
    assert len({candidate.record_values["seed"] for candidate in many}) == 20
    assert not np.array_equal(regenerate(context=StepContextDouble(seed=5, prompt="x"))[0].pixels, few[0].pixels)


def test_an_exact_seed_makes_the_picture_that_the_sheet_shows_under_it() -> None:
    """Check a seed of another brief: neither the step's seed nor the position in the list matters."""
    fourth = regenerate(context=StepContextDouble(seed=5, prompt="x"), candidates=8)[3]
    seed = fourth.record_values["seed"]
    engine = NullGenerator()
    context = StepContextDouble(seed=99, prompt="x", generator=engine)
    first, again = regenerate([], context, seeds=(3, seed))
    assert np.array_equal(again.pixels, fourth.pixels)
    assert [each.record_values for each in (first, again)] == [{"number": 1, "seed": 3}, {"number": 2, "seed": seed}]
    assert context.results.findings["candidates"] == [{"number": 1, "seed": 3}, {"number": 2, "seed": seed}]
    assert engine.calls[0].seeds == (3, seed)


def test_one_candidate_can_be_made_again_by_its_number() -> None:
    """Check that it is the same picture under the same number, and the start of the refined one."""
    fourth = regenerate(context=StepContextDouble(seed=5, prompt="x"), candidates=8)[3]
    engine = NullGenerator()
    context = StepContextDouble(seed=5, prompt="x", generator=engine, upscaler=NullUpscaler(2))
    (again,) = regenerate([], context, number=4)
    assert np.array_equal(again.pixels, fourth.pixels)
    assert again.record_values == fourth.record_values == {"number": 4, "seed": candidate_seed(5, 4)}
    (refined,) = regenerate([], context, number=4, refine=2)
    assert (refined.width, refined.record_values) == (512, fourth.record_values)
    assert engine.calls[0].seeds == engine.calls[1].seeds
    assert Regenerate(number=4).max_results(0) == 1
    with pytest.raises(InputError, match="number = 4 is for one picture, but there are 2 here"):
        regenerate([picture(64, 64), picture(64, 64)], context, number=4)


def test_several_pictures_each_get_the_exact_seeds() -> None:
    """Check that every result has a number of its own."""
    results = regenerate([picture(64, 64), picture(64, 64)], seeds=(3, 9))
    assert [tuple(each.record_values.values()) for each in results] == [(1, 3), (2, 9), (3, 3), (4, 9)]
    assert Regenerate(seeds=(3, 9)).max_results(2) == 4


def test_the_facts_of_every_call_are_on_record() -> None:
    """Check calls that differ in their seeds only, a call that ran in another way, and the second pass."""

    class Changing(NullGenerator):
        """Falls back to less memory from its third call on."""

        def generate(self, request: GenerationRequest, on_progress: OnProgress = ignore_progress) -> GenerationResult:
            result = super().generate(request, on_progress)
            way = "as requested" if len(self.calls) < 3 else "tiled decoder"
            return replace(result, facts={"memory_fallback": way, "seeds": list(request.seeds)})

    context = StepContextDouble(prompt="x", generator=Changing(pixels=2048 * 2048), upscaler=NullUpscaler(2))
    regenerate([], context, seeds=(1, 2, 3))
    assert context.results.findings["made"] == {"memory_fallback": "as requested", "seeds": [1, 2]}
    assert context.results.findings["made_otherwise"] == [{"memory_fallback": "tiled decoder", "seeds": [3]}]
    context = StepContextDouble(prompt="x", generator=Changing(), upscaler=NullUpscaler(2))
    regenerate([], context, refine=2)
    refined_by = context.results.findings["refined_by"]
    assert [each["memory_fallback"] for each in refined_by] == ["as requested", "tiled decoder"]  # type: ignore[union-attr,index,call-overload]


@pytest.mark.parametrize("truncated", [False, True])
def test_a_prompt_that_the_model_did_not_read_to_its_end_is_noted(truncated: bool) -> None:
    """Check the note for the record and the mark for the contact sheet."""

    class Reading(NullGenerator):
        """Says whether it read the whole prompt."""

        def generate(self, request: GenerationRequest, on_progress: OnProgress = ignore_progress) -> GenerationResult:
            return replace(super().generate(request, on_progress), facts={"prompt_truncated": truncated, "seeds": list(request.seeds)})

    context = StepContextDouble(prompt="x", generator=Reading())
    (candidate,) = regenerate([], context)
    assert ("prompt_truncated" in candidate.record_values) == truncated
    assert ("longer than the model reads" in str(context.results.findings.get("note"))) == truncated


def test_weights_that_the_model_read_as_words_are_noted() -> None:
    """Check the note for the record and the mark for the contact sheet."""

    class ReadingAsWords(NullGenerator):
        """Says that it knows no weights."""

        def generate(self, request: GenerationRequest, on_progress: OnProgress = ignore_progress) -> GenerationResult:
            facts = {"weights_read_as_words": True, "prompt_truncated": False, "seeds": list(request.seeds)}
            return replace(super().generate(request, on_progress), facts=facts)

    context = StepContextDouble(prompt="a (cat:1.3)", generator=ReadingAsWords())
    (candidate,) = regenerate([], context)
    assert candidate.record_values["weights_read_as_words"] == 1
    assert context.results.findings["note"] == "This model knows no weights such as (word:1.3): it read them as words."


def test_one_call_of_the_engine_makes_a_bounded_number_of_pictures() -> None:
    """Each seed is used once, in order, and no call exceeds the engine's number of pixels per call."""
    engine = NullGenerator(pixels=1024 * 1024)
    context = StepContextDouble(seed=3, prompt="a chair", generator=engine)
    step = Regenerate(candidates=10).apply_set([], context)
    first = next(iter(step))
    assert first.record_values["number"] == 1
    assert [len(request.seeds) for request in engine.calls] == [4]
    assert len(list(step)) == 9
    assert [len(request.seeds) for request in engine.calls] == [4, 4, 2]
    assert [seed for request in engine.calls for seed in request.seeds] == [candidate_seed(3, number) for number in range(1, 11)]
    assert context.results.findings["candidates"] == [{"number": number, "seed": candidate_seed(3, number)} for number in range(1, 11)]


def test_candidates_are_yielded_one_by_one() -> None:
    """A hundred candidates that are released at once need little more memory than 24."""

    def peak(count: int) -> int:
        tracemalloc.start()
        for candidate in Regenerate(candidates=count).apply_set([], StepContextDouble(prompt="x")):
            assert candidate.width == 256
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(100) < peak(24) * 1.3


def test_the_engine_starts_from_the_picture_at_the_given_strength() -> None:
    """The default strength is 0.55. The step's prompt replaces the brief's, and the other settings reach the engine."""
    engine = NullGenerator()
    context = StepContextDouble(prompt="the brief's", generator=engine)
    source = picture(256, 256)
    regenerate([source], context)
    regenerate([source], context, prompt="own", strength=0.2, negative="blur", steps=7, guidance=3.5)
    options = [request.options for request in engine.calls]
    assert [(each.prompt, each.strength) for each in options] == [("the brief's", 0.55), ("own", 0.2)]
    assert (options[1].negative, options[1].steps, options[1].guidance) == ("blur", 7, 3.5)
    assert engine.calls[0].picture is not None
    assert np.array_equal(engine.calls[0].picture, source.pixels)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_properties_of_the_picture_are_kept(depth: Any, channels: int) -> None:
    """These are depth, channels, ppi and metadata and, at the same size, the very arrays of alpha and masks."""
    source = picture(256, 256, channels, depth, alpha=True)
    (candidate,) = regenerate([source])
    assert (candidate.depth, candidate.channels, candidate.ppi, candidate.metadata) == (
        source.depth,
        source.channels,
        source.ppi,
        source.metadata,
    )
    assert candidate.alpha is source.alpha
    assert candidate.masks is source.masks
    if depth == 16:
        assert len(np.unique(candidate.to_codes())) > 256


@pytest.mark.parametrize("name", ["adobe-rgb", "display-p3", "prophoto"])
def test_a_picture_in_another_profile_is_converted_to_srgb_and_back(name: str) -> None:
    """The engine gets sRGB. At almost no strength, the result is nearly the same picture in its own profile."""
    source = replace(picture(256, 256), icc=builtin_profile(name), pixels=picture(256, 256).pixels * np.float32(0.5) + np.float32(0.25))
    engine = NullGenerator()
    (candidate,) = regenerate([source], StepContextDouble(prompt="x", generator=engine), strength=0.001)
    assert candidate.icc == source.icc
    assert engine.calls[0].picture is not None
    assert np.abs(engine.calls[0].picture - source.pixels).max() > 0.02
    assert np.abs(candidate.pixels - source.pixels).max() < 0.02


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
def test_the_engine_works_at_its_native_size_in_the_requested_aspect(settings: dict[str, Any], size: tuple[int, int]) -> None:
    """Sides are multiples of the model's. The result, with alpha and masks, has exactly the requested size."""
    engine = NullGenerator()
    (candidate,) = regenerate([picture(210, 315, alpha=True)], StepContextDouble(prompt="x", generator=engine), **settings)
    assert (candidate.width, candidate.height) == size
    assert candidate.alpha is not None
    assert candidate.alpha.shape == candidate.masks["mask"].shape == (size[1], size[0])
    request = engine.calls[0]
    assert request.width % 16 == request.height % 16 == 0
    assert 0.8 < request.width * request.height / 256**2 < 1.2


def test_masks_are_cropped_and_scaled_with_the_picture() -> None:
    """A white box lies in the same place in picture and mask after cropping and scaling."""
    base = np.zeros((600, 800, 3), np.float32)
    base[200:400, 300:500] = 1
    source = Picture(base, masks=MappingProxyType({"mask": np.ascontiguousarray(base[:, :, 0])}))
    (candidate,) = regenerate([source], strength=0.0001, size=(700, 300))
    inside, box = candidate.pixels[:, :, 0] > 0.5, candidate.masks["mask"] > 0.5
    assert np.mean(inside != box) < 0.015
    assert 0.05 < box.mean() < 0.2


def test_the_second_pass_redraws_tiles_at_its_own_strength() -> None:
    """The picture is enlarged, then redrawn tile by tile at the native size. The upscaler is on record."""
    engine = NullGenerator()
    context = StepContextDouble(prompt="x", generator=engine, upscaler=NullUpscaler(2))
    (candidate,) = regenerate([], context, refine=2, refine_strength=0.3)
    assert (candidate.width, candidate.height) == (512, 512)
    tiles = engine.calls[1:]
    assert len(tiles) > 3
    assert {tile.options.strength for tile in tiles} == {0.3}
    assert len({tile.seeds for tile in tiles}) == len(tiles)
    refined = context.results.findings["refined"]
    assert isinstance(refined, dict)
    assert refined["upscaler"] == "null-upscale"
    fractions = [fraction for fraction, _ in context.progress.reports]
    assert fractions == sorted(fractions)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"size": (8000, 8000)},
            r"is 8000 x 8000 pixels \(64 MP\) large: work on it takes up to 4\.1 GiB of memory, and a job may have 2 GiB",
        ),
        ({"refine": 4}, r"is 4096 x 4096 pixels \(17 MP\) large: work on it takes up to 3 GiB"),
        ({"refine": 4, "size": (64, 64)}, "is 4096 x 4096 pixels"),
    ],
)
def test_a_result_that_needs_too_much_memory_is_refused_before_anything_is_drawn(settings: dict[str, Any], message: str) -> None:
    """Check the result, the second pass, and a second pass whose result is made small again."""
    engine = NullGenerator(pixels=1024 * 1024)
    context = StepContextDouble(prompt="x", generator=engine, upscaler=NullUpscaler(4))
    context.results.max_memory_bytes = 2 << 30
    with pytest.raises(InputError, match=message):
        regenerate([], context, **settings)
    assert not engine.calls


def test_the_memory_of_the_second_pass_is_as_declared() -> None:
    """Check four candidates, whose first passes are in memory together, while the first one is refined."""

    def peak(side: int) -> int:
        generator = NullGenerator(pixels=side * side)
        context = StepContextDouble(prompt="x", generator=generator, upscaler=NullUpscaler(2, side=64, pad=8))
        tracemalloc.start()
        for candidate in Regenerate(candidates=4, refine=2).apply_set([], context):
            assert candidate.width == side * 2
            generator.calls.clear()
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    growth = (peak(256) - peak(128)) / (4 * (256**2 - 128**2))
    assert 80 < growth < 160


def test_a_size_far_above_that_of_the_model_is_remarked() -> None:
    """Check that refine counts, and that no model or no size gives no remark."""
    (remark,) = Regenerate(size=(8192, 6656)).remarks(1024 * 1024)
    assert remark.startswith("size = [8192, 6656] is 52 times the size at which the model draws (1.0 MP): the picture is enlarged without")
    assert "(1.0 MP, refined to 16.8 MP)" in Regenerate(size=(8192, 6656), refine=4).remarks(1024 * 1024)[0]
    for settings, pixels in (({"size": (1400, 1400)}, 1024 * 1024), ({"size": (2800, 2800), "refine": 2}, 1024 * 1024), ({}, 1024 * 1024)):
        assert Regenerate.model_validate(settings).remarks(pixels) == ()
    assert Regenerate(size=(8192, 6656)).remarks(0) == ()


def test_reference_pictures_reach_a_model_that_uses_them() -> None:
    """The model gets them as sRGB; `references = false` leaves them out."""
    reference = picture(40, 30, 1)
    engine = NullGenerator()
    regenerate([], StepContextDouble(prompt="x", generator=engine, reference_pictures=[reference]))
    regenerate([], StepContextDouble(prompt="x", generator=engine, reference_pictures=[reference]), references=False)
    assert [len(request.references) for request in engine.calls] == [1, 0]
    assert engine.calls[0].references[0].shape == (40, 30, 3)


def test_reference_pictures_are_refused_if_the_model_cannot_use_them() -> None:
    """`references = true` without a reference picture is refused, too."""
    model_without_references = NullGenerator(can=("text", "image"))
    with pytest.raises(InputError):
        regenerate([], StepContextDouble(prompt="x", generator=model_without_references, reference_pictures=[picture(8, 8)]))
    with pytest.raises(InputError, match=r"hero\.ref\.png"):
        regenerate([], StepContextDouble(prompt="x"), references=True)


def test_a_strength_is_refused_if_reference_pictures_are_used() -> None:
    """Check that a strength which no model could heed is not dropped in silence, and what ends the refusal."""
    engine = NullGenerator()
    context = StepContextDouble(prompt="x", generator=engine, reference_pictures=[picture(8, 8)])
    with pytest.raises(InputError, match=r"strength = 0\.4 cannot be used: there is a reference picture \(hero\.ref\.png\)"):
        regenerate([picture(64, 64)], context, strength=0.4)
    assert not engine.calls
    regenerate([picture(64, 64)], context)
    regenerate([picture(64, 64)], context, strength=0.4, references=False)
    assert [(request.options.strength, len(request.references)) for request in engine.calls] == [(None, 1), (0.4, 0)]


def test_the_second_pass_uses_no_reference_pictures() -> None:
    """Check that its tiles have the strength of the second pass, which no model has together with references."""
    engine = NullGenerator()
    context = StepContextDouble(prompt="x", generator=engine, upscaler=NullUpscaler(2), reference_pictures=[picture(8, 8)])
    regenerate([], context, refine=2, refine_strength=0.3)
    first, *tiles = engine.calls
    assert len(first.references) == 1
    assert {(len(tile.references), tile.options.strength) for tile in tiles} == {(0, 0.3)}


def test_a_named_editing_model_takes_a_picture_but_no_strength() -> None:
    """A model that generates only from words takes no picture."""
    editor = NullGenerator(can=("edit",))
    assert regenerate([picture(64, 64)], StepContextDouble(prompt="x", generator=editor), model="kontext")
    with pytest.raises(InputError):
        regenerate([picture(64, 64)], StepContextDouble(prompt="x", generator=editor), model="kontext", strength=0.5)
    with pytest.raises(InputError, match="cannot start from a picture"):
        regenerate([picture(64, 64)], StepContextDouble(prompt="x", generator=NullGenerator(can=("text",))), model="words")


def test_a_named_model_that_also_edits_has_no_default_strength() -> None:
    """Without a strength, the prompt is its instruction. With a strength, or without a named model, it starts from the picture."""
    generator = NullGenerator(can=("text", "image", "edit"))
    context = StepContextDouble(prompt="x", generator=generator)
    for settings in ({"model": "klein"}, {"model": "klein", "strength": 0.5}, {}):
        regenerate([picture(64, 64)], context, **settings)
    assert [request.options.strength for request in generator.calls] == [None, 0.5, 0.55]


def test_a_step_without_picture_and_prompt_is_refused() -> None:
    """There is nothing to start from."""
    with pytest.raises(InputError, match="neither a picture nor a prompt"):
        regenerate([], StepContextDouble())


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
def test_a_cancelled_job_stops_at_the_next_step(at: float) -> None:
    """This holds near the start, in the middle and near the end."""
    engine = NullGenerator(pixels=2048 * 2048)
    context = StepContextDouble(prompt="x", generator=engine, cancel_at=at)
    with pytest.raises(JobCancelled):
        regenerate([], context, candidates=10, size=(64, 64))
    assert len(engine.calls) <= at * 10 + 2
    assert context.progress.reports[-1][0] <= at + 0.2


def test_needs_follow_from_the_settings() -> None:
    """A strength needs a picture, a step with its own prompt needs none of the brief, and LoRAs are files of the library."""
    default, with_strength = Regenerate().needs(), Regenerate(strength=0.5, prompt="x", model="premium").needs()
    assert (default.needs_picture, default.needs_prompt) == (False, True)
    assert (with_strength.needs_picture, with_strength.needs_prompt) == (True, False)
    assert [(need.model, need.can) for need in with_strength.engines] == [("premium", frozenset({"image"}))]
    with_lora = Regenerate.model_validate({"loras": [{"name": "film", "weight": 0.5}]})
    assert with_lora.needs().library_files == (("loras", "film", (".safetensors",)),)
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
        {"seeds": (1,), "number": 1},
        {"seeds": (1, 2), "candidates": 2},
        {"number": 4, "candidates": 8},
        {"number": 0},
        {"number": 101},
        {"seeds": (7, 7)},
        {"seeds": (-1,)},
        {"seeds": (2**63,)},
    ],
)
def test_contradictory_or_invalid_settings_are_refused_with_the_brief(wrong: dict[str, Any]) -> None:
    """Validation fails before anything runs."""
    with pytest.raises(ValidationError):
        Regenerate(**wrong)


@pytest.mark.parametrize("ratio", [0.125, 0.5, 1, 16 / 9, 8])
def test_the_native_size_keeps_the_pixel_count_and_the_aspect_ratio(ratio: float) -> None:
    """Both are kept within 6 %, and both sides are multiples of the model's."""
    descriptor = NullGenerator(pixels=1024 * 1024, multiple=16).descriptor
    wide, high = native_size(ratio, descriptor)
    assert wide % 16 == high % 16 == 0
    assert wide / high == pytest.approx(ratio, rel=0.05)
    assert wide * high == pytest.approx(1024 * 1024, rel=0.06)


def test_a_picture_of_the_right_size_is_not_changed() -> None:
    """The very picture is returned."""
    source = picture(20, 30)
    assert crop_and_resize(source, (30, 20)) is source


@pytest.mark.parametrize("refine", [1, 2])
def test_a_step_goes_on_behind_its_finished_candidates(refine: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives way when asked, after a call or a refined candidate, and then makes only what is missing, with the same record."""
    side = 256
    monkeypatch.setattr("goldsmith.ops.regenerate.operation._MAX_BATCH_PIXELS", 4 * side * side)

    def context(kept: dict[str, FinishedPart] | None, must_give_way: bool = False) -> StepContextDouble:
        engine = NullGenerator(pixels=side * side)
        parts = PartsDouble(kept, must_give_way)
        return StepContextDouble(seed=3, prompt="x", generator=engine, upscaler=NullUpscaler(2), parts=parts)

    settings = {"candidates": 6, "refine": refine}
    undisturbed = context(None)
    expected = regenerate([], undisturbed, **settings)
    kept: dict[str, FinishedPart] = {}
    with pytest.raises(JobYielded):
        list(Regenerate(**settings).apply_set([], context(kept, must_give_way=True)))
    assert len([name for name in kept if name.startswith("candidate")]) == (4 if refine == 1 else 1)
    again = context(kept)
    results = regenerate([], again, **settings)
    assert all(np.array_equal(result.pixels, picture.pixels) for result, picture in zip(results, expected, strict=True))
    assert again.results.findings.pop("made_before") == (4 if refine == 1 else 1)
    assert again.results.findings == undisturbed.results.findings
    (engine,) = {again.engines.engine_for(EngineNeed(GENERATOR), None)}
    assert isinstance(engine, NullGenerator)
    first_passes = [len(call.seeds) for call in engine.calls if call.picture is None]
    assert first_passes == [2]
    complete = context(dict(kept), must_give_way=True)
    assert len(regenerate([], complete, **settings)) == 6
    single = context({}, must_give_way=True)
    regenerate([], single)
    assert single.parts.kept == {}
