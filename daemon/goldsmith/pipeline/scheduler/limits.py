"""What a job may use, and which models it opens, by what models.toml says of them: a ``stat`` each, nothing is loaded for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace

from goldsmith.brief.steps import Step
from goldsmith.engines import EngineNeed
from goldsmith.engines.registry.models import Diffusion
from goldsmith.engines.registry.weights import Choice, Weights
from goldsmith.errors import Problem
from goldsmith.jobs.job import Job, Limits
from goldsmith.operation import SetOperation

GPU = "gpu"
"""The lane that works on accelerators where there are any."""
GRACE = 30.0
"""Seconds that a job with a generating model gets to notice that it was called off. It looks up after every step of the model, and
the largest take some seconds for one; to kill it earlier would throw the loaded model away, which takes longer than to wait."""
SLOW_DISK = 100
"""MB/s at which weights are read at worst: a job's time begins when its model is not loaded yet."""
CPU_SLOWER = 20.0
"""An entry's seconds are a GPU's. A processor takes fifty times as long and more, but this is no estimate: it only must not stop what
gets on, and must stop what hangs before the day is over."""
_ITS_OWN = ("seed", "prompt")
"""Settings in which jobs may differ and still be worked on together."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A generating model that a step opens, and how many pictures the step makes with it."""

    name: str
    diffusion: Diffusion
    pictures: int


class Allowances:
    """What each job of a house may use. ``base``: the house's own limits; ``on_cpu``: the lanes that have nothing but the CPU; ``light``:
    the lane for jobs of a stage of the lane ``gpu`` that open no engine at all, so that they need not wait for those that do."""

    def __init__(self, base: Limits, weights: Weights, on_cpu: Set[str] = frozenset(), light: str = "") -> None:
        self.base = base
        self.weights = weights
        self._on_cpu = on_cpu
        self._light = light

    def granted(self, job: Job, steps: Sequence[Step]) -> Job:
        """The job, which has the house's own limits, with its models, the limits they need, and what it may share a device with."""
        if self._light and job.lane == GPU and not any(step.operation.needs().engines for step in steps):
            job = job.model_copy(update={"lane": self._light})
        opened = list(self._opened(steps, bool(job.prompt)))
        if not opened:
            return job
        models = {each.name: each.diffusion for each in opened}
        needed = sum(each.diffusion.seconds * each.pictures for each in opened) * (CPU_SLOWER if job.lane in self._on_cpu else 1.0)
        loading = sum(diffusion.memory_mb for diffusion in models.values()) / SLOW_DISK
        limits = self.base.model_copy(update={"seconds": max(self.base.seconds, needed + loading), "grace": GRACE})
        return job.model_copy(
            update={
                "limits": limits,
                "models": tuple(models),
                "alike": _alike(job, tuple(models)),
                "weights_mb": sum(diffusion.memory_mb for diffusion in models.values()),
                "pictures_mb": max(each.diffusion.picture_mb * each.pictures for each in opened),
            }
        )

    def _opened(self, steps: Sequence[Step], prompted: bool) -> Iterator[Opened]:
        """By its steps, in order; ``prompted``: the brief has words for those that have none. A model that is not to be had is not told
        here: the step says so itself."""
        pictures = 1
        for step in steps:
            operation = step.operation
            if isinstance(operation, SetOperation):
                pictures = operation.leaves(pictures)
            heeds = prompted and "prompt" in type(operation).model_fields
            for need in operation.needs().engines:
                choice = self._chosen(need, heeds)
                if choice is not None and choice.model.diffusion is not None:
                    yield Opened(choice.name, choice.model.diffusion, max(1, pictures))

    def _chosen(self, need: EngineNeed, heeds: bool) -> Choice | None:
        """As the lane chooses: a hole that could be filled by the brief's words is, where a model takes them."""
        worded = replace(need, words=True)
        for wanted in (worded, need) if heeds and need.kind == "inpaint" else (need,):
            with suppress(Problem):
                return self.weights.choose(wanted)
        return None


def _alike(job: Job, models: tuple[str, ...]) -> str:
    """One word for everything but the inputs, the seed and the prompt."""
    steps = [(step.op, {name: value for name, value in step.settings.items() if name not in _ITS_OWN}) for step in job.steps]
    said = json.dumps([job.stage, steps, models, job.mask_fit, job.working], sort_keys=True, default=str)
    return hashlib.sha256(said.encode("utf-8", "surrogateescape")).hexdigest()[:16]
