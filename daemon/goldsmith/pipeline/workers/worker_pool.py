"""One queue with its waiting jobs and the slots on its devices that run them."""

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
# A killed process that still exists after this time is stuck in the kernel: its job gets its outcome, and its slot is given up.
_KILL_GRACE_SECONDS = 5.0
_MAX_IDLE_MEMORY_SHARE = 0.75
# A process that keeps more than this share of a job's memory after the job is replaced, because the next job is innocent. A process with
# loaded models may keep more.
_MAX_IDLE_MEMORY_SHARE_LOADED = 0.9


class WorkerPool:
    """The waiting jobs of a queue and its processes. Nothing here blocks."""

    def __init__(
        self, specs: Sequence[WorkerSpec], context: WorkerConfig, spawn: SpawnWorker, epoll: select.epoll, emit: Callable[[Event], None]
    ) -> None:
        self.name = specs[0].queue
        self.queue = JobQueue()
        self.slots: list[Slot] = []
        self.devices = [WorkerDevice(spec, DeviceHealth(spec.queue, spec.device)) for spec in specs]
        # Why it was told to start no jobs for now.
        self.requested_pause = ""
        self.paused_until: float | None = None
        self.is_draining = False
        self._context = context
        self._spawn = spawn
        self._epoll = epoll
        self._emit = emit
        self._failure_policy = FailurePolicy(self.queue, self._finish, emit)
        self._checked_at = 0.0

    @property
    def pause_reason(self) -> str:
        """Why no job starts; "" if one may. A queue goes on while one of its devices is healthy."""
        if self.requested_pause or not all(bay.health.pause_reason for bay in self.devices):
            return self.requested_pause
        return " ".join(dict.fromkeys(bay.health.pause_reason for bay in self.devices))

    def running_jobs(self) -> list[tuple[Slot, JobRun]]:
        """Return the running jobs, each with its slot."""
        return [(place, run) for place in self.slots for run in place.runs]

    def cancel(self, job_id: str, now: float) -> bool:
        """Cancel a job, waiting or running; return False if it is not here."""
        waiting = self.queue.remove(job_id)
        if waiting is not None:
            self._finish(Outcome(job_id=job_id, fault=job_faults.cancelled(waiting)))
            return True
        for place, run in self.running_jobs():
            if run.job.id == job_id:
                if run.cancelled_at is None:
                    run.cancelled_at = now
                    place.process.send(MessageType.CANCEL, job_id.encode())
                return True
        return False

    def predict_order(self, now: float, limit: int) -> list[str]:
        """Return the ids of the first ``limit`` waiting jobs, in the order in which they will run as far as is known."""
        return self.queue.predict_order([place.loaded_models for place in self.slots], now, limit)

    def worker_snapshots(self, now: float) -> list[WorkerSnapshot]:
        """Return the state of every device."""
        shown = [
            WorkerSnapshot(
                place.device.spec,
                place.device.health.pause_reason,
                tuple(run.job for run in place.runs),
                place.models,
                now - place.loading_since,
            )
            for place in self.slots
        ]
        idle = [bay for bay in self.devices if not any(place.device is bay for place in self.slots)]
        return shown + [WorkerSnapshot(bay.spec, bay.health.pause_reason) for bay in idle]

    def dispatch(self, now: float) -> None:
        """Give waiting jobs to free slots, and start processes while there are fewer than allowed."""
        if self.is_draining or not self.queue or self.is_blocked(now):
            return
        vacant = self._vacant_devices(now)
        free = [place for place in self.slots if self._can_take_job(place) and not place.device.is_unhealthy(now)]
        opening = sum(not place.process.is_ready for place in self.slots)
        while free and self.queue:
            # No model is unloaded for another while a process without models exists or is about to.
            chosen = self.queue.take_next([place.loaded_models for place in free], now, may_evict=not (opening or vacant))
            if chosen is None:
                break
            self._assign(free.pop(chosen[0]), chosen[1], len(free) + len(vacant), now)
        for bay in vacant[: max(0, len(self.queue) - opening)]:
            if not bay.health.pause_reason:
                self._start_process(bay, now)

    def _can_take_job(self, slot: Slot) -> bool:
        """Return whether the slot may take a job: while the culprit of a dead process is being isolated, jobs run alone."""
        return slot.is_free and not (slot.runs and self._failure_policy.is_isolating)

    def is_blocked(self, now: float) -> bool:
        """Return whether no job may start; a pause that is over ends here."""
        if self.requested_pause and self.paused_until is not None and now >= self.paused_until:
            self.requested_pause, self.paused_until = "", None
        ill = [bay.is_unhealthy(now) for bay in self.devices]
        return bool(self.requested_pause) or all(ill)

    def resume(self) -> None:
        """End every pause."""
        self.requested_pause, self.paused_until = "", None
        for bay in self.devices:
            bay.health.retry_now()

    def prewarm(self, now: float) -> None:
        """Start a first process, if there is none and nothing prevents it."""
        if not self.slots and not self.is_blocked(now):
            self._start_process(self._vacant_devices(now)[0], now)

    def collect(self, readable_fds: frozenset[int], now: float) -> None:
        """Process messages, check the other slots, reap dead processes and dispatch jobs."""
        look = now - self._checked_at >= MEMORY_CHECK_SECONDS
        if look or any(place.dying_since is not None or place.process.has_unsent for place in self.slots):
            self._checked_at = now
        for place in list(self.slots):
            if look or place.dying_since is not None or readable_fds.intersection(place.process.readable_fds):
                self._read_messages(place, now)
            place.process.flush()
            if place.process.has_ended and place.dying_since is None:
                place.dying_since = now
            if place.dying_since is None and place.must_be_killed(now, look):
                self._kill(place, now)
            if place.dying_since is not None:
                self._reap(place, now)
        self.dispatch(now)

    def deadlines(self) -> list[float]:
        """Return the times at which ``collect`` has work without a message."""
        moments: list[float] = []
        if self.queue and not self.is_draining:
            moments += [bay.health.retry_at for bay in self.devices if bay.health.pause_reason]
            moments += [self.paused_until] if self.requested_pause and self.paused_until is not None else []
        for place in self.slots:
            if place.process.has_unsent or place.dying_since is not None:
                moments.append(self._checked_at + _POLL_SECONDS)
            else:
                moments += place.deadlines() + ([self._checked_at + MEMORY_CHECK_SECONDS] if place.runs else [])
        return moments

    def terminate(self) -> None:
        """Kill every process; each job without an outcome gets ``cancelled``."""
        for place in self.slots:
            place.process.kill()
        for place in self.slots:
            place.process.wait_exit(1.0)
            place.process.close()
        for job in [*(run.job for _, run in self.running_jobs()), *self.queue]:
            self._finish(Outcome(job_id=job.id, fault=job_faults.cancelled(job)))
        self.slots.clear()
        self.queue.clear()

    # ------------------------------------------------------------------ slots

    def _vacant_devices(self, now: float) -> list[WorkerDevice]:
        """Return the devices that may have more processes, one entry for each; the emptiest first."""
        taken = {id(bay): sum(place.device is bay for place in self.slots) for bay in self.devices}
        vacant = [
            (number, bay) for bay in self.devices if not bay.is_unhealthy(now) for number in range(taken[id(bay)], bay.spec.process_count)
        ]
        return [bay for _, bay in sorted(vacant, key=lambda one: one[0])]

    def _start_process(self, device: WorkerDevice, now: float) -> None:
        """Start one more process. If that fails, the device pauses."""
        try:
            process = WorkerProcess(device.spec, self._context, self._spawn, now)
        except OSError as error:
            device.health.on_start_failed(f"{error.strerror or error}", now)
            return
        for descriptor in process.readable_fds:
            self._epoll.register(descriptor, select.EPOLLIN)
        self.slots.append(Slot(process, device))

    def _assign(self, slot: Slot, job: Job, other_slots: int, now: float) -> None:
        """Give the job to the slot, with jobs that can share its batch; the waiting jobs are divided among the other free slots."""
        share = ceil((len(self.queue) + 1) / (other_slots + 1))
        most = min(share, batch_size(slot.device.spec, job)) - 1
        mates = (
            self.queue.take_compatible(job, most, self._failure_policy.can_share_process, now)
            if most > 0 and self._failure_policy.can_share_process(job)
            else []
        )
        jobs = (job, *mates)
        slot.process.clear_stderr()
        slot.runs += [JobRun(each, now, sum(one.limits.timeout_seconds for one in jobs)) for each in jobs]
        slot.process.send(
            *((MessageType.BATCH, encode_message(BatchMessage(jobs=jobs))) if mates else (MessageType.JOB, encode_message(job)))
        )

    def _kill(self, slot: Slot, now: float) -> None:
        slot.process.kill()
        slot.dying_since = now

    def _reap(self, slot: Slot, now: float) -> None:
        """Emit the outcomes of a dead process's jobs, once it is gone and nothing writes to their scratch folders."""
        status = slot.process.exit_status
        if status is None and now - (slot.dying_since or now) < _KILL_GRACE_SECONDS:
            return
        words = slot.process.stderr_tail
        slot.process.close()  # which removes its descriptors from the epoll set, too
        self.slots.remove(slot)
        if status is None:
            slot.device.stuck_processes.append(slot.process)
            if slot.device.is_unhealthy(now):
                slot.device_failure = slot.device_failure or STUCK_PROCESS
        if slot.runs:
            self._failure_policy.on_process_died(slot, status, words, now)
        elif not slot.process.is_ready and not self.is_draining:
            last = f": {words.splitlines()[-1]:.200}" if words else ""
            slot.device.health.on_start_failed(f"{job_faults.describe_exit(-9 if status is None else status)}{last}", now)

    # ------------------------------------------------------------------ messages

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
            raise ProtocolError(f"it said {kind.name}")

    def _handle_outcome(self, slot: Slot, run: JobRun, outcome: Outcome, now: float) -> None:
        if outcome.fault is not None and outcome.fault.kind == "device":
            # The loaded models are lost, and the process cannot recover: further messages are not waited for.
            self._failure_policy.on_device_failed(slot, run, outcome.fault, now)
            self._kill(slot, now)
            return
        slot.runs.remove(run)
        if run.cancelled_at is not None:  # a cancelled job has no result, even if it was done by then
            outcome = Outcome(job_id=run.job.id, fault=job_faults.cancelled(run.job), seconds=outcome.seconds)
        elif outcome.fault is None:
            slot.device.health.on_job_succeeded(run.job)
        self._finish(outcome)
        most = _MAX_IDLE_MEMORY_SHARE_LOADED if slot.models.loaded else _MAX_IDLE_MEMORY_SHARE
        if not slot.runs and slot.process.resident_bytes > run.job.limits.max_memory_bytes * most:
            self._kill(slot, now)

    def _finish(self, outcome: Outcome) -> None:
        self._failure_policy.forget(outcome.job_id)
        self._emit(outcome.model_copy(update={"queue": self.name}))


def _require_run(slot: Slot, job_id: str) -> JobRun:
    run = slot.find_run(job_id)
    if run is None:
        raise ProtocolError("it spoke out of turn, or of another job")
    return run
