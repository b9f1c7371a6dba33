"""The limits of a job and the models that it opens, from the entries in models.toml. One ``stat`` per model; nothing is loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from goldsmith.brief.steps import Step
from goldsmith.engines.kinds import INPAINTER
from goldsmith.engines.protocols import EngineNeed
from goldsmith.engines.registry.models import DiffusionSettings
from goldsmith.engines.registry.weights_registry import ModelChoice, WeightsRegistry
from goldsmith.errors import InputError
from goldsmith.jobs.job import GPU_QUEUE, Job, ResourceLimits
from goldsmith.step_needs import StepInputs

# Seconds that a cancelled job with a generating model gets to stop by itself. It checks after every step of the model, and the largest
# models take some seconds per step. Killing the worker earlier would discard the loaded model, and loading it takes longer than waiting.
GENERATION_GRACE_SECONDS = 30.0
# Lowest expected reading speed of weights. The timeout covers loading, since a job's time starts before its model is loaded.
SLOW_DISK_MB_PER_SECOND = 100
# Factor on the seconds in models.toml, which are measured on a GPU. A CPU takes fifty times as long or more. This factor is no estimate:
# it only has to let a job that progresses finish, and to end a job that hangs within a day.
CPU_SLOWDOWN = 20.0
# Settings in which the jobs of one batch may differ.
_PER_JOB_SETTINGS = ("seed", "prompt")


@dataclass(frozen=True, slots=True)
class ModelUse:
    """A generating model that a step opens, and the number of pictures that the step makes with it."""

    name: str
    diffusion: DiffusionSettings
    picture_count: int


class JobLimits:
    """Sets the limits of each job.

    base: the limits from the settings; cpu_queues: the queues whose workers have no accelerator; engineless_queue: the queue for jobs
    of a ``gpu`` stage that open no engine, so that they do not wait for jobs that do ("" = they stay in ``gpu``).
    """

    def __init__(
        self, base: ResourceLimits, weights: WeightsRegistry, cpu_queues: Set[str] = frozenset(), engineless_queue: str = ""
    ) -> None:
        self.base = base
        self.weights = weights
        self._cpu_queues = cpu_queues
        self._engineless_queue = engineless_queue

    def apply(self, job: Job, steps: Sequence[Step]) -> Job:
        """Return the job with its queue, its models, the limits that these need, and the batch key that lets jobs share a model."""
        if self._engineless_queue and job.queue == GPU_QUEUE and not any(step.operation.needs().engines for step in steps):
            job = job.model_copy(update={"queue": self._engineless_queue})
        controls = frozenset(each.name for each in job.inputs if each.role == "control")
        inputs = StepInputs(not job.is_lone_brief, any(each.role == "ref" for each in job.inputs), controls)
        model_uses = list(self._models_used(steps, bool(job.prompt), inputs))
        if not model_uses:
            return job
        models = {each.name: each.diffusion for each in model_uses}
        working_seconds = sum(each.diffusion.seconds * each.picture_count for each in model_uses) * (
            CPU_SLOWDOWN if job.queue in self._cpu_queues else 1.0
        )
        loading_seconds = sum(diffusion.memory_mb for diffusion in models.values()) / SLOW_DISK_MB_PER_SECOND
        timeout_seconds = max(self.base.timeout_seconds, working_seconds + loading_seconds)
        limits = self.base.model_copy(update={"timeout_seconds": timeout_seconds, "cancel_grace_seconds": GENERATION_GRACE_SECONDS})
        return job.model_copy(
            update={
                "limits": limits,
                "models": tuple(models),
                "batch_key": _batch_key(job, tuple(models)),
                "weights_mb": sum(diffusion.memory_mb for diffusion in models.values()),
                "pictures_mb": max(each.diffusion.picture_mb * each.picture_count for each in model_uses),
            }
        )

    def _models_used(self, steps: Sequence[Step], has_prompt: bool, inputs: StepInputs) -> Iterator[ModelUse]:
        """Yield the models that the steps open, in order. ``has_prompt``: the brief has a prompt for steps without their own.

        inputs: what lies beside the brief; the first step may make the picture.

        A missing model is skipped: the step itself reports it.
        """
        from goldsmith.operation import SetOperation  # it needs numpy, which a program that only looks at the folders does without

        pictures = 1
        for number, step in enumerate(steps):
            operation = step.operation
            if isinstance(operation, SetOperation):
                pictures = operation.max_results(pictures)
            uses_prompt = has_prompt and "prompt" in type(operation).model_fields
            step_inputs = replace(inputs, has_picture=inputs.has_picture or number > 0)
            for need in operation.needs_beside(step_inputs).engines:
                choice = self._choose_model(need, uses_prompt)
                if choice is not None and choice.model.diffusion is not None:
                    yield ModelUse(choice.name, choice.model.diffusion, max(1, pictures))

    def _choose_model(self, need: EngineNeed[Any], uses_prompt: bool) -> ModelChoice | None:
        """Return the model that the worker will choose: for inpainting with a prompt, one that takes a prompt if there is one."""
        with_prompt = replace(need, needs_prompt=True)
        for each in (with_prompt, need) if uses_prompt and need.kind is INPAINTER else (need,):
            with suppress(InputError):
                return self.weights.choose(each)
        return None


def _batch_key(job: Job, models: tuple[str, ...]) -> str:
    """Return a hash of everything in the job except its inputs, its seed and its prompt."""
    steps = [(step.op, {name: value for name, value in step.settings.items() if name not in _PER_JOB_SETTINGS}) for step in job.steps]
    text = json.dumps(
        [job.stage, steps, models, job.mask_fit, job.mask_from, job.working, job.hdr, job.float_range], sort_keys=True, default=str
    )
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
