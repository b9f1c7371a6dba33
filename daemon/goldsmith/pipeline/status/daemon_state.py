"""What a running daemon tells those who look on: a small JSON file beside the journal, and the lock on the root."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goldsmith.pipeline.commit.root_lock import lock_holder


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One process of a lane, or a device that has none at the moment."""

    queue: str = ""
    device: str = "cpu"
    # What a person calls the device; "" where nobody knows.
    device_title: str = ""
    device_memory_mb: int = 0
    # Why nothing is begun on the device, or "".
    pause_reason: str = ""
    # The ids of those that it works on.
    jobs: tuple[str, ...] = ()
    # The generating models that it has in memory.
    loaded: tuple[str, ...] = ()
    loading: str = ""
    loading_since: float = 0.0

    def loading_sentence(self, now: float) -> str:
        """What a person reads while a model is loaded; "" while none is."""
        return f"loading {self.loading}, {max(0.0, now - self.loading_since):.0f} s so far" if self.loading else ""


@dataclass(frozen=True, slots=True)
class DaemonState:
    """The daemon of a root as it is seen from outside. All is empty where none runs."""

    # Who holds the root: "process 4711 on atelier".
    holder: str = ""
    # True where its own words below were to be had; False where its journal is kept somewhere else.
    has_state_file: bool = False
    # Why everything waits; "" where all is well.
    pause_reason: str = ""
    # Lane -> why it pauses, or "".
    queue_pauses: Mapping[str, str] = field(default_factory=dict)
    # Lane -> the ids of the jobs that go next, in their order; not all of a long line.
    queue_order: Mapping[str, Sequence[str]] = field(default_factory=dict)
    workers: tuple[WorkerStatus, ...] = ()
    # Stage folder -> "events" or "polling".
    watch_modes: Mapping[str, str] = field(default_factory=dict)
    # Stage folders in which it cannot be asked whether somebody is writing.
    weak_quiet_folders: frozenset[str] = frozenset()
    # Folders that are not there or cannot be read -> the sentence.
    unavailable_folders: Mapping[str, str] = field(default_factory=dict)
    # Why no events arrive, or "".
    watcher_error: str = ""


def read_daemon_state(root: Path, state_file: Path) -> DaemonState:
    """Who runs on ``root``, and what it last wrote to its state file. A file that a dead daemon left says nothing."""
    runs = lock_holder(root)
    if not runs:
        return DaemonState()
    try:
        told = json.loads(state_file.read_bytes())
    except (OSError, ValueError):
        return DaemonState(runs)
    return DaemonState(
        runs,
        has_state_file=True,
        pause_reason=told.get("paused", ""),
        queue_pauses=told.get("lanes", {}),
        queue_order=told.get("order", {}),
        workers=tuple(map(_read_worker, told.get("seats", ()))),
        watch_modes=told.get("folders", {}),
        weak_quiet_folders=frozenset(told.get("weak", ())),
        unavailable_folders=told.get("missing", {}),
        watcher_error=told.get("watcher", ""),
    )


def _read_worker(data: Mapping[str, Any]) -> WorkerStatus:
    """What this version knows of what another may have written."""
    known: dict[str, Any] = {}
    for name in WorkerStatus.__slots__:
        if name in data:
            known[name] = tuple(data[name]) if isinstance(data[name], list) else data[name]
    return WorkerStatus(**known)
