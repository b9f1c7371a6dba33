"""The lanes as the daemon sees them: jobs go in, exactly one outcome comes back for each, whatever becomes of the process.

Each lane has one queue (first come, first served) and some seats, lane processes that do one job at a time. Nothing here
blocks and nothing touches pixels. A dead process is replaced for the next job; a lane whose processes cannot even start is
paused with a sentence, and its jobs wait in line.
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic

from goldsmith.line import faults
from goldsmith.line.job import Fault, Job, Outcome, Progress
from goldsmith.line.seat import Seat, Spawn, spawn_lane
from goldsmith.line.wire import Garbled, Kind, LaneContext, LaneSpec, packed, unpacked

Event = Progress | Outcome

_WATCH = 0.25
"""Seconds between two looks at a running job's memory."""
_CANCEL_GRACE = 2.0
_START_GRACE = 60.0
_DEATH_GRACE = 5.0
"""A killed process that is still there after so long is stuck in the kernel: its job is told, its seat is given up."""
_BACKOFF = (0.5, 60.0)
_SENDS = 3
"""So often is a job sent to a process that dies before it begins; then the job is suspected."""
_RESTING = 0.75
"""A seat that keeps more than this share of a job's memory after the job is replaced: the next job is innocent."""


@dataclass(slots=True)
class _Run:
    """A job in a seat."""

    job: Job
    since: float
    begun: bool = False
    cancelled: float | None = None
    """When the daemon called it off."""
    doom: Fault | None = None
    """Why its process was killed."""


@dataclass(slots=True)
class _Place:
    """A seat and what goes on in it."""

    seat: Seat
    run: _Run | None = None
    killed: float | None = None


@dataclass(slots=True)
class _Lane:
    spec: LaneSpec
    queue: deque[Job] = field(default_factory=deque)
    places: list[_Place] = field(default_factory=list)
    failures: int = 0
    """Processes in a row that died before they were ready."""
    sentence: str = ""
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """A job that a lane process is at work on."""

    job: Job
    lane: str
    pid: int
    since: float


class Lanes:
    """All lanes of a house."""

    def __init__(
        self, specs: Sequence[LaneSpec], context: LaneContext, clock: Callable[[], float] = monotonic, spawn: Spawn = spawn_lane
    ) -> None:
        self._lanes = {spec.name: _Lane(spec) for spec in specs}
        self._context = context
        self._clock = clock
        self._spawn = spawn
        self._events: deque[Event] = deque()
        self._sends: dict[str, int] = {}
        self._looked = 0.0
        self._stopping = False
        self._epoll = select.epoll()

    # Asking

    def submit(self, job: Job) -> None:
        """Put a job in line. A lane the house does not have means its first one (no GPU: what can be done is done without)."""
        lane = self._lane(job.lane)
        lane.queue.append(job)
        self._dispatch(lane, self._clock())

    def cancel(self, job_id: str) -> bool:
        """Call a job off; its outcome is then ``cancelled``. False where no such job is here."""
        for lane in self._lanes.values():
            for job in lane.queue:
                if job.id == job_id:
                    lane.queue.remove(job)
                    self._finish(Outcome(job_id=job_id, fault=faults.cancelled(job), lane=lane.spec.name))
                    return True
            for place in lane.places:
                if place.run is not None and place.run.job.id == job_id:
                    if place.run.cancelled is None:
                        place.run.cancelled = self._clock()
                        place.seat.send(Kind.CANCEL, job_id.encode())
                    return True
        return False

    def warm(self) -> None:
        """Start one process a lane before the first job asks for it."""
        for lane in self._lanes.values():
            if not lane.places and not self._held_up(lane, self._clock()):
                self._open(lane, self._clock())

    def pause(self, name: str, sentence: str, until: float | None = None) -> None:
        """Begin no more jobs in this lane, until then or until ``resume``; what runs goes on."""
        lane = self._lane(name)
        lane.sentence, lane.until = sentence, until

    def resume(self, name: str) -> None:
        lane = self._lane(name)
        lane.sentence, lane.until = "", None
        self._dispatch(lane, self._clock())

    def drain(self) -> None:
        """Begin no more jobs anywhere; what runs goes on."""
        self._stopping = True

    # Looking

    def paused(self, name: str) -> str | None:
        """Why the lane begins nothing at the moment; None when it does."""
        return self._lane(name).sentence or None

    def position(self, job_id: str) -> int | None:
        """0 for a job that runs, else its place in line, from 1; None for no such job."""
        for lane in self._lanes.values():
            if any(place.run is not None and place.run.job.id == job_id for place in lane.places):
                return 0
            for at, job in enumerate(lane.queue, 1):
                if job.id == job_id:
                    return at
        return None

    def running(self) -> Mapping[str, Running]:
        """The jobs that processes work on, by id."""
        return {
            place.run.job.id: Running(place.run.job, name, place.seat.pid, place.run.since)
            for name, lane in self._lanes.items()
            for place in lane.places
            if place.run is not None
        }

    def waiting(self, name: str) -> int:
        """How many jobs stand in this lane's line."""
        return len(self._lane(name).queue)

    def waitables(self) -> list[int]:
        """Descriptors that are readable when ``collect`` has something to do; always the same ones."""
        return [self._epoll.fileno()]

    def wait(self, now: float) -> float | None:
        """Seconds until ``collect`` has something to do although nothing became readable; None: never."""
        if self._events:
            return 0.0
        moments = [moment for lane in self._lanes.values() for moment in self._moments(lane)]
        return max(0.0, min(moments) - now) if moments else None

    def _moments(self, lane: _Lane) -> list[float]:
        moments = [lane.until] if lane.queue and lane.sentence and lane.until is not None else []
        for place in lane.places:
            if place.seat.unsent or place.killed is not None:
                moments.append(self._looked + 0.01)
            elif place.run is not None:
                moments += [self._looked + _WATCH, place.run.since + place.run.job.limits.seconds]
                moments += [place.run.cancelled + _CANCEL_GRACE] if place.run.cancelled is not None else []
            elif not place.seat.ready:
                moments.append(place.seat.born + _START_GRACE)
        return moments

    # Working

    def collect(self, now: float) -> list[Event]:
        """All that has happened since: progress (step 0 = begun) and outcomes, in order. Starts what can be started."""
        talkative = {descriptor for descriptor, _ in self._epoll.poll(0)}
        look = now - self._looked >= _WATCH
        for lane in self._lanes.values():
            for place in list(lane.places):
                if look or place.killed is not None or talkative.intersection(place.seat.ears):
                    self._hear(lane, place, now)
                if place.seat.unsent:
                    place.seat.flush()
                self._watch(place, now, look)
                if place.seat.ended or place.killed is not None:
                    self._bury(lane, place, now)
            self._dispatch(lane, now)
        if look or any(place.killed is not None for lane in self._lanes.values() for place in lane.places):
            self._looked = now
        events = list(self._events)
        self._events.clear()
        return events

    def stop(self, seconds: float) -> list[Event]:
        """Let what runs finish for so long, then end everything. Every job that has no outcome yet gets ``cancelled``."""
        self.drain()
        end = self._clock() + seconds
        events = self.collect(self._clock())
        while self.running() and (left := end - self._clock()) > 0:
            self._epoll.poll(min(left, _WATCH))
            events += self.collect(self._clock())
        for lane in self._lanes.values():
            for place in lane.places:
                place.seat.kill()
                place.seat.close()
                if place.run is not None:
                    self._finish(Outcome(job_id=place.run.job.id, fault=faults.cancelled(place.run.job), lane=lane.spec.name))
            for job in lane.queue:
                self._finish(Outcome(job_id=job.id, fault=faults.cancelled(job), lane=lane.spec.name))
            lane.places.clear()
            lane.queue.clear()
        events += self._events
        self._events.clear()
        return events

    def _lane(self, name: str) -> _Lane:
        return self._lanes.get(name) or next(iter(self._lanes.values()))

    def _dispatch(self, lane: _Lane, now: float) -> None:
        if self._stopping or not lane.queue or self._held_up(lane, now):
            return
        for place in lane.places:
            if lane.queue and place.seat.ready and place.run is None and place.killed is None:
                self._send(place, lane.queue.popleft(), now)
        starting = sum(not place.seat.ready for place in lane.places)
        wanted = min(lane.spec.count - len(lane.places), len(lane.queue) - starting)
        for _ in range(wanted):
            if lane.sentence:
                break
            self._open(lane, now)

    def _held_up(self, lane: _Lane, now: float) -> bool:
        if lane.sentence and lane.until is not None and now >= lane.until:
            lane.sentence, lane.until = "", None
        return bool(lane.sentence)

    def _open(self, lane: _Lane, now: float) -> None:
        try:
            seat = Seat(lane.spec, self._context, self._spawn, now)
        except OSError as error:
            self._failed(lane, f"{error.strerror or error}", now)
            return
        for ear in seat.ears:
            self._epoll.register(ear, select.EPOLLIN)
        lane.places.append(_Place(seat))

    def _send(self, place: _Place, job: Job, now: float) -> None:
        place.seat.forget_words()
        place.run = _Run(job, now)
        place.seat.send(Kind.JOB, packed(job))

    def _failed(self, lane: _Lane, why: str, now: float) -> None:
        first, longest = _BACKOFF
        seconds = min(longest, first * 2.0 ** min(lane.failures, 16))
        lane.failures += 1
        lane.until = now + seconds
        lane.sentence = f"The {lane.spec.name} lane cannot start ({why}); it is tried again within {seconds:g} s, and its jobs wait."

    def _hear(self, lane: _Lane, place: _Place, now: float) -> None:
        try:
            for kind, payload in place.seat.read():
                self._heard(lane, place, kind, payload, now)
        except Garbled:
            place.seat.ended = True
            place.seat.kill()

    def _heard(self, lane: _Lane, place: _Place, kind: Kind, payload: bytes, now: float) -> None:
        if kind is Kind.READY:
            place.seat.ready = True
            lane.failures = 0
            return
        run = place.run
        if run is None:
            raise Garbled("it spoke out of turn")
        if kind is Kind.BEGUN:
            run.begun, run.since = True, now
            self._sends.pop(run.job.id, None)
            self._events.append(Progress(job_id=run.job.id, step=0, op="", fraction=0.0))
        elif kind is Kind.PROGRESS:
            progress = unpacked(Progress, payload)
            if progress.job_id == run.job.id:
                self._events.append(progress)
        elif kind is Kind.OUTCOME:
            outcome = unpacked(Outcome, payload)
            if outcome.job_id != run.job.id:
                raise Garbled("it answered for another job")
            self._answered(place, run, outcome)
        else:
            raise Garbled(f"it said {kind.name}")

    def _answered(self, place: _Place, run: _Run, outcome: Outcome) -> None:
        """What comes after the daemon called a job off, or killed its process, changes nothing any more."""
        if run.cancelled is not None:
            outcome = Outcome(job_id=run.job.id, fault=faults.cancelled(run.job), lane=outcome.lane, seconds=outcome.seconds)
        place.run = None
        self._finish(outcome)
        if place.seat.resident > run.job.limits.memory_bytes * _RESTING:
            place.seat.kill()
            place.seat.ended = True

    def _watch(self, place: _Place, now: float, look: bool) -> None:
        """Kill what runs too long, grows too large, or does not heed a cancel."""
        run = place.run
        if place.killed is not None or place.seat.ended:
            return
        if run is None:
            if not place.seat.ready and now - place.seat.born >= _START_GRACE:
                self._kill(place, now)
        elif run.cancelled is not None and now - run.cancelled >= _CANCEL_GRACE:
            self._kill(place, now)
        elif now - run.since >= run.job.limits.seconds:
            run.doom = faults.too_long(run.job)
            self._kill(place, now)
        elif look and place.seat.resident > run.job.limits.memory_bytes:
            run.doom = faults.too_much_memory(run.job)
            self._kill(place, now)

    def _kill(self, place: _Place, now: float) -> None:
        place.seat.kill()
        place.killed = now

    def _bury(self, lane: _Lane, place: _Place, now: float) -> None:
        """Once the process is gone, nothing writes to the job's scratch any more: only then its outcome is told."""
        place.killed = now if place.killed is None else place.killed
        status = place.seat.status
        if status is None and now - place.killed < _DEATH_GRACE:
            return
        words = place.seat.last_words
        place.seat.close()  # which takes its descriptors out of the epoll set, too
        lane.places.remove(place)
        status = -9 if status is None else status
        if place.run is not None:
            self._lost(lane, place.run, status, words)
        elif not place.seat.ready and not self._stopping:
            last = f": {words.splitlines()[-1]:.200}" if words else ""
            self._failed(lane, f"{faults.manner(status)}{last}", now)

    def _lost(self, lane: _Lane, run: _Run, status: int, words: str) -> None:
        job = run.job
        if run.cancelled is None and run.doom is None and not run.begun:
            sends = self._sends[job.id] = self._sends.get(job.id, 0) + 1
            if sends < _SENDS:
                lane.queue.appendleft(job)
                return
        fault = faults.cancelled(job) if run.cancelled is not None else run.doom or faults.died(job, status)
        self._finish(Outcome(job_id=job.id, fault=fault.model_copy(update={"detail": words}), lane=lane.spec.name))

    def _finish(self, outcome: Outcome) -> None:
        self._sends.pop(outcome.job_id, None)
        self._events.append(outcome)
