"""Hands jobs to lanes and waits for what comes of them, one after the other."""

from __future__ import annotations

import select
from collections.abc import Callable
from time import monotonic

from goldsmith.errors import HostError, InputError
from goldsmith.jobs.job import Job, JobProgress, Outcome
from goldsmith.pipeline.workers.worker_pools import WorkerPools

# (stage, 0..1, what is being done)
OnStageProgress = Callable[[str, float, str], None]
_HOST_FAULT_KINDS = frozenset({"machine", "device"})


class ForegroundRunner:
    """Jobs through the lanes of a house, in the foreground."""

    def __init__(self, workers: WorkerPools, on_progress: OnStageProgress) -> None:
        self._workers = workers
        self._on_progress = on_progress

    def run(self, job: Job, title: str) -> Outcome:
        """What came of the job. Raises InputError where it fails, HostError where disk or device do."""
        self._on_progress(title, 0.0, "")
        self._workers.submit(job)
        while True:
            for event in self._workers.collect(monotonic()):
                if isinstance(event, Outcome):
                    self._on_progress(title, 1.0, "")
                    return _raise_on_fault(event, job.stage)
                if isinstance(event, JobProgress):
                    share = (max(event.step, 1) - 1 + event.fraction) / max(len(job.steps), 1)
                    self._on_progress(title, min(share, 0.99), event.note or event.op)
            paused = self._workers.pause_reason(job.queue)
            if paused:
                raise HostError(paused, "Run the replay again when that is mended.")
            wait = self._workers.seconds_until_due(monotonic())
            select.select(self._workers.readable_fds(), [], [], 1.0 if wait is None else min(wait, 1.0))


def _raise_on_fault(outcome: Outcome, stage: str) -> Outcome:
    fault = outcome.fault
    if fault is None:
        return outcome
    if fault.kind in _HOST_FAULT_KINDS:
        raise HostError(fault.sentence, fault.remedy)
    raise InputError(f"It cannot be done again. {stage} says: {fault.sentence}", fault.remedy)
