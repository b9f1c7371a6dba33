"""The kernel's watches on the stage folders: which folders have a watch, and which paths are reported. All events are real."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goldsmith.pipeline.intake.folder_watches import FolderWatches

# For hangs only.
LONG = 600.0


class Reports:
    """The reports of the watching thread, with a gate at which a test can hold the thread."""

    def __init__(self, root: Path, top_folders: list[str] | None) -> None:
        self.root = root
        self.paths: list[str] = []
        self.losses = 0
        self.errors: list[Exception] = []
        self.changed = threading.Condition()
        self.gate = threading.Event()
        self.gate.set()
        self.watches = FolderWatches(str(root), top_folders, self.on_path, self.on_lost)

    def on_path(self, path: str) -> None:
        self.gate.wait(LONG)
        if self.errors:
            raise self.errors.pop()
        with self.changed:
            self.paths.append(os.path.relpath(path, self.root))
            self.changed.notify_all()

    def on_lost(self) -> None:
        with self.changed:
            self.losses += 1
            self.changed.notify_all()

    def until(self, condition: Callable[[], bool]) -> bool:
        """Wait until the condition holds. It may also depend on the watches, so it is checked again every 0.02 s."""
        deadline = time.monotonic() + LONG
        with self.changed:
            while not condition() and time.monotonic() < deadline:
                self.changed.wait(0.02)
        return condition()

    def receive(self, *paths: str) -> bool:
        return self.until(lambda: set(paths) <= set(self.paths))

    def watched(self) -> set[str]:
        return {os.path.relpath(path, self.root) for path in self.watches.watched_folders()}


@pytest.fixture
def reports(tmp_path: Path) -> Iterator[Reports]:
    for folder in ("inbox/acme", "archive/2026-01-01/inbox", ".goldsmith/work"):
        (tmp_path / folder).mkdir(parents=True)
    reports = Reports(tmp_path, ["inbox", "graded"])
    yield reports
    reports.gate.set()
    reports.watches.stop()


def test_only_the_stage_folders_are_watched(reports: Reports, tmp_path: Path) -> None:
    """The folders of the archive and of the work in progress get no watch."""
    (tmp_path / ".goldsmith" / "work" / "job").mkdir()
    (tmp_path / "archive" / "2026-01-02").mkdir()
    (tmp_path / "review").mkdir()
    (tmp_path / "inbox" / "new").mkdir()
    assert reports.receive("inbox/new")
    assert reports.watched() == {".", "inbox", "inbox/acme", "inbox/new"}


def test_every_folder_is_watched_if_no_stage_folders_are_given(tmp_path: Path) -> None:
    """The watches cover the whole root."""
    (tmp_path / "a/b").mkdir(parents=True)
    reports = Reports(tmp_path, None)
    assert reports.watched() == {".", "a", "a/b"}
    reports.watches.stop()


def test_a_stage_folder_that_is_made_later_is_watched(reports: Reports, tmp_path: Path) -> None:
    """A stage folder that is made while the watch runs gets its watches, and so do the folders below it."""
    (tmp_path / "graded" / "acme").mkdir(parents=True)
    assert reports.until(lambda: {"graded", "graded/acme"} <= reports.watched())
    (tmp_path / "graded" / "acme" / "a.png").touch()
    assert reports.receive("graded", "graded/acme/a.png")


def test_a_deep_tree_that_is_made_at_once_is_watched_completely(reports: Reports, tmp_path: Path) -> None:
    """`mkdir -p` is faster than the watch: folders made before their parent is watched are found by listing the parent."""
    for number in range(50):
        (tmp_path / f"inbox/{number}/b/c/d").mkdir(parents=True)
    expected = {f"inbox/{number}{deep}" for number in range(50) for deep in ("", "/b", "/b/c", "/b/c/d")}
    assert reports.until(lambda: expected <= reports.watched())


def test_a_folder_that_moves_is_reported_under_its_new_path(reports: Reports, tmp_path: Path) -> None:
    """Watches follow a folder that is renamed inside, and end with a folder that is moved out."""
    (tmp_path / "inbox/acme/deep").mkdir()
    assert reports.until(lambda: "inbox/acme/deep" in reports.watched())
    os.rename(tmp_path / "inbox/acme", tmp_path / "inbox/zeta")
    assert reports.receive("inbox/acme", "inbox/zeta")
    (tmp_path / "inbox/zeta/deep/a.png").touch()
    assert reports.receive("inbox/zeta/deep/a.png")
    assert reports.watched() == {".", "inbox", "inbox/zeta", "inbox/zeta/deep"}
    os.rename(tmp_path / "inbox/zeta", tmp_path / "archive/zeta")
    assert reports.until(lambda: reports.watched() == {".", "inbox"})
    (tmp_path / "archive/zeta/deep/b.png").touch()
    (tmp_path / "inbox/c.png").touch()
    assert reports.receive("inbox/c.png")
    assert not [path for path in reports.paths if path.endswith("b.png")]


def test_a_folder_that_is_renamed_while_the_thread_is_behind_keeps_its_watch(reports: Reports, tmp_path: Path) -> None:
    """A listing can find a folder under its new path before the events of its move are read. These events must not end the new watch."""
    reports.gate.clear()
    (tmp_path / "inbox/first.png").touch()
    (tmp_path / "inbox/new/old").mkdir(parents=True)
    os.rename(tmp_path / "inbox/new/old", tmp_path / "inbox/new/moved")
    os.rename(tmp_path / "inbox/acme", tmp_path / "inbox/new/acme")
    os.mkdir(tmp_path / "inbox/acme")
    reports.gate.set()
    assert reports.until(lambda: reports.watched() == {".", "inbox", "inbox/acme", "inbox/new", "inbox/new/moved", "inbox/new/acme"}), (
        reports.watched()
    )
    for folder in ("acme", "new/moved", "new/acme"):
        (tmp_path / "inbox" / folder / "a.png").touch()
    assert reports.receive("inbox/acme/a.png", "inbox/new/moved/a.png", "inbox/new/acme/a.png")


def test_a_deleted_folder_loses_its_watch_and_gets_one_when_it_comes_back(reports: Reports, tmp_path: Path) -> None:
    """A folder of the same name is another folder, and needs a watch of its own."""
    for _ in range(3):
        (tmp_path / "inbox/acme").rmdir()
        assert reports.until(lambda: "inbox/acme" not in reports.watched())
        (tmp_path / "inbox/acme").mkdir()
        assert reports.until(lambda: "inbox/acme" in reports.watched())
    (tmp_path / "inbox/acme/a.png").touch()
    assert reports.receive("inbox/acme/a.png")


def test_links_to_folders_are_not_followed(reports: Reports, tmp_path: Path) -> None:
    """A link in a stage folder must not lead the watch out of the root."""
    (tmp_path.parent / "elsewhere").mkdir(exist_ok=True)
    os.symlink(tmp_path.parent / "elsewhere", tmp_path / "inbox/link")
    assert reports.receive("inbox/link")
    assert reports.watched() == {".", "inbox", "inbox/acme"}


def test_a_move_out_does_not_delay_the_next_event(reports: Reports, tmp_path: Path) -> None:
    """watchdog's own emitter holds back all later events of a folder for half a second after a file leaves it."""
    (tmp_path / "inbox/a.png").touch()
    assert reports.receive("inbox/a.png")
    os.rename(tmp_path / "inbox/a.png", tmp_path / "archive/a.png")
    before = time.monotonic()
    (tmp_path / "inbox/b.png").touch()
    assert reports.receive("inbox/b.png")
    assert time.monotonic() - before < 0.4


def test_an_overflow_of_the_kernel_queue_is_reported_and_the_watches_are_renewed(reports: Reports, tmp_path: Path) -> None:
    """Folders that arrive while the queue overflows are watched afterwards, and the others stay unwatched."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    folder = tmp_path / "inbox"
    reports.gate.clear()  # the thread waits here, and the kernel's queue fills
    for number in range(limit // 2 + 2000):
        path = folder / f"{number % 50}.png"
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        path.unlink()
    (folder / "unseen/deep").mkdir(parents=True)
    os.rename(folder / "acme", folder / "unseen/acme")
    reports.gate.set()
    assert reports.until(lambda: reports.losses == 1)
    assert reports.watched() == {".", "inbox", "inbox/unseen", "inbox/unseen/acme", "inbox/unseen/deep"}
    assert reports.watches.is_healthy()
    (folder / "unseen/acme/after.png").touch()
    assert reports.receive("inbox/unseen/acme/after.png")


def test_an_error_in_the_callback_counts_as_a_loss_and_does_not_end_the_watch(reports: Reports, tmp_path: Path) -> None:
    """Otherwise the exception would end the library's thread for good."""
    reports.errors.append(RuntimeError("once"))
    (tmp_path / "inbox/a").mkdir()
    assert reports.until(lambda: reports.losses == 1)
    (tmp_path / "inbox/b.png").touch()
    assert reports.receive("inbox/b.png")
    assert reports.watches.is_healthy()


def test_a_second_watch_on_a_folder_writes_no_warning(reports: Reports, tmp_path: Path) -> None:
    """watchdog's warning about a second watch is very long; it is kept out of the log."""
    with warnings.catch_warnings(record=True) as recorded_warnings:
        warnings.simplefilter("always")
        second = Reports(tmp_path, ["inbox"])
        os.rename(tmp_path / "inbox/acme", tmp_path / "inbox/zeta")
        second.watches._watch(os.fsencode(tmp_path / "inbox/zeta"))
        assert second.receive("inbox/zeta")
        second.watches.stop()
    assert not recorded_warnings


def test_a_missing_root_raises_an_error(tmp_path: Path) -> None:
    """Without a watch on the root, no stage folder that comes back would be noticed."""
    threads = threading.active_count()
    with pytest.raises(FileNotFoundError):
        Reports(tmp_path / "missing", None)
    assert threading.active_count() == threads
