"""The work in progress, and the bundles that the scheduler checks again at a given time."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterable, Iterator

from goldsmith.errors import HostError
from goldsmith.jobs.work_folder import WorkFolder
from goldsmith.journal.journal import Journal
from goldsmith.pipeline.intake.bundle import BundleKey
from goldsmith.pipeline.stage_work import StageWork


class InFlight:
    """Holds every work item by its bundle's key and by its job's id, and the keys of bundles that are due for another check."""

    def __init__(self, journal: Journal, work_folder: WorkFolder) -> None:
        self._journal = journal
        self._work_folder = work_folder
        self._work_by_key: dict[BundleKey, StageWork] = {}
        self._key_by_job: dict[str, BundleKey] = {}
        self._timers: list[tuple[float, BundleKey]] = []
        self._recheck_now: dict[BundleKey, None] = {}
        # Work whose commit is the only thing left, in commit order.
        self.ready_to_commit: dict[BundleKey, None] = {}

    def __len__(self) -> int:
        return len(self._work_by_key)

    @property
    def is_empty(self) -> bool:
        """True if no work is in progress and no check is due."""
        return not (self._work_by_key or self._recheck_now or self._timers or self.ready_to_commit)

    @property
    def has_immediate_rechecks(self) -> bool:
        """True while a bundle is due for a check in the next turn."""
        return bool(self._recheck_now)

    def get(self, key: BundleKey) -> StageWork | None:
        return self._work_by_key.get(key)

    def get_by_job(self, job_id: str) -> StageWork | None:
        key = self._key_by_job.get(job_id)
        return None if key is None else self._work_by_key.get(key)

    def with_outcome(self) -> Iterator[StageWork]:
        """Iterate over the work that has an outcome and is not committed yet."""
        return (work for work in self._work_by_key.values() if work.outcome is not None)

    def add(self, work: StageWork) -> None:
        self._work_by_key[work.bundle.key] = work
        self._key_by_job[work.job.id] = work.bundle.key

    def submitted(self) -> Iterator[StageWork]:
        """Iterate over the work whose job was given to the workers."""
        return (work for work in self._work_by_key.values() if work.was_submitted)

    def remove(self, work: StageWork) -> None:
        """Remove work that has ended, its job in the journal and its scratch folders."""
        key = work.bundle.key
        self._work_by_key.pop(key, None)
        self.ready_to_commit.pop(key, None)
        self._key_by_job.pop(work.job.id, None)
        if work.was_submitted:
            with contextlib.suppress(HostError):  # only `status` reads this row; writes that matter report their own errors
                self._journal.remove_job(work.job.id)
        for folder in filter(None, (work.scratch, str(work.text_folder))):
            self._work_folder.remove(folder)

    def recheck(self, keys: Iterable[BundleKey]) -> None:
        """Schedule a check of these bundles in the next turn."""
        self._recheck_now.update(dict.fromkeys(keys))

    def recheck_at(self, when: float, key: BundleKey) -> None:
        """Schedule a check of this bundle at ``when`` (monotonic time), unless another event causes one earlier."""
        heapq.heappush(self._timers, (when, key))

    def pop_due(self, now: float) -> Iterator[BundleKey]:
        """Remove the keys that are due at ``now`` and iterate over them, each once."""
        again, self._recheck_now = self._recheck_now, {}
        while self._timers and self._timers[0][0] <= now:
            again[heapq.heappop(self._timers)[1]] = None
        return iter(again)

    def next_due_at(self) -> float | None:
        """Return the monotonic time of the next scheduled check, or None."""
        return self._timers[0][0] if self._timers else None
