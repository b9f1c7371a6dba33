"""One lane: a line of jobs, and the seats on its devices that take them."""

from __future__ import annotations

import select
from collections.abc import Callable, Sequence
from math import ceil

from goldsmith.jobs import faults
from goldsmith.jobs.job import Job, Outcome, Progress, PutBack
from goldsmith.jobs.protocol import (
    FlightPlan,
    Garbled,
    Kind,
    LaneContext,
    LaneSpec,
    Models,
    packed,
    unpacked,
)
from goldsmith.pipeline.workers.device_health import Health
from goldsmith.pipeline.workers.failure_policy import Endings
from goldsmith.pipeline.workers.job_queue import Queue
from goldsmith.pipeline.workers.slot import (
    HELD,
    Bay,
    Place,
    Run,
    Seated,
    together,
)
from goldsmith.pipeline.workers.worker_process import Seat, Spawn

Event = Progress | Outcome | PutBack

WATCH = 0.25
"""Seconds between two looks at a running job's memory."""
_SOON = 0.01
_DEATH_GRACE = 5.0
"""A killed process that is still there after so long is stuck in the kernel: its job is told, its seat is given up."""
_RESTING = 0.75
_RESTING_LOADED = 0.9
"""A seat that keeps more than this share of a job's memory after the job is replaced: the next job is innocent. One that holds models
which it is to keep may rest with more."""


class Pool:
    """A lane's queue and its processes. Nothing here blocks."""

    def __init__(
        self, specs: Sequence[LaneSpec], context: LaneContext, spawn: Spawn, ears: select.epoll, tell: Callable[[Event], None]
    ) -> None:
        self.name = specs[0].name
        self.queue = Queue()
        self.places: list[Place] = []
        self.bays = [Bay(spec, Health(spec.name, spec.device)) for spec in specs]
        self.sentence = ""
        """Why it was told to begin nothing at the moment."""
        self.until: float | None = None
        self.closed = False
        self._context = context
        self._spawn = spawn
        self._ears = ears
        self._tell = tell
        self._endings = Endings(self.queue, self._finish, tell)
        self._looked = 0.0

    @property
    def paused(self) -> str:
        """Why nothing begins; "" where something may. A lane goes on while one of its devices is well."""
        if self.sentence or not all(bay.health.sentence for bay in self.bays):
            return self.sentence
        return " ".join(dict.fromkeys(bay.health.sentence for bay in self.bays))

    def running(self) -> list[tuple[Place, Run]]:
        """The jobs that are worked on, each with its seat."""
        return [(place, run) for place in self.places for run in place.runs]

    def cancel(self, job_id: str, now: float) -> bool:
        """Call a job off, in line or at work; False where it is not here."""
        waiting = self.queue.remove(job_id)
        if waiting is not None:
            self._finish(Outcome(job_id=job_id, fault=faults.cancelled(waiting)))
            return True
        for place, run in self.running():
            if run.job.id == job_id:
                if run.cancelled is None:
                    run.cancelled = now
                    place.seat.send(Kind.CANCEL, job_id.encode())
                return True
        return False

    def order(self, now: float, most: int) -> list[str]:
        """The ids of the first ``most`` jobs in line, in the order in which they will go as far as is known."""
        return self.queue.order([place.loaded for place in self.places], now, most)

    def seats(self, now: float) -> list[Seated]:
        """What is to be shown of every device."""
        shown = [
            Seated(place.bay.spec, place.bay.health.sentence, tuple(run.job for run in place.runs), place.models, now - place.loading_since)
            for place in self.places
        ]
        idle = [bay for bay in self.bays if not any(place.bay is bay for place in self.places)]
        return shown + [Seated(bay.spec, bay.health.sentence) for bay in idle]

    def dispatch(self, now: float) -> None:
        """Give what waits to seats that are free, and open seats while there are fewer than there may be."""
        if self.closed or not self.queue or self.held_up(now):
            return
        vacant = self._vacant(now)
        free = [place for place in self.places if self._free(place) and not place.bay.ill(now)]
        opening = sum(not place.seat.ready for place in self.places)
        while free and self.queue:
            # No model makes room for another while there is, or is about to be, a process that has none.
            chosen = self.queue.choose([place.loaded for place in free], now, swap=not (opening or vacant))
            if chosen is None:
                break
            self._send(free.pop(chosen[0]), chosen[1], len(free) + len(vacant), now)
        for bay in vacant[: max(0, len(self.queue) - opening)]:
            if not bay.health.sentence:
                self._open(bay, now)

    def _free(self, place: Place) -> bool:
        """While it is to be found out which job it is that processes die of, none is begun beside another."""
        return place.free and not (place.runs and self._endings.wary)

    def held_up(self, now: float) -> bool:
        """True while nothing may begin; a pause whose time is over ends here."""
        if self.sentence and self.until is not None and now >= self.until:
            self.sentence, self.until = "", None
        ill = [bay.ill(now) for bay in self.bays]
        return bool(self.sentence) or all(ill)

    def resume(self) -> None:
        """End every pause."""
        self.sentence, self.until = "", None
        for bay in self.bays:
            bay.health.pardon()

    def warm(self, now: float) -> None:
        """Start a first process, if there is none and nothing is in the way."""
        if not self.places and not self.held_up(now):
            self._open(self._vacant(now)[0], now)

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
            if place.dying is None and place.doomed(now, look):
                self._kill(place, now)
            if place.dying is not None:
                self._bury(place, now)
        self.dispatch(now)

    def moments(self) -> list[float]:
        """When ``collect`` has something to do although nobody said anything."""
        moments: list[float] = []
        if self.queue and not self.closed:
            moments += [bay.health.until for bay in self.bays if bay.health.sentence]
            moments += [self.until] if self.sentence and self.until is not None else []
        for place in self.places:
            if place.seat.unsent or place.dying is not None:
                moments.append(self._looked + _SOON)
            else:
                moments += place.moments() + ([self._looked + WATCH] if place.runs else [])
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

    # ------------------------------------------------------------------ seats

    def _vacant(self, now: float) -> list[Bay]:
        """The devices that may have more processes than they have, one entry for each; the emptiest first."""
        taken = {id(bay): sum(place.bay is bay for place in self.places) for bay in self.bays}
        vacant = [(number, bay) for bay in self.bays if not bay.ill(now) for number in range(taken[id(bay)], bay.spec.count)]
        return [bay for _, bay in sorted(vacant, key=lambda one: one[0])]

    def _open(self, bay: Bay, now: float) -> None:
        """Start one more process. Where that fails the device pauses."""
        try:
            seat = Seat(bay.spec, self._context, self._spawn, now)
        except OSError as error:
            bay.health.could_not_start(f"{error.strerror or error}", now)
            return
        for ear in seat.ears:
            self._ears.register(ear, select.EPOLLIN)
        self.places.append(Place(seat, bay))

    def _send(self, place: Place, job: Job, others: int, now: float) -> None:
        """Give the job to the seat, with such that are like it; what waits is divided with the ``others`` that could take work."""
        share = ceil((len(self.queue) + 1) / (others + 1))
        most = min(share, together(place.bay.spec, job)) - 1
        mates = self.queue.mates(job, most, self._endings.sociable, now) if most > 0 and self._endings.sociable(job) else []
        jobs = (job, *mates)
        place.seat.forget_words()
        place.runs += [Run(each, now, sum(one.limits.seconds for one in jobs)) for each in jobs]
        place.seat.send(*((Kind.FLIGHT, packed(FlightPlan(jobs=jobs))) if mates else (Kind.JOB, packed(job))))

    def _kill(self, place: Place, now: float) -> None:
        place.seat.kill()
        place.dying = now

    def _bury(self, place: Place, now: float) -> None:
        """Once the process is gone, nothing writes to the jobs' scratch any more: only then their outcomes are told."""
        status = place.seat.status
        if status is None and now - (place.dying or now) < _DEATH_GRACE:
            return
        words = place.seat.last_words
        place.seat.close()  # which takes its descriptors out of the epoll set, too
        self.places.remove(place)
        if status is None:
            place.bay.stuck.append(place.seat)
            if place.bay.ill(now):
                place.blame = place.blame or HELD
        if place.runs:
            self._endings.of(place, status, words, now)
        elif not place.seat.ready and not self.closed:
            last = f": {words.splitlines()[-1]:.200}" if words else ""
            place.bay.health.could_not_start(f"{faults.manner(-9 if status is None else status)}{last}", now)

    # ------------------------------------------------------------------ what seats say

    def _hear(self, place: Place, now: float) -> None:
        try:
            for kind, payload in place.seat.read():
                self._heard(place, kind, payload, now)
        except Garbled:
            for run in place.runs:
                run.doom = faults.nonsense(run.job)
            self._kill(place, now)

    def _heard(self, place: Place, kind: Kind, payload: bytes, now: float) -> None:
        if kind is Kind.READY:
            place.seat.ready = True
            place.bay.health.started()
        elif kind is Kind.MODELS:
            models = unpacked(Models, payload)
            place.loading_since = place.loading_since if models.loading == place.models.loading else now
            place.models = models
        elif kind is Kind.BEGUN:
            run = _run_of(place, payload.decode("ascii", "replace"))
            run.begun, run.since = True, now
            self._tell(Progress(job_id=run.job.id, step=0, op="", fraction=0.0))
        elif kind is Kind.PROGRESS:
            progress = unpacked(Progress, payload)
            _run_of(place, progress.job_id).gets_on(progress.step, progress.fraction, now)
            self._tell(progress)
        elif kind is Kind.LANDED:
            _run_of(place, payload.decode("ascii", "replace")).landed = True
        elif kind is Kind.OUTCOME:
            outcome = unpacked(Outcome, payload)
            self._answered(place, _run_of(place, outcome.job_id), outcome, now)
        else:
            raise Garbled(f"it said {kind.name}")

    def _answered(self, place: Place, run: Run, outcome: Outcome, now: float) -> None:
        if outcome.fault is not None and outcome.fault.kind == "device":
            # Whatever was loaded there is lost, and a process does not get over it: what it still has to say is not waited for.
            self._endings.device_failed(place, run, outcome.fault, now)
            self._kill(place, now)
            return
        place.runs.remove(run)
        if run.cancelled is not None:  # what was called off brings nothing any more, even if it was done by then
            outcome = Outcome(job_id=run.job.id, fault=faults.cancelled(run.job), seconds=outcome.seconds)
        elif outcome.fault is None:
            place.bay.health.worked(run.job)
        self._finish(outcome)
        most = _RESTING_LOADED if place.models.loaded else _RESTING
        if not place.runs and place.seat.resident > run.job.limits.memory_bytes * most:
            self._kill(place, now)

    def _finish(self, outcome: Outcome) -> None:
        self._endings.forget(outcome.job_id)
        self._tell(outcome.model_copy(update={"lane": self.name}))


def _run_of(place: Place, job_id: str) -> Run:
    run = place.run(job_id)
    if run is None:
        raise Garbled("it spoke out of turn, or of another job")
    return run
