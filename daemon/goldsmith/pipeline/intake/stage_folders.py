"""The stage folders on disk: whether they are available, whether events come from them, and how often they are read again."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

from goldsmith.files import filesystem_type, is_network_filesystem
from goldsmith.pipeline.intake.watcher import Watcher

WatchMode = Literal["events", "polling"]

CHECK_INTERVAL_SECONDS = 2.0
_CANARY_TIMEOUT_SECONDS = 5.0
_CANARY_INTERVAL_SECONDS = 60.0
_RESTART_INTERVAL_SECONDS = 10.0
_REWATCH_INTERVAL_SECONDS = 60.0
# Reading folders again takes at most this fraction of the loop's time.
_SWEEP_TIME_DIVISOR = 20.0


@dataclass(slots=True)
class StageFolder:
    """One stage folder. ``unavailable_reason`` says why it is not available, or is empty."""

    name: str
    unavailable_reason: str = ""
    device: int = 0
    inode: int = 0
    was_mounted: bool = False
    is_network: bool = False
    receives_events: bool = False
    canary_planted_at: float | None = None
    # Folders below it for which the kernel granted no watch.
    unwatched_folders: set[str] = field(default_factory=set)
    swept_at: float | None = None
    # Seconds that the last reading of the whole folder took.
    sweep_seconds: float = 0.0

    @property
    def watch_mode(self) -> WatchMode:
        return "events" if self.receives_events and not self.is_network and not self.unwatched_folders else "polling"


class StageFolders:
    """All stage folders under one root, and the health of their watches."""

    def __init__(self, root: str, folders: Collection[str], watcher: Watcher, sweep_events: float, sweep_polling: float) -> None:
        self._root = root
        self._watcher = watcher
        self._sweep_events = sweep_events
        self._sweep_polling = sweep_polling
        self._checked_at: float | None = None
        self._restarted_at: float | None = None
        self.by_name = {folder: StageFolder(folder) for folder in folders}

    def is_unavailable(self, folder: str) -> bool:
        return bool(self.by_name[folder].unavailable_reason)

    def is_unchanged(self, folder: str) -> bool:
        """Return whether the folder is the same as at the last look: only then does a missing file mean that it was taken."""
        mount = self.by_name.get(folder)
        if mount is None or mount.unavailable_reason:
            return mount is None
        try:
            status = os.lstat(os.path.join(self._root, folder))
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == (mount.device, mount.inode)

    def available(self) -> list[StageFolder]:
        """Return the folders that can be used now."""
        return [mount for mount in self.by_name.values() if not mount.unavailable_reason]

    def next_check_at(self) -> float:
        """Return when ``check`` is due again."""
        return self._checked_at + CHECK_INTERVAL_SECONDS if self._checked_at is not None else 0.0

    def next_sweep_at(self) -> float | None:
        """Return when the next folder is to be read again, with or without hints."""
        return min((self._sweep_due_at(mount) for mount in self.available()), default=None)

    def take_due_sweeps(self, now: float) -> list[StageFolder]:
        """Return the folders that are due to be read, and reset their clocks."""
        due = [mount for mount in self.available() if now >= self._sweep_due_at(mount)]
        for mount in due:
            mount.swept_at = now
            if mount.receives_events:
                self._plant_canary(mount, now)
        return due

    def note_canaries(self) -> None:
        """Process the canaries that were heard."""
        for mount in self.by_name.values():
            if not mount.receives_events and not mount.is_network and self._watcher.heard_canary(mount.name):
                mount.receives_events = True

    def check(self, now: float) -> None:
        """Check every folder; restart the watch if a folder was replaced or came back, or a thread died."""
        begun = self._checked_at is None and self._watcher.is_healthy()
        self._checked_at = now
        changed = [mount for mount in self.by_name.values() if self._has_been_replaced(mount)]
        deaf = [mount for mount in self.available() if self._has_lost_events(mount, now)]
        for mount in deaf:
            mount.receives_events = False
        if not begun and (changed or deaf or self._needs_restart(now)):
            self._restart(now)
        for mount in changed:
            mount.swept_at = None
        for mount in self.available():
            if (
                not mount.receives_events
                and not mount.is_network
                and (mount.canary_planted_at is None or now >= mount.canary_planted_at + _CANARY_INTERVAL_SECONDS)
            ):
                self._plant_canary(mount, now)

    def _restart(self, now: float) -> None:
        self._restarted_at = now
        hearing = self._watcher.restart()
        for mount in self.available():
            mount.unwatched_folders.clear()
            mount.receives_events = mount.receives_events and hearing
            self._plant_canary(mount, now)

    def _needs_restart(self, now: float) -> bool:
        since = now - self._restarted_at if self._restarted_at is not None else _REWATCH_INTERVAL_SECONDS
        if not self._watcher.is_healthy():
            return since >= _RESTART_INTERVAL_SECONDS or not self._watcher.error
        return since >= _REWATCH_INTERVAL_SECONDS and any(mount.unwatched_folders for mount in self.available())

    def _plant_canary(self, folder: StageFolder, now: float) -> None:
        folder.canary_planted_at = now
        if folder.is_network or not self._watcher.plant_canary(folder.name):
            folder.receives_events = False

    def _has_lost_events(self, folder: StageFolder, now: float) -> bool:
        """Return whether events used to come and the last canary was not heard."""
        overdue = folder.canary_planted_at is not None and now >= folder.canary_planted_at + _CANARY_TIMEOUT_SECONDS
        return folder.receives_events and overdue and not self._watcher.heard_canary(folder.name)

    def _sweep_due_at(self, folder: StageFolder) -> float:
        if folder.swept_at is None:
            return 0.0
        if folder.watch_mode == "events":
            return folder.swept_at + self._sweep_events
        return folder.swept_at + max(self._sweep_polling, _SWEEP_TIME_DIVISOR * folder.sweep_seconds)

    def _has_been_replaced(self, folder: StageFolder) -> bool:
        """Return whether the folder exists and differs from the last look."""
        before = folder.unavailable_reason
        try:
            status = os.lstat(os.path.join(self._root, folder.name))
            root = os.lstat(self._root)
        except OSError:
            folder.unavailable_reason = f"{folder.name}/ is not there: is the share mounted?"
            return False
        if not stat.S_ISDIR(status.st_mode):
            folder.unavailable_reason = f"{folder.name}/ is not a folder: links are not followed, mount or make the folder itself there."
            return False
        if folder.was_mounted and status.st_dev == root.st_dev:
            folder.unavailable_reason = f"{folder.name}/ was a mount of its own and is not mounted now: is the share mounted?"
            return False
        folder.unavailable_reason = ""
        if not before and (status.st_dev, status.st_ino) == (folder.device, folder.inode):
            return False
        folder.device, folder.inode = status.st_dev, status.st_ino
        folder.was_mounted = status.st_dev != root.st_dev
        folder.is_network = is_network_filesystem(filesystem_type(os.path.join(self._root, folder.name)))
        folder.receives_events = False
        return True
