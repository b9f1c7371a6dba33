"""The stages' folders as places on disks: whether they are there, whether events come from them, how often they are read again."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

from goldsmith.files import filesystem_kind, is_network
from goldsmith.pipeline.intake.watch import Watcher

Mode = Literal["events", "polling"]

CHECK_EVERY = 2.0
_CANARY_PATIENCE = 5.0
_PLANT_AGAIN = 60.0
_RESTART_AGAIN = 10.0
_WATCH_AGAIN = 60.0
_SHARE_OF_TIME = 20.0
"""Re-reading takes at most one part in so many of the loop's time."""


@dataclass(slots=True)
class Mount:
    """One stage folder. ``sentence`` says why it is not there, or is empty."""

    folder: str
    sentence: str = ""
    device: int = 0
    inode: int = 0
    was_mounted: bool = False
    network: bool = False
    heard: bool = False
    planted: float | None = None
    unwatched: set[str] = field(default_factory=set)
    """Folders below it for which the kernel granted no watch."""
    swept: float | None = None
    cost: float = 0.0
    """Seconds that the last reading of all of it took."""

    @property
    def mode(self) -> Mode:
        return "events" if self.heard and not self.network and not self.unwatched else "polling"


class Mounts:
    """All stage folders under one root, and the health of the watch over them."""

    def __init__(self, root: str, folders: Collection[str], watcher: Watcher, sweep_events: float, sweep_polling: float) -> None:
        self._root = root
        self._watcher = watcher
        self._sweep_events = sweep_events
        self._sweep_polling = sweep_polling
        self._checked: float | None = None
        self._restarted: float | None = None
        self.all = {folder: Mount(folder) for folder in folders}

    def paused(self, folder: str) -> bool:
        return bool(self.all[folder].sentence)

    def unchanged(self, folder: str) -> bool:
        """True while the folder is the very one that was last looked at: only then is a missing file a file that somebody took."""
        mount = self.all.get(folder)
        if mount is None or mount.sentence:
            return mount is None
        try:
            status = os.lstat(os.path.join(self._root, folder))
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == (mount.device, mount.inode)

    def there(self) -> list[Mount]:
        """The folders that can be worked on now."""
        return [mount for mount in self.all.values() if not mount.sentence]

    def next_check(self) -> float:
        """When ``check`` wants to be called again."""
        return self._checked + CHECK_EVERY if self._checked is not None else 0.0

    def next_sweep(self) -> float | None:
        """When the next folder wants to be read again, hints or not."""
        return min((self._sweep_due(mount) for mount in self.there()), default=None)

    def take_due(self, now: float) -> list[Mount]:
        """The folders whose time has come; their clocks start anew."""
        due = [mount for mount in self.there() if now >= self._sweep_due(mount)]
        for mount in due:
            mount.swept = now
            if mount.heard:
                self._plant(mount, now)
        return due

    def listen(self) -> None:
        """Take note of canaries that were heard."""
        for mount in self.all.values():
            if not mount.heard and not mount.network and self._watcher.events(mount.folder):
                mount.heard = True

    def check(self, now: float) -> None:
        """Look at every folder; restart the watch where one was replaced or came back, or a thread has died."""
        begun = self._checked is None and self._watcher.healthy()
        self._checked = now
        changed = [mount for mount in self.all.values() if self._look(mount)]
        deaf = [mount for mount in self.there() if self._is_deaf(mount, now)]
        for mount in deaf:
            mount.heard = False
        if not begun and (changed or deaf or self._wants_restart(now)):
            self._restart(now)
        for mount in changed:
            mount.swept = None
        for mount in self.there():
            if not mount.heard and not mount.network and (mount.planted is None or now >= mount.planted + _PLANT_AGAIN):
                self._plant(mount, now)

    def _restart(self, now: float) -> None:
        self._restarted = now
        hearing = self._watcher.restart()
        for mount in self.there():
            mount.unwatched.clear()
            mount.heard = mount.heard and hearing
            self._plant(mount, now)

    def _wants_restart(self, now: float) -> bool:
        since = now - self._restarted if self._restarted is not None else _WATCH_AGAIN
        if not self._watcher.healthy():
            return since >= _RESTART_AGAIN or not self._watcher.trouble
        return since >= _WATCH_AGAIN and any(mount.unwatched for mount in self.there())

    def _plant(self, mount: Mount, now: float) -> None:
        mount.planted = now
        if mount.network or not self._watcher.plant(mount.folder):
            mount.heard = False

    def _is_deaf(self, mount: Mount, now: float) -> bool:
        """Events used to come, and the last canary was not heard."""
        overdue = mount.planted is not None and now >= mount.planted + _CANARY_PATIENCE
        return mount.heard and overdue and not self._watcher.events(mount.folder)

    def _sweep_due(self, mount: Mount) -> float:
        if mount.swept is None:
            return 0.0
        if mount.mode == "events":
            return mount.swept + self._sweep_events
        return mount.swept + max(self._sweep_polling, _SHARE_OF_TIME * mount.cost)

    def _look(self, mount: Mount) -> bool:
        """True where the folder is there and is another one than at the last look."""
        before = mount.sentence
        try:
            status = os.lstat(os.path.join(self._root, mount.folder))
            root = os.lstat(self._root)
        except OSError:
            mount.sentence = f"{mount.folder}/ is not there: is the share mounted?"
            return False
        if not stat.S_ISDIR(status.st_mode):
            mount.sentence = f"{mount.folder}/ is not a folder: links are not followed, mount or make the folder itself there."
            return False
        if mount.was_mounted and status.st_dev == root.st_dev:
            mount.sentence = f"{mount.folder}/ was a mount of its own and is not mounted now: is the share mounted?"
            return False
        mount.sentence = ""
        if not before and (status.st_dev, status.st_ino) == (mount.device, mount.inode):
            return False
        mount.device, mount.inode = status.st_dev, status.st_ino
        mount.was_mounted = status.st_dev != root.st_dev
        mount.network = is_network(filesystem_kind(os.path.join(self._root, mount.folder)))
        mount.heard = False
        return True
