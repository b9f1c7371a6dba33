"""The intake: processes hints and scans, and returns the bundles that must be checked.

Only the main loop's thread calls it. ``collect`` does a bounded amount of work and never waits. ``seconds_until_due`` tells how long the
loop may sleep on ``watcher.fd``. A file is checked only after it is followed, so a resting picture costs nothing but its name.
"""

from __future__ import annotations

import itertools
import os
import posixpath
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from goldsmith.files import FileSignature, fold_name
from goldsmith.pipeline.intake.bundle import Bundle, BundleKey
from goldsmith.pipeline.intake.bundle_index import SYMLINK, UNCHECKED, BundleIndex, FolderIndex
from goldsmith.pipeline.intake.file_names import classify
from goldsmith.pipeline.intake.file_tracker import FileState, FileTracker, SettleTimes, refusal_reason
from goldsmith.pipeline.intake.folder_scan import library_fingerprint
from goldsmith.pipeline.intake.ready_queue import ReadyQueue
from goldsmith.pipeline.intake.scanner import Scanner
from goldsmith.pipeline.intake.stage_folders import StageFolders, WatchMode
from goldsmith.pipeline.intake.watcher import Watcher
from goldsmith.pipeline.turns import FolderTurns, TurnQueue
from goldsmith.root_folder import RootFolder

LIBRARY_FOLDER = "library"
# How many bundles one ``collect`` returns at most.
MAX_BUNDLES = 512
_MAX_HINTS = 4096
_MAX_CHECKS = 512
# Seconds that one ``collect`` spends at most on each of hints, scans and checks of files, so that the main loop goes on.
_MAX_SECONDS = 0.015
# How many hints and files it looks at in any case: on a machine without time to spare, the cost of each turn would be all it pays for.
_MIN_STEPS = 64


@dataclass(frozen=True, slots=True)
class IntakeSettings(SettleTimes):
    """When files count as complete, and how often folders are scanned again, in seconds."""

    sweep_events: float = 600.0
    sweep_polling: float = 2.0


class Intake:
    """The stage folders under one root. Paths are POSIX strings relative to the root.

    ``weights_stamp`` returns a value that changes when weights arrive.
    """

    def __init__(
        self,
        root: Path,
        folders: Sequence[str],
        watcher: Watcher,
        clock: Callable[[], float] = time.monotonic,
        settings: IntakeSettings | None = None,
        weights_stamp: Callable[[], object] = lambda: None,
        is_placed: Callable[[str], bool] = lambda path: False,
    ) -> None:
        """``is_placed``: whether Goldsmith put the file of that path there."""
        settings = settings or IntakeSettings()
        self._root = os.path.realpath(root)
        self._root_folder = RootFolder(self._root)
        self._watcher = watcher
        self._clock = clock
        self._stage_folders = StageFolders(self._root, folders, watcher, settings.sweep_events, settings.sweep_polling)
        self._index = BundleIndex(is_placed)
        self._turns = FolderTurns(folders)
        self._files = FileTracker(self._root, settings, self._stage_folders.is_unchanged, self._turns)
        self._ready = ReadyQueue(self._index, self._turns)
        self._scanner = Scanner(self._root, self._index, self._files, self._ready, self._stage_folders, watcher.is_watched, self._turns)
        # Hints that are not processed yet, in fair turns.
        self._hints: TurnQueue[str, str] = TurnQueue()
        self._hint_count = 0
        self._library_fingerprint = 0
        self._weights_stamp = weights_stamp
        self._last_weights_stamp = weights_stamp()
        # How many bundles ``collect`` has returned so far.
        self._returned_count = 0
        # Set when a file in ``library/`` changed, or the result of ``weights_stamp``. The reader resets it.
        self.library_changed = False

    # --- for the main loop

    def start(self) -> None:
        """Start to watch and to scan; the next calls of ``collect`` return the first bundles."""
        self._watcher.watch_only({*self._stage_folders.by_name, LIBRARY_FOLDER})
        self._library_fingerprint = library_fingerprint(self._root_folder, LIBRARY_FOLDER)
        self._stage_folders.check(self._clock())

    def collect(self, now: float, limit: int = MAX_BUNDLES) -> list[BundleKey]:
        """Process what has happened. Return the bundles to check again, in fair turns, at most ``limit``.

        A bundle is returned if it has an instruction and a file of it came, changed, went, or advanced. It is returned once more when it is
        gone or has lost its instruction.
        """
        if now >= self._stage_folders.next_check_at():
            self._stage_folders.check(now)
            self._check_weights()
        lost = self._take_hints()
        self._stage_folders.note_canaries()
        self._start_sweeps(now, all_folders=lost)
        is_over = self._deadline()
        while self._hints and not is_over():
            self._on_hint(self._hints.pop(), now)
        self._scanner.continue_scan(now, self._clock, self._deadline(1))
        for path in self._files.check_due(now, _MAX_CHECKS, self._deadline()):
            self._scanner.on_state_changed(path)
        keys = self._ready.pop(limit)
        self._returned_count += len(keys)
        return keys

    def _take_hints(self) -> bool:
        """Take hints from the watcher, and return whether hints were lost. They wait here, where the order is fair."""
        paths, lost = self._watcher.take_hints(_MAX_HINTS)
        for path in paths:
            turn = self._turns.of_folder(os.path.dirname(path)[len(self._root) + 1 :])
            if not self._hints.contains(path, turn):
                self._hint_count += 1
                self._hints.add(path, path, turn, self._hint_count)
        return lost

    def _deadline(self, min_steps: int = _MIN_STEPS) -> Callable[[], bool]:
        """Return a function that is true when this part of ``collect`` has had its time, and was asked ``min_steps`` times before."""
        end, steps = self._clock() + _MAX_SECONDS, itertools.count()
        return lambda: next(steps) >= min_steps and self._clock() >= end

    def seconds_until_due(self, now: float) -> float:
        """Return the seconds until ``collect`` has something to do without a hint; a hint makes ``watcher.fd`` readable before that."""
        if self._hints or self._watcher.has_hints() or self._scanner or self._ready:
            return 0.0
        due = (
            *(self._stage_folders.next_check_at(), self._stage_folders.next_sweep_at()),
            *(self._files.next_check_at(), self._scanner.next_retry_at()),
        )
        return max(0.0, min(when for when in due if when is not None) - now)

    # --- queries

    def bundle(self, key: BundleKey) -> Bundle | None:
        """Return the bundle as it is now; None once its picture (or, before that, its last sidecar) is gone."""
        return self._index.bundle(key)

    def bundle_containing(self, path: str) -> Bundle | None:
        """Return the bundle that contains this file."""
        return self._index.bundle_containing(path)

    def bundles(self) -> Iterator[Bundle]:
        """Yield every bundle, lone pictures included."""
        return self._index.bundles()

    def state(self, path: str) -> FileState:
        """Return how far a file has arrived, by the last check. A file that is not followed is at most ``new``."""
        followed = self._files.state(path, self._clock())
        if followed is not None:
            return followed
        parent, name = posixpath.split(path)
        folder = self._index.folders.get(parent)
        if folder is None or name not in folder.names:
            return FileState("gone")
        token = folder.names[name]
        if token < UNCHECKED:
            return FileState("refused", reason=refusal_reason(path, stat.S_IFLNK if token == SYMLINK else stat.S_IFIFO) or "")
        return FileState("new")

    def settles_at(self, path: str) -> float | None:
        """Return when a followed file settles if it does not change (0 if it has settled); None if unknown."""
        return self._files.settles_at(path)

    def known_sha256(self, path: str) -> str | None:
        """Return the hash of a file that the daemon has written and that has not changed since; else None."""
        return self._files.known_sha256(path)

    def is_followed(self, path: str) -> bool:
        """Return whether this file is followed."""
        return path in self._files

    def names_with_stem(self, folder: str, campaign: str, stem: str) -> list[str]:
        """Return the names of the pictures and briefs with this (folded) stem in a folder."""
        index = self._index.folders.get(posixpath.join(folder, campaign) if campaign else folder)
        names = () if index is None else index.names_for(hash(stem))
        return [name for name in names if classify(name).role in ("picture", "brief") and fold_name(classify(name).stem) == stem]

    @property
    def change_count(self) -> int:
        """A number that grows whenever a name comes or goes, or a bundle must be checked again."""
        return self._scanner.change_count + self._returned_count

    def is_present(self, stage_folder: str) -> bool:
        """Return whether a stage's folder is there, and is the one that is watched: then files may be written into it."""
        return not self._stage_folders.is_unavailable(stage_folder) and self._stage_folders.is_unchanged(stage_folder)

    def folder(self, path: str) -> FolderIndex | None:
        """Return the names in a folder; None if it is not known."""
        return self._index.folders.get(path)

    def folders_in(self, stage_folder: str) -> list[FolderIndex]:
        """Return the names in a stage's folder and in its campaign folders, folder by folder."""
        return self._index.subtree(stage_folder)

    def instructed_bundles(self) -> Collection[BundleKey]:
        """Return the keys of the bundles that have an instruction."""
        return self._ready.instructed_keys

    @property
    def is_busy(self) -> bool:
        """True while files are arriving, folders must be scanned, or bundles must be returned."""
        return bool(self._scanner or self._ready or self._hints or self._watcher.has_hints() or self._files.has_arriving())

    def watch_modes(self) -> dict[str, WatchMode]:
        """Return for each stage folder whether events arrive or it is scanned at intervals."""
        return {name: folder.watch_mode for name, folder in self._stage_folders.by_name.items()}

    def weak_quiet_folders(self) -> frozenset[str]:
        """Return the stage folders where no lease tells of writers, so that the weaker rule applies: a longer time without a change."""
        return frozenset(self._files.weak_quiet_folders)

    def unavailable_folders(self) -> dict[str, str]:
        """Return the stage folders that are not there, each with a sentence."""
        return {name: folder.unavailable_reason for name, folder in self._stage_folders.by_name.items() if folder.unavailable_reason}

    def unreadable_folders(self) -> dict[str, str]:
        """Return the campaign folders that cannot be read or searched completely, each with a sentence."""
        return self._scanner.unreadable_folders()

    # --- changes by the daemon itself

    def follow(self, paths: Iterable[str]) -> None:
        """Follow these files: their bundle is returned whenever one of them advances or changes."""
        now = self._clock()
        for path in paths:
            self._files.follow(path, now)
            if path in self._files:
                self._scanner.update_change_token(path)
            else:
                self._scanner.on_state_changed(path)

    def add_settled(self, path: str, sig: FileSignature, sha256: str) -> None:
        """Add a file that the daemon itself has written: it is settled at once, and its bundle is returned."""
        if path.partition("/")[0] not in self._stage_folders.by_name:
            return
        self._files.add_settled(path, sig, sha256, self._clock())
        if path in self._files:
            parent, name = posixpath.split(path)
            self._index.get_or_create(parent).add(name, UNCHECKED)
            self._scanner.update_change_token(path)
            self._scanner.enqueue(path)

    def recheck(self, path: str) -> None:
        """Check this file now, and return its bundle."""
        self._on_hint(os.path.join(self._root, path), self._clock())
        self._scanner.enqueue(path)

    def forget(self, path: str) -> None:
        """Forget a file that the daemon itself has removed, or that is not needed any more. This does not return its bundle."""
        self._files.unfollow(path)
        parent, name = posixpath.split(path)
        folder = self._index.folders.get(parent)
        if folder is not None and name in folder.names and not self._root_folder.exists(path):
            folder.remove(name)
            self._ready.discard(folder, name)

    def _on_hint(self, path: str, now: float) -> None:
        if path.startswith(os.path.join(self._root, LIBRARY_FOLDER)):
            self.library_changed = True
        self._scanner.on_hint(path, now)

    def _check_weights(self) -> None:
        stamp = self._weights_stamp()
        self.library_changed = self.library_changed or stamp != self._last_weights_stamp
        self._last_weights_stamp = stamp

    def _start_sweeps(self, now: float, *, all_folders: bool) -> None:
        due = self._stage_folders.take_due_sweeps(now)
        if all_folders:
            due = self._stage_folders.available()
        for folder in due:
            self._scanner.start_sweep(folder, now)
        if due:
            fingerprint = library_fingerprint(self._root_folder, LIBRARY_FOLDER)
            self.library_changed = self.library_changed or fingerprint != self._library_fingerprint
            self._library_fingerprint = fingerprint
