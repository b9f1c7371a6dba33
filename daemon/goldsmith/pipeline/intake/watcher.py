"""Hints of changes below the root. A hint only names a path to check; only the folders themselves show what has changed."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Collection
from pathlib import Path

from goldsmith.pipeline.intake.folder_watches import FolderWatches
from goldsmith.root_folder import RootFolder

_CANARY_PREFIX = ".goldsmith-canary-"


class Watcher:
    """Collects hints from the folders below the root. All methods are for one thread, the main loop's.

    ``fd`` becomes readable when there are hints to take, and stops being readable when all of them are taken.
    """

    def __init__(self, root: Path) -> None:
        # A link as root would be watched as a link.
        self.root = os.path.realpath(root)
        # Why no events arrive at the moment, as a sentence; empty while they do.
        self.error = ""
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._folders: frozenset[str] | None = None
        self._lock = threading.Lock()
        self._hints: dict[str, None] = {}
        self._has_lost_hints = False
        self._is_signalled = False
        self._canaries: dict[str, str] = {}
        self._canary_count = 0
        self._heard_canaries: set[str] = set()
        self._watches: FolderWatches | None = None

    def watch_only(self, folders: Collection[str]) -> None:
        """Take hints only from these folders of the root: work in progress and the archive would wake the loop for nothing."""
        self._folders = frozenset(folders)

    def start(self) -> bool:
        """Begin to watch. Return False, and set ``error``, if the kernel or the root does not allow it."""
        self._heard_canaries.clear()
        self._canaries.clear()
        try:
            self._watches = FolderWatches(self.root, self._folders, self._on_path, self._mark_lost)
        except (OSError, RuntimeError, ValueError) as error:  # no thread (RuntimeError), or no inotify object (ValueError) can be made
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            self.error = f"No events arrive from {self.root} ({reason}). The folders are read at intervals instead."
            return False
        self.error = ""
        self._mark_lost()
        return True

    def stop(self) -> None:
        """End the watch; ``start`` may follow. Hints that arrived until now can still be taken."""
        watches, self._watches = self._watches, None
        if watches is not None:
            watches.stop()

    def restart(self) -> bool:
        """Replace the watch by a fresh one, after ``is_healthy`` returned False or the root was replaced; return like ``start``."""
        self.stop()
        return self.start()

    def close(self) -> None:
        """Stop, and close the wake descriptor."""
        self.stop()
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def is_healthy(self) -> bool:
        """Return whether hints can arrive: the watching thread runs, and the root is watched."""
        return self._watches is not None and self._watches.is_healthy()

    def is_watched(self, folder: str) -> bool:
        """Return whether the kernel watches this folder (absolute path); it may lack a watch because of the limit or of permissions."""
        return self._watches is not None and self._watches.is_watched(folder)

    def plant_canary(self, folder: str) -> bool:
        """Create and delete a canary file in a folder of the root; ``heard_canary`` tells later whether its event arrived.

        Return False if the file could not be created.
        """
        self._canary_count += 1
        path = os.path.join(self.root, folder, f"{_CANARY_PREFIX}{os.getpid()}-{self._canary_count}")
        with self._lock:
            self._canaries[folder] = path
        try:
            with RootFolder(self.root).opened_folder(folder) as fd:
                name = os.path.basename(path)
                os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=fd))
                os.unlink(name, dir_fd=fd)
        except OSError:
            return False
        return True

    def heard_canary(self, folder: str) -> bool:
        """Return whether an event of this folder's last canary has arrived."""
        with self._lock:
            return self._canaries.get(folder) in self._heard_canaries

    def take_hints(self, limit: int) -> tuple[list[str], bool]:
        """Return up to ``limit`` paths (absolute, each once, oldest first), and whether hints were lost since the last call."""
        with self._lock:
            if len(self._hints) <= limit:
                paths, self._hints = list(self._hints), {}
            else:
                paths = [path for path, _ in zip(self._hints, range(limit), strict=False)]
                for path in paths:
                    del self._hints[path]
            are_lost, self._has_lost_hints = self._has_lost_hints, False
            if not self._hints and self._is_signalled:
                with contextlib.suppress(OSError):  # a descriptor that stays readable only wakes the loop once more
                    os.eventfd_read(self.fd)
                self._is_signalled = False
        return paths, are_lost

    def has_hints(self) -> bool:
        """Return whether ``take_hints`` has a hint or a loss of hints to report."""
        return bool(self._hints) or self._has_lost_hints

    # --- called on the watching thread

    def _on_path(self, path: str) -> None:
        if os.path.basename(path).startswith(_CANARY_PREFIX):
            with self._lock:
                self._heard_canaries = {path, *self._heard_canaries.intersection(self._canaries.values())}
                self._signal()
            return
        if self._folders is not None and path != self.root:
            top = path[len(self.root) :].lstrip("/").partition("/")[0]
            if top not in self._folders:
                return
        with self._lock:
            self._hints[path] = None
            self._signal()

    def _mark_lost(self) -> None:
        with self._lock:
            self._has_lost_hints = True
            self._signal()

    def _signal(self) -> None:
        if not self._is_signalled and self.fd >= 0:
            with contextlib.suppress(OSError):  # the loop then finds the hint at its next regular turn
                os.eventfd_write(self.fd, 1)
                self._is_signalled = True
