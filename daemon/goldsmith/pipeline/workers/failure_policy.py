"""What becomes of jobs whose process is dead: an outcome each, or their place in line again where it was not their doing."""

from __future__ import annotations

from collections.abc import Callable

from goldsmith.jobs import job_faults
from goldsmith.jobs.job import Job, JobFault, JobRequeued, Outcome
from goldsmith.pipeline.workers.job_queue import JobQueue
from goldsmith.pipeline.workers.slot import JobRun, Slot

# So often is a job sent to a process that dies before it begins; then the job is suspected.
_MAX_SENDS = 3


class FailurePolicy:
    """Decides whose fault a dead process is. Every job gets exactly one outcome in the end, however often it is put back before."""

    def __init__(self, queue: JobQueue, on_outcome: Callable[[Outcome], None], emit: Callable[[JobRequeued], None]) -> None:
        self._queue = queue
        self._on_outcome = on_outcome
        self._emit = emit
        self._sends: dict[str, int] = {}
        self._isolated_jobs: set[str] = set()

    def can_share_process(self, job: Job) -> bool:
        """Whether it may be worked on together with others: not where a process has died of one of them, and nobody knows which."""
        return job.id not in self._isolated_jobs

    @property
    def is_isolating(self) -> bool:
        """True while there is such a job that is not sociable."""
        return bool(self._isolated_jobs)

    def forget(self, job_id: str) -> None:
        """It has its outcome."""
        self._sends.pop(job_id, None)
        self._isolated_jobs.discard(job_id)

    def on_device_failed(self, slot: Slot, run: JobRun, fault: JobFault, now: float) -> None:
        """A job says that its device has failed: that pauses, unless it is this one job that it always fails over."""
        health = slot.device.health
        if len(slot.runs) == 1 and health.record_job_failure(run.job):
            run.kill_reason, run.is_job_fault = job_faults.device_failed(run.job, health.label, fault), True
            return
        slot.device_failure = fault.sentence
        health.on_device_failed(fault.sentence, now)

    def on_process_died(self, slot: Slot, exit_status: int | None, stderr: str, now: float) -> None:
        """Tell what becomes of every job that the dead process had; ``status`` is None for one that would not go."""
        back: list[Job] = []
        together = len(slot.runs) > 1
        called_off = any(run.is_unresponsive(now) for run in slot.runs)
        for run in slot.runs:
            fault = run.kill_reason or job_faults.crashed(run.job, -9 if exit_status is None else exit_status)
            if run.cancelled_at is not None:
                self._fail(run.job, job_faults.cancelled(run.job), stderr)
            elif slot.device_failure or together:
                back.append(run.job)
            elif not run.has_begun and run.kill_reason is None and self._may_resend(run.job):
                self._queue.requeue([run.job])
            elif not run.is_job_fault and fault.kind in ("crash", "timeout") and slot.device.health.record_process_death(run.job):
                slot.device_failure = job_faults.describe_repeated_failure(run.job, fault)
                slot.device.health.on_device_failed(slot.device_failure, now)
                back.append(run.job)
            else:
                self._fail(run.job, fault, stderr)
        if together and not (slot.device_failure or called_off):
            self._isolated_jobs.update(job.id for job in back)
        self._requeue(slot, back)

    def _fail(self, job: Job, fault: JobFault, stderr: str) -> None:
        self._on_outcome(Outcome(job_id=job.id, fault=fault.model_copy(update={"detail": stderr})))

    def _may_resend(self, job: Job) -> bool:
        """One that had not even begun loses nothing by being sent to another process."""
        self._sends[job.id] = self._sends.get(job.id, 0) + 1
        return self._sends[job.id] < _MAX_SENDS

    def _requeue(self, slot: Slot, jobs: list[Job]) -> None:
        """To the front of the line; but one over which the device fails again lets another go first: that shows who is to blame."""
        again = len(jobs) == 1 and slot.device.health.failure_count(jobs[0]) > 1
        self._queue.requeue(jobs, position=min(len(self._queue), int(again)))
        sentence = slot.device_failure or "It shared a process with a job that ended it."
        for job in jobs:
            self._emit(JobRequeued(job_id=job.id, sentence=sentence))
