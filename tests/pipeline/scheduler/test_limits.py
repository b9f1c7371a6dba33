"""What a job may use, by what its models' entries say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from goldsmith.engines import EngineNeed
from goldsmith.engines.registry.models import read_models
from goldsmith.engines.registry.weights import Weights
from goldsmith.errors import Problem
from goldsmith.jobs.job import Input, Job, Limits, StepSpec
from goldsmith.operation import Bench, Needs, Operation, PlateOperation, SetOperation
from goldsmith.picture.picture import Plate
from goldsmith.pipeline.scheduler.limits import CPU_SLOWER, GRACE, Allowances

BASE = Limits(seconds=900, memory_bytes=2**30, pixels=10**6)
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


class Fill(PlateOperation):
    """Fills with a model."""

    model: str = "big"

    def needs(self) -> Needs:
        return Needs(engines=(EngineNeed("inpaint", self.model),))

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        return plate


class Make(SetOperation):
    """Makes so many."""

    candidates: int = 8
    model: str = "big"
    seed: int = 0
    prompt: str = ""
    steps: int = 4

    def needs(self) -> Needs:
        return Needs(engines=(EngineNeed("generate", self.model),))

    def leaves(self, pictures: int) -> int:
        return self.candidates

    def apply_set(self, plates: Sequence[Plate], bench: Bench) -> Sequence[Plate]:
        return plates


class Pick(SetOperation):
    """Keeps one."""

    def leaves(self, pictures: int) -> int:
        return 1

    def apply_set(self, plates: Sequence[Plate], bench: Bench) -> Sequence[Plate]:
        return plates[:1]


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    (tmp_path / "models.toml").write_text(ENTRY.replace("NAME", "big") + ENTRY.replace("NAME", "other") + LIGHT)
    return Weights(read_models(tmp_path / "models.toml"), tmp_path)


def granted(
    weights: Weights, *operations: Operation, on_cpu: frozenset[str] = frozenset(), light: str = "", lane: str = "gpu", **more: Any
) -> Job:
    picture = Input.model_construct(role="picture", name="", path="inbox/hero.png", sig=None, sha256="")
    steps = tuple(StepSpec(op=type(each).__name__.lower(), settings=each.model_dump(exclude_unset=True)) for each in operations)
    job = Job.model_construct(
        id="1", root="/", stage="edit", lane=lane, stem="hero", inputs=(picture,), steps=steps, scratch="", limits=BASE, **more
    )
    return Allowances(BASE, weights, on_cpu, light).granted(job, [cast(Any, SimpleNamespace(operation=each)) for each in operations])


def test_a_job_without_a_generating_model_has_the_house_s_limits(weights: Weights) -> None:
    """Light engines are loaded in a moment and not worth keeping jobs together for."""
    for operations in ([], [Pick()], [Fill(model="light")]):
        job = granted(weights, *operations)
        assert (job.limits, job.models, job.alike) == (BASE, (), "")


def test_a_job_may_take_as_long_as_its_pictures_and_their_model_s_loading(weights: Weights) -> None:
    """Seconds for each picture from the entry, summed over the steps; loading from a slow disk; never less than the house says."""
    assert granted(weights, Fill()).limits.seconds == 900
    assert granted(weights, Make(candidates=30)).limits.seconds == 30 * 100 + 20_000 / 100
    assert granted(weights, Make(candidates=30), Fill(model="other")).limits.seconds == 60 * 100 + 2 * 20_000 / 100
    assert granted(weights, Make(candidates=30), Pick(), Fill()).limits.seconds == 31 * 100 + 20_000 / 100


def test_on_a_processor_it_may_take_longer(weights: Weights) -> None:
    """The entry's seconds are a GPU's; the time to load is not."""
    job = granted(weights, Make(candidates=8), on_cpu=frozenset({"gpu"}))
    assert job.limits.seconds == 8 * 100 * CPU_SLOWER + 200
    assert granted(weights, Make(candidates=8), on_cpu=frozenset({"cpu"})).limits.seconds == 1000


def test_it_is_told_which_models_it_opens_and_what_they_take(weights: Weights) -> None:
    """Each once; memory for the pictures of its largest step; and longer to heed a cancel."""
    job = granted(weights, Make(candidates=4), Pick(), Fill(model="other"), Fill(model="big"))
    assert job.models == ("big", "other")
    assert (job.weights_mb, job.pictures_mb) == (40_000, 12_000)
    assert (job.limits.grace, job.limits.memory_bytes) == (GRACE, BASE.memory_bytes)


def test_a_model_that_is_not_to_be_had_is_left_to_the_step(weights: Weights) -> None:
    """It says so itself, in its own words."""
    assert granted(weights, Fill(model="nowhere")).models == ()


def test_jobs_are_alike_but_for_seed_and_prompt(weights: Weights) -> None:
    """Everything else, the stage and the models too, makes them different."""
    one = granted(weights, Make(seed=1, prompt="a hand"))
    assert one.alike
    assert granted(weights, Make(seed=2, prompt="a desk")).alike == one.alike
    for other in (granted(weights, Make(steps=8)), granted(weights, Make(model="other")), granted(weights, Make(), Pick())):
        assert other.alike != one.alike


def test_what_opens_no_engine_need_not_wait_for_the_gpu(weights: Weights) -> None:
    """It goes to the lane for light work, where the house has one; what opens any engine stays where its stage says."""
    assert granted(weights, Pick(), light="cpu").lane == "cpu"
    assert granted(weights, light="cpu").lane == "cpu"
    assert granted(weights, Pick()).lane == "gpu"
    assert granted(weights, Pick(), Fill(model="light"), light="cpu").lane == "gpu"
    assert granted(weights, Pick(), light="cpu", lane="special").lane == "special"


class Told(PlateOperation):
    """Fills by words, the brief's where it has none."""

    prompt: str = ""

    def needs(self) -> Needs:
        return Needs(engines=(EngineNeed("inpaint", words=bool(self.prompt)),))

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        return plate


class Wordless(PlateOperation):
    """Fills, and listens to nobody."""

    def needs(self) -> Needs:
        return Needs(engines=(EngineNeed("inpaint"),))

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        return plate


def test_a_brief_s_own_words_choose_the_model_that_the_lane_will_choose(weights: Weights) -> None:
    """Its time is that model's; where no model takes words the one without serves, and what knows no prompt is as ever."""
    by_words = {True: weights.choose(EngineNeed("inpaint", "big")), False: weights.choose(EngineNeed("inpaint", "light"))}
    house = cast(Weights, SimpleNamespace(choose=lambda need: by_words[need.words]))
    assert granted(house, Told(), prompt="moss").models == ("big",)
    assert granted(house, Told()).models == granted(house, Wordless(), prompt="moss").models == ()

    def none_with_words(need: EngineNeed) -> Any:
        if need.words:
            raise Problem("No model takes words.")
        return by_words[False]

    assert granted(cast(Weights, SimpleNamespace(choose=none_with_words)), Told(), prompt="moss").models == ()
