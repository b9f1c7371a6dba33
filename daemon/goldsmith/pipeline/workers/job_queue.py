"""The queue of jobs for one set of workers: in fair turns, except that a worker prefers jobs for the models it has loaded."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import NamedTuple

from goldsmith.jobs.job import Job
from goldsmith.pipeline.turns import Turn, TurnQueue, turn_of

# How many later jobs may go before a job that waits for another model. Loading a large model takes about as long as making eight pictures
# with it. So a worker spends at most half of its time on loading, and no job waits for much more than its own turn.
MAX_SKIPS = 8
# Seconds after a job was first skipped until no later job may go before it. Jobs can be long, and a person looks again after two minutes.
MAX_SKIPPED_SECONDS = 120.0
# How many entries are searched for a job whose models are loaded.
_LOOKAHEAD = 1000

# The names of the models that a process has loaded.
LoadedModels = frozenset[str]


class QueuedJob(NamedTuple):
    """A job that waits: what the queue must know of it. The job itself is built when a worker takes it."""

    id: str
    queue: str
    turn: Turn
    # Its place in its campaign and stage: the lower goes first.
    number: int
    models: tuple[str, ...] = ()
    # See ``Job.batch_key``.
    batch_key: str = ""
    # What the job is built from, and a number that tells whether that has changed since; for the builder alone.
    origin: Hashable = None
    token: int = 0


@dataclass(slots=True, eq=False)
class QueueEntry:
    """A job in the queue."""

    queued: QueuedJob
    # The job itself, if it is built already.
    job: Job | None = None
    # How many later jobs went before it.
    skips: int = 0
    # When the first of them did.
    first_skipped_at: float | None = None

    def is_overdue(self, now: float) -> bool:
        """Return whether no later job may go before this one any more."""
        return self.skips >= MAX_SKIPS or (self.first_skipped_at is not None and now - self.first_skipped_at >= MAX_SKIPPED_SECONDS)


class JobQueue:
    """Jobs in fair turns. The next job depends on the models that the free workers have loaded.

    ``build`` returns the job of a queued one, or None if it is not to be done any more.
    """

    def __init__(self, build: Callable[[QueuedJob], Job | None] = lambda _: None) -> None:
        self._build = build
        self._entries: dict[str, QueueEntry] = {}
        self._turns: TurnQueue[str, QueueEntry] = TurnQueue()
        # Jobs that were taken back. They go before all others.
        self._returned: list[QueueEntry] = []
        # Entries that were skipped, by job id; the one that was skipped first comes first.
        self._skipped: dict[str, QueueEntry] = {}
        # Those of them that were skipped as often as is allowed, in the order in which they came to that.
        self._skipped_enough: dict[str, QueueEntry] = {}
        self._appended_count = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[QueuedJob]:
        """Iterate over the jobs in their order, as long as no model matters."""
        return (entry.queued for entry in self._in_order())

    def append(self, job: Job) -> None:
        """Put a job that is built already at the end. All such jobs share one turn."""
        self._appended_count += 1
        self._add(QueueEntry(_queued(job, self._appended_count), job))

    def enqueue(self, queued: QueuedJob) -> None:
        """Queue a job that is built when a worker takes it."""
        self._add(QueueEntry(queued))

    def requeue(self, jobs: Iterable[Job], position: int = 0) -> None:
        """Put jobs that were taken back at the front, in their order, after ``position`` other jobs."""
        while len(self._returned) < position and self._turns:
            self._returned.append(self._turns.pop())
        for offset, job in enumerate(jobs):
            entry = self._entries[job.id] = QueueEntry(_queued(job, 0), job)
            self._returned.insert(position + offset, entry)

    def built_jobs(self) -> list[Job]:
        """Return the jobs that are built already, and wait for their first worker or for another."""
        return [entry.job for entry in self._entries.values() if entry.job is not None]

    def remove(self, job_id: str) -> QueueEntry | None:
        """Remove a job and return its entry; None if it is not queued."""
        entry = self._entries.get(job_id)
        if entry is not None:
            self._remove(entry, self._turns.remove)
        return entry

    def clear(self) -> None:
        """Remove all jobs."""
        self._entries.clear()
        self._turns.clear()
        self._returned.clear()
        self._skipped.clear()
        self._skipped_enough.clear()

    def take_next(self, models_by_slot: Sequence[LoadedModels], now: float, *, may_evict: bool = True) -> tuple[int, Job] | None:
        """Remove the next job. Return the index of the slot that gets the job, and the job.

        ``models_by_slot`` gives the loaded models of each free slot. Return None if a slot would have to unload a model for the job and
        ``may_evict`` is False, and if the job that was removed is not to be done any more.
        """
        overdue = self._first_overdue(now)
        is_head_next = overdue is None and not all(models_by_slot)
        entries = self._returned[:1] if is_head_next else self._entries_until_next(overdue, models_by_slot)
        if not entries:
            entries = [self._turns.pop()]  # without a copy of the whole order
        pick = _pick_next(entries, overdue, models_by_slot, may_evict=may_evict)
        if pick is None:
            return None
        slot, entry = pick
        job = self._take(entry, entries, now)
        return None if job is None else (slot, job)

    def take_compatible(self, job: Job, limit: int, accepts: Callable[[QueuedJob], bool], now: float) -> list[Job]:
        """Remove and return up to ``limit`` jobs that can run in one batch with this job, which was just taken."""
        batch: list[Job] = []
        passed: list[QueueEntry] = []
        for entry in list(islice(self._in_order(), _LOOKAHEAD)):
            if len(batch) >= limit or any(before.is_overdue(now) for before in passed):
                break
            if entry.queued.batch_key != job.batch_key or not accepts(entry.queued):
                passed.append(entry)
                continue
            compatible = self._take(entry, passed, now)
            if compatible is None:
                continue
            if compatible.batch_key == job.batch_key:
                batch.append(compatible)
            else:
                self.requeue([compatible], len(self._returned))
        return batch

    def waits_for(self, loaded: LoadedModels) -> bool:
        """Return whether one of the first jobs can run with these models."""
        return any(frozenset(entry.queued.models) <= loaded for entry in islice(self._entries.values(), _LOOKAHEAD))

    def predict_order(self, models_by_slot: Sequence[LoadedModels], now: float, limit: int) -> list[str]:
        """Return the ids of the next ``limit`` jobs, in the order in which these slots would take them in turn."""
        entries = [replace(entry) for entry in islice(self._in_order(), limit)]
        slots = list(models_by_slot) or [frozenset[str]()]
        order = []
        while entries:
            loaded = slots.pop(0)
            overdue = next((entry for entry in entries if entry.is_overdue(now)), None)
            _, entry = _pick_next(entries, overdue, [loaded], may_evict=True) or (0, entries[0])
            _count_skips(entries, entry, now)
            entries = [other for other in entries if other is not entry]
            slots.append(frozenset(entry.queued.models) or loaded)
            order.append(entry.queued.id)
        return order

    def _add(self, entry: QueueEntry) -> None:
        queued = entry.queued
        self._entries[queued.id] = entry
        self._turns.add(queued.id, entry, queued.turn, queued.number)

    def _in_order(self) -> Iterator[QueueEntry]:
        return chain(list(self._returned), self._turns)

    def _entries_until_next(self, overdue: QueueEntry | None, models_by_slot: Sequence[LoadedModels]) -> list[QueueEntry]:
        """Return the first entries in order, up to the overdue one, or to the first whose models are loaded: those behind do not matter."""
        entries: list[QueueEntry] = []
        for entry in islice(self._in_order(), _LOOKAHEAD):
            entries.append(entry)
            if entry is overdue or (overdue is None and _slot_with_models(models_by_slot, entry.queued) is not None):
                break
        return entries

    def _first_overdue(self, now: float) -> QueueEntry | None:
        """Return the entry that was skipped first of those that are overdue. The first one that was skipped is also the first by time."""
        first = next(iter(self._skipped.values()), None)
        if first is None or first.is_overdue(now):
            return first
        return next(iter(self._skipped_enough.values()), None)

    def _take(self, entry: QueueEntry, entries: Sequence[QueueEntry], now: float) -> Job | None:
        """Remove an entry, count one more skip for each of ``entries`` before it, and return its job; None if it has none any more."""
        for skipped in _count_skips(entries, entry, now):
            self._skipped.setdefault(skipped.queued.id, skipped)
            if skipped.skips >= MAX_SKIPS:
                self._skipped_enough.setdefault(skipped.queued.id, skipped)
        self._remove(entry, self._turns.take)
        return entry.job or self._build(entry.queued)

    def _remove(self, entry: QueueEntry, remove: Callable[[str, Turn], QueueEntry | None]) -> None:
        """Remove an entry; ``remove`` removes it from its turn if it is there."""
        queued = entry.queued
        del self._entries[queued.id]
        self._skipped.pop(queued.id, None)
        self._skipped_enough.pop(queued.id, None)
        if entry in self._returned:
            self._returned.remove(entry)
        else:
            remove(queued.id, queued.turn)


def _queued(job: Job, number: int) -> QueuedJob:
    return QueuedJob(job.id, job.queue, turn_of("", 0), number, job.models, job.batch_key)


def _pick_next(
    entries: Sequence[QueueEntry], overdue: QueueEntry | None, models_by_slot: Sequence[LoadedModels], *, may_evict: bool
) -> tuple[int, QueueEntry] | None:
    """Choose the next of the entries, which stand in their order, and its slot.

    Order: the overdue job; else the head of the queue if a slot has no model loaded; else the first job whose models are loaded; else the
    head of the queue.
    """
    entry = overdue
    if entry is None and all(models_by_slot):
        entry = next((entry for entry in entries if _slot_with_models(models_by_slot, entry.queued) is not None), None)
    entry = entry or entries[0]
    slot = _slot_with_models(models_by_slot, entry.queued)
    if slot is None:
        slot = min(range(len(models_by_slot)), key=lambda number: len(models_by_slot[number]))  # unloads the fewest models
        if models_by_slot[slot] and not may_evict:
            return None
    return slot, entry


def _slot_with_models(models_by_slot: Sequence[LoadedModels], queued: QueuedJob) -> int | None:
    """Return the index of the first slot that has all models of the job loaded."""
    model_names = frozenset(queued.models)
    return next((slot for slot, loaded in enumerate(models_by_slot) if model_names <= loaded), None)


def _count_skips(entries: Sequence[QueueEntry], next_entry: QueueEntry, now: float) -> list[QueueEntry]:
    """Count one more skip for each of the entries before ``next_entry``, and return these; all of them if it is not among them."""
    index = next((index for index, entry in enumerate(entries) if entry is next_entry), None)
    skipped = list(entries[: len(entries) if index is None else index])
    for entry in skipped:
        entry.skips += 1
        entry.first_skipped_at = now if entry.first_skipped_at is None else entry.first_skipped_at
    return skipped
