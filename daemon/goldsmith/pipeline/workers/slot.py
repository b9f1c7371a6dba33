"""One slot: its jobs, its loaded models, and when its process must be killed."""

from __future__ import annotations

from dataclasses import dataclass, field

from goldsmith.jobs import job_faults
from goldsmith.jobs.job import Job, JobFault
from goldsmith.jobs.protocol import ModelsMessage, WorkerSpec
from goldsmith.pipeline.workers.device_health import DeviceHealth
from goldsmith.pipeline.workers.job_queue import LoadedModels
from goldsmith.pipeline.workers.worker_process import WorkerProcess

# The reason for a device whose driver hangs: such a process cannot even be killed.
STUCK_PROCESS = "a process that was ended does not let go of it"
# Seconds that a process may take to get ready.
START_TIMEOUT_SECONDS = 60.0
# A share of a step's progress.
_MIN_PROGRESS = 0.01
# No job starts while more jobs than this are writing: then everything waits for the disk.
_MAX_WRITING_JOBS = 8
# A share of a job's memory: a process that uses more must first write its results.
_MAX_BUSY_MEMORY_SHARE = 0.5
# The share of a device's memory that weights and pictures together may use: the figures are rough, and others use it too.
_MAX_DEVICE_MEMORY_SHARE = 0.85


@dataclass(slots=True)
class JobRun:
    """A job in a slot."""

    job: Job
    started_at: float
    # The time limit; in a batch, where jobs share the device, the sum for all of them.
    time_limit: float
    has_begun: bool = False
    # When the daemon cancelled it.
    cancelled_at: float | None = None
    # Why its process was killed.
    kill_reason: JobFault | None = None
    # True if the job is known to be at fault, whatever the failure looks like.
    is_job_fault: bool = False
    # (step, fraction) at which its timeout was last restarted.
    last_progress: tuple[int, float] = (0, 0.0)
    # When that was.
    progressed_at: float | None = None
    # True once it needs no engine any more: its results are being encoded and written.
    has_released_engine: bool = False

    @property
    def deadline(self) -> float:
        """When its time is over."""
        return (self.started_at if self.progressed_at is None else self.progressed_at) + self.time_limit

    def is_overdue(self, now: float) -> bool:
        return now >= self.deadline

    def on_progress(self, step: int, fraction: float, now: float) -> None:
        """Restart the timeout after progress of at least 1 %, so that only stalled jobs are killed. A step may have more parts (windows,
        tiles, regions) than its settings show, because only the worker knows the picture's size.
        """
        before, so_far = self.last_progress
        if self.job.models and (step > before or (step == before and fraction >= so_far + _MIN_PROGRESS)):
            self.last_progress, self.progressed_at = (step, fraction), now

    def is_unresponsive(self, now: float) -> bool:
        """Return whether it was cancelled and has not stopped in time."""
        return self.cancelled_at is not None and now - self.cancelled_at >= self.job.limits.cancel_grace_seconds


@dataclass(slots=True)
class WorkerDevice:
    """One device of a queue: the specification of its processes, and its health."""

    spec: WorkerSpec
    health: DeviceHealth
    # Processes that were killed and did not end.
    stuck_processes: list[WorkerProcess] = field(default_factory=list)

    def is_unhealthy(self, now: float) -> bool:
        """Return whether no job may start on it. A GPU is not tried again while a dead process holds it."""
        if self.health.is_paused(now):
            return True
        self.stuck_processes = [process for process in self.stuck_processes if process.exit_status is None]
        if self.stuck_processes and self.spec.device != "cpu":
            self.health.on_device_failed(STUCK_PROCESS, now)
        return bool(self.health.pause_reason)


@dataclass(slots=True)
class Slot:
    """A slot on a device, and its process."""

    process: WorkerProcess
    device: WorkerDevice
    runs: list[JobRun] = field(default_factory=list)
    # When its process was killed.
    dying_since: float | None = None
    # The loaded models, as the process last reported them.
    models: ModelsMessage = field(default_factory=ModelsMessage)
    loading_since: float = 0.0
    # Why the device, and no job, is the reason that its process ends.
    device_failure: str = ""

    @property
    def is_free(self) -> bool:
        """True if it may get work: it has no jobs, or all of them have released their engine and there is room for more."""
        if not self.process.is_ready or self.dying_since is not None:
            return False
        return not self.runs or (
            all(run.has_released_engine for run in self.runs) and len(self.runs) <= _MAX_WRITING_JOBS and self._has_memory_to_spare
        )

    @property
    def _has_memory_to_spare(self) -> bool:
        return self.process.resident_bytes <= _MAX_BUSY_MEMORY_SHARE * max(run.job.limits.max_memory_bytes for run in self.runs)

    @property
    def loaded_models(self) -> LoadedModels:
        return frozenset(self.models.loaded)

    def find_run(self, job_id: str) -> JobRun | None:
        return next((run for run in self.runs if run.job.id == job_id), None)

    def deadlines(self) -> list[float]:
        """Return the times at which its process must be killed without further messages."""
        if not self.runs:
            return [] if self.process.is_ready else [self.process.started_at + START_TIMEOUT_SECONDS]
        ends = [run.deadline for run in self.runs]
        return ends + [run.cancelled_at + run.job.limits.cancel_grace_seconds for run in self.runs if run.cancelled_at is not None]

    def must_be_killed(self, now: float, check_memory: bool) -> bool:
        """Return whether its process must be killed: it never gets ready, ignores a cancellation, runs too long, or grows too large."""
        if not self.runs:
            return not self.process.is_ready and now - self.process.started_at >= START_TIMEOUT_SECONDS
        if any(run.is_unresponsive(now) for run in self.runs):
            return True
        late = [run for run in self.runs if run.is_overdue(now)]
        for run in late:
            run.kill_reason = job_faults.timed_out(run.job)
        if late:
            return True
        if not check_memory or self.process.resident_bytes <= max(run.job.limits.max_memory_bytes for run in self.runs):
            return False
        for run in self.runs:
            run.kill_reason = job_faults.out_of_memory(run.job)
        return True


@dataclass(frozen=True, slots=True)
class WorkerSnapshot:
    """One process of a queue, or one device without a process."""

    spec: WorkerSpec
    # Why no job starts on the device; "" if it is healthy.
    pause_reason: str
    jobs: tuple[Job, ...] = ()
    models: ModelsMessage = field(default_factory=ModelsMessage)
    # Seconds for which it has been loading its models.
    loading_seconds: float = 0.0


def batch_size(spec: WorkerSpec, job: Job) -> int:
    """Return how many such jobs fit on the device at once, by their model's entry; 1 if that is unknown, as on the CPU."""
    if not job.batch_key or not job.pictures_mb:
        return 1
    room = spec.device_memory_mb * _MAX_DEVICE_MEMORY_SHARE - job.weights_mb
    return max(1, min(spec.max_batch, int(room // job.pictures_mb)))
