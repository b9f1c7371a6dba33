"""The workers of one queue: the queue of jobs, and the processes on each device that take them."""

from __future__ import annotations

import select
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Sequence
from math import ceil

from goldsmith.credentials.manifest_boxes import CLAIM_START
from goldsmith.errors import GoldsmithError
from goldsmith.files import display_name
from goldsmith.jobs import job_faults
from goldsmith.jobs.job import Job, JobProgress, JobRequeued, Outcome, PartKept
from goldsmith.jobs.protocol import (
    BatchMessage,
    MessageType,
    ModelsMessage,
    ProtocolError,
    SignMessage,
    WorkerConfig,
    WorkerFolders,
    WorkerSpec,
    decode_message,
    encode_message,
)
from goldsmith.pipeline.workers.device_health import DeviceHealth
from goldsmith.pipeline.workers.failure_policy import FailurePolicy
from goldsmith.pipeline.workers.job_queue import MAX_SKIPPED_SECONDS, JobQueue, QueuedJob
from goldsmith.pipeline.workers.memory_kills import read_memory_kill_count
from goldsmith.pipeline.workers.outcome_check import OutcomeRefused, check_outcome, check_part, check_progress, clean_models
from goldsmith.pipeline.workers.outcome_verifier import OutcomeVerifier, Verification
from goldsmith.pipeline.workers.process_folder import ProcessFolder
from goldsmith.pipeline.workers.runner import HostUnavailable, Runner
from goldsmith.pipeline.workers.slot import (
    STUCK_PROCESS,
    JobRun,
    Slot,
    WorkerDevice,
    WorkerSnapshot,
    batch_size,
)
from goldsmith.pipeline.workers.worker_process import WorkerProcess, start_failure

Event = JobProgress | Outcome | JobRequeued | PartKept

# Seconds that a job of many parts works before it lets waiting jobs go first: those for the models that its process has loaded, and all
# others. A change of models costs about as much as the work in between.
GIVE_WAY_SECONDS, GIVE_WAY_TO_OTHER_MODELS_SECONDS = 30.0, MAX_SKIPPED_SECONDS

# Seconds between two checks of a running job's memory.
MEMORY_CHECK_SECONDS = 0.25
_POLL_SECONDS = 0.01
# Seconds after which a killed process that still exists is stuck in the kernel: its jobs get their outcomes, and its slot is given up.
_KILL_GRACE_SECONDS = 5.0
# A process that keeps more than this fraction of a job's memory limit after the job is replaced, so that the next job does not fail for it.
_MAX_IDLE_MEMORY_SHARE = 0.75
# The same for a process with loaded models, which it is meant to keep.
_MAX_IDLE_MEMORY_SHARE_LOADED = 0.9
# A claim lists hashes, and has some kilobytes.
_MAX_CLAIM_BYTES = 64 * 1024
# A worker on one of these has no device that can fail.
_DEVICES_WITHOUT_FAULTS = frozenset({"cpu"})


class WorkerPool:
    """The queue of jobs and the worker processes for one queue name. No method blocks, except ``terminate``."""

    def __init__(
        self,
        specs: Sequence[WorkerSpec],
        read_config: Callable[[], WorkerConfig],
        folders: WorkerFolders,
        runner: Runner,
        epoll: select.epoll,
        verifier: OutcomeVerifier,
        emit: Callable[[Event], None],
        build_job: Callable[[QueuedJob], Job | None],
        sign: Callable[[bytes], bytes],
    ) -> None:
        """``sign`` returns the signature of the studio's identity; b"" if there is none."""
        self.name = specs[0].queue
        self.queue = JobQueue(build_job)
        self.slots: list[Slot] = []
        self.devices = [WorkerDevice(spec, DeviceHealth(spec.queue, spec.device)) for spec in specs]
        self.is_draining = False
        # True while no further job may start, for example because finished work waits for a disk.
        self.is_held = False
        self._read_config = read_config
        self._folders = folders
        # Folders of ended processes with results that are not committed yet, and the jobs without a result in each.
        self._left_folders: list[tuple[ProcessFolder, tuple[Job, ...]]] = []
        self._runner = runner
        self._epoll = epoll
        self._verifier = verifier
        self._emit = emit
        self._sign = sign
        # The jobs whose results are being verified, each with the slot that it ran in.
        self._verifications: list[tuple[Slot, JobRun, Verification]] = []
        self._failure_policy = FailurePolicy(self.queue, self._finish, emit)
        self._checked_at = 0.0

    @property
    def pause_reason(self) -> str:
        """Why no job starts; "" while at least one device is healthy."""
        if not all(device.health.reported_reason for device in self.devices):
            return ""
        reasons = list(dict.fromkeys(device.health.reported_reason for device in self.devices))
        # The loss of a host is the reason of one device, and a part of the reason of another that finds no host.
        return " ".join(reason for reason in reasons if not any(reason in other for other in reasons if other != reason))

    def running_jobs(self) -> list[tuple[Slot, JobRun]]:
        """Return the jobs that run or whose results are being verified, each with its slot."""
        return [(slot, run) for slot in self.slots for run in slot.runs] + [(slot, run) for slot, run, _ in self._verifications]

    def cancel(self, job_id: str, now: float) -> bool:
        """Cancel a job that is queued or runs; return False if there is no such job."""
        queued = self.queue.remove(job_id)
        if queued is not None:
            path = "" if queued.job is None else queued.job.asset.path
            self._finish(Outcome(job_id=job_id, fault=job_faults.cancelled(path)))
            return True
        for entry in self._verifications:
            if entry[1].job.id == job_id:
                self._verifications.remove(entry)
                entry[2].is_stopped = True
                fault = job_faults.cancelled(entry[1].job.asset.path)
                self._finish(Outcome(job_id=job_id, fault=fault, scratch=entry[1].job.scratch))
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
                slot.process.spec,
                slot.device.health.reported_reason,
                tuple(run.job for run in slot.runs),
                slot.models,
                now - slot.loading_since,
                slot.process.host,
            )
            for slot in self.slots
        ]
        idle = [device for device in self.devices if not any(slot.device is device for slot in self.slots)]
        return snapshots + [WorkerSnapshot(device.spec, device.health.reported_reason) for device in idle]

    def dispatch(self, now: float) -> None:
        """Give queued jobs to free slots, and start processes while there are fewer than allowed."""
        if self.is_draining or self.is_held or not self.queue or self.is_blocked(now):
            return
        self._replace_outdated(now)
        vacant = self._vacant_devices(now)
        free = [slot for slot in self.slots if self._can_take_job(slot) and not slot.device.is_unhealthy(now)]
        starting = sum(not slot.process.is_ready for slot in self.slots)
        while free and self.queue and not self.is_held:
            # A process unloads no model for another while there is, or will soon be, a process without models.
            pick = self.queue.take_next([slot.loaded_models for slot in free], now, may_evict=not (starting or vacant))
            if pick is None:  # or the job was withdrawn when it should start; the next turn goes on
                break
            self._assign(free.pop(pick[0]), pick[1], len(free) + len(vacant), now)
        for device in vacant[: max(0, len(self.queue) - starting)]:
            if not device.health.pause_reason:
                self._start_process(device, now)

    def _replace_outdated(self, now: float) -> None:
        """End the idle processes whose fence keeps them out of a folder that was mounted or made after their start."""
        for slot in self.slots:
            if slot.is_free and not slot.runs and slot.is_outdated:
                self._kill(slot, now)

    def _can_take_job(self, slot: Slot) -> bool:
        """Return whether the slot may get a job. Beside another job none starts that must run alone, or in an outdated process."""
        return slot.is_free and not (slot.runs and (self._failure_policy.is_isolating or slot.is_outdated))

    def is_blocked(self, now: float) -> bool:
        """Return whether no job may start; end each pause whose time is over."""
        unhealthy = [device.is_unhealthy(now) for device in self.devices]
        return all(unhealthy)

    def prewarm(self, now: float) -> None:
        """Start a first process if there is none and a device is healthy."""
        if not self.slots and not self.is_blocked(now):
            self._start_process(self._vacant_devices(now)[0], now)

    @property
    def _waits_for_host(self) -> bool:
        """True if the hosts of an idle queue are lost: one process is tried again, so that people are told when that is over."""
        return not self.slots and not self.is_draining and any(device.health.is_host_lost for device in self.devices)

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
        self._finish_verifications(now)
        self.dispatch(now)
        if self._waits_for_host:
            self.prewarm(now)
        if check_memory:
            self._ask_to_give_way(now)

    def _ask_to_give_way(self, now: float) -> None:
        """Ask jobs that have worked for long to let waiting jobs go first, no more of them than wait."""
        if not self.queue or self.is_draining or self.is_held:
            return
        room = len(self.queue) - sum(run.is_asked_to_give_way for slot in self.slots for run in slot.runs)
        for slot in self.slots:
            if room <= 0 or slot.dying_since is not None or not slot.process.is_ready:
                continue
            seconds = GIVE_WAY_SECONDS if self.queue.waits_for(slot.loaded_models) else GIVE_WAY_TO_OTHER_MODELS_SECONDS
            for run in slot.runs:
                if run.may_be_asked_to_give_way(now, seconds):
                    run.is_asked_to_give_way = True
                    room -= 1
                    slot.process.send(MessageType.GIVE_WAY, run.job.id.encode())

    def deadlines(self) -> list[float]:
        """Return the moments at which ``collect`` has something to do although no descriptor becomes readable."""
        moments: list[float] = []
        if (self.queue and not self.is_draining) or self._waits_for_host:
            moments += [device.health.retry_at for device in self.devices if device.health.pause_reason]
        for slot in self.slots:
            if slot.process.has_unsent or slot.dying_since is not None:
                moments.append(self._checked_at + _POLL_SECONDS)
            else:
                moments += slot.deadlines() + ([self._checked_at + MEMORY_CHECK_SECONDS] if slot.runs else [])
        return moments

    def terminate(self) -> None:
        """Kill every process. Each job without an outcome gets the outcome ``cancelled``."""
        for _, _, verification in self._verifications:
            verification.is_stopped = True
        for slot in self.slots:
            slot.process.kill()
        for slot in self.slots:
            has_ended = slot.process.wait_exit(1.0)
            slot.process.close()
            self._leave_folder(slot, has_ended)
        for job in [*(run.job for _, run in self.running_jobs()), *self.queue.built_jobs()]:
            self._finish(Outcome(job_id=job.id, fault=job_faults.cancelled(job.asset.path)))
        self.slots.clear()
        self.queue.clear()
        self._verifications.clear()

    # --- processes

    def _vacant_devices(self, now: float) -> list[WorkerDevice]:
        """Return the devices that may have more processes, one entry for each possible process; those with the fewest first."""
        counts = Counter(id(slot.device) for slot in self.slots)
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
            folder = ProcessFolder(self._folders)
        except OSError as error:
            device.health.on_start_failed(f"{error.strerror or error}", now)
            return
        try:
            process = WorkerProcess(device.spec, self._read_config(), self._folders, folder.path, self._runner, now)
        except HostUnavailable as error:
            folder.remove_if_empty()
            device.health.on_host_lost(error.sentence, now)
            return
        except (OSError, GoldsmithError) as error:
            folder.remove_if_empty()
            device.health.on_start_failed(start_failure(error), now)
            return
        try:
            for fd in process.readable_fds:
                self._epoll.register(fd, select.EPOLLIN)
        except OSError as error:
            process.kill()
            process.close()
            folder.remove_if_empty()
            device.health.on_start_failed(start_failure(error), now)
            return
        self.slots.append(Slot(process, device, folder))

    def _leave_folder(self, slot: Slot, has_ended: bool) -> None:
        """Remove the folder of an ended process. With results in it, it is tried again when the next process ends.

        A process that hangs in a driver may still write; the next start of the daemon removes its folder. One on a host that is lost may
        write for a while, too, and then what it writes is removed at the next try.
        """
        if has_ended:
            self._left_folders.append((slot.folder, tuple(run.job for run in slot.runs)))
        for folder, jobs in self._left_folders:
            folder.remove_scratch(jobs)
        self._left_folders = [entry for entry in self._left_folders if not entry[0].remove_if_empty()]

    def _assign(self, slot: Slot, job: Job, other_slots: int, now: float) -> None:
        """Send the job to the slot, in a batch with compatible jobs.

        The queued jobs are shared with the ``other_slots`` that could take jobs too.
        """
        share = ceil((len(self.queue) + 1) / (other_slots + 1))
        limit = min(share, batch_size(slot.process.spec, job)) - 1
        others = (
            self.queue.take_compatible(job, limit, self._failure_policy.can_share_process, now)
            if limit > 0 and self._failure_policy.can_share_process(job)
            else []
        )
        jobs = tuple(map(slot.folder.with_scratch, (job, *others)))
        slot.process.clear_stderr()
        time_limit = sum(job.limits.timeout_seconds for job in jobs)
        memory_kills = read_memory_kill_count()
        slot.runs += [JobRun(job, now, time_limit, memory_kills_before=memory_kills) for job in jobs]
        slot.process.send(
            *((MessageType.BATCH, encode_message(BatchMessage(jobs=jobs))) if others else (MessageType.JOB, encode_message(jobs[0])))
        )

    def _kill(self, slot: Slot, now: float) -> None:
        slot.process.kill()
        slot.is_killed, slot.dying_since = True, now

    def _reap(self, slot: Slot, now: float) -> None:
        """Remove the slot of a killed process, and decide about its jobs.

        Wait until the process is gone: until then it may still write to the scratch folders of its jobs.
        """
        status = slot.process.exit_status
        if status is None and now - (slot.dying_since or now) < _KILL_GRACE_SECONDS:
            return
        stderr, host_failure = slot.process.stderr_tail, slot.process.host_failure
        slot.process.close()  # which takes its descriptors out of the epoll set, too
        self.slots.remove(slot)
        self._leave_folder(slot, status is not None)
        if status is None:
            slot.device.stuck_processes.append(slot.process)
            if slot.device.is_unhealthy(now):
                slot.device_failure = slot.device_failure or STUCK_PROCESS
        if host_failure:
            slot.device.health.on_host_lost(host_failure, now)
        if slot.runs:
            self._failure_policy.on_process_died(slot, status, stderr, now)
        elif host_failure:
            return
        elif not slot.process.is_ready and not self.is_draining:
            last_line = f": {display_name(stderr.splitlines()[-1]):.200}" if stderr else ""
            slot.device.health.on_start_failed(f"{job_faults.describe_exit(-9 if status is None else status)}{last_line}", now)

    # --- messages

    def _read_messages(self, slot: Slot, now: float) -> None:
        try:
            messages = slot.process.read_messages()
            if not slot.accepts_messages(len(messages), now):
                raise ProtocolError("A worker sends messages without end.")
            for kind, payload in messages:
                if not slot.is_distrusted:
                    self._handle_message(slot, kind, payload, now)
        except ProtocolError:
            for run in slot.runs:
                run.kill_reason = run.kill_reason or job_faults.protocol_violation(run.job)
            self._kill(slot, now)

    def _handle_message(self, slot: Slot, kind: MessageType, payload: bytes, now: float) -> None:
        if kind is MessageType.READY:
            slot.process.is_ready = True
            slot.fence = payload.decode("ascii", "replace")
            slot.device.health.on_process_ready(slot.process.host)
        elif kind is MessageType.MODELS:
            models = clean_models(decode_message(ModelsMessage, payload))
            slot.loading_since = slot.loading_since if models.loading == slot.models.loading else now
            slot.models = models
        elif kind is MessageType.STARTED:
            run = _require_run(slot, payload.decode("ascii", "replace"))
            if run.has_begun:  # else a worker could put off its timeout without end
                raise ProtocolError("A worker started a job twice.")
            run.has_begun, run.started_at = True, now
            self._emit(JobProgress(job_id=run.job.id, step=0, op="", fraction=0.0))
        elif kind is MessageType.PROGRESS:
            self._handle_progress(slot, decode_message(JobProgress, payload), now)
        elif kind is MessageType.PART_KEPT:
            self._handle_part(slot, decode_message(PartKept, payload), now)
        elif kind is MessageType.SIGN:
            self._answer_signing(slot, decode_message(SignMessage, payload))
        elif kind is MessageType.ENGINE_RELEASED:
            _require_run(slot, payload.decode("ascii", "replace")).has_released_engine = True
        elif kind is MessageType.OUTCOME:
            outcome = decode_message(Outcome, payload)
            self._handle_outcome(slot, _require_run(slot, outcome.job_id), outcome, now)
        else:
            raise ProtocolError(f"A worker sent a message of type {kind.name}, which only the daemon sends.")

    def _answer_signing(self, slot: Slot, request: SignMessage) -> None:
        """Send the signature that a signing job asks for: two for each of its files at most, and of nothing but a claim of C2PA."""
        run = _require_run(slot, request.job_id)
        run.signature_count += 1
        files = 0 if run.job.signing is None else sum(source.role == "unsigned" for source in run.job.inputs)
        try:
            data = b64decode(request.data, validate=True)
        except ValueError as error:
            raise ProtocolError("A worker wants something signed that is not in base64.") from error
        if run.signature_count > 2 * files or not data.startswith(CLAIM_START) or len(data) > _MAX_CLAIM_BYTES:
            raise ProtocolError("A worker wants something signed that its job does not sign.")
        answer = SignMessage(job_id=request.job_id, data=b64encode(self._sign(data)).decode())
        slot.process.send(MessageType.SIGNATURE, encode_message(answer))

    def _handle_progress(self, slot: Slot, progress: JobProgress, now: float) -> None:
        run = _require_run(slot, progress.job_id)
        try:
            progress = check_progress(run.job, progress)
        except OutcomeRefused as refusal:
            self._refuse(slot, run, refusal, now)
            return
        run.on_progress(progress.step, progress.fraction, now)
        self._emit(progress)

    def _handle_part(self, slot: Slot, kept: PartKept, now: float) -> None:
        """Keep a finished part of a job, so that its next process goes on behind it."""
        run = _require_run(slot, kept.job_id)
        try:
            check_part(run.job, kept.part)
        except OutcomeRefused as refusal:
            self._refuse(slot, run, refusal, now)
            return
        if slot.folder.keep_part(run.job, kept.part):
            run.job = run.job.model_copy(update={"kept": (*run.job.kept, kept.part)})
            self._emit(kept)

    def _handle_outcome(self, slot: Slot, run: JobRun, outcome: Outcome, now: float) -> None:
        try:
            outcome = check_outcome(run.job, outcome)
        except OutcomeRefused as refusal:
            self._refuse(slot, run, refusal, now)
            return
        if refusal_of_claim := _refuse_claim(slot, run, outcome):
            self._refuse(slot, run, refusal_of_claim, now)
            return
        if outcome.fault is not None and outcome.fault.kind == "device":
            # The models on the device are lost, and the process cannot recover. Its further messages are ignored.
            self._failure_policy.on_device_failed(slot, run, outcome.fault, now)
            self._kill(slot, now)
            return
        slot.runs.remove(run)
        if run.cancelled_at is not None:  # a cancelled job has no result, even if it was done by then
            fault = job_faults.cancelled(run.job.asset.path)
            self._finish(Outcome(job_id=run.job.id, fault=fault, seconds=outcome.seconds, scratch=run.job.scratch))
        else:
            self._verifications.append((slot, run, self._verifier.begin(run.job, outcome)))
            self._finish_verifications(now)
        max_share = _MAX_IDLE_MEMORY_SHARE_LOADED if slot.models.loaded else _MAX_IDLE_MEMORY_SHARE
        if not slot.runs and slot.process.resident_bytes > run.job.limits.max_memory_bytes * max_share:
            self._kill(slot, now)

    def _finish_verifications(self, now: float) -> None:
        """Emit every outcome whose files are verified."""
        for entry in [entry for entry in self._verifications if entry[2].is_done]:
            self._verifications.remove(entry)
            slot, run, verification = entry
            if verification.refusal is not None:
                self._refuse(slot, run, verification.refusal, now)
                continue
            if verification.outcome.fault is None:
                slot.device.health.on_job_succeeded(run.job)
            self._finish(verification.outcome.model_copy(update={"scratch": run.job.scratch}))

    def _refuse(self, slot: Slot, run: JobRun, refusal: OutcomeRefused, now: float) -> None:
        """End the process that has sent something unacceptable about this job. The job gets its outcome when the process is gone."""
        run.kill_reason = job_faults.refused_outcome(run.job, refusal.reason, refusal.detail)
        run.is_job_fault = True
        if slot not in self.slots:  # the process has ended by itself meanwhile
            self._finish(Outcome(job_id=run.job.id, fault=run.kill_reason, scratch=run.job.scratch))
            return
        slot.is_distrusted = True
        if run not in slot.runs:
            slot.runs.append(run)
        if slot.dying_since is None:
            self._kill(slot, now)

    def _finish(self, outcome: Outcome) -> None:
        self._failure_policy.forget(outcome.job_id)
        self._emit(outcome.model_copy(update={"queue": self.name}))


def _refuse_claim(slot: Slot, run: JobRun, outcome: Outcome) -> OutcomeRefused | None:
    """Return why a claim that would cost the job no attempt cannot be true; None if it can."""
    kind = "" if outcome.fault is None else outcome.fault.kind
    if kind == "cancelled" and run.cancelled_at is None:
        return OutcomeRefused("it says that the job was cancelled, and nobody did that")
    if kind == "yielded" and not run.is_asked_to_give_way:
        return OutcomeRefused("it says that the job gave way to others, and nobody asked for that")
    if kind == "device" and slot.device.spec.device in _DEVICES_WITHOUT_FAULTS:
        return OutcomeRefused("it says that a device failed, and it has none", outcome.fault.sentence if outcome.fault else "")
    return None


def _require_run(slot: Slot, job_id: str) -> JobRun:
    """Return the run of this job. Raises ProtocolError if the job does not run in this slot."""
    run = slot.find_run(job_id)
    if run is None:
        raise ProtocolError("A worker sent a message about a job that it does not have.")
    return run
