"""A yard with stage folders in which files arrive: an intake over real files, with a held clock and hints given by hand."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path

from goldsmith.pipeline.intake.bundle import BundleKey
from goldsmith.pipeline.intake.intake import Intake, IntakeSettings


class HeldClock:
    """A monotonic clock that moves only when it is told to."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class HintsByHand:
    """Stands in for the watcher: it hears what the test says, and canaries where the test lets it."""

    def __init__(self, root: Path, *, hears: bool = True) -> None:
        self.root = str(root)
        self.hears = hears
        self.alive = False
        self.error = ""
        self.starts = 0
        self.deaf_folders: set[str] = set()
        self.hints: list[str] = []
        self.lost = False
        self.planted: list[str] = []
        self.sung: set[str] = set()
        self.unwatched: set[str] = set()

    def watch_only(self, folders: Collection[str]) -> None:
        self.folders = frozenset(folders)

    def restart(self) -> bool:
        self.starts += 1
        self.alive = self.hears
        self.lost = self.lost or self.hears
        self.error = "" if self.hears else "No events."
        return self.hears

    def is_healthy(self) -> bool:
        return self.alive

    def is_watched(self, folder: str) -> bool:
        return os.path.relpath(folder, self.root) not in self.unwatched

    def plant_canary(self, folder: str) -> bool:
        self.planted.append(folder)
        self.sung = {*self.sung, folder} if self.alive and folder not in self.deaf_folders else self.sung - {folder}
        return True

    def heard_canary(self, folder: str) -> bool:
        return folder in self.sung

    def take_hints(self, limit: int) -> tuple[list[str], bool]:
        taken, self.hints = self.hints[:limit], self.hints[limit:]
        lost, self.lost = self.lost, False
        return taken, lost

    def has_hints(self) -> bool:
        return bool(self.hints) or self.lost


class Yard:
    """``inbox`` and ``selected`` under a fresh root. ``put`` writes a file and gives the hint that a watcher would give."""

    def __init__(
        self, root: Path, *, hears: bool = True, settings: IntakeSettings | None = None, weights_stamp: Callable[[], object] = lambda: None
    ) -> None:
        self.root = root
        for folder in ("inbox", "selected", "delivered", "library"):
            (root / folder).mkdir(exist_ok=True)
        self.clock = HeldClock()
        self.watcher = HintsByHand(root, hears=hears)
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
        """One drain, ``later`` seconds after the last thing that happened."""
        self.clock.now += later
        return self.intake.collect(self.clock.now)

    def settle(self) -> list[BundleKey]:
        """Drain until nothing is left to do at this very moment."""
        found = self.collect()
        while self.intake.seconds_until_due(self.clock.now) == 0:
            found += self.collect()
        return found

    def names(self, later: float = 0.0) -> list[str]:
        """What comes up now, as campaign/name."""
        self.clock.now += later
        return [f"{key.campaign}/{key.name}" if key.campaign else key.name for key in self.settle()]

    def follow(self, *paths: str) -> None:
        self.intake.follow(paths)

    def kind(self, path: str) -> str:
        return self.intake.state(path).status

    def sentence(self, path: str) -> str:
        return self.intake.state(path).reason
