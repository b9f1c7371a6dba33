"""A slot: one worker process, the jobs that it runs, the models that it has loaded, and when it must be killed."""

from __future__ import annotations

from dataclasses import dataclass, field

from goldsmith.jobs import job_faults
from goldsmith.jobs.job import Job, JobFault
from goldsmith.jobs.protocol import ModelsMessage, WorkerSpec
from goldsmith.pipeline.workers.device_health import DeviceHealth
from goldsmith.pipeline.workers.job_queue import LoadedModels
from goldsmith.pipeline.workers.process_folder import ProcessFolder
from goldsmith.pipeline.workers.worker_process import WorkerProcess

# The fence of a process that has none, as READY reports it.
_NO_FENCE = "none"
# The reason for the pause of a device whose driver hangs: a process that uses the device cannot even be killed.
STUCK_PROCESS = "a killed process does not release it"
# Seconds that a process may take until it is ready.
START_TIMEOUT_SECONDS = 60.0
# The same on a cluster, where an actor starts first, on a node that may be busy.
CLUSTER_START_TIMEOUT_SECONDS = 180.0
# How many messages a process may send in a second, and how many it may send at once after a silence. An honest one sends a few dozen.
MAX_MESSAGES_PER_SECOND, _MAX_MESSAGE_BURST = 1000, 10_000
# The fraction of a step that counts as progress.
_MIN_PROGRESS = 0.01
# While more jobs than this are being written, no other job starts: everything waits for the disk then.
_MAX_WRITING_JOBS = 8
# Fraction of a job's memory limit. A process that holds more writes its results first.
_MAX_BUSY_MEMORY_SHARE = 0.5
# Fraction of a device's memory that weights and pictures together may take. The figures are rough, and other programs use the device too.
_MAX_DEVICE_MEMORY_SHARE = 0.85


@dataclass(slots=True)
class JobRun:
    """A job that runs in a slot."""

    job: Job
    started_at: float
    # Seconds until the job times out. In a batch, where no job has the device to itself, the sum for all jobs of the batch.
    time_limit: float
    has_begun: bool = False
    # How often the kernel had ended a process for want of memory when the job was sent.
    memory_kills_before: int = 0
    # When the daemon cancelled the job.
    cancelled_at: float | None = None
    # Why the process of the job was killed.
    kill_reason: JobFault | None = None
    # True if the job is known to be at fault, whatever the failure looks like.
    is_job_fault: bool = False
    # (step, fraction) at the last progress that restarted the timeout.
    last_progress: tuple[int, float] = (0, 0.0)
    # When that was.
    progressed_at: float | None = None
    # True once the job needs no engine any more: its results are being encoded and written.
    has_released_engine: bool = False
    # How many signatures the job has asked for.
    signature_count: int = 0
    # True once the daemon has asked the job to let others go first.
    is_asked_to_give_way: bool = False

    @property
    def deadline(self) -> float:
        """When the job times out."""
        return (self.started_at if self.progressed_at is None else self.progressed_at) + self.time_limit

    def is_overdue(self, now: float) -> bool:
        """Return whether the job has timed out."""
        return now >= self.deadline

    def on_progress(self, step: int, fraction: float, now: float) -> None:
        """Restart the timeout of a job with a model after progress of at least 1 %, so that only stalled jobs are killed.

        The number of steps alone does not tell the work of a model: the number of windows, tiles and regions depends on the size of the
        picture, which only the worker knows.
        """
        last_step, last_fraction = self.last_progress
        if self.job.models and (step > last_step or (step == last_step and fraction >= last_fraction + _MIN_PROGRESS)):
            self.last_progress, self.progressed_at = (step, fraction), now

    def may_be_asked_to_give_way(self, now: float, seconds: float) -> bool:
        """Return whether the job has worked for that long, and can stop between two parts without losing one."""
        is_asked = self.is_asked_to_give_way or self.cancelled_at is not None
        return (
            self.job.keeps_parts and self.has_begun and not is_asked and not self.has_released_engine and now - self.started_at >= seconds
        )

    def is_unresponsive(self, now: float) -> bool:
        """Return whether the job was cancelled and has not ended in time."""
        return self.cancelled_at is not None and now - self.cancelled_at >= self.job.limits.cancel_grace_seconds


@dataclass(slots=True)
class WorkerDevice:
    """One device that the workers of a queue use: how its processes are set up, and its health."""

    spec: WorkerSpec
    health: DeviceHealth
    # Processes that were killed and still exist.
    stuck_processes: list[WorkerProcess] = field(default_factory=list)

    def is_unhealthy(self, now: float) -> bool:
        """Return whether no job may start on the device. A GPU is not tried again before a dead process has released it."""
        if self.health.is_paused(now):
            return True
        self.stuck_processes = [process for process in self.stuck_processes if process.exit_status is None]
        if self.stuck_processes and self.spec.device != "cpu":
            self.health.on_device_failed(STUCK_PROCESS, now)
        return bool(self.health.pause_reason)


@dataclass(slots=True)
class Slot:
    """A worker process on a device, and the jobs that it runs."""

    process: WorkerProcess
    device: WorkerDevice
    folder: ProcessFolder
    # The fence round the process, as it reported it when it was ready.
    fence: str = _NO_FENCE
    runs: list[JobRun] = field(default_factory=list)
    # Since when the end of the process is awaited.
    dying_since: float | None = None
    # True once the daemon itself has killed the process.
    is_killed: bool = False
    # The models that the process last reported.
    models: ModelsMessage = field(default_factory=ModelsMessage)
    loading_since: float = 0.0
    # Why the device, and no job, is at fault for the end of the process.
    device_failure: str = ""
    # True once the process has sent something that no honest worker sends: nothing more is read from it.
    is_distrusted: bool = False
    # How many messages more it may send at the moment ``_counted_at``.
    _message_allowance: float = _MAX_MESSAGE_BURST
    _counted_at: float = 0.0

    @property
    def is_free(self) -> bool:
        """True if the process may get a job: it has none, or all its jobs have released the engine and there is memory to spare."""
        if not self.process.is_ready or self.dying_since is not None:
            return False
        return not self.runs or (
            all(run.has_released_engine for run in self.runs) and len(self.runs) <= _MAX_WRITING_JOBS and self._has_memory_to_spare
        )

    @property
    def is_outdated(self) -> bool:
        """True if the fence keeps the process out of a folder that was mounted or made after its start."""
        return self.fence != _NO_FENCE and not self.folder.is_current()

    @property
    def _has_memory_to_spare(self) -> bool:
        return self.process.resident_bytes <= _MAX_BUSY_MEMORY_SHARE * max(run.job.limits.max_memory_bytes for run in self.runs)

    @property
    def _must_be_ready_at(self) -> float:
        is_local = self.device.spec.runner == "local"
        return self.process.started_at + (START_TIMEOUT_SECONDS if is_local else CLUSTER_START_TIMEOUT_SECONDS)

    @property
    def loaded_models(self) -> LoadedModels:
        """The names of the models that the process has loaded."""
        return frozenset(self.models.loaded)

    def accepts_messages(self, count: int, now: float) -> bool:
        """Count messages; return whether they are no more than an honest process sends. Each costs the main loop time."""
        refill = (now - self._counted_at) * MAX_MESSAGES_PER_SECOND
        self._message_allowance = min(_MAX_MESSAGE_BURST, self._message_allowance + refill) - count
        self._counted_at = now
        return self._message_allowance >= 0

    def find_run(self, job_id: str) -> JobRun | None:
        """Return the run of this job, or None if the job does not run here."""
        return next((run for run in self.runs if run.job.id == job_id), None)

    def deadlines(self) -> list[float]:
        """Return the moments at which the process must be killed if it sends nothing until then."""
        if not self.runs:
            return [] if self.process.is_ready else [self._must_be_ready_at]
        timeouts = [run.deadline for run in self.runs]
        return timeouts + [run.cancelled_at + run.job.limits.cancel_grace_seconds for run in self.runs if run.cancelled_at is not None]

    def must_be_killed(self, now: float, check_memory: bool) -> bool:
        """Return whether the process must be killed: it does not get ready, ignores a cancel, or exceeds its time or its memory.

        Set the ``kill_reason`` of each job that has timed out, or of all jobs if the process has too much memory.
        """
        if not self.runs:
            return not self.process.is_ready and now >= self._must_be_ready_at
        if any(run.is_unresponsive(now) for run in self.runs):
            return True
        overdue = [run for run in self.runs if run.is_overdue(now)]
        for run in overdue:
            run.kill_reason = job_faults.timed_out(run.job)
        if overdue:
            return True
        if not check_memory or self.process.resident_bytes <= max(run.job.limits.max_memory_bytes for run in self.runs):
            return False
        for run in self.runs:
            run.kill_reason = job_faults.out_of_memory(run.job)
        return True


@dataclass(frozen=True, slots=True)
class WorkerSnapshot:
    """The state of one worker process, or of a device that has no process at the moment."""

    spec: WorkerSpec
    # Why no job starts on the device; "" while it is healthy.
    pause_reason: str
    jobs: tuple[Job, ...] = ()
    models: ModelsMessage = field(default_factory=ModelsMessage)
    # Seconds since the process began to load the model that it is loading.
    loading_seconds: float = 0.0
    # The name of the host that the process runs on; "" for this one, and before it is known.
    host: str = ""


def batch_size(spec: WorkerSpec, job: Job) -> int:
    """Return how many jobs like this one fit on the device at once, by the figures of their model in models.toml.

    Return 1 on a CPU, and if the figures are not known.
    """
    if not job.batch_key or not job.pictures_mb:
        return 1
    free_mb = spec.device_memory_mb * _MAX_DEVICE_MEMORY_SHARE - job.weights_mb
    return max(1, min(spec.max_batch, int(free_mb // job.pictures_mb)))
