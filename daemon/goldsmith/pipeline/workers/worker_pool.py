"""The workers of one queue: the queue of jobs, and the processes on each device that take them."""

from __future__ import annotations

import select
from collections.abc import Callable, Sequence
from math import ceil

from goldsmith.jobs import job_faults
from goldsmith.jobs.job import Job, JobProgress, JobRequeued, Outcome
from goldsmith.jobs.protocol import (
    BatchMessage,
    MessageType,
    ModelsMessage,
    ProtocolError,
    WorkerConfig,
    WorkerSpec,
    decode_message,
    encode_message,
)
from goldsmith.pipeline.workers.device_health import DeviceHealth
from goldsmith.pipeline.workers.failure_policy import FailurePolicy
from goldsmith.pipeline.workers.job_queue import JobQueue
from goldsmith.pipeline.workers.slot import (
    STUCK_PROCESS,
    JobRun,
    Slot,
    WorkerDevice,
    WorkerSnapshot,
    batch_size,
)
from goldsmith.pipeline.workers.worker_process import SpawnWorker, WorkerProcess

Event = JobProgress | Outcome | JobRequeued

# Seconds between two checks of a running job's memory.
MEMORY_CHECK_SECONDS = 0.25
_POLL_SECONDS = 0.01
# Seconds after which a killed process that still exists is stuck in the kernel: its jobs get their outcomes, and its slot is given up.
_KILL_GRACE_SECONDS = 5.0
# A process that keeps more than this fraction of a job's memory limit after the job is replaced, so that the next job does not fail for it.
_MAX_IDLE_MEMORY_SHARE = 0.75
# The same for a process with loaded models, which it is meant to keep.
_MAX_IDLE_MEMORY_SHARE_LOADED = 0.9


class WorkerPool:
    """The queue of jobs and the worker processes for one queue name. No method blocks, except ``terminate``."""

    def __init__(
        self, specs: Sequence[WorkerSpec], config: WorkerConfig, spawn: SpawnWorker, epoll: select.epoll, emit: Callable[[Event], None]
    ) -> None:
        self.name = specs[0].queue
        self.queue = JobQueue()
        self.slots: list[Slot] = []
        self.devices = [WorkerDevice(spec, DeviceHealth(spec.queue, spec.device)) for spec in specs]
        self.is_draining = False
        self._config = config
        self._spawn = spawn
        self._epoll = epoll
        self._emit = emit
        self._failure_policy = FailurePolicy(self.queue, self._finish, emit)
        self._checked_at = 0.0

    @property
    def pause_reason(self) -> str:
        """Why no job starts; "" while at least one device is healthy."""
        if not all(device.health.pause_reason for device in self.devices):
            return ""
        return " ".join(dict.fromkeys(device.health.pause_reason for device in self.devices))

    def running_jobs(self) -> list[tuple[Slot, JobRun]]:
        """Return the jobs that run, each with its slot."""
        return [(slot, run) for slot in self.slots for run in slot.runs]

    def cancel(self, job_id: str, now: float) -> bool:
        """Cancel a job that is queued or runs; return False if there is no such job."""
        queued = self.queue.remove(job_id)
        if queued is not None:
            self._finish(Outcome(job_id=job_id, fault=job_faults.cancelled(queued)))
            return True
        for slot, run in self.running_jobs():
            if run.job.id == job_id:
                if run.cancelled_at is None:
                    run.cancelled_at = now
                    slot.process.send(MessageType.CANCEL, job_id.encode())
                return True
        return False

    def predict_order(self, now: float, limit: int) -> list[str]:
        """Return the ids of the next ``limit`` queued jobs, in the order in which they will start as far as is known."""
        return self.queue.predict_order([slot.loaded_models for slot in self.slots], now, limit)

    def worker_snapshots(self, now: float) -> list[WorkerSnapshot]:
        """Return the state of each process, and of each device without a process."""
        snapshots = [
            WorkerSnapshot(
                slot.device.spec,
                slot.device.health.pause_reason,
                tuple(run.job for run in slot.runs),
                slot.models,
                now - slot.loading_since,
            )
            for slot in self.slots
        ]
        idle = [device for device in self.devices if not any(slot.device is device for slot in self.slots)]
        return snapshots + [WorkerSnapshot(device.spec, device.health.pause_reason) for device in idle]

    def dispatch(self, now: float) -> None:
        """Give queued jobs to free slots, and start processes while there are fewer than allowed."""
        if self.is_draining or not self.queue or self.is_blocked(now):
            return
        vacant = self._vacant_devices(now)
        free = [slot for slot in self.slots if self._can_take_job(slot) and not slot.device.is_unhealthy(now)]
        starting = sum(not slot.process.is_ready for slot in self.slots)
        while free and self.queue:
            # A process unloads no model for another while there is, or will soon be, a process without models.
            pick = self.queue.take_next([slot.loaded_models for slot in free], now, may_evict=not (starting or vacant))
            if pick is None:
                break
            self._assign(free.pop(pick[0]), pick[1], len(free) + len(vacant), now)
        for device in vacant[: max(0, len(self.queue) - starting)]:
            if not device.health.pause_reason:
                self._start_process(device, now)

    def _can_take_job(self, slot: Slot) -> bool:
        """Return whether the slot may get a job. While a job must run alone, no job starts beside another."""
        return slot.is_free and not (slot.runs and self._failure_policy.is_isolating)

    def is_blocked(self, now: float) -> bool:
        """Return whether no job may start; end each pause whose time is over."""
        unhealthy = [device.is_unhealthy(now) for device in self.devices]
        return all(unhealthy)

    def prewarm(self, now: float) -> None:
        """Start a first process if there is none and a device is healthy."""
        if not self.slots and not self.is_blocked(now):
            self._start_process(self._vacant_devices(now)[0], now)

    def collect(self, readable_fds: frozenset[int], now: float) -> None:
        """Read the messages of the processes, kill those that must be killed, reap the dead ones, and dispatch jobs."""
        check_memory = now - self._checked_at >= MEMORY_CHECK_SECONDS
        if check_memory or any(slot.dying_since is not None or slot.process.has_unsent for slot in self.slots):
            self._checked_at = now
        for slot in list(self.slots):
            if check_memory or slot.dying_since is not None or readable_fds.intersection(slot.process.readable_fds):
                self._read_messages(slot, now)
            slot.process.flush()
            if slot.process.has_ended and slot.dying_since is None:
                slot.dying_since = now
            if slot.dying_since is None and slot.must_be_killed(now, check_memory):
                self._kill(slot, now)
            if slot.dying_since is not None:
                self._reap(slot, now)
        self.dispatch(now)

    def deadlines(self) -> list[float]:
        """Return the moments at which ``collect`` has something to do although no descriptor becomes readable."""
        moments: list[float] = []
        if self.queue and not self.is_draining:
            moments += [device.health.retry_at for device in self.devices if device.health.pause_reason]
        for slot in self.slots:
            if slot.process.has_unsent or slot.dying_since is not None:
                moments.append(self._checked_at + _POLL_SECONDS)
            else:
                moments += slot.deadlines() + ([self._checked_at + MEMORY_CHECK_SECONDS] if slot.runs else [])
        return moments

    def terminate(self) -> None:
        """Kill every process. Each job without an outcome gets the outcome ``cancelled``."""
        for slot in self.slots:
            slot.process.kill()
        for slot in self.slots:
            slot.process.wait_exit(1.0)
            slot.process.close()
        for job in [*(run.job for _, run in self.running_jobs()), *self.queue]:
            self._finish(Outcome(job_id=job.id, fault=job_faults.cancelled(job)))
        self.slots.clear()
        self.queue.clear()

    # --- processes

    def _vacant_devices(self, now: float) -> list[WorkerDevice]:
        """Return the devices that may have more processes, one entry for each possible process; those with the fewest first."""
        counts = {id(device): sum(slot.device is device for slot in self.slots) for device in self.devices}
        vacant = [
            (number, device)
            for device in self.devices
            if not device.is_unhealthy(now)
            for number in range(counts[id(device)], device.spec.process_count)
        ]
        return [device for _, device in sorted(vacant, key=lambda entry: entry[0])]

    def _start_process(self, device: WorkerDevice, now: float) -> None:
        """Start one more process on the device; pause the device if that fails."""
        try:
            process = WorkerProcess(device.spec, self._config, self._spawn, now)
        except OSError as error:
            device.health.on_start_failed(f"{error.strerror or error}", now)
            return
        for fd in process.readable_fds:
            self._epoll.register(fd, select.EPOLLIN)
        self.slots.append(Slot(process, device))

    def _assign(self, slot: Slot, job: Job, other_slots: int, now: float) -> None:
        """Send the job to the slot, in a batch with compatible jobs.

        The queued jobs are shared with the ``other_slots`` that could take jobs too.
        """
        share = ceil((len(self.queue) + 1) / (other_slots + 1))
        limit = min(share, batch_size(slot.device.spec, job)) - 1
        others = (
            self.queue.take_compatible(job, limit, self._failure_policy.can_share_process, now)
            if limit > 0 and self._failure_policy.can_share_process(job)
            else []
        )
        jobs = (job, *others)
        slot.process.clear_stderr()
        time_limit = sum(job.limits.timeout_seconds for job in jobs)
        slot.runs += [JobRun(job, now, time_limit) for job in jobs]
        slot.process.send(
            *((MessageType.BATCH, encode_message(BatchMessage(jobs=jobs))) if others else (MessageType.JOB, encode_message(job)))
        )

    def _kill(self, slot: Slot, now: float) -> None:
        slot.process.kill()
        slot.dying_since = now

    def _reap(self, slot: Slot, now: float) -> None:
        """Remove the slot of a killed process, and decide about its jobs.

        Wait until the process is gone: until then it may still write to the scratch folders of its jobs.
        """
        status = slot.process.exit_status
        if status is None and now - (slot.dying_since or now) < _KILL_GRACE_SECONDS:
            return
        stderr = slot.process.stderr_tail
        slot.process.close()  # which takes its descriptors out of the epoll set, too
        self.slots.remove(slot)
        if status is None:
            slot.device.stuck_processes.append(slot.process)
            if slot.device.is_unhealthy(now):
                slot.device_failure = slot.device_failure or STUCK_PROCESS
        if slot.runs:
            self._failure_policy.on_process_died(slot, status, stderr, now)
        elif not slot.process.is_ready and not self.is_draining:
            last_line = f": {stderr.splitlines()[-1]:.200}" if stderr else ""
            slot.device.health.on_start_failed(f"{job_faults.describe_exit(-9 if status is None else status)}{last_line}", now)

    # --- messages

    def _read_messages(self, slot: Slot, now: float) -> None:
        try:
            for kind, payload in slot.process.read_messages():
                self._handle_message(slot, kind, payload, now)
        except ProtocolError:
            for run in slot.runs:
                run.kill_reason = job_faults.protocol_violation(run.job)
            self._kill(slot, now)

    def _handle_message(self, slot: Slot, kind: MessageType, payload: bytes, now: float) -> None:
        if kind is MessageType.READY:
            slot.process.is_ready = True
            slot.device.health.on_process_ready()
        elif kind is MessageType.MODELS:
            models = decode_message(ModelsMessage, payload)
            slot.loading_since = slot.loading_since if models.loading == slot.models.loading else now
            slot.models = models
        elif kind is MessageType.STARTED:
            run = _require_run(slot, payload.decode("ascii", "replace"))
            run.has_begun, run.started_at = True, now
            self._emit(JobProgress(job_id=run.job.id, step=0, op="", fraction=0.0))
        elif kind is MessageType.PROGRESS:
            progress = decode_message(JobProgress, payload)
            _require_run(slot, progress.job_id).on_progress(progress.step, progress.fraction, now)
            self._emit(progress)
        elif kind is MessageType.ENGINE_RELEASED:
            _require_run(slot, payload.decode("ascii", "replace")).has_released_engine = True
        elif kind is MessageType.OUTCOME:
            outcome = decode_message(Outcome, payload)
            self._handle_outcome(slot, _require_run(slot, outcome.job_id), outcome, now)
        else:
            raise ProtocolError(f"A worker sent a message of type {kind.name}, which only the daemon sends.")

    def _handle_outcome(self, slot: Slot, run: JobRun, outcome: Outcome, now: float) -> None:
        if outcome.fault is not None and outcome.fault.kind == "device":
            # The models on the device are lost, and the process cannot recover. Its further messages are ignored.
            self._failure_policy.on_device_failed(slot, run, outcome.fault, now)
            self._kill(slot, now)
            return
        slot.runs.remove(run)
        if run.cancelled_at is not None:  # a cancelled job has no result, even if it was done by then
            outcome = Outcome(job_id=run.job.id, fault=job_faults.cancelled(run.job), seconds=outcome.seconds)
        elif outcome.fault is None:
            slot.device.health.on_job_succeeded(run.job)
        self._finish(outcome)
        max_share = _MAX_IDLE_MEMORY_SHARE_LOADED if slot.models.loaded else _MAX_IDLE_MEMORY_SHARE
        if not slot.runs and slot.process.resident_bytes > run.job.limits.max_memory_bytes * max_share:
            self._kill(slot, now)

    def _finish(self, outcome: Outcome) -> None:
        self._failure_policy.forget(outcome.job_id)
        self._emit(outcome.model_copy(update={"queue": self.name}))


def _require_run(slot: Slot, job_id: str) -> JobRun:
    """Return the run of this job. Raises ProtocolError if the job does not run in this slot."""
    run = slot.find_run(job_id)
    if run is None:
        raise ProtocolError("A worker sent a message about a job that it does not have.")
    return run
