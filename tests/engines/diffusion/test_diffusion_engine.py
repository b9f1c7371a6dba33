"""The guarantees for every family: a picture depends only on seed, request and settings, and the record says how it was generated."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from doubles import tiny
from doubles.tiny_engines import HEIGHT, WAYS, WIDTH, WISH, engine, hole, opened, picture, request, small_qwen_inputs
from goldsmith.engines.diffusion.diffusion_engine import DiffusionEngine
from goldsmith.engines.diffusion.memory_layout import MemoryLayout
from goldsmith.engines.protocols import Ability, GenerationOptions, GenerationRequest, GenerationResult
from goldsmith.errors import DeviceError, InputError, JobCancelled

FACTS = {
    "model", "family", "ability", "seeds", "steps", "steps_run", "guidance", "strength", "size", "generated_size", "negative_prompt_used",
    "input_bits", "pipeline", "scheduler", "scheduler_sha256", "precision", "offload", "tiling", "batch", "memory_fallback", "loras",
    "threads",
    "deterministic", "tf32", "prompt_truncated", "device", "device_title", "torch", "diffusers", "transformers", "safety_checker",
}  # fmt: skip
# Families that draw one picture in a call, from a picture in 8 bits.
ONE_AT_A_TIME = ("qwen-image-edit", "longcat", "joy", "chronoedit")
EIGHT_BIT = {("flux2-klein", "edit"), ("flux2-klein", "references")} | {
    (family, ability) for family, ability in WAYS if family.startswith(ONE_AT_A_TIME)
}


@pytest.fixture(autouse=True)
def _use_small_inputs() -> Iterator[None]:
    with small_qwen_inputs():
        yield


@functools.cache
def single_picture(family: str, ability: Ability, seed: int) -> GenerationResult:
    """Return the picture of that seed, generated on its own."""
    return engine(family).generate(request(ability, (seed,)))


@pytest.mark.parametrize(("family", "ability"), WAYS)
def test_a_picture_depends_only_on_its_own_seed(family: str, ability: Ability) -> None:
    """Check that the second picture of a request equals a single one, for every family and ability."""
    first, second = engine(family).generate(request(ability, (1, 2))).pictures
    assert second.tobytes() == single_picture(family, ability, 2).pictures[0].tobytes()
    assert not np.array_equal(first, second)
    for pixels in (first, second):
        assert (pixels.shape, pixels.dtype) == ((HEIGHT, WIDTH, 3), np.float32)
        assert pixels.min() >= 0
        assert pixels.max() <= 1


@pytest.mark.parametrize(("family", "ability"), WAYS)
def test_the_record_has_every_fact_for_a_replay(family: str, ability: Ability) -> None:
    """Check seeds, settings, scheduler, precision, threads, layout, fallback, versions and device."""
    facts = single_picture(family, ability, 2).facts
    assert set(facts) == FACTS
    assert (facts["family"], facts["ability"], facts["seeds"], facts["steps"]) == (family, ability, [2], 2)
    assert (facts["precision"], facts["offload"], facts["tiling"], facts["batch"], facts["memory_fallback"]) == (
        "float32",
        "none",
        False,
        1,
        "as requested",
    )
    assert (facts["device"], facts["threads"], facts["size"]) == ("cpu", 1, [WIDTH, HEIGHT])
    # Some pipelines draw at a size of their own, of about a megapixel (here a sixteenth of it), and the result is scaled.
    own_sizes = {"qwen-image-edit inpaint": [320, 224], "longcat-image-edit edit": [320, 224], "longcat-image-edit inpaint": [320, 224]}
    assert facts["generated_size"] == own_sizes.get(f"{family} {ability}", [WIDTH, HEIGHT])
    assert facts["input_bits"] == (8 if (family, ability) in EIGHT_BIT else 32)
    assert len(str(facts["scheduler_sha256"])) == 64


@pytest.mark.parametrize(("family", "ability"), WAYS)
def test_an_exception_of_the_callback_ends_the_call_at_once(family: str, ability: Ability, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that a cancellation after the first of five steps runs no further step."""
    import diffusers

    step_calls: list[int] = []
    kinds = (diffusers.FlowMatchEulerDiscreteScheduler, diffusers.EulerDiscreteScheduler)
    for kind in kinds:
        monkeypatch.setattr(kind, "step", _count_steps(kind.step, step_calls))

    def cancel(fraction: float) -> None:
        if fraction > 0:
            raise JobCancelled

    long = replace(request(ability, (1, 2)), options=replace(request(ability).options, steps=5))
    with pytest.raises(JobCancelled):
        engine(family).generate(long, cancel)
    assert len(step_calls) == 1


def test_an_engine_works_after_a_cancelled_call() -> None:
    """Check that the next picture is unchanged."""

    def cancel(fraction: float) -> None:
        if fraction > 0:
            raise JobCancelled

    for family in ("sdxl", "flux"):
        with pytest.raises(JobCancelled):
            engine(family).generate(request("inpaint", (1,)), cancel)
        assert (
            engine(family).generate(request("text", (2,))).pictures[0].tobytes() == single_picture(family, "text", 2).pictures[0].tobytes()
        )


def _count_steps(real: Any, step_calls: list[int]) -> Any:
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        step_calls.append(1)
        return real(self, *args, **kwargs)

    return step


@pytest.mark.parametrize("family", ["sdxl", "flux", "qwen-image"])
def test_the_strength_sets_the_distance_from_the_input_picture(family: str) -> None:
    """Check that a low strength keeps the result close to it and that full strength ignores it."""
    plain_request = request("image")
    distances = []
    for strength in (0.05, 1.0):
        options = replace(plain_request.options, strength=strength, steps=4)
        result = engine(family).generate(replace(plain_request, options=options))
        other = engine(family).generate(replace(plain_request, picture=1 - picture(), options=options))
        distances.append(float(np.abs(result.pictures[0] - other.pictures[0]).mean()))
    assert distances[0] > 4 * distances[1]


def test_a_low_strength_runs_at_least_one_step() -> None:
    """Check that the number of steps is raised until one runs, and that both numbers are recorded."""
    result = engine("flux").generate(replace(request("image"), options=GenerationOptions("a cat", strength=0.1, steps=2)))
    assert (result.facts["steps"], result.facts["steps_run"]) == (10, 1)


def test_a_strength_of_zero_is_refused() -> None:
    """Check this because the result would be the input picture."""
    with pytest.raises(InputError, match="With strength 0 the model 'flux' would change nothing"):
        engine("flux").generate(replace(request("image"), options=GenerationOptions("a cat", strength=0.0)))


@pytest.mark.parametrize("family", ["sdxl", "sd3", "flux", "flux-kontext", "flux2-klein", "qwen-image", "z-image"])
def test_a_fill_changes_mainly_its_hole(family: str) -> None:
    """Check every family that can fill, with random weights: pixels in the hole change more than others."""
    fill_request = request("inpaint")
    fill_request = replace(fill_request, options=replace(fill_request.options, steps=4, guidance=1.0))
    first = engine(family).generate(fill_request).pictures[0]
    second = engine(family).generate(replace(fill_request, seeds=(9,))).pictures[0]
    difference = np.abs(first - second).mean(axis=2)
    inside = hole() > 0.5
    assert difference[inside].mean() > 1.1 * difference[~inside].mean()


@pytest.mark.parametrize("family", ["sdxl", "qwen-image", "z-image", "krea2"])
def test_a_negative_prompt_changes_the_picture_if_the_family_takes_one(family: str) -> None:
    """Check the picture, and that the record says whether the negative prompt was used."""
    plain = single_picture(family, "text", 1)
    changed = engine(family).generate(request("text", wish=replace(WISH, negative="fog, rain")))
    assert not np.array_equal(plain.pictures[0], changed.pictures[0])
    assert (plain.facts["negative_prompt_used"], changed.facts["negative_prompt_used"]) == (False, True)


def test_a_negative_prompt_that_a_family_ignores_is_recorded_as_unused() -> None:
    """Check FLUX.2 klein, which takes no negative prompt: the picture is unchanged."""
    result = engine("flux2-klein").generate(request("text", wish=replace(WISH, negative="fog")))
    assert result.facts["negative_prompt_used"] is False
    assert np.array_equal(result.pictures[0], single_picture("flux2-klein", "text", 1).pictures[0])


@pytest.mark.parametrize(
    ("family", "guidance"), [("z-image", 0.0), ("krea2", 0.0), ("flux2-klein", 1.0), ("sdxl", 0.0), ("qwen-image", 1.0)]
)
def test_distilled_models_run_without_guidance(family: str, guidance: float) -> None:
    """Check that the record has the guidance and that the picture differs from a picture with guidance."""
    result = engine(family).generate(request("text", (2,), replace(WISH, guidance=guidance)))
    assert result.facts["guidance"] == guidance
    assert not np.array_equal(result.pictures[0], single_picture(family, "text", 2).pictures[0])


def test_a_guidance_that_a_distilled_model_ignores_is_refused(tmp_path: Path) -> None:
    """Check that it is not dropped in silence, and that the guidance of the entry is no reason to refuse."""
    folder = Path(shutil.copytree(tiny.folder("flux2-klein"), tmp_path / "klein"))
    index = json.loads((folder / "model_index.json").read_bytes())
    (folder / "model_index.json").write_text(json.dumps({**index, "is_distilled": True}))
    distilled = opened("flux2-klein", folder=folder)
    with pytest.raises(InputError, match=r"is distilled and runs without guidance, but the step has guidance = 2\."):
        distilled.generate(request("text"))
    assert distilled.generate(request("text", wish=replace(WISH, guidance=None))).pictures


@pytest.mark.parametrize(
    ("family", "ability", "sentence"),
    [
        ("flux2-klein", "references", r"uses reference pictures here and has no strength, but the step has strength = 0\.3"),
        ("flux-kontext", "edit", "changes a picture by instruction here and has no strength"),
        ("qwen-image-edit-plus", "inpaint", "changes a picture by instruction here and has no strength"),
    ],
)
def test_a_strength_that_the_pipeline_lacks_is_refused(family: str, ability: Ability, sentence: str) -> None:
    """Check references, editing by instruction, and filling with a model that edits."""
    with pytest.raises(InputError, match=sentence):
        engine(family).generate(request(ability, wish=replace(WISH, strength=0.3)))


def test_weights_that_are_not_numbers_are_the_reason_and_not_the_seed(tmp_path: Path) -> None:
    """Check that the sentence names the damaged part, since no other seed would help."""
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(tiny.folder("sdxl"), tmp_path / "sdxl"))
    path = folder / "unet/diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["conv_out.bias"] = tensors["conv_out.bias"] * float("nan")
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(InputError, match=r"contain values that are not numbers \(unet: conv_out\.bias\): the file is damaged") as refused:
        opened("sdxl", folder=folder).generate(request("text"))
    assert "seed" not in str(refused.value)


def test_another_prompt_gives_another_picture() -> None:
    """Check every family that generates from words alone."""
    for family in tiny.FAMILIES:
        if "text" in tiny.CAN[family]:
            other = engine(family).generate(request("text", (2,), replace(WISH, prompt="the sea")))
            assert not np.array_equal(single_picture(family, "text", 2).pictures[0], other.pictures[0]), family


def test_sides_that_are_no_multiple_of_the_model_are_refused() -> None:
    """Check that they are not rounded silently."""
    with pytest.raises(InputError, match="sides are multiples of 32 px, not 100 x 64 px"):
        engine("sdxl").generate(GenerationRequest(WISH, (1,), 100, 64))


def test_a_missing_ability_is_reported_before_the_call() -> None:
    """Check that the message is one sentence with the abilities of the model."""
    with pytest.raises(InputError, match="The model 'krea2' cannot start from a picture; it can make pictures from words alone"):
        engine("krea2").generate(request("image"))


def test_progress_runs_from_0_to_1_over_all_pictures() -> None:
    """Check that each picture has its share, and each step a part of it."""
    fractions: list[float] = []
    engine("sd3").generate(request("text", (1, 2)), fractions.append)
    assert fractions == [0.0, 0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(("family", "ability"), [(family, ability) for family, ability in WAYS if not family.startswith(ONE_AT_A_TIME)])
def test_a_batch_differs_from_single_pictures_only_by_rounding(family: str, ability: Ability) -> None:
    """Check batches of two, as on a GPU: each picture has its own seed."""
    pair = _engine_for_pairs(family).generate(request(ability, (1, 2)))
    assert pair.facts["batch"] == 2
    np.testing.assert_allclose(pair.pictures[1], single_picture(family, ability, 2).pictures[0], atol=1e-4)


@functools.cache
def _engine_for_pairs(family: str) -> DiffusionEngine:
    return opened(family, MemoryLayout("float32", "none", 2))


@pytest.mark.parametrize(("family", "ability"), [("sdxl", "text"), ("flux", "inpaint"), ("qwen-image", "text"), ("z-image", "image")])
def test_requests_with_different_prompts_and_pictures_share_a_call(family: str, ability: Ability) -> None:
    """Check that each result equals a request on its own and records its own seeds."""
    first = request(ability, (1,))
    second = replace(request(ability, (2,)), options=replace(first.options, prompt="the open sea at night"))
    if second.picture is not None:
        second = replace(second, picture=1 - second.picture)
    fractions: list[float] = []
    results = _engine_for_pairs(family).generate_many([first, second], fractions.append)
    assert fractions[-1] == 1.0
    assert [result.facts["seeds"] for result in results] == [[1], [2]]
    assert results[0].facts["batch"] == 2
    for alone, result in zip((first, second), results, strict=True):
        np.testing.assert_allclose(result.pictures[0], engine(family).generate(alone).pictures[0], atol=1e-4)


def test_a_smaller_picture_of_a_pipeline_is_enlarged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check a smaller result, as from FLUX.2 klein, which fills at one megapixel at most; the record has the generated size."""
    from diffusers import FluxPipeline

    def generate_smaller(self: Any, **kwargs: Any) -> Any:
        self._num_timesteps = 2
        return SimpleNamespace(images=picture(3, 32, 48)[None])

    monkeypatch.setattr(FluxPipeline, "__call__", generate_smaller)
    result = engine("flux").generate(request("text"))
    assert result.pictures[0].shape == (HEIGHT, WIDTH, 3)
    assert (result.facts["size"], result.facts["generated_size"]) == ([WIDTH, HEIGHT], [48, 32])


@pytest.mark.parametrize(
    ("family", "letters", "truncated"), [("sdxl", 60, False), ("sdxl", 100, False), ("flux", 400, False), ("flux", 600, True)]
)
def test_a_truncated_prompt_is_recorded(family: str, letters: int, truncated: bool) -> None:
    """Check SDXL, which reads any length in chunks, and FLUX with 512 tokens."""
    result = engine(family).generate(request("text", wish=replace(WISH, prompt="x" * letters)))
    assert result.facts["prompt_truncated"] is truncated


def test_a_truncated_negative_prompt_is_recorded() -> None:
    """Check a family that takes one and does not read it with CLIP."""
    result = engine("qwen-image").generate(request("text", wish=replace(WISH, negative="a " * 600)))
    assert result.facts["prompt_truncated"] is True


def test_a_prompt_that_the_pipeline_cannot_cut_is_refused() -> None:
    """Check LongCat-Image-Edit, whose pipeline ends with an error, with 512 tokens and with more."""
    assert engine("longcat-image-edit").generate(request("edit", wish=replace(WISH, prompt="a" * 512))).pictures
    with pytest.raises(InputError, match=r"The prompt has 513 tokens, and the model 'longcat-image-edit' takes 512\."):
        engine("longcat-image-edit").generate(request("edit", wish=replace(WISH, prompt="a" * 513)))


def test_different_requests_run_one_by_one() -> None:
    """Check another size and another strength; each has its share of the progress."""
    fractions: list[float] = []
    small = GenerationRequest(WISH, (1,), 32, 64)
    results = engine("flux").generate_many([small, request("text", (2,))], fractions.append)
    assert [each.pictures[0].shape for each in results] == [(64, 32, 3), (HEIGHT, WIDTH, 3)]
    assert fractions == [0.0, 0.25, 0.5, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_every_family_runs_in_half_precision(family: str) -> None:
    """Check the precision of a GPU: no tensor of another precision causes an error."""
    half_engine = opened(family, MemoryLayout("bfloat16", "none", 1))
    abilities = [ability for name, ability in WAYS if name == family]
    for ability in abilities[1:4:2] if family == "flux2-klein" else abilities:
        result = half_engine.generate(request(ability))
        assert result.facts["precision"] == "bfloat16"
        assert np.isfinite(result.pictures[0]).all()
    assert half_engine.descriptor.device == "cpu bfloat16, 1 thread"


def test_a_closed_engine_loads_its_weights_again_when_used() -> None:
    """Check a step that opens an upscaler, for which the generator is closed, and uses the generator again."""
    own_engine = opened("flux")
    before = own_engine.generate(request("text")).pictures[0]
    own_engine.close()
    assert own_engine.generate(request("text")).pictures[0].tobytes() == before.tobytes()


def test_a_failed_device_is_a_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that the error does not blame the job."""
    import torch
    from diffusers import FluxPipeline

    def fail(*args: object, **kwargs: object) -> object:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(FluxPipeline, "__call__", fail)
    with pytest.raises(DeviceError, match="cpu has failed: CUDA error: unspecified launch failure"):
        opened("flux").generate(request("text"))


def test_the_descriptor_matches_the_entry() -> None:
    """Check abilities, native size, multiple, licence and revision."""
    descriptor = engine("sdxl").descriptor
    assert (descriptor.name, descriptor.kind, descriptor.takes_prompt) == ("sdxl", "generate", True)
    assert descriptor.can == ("text", "image", "inpaint")
    assert (descriptor.native_pixels, descriptor.multiple, descriptor.licence, descriptor.revision) == (64 * 64, 32, "CC0-1.0", "0" * 40)
    assert descriptor.device == "cpu float32, 1 thread"


def test_the_record_has_the_real_size_of_each_call() -> None:
    """Check five jobs in batches of two, which is what the memory holds: the last one runs alone."""
    pair_engine = opened("flux", MemoryLayout("float32", "none", 2))
    results = pair_engine.generate_many([request("text", (seed,)) for seed in range(5)])
    assert [each.facts["batch"] for each in results] == [2, 2, 2, 2, 1]
    assert [each.facts["seeds"] for each in results] == [[0], [1], [2], [3], [4]]
    mixed_results = pair_engine.generate_many([request("text", (1, 2, 3)), request("text", (4,)), request("text", (5,))])
    assert [each.facts["batch"] for each in mixed_results] == [2, 2, 1]
