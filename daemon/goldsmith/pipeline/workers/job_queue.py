"""The queue of jobs for one set of workers: first come, first served, except that a worker prefers jobs for the models it has loaded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from goldsmith.jobs.job import Job

# How many later jobs may go before a job that waits for another model. Loading a large model takes about as long as making eight pictures
# with it. So a worker spends at most half of its time on loading, and no job waits for much more than its own turn.
MAX_SKIPS = 8
# Seconds after a job was first skipped until no later job may go before it. Jobs can be long, and a person looks again after two minutes.
MAX_SKIPPED_SECONDS = 120.0
# How many entries are searched for a job whose models are loaded.
_LOOKAHEAD = 1000

# The names of the models that a process has loaded.
LoadedModels = frozenset[str]


@dataclass(slots=True)
class QueueEntry:
    """A job in the queue."""

    job: Job
    # How many later jobs went before it.
    skips: int = 0
    # When the first of them did.
    first_skipped_at: float | None = None
    # True if the job was taken before, and was put back at the front.
    was_requeued: bool = False

    def is_overdue(self, now: float) -> bool:
        """Return whether no later job may go before this one any more."""
        return self.skips >= MAX_SKIPS or (self.first_skipped_at is not None and now - self.first_skipped_at >= MAX_SKIPPED_SECONDS)


class JobQueue:
    """Jobs in order of arrival. The next job depends on the models that the free workers have loaded."""

    def __init__(self) -> None:
        self._entries: deque[QueueEntry] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Job]:
        return (entry.job for entry in self._entries)

    def append(self, job: Job) -> None:
        """Put a job at the end."""
        self._entries.append(QueueEntry(job))

    def requeue(self, jobs: Iterable[Job], position: int = 0) -> None:
        """Put jobs that were taken back at the front, in their order, after ``position`` other jobs."""
        for offset, job in enumerate(jobs):
            self._entries.insert(position + offset, QueueEntry(job, was_requeued=True))

    def remove(self, job_id: str) -> Job | None:
        """Remove a job and return it; None if it is not queued."""
        entry = next((entry for entry in self._entries if entry.job.id == job_id), None)
        if entry is None:
            return None
        self._entries.remove(entry)
        return entry.job

    def clear(self) -> None:
        """Remove all jobs."""
        self._entries.clear()

    def take_next(self, models_by_slot: Sequence[LoadedModels], now: float, *, may_evict: bool = True) -> tuple[int, Job] | None:
        """Remove the next job. Return the index of the slot that gets the job, and the job.

        ``models_by_slot`` gives the loaded models of each free slot. Return None only if a slot would have to unload a model for the job,
        and ``may_evict`` is False.
        """
        return _take_next(self._entries, models_by_slot, now, may_evict=may_evict)

    def take_compatible(self, job: Job, limit: int, accepts: Callable[[Job], bool], now: float) -> list[Job]:
        """Remove and return up to ``limit`` jobs that can run in one batch with this job, which was just taken."""
        batch: list[Job] = []
        index = 0
        while len(batch) < limit and index < min(len(self._entries), _LOOKAHEAD):
            entry = self._entries[index]
            if entry.job.batch_key == job.batch_key and accepts(entry.job):
                batch.append(_take(self._entries, index, now))
                if any(before.is_overdue(now) for before in islice(self._entries, index)):
                    break
            elif entry.is_overdue(now):
                break
            else:
                index += 1
        return batch

    def predict_order(self, models_by_slot: Sequence[LoadedModels], now: float, limit: int) -> list[str]:
        """Return the ids of the next ``limit`` jobs, in the order in which these slots would take them in turn."""
        entries = deque(replace(entry) for entry in islice(self._entries, limit))
        turns = deque(models_by_slot or [frozenset[str]()])
        order = []
        while entries:
            loaded = turns.popleft()
            pick = _take_next(entries, [loaded], now, may_evict=True)
            if pick is None:
                break
            job = pick[1]
            turns.append(frozenset(job.models) or loaded)
            order.append(job.id)
        return order


def _take_next(
    entries: deque[QueueEntry], models_by_slot: Sequence[LoadedModels], now: float, *, may_evict: bool
) -> tuple[int, Job] | None:
    """Remove the next job, and choose its slot.

    Order: an overdue job; else the head of the queue if a slot has no model loaded; else the first job whose models are loaded; else the
    head of the queue.
    """
    index = _first_overdue(entries, now)
    if index is None and all(models_by_slot):
        index = next(
            (index for index, entry in enumerate(islice(entries, _LOOKAHEAD)) if _slot_with_models(models_by_slot, entry.job) is not None),
            None,
        )
    index = index or 0
    slot = _slot_with_models(models_by_slot, entries[index].job)
    if slot is None:
        slot = min(range(len(models_by_slot)), key=lambda number: len(models_by_slot[number]))  # unloads the fewest models
        if models_by_slot[slot] and not may_evict:
            return None
    return slot, _take(entries, index, now)


def _first_overdue(entries: deque[QueueEntry], now: float) -> int | None:
    """Return the index of the first overdue job. Skipped jobs stand before all others, except for requeued jobs."""
    for index, entry in enumerate(entries):
        if entry.is_overdue(now):
            return index
        if not (entry.skips or entry.was_requeued):
            return None
    return None


def _slot_with_models(models_by_slot: Sequence[LoadedModels], job: Job) -> int | None:
    """Return the index of the first slot that has all models of the job loaded."""
    model_names = frozenset(job.models)
    return next((slot for slot, loaded in enumerate(models_by_slot) if model_names <= loaded), None)


def _take(entries: deque[QueueEntry], index: int, now: float) -> Job:
    """Remove and return the job at this index, and count one more skip for each job before it."""
    for entry in islice(entries, index):
        entry.skips += 1
        entry.first_skipped_at = now if entry.first_skipped_at is None else entry.first_skipped_at
    job = entries[index].job
    del entries[index]
    return job
