"""The guarantees for every family: a picture depends only on seed, request and settings, and the record says how it was generated."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
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
EIGHT_BIT = {("flux2-klein", "edit"), ("flux2-klein", "references")} | {way for way in WAYS if way[0].startswith("qwen-image-edit")}


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
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
    for made in (first, second):
        assert (made.shape, made.dtype) == ((HEIGHT, WIDTH, 3), np.float32)
        assert made.min() >= 0
        assert made.max() <= 1


@pytest.mark.parametrize(("family", "ability"), WAYS)
def test_the_record_has_all_that_a_replay_needs(family: str, ability: Ability) -> None:
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
    assert (facts["device"], facts["threads"], facts["size"], facts["generated_size"]) == ("cpu", 1, [WIDTH, HEIGHT], [WIDTH, HEIGHT])
    assert facts["input_bits"] == (8 if (family, ability) in EIGHT_BIT else 32)
    assert len(str(facts["scheduler_sha256"])) == 64


@pytest.mark.parametrize(("family", "ability"), WAYS)
def test_an_exception_of_the_callback_ends_the_call_at_once(family: str, ability: Ability, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that a cancellation after the first of five steps runs no further step."""
    import diffusers

    run: list[int] = []
    kinds = (diffusers.FlowMatchEulerDiscreteScheduler, diffusers.EulerDiscreteScheduler)
    for kind in kinds:
        monkeypatch.setattr(kind, "step", _counted(kind.step, run))

    def call_off(fraction: float) -> None:
        if fraction > 0:
            raise JobCancelled

    long = replace(request(ability, (1, 2)), options=replace(request(ability).options, steps=5))
    with pytest.raises(JobCancelled):
        engine(family).generate(long, call_off)
    assert len(run) == 1


def test_an_engine_works_after_a_cancelled_call() -> None:
    """Check that the next picture is unchanged."""

    def call_off(fraction: float) -> None:
        if fraction > 0:
            raise JobCancelled

    for family in ("sdxl", "flux"):
        with pytest.raises(JobCancelled):
            engine(family).generate(request("inpaint", (1,)), call_off)
        assert (
            engine(family).generate(request("text", (2,))).pictures[0].tobytes() == single_picture(family, "text", 2).pictures[0].tobytes()
        )


def _counted(real: Any, run: list[int]) -> Any:
    def step(self: Any, *given: Any, **named: Any) -> Any:
        run.append(1)
        return real(self, *given, **named)

    return step


@pytest.mark.parametrize("family", ["sdxl", "flux", "qwen-image"])
def test_the_strength_sets_the_distance_from_the_input_picture(family: str) -> None:
    """Check that a low strength stays close to it and that full strength ignores it."""
    asked = request("image")
    far = []
    for strength in (0.05, 1.0):
        made = engine(family).generate(replace(asked, options=replace(asked.options, strength=strength, steps=4)))
        other = engine(family).generate(replace(asked, picture=1 - picture(), options=replace(asked.options, strength=strength, steps=4)))
        far.append(float(np.abs(made.pictures[0] - other.pictures[0]).mean()))
    assert far[0] > 4 * far[1]


def test_a_low_strength_runs_at_least_one_step() -> None:
    """Check that the number of steps is raised for it and recorded."""
    made = engine("flux").generate(replace(request("image"), options=GenerationOptions("a cat", strength=0.1, steps=2)))
    assert (made.facts["steps"], made.facts["steps_run"]) == (10, 1)


def test_a_strength_of_zero_is_refused() -> None:
    """Check this because it would return the input picture."""
    with pytest.raises(InputError, match="With strength 0 the model 'flux' would change nothing"):
        engine("flux").generate(replace(request("image"), options=GenerationOptions("a cat", strength=0.0)))


@pytest.mark.parametrize("family", ["sdxl", "sd3", "flux", "flux-kontext", "flux2-klein", "qwen-image", "z-image"])
def test_a_fill_changes_mainly_its_hole(family: str) -> None:
    """Check families that can fill: pixels in the hole change more than others, also with random weights."""
    asked = request("inpaint")
    asked = replace(asked, options=replace(asked.options, steps=4, guidance=1.0))
    left = engine(family).generate(asked).pictures[0]
    right = engine(family).generate(replace(asked, seeds=(9,))).pictures[0]
    apart = np.abs(left - right).mean(axis=2)
    inside = hole() > 0.5
    assert apart[inside].mean() > 1.1 * apart[~inside].mean()


@pytest.mark.parametrize("family", ["sdxl", "qwen-image", "z-image", "krea2"])
def test_a_negative_prompt_changes_the_picture_if_the_family_takes_one(family: str) -> None:
    """Check that the record says that it was used."""
    plain = single_picture(family, "text", 1)
    kept = engine(family).generate(request("text", wish=replace(WISH, negative="fog, rain")))
    assert not np.array_equal(plain.pictures[0], kept.pictures[0])
    assert (plain.facts["negative_prompt_used"], kept.facts["negative_prompt_used"]) == (False, True)


def test_a_negative_prompt_that_a_family_ignores_is_recorded_as_unused() -> None:
    """Check FLUX, which takes none."""
    kept = engine("flux").generate(request("text", wish=replace(WISH, negative="fog")))
    assert kept.facts["negative_prompt_used"] is False
    assert np.array_equal(kept.pictures[0], single_picture("flux", "text", 1).pictures[0])


@pytest.mark.parametrize(
    ("family", "guidance"), [("z-image", 0.0), ("krea2", 0.0), ("flux2-klein", 1.0), ("sdxl", 0.0), ("qwen-image", 1.0)]
)
def test_distilled_models_run_without_guidance(family: str, guidance: float) -> None:
    """Check that the picture differs from one with guidance, and the record."""
    made = engine(family).generate(request("text", (2,), replace(WISH, guidance=guidance)))
    assert made.facts["guidance"] == guidance
    assert not np.array_equal(made.pictures[0], single_picture(family, "text", 2).pictures[0])


def test_another_prompt_gives_another_picture() -> None:
    """Check every family that generates from words alone."""
    for family in tiny.FAMILIES:
        if "text" in tiny.CAN[family]:
            other = engine(family).generate(request("text", (2,), replace(WISH, prompt="the sea")))
            assert not np.array_equal(single_picture(family, "text", 2).pictures[0], other.pictures[0]), family


def test_sides_must_be_multiples_of_the_model_s() -> None:
    """Check that other sides are refused and not rounded."""
    with pytest.raises(InputError, match="sides are multiples of 32 px, not 100 x 64 px"):
        engine("sdxl").generate(GenerationRequest(WISH, (1,), 100, 64))


def test_a_missing_ability_is_reported_before_the_call() -> None:
    """Check one sentence with the abilities of the model."""
    with pytest.raises(InputError, match="The model 'krea2' cannot start from a picture; it can make pictures from words alone"):
        engine("krea2").generate(request("image"))


def test_progress_runs_from_0_to_1_over_all_pictures() -> None:
    """Check that each picture has its share, and each step a part of it."""
    heard: list[float] = []
    engine("sd3").generate(request("text", (1, 2)), heard.append)
    assert heard == [0.0, 0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(("family", "ability"), [way for way in WAYS if not way[0].startswith("qwen-image-edit")])
def test_a_batch_differs_from_single_pictures_only_by_rounding(family: str, ability: Ability) -> None:
    """Check batches of two, as on a GPU: each picture has its own seed."""
    together = _in_twos(family).generate(request(ability, (1, 2)))
    assert together.facts["batch"] == 2
    np.testing.assert_allclose(together.pictures[1], single_picture(family, ability, 2).pictures[0], atol=1e-4)


@functools.cache
def _in_twos(family: str) -> DiffusionEngine:
    return opened(family, MemoryLayout("float32", "none", 2))


@pytest.mark.parametrize(("family", "ability"), [("sdxl", "text"), ("flux", "inpaint"), ("qwen-image", "text"), ("z-image", "image")])
def test_requests_with_different_prompts_and_pictures_share_a_call(family: str, ability: Ability) -> None:
    """Check that each result is as if alone, and records its own seeds."""
    one = request(ability, (1,))
    other = replace(request(ability, (2,)), options=replace(one.options, prompt="the open sea at night"))
    if other.picture is not None:
        other = replace(other, picture=1 - other.picture)
    heard: list[float] = []
    made = _in_twos(family).generate_many([one, other], heard.append)
    assert heard[-1] == 1.0
    assert [each.facts["seeds"] for each in made] == [[1], [2]]
    assert made[0].facts["batch"] == 2
    for asked, each in zip((one, other), made, strict=True):
        np.testing.assert_allclose(each.pictures[0], engine(family).generate(asked).pictures[0], atol=1e-4)


def test_a_smaller_picture_of_a_pipeline_is_enlarged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check FLUX.2 klein, which fills at one megapixel at most; the record has the generated size."""
    from diffusers import FluxPipeline

    def smaller(self: Any, **named: Any) -> Any:
        self._num_timesteps = 2
        return SimpleNamespace(images=picture(3, 32, 48)[None])

    monkeypatch.setattr(FluxPipeline, "__call__", smaller)
    made = engine("flux").generate(request("text"))
    assert (made.pictures[0].shape, made.facts["size"], made.facts["generated_size"]) == ((HEIGHT, WIDTH, 3), [WIDTH, HEIGHT], [48, 32])


@pytest.mark.parametrize(
    ("family", "letters", "cut"), [("sdxl", 60, False), ("sdxl", 100, True), ("flux", 400, False), ("flux", 600, True)]
)
def test_a_truncated_prompt_is_recorded(family: str, letters: int, cut: bool) -> None:
    """Check SDXL with 77 tokens and FLUX with 512."""
    made = engine(family).generate(request("text", wish=replace(WISH, prompt="x" * letters)))
    assert made.facts["prompt_truncated"] is cut


def test_different_requests_run_one_by_one() -> None:
    """Check another size and another strength; each has its share of the progress."""
    heard: list[float] = []
    small = GenerationRequest(WISH, (1,), 32, 64)
    made = engine("flux").generate_many([small, request("text", (2,))], heard.append)
    assert [each.pictures[0].shape for each in made] == [(64, 32, 3), (HEIGHT, WIDTH, 3)]
    assert heard == [0.0, 0.25, 0.5, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_every_family_runs_in_half_precision(family: str) -> None:
    """Check the precision of a GPU: no tensor of another precision causes an error."""
    half = opened(family, MemoryLayout("bfloat16", "none", 1))
    abilities = [ability for name, ability in WAYS if name == family]
    for ability in abilities[1:4:2] if family == "flux2-klein" else abilities:
        made = half.generate(request(ability))
        assert made.facts["precision"] == "bfloat16"
        assert np.isfinite(made.pictures[0]).all()
    assert half.descriptor.device == "cpu bfloat16, 1 thread"


def test_a_closed_engine_loads_its_weights_again_when_used() -> None:
    """Check a step that opens an upscaler, for which the generator is closed, and uses the generator again."""
    own = opened("flux")
    before = own.generate(request("text")).pictures[0]
    own.close()
    assert own.generate(request("text")).pictures[0].tobytes() == before.tobytes()


def test_a_failed_device_is_a_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that the error is never a fault of the job."""
    import torch
    from diffusers import FluxPipeline

    def fail(*given: object, **named: object) -> object:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(FluxPipeline, "__call__", fail)
    with pytest.raises(DeviceError, match="cpu has failed: CUDA error: unspecified launch failure"):
        opened("flux").generate(request("text"))


def test_the_descriptor_matches_the_entry() -> None:
    """Check abilities, native size, multiple, licence and revision."""
    said = engine("sdxl").descriptor
    assert (said.name, said.kind, said.takes_prompt, said.can) == ("sdxl", "generate", True, ("text", "image", "inpaint"))
    assert (said.native_pixels, said.multiple, said.licence, said.revision) == (64 * 64, 32, "CC0-1.0", "0" * 40)
    assert said.device == "cpu float32, 1 thread"


def test_the_record_has_the_real_size_of_each_call() -> None:
    """Check five jobs in batches of two, which is what the memory holds: the last one runs alone."""
    own = opened("flux", MemoryLayout("float32", "none", 2))
    made = own.generate_many([request("text", (seed,)) for seed in range(5)])
    assert [each.facts["batch"] for each in made] == [2, 2, 2, 2, 1]
    assert [each.facts["seeds"] for each in made] == [[0], [1], [2], [3], [4]]
    over = own.generate_many([request("text", (1, 2, 3)), request("text", (4,)), request("text", (5,))])
    assert [each.facts["batch"] for each in over] == [2, 2, 1]
