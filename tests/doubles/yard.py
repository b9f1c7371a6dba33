"""Stage folders in which files arrive: an intake over real files, with a manual clock and hints that the test gives."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path

from goldsmith.pipeline.intake.bundle import BundleKey
from goldsmith.pipeline.intake.intake import Intake, IntakeSettings


class ManualClock:
    """A monotonic clock that moves only when a test moves it."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class FakeWatcher:
    """A watcher that gives the hints of the test, and hears canaries if the test allows it."""

    def __init__(self, root: Path, *, gives_events: bool = True) -> None:
        self.root = str(root)
        self.gives_events = gives_events
        self.is_alive = False
        self.error = ""
        self.starts = 0
        self.silent_folders: set[str] = set()
        self.hints: list[str] = []
        self.has_lost_hints = False
        self.planted: list[str] = []
        self.heard_canaries: set[str] = set()
        self.unwatched: set[str] = set()

    def watch_only(self, folders: Collection[str]) -> None:
        self.folders = frozenset(folders)

    def restart(self) -> bool:
        self.starts += 1
        self.is_alive = self.gives_events
        self.has_lost_hints = self.has_lost_hints or self.gives_events
        self.error = "" if self.gives_events else "No events."
        return self.gives_events

    def is_healthy(self) -> bool:
        return self.is_alive

    def is_watched(self, folder: str) -> bool:
        return os.path.relpath(folder, self.root) not in self.unwatched

    def plant_canary(self, folder: str) -> bool:
        self.planted.append(folder)
        self.heard_canaries = (
            {*self.heard_canaries, folder} if self.is_alive and folder not in self.silent_folders else self.heard_canaries - {folder}
        )
        return True

    def heard_canary(self, folder: str) -> bool:
        return folder in self.heard_canaries

    def take_hints(self, limit: int) -> tuple[list[str], bool]:
        hints, self.hints = self.hints[:limit], self.hints[limit:]
        are_lost, self.has_lost_hints = self.has_lost_hints, False
        return hints, are_lost

    def has_hints(self) -> bool:
        return bool(self.hints) or self.has_lost_hints


class Yard:
    """``inbox`` and ``selected`` under a fresh root. ``put`` writes a file and gives the hint that a watcher would give."""

    def __init__(
        self,
        root: Path,
        *,
        gives_events: bool = True,
        settings: IntakeSettings | None = None,
        weights_stamp: Callable[[], object] = lambda: None,
    ) -> None:
        self.root = root
        for folder in ("inbox", "selected", "delivered", "library"):
            (root / folder).mkdir(exist_ok=True)
        self.clock = ManualClock()
        self.watcher = FakeWatcher(root, gives_events=gives_events)
        self.intake = Intake(root, ["inbox", "selected"], self.watcher, self.clock, settings, weights_stamp)  # type: ignore[arg-type]
        self.intake.start()
        self.settle()

    def put(self, path: str, data: bytes = b"picture", *, hint: bool = True) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        if hint:
            self.hint(path)
        return target

    def hint(self, *paths: str) -> None:
        self.watcher.hints += [os.path.join(self.root, path) for path in paths]

    def collect(self, later: float = 0.0) -> list[BundleKey]:
        """Call ``collect`` once, ``later`` seconds after the last call."""
        self.clock.now += later
        return self.intake.collect(self.clock.now)

    def settle(self) -> list[BundleKey]:
        """Call ``collect`` until nothing is left to do at this moment; return all keys."""
        keys = self.collect()
        while self.intake.seconds_until_due(self.clock.now) == 0:
            keys += self.collect()
        return keys

    def names(self, later: float = 0.0) -> list[str]:
        """Return the bundles that are returned now, as campaign/name."""
        self.clock.now += later
        return [f"{key.campaign}/{key.name}" if key.campaign else key.name for key in self.settle()]

    def follow(self, *paths: str) -> None:
        self.intake.follow(paths)

    def status(self, path: str) -> str:
        return self.intake.state(path).status

    def reason(self, path: str) -> str:
        return self.intake.state(path).reason
