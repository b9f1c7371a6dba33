"""watchdog's one recursive watch, narrowed to the folders that matter, with a short way for what happens to files.

Of a root, `.goldsmith/` gets a folder for every job and `archive/` grows for ever: watching those would cost more than all the work on
hints together, and start-up would read years of archive. And a hint is only a path: to make event objects of it, wait for the other
half of a move and pass it through two more threads costs a third of the daemon's time under load.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection
from typing import Any

from watchdog.observers.inotify import InotifyEmitter, InotifyWatchGroup
from watchdog.observers.inotify_c import InotifyEvent

# Seconds for which the halves of a folder's move wait for each other; folders behind them wait too (watchdog's own: 0.5).
MOVE_PAIRING_SECONDS = 0.02
# Takes the path of a file to which something happened; it never raises.
OnPath = Callable[[str], None]


class StageWatchGroup(InotifyWatchGroup):
    """The watches below one root: of the folders directly in it only those in ``tops`` (None: all)."""

    def __init__(self, inotify_fd: Any, path: bytes, top_folders: Collection[str] | None, on_path: OnPath, **settings: Any) -> None:
        self._on_path = on_path
        self._top_folders = None if top_folders is None else frozenset(map(os.fsencode, top_folders))
        super().__init__(inotify_fd, path, **settings)
        self._move_event_grouper._queue.delay = MOVE_PAIRING_SECONDS

    def on_event(self, event: InotifyEvent) -> None:
        """Files are told of at once; folders take watchdog's way, since their watches must come and go with them."""
        if event.is_directory or not event.name:
            super().on_event(event)
            return
        with self._lock:
            path = self._build_event_source_path(event) if self.is_active else None
        if path is not None:
            self._on_path(os.fsdecode(path))

    def _add_all_callbacks(self, path: bytes) -> None:
        if not self._is_wanted(path):
            return
        self._add_callback(path)
        for above, names, _ in os.walk(path):
            names[:] = [name for name in names if self._is_wanted(os.path.join(above, name))]
            for name in names:
                full = os.path.join(above, name)
                if not os.path.islink(full):
                    self._add_callback(full)

    def _is_wanted(self, path: bytes) -> bool:
        above, name = os.path.split(path)
        return self._top_folders is None or above != self.path or name in self._top_folders


class StageEmitter(InotifyEmitter):
    """watchdog's thread for a watch, with a group of ours."""

    def __init__(self, *arguments: Any, top_folders: Collection[str] | None, on_path: OnPath, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._top_folders = top_folders
        self._on_path = on_path

    def on_thread_start(self) -> None:
        # `mkdir -p a/b/c` makes it add a watch twice; it then warns with all of its own inside, megabytes at times.
        warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)
        self._inotify = StageWatchGroup(
            self._inotify_fd,
            os.fsencode(self.watch.path),
            self._top_folders,
            self._on_path,
            is_recursive=self.watch.is_recursive,
            event_mask=self.get_event_mask_from_filter(),
            follow_symlink=self.watch.follow_symlink,
        )
