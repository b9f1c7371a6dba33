"""The work in progress, and the bundles that the scheduler checks again at a given time."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from goldsmith.errors import HostError
from goldsmith.files import FileSignature
from goldsmith.jobs.job import Job
from goldsmith.jobs.work_folder import WorkFolder
from goldsmith.journal.journal import Journal
from goldsmith.pipeline.intake.bundle import BundleKey
from goldsmith.pipeline.stage_work import StageWork
from goldsmith.pipeline.turns import FolderTurns, TurnQueue
from goldsmith.pipeline.workers.job_queue import QueuedJob


def files_token(sigs: Mapping[str, FileSignature]) -> int:
    """Return a number that changes when one of these files does, or their set."""
    return hash(tuple((path, sig.ino, sig.size, sig.mtime_ns) for path, sig in sorted(sigs.items())))


class InFlight:
    """Holds all work by its bundle's key and by its job's id, and the keys of bundles that are due for another check.

    Work waits in a queue (``QueuedJob``, with its bundle's key as origin) until a worker takes it and it is built (``StageWork``). Twenty
    thousand may wait, so its instructions are read again at its turn.
    """

    def __init__(self, journal: Journal, work_folder: WorkFolder, turns: FolderTurns, queued_before: Sequence[BundleKey] = ()) -> None:
        """``queued_before``: the bundles that were queued when the previous daemon ended, in order; they keep their order."""
        self.turns = turns
        self._journal = journal
        self._work_folder = work_folder
        self._work_by_key: dict[BundleKey, StageWork] = {}
        self._queued_by_key: dict[BundleKey, QueuedJob] = {}
        self._key_by_job: dict[str, BundleKey] = {}
        self._timers: list[tuple[float, BundleKey]] = []
        # Bundles that are due for a check, in fair turns.
        self._due: TurnQueue[BundleKey, BundleKey] = TurnQueue()
        self._due_count = 0
        # The numbers of bundles whose work begins again: they keep their places in the queue.
        self._kept_numbers: dict[BundleKey, int] = {key: number for number, key in enumerate(queued_before, 1)}
        self._next_number = len(queued_before) + 1
        # Bundle whose work has let others go first, until it goes on -> its asset, and how many parts of it are finished.
        self._gave_way: dict[BundleKey, tuple[str, int]] = {}
        # Work whose commit is the only thing left, in commit order.
        self.ready_to_commit: dict[BundleKey, None] = {}

    def __len__(self) -> int:
        return len(self._work_by_key) + len(self._queued_by_key)

    @property
    def is_empty(self) -> bool:
        """True if no work is in progress and no check is due."""
        return not (self._work_by_key or self._queued_by_key or self._due or self._timers or self.ready_to_commit)

    @property
    def due_count(self) -> int:
        """The number of bundles that are due for a check now."""
        return len(self._due)

    def get(self, key: BundleKey) -> StageWork | None:
        return self._work_by_key.get(key)

    def get_by_job(self, job_id: str) -> StageWork | None:
        key = self._key_by_job.get(job_id)
        return None if key is None else self._work_by_key.get(key)

    def with_outcome(self) -> Iterator[StageWork]:
        """Iterate over the work that has an outcome and is not committed yet."""
        return (work for work in self._work_by_key.values() if work.outcome is not None)

    @property
    def uncommitted_count(self) -> int:
        """The number of results in the scratch folders that wait for their commit. Results that are still being signed have work ahead."""
        return sum(work.has_results and not work.is_being_signed and not work.is_being_compared for work in self._work_by_key.values())

    def take_number(self, key: BundleKey) -> int:
        """Return the place of a bundle in its queue: the one that it had before, or the last."""
        kept = self._kept_numbers.pop(key, None)
        if kept is None:
            kept, self._next_number = self._next_number, self._next_number + 1
        return kept

    def forget_number(self, key: BundleKey) -> None:
        """Forget the place of a bundle that is not done again."""
        self._kept_numbers.pop(key, None)
        self._gave_way.pop(key, None)

    def get_queued(self, key: BundleKey) -> QueuedJob | None:
        return self._queued_by_key.get(key)

    def queued(self) -> Iterator[tuple[BundleKey, QueuedJob]]:
        """Iterate over the bundles that wait for a worker, in the order in which they were queued."""
        return iter(self._queued_by_key.items())

    def add_queued(self, key: BundleKey, queued: QueuedJob) -> None:
        self._queued_by_key[key] = queued

    def remove_queued(self, key: BundleKey) -> None:
        """Remove work that no worker has taken, and its job in the journal. It keeps its place for another try."""
        queued = self._queued_by_key.pop(key)
        self._gave_way.pop(key, None)
        self._kept_numbers[key] = queued.number
        self._remove_row(queued.id)

    def add(self, work: StageWork) -> None:
        """Add work that starts now; it does not wait any more."""
        self._queued_by_key.pop(work.bundle.key, None)
        self._gave_way.pop(work.bundle.key, None)
        self._work_by_key[work.bundle.key] = work
        self._key_by_job[work.job.id] = work.bundle.key

    def add_comparison(self, work: StageWork, job_id: str) -> None:
        """Add the job that compares two versions of the work's picture."""
        work.comparison_id = job_id
        self._key_by_job[job_id] = work.bundle.key

    def add_signing(self, work: StageWork, job: Job) -> None:
        """Add the job that signs the deliverables of the work; it takes the place of an earlier one."""
        self._key_by_job.pop(work.signing_id, None)
        work.signing_id, work.signing = job.id, None
        work.signing_carries = any(source.role == "ingredient" for source in job.inputs)
        self._key_by_job[job.id] = work.bundle.key

    def submitted(self) -> Iterator[StageWork]:
        """Iterate over the work whose job was given to the workers."""
        return (work for work in self._work_by_key.values() if work.was_submitted)

    def remove(self, work: StageWork, *, keeps_place: bool = False) -> None:
        """Remove work that has ended, its job in the journal and its scratch folders. ``keeps_place``: the work begins again."""
        key = work.bundle.key
        self._work_by_key.pop(key, None)
        self.ready_to_commit.pop(key, None)
        self._key_by_job.pop(work.job.id, None)
        self._key_by_job.pop(work.comparison_id, None)
        self._key_by_job.pop(work.signing_id, None)
        if keeps_place and work.number:
            self._kept_numbers[key] = work.number
        if work.was_submitted:
            self._remove_row(work.job.id)
        compared = "" if work.comparison is None else work.comparison.scratch
        for folder in filter(None, (work.scratch, compared, *work.signing_scratch, str(work.text_folder))):
            self._work_folder.remove(folder)

    def _remove_row(self, job_id: str) -> None:
        with contextlib.suppress(HostError):  # only `status` reads this row; writes that matter report their own errors
            self._journal.remove_job(job_id)

    def note_gave_way(self, work: StageWork, part_count: int) -> None:
        """Note that removed work has let others go first; it is queued again."""
        self._gave_way[work.bundle.key] = (work.asset_path, part_count)

    def gave_way(self, most: int) -> dict[str, int]:
        """Return the assets whose work has let others go first and waits, and the number of their finished parts; no more than ``most``."""
        return dict(islice(self._gave_way.values(), most))

    def recheck(self, keys: Iterable[BundleKey]) -> None:
        """Make a check of these bundles due, each after what is due already of its campaign and stage."""
        for key in keys:
            turn = self.turns.of(key.folder, key.campaign)
            if not self._due.contains(key, turn):
                self._due_count += 1
                self._due.add(key, key, turn, self._due_count)

    def recheck_at(self, when: float, key: BundleKey) -> None:
        """Schedule a check of this bundle at ``when`` (monotonic time), unless another event causes one earlier."""
        heapq.heappush(self._timers, (when, key))

    def collect_due(self, now: float) -> None:
        """Make the checks due that were scheduled for ``now`` or earlier."""
        while self._timers and self._timers[0][0] <= now:
            self.recheck([heapq.heappop(self._timers)[1]])

    def pop_due(self) -> BundleKey:
        """Remove and return the bundle whose check is next. Raises IndexError if none is due."""
        return self._due.pop()

    def next_due_at(self) -> float | None:
        """Return the monotonic time of the next scheduled check, or None."""
        return self._timers[0][0] if self._timers else None
