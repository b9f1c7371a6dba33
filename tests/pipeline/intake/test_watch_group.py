from __future__ import annotations

import os
import select
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith.pipeline.intake.watch_group import MOVE_PAIRING_SECONDS, StageWatchGroup
from goldsmith.pipeline.intake.watcher import Watcher

LONG = 20.0


@pytest.fixture
def watcher(tmp_path: Path) -> Iterator[Watcher]:
    for folder in ("inbox/acme", "archive/2026-01-01/inbox", ".goldsmith/work"):
        (tmp_path / folder).mkdir(parents=True)
    watcher = Watcher(tmp_path)
    watcher.watch_only(["inbox", "graded"])
    assert watcher.start()
    yield watcher
    watcher.close()


def heard(watcher: Watcher, path: Path) -> bool:
    """Whether a hint of this path comes before the deadline."""
    deadline = time.monotonic() + LONG
    found: set[str] = set()
    while str(path) not in found and time.monotonic() < deadline:
        found.update(watcher.take_hints(1000)[0])
        select.select([watcher.fd], [], [], 0.05)
    return str(path) in found


def group_of(watcher: Watcher) -> StageWatchGroup:
    assert watcher._observer is not None
    (emitter,) = watcher._observer.emitters
    assert isinstance(emitter._inotify, StageWatchGroup)
    return emitter._inotify


def watched(watcher: Watcher, root: Path) -> set[str]:
    return {os.path.relpath(os.fsdecode(path), root) for path in group_of(watcher)._active_callbacks_by_path}


def test_only_the_folders_of_the_line_are_watched(watcher: Watcher, tmp_path: Path) -> None:
    """The archive and the work in progress get no watch, however many folders they have or get."""
    (tmp_path / ".goldsmith" / "work" / "job").mkdir()
    (tmp_path / "archive" / "2026-01-02").mkdir()
    (tmp_path / "review").mkdir()
    (tmp_path / "inbox" / "new").mkdir()
    assert heard(watcher, tmp_path / "inbox" / "new")
    assert watched(watcher, tmp_path) == {".", "inbox", "inbox/acme", "inbox/new"}


def test_a_folder_of_the_line_that_comes_later_is_watched(watcher: Watcher, tmp_path: Path) -> None:
    """A stage's folder that is made while the watch runs is heard from, with what lies below it."""
    (tmp_path / "graded" / "acme").mkdir(parents=True)
    assert heard(watcher, tmp_path / "graded" / "acme")
    (tmp_path / "graded" / "acme" / "a.png").touch()
    assert heard(watcher, tmp_path / "graded" / "acme" / "a.png")


def test_after_an_overflow_it_is_as_narrow_as_before(watcher: Watcher, tmp_path: Path) -> None:
    """Watches that are rebuilt are the same ones."""
    group_of(watcher).on_queue_overflow()
    assert watched(watcher, tmp_path) == {".", "inbox", "inbox/acme"}


def test_a_move_out_does_not_hold_up_what_comes_after_it(watcher: Watcher) -> None:
    """watchdog lets everything wait for the second half of a move; ours is told to do that for a moment only."""
    assert group_of(watcher)._move_event_grouper._queue.delay == MOVE_PAIRING_SECONDS < 0.1


def test_a_watch_that_is_added_twice_makes_no_noise(watcher: Watcher, tmp_path: Path) -> None:
    """`mkdir -p a/b/c` makes watchdog add a watch twice; its warning about that, a very long one, is kept out of the log."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert watcher.restart()
        group_of(watcher)._add_all_callbacks(os.fsencode(tmp_path / "inbox"))
    assert not told
