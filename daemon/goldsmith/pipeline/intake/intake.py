"""Find out what is in the stage folders and how far it has arrived: hints and sweeps in, bundles to look at out.

Everything here runs in the thread of the main loop. ``collect`` does a limited amount of work and never blocks; ``seconds_until_due`` says
how long the loop may sleep on ``watcher.fd``. Files are followed only on request: a resting picture costs only its name.
"""

from __future__ import annotations

import os
import posixpath
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from goldsmith.files import FileSignature, fold_name
from goldsmith.pipeline.intake.bundle import Bundle, BundleKey
from goldsmith.pipeline.intake.bundle_index import SYMLINK, UNCHECKED, BundleIndex
from goldsmith.pipeline.intake.file_names import classify
from goldsmith.pipeline.intake.file_tracker import FileState, FileTracker, SettleTimes, refusal_reason
from goldsmith.pipeline.intake.folder_scan import library_fingerprint
from goldsmith.pipeline.intake.ready_queue import ReadyQueue
from goldsmith.pipeline.intake.scanner import Scanner
from goldsmith.pipeline.intake.stage_folders import StageFolders, WatchMode
from goldsmith.pipeline.intake.watcher import Watcher

LIBRARY_FOLDER = "library"
# The most bundles that one ``collect`` returns.
MAX_BUNDLES = 512
_MAX_HINTS = 4096
_MAX_CHECKS = 512


@dataclass(frozen=True, slots=True)
class IntakeSettings(SettleTimes):
    """Settle times of files, and how often folders are read again, in seconds."""

    sweep_events: float = 600.0
    sweep_polling: float = 2.0


class Intake:
    """The stage folders under one root. Paths are POSIX strings relative to it."""

    def __init__(
        self,
        root: Path,
        folders: Sequence[str],
        watcher: Watcher,
        clock: Callable[[], float] = time.monotonic,
        settings: IntakeSettings | None = None,
        weights_stamp: Callable[[], object] = lambda: None,
    ) -> None:
        settings = settings or IntakeSettings()
        self._root = os.path.realpath(root)
        self._watcher = watcher
        self._clock = clock
        self._stage_folders = StageFolders(self._root, folders, watcher, settings.sweep_events, settings.sweep_polling)
        self._index = BundleIndex()
        self._files = FileTracker(self._root, settings, self._stage_folders.is_unchanged)
        self._ready = ReadyQueue(self._index)
        self._scanner = Scanner(self._root, self._index, self._files, self._ready, self._stage_folders, watcher.is_watched)
        self._library_fingerprint = 0
        self._weights_stamp = weights_stamp
        self._last_weights_stamp = weights_stamp()
        # Set when ``library/`` or the stores of weights changed; the reader resets it.
        self.library_changed = False

    # --- for the main loop

    def start(self) -> None:
        """Start watching and reading; the next calls of ``collect`` return the first bundles."""
        self._watcher.watch_only({*self._stage_folders.by_name, LIBRARY_FOLDER})
        self._library_fingerprint = library_fingerprint(os.path.join(self._root, LIBRARY_FOLDER))
        self._stage_folders.check(self._clock())

    def collect(self, now: float) -> list[BundleKey]:
        """Take in what has happened, and return the bundles to look at again, in order of arrival, at most ``MAX_BUNDLES``.

        A bundle is returned if it has an instruction and any of its files changed, arrived, left or made progress; and once more when it is
        gone or has lost its instruction.
        """
        if now >= self._stage_folders.next_check_at():
            self._stage_folders.check(now)
            self._check_weights()
        paths, lost = self._watcher.take_hints(_MAX_HINTS)
        self._stage_folders.note_canaries()
        self._start_sweeps(now, all_folders=lost)
        for path in paths:
            self._on_hint(path, now)
        self._scanner.continue_scan(now, self._clock)
        for path in self._files.check_due(now, _MAX_CHECKS):
            self._scanner.on_state_changed(path)
        return self._ready.pop(MAX_BUNDLES)

    def seconds_until_due(self, now: float) -> float:
        """Return the seconds until ``collect`` has work without a hint; hints make ``watcher.fd`` readable before that."""
        if self._watcher.has_hints() or self._scanner or self._ready:
            return 0.0
        due = (self._stage_folders.next_check_at(), self._stage_folders.next_sweep_at(), self._files.next_check_at())
        return max(0.0, min(when for when in due if when is not None) - now)

    # --- queries

    def bundle(self, key: BundleKey) -> Bundle | None:
        """Return the bundle as it is now; None once its picture (or, before that, its last sidecar) is gone."""
        return self._index.bundle(key)

    def bundle_containing(self, path: str) -> Bundle | None:
        """Return the bundle that a file belongs to."""
        return self._index.bundle_containing(path)

    def bundles(self) -> Iterator[Bundle]:
        """Yield every bundle, lone pictures included."""
        return self._index.bundles()

    def state(self, path: str) -> FileState:
        """Return the state of a file as of the last look; a file that is not followed is at most ``new``."""
        followed = self._files.state(path, self._clock())
        if followed is not None:
            return followed
        above, name = posixpath.split(path)
        place = self._index.folders.get(above)
        if place is None or name not in place.names:
            return FileState("gone")
        mark = place.names[name]
        if mark < UNCHECKED:
            return FileState("refused", reason=refusal_reason(path, stat.S_IFLNK if mark == SYMLINK else stat.S_IFIFO) or "")
        return FileState("new")

    def settles_at(self, path: str) -> float | None:
        """Return when a followed file settles (0 if it has), provided that nothing changes it; None if unknown."""
        return self._files.settles_at(path)

    def known_sha256(self, path: str) -> str | None:
        """Return the hash of a file that the daemon wrote and nothing has changed since."""
        return self._files.known_sha256(path)

    def is_followed(self, path: str) -> bool:
        """Return whether the file is followed."""
        return path in self._files

    def is_stem_taken(self, folder: str, campaign: str, stem: str) -> bool:
        """Return whether a picture or a brief with that (folded) stem already exists."""
        place = self._index.folders.get(posixpath.join(folder, campaign) if campaign else folder)
        if place is None:
            return False
        named = (classify(name) for name in place.names_for(hash(stem)))
        return any(each.role in ("picture", "brief") and fold_name(each.stem) == stem for each in named)

    @property
    def is_busy(self) -> bool:
        """True while there are files in transit, folders to read, or bundles to return."""
        return bool(self._scanner or self._ready or self._watcher.has_hints() or self._files.has_arriving())

    def watch_modes(self) -> dict[str, WatchMode]:
        """Return for each stage folder whether events come from it or it is polled."""
        return {folder: mount.watch_mode for folder, mount in self._stage_folders.by_name.items()}

    def weak_quiet_folders(self) -> frozenset[str]:
        """Return the stage folders without leases, where the weaker rule (a longer quiet time) applies."""
        return frozenset(self._files.weak_quiet_folders)

    def unavailable_folders(self) -> dict[str, str]:
        """Return the stage folders that are not available, each with its sentence."""
        return {folder: mount.unavailable_reason for folder, mount in self._stage_folders.by_name.items() if mount.unavailable_reason}

    def unreadable_folders(self) -> dict[str, str]:
        """Return the campaign folders that cannot be read, each with its sentence."""
        return dict(self._scanner.unreadable_folders)

    # --- instructions

    def follow(self, paths: Iterable[str]) -> None:
        """Follow these files: their bundle is returned whenever one of them changes its state."""
        now = self._clock()
        for path in paths:
            self._files.follow(path, now)
            if path in self._files:
                self._scanner.update_change_token(path)
            else:
                self._scanner.on_state_changed(path)

    def add_settled(self, path: str, sig: FileSignature, sha256: str) -> None:
        """Add a file that the daemon wrote itself: it is settled at once, and its bundle is returned."""
        if path.partition("/")[0] not in self._stage_folders.by_name:
            return
        self._files.add_settled(path, sig, sha256, self._clock())
        if path in self._files:
            above, name = posixpath.split(path)
            self._index.get_or_create(above).add(name, UNCHECKED)
            self._scanner.update_change_token(path)
            self._scanner.enqueue(path)

    def recheck(self, path: str) -> None:
        """Look at this file again now, and return its bundle."""
        self._on_hint(os.path.join(self._root, path), self._clock())
        self._scanner.enqueue(path)

    def forget(self, path: str) -> None:
        """Forget a file that the daemon removed itself or that is no longer needed; its bundle is not returned for that."""
        self._files.unfollow(path)
        above, name = posixpath.split(path)
        place = self._index.folders.get(above)
        if place is not None and name in place.names and not os.path.lexists(os.path.join(self._root, path)):
            place.remove(name)
            self._ready.discard(place, name)

    def _on_hint(self, path: str, now: float) -> None:
        if path.startswith(os.path.join(self._root, LIBRARY_FOLDER)):
            self.library_changed = True
        self._scanner.on_hint(path, now)

    def _check_weights(self) -> None:
        stored = self._weights_stamp()
        self.library_changed = self.library_changed or stored != self._last_weights_stamp
        self._last_weights_stamp = stored

    def _start_sweeps(self, now: float, *, all_folders: bool) -> None:
        due = self._stage_folders.take_due_sweeps(now)
        if all_folders:
            due = self._stage_folders.available()
        for mount in due:
            self._scanner.start_sweep(mount, now)
        if due:
            library = library_fingerprint(os.path.join(self._root, LIBRARY_FOLDER))
            self.library_changed = self.library_changed or library != self._library_fingerprint
            self._library_fingerprint = library
