"""The figures of one root for Prometheus. No label holds a name of a file or a campaign: those are private, and without number."""

from __future__ import annotations

import os
import posixpath
from collections import Counter as Tally
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from goldsmith.brief.pipeline import REVIEW_FOLDER, REVIEW_TRAYS, Pipeline
from goldsmith.journal.journal import Journal
from goldsmith.journal.location import journal_bytes
from goldsmith.journal.records import HistoryRow
from goldsmith.picture.formats.table import is_picture_suffix
from goldsmith.pipeline.intake.file_names import classify
from goldsmith.pipeline.status.daemon_state import DaemonState
from goldsmith.root_folder import RootFolder

# Jobs take from a blink to half an hour; a wait may last until somebody comes back from a weekend.
_WORK_BUCKETS = (0.1, 0.3, 1, 3, 10, 30, 60, 180, 600, 1800)
_WAIT_BUCKETS = (0.1, 1, 5, 30, 120, 600, 3600, 6 * 3600, 24 * 3600, 3 * 24 * 3600)
# How many rows of the history are read at once, and at most for one scrape: the next scrape goes on behind them.
_ROWS_AT_ONCE, _MAX_ROWS = 500, 20_000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the gauges show, as of one scrape."""

    daemon: DaemonState
    # "" if the service is healthy.
    fault: str
    journal: Journal | None
    # Unix seconds.
    now: float


class ServiceMetrics:
    """The counters since this program was started, and the gauges of the moment. One thread at a time uses it."""

    def __init__(self, root: Path, pipeline: Pipeline, places: Mapping[str, Path], journal_file: Path) -> None:
        """``places``: folders by the name of their label, whose free space is shown."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # else each series has a second one with the time of its first value
        self._registry = CollectorRegistry()
        self._position: tuple[float, int] | None = None
        self._gauges = _Gauges(root, pipeline, places, journal_file)
        self._registry.register(self._gauges)
        self._jobs = Counter("goldsmith_jobs", "Jobs that have ended.", ("stage", "outcome"), registry=self._registry)
        self._steps = Counter("goldsmith_steps", "Steps that were carried out.", ("stage", "operation"), registry=self._registry)
        self._job_seconds = self._histogram("goldsmith_job_seconds", "Work of a worker on one picture.", "stage", _WORK_BUCKETS)
        self._step_seconds = self._histogram("goldsmith_step_seconds", "Work on one step.", "operation", _WORK_BUCKETS)
        self._wait_seconds = self._histogram(
            "goldsmith_wait_seconds", "From a result in the stage's folder to the start of the stage's job.", "stage", _WAIT_BUCKETS
        )
        self._hop_seconds = self._histogram(
            "goldsmith_hop_seconds", "From a result in the stage's folder to the result of the stage.", "stage", _WAIT_BUCKETS
        )

    def _histogram(self, name: str, meaning: str, label: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(name, meaning, (label,), registry=self._registry, buckets=tuple(buckets))

    def render(self, snapshot: Snapshot) -> bytes:
        """Return the figures in the text format of Prometheus. Raises HostError if the journal cannot be read."""
        if snapshot.journal is not None:
            self._count_new_rows(snapshot.journal)
        self._gauges.snapshot = snapshot
        return generate_latest(self._registry)

    def _count_new_rows(self, journal: Journal) -> None:
        """Count the jobs that have ended since the last call. The first call only finds out where to begin."""
        began_at = journal.began_at()
        if self._position is None:
            self._position = (began_at, journal.last_seq())
            return
        seq = self._position[1] if self._position[0] == began_at else 0  # another journal has taken the place of a broken one
        for _ in range(_MAX_ROWS // _ROWS_AT_ONCE):
            rows = journal.rows_after(seq, _ROWS_AT_ONCE)
            for number, row in rows:
                self._count(row, journal)
                seq = number
            self._position = (began_at, seq)
            if len(rows) < _ROWS_AT_ONCE:
                return

    def _count(self, row: HistoryRow, journal: Journal) -> None:
        self._jobs.labels(row.stage, row.outcome).inc()
        steps = row.record.get("steps")
        for step in steps if isinstance(steps, list) else ():
            if isinstance(step, dict) and isinstance(step.get("op"), str):
                operation, seconds = str(step["op"]), step.get("seconds")
                self._steps.labels(row.stage, operation).inc()
                if isinstance(seconds, int | float):
                    self._step_seconds.labels(operation).observe(seconds)
        if row.outcome not in ("passed", "delivered", "rejected"):
            return
        seconds = row.record.get("seconds")
        if isinstance(seconds, int | float):
            self._job_seconds.labels(row.stage).observe(seconds)
        parent = journal.committed_row(row.parent_job_id) if row.parent_job_id else None
        if parent is not None:
            self._wait_seconds.labels(row.stage).observe(max(0.0, row.started_at - parent.taken_at))
            self._hop_seconds.labels(row.stage).observe(max(0.0, row.taken_at - parent.taken_at))


class _Gauges(Collector):
    """The gauges, made anew for each scrape from its snapshot."""

    def __init__(self, root: Path, pipeline: Pipeline, places: Mapping[str, Path], journal_file: Path) -> None:
        self._root = RootFolder(root)
        self._pipeline = pipeline
        self._places = places
        self._journal_file = journal_file
        self.snapshot: Snapshot | None = None

    def describe(self) -> Iterator[Metric]:
        """Return nothing: the registry would otherwise collect once to find the names out."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield each gauge with its present values."""
        snapshot = self.snapshot
        if snapshot is None:
            return
        daemon = snapshot.daemon
        yield _gauge("goldsmith_up", "1 while the daemon runs on these folders.", bool(daemon.holder))
        yield _gauge("goldsmith_healthy", "1 if /healthz answers 200.", not snapshot.fault)
        yield _gauge("goldsmith_paused", "1 while all work waits, because a disk or a mount has failed.", bool(daemon.pause_reason))
        pauses = {queue: bool(reason) for queue, reason in daemon.queue_pauses.items()}
        yield _gauges("goldsmith_queue_paused", "1 while no job of the queue starts.", "queue", pauses)
        missing = sum(1 for folder in self._pipeline.shared_folders if folder in daemon.unavailable_folders)
        yield _gauge("goldsmith_unavailable_folders", "Folders of the pipeline that are not there.", missing)
        yield _gauges("goldsmith_free_bytes", "Free space for the service.", "place", self._free_bytes())
        yield _gauge("goldsmith_journal_bytes", "Size of the journal.", journal_bytes(self._journal_file))
        yield _gauge("goldsmith_in_review_pictures", "Pictures in review/ about which nobody has decided.", self._in_review())
        yield self._workers(daemon)
        if snapshot.journal is not None:
            yield from self._work(snapshot.journal, snapshot.now)

    def _work(self, journal: Journal, now: float) -> Iterator[Metric]:
        """Yield what the journal says of queues and problems."""
        queues = dict.fromkeys(stage.queue for stage in self._pipeline.stages)
        jobs = journal.active_jobs()
        queued = Tally(job.queue for job in jobs if job.started_at is None)
        running = Tally(job.queue for job in jobs if job.started_at is not None and not job.lease_expired(now))
        since = {
            queue: min((job.queued_at for job in jobs if job.queue == queue and job.started_at is None), default=now) for queue in queues
        }
        yield _gauges("goldsmith_queued_jobs", "Jobs that wait for a worker.", "queue", {queue: queued[queue] for queue in queues})
        yield _gauges("goldsmith_running_jobs", "Jobs that a worker works on.", "queue", {queue: running[queue] for queue in queues})
        oldest = {queue: max(0.0, now - moment) for queue, moment in since.items()}
        yield _gauges("goldsmith_oldest_wait_seconds", "How long the oldest job has waited for a worker.", "queue", oldest)
        held = Tally(hold.path.partition("/")[0] for hold in journal.all_holds())
        by_folder = {folder: held[folder] for folder in self._pipeline.watched_folders}
        yield _gauges("goldsmith_held_pictures", "Pictures with a problem note.", "folder", by_folder)

    def _workers(self, daemon: DaemonState) -> Metric:
        family = GaugeMetricFamily("goldsmith_workers", "Worker processes by what they do.", labels=("queue", "state"))
        states = Tally(
            (worker.queue, "paused" if worker.pause_reason else "loading" if worker.loading else "working" if worker.jobs else "idle")
            for worker in daemon.workers
        )
        for queue in dict.fromkeys(worker.queue for worker in daemon.workers):
            for state in ("idle", "loading", "working", "paused"):
                family.add_metric((queue, state), states[queue, state])
        return family

    def _in_review(self) -> int:
        count = 0
        for folder, names in self._root.walk(REVIEW_FOLDER):
            if folder.partition("/")[2].partition("/")[0].casefold() not in REVIEW_TRAYS:
                count += sum(_is_picture(name) for name in names)
        return count

    def _free_bytes(self) -> dict[str, float]:
        free: dict[str, float] = {}
        for label, folder in self._places.items():
            try:
                space = os.statvfs(folder)
            except OSError:
                continue
            free[label] = space.f_bavail * space.f_frsize
        return free


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value=float(value))


def _gauges(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), float(value))
    return family


def _is_picture(name: str) -> bool:
    return is_picture_suffix(posixpath.splitext(name)[1].lower()) and classify(name).role == "picture"
