"""What a running daemon tells of itself."""

from __future__ import annotations

import json
from pathlib import Path

from goldsmith.pipeline.commit.root_lock import RootLock
from goldsmith.pipeline.status.daemon_state import DaemonState, WorkerStatus, read_daemon_state


def test_nobody_runs_where_nobody_holds_the_lock(tmp_path: Path) -> None:
    """A file that a dead daemon left behind says nothing."""
    (tmp_path / "daemon.json").write_text(json.dumps({"paused": "The disk is full."}))
    assert read_daemon_state(tmp_path, tmp_path / "daemon.json") == DaemonState()


def test_a_running_daemon_is_known_by_its_lock_and_heard_by_its_file(tmp_path: Path) -> None:
    """Who it is, how it hears of files, and why it waits."""
    told = {
        "paused": "The disk is full.",
        "folders": {"inbox": "polling"},
        "weak": ["inbox"],
        "lanes": {"gpu": "gone"},
        "watcher": "No events.",
    }
    (tmp_path / "daemon.json").write_text(json.dumps(told))
    with RootLock.acquire(tmp_path):
        daemon = read_daemon_state(tmp_path, tmp_path / "daemon.json")
    assert daemon.holder.startswith("process ")
    assert (daemon.has_state_file, daemon.pause_reason, daemon.weak_quiet_folders) == (True, "The disk is full.", frozenset({"inbox"}))
    assert (daemon.watch_modes, daemon.queue_pauses, daemon.watcher_error) == ({"inbox": "polling"}, {"gpu": "gone"}, "No events.")


def test_a_daemon_whose_file_is_not_there_or_not_whole_is_still_running(tmp_path: Path) -> None:
    """Its journal may lie somewhere else."""
    with RootLock.acquire(tmp_path):
        assert not read_daemon_state(tmp_path, tmp_path / "daemon.json").has_state_file
        (tmp_path / "daemon.json").write_text("{")
        daemon = read_daemon_state(tmp_path, tmp_path / "daemon.json")
    assert daemon.holder
    assert not daemon.has_state_file


def test_the_seats_of_the_lanes_are_known_by_what_this_version_understands(tmp_path: Path) -> None:
    """What another version wrote besides is left aside, and what it did not write is empty."""
    told = {"order": {"gpu": ["2", "1"]}, "seats": [{"lane": "gpu", "device": "cuda:0", "jobs": ["1"], "loaded": ["sdxl"], "new": 1}]}
    (tmp_path / "daemon.json").write_text(json.dumps(told))
    with RootLock.acquire(tmp_path):
        daemon = read_daemon_state(tmp_path, tmp_path / "daemon.json")
    assert daemon.workers == (WorkerStatus("gpu", "cuda:0", jobs=("1",), loaded=("sdxl",)),)
    assert daemon.queue_order == {"gpu": ["2", "1"]}


def test_a_cold_start_is_told_with_its_seconds() -> None:
    """Only while something is loaded."""
    assert WorkerStatus("gpu", loading="flux-dev", loading_since=100.0).loading_sentence(112.4) == "loading flux-dev, 12 s so far"
    assert WorkerStatus("gpu", loaded=("flux-dev",)).loading_sentence(112.4) == ""
