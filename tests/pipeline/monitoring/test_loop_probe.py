"""The daemon's loop answers those who ask whether it turns, and nobody who asks can hold it up."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith.journal.journal import Journal
from goldsmith.journal.sqlite_errors import JournalError
from goldsmith.pipeline.monitoring.health import find_fault
from goldsmith.pipeline.monitoring.loop_probe import LoopProbe, ask_loop
from goldsmith.pipeline.status.daemon_state import DaemonState
from goldsmith.service.setup import Setup

RUNNING = DaemonState(holder="process 1 on atelier")


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def probe(journal: Journal, clock: Clock) -> Iterator[LoopProbe]:
    with contextlib.closing(LoopProbe(journal, clock)) as probe:
        yield probe


def ask(probe: LoopProbe, folder: Path) -> str | None:
    """Ask from another thread while the loop turns, and return the answer."""
    answers: list[str | None] = []
    thread = threading.Thread(target=lambda: answers.append(ask_loop(folder, 60.0)))
    thread.start()
    while thread.is_alive():
        probe.answer()
        thread.join(0.01)
    return answers[0]


def test_a_loop_that_turns_answers_and_one_that_hangs_does_not(probe: LoopProbe, journal: Journal) -> None:
    """A closed one does not either. Only the service's user may ask."""
    folder = journal.path.parent
    assert ask(probe, folder) == ""
    assert ask_loop(folder, 0.05) is None
    assert stat.S_IMODE((folder / "daemon.sock").stat().st_mode) == 0o600
    probe.close()
    assert ask_loop(folder, 60.0) is None
    assert not (folder / "daemon.sock").exists()


def test_the_journal_is_written_to_for_a_test_once_a_minute(
    probe: LoopProbe, journal: Journal, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal that cannot be written is tested again at once, so that its recovery is seen."""
    folder, writes, is_full = journal.path.parent, [0], [False]

    def check_writable() -> None:
        writes[0] += 1
        if is_full[0]:
            raise JournalError("The journal cannot be used: disk full.", "Free some space.")

    monkeypatch.setattr(journal, "check_writable", check_writable)
    assert [ask(probe, folder) for _ in range(3)] == ["", "", ""]
    assert writes == [1]
    clock.now, is_full[0] = 60.0, True
    assert ask(probe, folder) == "The journal cannot be used: disk full. Free some space."
    is_full[0] = False
    assert ask(probe, folder) == ""


def test_somebody_who_asks_and_does_not_read_holds_nothing_up(probe: LoopProbe, journal: Journal) -> None:
    """A hundred of them are answered or refused, turn by turn."""
    with contextlib.ExitStack() as opened:
        address = f"/proc/self/fd/{os.open(journal.path.parent, os.O_PATH)}/daemon.sock"
        for _ in range(100):
            asker = opened.enter_context(socket.socket(socket.AF_UNIX))
            asker.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                asker.connect(address)
            probe.answer()
        assert ask(probe, journal.path.parent) == ""


def test_a_socket_that_a_killed_daemon_left_behind_is_replaced(journal: Journal, clock: Clock) -> None:
    """The older daemon, if it still ends, leaves the new one alone."""
    first = LoopProbe(journal, clock)
    with contextlib.closing(LoopProbe(journal, clock)) as second:
        first.close()
        assert ask(second, journal.path.parent) == ""


def test_a_folder_with_a_long_path_has_a_socket_too(tmp_path: Path, clock: Clock) -> None:
    """An address of a Unix socket has at most 107 bytes."""
    folder = tmp_path / ("x" * 120) / ("y" * 120)
    folder.mkdir(parents=True)
    with contextlib.closing(Journal.open(folder / "journal.sqlite")) as journal, contextlib.closing(LoopProbe(journal, clock)) as probe:
        assert ask(probe, folder) == ""


def test_each_fault_of_the_service_has_its_sentence(
    probe: LoopProbe, journal: Journal, setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The root first, then the daemon, its loop, its journal, and what stops all work. No sentence has a path of the server."""
    folder, answers = journal.path.parent, iter([None, f"The journal {journal.path} is full.", "", ""])
    monkeypatch.setattr("goldsmith.pipeline.monitoring.health.ask_loop", lambda folder, seconds: next(answers))
    assert find_fault(setup.root / "gone", folder, RUNNING) == "The folder of the pictures is not there: is the share mounted?"
    assert find_fault(setup.root, folder, DaemonState()) == "Goldsmith is not running on these folders."
    assert "does not answer: its main loop has not turned for 5 seconds" in find_fault(setup.root, folder, RUNNING)
    assert find_fault(setup.root, folder, RUNNING) == "The journal journal.sqlite is full."
    paused = RUNNING.model_copy(update={"pause_reason": f"The disk failed ({setup.root}/inbox)."})
    assert find_fault(setup.root, folder, paused) == "Everything waits: The disk failed (inbox)."
    assert find_fault(setup.root, folder, RUNNING) == ""
