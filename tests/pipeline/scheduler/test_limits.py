"""The limits of a job, computed from the entries of its models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from goldsmith.engines.kinds import GENERATOR, INPAINTER
from goldsmith.engines.protocols import EngineNeed
from goldsmith.engines.registry.models import read_models
from goldsmith.engines.registry.weights_registry import WeightsRegistry
from goldsmith.errors import InputError
from goldsmith.jobs.job import Job, JobInput, ResourceLimits, StepSpec
from goldsmith.operation import Operation, PictureOperation, SetOperation, StepContext, StepNeeds
from goldsmith.ops.regenerate.operation import Regenerate
from goldsmith.picture.picture import Picture
from goldsmith.pipeline.scheduler.limits import CPU_SLOWDOWN, GENERATION_GRACE_SECONDS, JobLimits

BASE = ResourceLimits(timeout_seconds=900, max_memory_bytes=2**30, max_pixels=10**6)
ENTRY = """
[models.NAME]
kind = "generate"
driver = "null"
licence = "Apache-2.0"
[models.NAME.diffusion]
family = "sdxl"
can = ["text", "image", "inpaint"]
pixels = 65536
multiple = 8
steps = 4
guidance = 1
memory_mb = 20_000
picture_mb = 3000
seconds = 100
"""
LIGHT = """
[models.light]
kind = "inpaint"
driver = "null"
licence = "CC0-1.0"
"""


class Fill(PictureOperation):
    """Fills a region with a model."""

    model: str = "big"

    def needs(self) -> StepNeeds:
        return StepNeeds(engines=(EngineNeed(INPAINTER, self.model),))

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        return picture


class Make(SetOperation):
    """Makes ``candidates`` pictures."""

    candidates: int = 8
    model: str = "big"
    seed: int = 0
    prompt: str = ""
    steps: int = 4

    def needs(self) -> StepNeeds:
        return StepNeeds(engines=(EngineNeed(GENERATOR, self.model),))

    def max_results(self, count: int) -> int:
        return self.candidates

    def apply_set(self, pictures: Sequence[Picture], context: StepContext) -> Sequence[Picture]:
        return pictures


class Pick(SetOperation):
    """Keeps one picture."""

    def max_results(self, count: int) -> int:
        return 1

    def apply_set(self, pictures: Sequence[Picture], context: StepContext) -> Sequence[Picture]:
        return pictures[:1]


@pytest.fixture
def weights(tmp_path: Path) -> WeightsRegistry:
    (tmp_path / "models.toml").write_text(ENTRY.replace("NAME", "big") + ENTRY.replace("NAME", "other") + LIGHT)
    return WeightsRegistry(read_models(tmp_path / "models.toml"), tmp_path)


def job_for(
    weights: WeightsRegistry,
    *operations: Operation,
    cpu_queues: frozenset[str] = frozenset(),
    engineless_queue: str = "",
    queue: str = "gpu",
    roles: tuple[str, ...] = ("picture",),
    **fields: Any,
) -> Job:
    inputs = tuple(JobInput.model_construct(role=role, name="", path=f"inbox/{role}", sig=None, sha256="") for role in roles)
    specs = tuple(StepSpec(op=type(each).__name__.lower(), settings=each.model_dump(exclude_unset=True)) for each in operations)
    job = Job.model_construct(
        id="1", root="/", stage="edit", queue=queue, stem="hero", inputs=inputs, steps=specs, scratch="", limits=BASE, **fields
    )
    steps = [cast(Any, SimpleNamespace(operation=each)) for each in operations]
    return JobLimits(BASE, weights, cpu_queues, engineless_queue).apply(job, steps)


def test_a_job_without_a_generating_model_has_the_limits_of_the_settings(weights: WeightsRegistry) -> None:
    """Small engines load quickly, so their jobs are not grouped."""
    for operations in ([], [Pick()], [Fill(model="light")]):
        job = job_for(weights, *operations)
        assert (job.limits, job.models, job.batch_key) == (BASE, (), "")


def test_the_timeout_covers_the_pictures_and_the_loading_of_the_models(weights: WeightsRegistry) -> None:
    """The entry gives the seconds per picture, and loading assumes a slow disk. The timeout is never below that of the settings."""
    assert job_for(weights, Fill()).limits.timeout_seconds == 900
    assert job_for(weights, Make(candidates=30)).limits.timeout_seconds == 30 * 100 + 20_000 / 100
    assert job_for(weights, Make(candidates=30), Fill(model="other")).limits.timeout_seconds == 60 * 100 + 2 * 20_000 / 100
    assert job_for(weights, Make(candidates=30), Pick(), Fill()).limits.timeout_seconds == 31 * 100 + 20_000 / 100


def test_the_timeout_is_longer_on_a_cpu(weights: WeightsRegistry) -> None:
    """The entry's seconds per picture are measured on a GPU; the loading time is the same on both."""
    job = job_for(weights, Make(candidates=8), cpu_queues=frozenset({"gpu"}))
    assert job.limits.timeout_seconds == 8 * 100 * CPU_SLOWDOWN + 200
    assert job_for(weights, Make(candidates=8), cpu_queues=frozenset({"cpu"})).limits.timeout_seconds == 1000


def test_a_job_lists_its_models_and_their_memory(weights: WeightsRegistry) -> None:
    """Each model is listed once, the step with the most pictures counts, and the grace after a cancel is longer."""
    job = job_for(weights, Make(candidates=4), Pick(), Fill(model="other"), Fill(model="big"))
    assert job.models == ("big", "other")
    assert (job.weights_mb, job.pictures_mb) == (40_000, 12_000)
    assert (job.limits.cancel_grace_seconds, job.limits.max_memory_bytes) == (GENERATION_GRACE_SECONDS, BASE.max_memory_bytes)


def test_a_job_does_not_list_a_missing_model(weights: WeightsRegistry) -> None:
    """The step itself reports the missing model."""
    assert job_for(weights, Fill(model="nowhere")).models == ()


def test_the_model_of_a_job_is_the_one_that_its_inputs_need(weights: WeightsRegistry) -> None:
    """Check a brief alone, and a reference picture that the model cannot use: the step itself reports that."""
    step = Regenerate(model="big", prompt="x")
    assert job_for(weights, step).models == job_for(weights, step, roles=("brief",)).models == ("big",)
    assert job_for(weights, step, roles=("picture", "ref")).models == ()


def test_jobs_that_differ_only_in_seed_and_prompt_share_a_batch(weights: WeightsRegistry) -> None:
    """If any other setting, the steps or the models differ, the jobs do not share a batch."""
    first = job_for(weights, Make(seed=1, prompt="a hand"))
    assert first.batch_key
    assert job_for(weights, Make(seed=2, prompt="a desk")).batch_key == first.batch_key
    for changed in (job_for(weights, Make(steps=8)), job_for(weights, Make(model="other")), job_for(weights, Make(), Pick())):
        assert changed.batch_key != first.batch_key


def test_a_job_without_an_engine_does_not_wait_for_the_gpu(weights: WeightsRegistry) -> None:
    """If there is a queue for jobs without an engine, the job goes there. A job with any engine stays in its stage's queue."""
    assert job_for(weights, Pick(), engineless_queue="cpu").queue == "cpu"
    assert job_for(weights, engineless_queue="cpu").queue == "cpu"
    assert job_for(weights, Pick()).queue == "gpu"
    assert job_for(weights, Pick(), Fill(model="light"), engineless_queue="cpu").queue == "gpu"
    assert job_for(weights, Pick(), engineless_queue="cpu", queue="special").queue == "special"


class FillFromPrompt(PictureOperation):
    """Fills a region from its own prompt, or else from the brief's prompt."""

    prompt: str = ""

    def needs(self) -> StepNeeds:
        return StepNeeds(engines=(EngineNeed(INPAINTER, needs_prompt=bool(self.prompt)),))

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        return picture


class FillWithoutPrompt(PictureOperation):
    """Fills a region and takes no prompt."""

    def needs(self) -> StepNeeds:
        return StepNeeds(engines=(EngineNeed(INPAINTER),))

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        return picture


def test_the_prompt_of_a_brief_leads_to_the_model_that_the_worker_will_choose(weights: WeightsRegistry) -> None:
    """If no model takes a prompt, the job uses the model without one. An operation without a prompt is not affected."""
    by_prompt = {True: weights.choose(EngineNeed(INPAINTER, "big")), False: weights.choose(EngineNeed(INPAINTER, "light"))}
    registry = cast(WeightsRegistry, SimpleNamespace(choose=lambda need: by_prompt[need.needs_prompt]))
    assert job_for(registry, FillFromPrompt(), prompt="moss").models == ("big",)
    assert job_for(registry, FillFromPrompt()).models == job_for(registry, FillWithoutPrompt(), prompt="moss").models == ()

    def refuse_prompt(need: EngineNeed[Any]) -> Any:
        if need.needs_prompt:
            raise InputError("No model takes a prompt.")
        return by_prompt[False]

    assert job_for(cast(WeightsRegistry, SimpleNamespace(choose=refuse_prompt)), FillFromPrompt(), prompt="moss").models == ()
