"""The finished parts of steps that are not done yet, such as candidates: an interrupted job goes on behind them.

Their files lie in ``.goldsmith/kept``, and the journal knows their hashes. They go when the results of their job are safe, and else after
some days: a picture that is held may soon be tried again with other limits.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from goldsmith.errors import HostError
from goldsmith.jobs.job import Job, KeptPart
from goldsmith.jobs.work_folder import WorkFolder
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import KeptPartRecord

# How long a part waits for its job, in seconds, and how many bytes all parts may have together: about 6,000 candidates of 1 megapixel.
MAX_AGE_SECONDS = 7 * 86_400.0
MAX_KEPT_BYTES = 20 * 2**30
# Seconds between two removals of what is too old or too much.
_REMOVAL_INTERVAL_SECONDS = 60.0


class KeptParts:
    """Records, finds and removes the kept parts of one root. ``clock`` gives Unix seconds."""

    def __init__(self, journal: Journal, work_folder: WorkFolder, clock: Callable[[], float] = time.time) -> None:
        self._journal = journal
        self._work_folder = work_folder
        self._clock = clock
        self._removed_at = float("-inf")

    def of(self, asset_path: str) -> tuple[KeptPart, ...]:
        """Return the parts that were finished for the asset."""
        return tuple(KeptPart(**part._asdict()) for part in self._journal.kept_parts(asset_path))

    def added_to(self, job: Job) -> Job:
        """Return a job with a model together with the parts that are finished for it. Other jobs are done again in little time."""
        return job.model_copy(update={"keeps_parts": True, "kept": self.of(job.asset.path)}) if job.models else job

    def record(self, asset_path: str, part: KeptPart) -> None:
        """Record a part whose file the worker pool has moved to the kept parts."""
        now = self._clock()
        self._journal.record_kept_part(asset_path, KeptPartRecord(part.key, part.sha256, part.size), now)
        if now - self._removed_at >= _REMOVAL_INTERVAL_SECONDS:
            self._removed_at = now
            self._remove(self._journal.surplus_kept_parts(now - MAX_AGE_SECONDS, MAX_KEPT_BYTES))

    def forget(self, asset_path: str) -> None:
        """Remove the parts of an asset whose results are safe. If the journal fails now, they are removed when they are too old."""
        with contextlib.suppress(HostError):
            self._remove([part.key for part in self._journal.kept_parts(asset_path)])

    def clear_surplus(self) -> None:
        """Remove what is too old or too much, records whose file is gone, and files without a record."""
        try:
            names = set(self._work_folder.kept_names())
        except (OSError, HostError):  # the scheduler checks the folder and pauses
            return
        self._remove(self._journal.surplus_kept_parts(self._clock() - MAX_AGE_SECONDS, MAX_KEPT_BYTES))
        known = self._journal.all_kept_keys()
        self._journal.forget_kept_parts(known - names)
        self._work_folder.remove_kept(names - known)

    def _remove(self, keys: list[str]) -> None:
        if keys:
            self._journal.forget_kept_parts(keys)
            self._work_folder.remove_kept(keys)


def open_kept_parts(journal: Journal, work_folder: WorkFolder) -> KeptParts:
    """Return the kept parts of a root, without those that are of no use any more."""
    kept_parts = KeptParts(journal, work_folder)
    kept_parts.clear_surplus()
    return kept_parts
