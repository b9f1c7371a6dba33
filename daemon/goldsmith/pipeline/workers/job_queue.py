"""A lane's line of jobs: first come, first served, but that a process would rather keep the models it has loaded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from goldsmith.jobs.job import Job

PASSES = 8
"""So many later jobs may go before one that waits for another model. To load a large model takes about as long as to make eight
pictures with it, so at worst a lane spends half of its time on loading, and nobody waits for much more than their own turn."""
PATIENCE = 120.0
"""Seconds: and nobody goes before it any more once this has gone by since the first did. Jobs can be long; a person looks again
after two minutes."""
_AHEAD = 1000
"""So far down the line a job for loaded models is looked for."""

Loaded = frozenset[str]
"""The names of the models that a process has loaded."""


@dataclass(slots=True)
class Ticket:
    """A job in line."""

    job: Job
    passes: int = 0
    """How many that came later went first."""
    since: float | None = None
    """When the first of them did."""
    back: bool = False
    """True for one that had been taken and was put back to the front."""

    def overdue(self, now: float) -> bool:
        return self.passes >= PASSES or (self.since is not None and now - self.since >= PATIENCE)


class Queue:
    """Jobs in the order they came; who goes next depends on what the free seats have loaded."""

    def __init__(self) -> None:
        self._line: deque[Ticket] = deque()

    def __len__(self) -> int:
        return len(self._line)

    def __iter__(self) -> Iterator[Job]:
        return (ticket.job for ticket in self._line)

    def append(self, job: Job) -> None:
        self._line.append(Ticket(job))

    def put_back(self, jobs: Iterable[Job], behind: int = 0) -> None:
        """These had been taken and come to stand at the front again, in their order, with so many others before them."""
        for at, job in enumerate(jobs):
            self._line.insert(behind + at, Ticket(job, back=True))

    def remove(self, job_id: str) -> Job | None:
        """Take a job out of the line; None where it is not in it."""
        ticket = next((ticket for ticket in self._line if ticket.job.id == job_id), None)
        if ticket is None:
            return None
        self._line.remove(ticket)
        return ticket.job

    def clear(self) -> None:
        self._line.clear()

    def choose(self, seats: Sequence[Loaded], now: float, *, swap: bool = True) -> tuple[int, Job] | None:
        """The next job, out of the line now, and which of the free ``seats`` (what each has loaded) it goes to.

        None only where a model would have to make room for another and ``swap`` says that it must not.
        """
        return _choose(self._line, seats, now, swap=swap)

    def mates(self, job: Job, most: int, fit: Callable[[Job], bool], now: float) -> list[Job]:
        """Up to ``most`` further jobs that are like this one, which was just chosen: out of the line, to be done together with it."""
        found: list[Job] = []
        at = 0
        while len(found) < most and at < min(len(self._line), _AHEAD):
            ticket = self._line[at]
            if ticket.job.alike == job.alike and fit(ticket.job):
                found.append(_taken(self._line, at, now))
                if any(before.overdue(now) for before in islice(self._line, at)):
                    break
            elif ticket.overdue(now):
                break
            else:
                at += 1
        return found

    def order(self, seats: Sequence[Loaded], now: float, most: int) -> list[str]:
        """The ids of the first ``most`` jobs in the order in which they will go, if these seats take them in turn."""
        line = deque(replace(ticket) for ticket in islice(self._line, most))
        turns = deque(seats or [frozenset[str]()])
        order = []
        while line:
            loaded = turns.popleft()
            chosen = _choose(line, [loaded], now, swap=True)
            if chosen is None:
                break
            job = chosen[1]
            turns.append(frozenset(job.models) or loaded)
            order.append(job.id)
        return order


def _choose(line: deque[Ticket], seats: Sequence[Loaded], now: float, *, swap: bool) -> tuple[int, Job] | None:
    """Who has been passed over often or long enough; else the first, where a seat is empty: there it throws nothing out; else the
    first whose models are loaded; else the first."""
    at = _overdue(line, now)
    if at is None and all(seats):
        at = next((at for at, ticket in enumerate(islice(line, _AHEAD)) if _with(seats, ticket.job) is not None), None)
    at = at or 0
    seat = _with(seats, line[at].job)
    if seat is None:
        seat = min(range(len(seats)), key=lambda each: len(seats[each]))  # where the least is thrown out
        if seats[seat] and not swap:
            return None
    return seat, _taken(line, at, now)


def _overdue(line: deque[Ticket], now: float) -> int | None:
    """The first who must not be passed over any more. Whoever was passed over stands before whoever was not, but for those put back."""
    for at, ticket in enumerate(line):
        if ticket.overdue(now):
            return at
        if not (ticket.passes or ticket.back):
            return None
    return None


def _with(seats: Sequence[Loaded], job: Job) -> int | None:
    """The first seat that has all the job's models loaded."""
    wanted = frozenset(job.models)
    return next((at for at, loaded in enumerate(seats) if wanted <= loaded), None)


def _taken(line: deque[Ticket], at: int, now: float) -> Job:
    """The job at that place, out of the line; those before it have been passed over once more."""
    for ticket in islice(line, at):
        ticket.passes += 1
        ticket.since = now if ticket.since is None else ticket.since
    job = line[at].job
    del line[at]
    return job
