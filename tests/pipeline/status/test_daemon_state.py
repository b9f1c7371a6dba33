"""The state file that a running daemon writes and the commands read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from goldsmith.pipeline.commit.root_lock import RootLock
from goldsmith.pipeline.status.daemon_state import STATE_FILE, DaemonState, WorkerStatus, read_daemon_state


def read_as_running(root: Path, content: object) -> DaemonState:
    """Return what a command reads while a daemon holds ``root`` and its state file has this content."""
    (root / STATE_FILE).write_text(json.dumps(content))
    with RootLock.acquire(root):
        return read_daemon_state(root, root / STATE_FILE)


def test_without_a_lock_the_state_file_is_ignored(tmp_path: Path) -> None:
    """A dead daemon may have left the file."""
    (tmp_path / STATE_FILE).write_text(json.dumps({"pause_reason": "The disk is full."}))
    assert read_daemon_state(tmp_path, tmp_path / STATE_FILE) == DaemonState()


def test_the_lock_shows_that_a_daemon_runs_and_its_file_gives_the_details(tmp_path: Path) -> None:
    """The lock gives the process; the file gives watch modes and pauses."""
    daemon = read_as_running(
        tmp_path,
        {
            "pause_reason": "The disk is full.",
            "watch_modes": {"inbox": "polling"},
            "weak_quiet_folders": ["inbox"],
            "queue_pauses": {"gpu": "gone"},
            "watcher_error": "No events.",
        },
    )
    assert daemon.holder.startswith("process ")
    assert (daemon.has_state_file, daemon.pause_reason, daemon.weak_quiet_folders) == (True, "The disk is full.", ("inbox",))
    assert (daemon.watch_modes, daemon.queue_pauses, daemon.watcher_error) == ({"inbox": "polling"}, {"gpu": "gone"}, "No events.")


def test_a_daemon_whose_file_is_missing_or_cut_off_is_still_running(tmp_path: Path) -> None:
    """The journal, and with it the file, may be in another folder."""
    with RootLock.acquire(tmp_path):
        assert not read_daemon_state(tmp_path, tmp_path / STATE_FILE).has_state_file
        (tmp_path / STATE_FILE).write_text("{")
        daemon = read_daemon_state(tmp_path, tmp_path / STATE_FILE)
    assert daemon.holder
    assert not daemon.has_state_file


def test_a_command_reads_the_state_that_the_daemon_wrote() -> None:
    """Every field is read back, including the workers. The reader's own fields are not written."""
    worker = WorkerStatus(queue="gpu", device="cuda:0", device_title="NVIDIA L40S", device_memory_mb=46068, jobs=("1",), loaded=("sdxl",))
    written = DaemonState(pid=4711, host="atelier", root="/srv/hot", queue_order={"gpu": ("2", "1")}, workers=(worker,), holder="nobody")
    assert {"holder", "has_state_file"}.isdisjoint(json.loads(written.to_json()))
    read = DaemonState.from_json(written.to_json(), "process 4711 on atelier")
    assert read == written.model_copy(update={"holder": "process 4711 on atelier", "has_state_file": True})


def test_keys_of_another_version_are_ignored_and_missing_keys_are_empty(tmp_path: Path) -> None:
    """The same is true in the entry of a worker."""
    worker = {"queue": "gpu", "device": "cuda:0", "jobs": ["1"], "loaded": ["sdxl"], "new": 1}
    daemon = read_as_running(tmp_path, {"queue_order": {"gpu": ["2", "1"]}, "workers": [worker], "new": {"key": 1}})
    assert daemon.workers == (WorkerStatus(queue="gpu", device="cuda:0", jobs=("1",), loaded=("sdxl",)),)
    assert daemon.queue_order == {"gpu": ("2", "1")}
    assert daemon.pause_reason == ""


@pytest.mark.parametrize("wrong", [None, 7, "words", ["words"], {"gpu": 7}])
def test_a_value_of_a_wrong_type_is_read_as_the_default(tmp_path: Path, wrong: object) -> None:
    """The other fields keep their values."""
    keys = json.loads(DaemonState().to_json())
    content = {key: wrong for key in keys if not isinstance(wrong, type(keys[key]))}
    daemon = read_as_running(tmp_path, {**content, "pause_reason": "The disk is full.", "workers": [{"queue": "gpu", "jobs": wrong}]})
    assert (daemon.has_state_file, daemon.pause_reason, daemon.watch_modes) == (True, "The disk is full.", {})
    assert daemon.workers[0].queue == "gpu"


@pytest.mark.parametrize("content", [[], "words", 7, None])
def test_a_file_that_is_no_object_counts_as_missing(tmp_path: Path, content: object) -> None:
    """The daemon still counts as running."""
    daemon = read_as_running(tmp_path, content)
    assert daemon.holder
    assert not daemon.has_state_file


def test_a_wrong_type_is_an_error_for_the_writer() -> None:
    """Only reading a file is lenient."""
    with pytest.raises(ValueError, match="pid"):
        DaemonState.model_validate({"pid": "words"})


def test_the_loading_sentence_gives_the_seconds_so_far() -> None:
    """It is empty while no model is being loaded."""
    loading = WorkerStatus(queue="gpu", loading="flux-dev", loading_since=100.0)
    assert loading.loading_sentence(112.4) == "loading flux-dev, 12 s so far"
    assert WorkerStatus(queue="gpu", loaded=("flux-dev",)).loading_sentence(112.4) == ""
