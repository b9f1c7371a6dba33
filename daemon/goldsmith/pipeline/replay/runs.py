"""Hands jobs to lanes and waits for what comes of them, one after the other."""

from __future__ import annotations

import select
from collections.abc import Callable
from time import monotonic

from goldsmith.errors import MachineFault, Problem
from goldsmith.jobs.job import Job, Outcome, Progress
from goldsmith.pipeline.workers.queues import Lanes

Tell = Callable[[str, float, str], None]
"""(stage, 0..1, what is being done)"""
_LOST = frozenset({"machine", "device"})


class Runs:
    """Jobs through the lanes of a house, in the foreground."""

    def __init__(self, lanes: Lanes, tell: Tell) -> None:
        self._lanes = lanes
        self._tell = tell

    def outcome(self, job: Job, title: str) -> Outcome:
        """What came of the job. Raises Problem where it fails, MachineFault where disk or device do."""
        self._tell(title, 0.0, "")
        self._lanes.submit(job)
        while True:
            for event in self._lanes.collect(monotonic()):
                if isinstance(event, Outcome):
                    self._tell(title, 1.0, "")
                    return _whole(event, job.stage)
                if isinstance(event, Progress):
                    share = (max(event.step, 1) - 1 + event.fraction) / max(len(job.steps), 1)
                    self._tell(title, min(share, 0.99), event.note or event.op)
            paused = self._lanes.paused(job.lane)
            if paused:
                raise MachineFault(paused, "Run the replay again when that is mended.")
            wait = self._lanes.wait(monotonic())
            select.select(self._lanes.waitables(), [], [], 1.0 if wait is None else min(wait, 1.0))


def _whole(outcome: Outcome, stage: str) -> Outcome:
    fault = outcome.fault
    if fault is None:
        return outcome
    if fault.kind in _LOST:
        raise MachineFault(fault.sentence, fault.remedy)
    raise Problem(f"It cannot be done again. {stage} says: {fault.sentence}", fault.remedy)
