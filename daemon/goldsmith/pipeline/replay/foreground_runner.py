"""Runs jobs in workers one after the other and waits for each outcome."""

from __future__ import annotations

import select
from collections.abc import Callable
from time import monotonic

from goldsmith.errors import HostError, InputError
from goldsmith.jobs.job import Job, JobProgress, Outcome
from goldsmith.pipeline.workers.worker_pools import WorkerPools

# (stage, fraction 0..1, current activity)
OnStageProgress = Callable[[str, float, str], None]
_HOST_FAULT_KINDS = frozenset({"machine", "disputed", "device"})


class ForegroundRunner:
    """Runs jobs in workers while the caller waits."""

    def __init__(
        self, workers: WorkerPools, on_progress: OnStageProgress, intro: str = "The delivery cannot be repeated. Stage {stage}: "
    ) -> None:
        """``intro`` begins the sentence about a job that fails."""
        self._intro = intro
        self._workers = workers
        self._on_progress = on_progress

    def run(self, job: Job, title: str) -> Outcome:
        """Return the job's outcome. Raises InputError if the job fails, and HostError if a disk or device fails."""
        self._on_progress(title, 0.0, "")
        self._workers.submit(job)
        while True:
            for event in self._workers.collect(monotonic()):
                if isinstance(event, Outcome):
                    self._on_progress(title, 1.0, "")
                    return _raise_on_fault(event, self._intro.format(stage=job.stage))
                if isinstance(event, JobProgress):
                    share = (max(event.step, 1) - 1 + event.fraction) / max(len(job.steps), 1)
                    self._on_progress(title, min(share, 0.99), event.note or event.op)
            paused = self._workers.pause_reason(job.queue)
            if paused:
                raise HostError(paused, "Run this again once that is repaired.")
            wait = self._workers.seconds_until_due(monotonic())
            select.select(self._workers.readable_fds(), [], [], 1.0 if wait is None else min(wait, 1.0))


def _raise_on_fault(outcome: Outcome, intro: str) -> Outcome:
    fault = outcome.fault
    if fault is None:
        return outcome
    if fault.kind in _HOST_FAULT_KINDS:
        raise HostError(fault.sentence, fault.remedy)
    raise InputError(f"{intro}{fault.sentence}", fault.remedy)
