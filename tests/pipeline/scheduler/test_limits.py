"""What a job may use, by what its models' entries say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from goldsmith.engines import EngineNeed
from goldsmith.engines.registry.models import read_models
from goldsmith.engines.registry.weights_registry import WeightsRegistry
from goldsmith.errors import InputError
from goldsmith.jobs.job import Job, JobInput, ResourceLimits, StepSpec
from goldsmith.operation import Operation, PictureOperation, SetOperation, StepContext, StepNeeds
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
    """Fills with a model."""

    model: str = "big"

    def needs(self) -> StepNeeds:
        return StepNeeds(engines=(EngineNeed("inpaint", self.model),))

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        return picture


class Make(SetOperation):
    """Makes so many."""

    candidates: int = 8
    model: str = "big"
    seed: int = 0
    prompt: str = ""
    steps: int = 4

    def needs(self) -> StepNeeds:
        return StepNeeds(engines=(EngineNeed("generate", self.model),))

    def max_results(self, count: int) -> int:
        return self.candidates

    def apply_set(self, pictures: Sequence[Picture], context: StepContext) -> Sequence[Picture]:
        return pictures


class Pick(SetOperation):
    """Keeps one."""

    def max_results(self, count: int) -> int:
        return 1

    def apply_set(self, pictures: Sequence[Picture], context: StepContext) -> Sequence[Picture]:
        return pictures[:1]


@pytest.fixture
def weights(tmp_path: Path) -> WeightsRegistry:
    (tmp_path / "models.toml").write_text(ENTRY.replace("NAME", "big") + ENTRY.replace("NAME", "other") + LIGHT)
    return WeightsRegistry(read_models(tmp_path / "models.toml"), tmp_path)


def granted(
    weights: WeightsRegistry, *operations: Operation, on_cpu: frozenset[str] = frozenset(), light: str = "", lane: str = "gpu", **more: Any
) -> Job:
    picture = JobInput.model_construct(role="picture", name="", path="inbox/hero.png", sig=None, sha256="")
    steps = tuple(StepSpec(op=type(each).__name__.lower(), settings=each.model_dump(exclude_unset=True)) for each in operations)
    job = Job.model_construct(
        id="1", root="/", stage="edit", queue=lane, stem="hero", inputs=(picture,), steps=steps, scratch="", limits=BASE, **more
    )
    return JobLimits(BASE, weights, on_cpu, light).apply(job, [cast(Any, SimpleNamespace(operation=each)) for each in operations])


def test_a_job_without_a_generating_model_has_the_house_s_limits(weights: WeightsRegistry) -> None:
    """Light engines are loaded in a moment and not worth keeping jobs together for."""
    for operations in ([], [Pick()], [Fill(model="light")]):
        job = granted(weights, *operations)
        assert (job.limits, job.models, job.batch_key) == (BASE, (), "")


def test_a_job_may_take_as_long_as_its_pictures_and_their_model_s_loading(weights: WeightsRegistry) -> None:
    """Seconds for each picture from the entry, summed over the steps; loading from a slow disk; never less than the house says."""
    assert granted(weights, Fill()).limits.timeout_seconds == 900
    assert granted(weights, Make(candidates=30)).limits.timeout_seconds == 30 * 100 + 20_000 / 100
    assert granted(weights, Make(candidates=30), Fill(model="other")).limits.timeout_seconds == 60 * 100 + 2 * 20_000 / 100
    assert granted(weights, Make(candidates=30), Pick(), Fill()).limits.timeout_seconds == 31 * 100 + 20_000 / 100


def test_on_a_processor_it_may_take_longer(weights: WeightsRegistry) -> None:
    """The entry's seconds are a GPU's; the time to load is not."""
    job = granted(weights, Make(candidates=8), on_cpu=frozenset({"gpu"}))
    assert job.limits.timeout_seconds == 8 * 100 * CPU_SLOWDOWN + 200
    assert granted(weights, Make(candidates=8), on_cpu=frozenset({"cpu"})).limits.timeout_seconds == 1000


def test_it_is_told_which_models_it_opens_and_what_they_take(weights: WeightsRegistry) -> None:
    """Each once; memory for the pictures of its largest step; and longer to heed a cancel."""
    job = granted(weights, Make(candidates=4), Pick(), Fill(model="other"), Fill(model="big"))
    assert job.models == ("big", "other")
    assert (job.weights_mb, job.pictures_mb) == (40_000, 12_000)
    assert (job.limits.cancel_grace_seconds, job.limits.max_memory_bytes) == (GENERATION_GRACE_SECONDS, BASE.max_memory_bytes)


def test_a_model_that_is_not_to_be_had_is_left_to_the_step(weights: WeightsRegistry) -> None:
    """It says so itself, in its own words."""
    assert granted(weights, Fill(model="nowhere")).models == ()


def test_jobs_are_alike_but_for_seed_and_prompt(weights: WeightsRegistry) -> None:
    """Everything else, the stage and the models too, makes them different."""
    one = granted(weights, Make(seed=1, prompt="a hand"))
    assert one.batch_key
    assert granted(weights, Make(seed=2, prompt="a desk")).batch_key == one.batch_key
    for other in (granted(weights, Make(steps=8)), granted(weights, Make(model="other")), granted(weights, Make(), Pick())):
        assert other.batch_key != one.batch_key


def test_what_opens_no_engine_need_not_wait_for_the_gpu(weights: WeightsRegistry) -> None:
    """It goes to the lane for light work, where the house has one; what opens any engine stays where its stage says."""
    assert granted(weights, Pick(), light="cpu").queue == "cpu"
    assert granted(weights, light="cpu").queue == "cpu"
    assert granted(weights, Pick()).queue == "gpu"
    assert granted(weights, Pick(), Fill(model="light"), light="cpu").queue == "gpu"
    assert granted(weights, Pick(), light="cpu", lane="special").queue == "special"


class Told(PictureOperation):
    """Fills by words, the brief's where it has none."""

    prompt: str = ""

    def needs(self) -> StepNeeds:
        return StepNeeds(engines=(EngineNeed("inpaint", needs_prompt=bool(self.prompt)),))

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        return picture


class Wordless(PictureOperation):
    """Fills, and listens to nobody."""

    def needs(self) -> StepNeeds:
        return StepNeeds(engines=(EngineNeed("inpaint"),))

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        return picture


def test_a_brief_s_own_words_choose_the_model_that_the_lane_will_choose(weights: WeightsRegistry) -> None:
    """Its time is that model's; where no model takes words the one without serves, and what knows no prompt is as ever."""
    by_words = {True: weights.choose(EngineNeed("inpaint", "big")), False: weights.choose(EngineNeed("inpaint", "light"))}
    house = cast(WeightsRegistry, SimpleNamespace(choose=lambda need: by_words[need.words]))
    assert granted(house, Told(), prompt="moss").models == ("big",)
    assert granted(house, Told()).models == granted(house, Wordless(), prompt="moss").models == ()

    def none_with_words(need: EngineNeed) -> Any:
        if need.needs_prompt:
            raise InputError("No model takes words.")
        return by_words[False]

    assert granted(cast(WeightsRegistry, SimpleNamespace(choose=none_with_words)), Told(), prompt="moss").models == ()
