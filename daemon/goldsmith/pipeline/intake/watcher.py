"""Hints that something happened somewhere under the root. They only nominate paths; the folders themselves are the truth."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Final

from watchdog.events import (
    DirAttribEvent,
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.inotify import InotifyEmitter, InotifyObserver

from goldsmith.pipeline.intake.watch_group import StageEmitter

# Never opened or closed-unwritten: Goldsmith's own reading would answer itself. Attrib comes only if modified is asked for too.
_EVENT_TYPES: Final[list[type[FileSystemEvent]]] = [
    *(FileCreatedEvent, FileClosedEvent, FileMovedEvent, FileModifiedEvent, FileAttribEvent, FileDeletedEvent),
    *(DirCreatedEvent, DirMovedEvent, DirDeletedEvent, DirAttribEvent),
]
_CANARY_PREFIX = ".goldsmith-canary-"
_log = logging.getLogger(__name__)


class _HintHandler(FileSystemEventHandler):
    """Hands every path of an event on. It must not raise: an exception here would end watchdog's thread for good."""

    def __init__(self, on_hint: Callable[[str], None], on_lost: Callable[[], None]) -> None:
        self.on_hint = on_hint
        self._on_lost = on_lost

    def on_any_event(self, event: FileSystemEvent) -> None:
        for path in (event.src_path, event.dest_path):
            if path:
                self.emit(os.fsdecode(path))

    def emit(self, path: str) -> None:
        """Something happened there."""
        try:
            self.on_hint(path)
        except Exception:  # noqa: BLE001 - the border to watchdog's thread
            _log.exception("a hint was lost; everything is read again instead")
            self._on_lost()


class Watcher:
    """One recursive watch over the root. All methods but the callback are for one thread, the loop's.

    ``fd`` becomes readable as soon as there is something to take.
    """

    def __init__(self, root: Path) -> None:
        self.root = os.path.realpath(root)  # a link as root would be watched as a link
        # Why there are no events at the moment, as a sentence; empty where there are.
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
        self._handler = _HintHandler(self._on_path, self._mark_lost)
        self._observer: InotifyObserver | None = None

    def watch_only(self, folders: Collection[str]) -> None:
        """Take hints only from these folders of the root (work in progress and the archive would wake the loop for nothing)."""
        self._folders = frozenset(folders)

    def start(self) -> bool:
        """Begin to watch; False, with ``trouble`` saying why, where the kernel or the root does not let us."""
        self._heard_canaries.clear()
        self._canaries.clear()
        observer = None
        try:
            observer = InotifyObserver()
            observer._emitter_class = partial(StageEmitter, top_folders=self._folders, on_path=self._handler.emit)  # type: ignore[assignment]
            observer.schedule(self._handler, self.root, recursive=True, event_filter=_EVENT_TYPES)
            observer.start()
        except OSError as error:
            if observer is not None:
                _stop_observer(observer)
            self.error = f"No events from {self.root} ({error.strerror or error}); the folders are read again and again instead."
            return False
        self._observer = observer
        for emitter in observer.emitters:
            self._hook_overflow(emitter)
        self.error = ""
        self._mark_lost()
        return True

    def stop(self) -> None:
        """End the watch; ``start`` may follow. What was heard until now can still be taken."""
        observer, self._observer = self._observer, None
        if observer is not None:
            _stop_observer(observer)

    def restart(self) -> bool:
        """A fresh watch, for when ``healthy`` says no or the root was replaced."""
        self.stop()
        return self.start()

    def close(self) -> None:
        """Stop and give back the wake descriptor."""
        self.stop()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def is_healthy(self) -> bool:
        """True while every thread that a hint passes through is alive (watchdog looks alive after its emitter has died)."""
        observer = self._observer
        if observer is None or not observer.is_alive() or not observer._inotify_fd.is_alive():
            return False
        return bool(observer.emitters) and all(emitter.is_alive() and emitter.should_keep_running() for emitter in observer.emitters)

    def is_watched(self, folder: str) -> bool:
        """Whether this very folder (a path) has its watch: there may be more folders than the kernel grants watches, or no permission."""
        observer = self._observer
        if observer is None:
            return False
        groups = [emitter._inotify for emitter in observer.emitters if isinstance(emitter, InotifyEmitter)]
        return any(group is not None and group._active_callbacks_by_path.get(os.fsencode(folder), -1) >= 0 for group in groups)

    def plant_canary(self, folder: str) -> bool:
        """Put a canary into a folder of the root and take it away again; ``events`` tells later whether it was heard.

        False where it could not be put there.
        """
        self._canary_count += 1
        path = os.path.join(self.root, folder, f"{_CANARY_PREFIX}{os.getpid()}-{self._canary_count}")
        with self._lock:
            self._canaries[folder] = path
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            os.unlink(path)
        except OSError:
            return False
        return True

    def heard_canary(self, folder: str) -> bool:
        """True once the last canary of this folder was heard."""
        with self._lock:
            return self._canaries.get(folder) in self._heard_canaries

    def take_hints(self, limit: int) -> tuple[list[str], bool]:
        """Up to ``limit`` nominated paths (absolute, each once, oldest first), and whether hints were lost since the last call."""
        with self._lock:
            if len(self._hints) <= limit:
                paths, self._hints = list(self._hints), {}
            else:
                paths = [path for path, _ in zip(self._hints, range(limit), strict=False)]
                for path in paths:
                    del self._hints[path]
            dirty, self._has_lost_hints = self._has_lost_hints, False
            if not self._hints and self._is_signalled:
                os.eventfd_read(self.fd)
                self._is_signalled = False
        return paths, dirty

    def has_hints(self) -> bool:
        """True while there is something to take."""
        return bool(self._hints) or self._has_lost_hints

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
            self._is_signalled = True
            os.eventfd_write(self.fd, 1)

    def _hook_overflow(self, emitter: object) -> None:
        """watchdog tells its handlers nothing when the kernel's queue overflows, and logging may be off: so its own method is wrapped."""
        group = emitter._inotify if isinstance(emitter, InotifyEmitter) else None
        if group is None:
            return
        rebuild = group.on_queue_overflow

        def overflowed() -> None:
            try:
                rebuild()
            except OSError:
                _log.exception("the watches could not be rebuilt after an overflow")
            finally:
                self._mark_lost()

        group.on_queue_overflow = overflowed  # type: ignore[method-assign]


def _stop_observer(observer: InotifyObserver) -> None:
    """Stop an observer whatever state its threads are in."""
    with contextlib.suppress(RuntimeError, OSError):
        observer.stop()
    with contextlib.suppress(RuntimeError, OSError):
        observer._inotify_fd.stop()
    for thread in (observer, observer._inotify_fd):
        if thread.ident is not None:
            thread.join(timeout=5)
