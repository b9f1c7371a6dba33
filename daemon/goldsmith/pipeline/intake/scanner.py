"""Keeps the index in step with the disk: what a hint nominated, what a re-reading found, one bounded piece at a time."""

from __future__ import annotations

import os
import posixpath
import stat
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from itertools import islice

from goldsmith.files import is_litter, is_litter_folder
from goldsmith.pipeline.intake.completeness import Completeness
from goldsmith.pipeline.intake.index import UNSEEN, Index, Place, mark_of
from goldsmith.pipeline.intake.mounts import Mount, Mounts
from goldsmith.pipeline.intake.names import anchors, classify
from goldsmith.pipeline.intake.ready_queue import Surfacing
from goldsmith.pipeline.intake.sweep import sweep

_ENTRIES = 4096
"""Names that one call of ``read_on`` takes in, at most."""


class Arrivals:
    """Between the disk and the index. ``watched`` says whether the kernel watches a folder (absolute path)."""

    def __init__(
        self,
        root: str,
        index: Index,
        files: Completeness,
        surfacing: Surfacing,
        mounts: Mounts,
        watched: Callable[[str], bool],
    ) -> None:
        self._root = root
        self._index = index
        self._files = files
        self._surfacing = surfacing
        self._mounts = mounts
        self._watched = watched
        self._reading: OrderedDict[str, None] = OrderedDict()
        self._appearing: deque[tuple[str, Iterator[str]]] = deque()
        self.unreadable: dict[str, str] = {}
        """Campaign folders that cannot be read, each with its sentence."""

    def __bool__(self) -> bool:
        """True while there is something left to read."""
        return bool(self._reading or self._appearing)

    def hear(self, path: str, now: float) -> None:
        """Look at what a hint nominated, whatever became of it since."""
        relative = path[len(self._root) + 1 :]
        top, *folders = relative.split("/")
        if top not in self._mounts.all or self._mounts.paused(top) or any(map(is_litter_folder, folders[:-1])):
            return
        above, name = posixpath.split(relative)
        if above and above not in self._index.places:
            self._read_from_the_top(relative)
            return
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            self._vanish(above, name)
            return
        except OSError:
            return
        if stat.S_ISDIR(status.st_mode):
            if not above or not is_litter_folder(name):
                self._drop_name(above, name)
                self._reading[relative] = None
        elif above and not is_litter(name):
            self._found(self._index.places[above], name, mark_of(status), now)

    def _read_from_the_top(self, relative: str) -> None:
        """A hint from a folder not known yet: read the uppermost unknown one, the rest follows."""
        parts = relative.split("/")
        for depth in range(1, len(parts)):
            path = "/".join(parts[:depth])
            if path not in self._index.places:
                self._reading[path] = None
                return

    def _found(self, place: Place, name: str, mark: int, now: float) -> None:
        """A file is there: new, changed, or as it was."""
        if place.path + "/" + name in self._index.places:
            self._close(place.path + "/" + name)
        before = place.names.get(name)
        if before is None:
            place.add(name, mark)
            if name not in place.names:
                return
        path = posixpath.join(place.path, name)
        role = classify(name).role
        if role == "campaign":
            self._files.want(path, now)
        followed = path in self._files
        if role == "picture" and not followed and mark > UNSEEN:
            mark = UNSEEN
        place.names[name] = mark
        further = self._files.look(path, now) if followed else role == "picture" or before != mark
        if before is None or further:
            self.nominate(path)

    def _vanish(self, above: str, name: str) -> None:
        """Nothing is there any more under that name. A folder that went with its mount is left as it was known."""
        relative = posixpath.join(above, name)
        top = relative.partition("/")[0]
        if not above or not self._mounts.unchanged(top):
            return
        self._close(relative)
        self._drop_name(above, name)

    def _drop_name(self, above: str, name: str) -> None:
        place = self._index.places.get(above)
        if place is None or name not in place.names:
            return
        path = posixpath.join(above, name)
        self._files.drop(path)
        self._surfacing.lapse(place, name)
        self.nominate(path)
        place.remove(name)

    def _close(self, path: str) -> None:
        """A folder is gone, and all that was known to be in it."""
        for place in self._index.close(path):
            self.unreadable.pop(place.path, None)
            self._mounts.all[place.folder].unwatched.discard(place.path)
            for name in place.names:
                self._files.drop(posixpath.join(place.path, name))
                self._surfacing.lapse(place, name)

    def moved_on(self, path: str) -> None:
        """A followed file came further, fell back or is gone."""
        if path in self._files:
            self.nominate(path)
        else:
            self._vanish(*posixpath.split(path))

    def nominate(self, path: str) -> None:
        """Let whatever hangs together with this file come up."""
        above, name = posixpath.split(path)
        place = self._index.places.get(above)
        if place is None:
            return
        if classify(name).role == "campaign":
            self._surfacing.nominate_all(path)
        else:
            self._surfacing.nominate(place, name)

    def remember(self, path: str) -> None:
        """Mark a followed file, so that a sweep sees it change."""
        above, name = posixpath.split(path)
        place = self._index.places.get(above)
        state = self._files.state(path, 0.0)
        if place is not None and name in place.names and state is not None and state.sig is not None:
            place.names[name] = abs(hash(state.sig)) or 1

    def _absolute(self, path: str) -> str:
        return os.path.join(self._root, path)

    def start(self, mount: Mount, now: float) -> None:
        """Begin to read all of a stage folder again."""
        mount.swept, mount.cost = now, 0.0
        self._reading[mount.folder] = None

    def read_on(self, now: float, clock: Callable[[], float]) -> None:
        """Take in some of what is to be read."""
        left = _ENTRIES
        while left > 0 and self:
            if self._appearing:
                left -= self._take_in(*self._appearing[0], now, left)
                continue
            path, _ = self._reading.popitem(last=False)
            mount = self._mounts.all[path.partition("/")[0]]
            if mount.sentence:
                continue
            began = clock()
            self._read(path, now)
            mount.cost += clock() - began
            left -= 1
            if not mount.network and path in self._index.places:
                (mount.unwatched.discard if self._watched(self._absolute(path)) else mount.unwatched.add)(path)

    def _read(self, path: str, now: float) -> None:
        """Read one folder and take in what is different."""
        place = self._index.places.get(path) or Place(path)
        try:
            swept = sweep(self._absolute(path), place)
        except (FileNotFoundError, NotADirectoryError):
            self._vanish(*posixpath.split(path))
            return
        except OSError as error:
            self.unreadable[path] = f"{path}/ cannot be read ({error.strerror})."
            return
        self.unreadable.pop(path, None)
        place = self._index.open(path)
        for name in swept.vanished:
            self._drop_name(path, name)
        for child in place.children - {posixpath.join(path, name) for name in swept.folders}:
            self._close(child)
        for name in swept.changed:
            self._changed(place, name, now)
        if swept.appeared:
            self._appearing.append((path, iter(sorted(swept.appeared))))
        self._reading.update(dict.fromkeys(posixpath.join(path, name) for name in sorted(swept.folders)))

    def _take_in(self, path: str, names: Iterator[str], now: float, most: int) -> int:
        """Take in the next names that a reading found; how many."""
        place = self._index.places.get(path)
        some = list(islice(names, most)) if place is not None else []
        if place is None or len(some) < most:
            self._appearing.popleft()
        for name in some:
            if place is not None:
                self._appeared(place, name, now)
        return len(some)

    def _changed(self, place: Place, name: str, now: float) -> None:
        path = posixpath.join(place.path, name)
        if path not in self._files:
            self.nominate(path)
        elif self._files.look(path, now):
            self.moved_on(path)

    def _appeared(self, place: Place, name: str, now: float) -> None:
        """A name that a reading found; it may be gone again, since readings are taken in piece by piece."""
        if not anchors(name) and classify(name).role != "campaign":
            return
        try:
            status = os.lstat(self._absolute(posixpath.join(place.path, name)))
        except OSError:
            return
        if not stat.S_ISDIR(status.st_mode):
            self._found(place, name, mark_of(status), now)
