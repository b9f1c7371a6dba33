"""The policy for the jobs of a dead process: a job that is at fault gets an outcome, and every other job is queued again."""

from __future__ import annotations

import signal
from collections.abc import Callable

from goldsmith.jobs import job_faults
from goldsmith.jobs.job import Job, JobFault, JobRequeued, Outcome
from goldsmith.pipeline.workers.job_queue import JobQueue, QueuedJob
from goldsmith.pipeline.workers.memory_kills import read_memory_kill_count
from goldsmith.pipeline.workers.slot import JobRun, Slot

# How often a job is sent to a process that dies before it starts the job, or for another job's file. After that the job is suspected.
_MAX_SENDS = 3
# How often a job may lose its process to the kernel or a person without a counted attempt.
MAX_EXCUSED_KILLS = 2
# How often a job may lose its host before that counts as an attempt: a picture that brings down each host must get a note in the end.
MAX_HOST_LOSSES = 10
# How often a device may fail on a job without a success in between, before that counts as an attempt. A device that is to blame has been
# tried again for an hour by then. Without a limit, a picture that has taken its process over could pause the device for ever.
MAX_DEVICE_CLAIMS = 10


class FailurePolicy:
    """Decides what caused the death of a process. Each job gets exactly one outcome in the end, however often it is requeued before."""

    def __init__(self, queue: JobQueue, on_outcome: Callable[[Outcome], None], emit: Callable[[JobRequeued], None]) -> None:
        self._queue = queue
        self._on_outcome = on_outcome
        self._emit = emit
        self._sends: dict[str, int] = {}
        # By job, how often its process was killed from outside.
        self._kills: dict[str, int] = {}
        # By job, how often the host of its process was lost.
        self._host_losses: dict[str, int] = {}
        self._isolated_jobs: set[str] = set()

    def can_share_process(self, job: Job | QueuedJob) -> bool:
        """Return whether the job may share a process with others.

        After a process with several jobs has died, each of these jobs runs alone, which shows the one that is at fault.
        """
        return job.id not in self._isolated_jobs

    @property
    def is_isolating(self) -> bool:
        """True while there is a job that must run alone."""
        return bool(self._isolated_jobs)

    def forget(self, job_id: str) -> None:
        """Forget a job that has its outcome."""
        self._sends.pop(job_id, None)
        self._kills.pop(job_id, None)
        self._host_losses.pop(job_id, None)
        self._isolated_jobs.discard(job_id)

    def on_device_failed(self, slot: Slot, run: JobRun, fault: JobFault, now: float) -> None:
        """Pause the device of a job that reports a device failure, unless the device fails on this job only."""
        health = slot.device.health
        is_alone = len(slot.runs) == 1
        if health.record_job_failure(run.job) and is_alone:
            run.kill_reason, run.is_job_fault = job_faults.device_failed(run.job, health.label, fault), True
            return
        if is_alone and health.failure_count(run.job) > MAX_DEVICE_CLAIMS:
            # The device seems to be dead, or this picture makes its process say so.
            run.kill_reason, run.is_job_fault = job_faults.device_blamed(run.job, health.label, fault), True
            return
        if not is_alone and health.failure_count(run.job) > 1:
            # It failed in a batch again: alone, each of these jobs shows whether it is at fault.
            self._isolated_jobs.update(each.job.id for each in slot.runs)
        slot.device_failure = fault.sentence
        health.on_device_failed(fault.sentence, now)

    def on_process_died(self, slot: Slot, exit_status: int | None, stderr: str, now: float) -> None:
        """Give each job of a dead process its outcome, or queue the job again.

        ``exit_status`` is None for a process that was killed and still exists.
        """
        requeued: list[Job] = []
        is_shared = len(slot.runs) > 1
        # The outcome of the job at fault is there already, and its run has left the slot.
        is_reported = exit_status == job_faults.REPORTED_EXIT_STATUS
        is_culprit_known = is_reported or slot.is_distrusted or any(run.is_job_fault for run in slot.runs)
        is_cancel_ignored = any(run.is_unresponsive(now) for run in slot.runs)
        for run in slot.runs:
            if run.cancelled_at is not None:
                self._fail(run.job, job_faults.cancelled(run.job.asset.path), stderr)
                continue
            is_another_to_blame = self._is_another_to_blame(slot, run, is_reported)
            fault = run.kill_reason or job_faults.crashed(run.job, -9 if exit_status is None else exit_status)
            if run.is_job_fault and not slot.device_failure:
                self._fail(run.job, fault, stderr)
            elif is_another_to_blame:
                requeued.append(run.job)
            elif not run.has_begun and run.kill_reason is None and self._may_resend(run.job):
                self._queue.requeue([run.job])
            elif exit_status == -signal.SIGKILL and not slot.is_killed:
                self._on_killed_from_outside(slot, run, stderr, now)
            elif fault.kind in ("crash", "timeout") and slot.device.health.record_process_death(run.job):
                slot.device_failure = job_faults.describe_repeated_failure(run.job, fault)
                slot.device.health.on_device_failed(slot.device_failure, now)
                requeued.append(run.job)
            else:
                self._fail(run.job, fault, stderr)
        if is_shared and not (slot.device_failure or slot.process.host_failure or is_cancel_ignored or is_culprit_known):
            self._isolated_jobs.update(job.id for job in requeued)
        self._requeue(slot, requeued)

    def _on_killed_from_outside(self, slot: Slot, run: JobRun, stderr: str, now: float) -> None:
        """Queue the job again whose process somebody else has killed: the kernel when memory runs out, or a person.

        Its picture need not be at fault, so the first kills count no attempt. A picture whose job is killed each time must get a note.
        """
        is_out_of_memory = read_memory_kill_count() > run.memory_kills_before
        if is_out_of_memory:
            slot.device.health.on_memory_exhausted(now)
        self._kills[run.job.id] = self._kills.get(run.job.id, 0) + 1
        if self._kills[run.job.id] <= MAX_EXCUSED_KILLS:
            self._queue.requeue([run.job])
            sentence = job_faults.MEMORY_EXHAUSTED if is_out_of_memory else "Its process was killed from outside."
            self._emit(JobRequeued(job_id=run.job.id, sentence=sentence))
        else:
            fault = job_faults.killed_for_memory(run.job) if is_out_of_memory else job_faults.crashed(run.job, -signal.SIGKILL)
            self._fail(run.job, fault, stderr)

    def _is_another_to_blame(self, slot: Slot, run: JobRun, is_reported: bool) -> bool:
        """Return whether the device, the host or another job is to blame for the end of the process. Count a loss of the host."""
        if slot.device_failure or len(slot.runs) > 1 or slot.is_distrusted:
            return True
        if slot.process.host_failure:
            self._host_losses[run.job.id] = self._host_losses.get(run.job.id, 0) + 1
            if self._host_losses[run.job.id] <= MAX_HOST_LOSSES:
                return True
            run.kill_reason = job_faults.host_lost(run.job, slot.process.host_failure)
        return is_reported and self._may_resend(run.job)

    def _fail(self, job: Job, fault: JobFault, stderr: str) -> None:
        detail = "\n".join(text for text in (fault.detail, stderr) if text)
        self._on_outcome(Outcome(job_id=job.id, fault=fault.model_copy(update={"detail": detail}), scratch=job.scratch))

    def _may_resend(self, job: Job) -> bool:
        """Count one more try to send the job, and return whether it may be tried again without a counted attempt."""
        self._sends[job.id] = self._sends.get(job.id, 0) + 1
        return self._sends[job.id] < _MAX_SENDS

    def _requeue(self, slot: Slot, jobs: list[Job]) -> None:
        """Put the jobs at the front of the queue.

        A job on which the device fails again goes second: the job before it shows whether the device or the job is at fault.
        """
        fails_again = len(jobs) == 1 and slot.device.health.failure_count(jobs[0]) > 1
        self._queue.requeue(jobs, position=min(len(self._queue), int(fails_again)))
        sentence = slot.device_failure or slot.process.host_failure or "It shared a process with a job that ended it."
        for job in jobs:
            self._emit(JobRequeued(job_id=job.id, sentence=sentence))
