"""What every family's engine promises: pictures that follow from seed, request and settings alone, and a record of how they were made."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from doubles import tiny
from doubles.tiny_engines import HEIGHT, WAYS, WIDTH, WISH, engine, hole, opened, picture, request, small_eyes
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
    with small_eyes():
        yield


@functools.cache
def alone(family: str, ability: Ability, seed: int) -> GenerationResult:
    """What that seed makes by itself."""
    return engine(family).generate(request(ability, (seed,)))


@pytest.mark.parametrize(("family", "ability"), WAYS)
def test_a_picture_follows_from_its_own_seed_byte_for_byte(family: str, ability: Ability) -> None:
    """The second picture of a request is the one its seed makes alone, on every family and in every way it works."""
    first, second = engine(family).generate(request(ability, (1, 2))).pictures
    assert second.tobytes() == alone(family, ability, 2).pictures[0].tobytes()
    assert not np.array_equal(first, second)
    for made in (first, second):
        assert (made.shape, made.dtype) == ((HEIGHT, WIDTH, 3), np.float32)
        assert made.min() >= 0
        assert made.max() <= 1


@pytest.mark.parametrize(("family", "ability"), WAYS)
def test_the_record_says_all_that_a_replay_needs(family: str, ability: Ability) -> None:
    """Seeds, steps, guidance, strength, scheduler, precision, threads, tiling, offload, batch, rung, versions, device."""
    facts = alone(family, ability, 2).facts
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
def test_what_a_step_raises_ends_the_work_at_once(family: str, ability: Ability, monkeypatch: pytest.MonkeyPatch) -> None:
    """Called off after the first step of five, no further one is run."""
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


def test_an_engine_goes_on_living_after_a_call_that_was_called_off() -> None:
    """The next picture is what it would have been."""

    def call_off(fraction: float) -> None:
        if fraction > 0:
            raise JobCancelled

    for family in ("sdxl", "flux"):
        with pytest.raises(JobCancelled):
            engine(family).generate(request("inpaint", (1,)), call_off)
        assert engine(family).generate(request("text", (2,))).pictures[0].tobytes() == alone(family, "text", 2).pictures[0].tobytes()


def _counted(real: Any, run: list[int]) -> Any:
    def step(self: Any, *given: Any, **named: Any) -> Any:
        run.append(1)
        return real(self, *given, **named)

    return step


@pytest.mark.parametrize("family", ["sdxl", "flux", "qwen-image"])
def test_a_beginning_is_followed_as_far_as_the_strength_says(family: str) -> None:
    """With little strength the picture is hardly gone from; with full strength it is forgotten."""
    asked = request("image")
    far = []
    for strength in (0.05, 1.0):
        made = engine(family).generate(replace(asked, options=replace(asked.options, strength=strength, steps=4)))
        other = engine(family).generate(replace(asked, picture=1 - picture(), options=replace(asked.options, strength=strength, steps=4)))
        far.append(float(np.abs(made.pictures[0] - other.pictures[0]).mean()))
    assert far[0] > 4 * far[1]


def test_a_faint_strength_still_runs_a_step() -> None:
    """Only that part of the steps is run, so there are made to be enough of them; the record says how many."""
    made = engine("flux").generate(replace(request("image"), options=GenerationOptions("a cat", strength=0.1, steps=2)))
    assert (made.facts["steps"], made.facts["steps_run"]) == (10, 1)


def test_no_strength_at_all_is_refused() -> None:
    """It would be the picture itself at the cost of a model."""
    with pytest.raises(InputError, match="With strength 0 the model 'flux' would change nothing"):
        engine("flux").generate(replace(request("image"), options=GenerationOptions("a cat", strength=0.0)))


@pytest.mark.parametrize("family", ["sdxl", "sd3", "flux", "flux-kontext", "flux2-klein", "qwen-image", "z-image"])
def test_a_fill_keeps_to_its_hole(family: str) -> None:
    """Families with a way of their own to fill a hole change what is in it more than what is around, also with random weights."""
    asked = request("inpaint")
    asked = replace(asked, options=replace(asked.options, steps=4, guidance=1.0))
    left = engine(family).generate(asked).pictures[0]
    right = engine(family).generate(replace(asked, seeds=(9,))).pictures[0]
    apart = np.abs(left - right).mean(axis=2)
    inside = hole() > 0.5
    assert apart[inside].mean() > 1.1 * apart[~inside].mean()


@pytest.mark.parametrize("family", ["sdxl", "qwen-image", "z-image", "krea2"])
def test_words_to_keep_away_from_change_the_picture_where_a_family_has_them(family: str) -> None:
    """And the record says that they were used."""
    plain = alone(family, "text", 1)
    kept = engine(family).generate(request("text", wish=replace(WISH, negative="fog, rain")))
    assert not np.array_equal(plain.pictures[0], kept.pictures[0])
    assert (plain.facts["negative_prompt_used"], kept.facts["negative_prompt_used"]) == (False, True)


def test_words_that_a_family_cannot_keep_away_from_are_said_to_be_unused() -> None:
    """FLUX has no such words; nothing pretends that it had."""
    kept = engine("flux").generate(request("text", wish=replace(WISH, negative="fog")))
    assert kept.facts["negative_prompt_used"] is False
    assert np.array_equal(kept.pictures[0], alone("flux", "text", 1).pictures[0])


@pytest.mark.parametrize(
    ("family", "guidance"), [("z-image", 0.0), ("krea2", 0.0), ("flux2-klein", 1.0), ("sdxl", 0.0), ("qwen-image", 1.0)]
)
def test_distilled_models_run_without_guidance(family: str, guidance: float) -> None:
    """As the entries of the fast ones say; it is another picture than the guided one, and on record."""
    made = engine(family).generate(request("text", (2,), replace(WISH, guidance=guidance)))
    assert made.facts["guidance"] == guidance
    assert not np.array_equal(made.pictures[0], alone(family, "text", 2).pictures[0])


def test_another_prompt_makes_another_picture() -> None:
    """On every family that takes words alone."""
    for family in tiny.FAMILIES:
        if "text" in tiny.CAN[family]:
            other = engine(family).generate(request("text", (2,), replace(WISH, prompt="the sea")))
            assert not np.array_equal(alone(family, "text", 2).pictures[0], other.pictures[0]), family


def test_sides_are_multiples_of_what_the_model_asks_for() -> None:
    """Others are refused rather than rounded."""
    with pytest.raises(InputError, match="sides are multiples of 32 px, not 100 x 64 px"):
        engine("sdxl").generate(GenerationRequest(WISH, (1,), 100, 64))


def test_what_the_model_cannot_do_is_told_with_what_it_can() -> None:
    """In one sentence, before anything is computed."""
    with pytest.raises(InputError, match="The model 'krea2' cannot start from a picture; it can make pictures from words alone"):
        engine("krea2").generate(request("image"))


def test_progress_goes_from_nought_to_one_through_all_pictures() -> None:
    """Each picture has its share, each of its steps a part of that."""
    heard: list[float] = []
    engine("sd3").generate(request("text", (1, 2)), heard.append)
    assert heard == [0.0, 0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(("family", "ability"), [way for way in WAYS if not way[0].startswith("qwen-image-edit")])
def test_several_at_once_are_the_pictures_of_one_at_a_time_but_for_rounding(family: str, ability: Ability) -> None:
    """In twos, as a GPU makes them: each is encoded and begun with its own seed."""
    together = _in_twos(family).generate(request(ability, (1, 2)))
    assert together.facts["batch"] == 2
    np.testing.assert_allclose(together.pictures[1], alone(family, ability, 2).pictures[0], atol=1e-4)


@functools.cache
def _in_twos(family: str) -> DiffusionEngine:
    return opened(family, MemoryLayout("float32", "none", 2))


@pytest.mark.parametrize(("family", "ability"), [("sdxl", "text"), ("flux", "inpaint"), ("qwen-image", "text"), ("z-image", "image")])
def test_requests_with_words_and_pictures_of_their_own_go_together(family: str, ability: Ability) -> None:
    """What each gets is what it gets alone, and its record has its own seeds."""
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


def test_a_picture_that_a_pipeline_makes_smaller_is_brought_to_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """FLUX.2 klein fills at a megapixel at most; the record says at what size it was really made."""
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
def test_words_beyond_what_a_model_reads_are_said_to_be_cut(family: str, letters: int, cut: bool) -> None:
    """SDXL reads 77 tokens, FLUX 512; nothing is left aside in silence."""
    made = engine(family).generate(request("text", wish=replace(WISH, prompt="x" * letters)))
    assert made.facts["prompt_truncated"] is cut


def test_requests_that_are_not_alike_are_worked_off_one_by_one() -> None:
    """Another size or another strength is another call; each one's progress is its part of the whole."""
    heard: list[float] = []
    small = GenerationRequest(WISH, (1,), 32, 64)
    made = engine("flux").generate_many([small, request("text", (2,))], heard.append)
    assert [each.pictures[0].shape for each in made] == [(64, 32, 3), (HEIGHT, WIDTH, 3)]
    assert heard == [0.0, 0.25, 0.5, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_every_family_runs_in_half_precision(family: str) -> None:
    """As on a GPU: nothing stumbles over a tensor of another precision, whether it came from words or from a picture."""
    half = opened(family, MemoryLayout("bfloat16", "none", 1))
    abilities = [ability for name, ability in WAYS if name == family]
    for ability in abilities[1:4:2] if family == "flux2-klein" else abilities:
        made = half.generate(request(ability))
        assert made.facts["precision"] == "bfloat16"
        assert np.isfinite(made.pictures[0]).all()
    assert half.descriptor.device == "cpu bfloat16, 1 thread"


def test_an_engine_that_was_let_go_reads_its_weights_again_when_it_is_used() -> None:
    """A step may hold a generator, open an upscaler for which the generator must go, and come back to it."""
    own = opened("flux")
    before = own.generate(request("text")).pictures[0]
    own.close()
    assert own.generate(request("text")).pictures[0].tobytes() == before.tobytes()


def test_a_dead_device_is_the_device_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it was doing: the lane pauses rather than the job being blamed."""
    import torch
    from diffusers import FluxPipeline

    def fail(*given: object, **named: object) -> object:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(FluxPipeline, "__call__", fail)
    with pytest.raises(DeviceError, match="cpu has failed: CUDA error: unspecified launch failure"):
        opened("flux").generate(request("text"))


def test_the_descriptor_says_what_the_entry_says() -> None:
    """What callers go by: abilities, native size, multiples, licence, revision."""
    said = engine("sdxl").descriptor
    assert (said.name, said.kind, said.takes_prompt, said.can) == ("sdxl", "generate", True, ("text", "image", "inpaint"))
    assert (said.native_pixels, said.multiple, said.licence, said.revision) == (64 * 64, 32, "CC0-1.0", "0" * 40)
    assert said.device == "cpu float32, 1 thread"


def test_the_record_says_how_many_were_really_made_in_one_call() -> None:
    """Five jobs that meet go through in twos, as many as the memory measured at loading holds; the last is alone."""
    own = opened("flux", MemoryLayout("float32", "none", 2))
    made = own.generate_many([request("text", (seed,)) for seed in range(5)])
    assert [each.facts["batch"] for each in made] == [2, 2, 2, 2, 1]
    assert [each.facts["seeds"] for each in made] == [[0], [1], [2], [3], [4]]
    over = own.generate_many([request("text", (1, 2, 3)), request("text", (4,)), request("text", (5,))])
    assert [each.facts["batch"] for each in over] == [2, 2, 1]
