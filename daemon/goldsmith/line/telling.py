"""What a running daemon tells those who look on: a small JSON file beside the journal, and the lock on the root."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from goldsmith.line.commit.lock import running


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
        folders=told.get("folders", {}),
        weak=frozenset(told.get("weak", ())),
        missing=told.get("missing", {}),
        trouble=told.get("watcher", ""),
    )
