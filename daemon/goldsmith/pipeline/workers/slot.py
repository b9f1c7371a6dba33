"""One seat and what goes on in it: its jobs, the models it has loaded, and when its process must be ended."""

from __future__ import annotations

from dataclasses import dataclass, field

from goldsmith.jobs import job_faults
from goldsmith.jobs.job import Job, JobFault
from goldsmith.jobs.protocol import ModelsMessage, WorkerSpec
from goldsmith.pipeline.workers.device_health import DeviceHealth
from goldsmith.pipeline.workers.job_queue import LoadedModels
from goldsmith.pipeline.workers.worker_process import WorkerProcess

# What is said of a device whose driver hangs: such a process cannot even be killed.
STUCK_PROCESS = "a process that was ended does not let go of it"
# Seconds a process may take to get ready.
START_TIMEOUT_SECONDS = 60.0
# A part of a step's way.
_MIN_PROGRESS = 0.01
# No more is begun while more jobs than this are being written: then the disk is what everything waits for.
_MAX_WRITING_JOBS = 8
# Of a job's memory: a process that holds more than this puts down first what it has made.
_MAX_BUSY_MEMORY_SHARE = 0.5
# How much of a device's memory weights and pictures together may be expected to take: the figures are rough, and others use it too.
_MAX_DEVICE_MEMORY_SHARE = 0.85


@dataclass(slots=True)
class JobRun:
    """A job in a seat."""

    job: Job
    started_at: float
    # How long it may take: in a flight, where no job has the device to itself, as long as all of them together.
    time_limit: float
    has_begun: bool = False
    # When the daemon called it off.
    cancelled_at: float | None = None
    # Why its process was killed.
    kill_reason: JobFault | None = None
    # True where that is known to be the job's own doing, whatever it looks like.
    is_job_fault: bool = False
    # (step, fraction) at which its time began anew.
    last_progress: tuple[int, float] = (0, 0.0)
    # When that was.
    progressed_at: float | None = None
    # True once it needs no engine any more: what it made is being encoded and written.
    has_released_engine: bool = False

    @property
    def deadline(self) -> float:
        """When its time is over."""
        return (self.started_at if self.progressed_at is None else self.progressed_at) + self.time_limit

    def is_overdue(self, now: float) -> bool:
        return now >= self.deadline

    def on_progress(self, step: int, fraction: float, now: float) -> None:
        """What a model makes may have more parts than its steps tell (windows, tiles, regions; only the lane sees the picture's size). So
        its time begins anew with each part of the way: what hangs is ended all the same, and what works never takes for ever."""
        before, so_far = self.last_progress
        if self.job.models and (step > before or (step == before and fraction >= so_far + _MIN_PROGRESS)):
            self.last_progress, self.progressed_at = (step, fraction), now

    def is_unresponsive(self, now: float) -> bool:
        """True where it was called off and has not heeded that in time."""
        return self.cancelled_at is not None and now - self.cancelled_at >= self.job.limits.cancel_grace_seconds


@dataclass(slots=True)
class WorkerDevice:
    """One device of a lane: what its processes are told, and whether it is well."""

    spec: WorkerSpec
    health: DeviceHealth
    # Processes that were killed and would not go.
    stuck_processes: list[WorkerProcess] = field(default_factory=list)

    def is_unhealthy(self, now: float) -> bool:
        """True while nothing may begin on it. A GPU is not tried again while a dead process has not let go of it."""
        if self.health.is_paused(now):
            return True
        self.stuck_processes = [seat for seat in self.stuck_processes if seat.exit_status is None]
        if self.stuck_processes and self.spec.device != "cpu":
            self.health.on_device_failed(STUCK_PROCESS, now)
        return bool(self.health.pause_reason)


@dataclass(slots=True)
class Slot:
    """A seat on a device, and what goes on in it."""

    process: WorkerProcess
    device: WorkerDevice
    runs: list[JobRun] = field(default_factory=list)
    # Since when its process is being waited for.
    dying_since: float | None = None
    # As the process last said.
    models: ModelsMessage = field(default_factory=ModelsMessage)
    loading_since: float = 0.0
    # Why it is the device's fault, and no job's, that its process ends.
    device_failure: str = ""

    @property
    def is_free(self) -> bool:
        """True where it may be given work: it has none, or all that it has landed, and there is room for more beside that."""
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
        """When its process must be ended if nothing is heard of it until then."""
        if not self.runs:
            return [] if self.process.is_ready else [self.process.started_at + START_TIMEOUT_SECONDS]
        ends = [run.deadline for run in self.runs]
        return ends + [run.cancelled_at + run.job.limits.cancel_grace_seconds for run in self.runs if run.cancelled_at is not None]

    def must_be_killed(self, now: float, check_memory: bool) -> bool:
        """True where its process must be ended: it never gets ready, does not heed a cancel, runs too long, or grows too large."""
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
    """One process of a lane, or one device that has none at the moment."""

    spec: WorkerSpec
    # Why nothing is begun on the device; "" where it is well.
    pause_reason: str
    jobs: tuple[Job, ...] = ()
    models: ModelsMessage = field(default_factory=ModelsMessage)
    # Seconds for which it has been loading what it loads.
    loading_seconds: float = 0.0


def batch_size(spec: WorkerSpec, job: Job) -> int:
    """How many jobs like this one fit on the device at once, by what their model's entry says; 1 where nobody knows, as on the CPU."""
    if not job.batch_key or not job.pictures_mb:
        return 1
    room = spec.device_memory_mb * _MAX_DEVICE_MEMORY_SHARE - job.weights_mb
    return max(1, min(spec.max_batch, int(room // job.pictures_mb)))
