"""What is under work at the moment, and what is to be looked at again and when."""

from __future__ import annotations

import contextlib
import heapq
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from goldsmith.errors import HostError
from goldsmith.journal.journal import Journal
from goldsmith.pipeline.intake.bundle import BundleKey
from goldsmith.pipeline.scheduler.work_item import WorkItem

# Seconds; where a commit takes longer than half of that, the disk is what everything waits for.
_MAX_COMMIT_DELAY = 0.1
# Seconds that the first commit is taken to cost at most; every further one at most twice the one before and this.
_FIRST_COMMIT_COST = 0.002


class OnEvent(Protocol):
    """Told what happens, for people who watch: the log, the status line, a progress bar."""

    def __call__(self, event: str, /, **facts: object) -> None: ...


class InFlight:
    """Every asset under work, by its bundle's key and by its job's id; and the keys that come up again by themselves."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._work_by_key: dict[BundleKey, WorkItem] = {}
        self._key_by_job: dict[str, BundleKey] = {}
        self._timers: list[tuple[float, BundleKey]] = []
        self._recheck_now: dict[BundleKey, None] = {}
        # Work that only waits for its commit, in the order in which it may be committed.
        self.ready_to_commit: dict[BundleKey, None] = {}

    def __len__(self) -> int:
        return len(self._work_by_key)

    @property
    def is_empty(self) -> bool:
        """True when nothing is under work and nothing comes up by itself."""
        return not (self._work_by_key or self._recheck_now or self._timers or self.ready_to_commit)

    @property
    def has_immediate_rechecks(self) -> bool:
        """True while something is to be looked at at once."""
        return bool(self._recheck_now)

    def get(self, key: BundleKey) -> WorkItem | None:
        return self._work_by_key.get(key)

    def get_by_job(self, job_id: str) -> WorkItem | None:
        key = self._key_by_job.get(job_id)
        return None if key is None else self._work_by_key.get(key)

    def with_outcome(self) -> Iterator[WorkItem]:
        """The work that has an outcome and waits for its end."""
        return (work for work in self._work_by_key.values() if work.outcome is not None)

    def add(self, work: WorkItem) -> None:
        self._work_by_key[work.bundle.key] = work
        self._key_by_job[work.job.id] = work.bundle.key

    def remove(self, work: WorkItem) -> None:
        """The work ended, one way or another: its scratch folder goes, and it no longer stands in any queue."""
        key = work.bundle.key
        self._work_by_key.pop(key, None)
        self.ready_to_commit.pop(key, None)
        self._key_by_job.pop(work.job.id, None)
        if work.was_submitted:
            with contextlib.suppress(HostError):  # only what `status` shows; what must be remembered fails at its own place
                self._journal.remove_job(work.job.id)
        _remove_scratch(work.job.scratch)

    def recheck(self, keys: Iterable[BundleKey]) -> None:
        """Look at these in the next turn."""
        self._recheck_now.update(dict.fromkeys(keys))

    def recheck_at(self, when: float, key: BundleKey) -> None:
        """Look at this one then, if nothing brings it up before."""
        heapq.heappush(self._timers, (when, key))

    def pop_due(self, now: float) -> Iterator[BundleKey]:
        """The keys whose moment has come, each once."""
        again, self._recheck_now = self._recheck_now, {}
        while self._timers and self._timers[0][0] <= now:
            again[heapq.heappop(self._timers)[1]] = None
        return iter(again)

    def next_due_at(self) -> float | None:
        """When the next key comes up by itself."""
        return self._timers[0][0] if self._timers else None


def _remove_scratch(scratch: str) -> None:
    """What was made there has mostly been put down by now, or nothing was."""
    try:
        os.rmdir(scratch)
    except FileNotFoundError:
        return
    except OSError:
        shutil.rmtree(scratch, ignore_errors=True)


class GroupCommitDelay:
    """When finished work is committed: alone at once; under load a little later, together with what is about to be finished.

    A commit costs a dozen fsyncs however many plans are in it. Waiting for as long as the last one took, twice over, lets batches
    grow under load and is not felt by an asset that comes alone.
    """

    def __init__(self, max_batch_size: int, clock: Callable[[], float]) -> None:
        self._max_batch_size = max_batch_size
        self._clock = clock
        self._commit_cost = 0.0
        self._waiting_since: float | None = None

    def seconds_to_wait(self, ready_count: int, seconds_to_more: Callable[[], float | None]) -> float:
        """Seconds for which so much finished work is better left; ``more_in``: seconds until there may be more, None = no more."""
        now = self._clock()
        if self._waiting_since is None:
            self._waiting_since = now
        left = self._waiting_since + min(_MAX_COMMIT_DELAY, 2 * self._commit_cost) - now
        if ready_count >= self._max_batch_size or left <= 0:
            return 0.0
        more = seconds_to_more()
        return left if more is not None and more < left else 0.0

    def record_commit(self, started_at: float) -> None:
        """A commit that began then is over. One that the disk held up once is not yet what commits cost."""
        self._commit_cost = min(self._clock() - started_at, 2 * self._commit_cost + _FIRST_COMMIT_COST)
        self._waiting_since = None


class HostHealth:
    """Whether the machine is well. While it is not, nothing is begun or committed and everything waits in place (law 5)."""

    def __init__(self, retry_seconds: float, clock: Callable[[], float], on_event: OnEvent) -> None:
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._on_event = on_event
        # Why everything waits; empty where all is well.
        self.pause_reason = ""
        # When it is tried again.
        self.retry_at = 0.0

    @property
    def is_unhealthy(self) -> bool:
        return bool(self.pause_reason)

    def report_failure(self, error: Exception) -> None:
        """Something that is the machine's fault went wrong."""
        sentence = str(error) if isinstance(error, HostError) else f"The disk failed: {error}."
        if sentence != self.pause_reason:
            self._on_event("paused", sentence=sentence)
        self.pause_reason = sentence
        self.retry_at = self._clock() + self._retry_seconds

    def mark_recovered(self) -> None:
        """It is tried again; whoever fails pauses anew."""
        if self.pause_reason:
            self._on_event("resumed", after=self.pause_reason)
        self.pause_reason = ""
