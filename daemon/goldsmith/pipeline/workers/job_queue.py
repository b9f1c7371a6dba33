"""A lane's line of jobs: first come, first served, but that a process would rather keep the models it has loaded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from goldsmith.jobs.job import Job

# So many later jobs may go before one that waits for another model. To load a large model takes about as long as to make eight pictures
# with it, so at worst a lane spends half of its time on loading, and nobody waits for much more than their own turn.
MAX_SKIPS = 8
# Seconds: and nobody goes before it any more once this has gone by since the first did. Jobs can be long; a person looks again after two
# minutes.
MAX_SKIPPED_SECONDS = 120.0
# So far down the line a job for loaded models is looked for.
_LOOKAHEAD = 1000

# The names of the models that a process has loaded.
LoadedModels = frozenset[str]


@dataclass(slots=True)
class QueueEntry:
    """A job in line."""

    job: Job
    # How many that came later went first.
    skips: int = 0
    # When the first of them did.
    first_skipped_at: float | None = None
    # True for one that had been taken and was put back to the front.
    was_requeued: bool = False

    def is_overdue(self, now: float) -> bool:
        return self.skips >= MAX_SKIPS or (self.first_skipped_at is not None and now - self.first_skipped_at >= MAX_SKIPPED_SECONDS)


class JobQueue:
    """Jobs in the order they came; who goes next depends on what the free seats have loaded."""

    def __init__(self) -> None:
        self._entries: deque[QueueEntry] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Job]:
        return (ticket.job for ticket in self._entries)

    def append(self, job: Job) -> None:
        self._entries.append(QueueEntry(job))

    def requeue(self, jobs: Iterable[Job], position: int = 0) -> None:
        """These had been taken and come to stand at the front again, in their order, with so many others before them."""
        for at, job in enumerate(jobs):
            self._entries.insert(position + at, QueueEntry(job, was_requeued=True))

    def remove(self, job_id: str) -> Job | None:
        """Take a job out of the line; None where it is not in it."""
        ticket = next((ticket for ticket in self._entries if ticket.job.id == job_id), None)
        if ticket is None:
            return None
        self._entries.remove(ticket)
        return ticket.job

    def clear(self) -> None:
        self._entries.clear()

    def take_next(self, models_by_slot: Sequence[LoadedModels], now: float, *, may_evict: bool = True) -> tuple[int, Job] | None:
        """The next job, out of the line now, and which of the free ``seats`` (what each has loaded) it goes to.

        None only where a model would have to make room for another and ``swap`` says that it must not.
        """
        return _take_next(self._entries, models_by_slot, now, may_evict=may_evict)

    def take_compatible(self, job: Job, limit: int, accepts: Callable[[Job], bool], now: float) -> list[Job]:
        """Up to ``most`` further jobs that are like this one, which was just chosen: out of the line, to be done together with it."""
        found: list[Job] = []
        at = 0
        while len(found) < limit and at < min(len(self._entries), _LOOKAHEAD):
            ticket = self._entries[at]
            if ticket.job.batch_key == job.batch_key and accepts(ticket.job):
                found.append(_take(self._entries, at, now))
                if any(before.is_overdue(now) for before in islice(self._entries, at)):
                    break
            elif ticket.is_overdue(now):
                break
            else:
                at += 1
        return found

    def predict_order(self, models_by_slot: Sequence[LoadedModels], now: float, limit: int) -> list[str]:
        """The ids of the first ``most`` jobs in the order in which they will go, if these seats take them in turn."""
        line = deque(replace(ticket) for ticket in islice(self._entries, limit))
        turns = deque(models_by_slot or [frozenset[str]()])
        order = []
        while line:
            loaded = turns.popleft()
            chosen = _take_next(line, [loaded], now, may_evict=True)
            if chosen is None:
                break
            job = chosen[1]
            turns.append(frozenset(job.models) or loaded)
            order.append(job.id)
        return order


def _take_next(
    entries: deque[QueueEntry], models_by_slot: Sequence[LoadedModels], now: float, *, may_evict: bool
) -> tuple[int, Job] | None:
    """Who has been passed over often or long enough; else the first, where a seat is empty: there it throws nothing out; else the
    first whose models are loaded; else the first."""
    at = _first_overdue(entries, now)
    if at is None and all(models_by_slot):
        at = next(
            (at for at, ticket in enumerate(islice(entries, _LOOKAHEAD)) if _slot_with_models(models_by_slot, ticket.job) is not None), None
        )
    at = at or 0
    seat = _slot_with_models(models_by_slot, entries[at].job)
    if seat is None:
        seat = min(range(len(models_by_slot)), key=lambda each: len(models_by_slot[each]))  # where the least is thrown out
        if models_by_slot[seat] and not may_evict:
            return None
    return seat, _take(entries, at, now)


def _first_overdue(entries: deque[QueueEntry], now: float) -> int | None:
    """The first who must not be passed over any more. Whoever was passed over stands before whoever was not, but for those put back."""
    for at, ticket in enumerate(entries):
        if ticket.is_overdue(now):
            return at
        if not (ticket.skips or ticket.was_requeued):
            return None
    return None


def _slot_with_models(models_by_slot: Sequence[LoadedModels], job: Job) -> int | None:
    """The first seat that has all the job's models loaded."""
    wanted = frozenset(job.models)
    return next((at for at, loaded in enumerate(models_by_slot) if wanted <= loaded), None)


def _take(entries: deque[QueueEntry], index: int, now: float) -> Job:
    """The job at that place, out of the line; those before it have been passed over once more."""
    for ticket in islice(entries, index):
        ticket.skips += 1
        ticket.first_skipped_at = now if ticket.first_skipped_at is None else ticket.first_skipped_at
    job = entries[index].job
    del entries[index]
    return job
