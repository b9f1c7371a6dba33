"""One seat and what goes on in it: its jobs, the models it has loaded, and when its process must be ended."""

from __future__ import annotations

from dataclasses import dataclass, field

from goldsmith.jobs import faults
from goldsmith.jobs.job import Fault, Job
from goldsmith.jobs.protocol import LaneSpec, Models
from goldsmith.pipeline.workers.device_health import Health
from goldsmith.pipeline.workers.job_queue import Loaded
from goldsmith.pipeline.workers.worker_process import Seat

HELD = "a process that was ended does not let go of it"
"""What is said of a device whose driver hangs: such a process cannot even be killed."""
START_GRACE = 60.0
"""Seconds a process may take to get ready."""
_HEADWAY = 0.01
"""A part of a step's way."""
_LANDED = 8
"""No more is begun while more jobs than this are being written: then the disk is what everything waits for."""
_ROOMY = 0.5
"""Of a job's memory: a process that holds more than this puts down first what it has made."""
_FULL = 0.85
"""How much of a device's memory weights and pictures together may be expected to take: the figures are rough, and others use it too."""


@dataclass(slots=True)
class Run:
    """A job in a seat."""

    job: Job
    since: float
    seconds: float
    """How long it may take: in a flight, where no job has the device to itself, as long as all of them together."""
    begun: bool = False
    cancelled: float | None = None
    """When the daemon called it off."""
    doom: Fault | None = None
    """Why its process was killed."""
    own: bool = False
    """True where that is known to be the job's own doing, whatever it looks like."""
    reached: tuple[int, float] = (0, 0.0)
    """(step, fraction) at which its time began anew."""
    anew: float | None = None
    """When that was."""
    landed: bool = False
    """True once it needs no engine any more: what it made is being encoded and written."""

    @property
    def end(self) -> float:
        """When its time is over."""
        return (self.since if self.anew is None else self.anew) + self.seconds

    def late(self, now: float) -> bool:
        return now >= self.end

    def gets_on(self, step: int, fraction: float, now: float) -> None:
        """What a model makes may have more parts than its steps tell (windows, tiles, regions; only the lane sees the picture's size). So
        its time begins anew with each part of the way: what hangs is ended all the same, and what works never takes for ever."""
        before, so_far = self.reached
        if self.job.models and (step > before or (step == before and fraction >= so_far + _HEADWAY)):
            self.reached, self.anew = (step, fraction), now

    def deaf(self, now: float) -> bool:
        """True where it was called off and has not heeded that in time."""
        return self.cancelled is not None and now - self.cancelled >= self.job.limits.grace


@dataclass(slots=True)
class Bay:
    """One device of a lane: what its processes are told, and whether it is well."""

    spec: LaneSpec
    health: Health
    stuck: list[Seat] = field(default_factory=list)
    """Processes that were killed and would not go."""

    def ill(self, now: float) -> bool:
        """True while nothing may begin on it. A GPU is not tried again while a dead process has not let go of it."""
        if self.health.ill(now):
            return True
        self.stuck = [seat for seat in self.stuck if seat.status is None]
        if self.stuck and self.spec.device != "cpu":
            self.health.failed(HELD, now)
        return bool(self.health.sentence)


@dataclass(slots=True)
class Place:
    """A seat on a device, and what goes on in it."""

    seat: Seat
    bay: Bay
    runs: list[Run] = field(default_factory=list)
    dying: float | None = None
    """Since when its process is being waited for."""
    models: Models = field(default_factory=Models)
    """As the process last said."""
    loading_since: float = 0.0
    blame: str = ""
    """Why it is the device's fault, and no job's, that its process ends."""

    @property
    def free(self) -> bool:
        """True where it may be given work: it has none, or all that it has landed, and there is room for more beside that."""
        if not self.seat.ready or self.dying is not None:
            return False
        return not self.runs or (all(run.landed for run in self.runs) and len(self.runs) <= _LANDED and self._roomy)

    @property
    def _roomy(self) -> bool:
        return self.seat.resident <= _ROOMY * max(run.job.limits.memory_bytes for run in self.runs)

    @property
    def loaded(self) -> Loaded:
        return frozenset(self.models.loaded)

    def run(self, job_id: str) -> Run | None:
        return next((run for run in self.runs if run.job.id == job_id), None)

    def moments(self) -> list[float]:
        """When its process must be ended if nothing is heard of it until then."""
        if not self.runs:
            return [] if self.seat.ready else [self.seat.born + START_GRACE]
        ends = [run.end for run in self.runs]
        return ends + [run.cancelled + run.job.limits.grace for run in self.runs if run.cancelled is not None]

    def doomed(self, now: float, look: bool) -> bool:
        """True where its process must be ended: it never gets ready, does not heed a cancel, runs too long, or grows too large."""
        if not self.runs:
            return not self.seat.ready and now - self.seat.born >= START_GRACE
        if any(run.deaf(now) for run in self.runs):
            return True
        late = [run for run in self.runs if run.late(now)]
        for run in late:
            run.doom = faults.too_long(run.job)
        if late:
            return True
        if not look or self.seat.resident <= max(run.job.limits.memory_bytes for run in self.runs):
            return False
        for run in self.runs:
            run.doom = faults.too_much_memory(run.job)
        return True


@dataclass(frozen=True, slots=True)
class Seated:
    """One process of a lane, or one device that has none at the moment."""

    spec: LaneSpec
    sentence: str
    """Why nothing is begun on the device; "" where it is well."""
    jobs: tuple[Job, ...] = ()
    models: Models = field(default_factory=Models)
    loading_for: float = 0.0
    """Seconds for which it has been loading what it loads."""


def together(spec: LaneSpec, job: Job) -> int:
    """How many jobs like this one fit on the device at once, by what their model's entry says; 1 where nobody knows, as on the CPU."""
    if not job.alike or not job.pictures_mb:
        return 1
    room = spec.memory_mb * _FULL - job.weights_mb
    return max(1, min(spec.together, int(room // job.pictures_mb)))
