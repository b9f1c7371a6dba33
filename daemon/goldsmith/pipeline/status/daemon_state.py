"""What a running daemon tells those who look on: a small JSON file beside the journal, and the lock on the root."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goldsmith.pipeline.commit.lock import running


@dataclass(frozen=True, slots=True)
class SeatTold:
    """One process of a lane, or a device that has none at the moment."""

    lane: str = ""
    device: str = "cpu"
    title: str = ""
    """What a person calls the device; "" where nobody knows."""
    memory_mb: int = 0
    paused: str = ""
    """Why nothing is begun on the device, or ""."""
    jobs: tuple[str, ...] = ()
    """The ids of those that it works on."""
    loaded: tuple[str, ...] = ()
    """The generating models that it has in memory."""
    loading: str = ""
    loading_since: float = 0.0

    def cold_start(self, now: float) -> str:
        """What a person reads while a model is loaded; "" while none is."""
        return f"loading {self.loading}, {max(0.0, now - self.loading_since):.0f} s so far" if self.loading else ""


@dataclass(frozen=True, slots=True)
class Daemon:
    """The daemon of a root as it is seen from outside. All is empty where none runs."""

    runs: str = ""
    """Who holds the root: "process 4711 on atelier"."""
    told: bool = False
    """True where its own words below were to be had; False where its journal is kept somewhere else."""
    paused: str = ""
    """Why everything waits; "" where all is well."""
    lanes: Mapping[str, str] = field(default_factory=dict)
    """Lane -> why it pauses, or ""."""
    order: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Lane -> the ids of the jobs that go next, in their order; not all of a long line."""
    seats: tuple[SeatTold, ...] = ()
    folders: Mapping[str, str] = field(default_factory=dict)
    """Stage folder -> "events" or "polling"."""
    weak: frozenset[str] = frozenset()
    """Stage folders in which it cannot be asked whether somebody is writing."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Folders that are not there or cannot be read -> the sentence."""
    trouble: str = ""
    """Why no events arrive, or ""."""


def daemon_of(root: Path, state_file: Path) -> Daemon:
    """Who runs on ``root``, and what it last wrote to its state file. A file that a dead daemon left says nothing."""
    runs = running(root)
    if not runs:
        return Daemon()
    try:
        told = json.loads(state_file.read_bytes())
    except (OSError, ValueError):
        return Daemon(runs)
    return Daemon(
        runs,
        told=True,
        paused=told.get("paused", ""),
        lanes=told.get("lanes", {}),
        order=told.get("order", {}),
        seats=tuple(map(_seat, told.get("seats", ()))),
        folders=told.get("folders", {}),
        weak=frozenset(told.get("weak", ())),
        missing=told.get("missing", {}),
        trouble=told.get("watcher", ""),
    )


def _seat(told: Mapping[str, Any]) -> SeatTold:
    """What this version knows of what another may have written."""
    known: dict[str, Any] = {}
    for name in SeatTold.__slots__:
        if name in told:
            known[name] = tuple(told[name]) if isinstance(told[name], list) else told[name]
    return SeatTold(**known)
