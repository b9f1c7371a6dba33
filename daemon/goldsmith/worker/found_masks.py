"""Finds the masks of a job whose masks a person must approve before its steps run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import JsonValue

from goldsmith.errors import InputError
from goldsmith.jobs.job import Job
from goldsmith.jobs.names import mask_tail
from goldsmith.operation import Operation, PictureOperation
from goldsmith.picture.picture import Mask, Picture, freeze
from goldsmith.worker.step_context import WorkerStepContext

# Returns the step context of a step, by its number from 1.
ContextOfStep = Callable[[int], WorkerStepContext]


@dataclass(frozen=True, eq=False, slots=True)
class FoundMask:
    """The mask that a step finds by itself."""

    name: str
    # The region in words, as ``Operation.found_region`` returns it.
    region: str
    # (h, w), 0..1, with the values that its file has.
    mask: Mask
    # What was found, and by which engines, for the record.
    facts: dict[str, JsonValue]

    @property
    def tail(self) -> str:
        """The end of the name of its file."""
        return mask_tail(self.name)


def find_masks(job: Job, operations: Sequence[Operation], picture: Picture, context_of: ContextOfStep) -> list[FoundMask]:
    """Return each mask of ``job.finds_masks`` in the picture. Raises InputError if the picture does not contain a region."""
    masks: dict[str, FoundMask] = {}
    for number, operation in enumerate(operations, 1):
        region = operation.found_region()
        if region not in job.finds_masks or region in masks or not isinstance(operation, PictureOperation):
            continue
        context = context_of(number)
        context.progress.report(0.0, "finding the mask")
        try:
            mask = _as_stored(operation.find_region(picture, context))
        except InputError as problem:
            raise InputError(f"{job.stage}.{number} ({job.steps[number - 1].op}): {problem.sentence}", problem.remedy) from problem
        facts: dict[str, JsonValue] = {
            "name": job.finds_masks[region],
            "region": region,
            "step": number,
            "share": round(float(mask.mean(dtype=np.float64)), 5),
        }
        findings, engines = context.recorder.findings.get("found"), context.recorder.engines()
        facts |= {"found": findings} if findings is not None else {}
        facts |= {"engine": engines} if engines is not None else {}
        masks[region] = FoundMask(job.finds_masks[region], region, mask, facts)
    return list(masks.values())


def masks_used_up(operations: Sequence[Operation]) -> set[str]:
    """Return the names of the masks that are only used to find others: from then on, the found ones replace them."""
    finding = [operation.needs().masks for operation in operations if operation.found_region()]
    using = [operation.needs().masks for operation in operations if not operation.found_region()]
    return set().union(*finding) - set().union(*using)


def _as_stored(mask: Mask) -> Mask:
    """Return the mask with the values of a file of 16 bits."""
    levels = np.float32(65535)
    return freeze((np.round(mask * levels) / levels).astype(np.float32))
