"""The rows of ``goldsmith status`` for the workers: each device with its loaded models, its jobs and the length of its queue."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from goldsmith.cli.location import abbreviate_list
from goldsmith.cli.output import format_size
from goldsmith.journal.records import ActiveJob
from goldsmith.pipeline.status.daemon_state import DaemonState, WorkerStatus

COLUMNS = ("queue", "device", "loaded", "activity", "waiting")
# A row lists at most this many pictures.
_MAX_NAMES = 2


def worker_rows(daemon: DaemonState, active: Sequence[ActiveJob], queued: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each device of each queue. ``queued`` is the number of waiting jobs by queue; the first row of a queue shows it."""
    paths = {job.job_id: job.path for job in active}
    counted: set[str] = set()
    for (queue, device, _), grouped in groupby(daemon.workers, key=lambda worker: (worker.queue, worker.device, worker.host)):
        workers = list(grouped)
        waiting = str(queued.get(queue, 0)) if queue not in counted else ""
        counted.add(queue)
        loaded = ", ".join(dict.fromkeys(name for worker in workers for name in worker.loaded))
        yield queue, _device_label(workers[0], device), loaded, _activity(workers, paths, daemon.queue_pauses.get(queue, "")), waiting


def _device_label(worker: WorkerStatus, device: str) -> str:
    node = f"{worker.host}: " if worker.host else ""
    if device == "cpu":
        return f"{node}CPU"
    memory = f", {format_size(worker.device_memory_mb * 2**20)}" if worker.device_memory_mb else ""
    return f"{node}{device} ({worker.device_title}{memory})" if worker.device_title else f"{node}{device}"


def _activity(workers: Sequence[WorkerStatus], paths: Mapping[str, str], queue_pause: str) -> str:
    """Return what a device does. ``queue_pause``, the reason why the whole queue is paused, is above the table already."""
    pause_reason = workers[0].pause_reason
    if pause_reason:
        return "paused" if pause_reason in queue_pause else f"paused: {pause_reason}"
    pictures = [paths[job] for worker in workers for job in worker.jobs if job in paths]
    names = abbreviate_list(pictures, _MAX_NAMES) if pictures else ""
    loading = next((sentence for worker in workers if (sentence := worker.loading_sentence(time.time()))), "")
    return f"{loading} (for {names})" if loading and names else loading or names or "nothing"


def as_json(daemon: DaemonState, queued: Mapping[str, int]) -> list[dict[str, object]]:
    """Return each worker process for ``status --json``. ``waiting`` is the number of waiting jobs in its queue."""
    now = time.time()
    return [
        {
            **worker.model_dump(mode="json", exclude={"loading_since"}),
            "loading_seconds": round(now - worker.loading_since, 1) if worker.loading else None,
            "waiting": queued.get(worker.queue, 0),
        }
        for worker in daemon.workers
    ]
