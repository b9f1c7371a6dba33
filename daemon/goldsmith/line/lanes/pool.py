"""One lane: a line of jobs, first come, first served, and the seats that take them."""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from goldsmith.line.job import Fault, Job, Outcome, Progress
from goldsmith.line.lanes import faults
from goldsmith.line.lanes.seat import Seat, Spawn
from goldsmith.line.lanes.wire import Garbled, Kind, LaneContext, LaneSpec, packed, unpacked

Event = Progress | Outcome

WATCH = 0.25
"""Seconds between two looks at a running job's memory."""
_SOON = 0.01
_CANCEL_GRACE = 2.0
_START_GRACE = 60.0
_DEATH_GRACE = 5.0
"""A killed process that is still there after so long is stuck in the kernel: its job is told, its seat is given up."""
_BACKOFF, _LONGEST_BACKOFF = 0.5, 60.0
_SENDS = 3
"""So often is a job sent to a process that dies before it begins; then the job is suspected."""
_RESTING = 0.75
"""A seat that keeps more than this share of a job's memory after the job is replaced: the next job is innocent."""


@dataclass(slots=True)
class Run:
    """A job in a seat."""

    job: Job
    since: float
    begun: bool = False
    cancelled: float | None = None
    """When the daemon called it off."""
    doom: Fault | None = None
    """Why its process was killed."""


@dataclass(slots=True)
class Place:
    """A seat and what goes on in it."""

    seat: Seat
    run: Run | None = None
    dying: float | None = None
    """Since when its process is being waited for."""


class Pool:
    """A lane's queue and its processes. Nothing here blocks."""

    def __init__(self, spec: LaneSpec, context: LaneContext, spawn: Spawn, ears: select.epoll, tell: Callable[[Event], None]) -> None:
        self.spec = spec
        self.queue: deque[Job] = deque()
        self.places: list[Place] = []
        self.sentence = ""
        """Why it begins nothing at the moment."""
        self.until: float | None = None
        self.closed = False
        self._context = context
        self._spawn = spawn
        self._ears = ears
        self._tell = tell
        self._failures = 0
        self._sends: dict[str, int] = {}
        self._looked = 0.0

    def running(self) -> list[tuple[Place, Run]]:
        """The seats that have a job."""
        return [(place, place.run) for place in self.places if place.run is not None]

    def cancel(self, job_id: str, now: float) -> bool:
        """Call a job off, in line or at work; False where it is not here."""
        waiting = next((job for job in self.queue if job.id == job_id), None)
        if waiting is not None:
            self.queue.remove(waiting)
            self._finish(Outcome(job_id=job_id, fault=faults.cancelled(waiting)))
            return True
        for place, run in self.running():
            if run.job.id == job_id:
                if run.cancelled is None:
                    run.cancelled = now
                    place.seat.send(Kind.CANCEL, job_id.encode())
                return True
        return False

    def dispatch(self, now: float) -> None:
        """Give what waits to seats that are free, and open seats while there are fewer than there may be."""
        if self.closed or not self.queue or self.held_up(now):
            return
        for place in self.places:
            if self.queue and place.seat.ready and place.run is None and place.dying is None:
                self._send(place, self.queue.popleft(), now)
        opening = sum(not place.seat.ready for place in self.places)
        for _ in range(min(self.spec.count - len(self.places), len(self.queue) - opening)):
            if not self.open(now):
                break

    def held_up(self, now: float) -> bool:
        """True while it is paused; a pause whose time is over ends here."""
        if self.sentence and self.until is not None and now >= self.until:
            self.sentence, self.until = "", None
        return bool(self.sentence)

    def open(self, now: float) -> bool:
        """Start one more process. Where that fails the lane is paused and False given."""
        try:
            seat = Seat(self.spec, self._context, self._spawn, now)
        except OSError as error:
            self._could_not_start(f"{error.strerror or error}", now)
            return False
        for ear in seat.ears:
            self._ears.register(ear, select.EPOLLIN)
        self.places.append(Place(seat))
        return True

    def collect(self, talkative: frozenset[int], now: float) -> None:
        """Hear who has something to say, watch over the others, bury the dead, hand out work."""
        look = now - self._looked >= WATCH
        if look or any(place.dying is not None or place.seat.unsent for place in self.places):
            self._looked = now
        for place in list(self.places):
            if look or place.dying is not None or talkative.intersection(place.seat.ears):
                self._hear(place, now)
            place.seat.flush()
            if place.seat.ended and place.dying is None:
                place.dying = now
            if place.dying is None:
                self._watch(place, now, look)
            if place.dying is not None:
                self._bury(place, now)
        self.dispatch(now)

    def moments(self) -> list[float]:
        """When ``collect`` has something to do although nobody said anything."""
        moments = [self.until] if self.queue and self.sentence and self.until is not None else []
        for place in self.places:
            if place.seat.unsent or place.dying is not None:
                moments.append(self._looked + _SOON)
            elif place.run is not None:
                moments += [self._looked + WATCH, place.run.since + place.run.job.limits.seconds]
                moments += [place.run.cancelled + _CANCEL_GRACE] if place.run.cancelled is not None else []
            elif not place.seat.ready:
                moments.append(place.seat.born + _START_GRACE)
        return moments

    def end(self) -> None:
        """Kill every process; each job that has no outcome yet gets ``cancelled``."""
        for place in self.places:
            place.seat.kill()
        for place in self.places:
            place.seat.gone(1.0)
            place.seat.close()
        for job in [*(run.job for _, run in self.running()), *self.queue]:
            self._finish(Outcome(job_id=job.id, fault=faults.cancelled(job)))
        self.places.clear()
        self.queue.clear()

    def _send(self, place: Place, job: Job, now: float) -> None:
        place.seat.forget_words()
        place.run = Run(job, now)
        place.seat.send(Kind.JOB, packed(job))

    def _could_not_start(self, why: str, now: float) -> None:
        seconds = min(_LONGEST_BACKOFF, _BACKOFF * 2.0 ** min(self._failures, 16))
        self._failures += 1
        self.until = now + seconds
        self.sentence = f"The {self.spec.name} lane cannot start ({why}); it is tried again within {seconds:g} s, and its jobs wait."

    def _hear(self, place: Place, now: float) -> None:
        try:
            for kind, payload in place.seat.read():
                self._heard(place, kind, payload, now)
        except Garbled:
            if place.run is not None:
                place.run.doom = faults.nonsense(place.run.job)
            self._kill(place, now)

    def _heard(self, place: Place, kind: Kind, payload: bytes, now: float) -> None:
        run = place.run
        if kind is Kind.READY:
            place.seat.ready = True
            self._failures = 0
        elif run is None:
            raise Garbled("it spoke out of turn")
        elif kind is Kind.BEGUN:
            run.begun, run.since = True, now
            self._tell(Progress(job_id=run.job.id, step=0, op="", fraction=0.0))
        elif kind is Kind.PROGRESS:
            self._tell(unpacked(Progress, payload).model_copy(update={"job_id": run.job.id}))
        elif kind is Kind.OUTCOME:
            self._answered(place, run, unpacked(Outcome, payload), now)
        else:
            raise Garbled(f"it said {kind.name}")

    def _answered(self, place: Place, run: Run, outcome: Outcome, now: float) -> None:
        if outcome.job_id != run.job.id:
            raise Garbled("it answered for another job")
        place.run = None
        if run.cancelled is not None:  # what was called off brings nothing any more, even if it was done by then
            outcome = Outcome(job_id=run.job.id, fault=faults.cancelled(run.job), seconds=outcome.seconds)
        self._finish(outcome)
        if place.seat.resident > run.job.limits.memory_bytes * _RESTING:
            self._kill(place, now)

    def _watch(self, place: Place, now: float, look: bool) -> None:
        """Kill what runs too long, grows too large, does not heed a cancel, or never gets ready."""
        run = place.run
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

    def _kill(self, place: Place, now: float) -> None:
        place.seat.kill()
        place.dying = now

    def _bury(self, place: Place, now: float) -> None:
        """Once the process is gone, nothing writes to the job's scratch any more: only then its outcome is told."""
        status = place.seat.status
        if status is None and now - (place.dying or now) < _DEATH_GRACE:
            return
        status = -9 if status is None else status
        words = place.seat.last_words
        place.seat.close()  # which takes its descriptors out of the epoll set, too
        self.places.remove(place)
        if place.run is not None:
            self._lost(place.run, status, words)
        elif not place.seat.ready and not self.closed:
            last = f": {words.splitlines()[-1]:.200}" if words else ""
            self._could_not_start(f"{faults.manner(status)}{last}", now)

    def _lost(self, run: Run, status: int, words: str) -> None:
        """A job's process is dead. One that had not even begun loses nothing by being sent to another process."""
        job = run.job
        if run.cancelled is None and run.doom is None and not run.begun:
            self._sends[job.id] = self._sends.get(job.id, 0) + 1
            if self._sends[job.id] < _SENDS:
                self.queue.appendleft(job)
                return
        fault = faults.cancelled(job) if run.cancelled is not None else run.doom or faults.died(job, status)
        self._finish(Outcome(job_id=job.id, fault=fault.model_copy(update={"detail": words})))

    def _finish(self, outcome: Outcome) -> None:
        self._sends.pop(outcome.job_id, None)
        self._tell(outcome.model_copy(update={"lane": self.spec.name}))
