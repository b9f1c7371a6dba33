"""The lock of a root is removed under the running daemon (law 10): it makes the lock anew, or stops if another daemon has started."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from doubles.commission import PIPELINE, SELECT
from doubles.pictures import png
from doubles.studio import Daemon, Studio
from goldsmith.pipeline.commit.root_lock import lock_holder
from goldsmith.pipeline.status.daemon_state import STATE_FILE, read_daemon_state


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    studio = Studio(tmp_path)
    studio.write_pipeline(PIPELINE)
    return studio


@pytest.fixture
def daemon(studio: Studio) -> Iterator[Daemon]:
    with Daemon(studio) as started:
        yield started.until_ready()


REMOVALS: dict[str, Callable[[Path], object]] = {
    "the file": lambda root: (root / ".goldsmith" / "lock").unlink(),
    "the folder": lambda root: shutil.rmtree(root / ".goldsmith"),
    "the scratch folders": lambda root: shutil.rmtree(root / ".goldsmith" / "work"),
}


@pytest.mark.parametrize("removal", REMOVALS)
def test_a_daemon_works_on_after_its_lock_was_removed(daemon: Daemon, studio: Studio, removal: str) -> None:
    """The lock and the folder are made anew, a second daemon is refused, and the next picture moves on once."""
    REMOVALS[removal](studio.root)
    if removal != "the scratch folders":
        daemon.until(lambda: daemon.events_of("lock renewed"), "a new lock")
        assert f"process {daemon.pid} on" in lock_holder(studio.root)
        with Daemon(studio) as second:
            second.until(lambda: second.process.poll() is not None, "the exit")
            assert second.process.returncode == 5
    studio.put("inbox/hero.png", png())
    studio.put("inbox/hero.toml", SELECT)
    daemon.until(lambda: daemon.events_of("committed"), "the commit")
    assert daemon.end() == 0
    assert studio.folder("selected") == ["hero.png", "hero.toml"]
    assert len(studio.history()) == 1


@pytest.mark.parametrize("removal", ["the file", "the folder"])
def test_a_daemon_stops_when_a_second_one_has_taken_its_root(daemon: Daemon, studio: Studio, removal: str) -> None:
    """The first daemon sleeps while its lock is removed and the second starts. It ends with 5, and the second does the work, once."""
    daemon.send(signal.SIGSTOP)
    REMOVALS[removal](studio.root)
    with Daemon(studio) as second:
        second.until_ready()
        studio.put("inbox/hero.png", png())
        studio.put("inbox/hero.toml", SELECT)
        daemon.send(signal.SIGCONT)
        daemon.until(lambda: daemon.process.poll() is not None, "the end of the first")
        daemon.listen(0)
        assert daemon.process.returncode == 5
        assert f"Another Goldsmith (process {second.pid} on" in daemon.stderr.decode()
        state_file = studio.journal_path.parent / STATE_FILE
        second.until(lambda: read_daemon_state(studio.root, state_file).pid == second.pid, "the second's own state file")
        second.until(lambda: second.events_of("committed"), "the commit")
        assert second.end() == 0
    assert studio.folder("inbox") == []
    assert studio.folder("selected") == ["hero.png", "hero.toml"]
    assert len(studio.history()) == 1
