"""The scanner: keeps the index in step with the disk by hints and scans, in bounded parts."""

from __future__ import annotations

import math
import os
import posixpath
import stat
from collections.abc import Callable, Iterator
from itertools import islice

from goldsmith.files import display_name, is_ignored_file, is_ignored_folder
from goldsmith.pipeline.intake.bundle_index import UNCHECKED, BundleIndex, FolderIndex, change_token
from goldsmith.pipeline.intake.file_names import classify, group_keys
from goldsmith.pipeline.intake.file_tracker import FileTracker
from goldsmith.pipeline.intake.folder_scan import scan_folder
from goldsmith.pipeline.intake.near_misses import is_near_miss
from goldsmith.pipeline.intake.ready_queue import ReadyQueue
from goldsmith.pipeline.intake.stage_folders import StageFolder, StageFolders
from goldsmith.pipeline.turns import FolderTurns, TurnQueue
from goldsmith.root_folder import MAX_FOLDER_DEPTH, RootFolder

# How many names one call of ``continue_scan`` processes at most, and how many of one folder before another campaign has its turn.
_MAX_ENTRIES = 4096
_MAX_NAMES_PER_TURN = 64
# Seconds until a folder that could not be read is scanned again, doubled with each failure.
_FIRST_RETRY_SECONDS, _MAX_RETRY_SECONDS = 0.5, 60.0


class Scanner:
    """Keeps the index in step with the disk. ``is_watched`` tells whether the kernel watches a folder (absolute path)."""

    def __init__(
        self,
        root: str,
        index: BundleIndex,
        files: FileTracker,
        ready: ReadyQueue,
        stage_folders: StageFolders,
        is_watched: Callable[[str], bool],
        turns: FolderTurns,
    ) -> None:
        self._root = root
        self._root_folder = RootFolder(root)
        self._index = index
        self._files = files
        self._ready = ready
        self._stage_folders = stage_folders
        self._is_watched = is_watched
        self._turns = turns
        # Folders to scan, and the names that a scan found in each folder, in fair turns.
        self._pending_folders: TurnQueue[str, str] = TurnQueue()
        self._pending_names: TurnQueue[int, tuple[str, Iterator[str]]] = TurnQueue()
        self._pending_count = 0
        # Campaign folders that cannot be read, each with a sentence.
        self._unreadable_folders: dict[str, str] = {}
        # Folders that the system refused to read, in whole or in part: when each is scanned again, and the seconds from the last try.
        self._retries: dict[str, tuple[float, float]] = {}
        # Folders at the greatest depth that have subfolders.
        self._folders_above_unsearched: set[str] = set()
        # How many names have come and gone so far.
        self.change_count = 0

    def unreadable_folders(self) -> dict[str, str]:
        """Return the campaign folders that cannot be read or searched completely, each with a sentence."""
        campaigns = {"/".join(path.split("/")[:2]) for path in self._folders_above_unsearched}
        return {**self._unreadable_folders, **{campaign: too_deep_sentence(campaign) for campaign in campaigns}}

    def next_retry_at(self) -> float | None:
        """Return when a folder that could not be read is scanned again, or None."""
        return min((at for at, _ in self._retries.values()), default=None)

    def _retry_later(self, path: str, now: float) -> None:
        """Scan this folder again after a while: a disk that works again sends no event."""
        _, delay = self._retries.get(path, (0.0, 0.0))
        delay = min(2 * delay or _FIRST_RETRY_SECONDS, _MAX_RETRY_SECONDS)
        self._retries[path] = (now + delay, delay)

    def _take_due_retries(self, now: float) -> None:
        for path in [path for path, (at, _) in self._retries.items() if at <= now]:
            self._retries[path] = (math.inf, self._retries[path][1])  # the scan ends it, or sets the next time
            self._add_pending(path)

    def __bool__(self) -> bool:
        """Return whether there is something left to scan."""
        return bool(self._pending_folders or self._pending_names)

    def on_hint(self, path: str, now: float) -> None:
        """Check the path of a hint, which may have changed again since."""
        relative = path[len(self._root) + 1 :]
        top, *folders = relative.split("/")
        if top not in self._stage_folders.by_name or self._stage_folders.is_unavailable(top) or any(map(is_ignored_folder, folders[:-1])):
            return
        parent, name = posixpath.split(relative)
        if parent and parent not in self._index.folders:
            self._scan_unknown_ancestor(relative)
            return
        try:
            status = self._root_folder.lstat(relative)
        except (FileNotFoundError, NotADirectoryError):
            self._handle_missing(parent, name)
            return
        except OSError:
            self._retry_later(parent or relative, now)
            return
        if stat.S_ISDIR(status.st_mode):
            if not parent or not is_ignored_folder(name):
                self._remove_name(parent, name)
                self._add_pending(relative)
        elif parent and (not is_ignored_file(name) or is_near_miss(name)):
            self._process_file(self._index.folders[parent], name, change_token(status), now)

    def _scan_unknown_ancestor(self, relative: str) -> None:
        """Scan the topmost unknown folder above the path of a hint; the folders below follow from that."""
        parts = relative.split("/")
        for depth in range(1, len(parts)):
            path = "/".join(parts[:depth])
            if path not in self._index.folders:
                self._add_pending(path)
                return

    def _add_pending(self, path: str) -> None:
        """Scan this folder later, unless it lies too deep."""
        if path.count("/") <= MAX_FOLDER_DEPTH:
            self._queue_scan(path)
        else:
            self._folders_above_unsearched.add(posixpath.dirname(path))

    def _process_file(self, folder: FolderIndex, name: str, change_token: int, now: float) -> None:
        """Process a file that exists, which may be new, changed or unchanged."""
        if folder.path + "/" + name in self._index.folders:
            self._remove_folder(folder.path + "/" + name)
        before = folder.names.get(name)
        if before is None:
            folder.add(name, change_token)
            if name not in folder.names:
                return
            self.change_count += 1
        path = posixpath.join(folder.path, name)
        role = classify(name).role
        if role == "campaign":
            self._files.follow(path, now)
        is_followed = path in self._files
        if role == "picture" and not is_followed and change_token > UNCHECKED:
            change_token = UNCHECKED
        folder.names[name] = change_token
        has_advanced = self._files.check(path, now) if is_followed else role == "picture" or before != change_token
        if before is None or has_advanced:
            self.enqueue(path)

    def _handle_missing(self, parent: str, name: str) -> None:
        """Process a path that does not exist any more. If its mount is gone too, the index keeps it."""
        relative = posixpath.join(parent, name)
        top = relative.partition("/")[0]
        if not parent or not self._stage_folders.is_unchanged(top):
            return
        self._remove_folder(relative)
        self._remove_name(parent, name)

    def _remove_name(self, parent: str, name: str) -> None:
        folder = self._index.folders.get(parent)
        if folder is None or name not in folder.names:
            return
        path = posixpath.join(parent, name)
        self._files.unfollow(path)
        self._ready.enqueue_removed(folder, name)
        self.enqueue(path)
        folder.remove(name)
        self.change_count += 1

    def _remove_folder(self, path: str) -> None:
        """Remove a folder that is gone, with all names in and below it."""
        self.change_count += 1
        for folder in self._index.remove_subtree(path):
            self._unreadable_folders.pop(folder.path, None)
            self._retries.pop(folder.path, None)
            self._folders_above_unsearched.discard(folder.path)
            self._stage_folders.by_name[folder.stage_folder].unwatched_folders.discard(folder.path)
            for name in folder.names:
                self._files.unfollow(posixpath.join(folder.path, name))
                self._ready.enqueue_removed(folder, name)

    def on_state_changed(self, path: str) -> None:
        """Process a followed file that has advanced, changed or gone."""
        if path in self._files:
            self.enqueue(path)
        else:
            self._handle_missing(*posixpath.split(path))

    def enqueue(self, path: str) -> None:
        """Queue the bundle of this file."""
        parent, name = posixpath.split(path)
        folder = self._index.folders.get(parent)
        if folder is None:
            return
        if classify(name).role == "campaign":
            self._ready.enqueue_campaign(path)
        else:
            self._ready.enqueue(folder, name)

    def update_change_token(self, path: str) -> None:
        """Store the change token of a followed file, so that a sweep notices a change."""
        parent, name = posixpath.split(path)
        folder = self._index.folders.get(parent)
        state = self._files.state(path, 0.0)
        if folder is not None and name in folder.names and state is not None and state.sig is not None:
            folder.names[name] = abs(hash(state.sig)) or 1

    def _absolute(self, path: str) -> str:
        return os.path.join(self._root, path)

    def start_sweep(self, stage_folder: StageFolder, now: float) -> None:
        """Start to scan a whole stage folder again."""
        stage_folder.swept_at, stage_folder.sweep_seconds = now, 0.0
        self._queue_scan(stage_folder.name)

    def _queue_scan(self, path: str) -> None:
        turn = self._turns.of_folder(path)
        if not self._pending_folders.contains(path, turn):
            self._pending_count += 1
            self._pending_folders.add(path, path, turn, self._pending_count)

    def continue_scan(self, now: float, clock: Callable[[], float], is_over: Callable[[], bool] = lambda: False) -> None:
        """Scan folders and process names in turn, up to a bounded number or until ``is_over``."""
        remaining = _MAX_ENTRIES
        self._take_due_retries(now)
        while remaining > 0 and self and not is_over():
            if self._pending_names:
                remaining -= self._process_names(*self._pending_names.pop(), now, min(remaining, _MAX_NAMES_PER_TURN))
            if not self._pending_folders:
                continue
            path = self._pending_folders.pop()
            stage_folder = self._stage_folders.by_name[path.partition("/")[0]]
            if stage_folder.unavailable_reason:
                continue
            started_at = clock()
            self._scan(path, now)
            stage_folder.sweep_seconds += clock() - started_at
            remaining -= 1
            if not stage_folder.kind.is_shared and path in self._index.folders:
                unwatched = stage_folder.unwatched_folders
                (unwatched.discard if self._is_watched(self._absolute(path)) else unwatched.add)(path)

    def _scan(self, path: str, now: float) -> None:
        """Scan one folder and process the differences."""
        folder = self._index.folders.get(path) or FolderIndex(path)
        try:
            result = scan_folder(self._root_folder, folder)
        except (FileNotFoundError, NotADirectoryError):
            self._handle_missing(*posixpath.split(path))
            return
        except OSError as error:
            self._unreadable_folders[path] = f"{path}/ cannot be read ({error.strerror})."
            self._retry_later(path, now)
            return
        self._unreadable_folders.pop(path, None)
        self._retries.pop(path, None)
        self._folders_above_unsearched.discard(path)
        folder = self._index.get_or_create(path)
        for name in result.vanished:
            self._remove_name(path, name)
        for child in folder.children - {posixpath.join(path, name) for name in result.folders}:
            self._remove_folder(child)
        for name in result.changed:
            self._name_changed(folder, name, now)
        if result.appeared:
            self._queue_names(path, iter(sorted(result.appeared)))
        for name in sorted(result.folders):
            self._add_pending(posixpath.join(path, name))

    def _queue_names(self, path: str, names: Iterator[str]) -> None:
        self._pending_count += 1
        self._pending_names.add(self._pending_count, (path, names), self._turns.of_folder(path), self._pending_count)

    def _process_names(self, path: str, names: Iterator[str], now: float, limit: int) -> int:
        """Process the next names that a scan found; return how many."""
        folder = self._index.folders.get(path)
        batch = list(islice(names, limit)) if folder is not None else []
        if len(batch) == limit:
            self._queue_names(path, names)
        if folder is not None and batch:
            try:
                with self._root_folder.opened_folder(path) as fd:
                    for name in batch:
                        self._process_name(folder, name, fd, now)
            except (FileNotFoundError, NotADirectoryError):
                self._handle_missing(*posixpath.split(path))
            except OSError:
                self._retry_later(path, now)
        return len(batch)

    def _name_changed(self, folder: FolderIndex, name: str, now: float) -> None:
        path = posixpath.join(folder.path, name)
        if path not in self._files:
            self.enqueue(path)
        elif self._files.check(path, now):
            self.on_state_changed(path)

    def _process_name(self, folder: FolderIndex, name: str, fd: int, now: float) -> None:
        """Process a name that a scan found in the open folder ``fd``. It may be gone again, because scans are processed in parts."""
        if not group_keys(name) and classify(name).role != "campaign" and not is_near_miss(name):
            return
        try:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return
        except OSError:
            self._retry_later(folder.path, now)
            return
        if not stat.S_ISDIR(status.st_mode):
            self._process_file(folder, name, change_token(status), now)


def too_deep_sentence(campaign: str) -> str:
    """Return the sentence about a campaign with folders that are not searched."""
    return f"{display_name(campaign)}/ has folders more than {MAX_FOLDER_DEPTH} deep: pictures in those are not found. Move them up."
