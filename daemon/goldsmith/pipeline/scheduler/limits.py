"""What a job may use, and which models it opens, by what models.toml says of them: a ``stat`` each, nothing is loaded for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace

from goldsmith.brief.steps import Step
from goldsmith.engines import EngineNeed
from goldsmith.engines.registry.models import DiffusionSettings
from goldsmith.engines.registry.weights_registry import ModelChoice, WeightsRegistry
from goldsmith.errors import InputError
from goldsmith.jobs.job import Job, ResourceLimits
from goldsmith.operation import SetOperation

# The lane that works on accelerators where there are any.
GPU_QUEUE = "gpu"
# Seconds that a job with a generating model gets to notice that it was called off. It looks up after every step of the model, and the
# largest take some seconds for one; to kill it earlier would throw the loaded model away, which takes longer than to wait.
GENERATION_GRACE_SECONDS = 30.0
# MB/s at which weights are read at worst: a job's time begins when its model is not loaded yet.
SLOW_DISK_MB_PER_SECOND = 100
# An entry's seconds are a GPU's. A processor takes fifty times as long and more, but this is no estimate: it only must not stop what gets
# on, and must stop what hangs before the day is over.
CPU_SLOWDOWN = 20.0
# Settings in which jobs may differ and still be worked on together.
_PER_JOB_SETTINGS = ("seed", "prompt")


@dataclass(frozen=True, slots=True)
class ModelUse:
    """A generating model that a step opens, and how many pictures the step makes with it."""

    name: str
    diffusion: DiffusionSettings
    picture_count: int


class JobLimits:
    """What each job of a house may use. ``base``: the house's own limits; ``on_cpu``: the lanes that have nothing but the CPU; ``light``:
    the lane for jobs of a stage of the lane ``gpu`` that open no engine at all, so that they need not wait for those that do."""

    def __init__(
        self, base: ResourceLimits, weights: WeightsRegistry, cpu_queues: Set[str] = frozenset(), engineless_queue: str = ""
    ) -> None:
        self.base = base
        self.weights = weights
        self._cpu_queues = cpu_queues
        self._engineless_queue = engineless_queue

    def apply(self, job: Job, steps: Sequence[Step]) -> Job:
        """The job, which has the house's own limits, with its models, the limits they need, and what it may share a device with."""
        if self._engineless_queue and job.queue == GPU_QUEUE and not any(step.operation.needs().engines for step in steps):
            job = job.model_copy(update={"queue": self._engineless_queue})
        opened = list(self._models_used(steps, bool(job.prompt)))
        if not opened:
            return job
        models = {each.name: each.diffusion for each in opened}
        needed = sum(each.diffusion.seconds * each.picture_count for each in opened) * (
            CPU_SLOWDOWN if job.queue in self._cpu_queues else 1.0
        )
        loading = sum(diffusion.memory_mb for diffusion in models.values()) / SLOW_DISK_MB_PER_SECOND
        limits = self.base.model_copy(
            update={"timeout_seconds": max(self.base.timeout_seconds, needed + loading), "cancel_grace_seconds": GENERATION_GRACE_SECONDS}
        )
        return job.model_copy(
            update={
                "limits": limits,
                "models": tuple(models),
                "batch_key": _batch_key(job, tuple(models)),
                "weights_mb": sum(diffusion.memory_mb for diffusion in models.values()),
                "pictures_mb": max(each.diffusion.picture_mb * each.picture_count for each in opened),
            }
        )

    def _models_used(self, steps: Sequence[Step], has_prompt: bool) -> Iterator[ModelUse]:
        """By its steps, in order; ``prompted``: the brief has words for those that have none. A model that is not to be had is not told
        here: the step says so itself."""
        pictures = 1
        for step in steps:
            operation = step.operation
            if isinstance(operation, SetOperation):
                pictures = operation.max_results(pictures)
            heeds = has_prompt and "prompt" in type(operation).model_fields
            for need in operation.needs().engines:
                choice = self._choose_model(need, heeds)
                if choice is not None and choice.model.diffusion is not None:
                    yield ModelUse(choice.name, choice.model.diffusion, max(1, pictures))

    def _choose_model(self, need: EngineNeed, uses_prompt: bool) -> ModelChoice | None:
        """As the lane chooses: a hole that could be filled by the brief's words is, where a model takes them."""
        worded = replace(need, needs_prompt=True)
        for wanted in (worded, need) if uses_prompt and need.kind == "inpaint" else (need,):
            with suppress(InputError):
                return self.weights.choose(wanted)
        return None


def _batch_key(job: Job, models: tuple[str, ...]) -> str:
    """One word for everything but the inputs, the seed and the prompt."""
    steps = [(step.op, {name: value for name, value in step.settings.items() if name not in _PER_JOB_SETTINGS}) for step in job.steps]
    said = json.dumps([job.stage, steps, models, job.mask_fit, job.working], sort_keys=True, default=str)
    return hashlib.sha256(said.encode("utf-8", "surrogateescape")).hexdigest()[:16]
