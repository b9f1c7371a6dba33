"""The waiting jobs of a queue: first come, first served, except that a process prefers jobs for its loaded models."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from goldsmith.jobs.job import Job

# How many later jobs may overtake a job that waits for another model. Loading a large model takes about as long as generating eight
# pictures, so a worker spends at most half of its time loading, and no job waits for much more than its own turn.
MAX_SKIPS = 8
# Seconds after which a job may not be overtaken any more, counted from the first time. Jobs can be long; people look again after two
# minutes.
MAX_SKIPPED_SECONDS = 120.0
# How far down the queue a job for loaded models is searched.
_LOOKAHEAD = 1000

# The names of the models that a process has loaded.
LoadedModels = frozenset[str]


@dataclass(slots=True)
class QueueEntry:
    """A waiting job."""

    job: Job
    # How many later jobs have overtaken it.
    skips: int = 0
    # When the first of them did.
    first_skipped_at: float | None = None
    # True for a job that was taken and put back at the front.
    was_requeued: bool = False

    def is_overdue(self, now: float) -> bool:
        return self.skips >= MAX_SKIPS or (self.first_skipped_at is not None and now - self.first_skipped_at >= MAX_SKIPPED_SECONDS)


class JobQueue:
    """Jobs in order of arrival; the next job depends on the models that the free slots have loaded."""

    def __init__(self) -> None:
        self._entries: deque[QueueEntry] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Job]:
        return (entry.job for entry in self._entries)

    def append(self, job: Job) -> None:
        self._entries.append(QueueEntry(job))

    def requeue(self, jobs: Iterable[Job], position: int = 0) -> None:
        """Put jobs that were taken back at the front, in their order, with ``position`` other jobs before them."""
        for at, job in enumerate(jobs):
            self._entries.insert(position + at, QueueEntry(job, was_requeued=True))

    def remove(self, job_id: str) -> Job | None:
        """Remove a job and return it; None if it is not in the queue."""
        entry = next((entry for entry in self._entries if entry.job.id == job_id), None)
        if entry is None:
            return None
        self._entries.remove(entry)
        return entry.job

    def clear(self) -> None:
        self._entries.clear()

    def take_next(self, models_by_slot: Sequence[LoadedModels], now: float, *, may_evict: bool = True) -> tuple[int, Job] | None:
        """Take the next job and return it with the index of its slot, given what each free slot has loaded.

        Return None only if a model would have to be unloaded and ``may_evict`` forbids it.
        """
        return _take_next(self._entries, models_by_slot, now, may_evict=may_evict)

    def take_compatible(self, job: Job, limit: int, accepts: Callable[[Job], bool], now: float) -> list[Job]:
        """Take up to ``limit`` further jobs that can share a batch with the job that was just taken."""
        found: list[Job] = []
        at = 0
        while len(found) < limit and at < min(len(self._entries), _LOOKAHEAD):
            entry = self._entries[at]
            if entry.job.batch_key == job.batch_key and accepts(entry.job):
                found.append(_take(self._entries, at, now))
                if any(before.is_overdue(now) for before in islice(self._entries, at)):
                    break
            elif entry.is_overdue(now):
                break
            else:
                at += 1
        return found

    def predict_order(self, models_by_slot: Sequence[LoadedModels], now: float, limit: int) -> list[str]:
        """Return the ids of the first ``limit`` jobs in the order in which they will run on these slots."""
        line = deque(replace(entry) for entry in islice(self._entries, limit))
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
    """Take the next job. Order: an overdue job; else the head of the queue if a slot has no model loaded; else the first job whose models
    are loaded; else the head of the queue.
    """
    at = _first_overdue(entries, now)
    if at is None and all(models_by_slot):
        at = next(
            (at for at, entry in enumerate(islice(entries, _LOOKAHEAD)) if _slot_with_models(models_by_slot, entry.job) is not None), None
        )
    at = at or 0
    slot_index = _slot_with_models(models_by_slot, entries[at].job)
    if slot_index is None:
        slot_index = min(range(len(models_by_slot)), key=lambda each: len(models_by_slot[each]))  # the slot that unloads the least
        if models_by_slot[slot_index] and not may_evict:
            return None
    return slot_index, _take(entries, at, now)


def _first_overdue(entries: deque[QueueEntry], now: float) -> int | None:
    """Return the index of the first job that must not be overtaken again. Jobs that were overtaken come before those that were not, except
    requeued ones.
    """
    for at, entry in enumerate(entries):
        if entry.is_overdue(now):
            return at
        if not (entry.skips or entry.was_requeued):
            return None
    return None


def _slot_with_models(models_by_slot: Sequence[LoadedModels], job: Job) -> int | None:
    """Return the first slot that has all models of the job loaded."""
    wanted = frozenset(job.models)
    return next((at for at, loaded in enumerate(models_by_slot) if wanted <= loaded), None)


def _take(entries: deque[QueueEntry], index: int, now: float) -> Job:
    """Take the job at that index; the jobs before it are counted as overtaken once more."""
    for entry in islice(entries, index):
        entry.skips += 1
        entry.first_skipped_at = now if entry.first_skipped_at is None else entry.first_skipped_at
    job = entries[index].job
    del entries[index]
    return job
