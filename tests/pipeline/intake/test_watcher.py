from __future__ import annotations

import contextlib
import os
import select
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goldsmith.pipeline.intake import watcher as watcher_module
from goldsmith.pipeline.intake.watcher import Watcher

LONG = 20.0


class Listener:
    """A watcher whose hints are collected until a condition holds or the deadline is over."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.watcher = Watcher(root)
        self.heard: list[str] = []
        self.losses = 0

    def until(self, condition: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + LONG
        while True:
            paths, lost = self.watcher.take_hints(10_000)
            self.heard += [os.path.relpath(path, self.root) for path in paths]
            self.losses += lost
            if condition():
                return True
            if time.monotonic() >= deadline:
                return False
            select.select([self.watcher.fd], [], [], 0.05)

    def hears(self, *paths: str) -> bool:
        return self.until(lambda: set(paths) <= set(self.heard))


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    for folder in ("inbox", "archive"):
        (tmp_path / folder).mkdir()
    listener = Listener(tmp_path)
    assert listener.watcher.start()
    yield listener
    listener.watcher.close()


def test_starting_counts_as_having_lost_something(listener: Listener) -> None:
    """What lay there before was never told: the first take says that everything must be read."""
    assert listener.watcher.take_hints(10) == ([], True)
    assert listener.watcher.take_hints(10) == ([], False)


def test_every_way_in_is_heard(listener: Listener, tmp_path: Path) -> None:
    """Written, linked, renamed in, made elsewhere and moved, touched, and taken away."""
    root = tmp_path
    (root / "inbox/written.png").write_bytes(b"x")
    os.link(root / "inbox/written.png", root / "inbox/linked.png")
    (root / "archive/a.png").write_bytes(b"x")
    os.rename(root / "archive/a.png", root / "inbox/renamed.png")
    assert listener.hears("inbox/written.png", "inbox/linked.png", "inbox/renamed.png")
    listener.heard.clear()
    os.chmod(root / "inbox/linked.png", 0o600)
    assert listener.hears("inbox/linked.png")
    listener.heard.clear()
    os.unlink(root / "inbox/renamed.png")
    assert listener.hears("inbox/renamed.png")


def test_a_rename_tells_both_names(listener: Listener, tmp_path: Path) -> None:
    """The old name has to go, the new one has to come."""
    (tmp_path / "inbox/old.png").write_bytes(b"x")
    os.rename(tmp_path / "inbox/old.png", tmp_path / "inbox/new.png")
    assert listener.hears("inbox/old.png", "inbox/new.png")


def test_files_in_new_and_moved_in_folders_are_heard(listener: Listener, tmp_path: Path) -> None:
    """A tree that was filled before its watch existed still nominates its folder, and later files are heard."""
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    (outside / "deep").mkdir(parents=True)
    os.rename(outside, tmp_path / "inbox/acme")
    assert listener.hears("inbox/acme")
    (tmp_path / "inbox/acme/deep/late.png").write_bytes(b"x")
    assert listener.hears("inbox/acme/deep/late.png")
    assert listener.watcher.is_watched(str(tmp_path / "inbox/acme/deep"))


def test_strange_names_come_through(listener: Listener, tmp_path: Path) -> None:
    """Undecodable bytes, newlines, direction marks and 255 bytes arrive as os.fsdecode gives them."""
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
    assert listener.hears(*(f"inbox/{os.fsdecode(name)}" for name in names))


def test_only_the_folders_asked_for_wake_the_loop(listener: Listener, tmp_path: Path) -> None:
    """The archive and work in progress are not heard."""
    listener.watcher.watch_only({"inbox"})
    listener.until(lambda: listener.losses > 0)
    (tmp_path / "archive/a.png").write_bytes(b"x")
    (tmp_path / "inbox/b.png").write_bytes(b"x")
    assert listener.hears("inbox/b.png")
    assert not [path for path in listener.heard if path.startswith("archive")]


def test_a_path_told_many_times_is_taken_once(listener: Listener, tmp_path: Path) -> None:
    """A big file being written does not fill the memory with hints, and slices keep their order."""
    listener.until(lambda: listener.losses > 0)
    for path in ("b", "a", "b", "c", "a"):
        listener.watcher._on_path(f"{tmp_path}/inbox/{path}")
    assert listener.watcher.take_hints(2)[0] == [f"{tmp_path}/inbox/b", f"{tmp_path}/inbox/a"]
    assert listener.watcher.has_hints()
    assert select.select([listener.watcher.fd], [], [], 0)[0]
    assert listener.watcher.take_hints(2)[0] == [f"{tmp_path}/inbox/c"]
    assert not select.select([listener.watcher.fd], [], [], 0)[0]


def test_a_canary_proves_that_events_come_and_leaves_nothing(listener: Listener, tmp_path: Path) -> None:
    """Only a folder whose canary was heard counts as one with events; the canary itself is no hint."""
    assert not listener.watcher.heard_canary("inbox")
    assert listener.watcher.plant_canary("inbox")
    assert listener.until(lambda: listener.watcher.heard_canary("inbox"))
    assert not listener.watcher.heard_canary("archive")
    assert os.listdir(tmp_path / "inbox") == []
    assert listener.heard == []
    assert not listener.watcher.plant_canary("nowhere")


def test_a_new_canary_has_to_sing_again(listener: Listener) -> None:
    """Events that stopped are noticed: the old canary does not count for the new one."""
    listener.watcher.plant_canary("inbox")
    assert listener.until(lambda: listener.watcher.heard_canary("inbox"))
    listener.watcher.stop()
    listener.watcher.plant_canary("inbox")
    assert not listener.watcher.heard_canary("inbox")


def test_a_root_given_as_a_link_is_watched_where_it_lies(tmp_path: Path) -> None:
    """A link itself never has events; the folder it leads to has."""
    (tmp_path / "real/inbox").mkdir(parents=True)
    os.symlink(tmp_path / "real", tmp_path / "link")
    listener = Listener(tmp_path / "real")
    listener.watcher = Watcher(tmp_path / "link")
    assert listener.watcher.start()
    (tmp_path / "link/inbox/a.png").write_bytes(b"x")
    assert listener.hears("inbox/a.png")
    listener.watcher.close()


def test_a_failing_ear_does_not_end_the_watch(listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in the callback would kill watchdog's thread for good; it counts as a loss, and the next event is heard."""
    hear = listener.watcher._handler.on_hint
    listener.until(lambda: listener.losses > 0)
    failing = iter([RuntimeError("once")])

    def fail_once(path: str) -> None:
        for error in failing:
            raise error
        hear(path)

    monkeypatch.setattr(listener.watcher._handler, "on_hint", fail_once)
    (tmp_path / "inbox/a.png").write_bytes(b"x")
    assert listener.until(lambda: listener.losses > 1)
    (tmp_path / "inbox/b.png").write_bytes(b"x")
    assert listener.hears("inbox/b.png")
    assert listener.watcher.is_healthy()


def test_a_root_that_goes_is_noticed_and_a_fresh_watch_hears_again(listener: Listener, tmp_path: Path) -> None:
    """watchdog looks alive after its emitter died; ``healthy`` says no, and ``restart`` brings it back."""
    assert listener.watcher.is_healthy()
    shutil.rmtree(tmp_path)
    assert listener.until(lambda: not listener.watcher.is_healthy())
    assert not listener.watcher.restart()
    assert str(tmp_path) in listener.watcher.error
    (tmp_path / "inbox").mkdir(parents=True)
    assert listener.watcher.restart()
    assert listener.watcher.error == ""
    (tmp_path / "inbox/again.png").write_bytes(b"x")
    assert listener.hears("inbox/again.png")


def test_a_dead_reader_is_noticed(listener: Listener) -> None:
    """Each thread that a hint passes through is looked at, the kernel's reader included."""
    observer = listener.watcher._observer
    assert observer is not None
    observer._inotify_fd.stop()
    assert listener.until(lambda: not listener.watcher.is_healthy())


def test_no_watch_to_be_had_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel's limit is reached the service says so and goes on without events."""

    def refuse() -> None:
        raise OSError(24, "inotify instance limit reached")

    monkeypatch.setattr(watcher_module, "InotifyObserver", refuse)
    watcher = Watcher(tmp_path)
    assert not watcher.start()
    assert "inotify instance limit reached" in watcher.error
    assert not watcher.is_healthy()
    assert not watcher.is_watched(str(tmp_path))
    watcher.close()


def test_restarting_often_leaks_nothing(listener: Listener) -> None:
    """A flapping mount must not use up descriptors or threads."""
    listener.watcher.restart()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        assert listener.watcher.restart()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_an_overflow_of_the_kernel_s_queue_is_told(listener: Listener, tmp_path: Path) -> None:
    """A real overflow: watchdog tells its handlers nothing, so the pinned version's own method is wrapped. Events go on after it."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    listener.until(lambda: listener.losses > 0)
    observer = listener.watcher._observer
    assert observer is not None
    group = next(iter(observer.emitters))._inotify  # type: ignore[attr-defined]
    folder = tmp_path / "inbox"
    with group._lock:  # the reader waits here, and the kernel's queue fills
        for number in range(limit // 2 + 2000):
            path = folder / f"{number % 50}.png"
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    assert listener.until(lambda: listener.losses > 1)
    assert listener.watcher.is_healthy()
    (folder / "after.png").write_bytes(b"x")
    assert listener.hears("inbox/after.png")
