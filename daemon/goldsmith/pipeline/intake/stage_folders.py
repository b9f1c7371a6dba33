"""The stage folders on their disks: whether they are there, whether events arrive from them, and when they are scanned again."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from goldsmith.files import FileSignature
from goldsmith.mounts import UNKNOWN_KIND, MountKind, kind_at
from goldsmith.root_folder import RootFolder

if TYPE_CHECKING:
    # The commands that only look at the folders need no watchdog.
    from goldsmith.pipeline.intake.watcher import Watcher

WatchMode = Literal["events", "polling"]

CHECK_INTERVAL_SECONDS = 2.0
_CANARY_TIMEOUT_SECONDS = 5.0
_CANARY_INTERVAL_SECONDS = 60.0
_RESTART_INTERVAL_SECONDS = 10.0
_REWATCH_INTERVAL_SECONDS = 60.0
# Sweeps take at most this fraction (1/20) of the main loop's time.
_SWEEP_TIME_DIVISOR = 20.0


@dataclass(slots=True)
class StageFolder:
    """One stage folder. ``unavailable_reason`` says why it cannot be used, or is empty."""

    name: str
    unavailable_reason: str = ""
    device: int = 0
    inode: int = 0
    was_mounted: bool = False
    # Changes on a shared mount that others make cause no events, even if those that the daemon makes do.
    kind: MountKind = UNKNOWN_KIND
    receives_events: bool = False
    canary_planted_at: float | None = None
    # Folders in and below it that the kernel does not watch.
    unwatched_folders: set[str] = field(default_factory=set)
    swept_at: float | None = None
    # How long the last sweep took, in seconds.
    sweep_seconds: float = 0.0

    @property
    def watch_mode(self) -> WatchMode:
        """Whether events arrive from the whole folder, or it is scanned at intervals."""
        return "events" if self.receives_events and not self.kind.is_shared and not self.unwatched_folders else "polling"


class StageFolders:
    """All stage folders under one root, and the health of the watch on them."""

    def __init__(self, root: str, folders: Collection[str], watcher: Watcher, sweep_events: float, sweep_polling: float) -> None:
        self._root = root
        self._root_folder = RootFolder(root)
        self._watcher = watcher
        self._sweep_events = sweep_events
        self._sweep_polling = sweep_polling
        self._checked_at: float | None = None
        self._restarted_at: float | None = None
        self.by_name = {folder: StageFolder(folder) for folder in folders}

    def is_unavailable(self, folder: str) -> bool:
        """Return whether the folder cannot be used."""
        return bool(self.by_name[folder].unavailable_reason)

    def is_unchanged(self, folder: str) -> bool:
        """Return whether the folder is the same as at the last check: only then is a missing file really gone. True for other folders."""
        known = self.by_name.get(folder)
        if known is None or known.unavailable_reason:
            return known is None
        try:
            status = self._root_folder.lstat(folder)
        except OSError:
            return False
        return _identity(status) == (known.device, known.inode)

    def available(self) -> list[StageFolder]:
        """Return the folders that can be used now."""
        return [folder for folder in self.by_name.values() if not folder.unavailable_reason]

    def next_check_at(self) -> float:
        """Return when the next ``check`` is due."""
        return self._checked_at + CHECK_INTERVAL_SECONDS if self._checked_at is not None else 0.0

    def next_sweep_at(self) -> float | None:
        """Return when the next sweep is due, with or without hints."""
        return min((self._sweep_due_at(folder) for folder in self.available()), default=None)

    def take_due_sweeps(self, now: float) -> list[StageFolder]:
        """Return the folders whose sweep is due, and restart their timers."""
        due = [folder for folder in self.available() if now >= self._sweep_due_at(folder)]
        for folder in due:
            folder.swept_at = now
            if folder.receives_events:
                self._plant_canary(folder, now)
        return due

    def note_canaries(self) -> None:
        """Mark the folders whose canary was heard: events arrive from them."""
        for folder in self.by_name.values():
            if not folder.receives_events and not folder.kind.is_shared and self._watcher.heard_canary(folder.name):
                folder.receives_events = True

    def check(self, now: float) -> None:
        """Check every folder. Restart the watch if a folder was replaced or came back, events stopped, or the watch has ended."""
        is_first = self._checked_at is None and self._watcher.is_healthy()
        self._checked_at = now
        changed = [folder for folder in self.by_name.values() if self._has_been_replaced(folder)]
        silent = [folder for folder in self.available() if self._has_lost_events(folder, now)]
        for folder in silent:
            folder.receives_events = False
        if not is_first and (changed or silent or self._needs_restart(now)):
            self._restart(now)
        for folder in changed:
            folder.swept_at = None
        for folder in self.available():
            if (
                not folder.receives_events
                and not folder.kind.is_shared
                and (folder.canary_planted_at is None or now >= folder.canary_planted_at + _CANARY_INTERVAL_SECONDS)
            ):
                self._plant_canary(folder, now)

    def _restart(self, now: float) -> None:
        self._restarted_at = now
        is_watching = self._watcher.restart()
        for folder in self.available():
            folder.unwatched_folders.clear()
            folder.receives_events = folder.receives_events and is_watching
            self._plant_canary(folder, now)

    def _needs_restart(self, now: float) -> bool:
        seconds_since_restart = now - self._restarted_at if self._restarted_at is not None else _REWATCH_INTERVAL_SECONDS
        if not self._watcher.is_healthy():
            return seconds_since_restart >= _RESTART_INTERVAL_SECONDS or not self._watcher.error
        return seconds_since_restart >= _REWATCH_INTERVAL_SECONDS and any(folder.unwatched_folders for folder in self.available())

    def _plant_canary(self, folder: StageFolder, now: float) -> None:
        folder.canary_planted_at = now
        if folder.kind.is_shared or not self._watcher.plant_canary(folder.name):
            folder.receives_events = False

    def _has_lost_events(self, folder: StageFolder, now: float) -> bool:
        """Return whether events used to arrive and the last canary was not heard in time."""
        overdue = folder.canary_planted_at is not None and now >= folder.canary_planted_at + _CANARY_TIMEOUT_SECONDS
        return folder.receives_events and overdue and not self._watcher.heard_canary(folder.name)

    def _sweep_due_at(self, folder: StageFolder) -> float:
        if folder.swept_at is None:
            return 0.0
        if folder.watch_mode == "events":
            return folder.swept_at + self._sweep_events
        return folder.swept_at + max(self._sweep_polling, _SWEEP_TIME_DIVISOR * folder.sweep_seconds)

    def _has_been_replaced(self, folder: StageFolder) -> bool:
        """Return whether the folder exists and is another one than at the last check. Update its state."""
        before = folder.unavailable_reason
        try:
            status = self._root_folder.lstat(folder.name)
            is_mount = self._root_folder.mount_id(folder.name) != self._root_folder.mount_id("")
        except OSError:
            folder.unavailable_reason = f"{folder.name}/ is not there: is the share mounted?"
            return False
        if not stat.S_ISDIR(status.st_mode):
            folder.unavailable_reason = f"{folder.name}/ is not a folder: links are not followed. Mount or create the folder itself there."
            return False
        if folder.was_mounted and not is_mount:
            folder.unavailable_reason = f"{folder.name}/ was a mount of its own and is not mounted now: is the share mounted?"
            return False
        folder.unavailable_reason = ""
        if not before and _identity(status) == (folder.device, folder.inode):
            return False
        folder.device, folder.inode = _identity(status)
        folder.was_mounted = is_mount
        folder.kind = kind_at(os.path.join(self._root, folder.name))
        folder.receives_events = False
        return True


def _identity(status: os.stat_result) -> tuple[int, int]:
    """Return device and inode; the inode is 0 on mounts that do not keep it, where the same folder would seem to be another."""
    sig = FileSignature.from_stat(status)
    return sig.dev, sig.ino
