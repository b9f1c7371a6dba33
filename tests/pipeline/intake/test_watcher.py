"""Hints from real kernel events: which arrive, that none is lost unnoticed, and that the wake descriptor is drained."""

from __future__ import annotations

import os
import select
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goldsmith.pipeline.intake import folder_watches
from goldsmith.pipeline.intake.watcher import Watcher

# For hangs only.
LONG = 600.0


class Listener:
    """A watcher whose hints are collected until a condition holds or the deadline is over."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.watcher = Watcher(root)
        self.hints: list[str] = []
        self.losses = 0

    def until(self, condition: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + LONG
        while True:
            paths, lost = self.watcher.take_hints(10_000)
            self.hints += [os.path.relpath(path, self.root) for path in paths]
            self.losses += lost
            if condition():
                return True
            if time.monotonic() >= deadline:
                return False
            select.select([self.watcher.fd], [], [], 0.05)

    def receives(self, *paths: str) -> bool:
        return self.until(lambda: set(paths) <= set(self.hints))


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    for folder in ("inbox", "archive"):
        (tmp_path / folder).mkdir()
    listener = Listener(tmp_path)
    assert listener.watcher.start()
    yield listener
    listener.watcher.close()


def test_a_start_counts_as_lost_hints(listener: Listener) -> None:
    """No event reports files that existed before the start, so the first call says that everything must be read."""
    assert listener.watcher.take_hints(10) == ([], True)
    assert listener.watcher.take_hints(10) == ([], False)


def test_every_kind_of_change_gives_a_hint(listener: Listener, tmp_path: Path) -> None:
    """The changes are writing, linking, renaming into the folder, new permissions, and deletion."""
    root = tmp_path
    (root / "inbox/written.png").write_bytes(b"x")
    os.link(root / "inbox/written.png", root / "inbox/linked.png")
    (root / "archive/a.png").write_bytes(b"x")
    os.rename(root / "archive/a.png", root / "inbox/renamed.png")
    assert listener.receives("inbox/written.png", "inbox/linked.png", "inbox/renamed.png")
    listener.hints.clear()
    os.chmod(root / "inbox/linked.png", 0o600)
    assert listener.receives("inbox/linked.png")
    listener.hints.clear()
    os.unlink(root / "inbox/renamed.png")
    assert listener.receives("inbox/renamed.png")


def test_a_rename_gives_a_hint_for_both_names(listener: Listener, tmp_path: Path) -> None:
    """The old name must leave the index, and the new name must enter it."""
    (tmp_path / "inbox/old.png").write_bytes(b"x")
    os.rename(tmp_path / "inbox/old.png", tmp_path / "inbox/new.png")
    assert listener.receives("inbox/old.png", "inbox/new.png")


def test_a_folder_that_is_moved_in_gives_hints(listener: Listener, tmp_path: Path) -> None:
    """A tree that was filled before it was watched gives a hint for its folder, and later files in it give hints too."""
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    (outside / "deep").mkdir(parents=True)
    os.rename(outside, tmp_path / "inbox/acme")
    assert listener.receives("inbox/acme")
    (tmp_path / "inbox/acme/deep/late.png").write_bytes(b"x")
    assert listener.receives("inbox/acme/deep/late.png")
    assert listener.watcher.is_watched(str(tmp_path / "inbox/acme/deep"))


def test_any_file_name_arrives_unchanged(listener: Listener, tmp_path: Path) -> None:
    """Undecodable bytes, newlines, direction marks and 255 bytes arrive as os.fsdecode returns them."""
    names = [
        b"\xff\xfe.png",
        b"a\nb.png",
        "\u202egnp.x".encode(),
        b"x" * 251 + b".png",
        "금 🎨.png".encode(),
        b"$(rm -rf x);'.png",
        b"-o.png",
    ]
    for name in names:
        with open(os.path.join(os.fsencode(tmp_path), b"inbox", name), "wb"):
            pass
    assert listener.receives(*(f"inbox/{os.fsdecode(name)}" for name in names))


def test_only_stage_folders_wake_the_loop(listener: Listener, tmp_path: Path) -> None:
    """The archive and work in progress give no hints."""
    listener.watcher.watch_only({"inbox"})
    listener.until(lambda: listener.losses > 0)
    (tmp_path / "archive/a.png").write_bytes(b"x")
    (tmp_path / "inbox/b.png").write_bytes(b"x")
    assert listener.receives("inbox/b.png")
    assert not [path for path in listener.hints if path.startswith("archive")]


def test_a_path_with_many_events_is_taken_once(listener: Listener, tmp_path: Path) -> None:
    """A large file that is being written does not fill the memory with hints, and limited calls keep the order."""
    listener.until(lambda: listener.losses > 0)
    for path in ("b", "a", "b", "c", "a"):
        listener.watcher._on_path(f"{tmp_path}/inbox/{path}")
    assert listener.watcher.take_hints(2)[0] == [f"{tmp_path}/inbox/b", f"{tmp_path}/inbox/a"]
    assert listener.watcher.has_hints()
    assert select.select([listener.watcher.fd], [], [], 0)[0]
    assert listener.watcher.take_hints(2)[0] == [f"{tmp_path}/inbox/c"]
    assert not select.select([listener.watcher.fd], [], [], 0)[0]


def test_the_wake_descriptor_is_drained_with_the_last_hint(listener: Listener, tmp_path: Path) -> None:
    """A descriptor that stays readable would make the main loop spin."""
    for _ in range(3):
        (tmp_path / "inbox/a.png").write_bytes(b"x")
        assert listener.receives("inbox/a.png")
        listener.hints.clear()
        listener.watcher.plant_canary("inbox")
        assert listener.until(lambda: listener.watcher.heard_canary("inbox"))
        assert listener.until(lambda: not select.select([listener.watcher.fd], [], [], 0.1)[0])


def test_a_canary_proves_that_events_arrive_and_leaves_no_file(listener: Listener, tmp_path: Path) -> None:
    """A folder counts as having events only after its canary was heard. The canary itself gives no hint."""
    assert not listener.watcher.heard_canary("inbox")
    assert listener.watcher.plant_canary("inbox")
    assert listener.until(lambda: listener.watcher.heard_canary("inbox"))
    assert not listener.watcher.heard_canary("archive")
    assert os.listdir(tmp_path / "inbox") == []
    assert listener.hints == []
    assert not listener.watcher.plant_canary("nowhere")


def test_each_new_canary_must_be_heard_itself(listener: Listener) -> None:
    """Events that stop are noticed, because the old canary does not count for the new one."""
    listener.watcher.plant_canary("inbox")
    assert listener.until(lambda: listener.watcher.heard_canary("inbox"))
    listener.watcher.stop()
    listener.watcher.plant_canary("inbox")
    assert not listener.watcher.heard_canary("inbox")


def test_a_root_that_is_a_link_is_watched_at_its_target(tmp_path: Path) -> None:
    """A link itself has no events, but its target does."""
    (tmp_path / "real/inbox").mkdir(parents=True)
    os.symlink(tmp_path / "real", tmp_path / "link")
    listener = Listener(tmp_path / "real")
    listener.watcher = Watcher(tmp_path / "link")
    assert listener.watcher.start()
    (tmp_path / "link/inbox/a.png").write_bytes(b"x")
    assert listener.receives("inbox/a.png")
    listener.watcher.close()


def test_a_deleted_root_is_noticed_and_a_restart_brings_hints_again(listener: Listener, tmp_path: Path) -> None:
    """The thread still runs after its root is gone, so ``is_healthy`` looks at the root's watch too."""
    assert listener.watcher.is_healthy()
    shutil.rmtree(tmp_path)
    assert listener.until(lambda: not listener.watcher.is_healthy())
    assert not listener.watcher.restart()
    assert str(tmp_path) in listener.watcher.error
    (tmp_path / "inbox").mkdir(parents=True)
    assert listener.watcher.restart()
    assert listener.watcher.error == ""
    (tmp_path / "inbox/again.png").write_bytes(b"x")
    assert listener.receives("inbox/again.png")


def test_a_dead_watching_thread_is_noticed(listener: Listener) -> None:
    """``is_healthy`` returns False once the thread that reads the kernel's events has ended."""
    assert listener.watcher._watches is not None
    listener.watcher._watches._reader.stop()
    assert listener.until(lambda: not listener.watcher.is_healthy())


@pytest.mark.parametrize("error", [OSError(24, "limit reached"), RuntimeError("limit reached"), ValueError("limit reached")])
def test_a_kernel_that_refuses_a_watch_gives_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """If the kernel's limit is reached, or there is no thread, the watcher gives the reason and goes on without events."""

    def refuse() -> None:
        raise error

    monkeypatch.setattr(folder_watches, "InotifyFD", refuse)
    watcher = Watcher(tmp_path)
    assert not watcher.start()
    assert "(limit reached)" in watcher.error
    assert not watcher.is_healthy()
    assert not watcher.is_watched(str(tmp_path))
    watcher.close()


def test_many_restarts_leak_no_descriptors_or_threads(listener: Listener) -> None:
    """A mount that comes and goes must not use up descriptors or threads."""
    listener.watcher.restart()
    before, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(5):
        assert listener.watcher.restart()
    assert len(os.listdir("/proc/self/fd")) <= before
    assert threading.active_count() == threads


def test_an_overflow_of_the_kernel_queue_counts_as_lost_hints(listener: Listener, tmp_path: Path) -> None:
    """After a real overflow everything is read again, and events continue to arrive."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    listener.until(lambda: listener.losses > 0)
    folder = tmp_path / "inbox"
    with listener.watcher._lock:  # the watching thread waits here, and the kernel's queue fills
        for number in range(limit // 2 + 2000):
            path = folder / f"{number % 50}.png"
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
            path.unlink()
    assert listener.until(lambda: listener.losses > 1)
    assert listener.watcher.is_healthy()
    (folder / "after.png").write_bytes(b"x")
    assert listener.receives("inbox/after.png")
