"""What ``goldsmith status`` shows of the lanes: each device with what it has loaded, what it does, and how many wait for it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from goldsmith.cli.places import some
from goldsmith.cli.screen import size_of
from goldsmith.journal.records import LiveJob
from goldsmith.pipeline.status.daemon_state import Daemon, SeatTold

HEADINGS = ("lane", "device", "loaded", "does", "waiting")
_NAMES = 2


def rows(daemon: Daemon, working: Sequence[LiveJob], queued: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    """A row for each device of each lane; how many wait is said once a lane, for they wait for all of its devices."""
    paths = {job.job_id: job.path for job in working}
    counted: set[str] = set()
    for (lane, device), grouped in groupby(daemon.seats, key=lambda seat: (seat.lane, seat.device)):
        seats = list(grouped)
        waiting = str(queued.get(lane, 0)) if lane not in counted else ""
        counted.add(lane)
        loaded = ", ".join(dict.fromkeys(name for seat in seats for name in seat.loaded))
        yield lane, _device(seats[0], device), loaded, _does(seats, paths, daemon.lanes.get(lane, "")), waiting


def _device(seat: SeatTold, device: str) -> str:
    if device == "cpu":
        return "CPU"
    memory = f", {size_of(seat.memory_mb * 2**20)}" if seat.memory_mb else ""
    return f"{device} ({seat.title}{memory})" if seat.title else device


def _does(seats: Sequence[SeatTold], paths: Mapping[str, str], told: str) -> str:
    """``told``: why the whole lane pauses, which stands above the table already."""
    if seats[0].paused:
        return "pauses" if seats[0].paused in told else f"pauses: {seats[0].paused}"
    pictures = [paths[job] for seat in seats for job in seat.jobs if job in paths]
    named = some(pictures, _NAMES) if pictures else ""
    cold = next((said for seat in seats if (said := seat.cold_start(time.time()))), "")
    return f"{cold} (for {named})" if cold and named else cold or named or "nothing"


def as_json(daemon: Daemon, queued: Mapping[str, int]) -> list[dict[str, object]]:
    """Each process of each lane; ``waiting`` is its whole lane's."""
    now = time.time()
    return [
        {
            **{name: getattr(seat, name) for name in ("lane", "device", "title", "memory_mb", "paused", "jobs", "loaded", "loading")},
            "loading_seconds": round(now - seat.loading_since, 1) if seat.loading else None,
            "waiting": queued.get(seat.lane, 0),
        }
        for seat in daemon.seats
    ]
