"""What ``goldsmith status`` shows of the lanes: each device with what it has loaded, what it does, and how many wait for it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from goldsmith.cli.location import abbreviate_list
from goldsmith.cli.output import format_size
from goldsmith.journal.records import ActiveJob
from goldsmith.pipeline.status.daemon_state import DaemonState, WorkerStatus

COLUMNS = ("lane", "device", "loaded", "does", "waiting")
_MAX_NAMES = 2


def worker_rows(daemon: DaemonState, active: Sequence[ActiveJob], queued: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    """A row for each device of each lane; how many wait is said once a lane, for they wait for all of its devices."""
    paths = {job.job_id: job.path for job in active}
    counted: set[str] = set()
    for (lane, device), grouped in groupby(daemon.workers, key=lambda seat: (seat.queue, seat.device)):
        seats = list(grouped)
        waiting = str(queued.get(lane, 0)) if lane not in counted else ""
        counted.add(lane)
        loaded = ", ".join(dict.fromkeys(name for seat in seats for name in seat.loaded))
        yield lane, _device_label(seats[0], device), loaded, _activity(seats, paths, daemon.queue_pauses.get(lane, "")), waiting


def _device_label(seat: WorkerStatus, device: str) -> str:
    if device == "cpu":
        return "CPU"
    memory = f", {format_size(seat.device_memory_mb * 2**20)}" if seat.device_memory_mb else ""
    return f"{device} ({seat.device_title}{memory})" if seat.device_title else device


def _activity(seats: Sequence[WorkerStatus], paths: Mapping[str, str], queue_paused: str) -> str:
    """``told``: why the whole lane pauses, which stands above the table already."""
    if seats[0].pause_reason:
        return "pauses" if seats[0].pause_reason in queue_paused else f"pauses: {seats[0].pause_reason}"
    pictures = [paths[job] for seat in seats for job in seat.jobs if job in paths]
    named = abbreviate_list(pictures, _MAX_NAMES) if pictures else ""
    cold = next((said for seat in seats if (said := seat.loading_sentence(time.time()))), "")
    return f"{cold} (for {named})" if cold and named else cold or named or "nothing"


def as_json(daemon: DaemonState, queued: Mapping[str, int]) -> list[dict[str, object]]:
    """Each process of each lane; ``waiting`` is its whole lane's."""
    now = time.time()
    return [
        {
            **{name: getattr(seat, name) for name in ("lane", "device", "title", "memory_mb", "paused", "jobs", "loaded", "loading")},
            "loading_seconds": round(now - seat.loading_since, 1) if seat.loading else None,
            "waiting": queued.get(seat.queue, 0),
        }
        for seat in daemon.workers
    ]
