"""Keep the index in step with the disk: process hints and readings, a limited amount at a time."""

from __future__ import annotations

import os
import posixpath
import stat
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from itertools import islice

from goldsmith.files import is_ignored_file, is_ignored_folder
from goldsmith.pipeline.intake.bundle_index import UNCHECKED, BundleIndex, FolderIndex, change_token
from goldsmith.pipeline.intake.file_names import classify, group_keys
from goldsmith.pipeline.intake.file_tracker import FileTracker
from goldsmith.pipeline.intake.folder_scan import scan_folder
from goldsmith.pipeline.intake.ready_queue import ReadyQueue
from goldsmith.pipeline.intake.stage_folders import StageFolder, StageFolders

# The most names that one call of ``continue_scan`` processes.
_MAX_ENTRIES = 4096


class Scanner:
    """Update the index from the disk. ``is_watched`` says whether the kernel watches a folder (absolute path)."""

    def __init__(
        self,
        root: str,
        index: BundleIndex,
        files: FileTracker,
        ready: ReadyQueue,
        stage_folders: StageFolders,
        is_watched: Callable[[str], bool],
    ) -> None:
        self._root = root
        self._index = index
        self._files = files
        self._ready = ready
        self._stage_folders = stage_folders
        self._is_watched = is_watched
        self._pending_folders: OrderedDict[str, None] = OrderedDict()
        self._pending_names: deque[tuple[str, Iterator[str]]] = deque()
        # Campaign folders that cannot be read, each with its sentence.
        self.unreadable_folders: dict[str, str] = {}

    def __bool__(self) -> bool:
        """Return whether there is something left to read."""
        return bool(self._pending_folders or self._pending_names)

    def on_hint(self, path: str, now: float) -> None:
        """Look at the path of a hint, whatever has become of it since."""
        relative = path[len(self._root) + 1 :]
        top, *folders = relative.split("/")
        if top not in self._stage_folders.by_name or self._stage_folders.is_unavailable(top) or any(map(is_ignored_folder, folders[:-1])):
            return
        above, name = posixpath.split(relative)
        if above and above not in self._index.folders:
            self._scan_unknown_ancestor(relative)
            return
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            self._handle_missing(above, name)
            return
        except OSError:
            return
        if stat.S_ISDIR(status.st_mode):
            if not above or not is_ignored_folder(name):
                self._remove_name(above, name)
                self._pending_folders[relative] = None
        elif above and not is_ignored_file(name):
            self._file_seen(self._index.folders[above], name, change_token(status), now)

    def _scan_unknown_ancestor(self, relative: str) -> None:
        """Read the uppermost unknown folder of a hint; the rest follows."""
        parts = relative.split("/")
        for depth in range(1, len(parts)):
            path = "/".join(parts[:depth])
            if path not in self._index.folders:
                self._pending_folders[path] = None
                return

    def _file_seen(self, folder: FolderIndex, name: str, change_token: int, now: float) -> None:
        """Process a file that exists: new, changed or unchanged."""
        if folder.path + "/" + name in self._index.folders:
            self._remove_folder(folder.path + "/" + name)
        before = folder.names.get(name)
        if before is None:
            folder.add(name, change_token)
            if name not in folder.names:
                return
        path = posixpath.join(folder.path, name)
        role = classify(name).role
        if role == "campaign":
            self._files.follow(path, now)
        followed = path in self._files
        if role == "picture" and not followed and change_token > UNCHECKED:
            change_token = UNCHECKED
        folder.names[name] = change_token
        further = self._files.check(path, now) if followed else role == "picture" or before != change_token
        if before is None or further:
            self.enqueue(path)

    def _handle_missing(self, parent: str, name: str) -> None:
        """Process a name that is gone. A folder that went with its mount stays in the index."""
        relative = posixpath.join(parent, name)
        top = relative.partition("/")[0]
        if not parent or not self._stage_folders.is_unchanged(top):
            return
        self._remove_folder(relative)
        self._remove_name(parent, name)

    def _remove_name(self, parent: str, name: str) -> None:
        place = self._index.folders.get(parent)
        if place is None or name not in place.names:
            return
        path = posixpath.join(parent, name)
        self._files.unfollow(path)
        self._ready.enqueue_removed(place, name)
        self.enqueue(path)
        place.remove(name)

    def _remove_folder(self, path: str) -> None:
        """Remove a folder and everything in it."""
        for place in self._index.remove_subtree(path):
            self.unreadable_folders.pop(place.path, None)
            self._stage_folders.by_name[place.stage_folder].unwatched_folders.discard(place.path)
            for name in place.names:
                self._files.unfollow(posixpath.join(place.path, name))
                self._ready.enqueue_removed(place, name)

    def on_state_changed(self, path: str) -> None:
        """Process a followed file whose state changed."""
        if path in self._files:
            self.enqueue(path)
        else:
            self._handle_missing(*posixpath.split(path))

    def enqueue(self, path: str) -> None:
        """Queue everything that belongs together with this file."""
        above, name = posixpath.split(path)
        place = self._index.folders.get(above)
        if place is None:
            return
        if classify(name).role == "campaign":
            self._ready.enqueue_campaign(path)
        else:
            self._ready.enqueue(place, name)

    def update_change_token(self, path: str) -> None:
        """Update the token of a followed file, so that a sweep sees it change."""
        above, name = posixpath.split(path)
        place = self._index.folders.get(above)
        state = self._files.state(path, 0.0)
        if place is not None and name in place.names and state is not None and state.sig is not None:
            place.names[name] = abs(hash(state.sig)) or 1

    def _absolute(self, path: str) -> str:
        return os.path.join(self._root, path)

    def start_sweep(self, stage_folder: StageFolder, now: float) -> None:
        """Start to read all of a stage folder again."""
        stage_folder.swept_at, stage_folder.sweep_seconds = now, 0.0
        self._pending_folders[stage_folder.name] = None

    def continue_scan(self, now: float, clock: Callable[[], float]) -> None:
        """Read some of what is left."""
        left = _MAX_ENTRIES
        while left > 0 and self:
            if self._pending_names:
                left -= self._process_names(*self._pending_names[0], now, left)
                continue
            path, _ = self._pending_folders.popitem(last=False)
            mount = self._stage_folders.by_name[path.partition("/")[0]]
            if mount.unavailable_reason:
                continue
            began = clock()
            self._scan(path, now)
            mount.sweep_seconds += clock() - began
            left -= 1
            if not mount.is_network and path in self._index.folders:
                (mount.unwatched_folders.discard if self._is_watched(self._absolute(path)) else mount.unwatched_folders.add)(path)

    def _scan(self, path: str, now: float) -> None:
        """Read one folder and process the differences."""
        place = self._index.folders.get(path) or FolderIndex(path)
        try:
            swept = scan_folder(self._absolute(path), place)
        except (FileNotFoundError, NotADirectoryError):
            self._handle_missing(*posixpath.split(path))
            return
        except OSError as error:
            self.unreadable_folders[path] = f"{path}/ cannot be read ({error.strerror})."
            return
        self.unreadable_folders.pop(path, None)
        place = self._index.get_or_create(path)
        for name in swept.vanished:
            self._remove_name(path, name)
        for child in place.children - {posixpath.join(path, name) for name in swept.folders}:
            self._remove_folder(child)
        for name in swept.changed:
            self._name_changed(place, name, now)
        if swept.appeared:
            self._pending_names.append((path, iter(sorted(swept.appeared))))
        self._pending_folders.update(dict.fromkeys(posixpath.join(path, name) for name in sorted(swept.folders)))

    def _process_names(self, path: str, names: Iterator[str], now: float, limit: int) -> int:
        """Process the next names of a reading, and return how many."""
        place = self._index.folders.get(path)
        some = list(islice(names, limit)) if place is not None else []
        if place is None or len(some) < limit:
            self._pending_names.popleft()
        for name in some:
            if place is not None:
                self._name_appeared(place, name, now)
        return len(some)

    def _name_changed(self, folder: FolderIndex, name: str, now: float) -> None:
        path = posixpath.join(folder.path, name)
        if path not in self._files:
            self.enqueue(path)
        elif self._files.check(path, now):
            self.on_state_changed(path)

    def _name_appeared(self, folder: FolderIndex, name: str, now: float) -> None:
        """Process a name of a reading; it may be gone again, because readings are processed piece by piece."""
        if not group_keys(name) and classify(name).role != "campaign":
            return
        try:
            status = os.lstat(self._absolute(posixpath.join(folder.path, name)))
        except OSError:
            return
        if not stat.S_ISDIR(status.st_mode):
            self._file_seen(folder, name, change_token(status), now)
