"""What lies in the stages' folders and how far it has arrived: hints and sweeps in, bundles worth a look out.

One thread, the loop's, calls everything here. ``drain`` does a bounded piece of work and never waits; ``wait`` says until when the loop
may sleep on ``watcher.fd``. Files are followed closely only after somebody wants them: resting pictures cost nothing but their name.
"""

from __future__ import annotations

import os
import posixpath
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from goldsmith.files import Sig, is_litter, is_litter_folder
from goldsmith.line.bundle import Bundle, Key, classify
from goldsmith.line.completeness import Completeness, FileState, Pace, refused
from goldsmith.line.index import LINK, UNSEEN, Index, Place, mark_of
from goldsmith.line.mounts import Mode, Mounts
from goldsmith.line.surfacing import Surfacing
from goldsmith.line.sweep import fingerprint, sweep
from goldsmith.line.watch import Watcher

LIBRARY = "library"
SLICE = 512
"""Bundles that one ``drain`` returns at most."""
_HINTS = 4096
_LOOKS = 512
_ENTRIES = 8192


@dataclass(frozen=True, slots=True)
class IntakeSettings(Pace):
    """The pace of files, and how often folders are read again, in seconds."""

    sweep_events: float = 600.0
    sweep_polling: float = 2.0


class Intake:
    """The stages' folders under one root. Paths are POSIX strings relative to it."""

    def __init__(
        self,
        root: Path,
        folders: Sequence[str],
        watcher: Watcher,
        clock: Callable[[], float] = time.monotonic,
        settings: IntakeSettings | None = None,
    ) -> None:
        settings = settings or IntakeSettings()
        self._root = os.path.abspath(root)
        self._watcher = watcher
        self._clock = clock
        self._mounts = Mounts(self._root, folders, watcher, settings.sweep_events, settings.sweep_polling)
        self._index = Index()
        self._files = Completeness(self._root, settings, self._mounts.unchanged)
        self._surfacing = Surfacing(self._index)
        self._reading: dict[str, None] = {}
        self._unreadable: dict[str, str] = {}
        self._library = 0
        self.library_changed = False
        """Set when something in ``library/`` changed; whoever has looked sets it back."""

    # --- the loop's side

    def start(self) -> None:
        """Begin to watch and to read; the first bundles come out of the drains that follow."""
        self._watcher.narrow({*self._mounts.all, LIBRARY})
        self._library = fingerprint(os.path.join(self._root, LIBRARY))
        self._mounts.check(self._clock())

    def drain(self, now: float) -> list[Key]:
        """Take in what has happened; the bundles to look at again, in order of arrival, at most ``SLICE`` of them.

        A bundle comes up when it has an instruction and anything of it changed, came or went, or came further; and once more when it
        is gone or has lost its instruction.
        """
        if now >= self._mounts.next_check():
            self._mounts.check(now)
        paths, lost = self._watcher.take(_HINTS)
        self._mounts.listen()
        self._start_sweeps(now, everything=lost)
        for path in paths:
            self._hear(path, now)
        self._read_on(now)
        for path in self._files.look_due(now, _LOOKS):
            self._moved_on(path)
        return self._surfacing.take(SLICE)

    def wait(self, now: float) -> float:
        """Seconds until ``drain`` has something to do by itself; hints make ``watcher.fd`` readable before that."""
        if self._watcher.waiting() or self._reading or self._surfacing:
            return 0.0
        due = (self._mounts.next_check(), self._mounts.next_sweep(), self._files.next_due())
        return max(0.0, min(when for when in due if when is not None) - now)

    # --- asking

    def bundle(self, key: Key) -> Bundle | None:
        """The bundle as it lies there now; None once its picture (or, before that, its last sidecar) is gone."""
        return self._index.bundle(key)

    def bundle_of(self, path: str) -> Bundle | None:
        """The bundle that a file is of."""
        return self._index.bundle_of(path)

    def bundles(self) -> Iterator[Bundle]:
        """Every bundle, lonely pictures included, made one by one."""
        return self._index.bundles()

    def state(self, path: str) -> FileState:
        """How far a file has come, as of the last look; a file that nobody wants is at most ``new``."""
        followed = self._files.state(path, self._clock())
        if followed is not None:
            return followed
        above, name = posixpath.split(path)
        place = self._index.places.get(above)
        if place is None or name not in place.names:
            return FileState("gone")
        mark = place.names[name]
        if mark < UNSEEN:
            return FileState("refused", sentence=refused(path, stat.S_IFLNK if mark == LINK else stat.S_IFIFO) or "")
        return FileState("new")

    def sha(self, path: str) -> str | None:
        """The hash of a file that the daemon put down and nothing has touched since."""
        return self._files.sha(path)

    def modes(self) -> dict[str, Mode]:
        """Whether events come from each stage folder, or it is read again and again."""
        return {folder: mount.mode for folder, mount in self._mounts.all.items()}

    def weak(self) -> frozenset[str]:
        """The stage folders where no lease was to be had, so that the weaker rule (a longer quiet) is in use."""
        return frozenset(self._files.weak)

    def paused(self) -> dict[str, str]:
        """The stage folders that are not there, each with its sentence."""
        return {folder: mount.sentence for folder, mount in self._mounts.all.items() if mount.sentence}

    def unreadable(self) -> dict[str, str]:
        """The campaign folders that cannot be read, each with its sentence."""
        return dict(self._unreadable)

    # --- telling

    def want(self, paths: Iterable[str]) -> None:
        """Follow these files: their bundle comes up whenever one of them came further or fell back."""
        now = self._clock()
        for path in paths:
            self._files.want(path, now)
            self._remember(path)

    def known(self, path: str, sig: Sig, sha256: str) -> None:
        """The daemon has put this file down itself: it is settled at once, and its bundle comes up."""
        if path.partition("/")[0] not in self._mounts.all:
            return
        self._files.known(path, sig, sha256, self._clock())
        if path in self._files:
            above, name = posixpath.split(path)
            self._index.open(above).add(name, UNSEEN)
            self._remember(path)
            self._nominate(path)

    def touched(self, path: str) -> None:
        """Look at this file again now, and let its bundle come up."""
        self._hear(self._absolute(path), self._clock())
        self._nominate(path)

    def forget(self, path: str) -> None:
        """The daemon has taken this file away itself, or nobody wants it any longer; its bundle does not come up for that."""
        self._files.drop(path)
        above, name = posixpath.split(path)
        place = self._index.places.get(above)
        if place is not None and name in place.names and not os.path.lexists(self._absolute(path)):
            place.remove(name)
            self._surfacing.discard(place, name)

    # --- hints

    def _hear(self, path: str, now: float) -> None:
        """Look at what a hint nominated, whatever became of it since."""
        relative = path[len(self._root) + 1 :]
        top, *folders = relative.split("/")
        if top == LIBRARY:
            self.library_changed = True
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
            self._nominate(path)

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
        self._nominate(path)
        place.remove(name)

    def _close(self, path: str) -> None:
        """A folder is gone, and all that was known to be in it."""
        for place in self._index.close(path):
            self._unreadable.pop(place.path, None)
            self._mounts.all[place.folder].unwatched.discard(place.path)
            for name in place.names:
                self._files.drop(posixpath.join(place.path, name))
                self._surfacing.lapse(place, name)

    def _moved_on(self, path: str) -> None:
        """A followed file came further, fell back or is gone."""
        if path in self._files:
            self._nominate(path)
        else:
            self._vanish(*posixpath.split(path))

    def _nominate(self, path: str) -> None:
        """Let whatever hangs together with this file come up."""
        above, name = posixpath.split(path)
        place = self._index.places.get(above)
        if place is None:
            return
        if classify(name).role == "campaign":
            self._surfacing.nominate_all(path)
        else:
            self._surfacing.nominate(place, name)

    def _remember(self, path: str) -> None:
        """Mark a followed file, so that a sweep sees it change."""
        above, name = posixpath.split(path)
        place = self._index.places.get(above)
        state = self._files.state(path, 0.0)
        if place is not None and name in place.names and state is not None and state.sig is not None:
            place.names[name] = abs(hash(state.sig)) or 1

    def _absolute(self, path: str) -> str:
        return os.path.join(self._root, path)

    # --- sweeps

    def _start_sweeps(self, now: float, *, everything: bool) -> None:
        due = self._mounts.take_due(now)
        if everything:
            due = self._mounts.there()
        for mount in due:
            mount.swept, mount.cost = now, 0.0
            self._reading[mount.folder] = None
        if due:
            library = fingerprint(self._absolute(LIBRARY))
            self.library_changed = self.library_changed or library != self._library
            self._library = library

    def _read_on(self, now: float) -> None:
        """Read some of the folders that are to be read."""
        left = _ENTRIES
        while self._reading and left > 0:
            path = next(iter(self._reading))
            del self._reading[path]
            mount = self._mounts.all[path.partition("/")[0]]
            if mount.sentence:
                continue
            began = self._clock()
            left -= 1 + self._read(path, now)
            mount.cost += self._clock() - began
            if mount.heard and path in self._index.places:
                (mount.unwatched.discard if self._watcher.watched(self._absolute(path)) else mount.unwatched.add)(path)

    def _read(self, path: str, now: float) -> int:
        """Read one folder and take in what is different; how many entries it has."""
        place = self._index.places.get(path) or Place(path)
        try:
            swept = sweep(self._absolute(path), place)
        except (FileNotFoundError, NotADirectoryError):
            self._vanish(*posixpath.split(path))
            return 0
        except OSError as error:
            self._unreadable[path] = f"{path}/ cannot be read ({error.strerror})."
            return 0
        self._unreadable.pop(path, None)
        place = self._index.open(path)
        for name in swept.vanished:
            self._drop_name(path, name)
        for child in place.children - {posixpath.join(path, name) for name in swept.folders}:
            self._close(child)
        for name in swept.changed:
            self._changed(place, name, now)
        for name, kind in sorted(swept.appeared):
            self._appeared(place, name, kind, now)
        self._reading.update(dict.fromkeys(posixpath.join(path, name) for name in sorted(swept.folders)))
        return swept.entries

    def _changed(self, place: Place, name: str, now: float) -> None:
        path = posixpath.join(place.path, name)
        if path not in self._files:
            self._nominate(path)
        elif self._files.look(path, now):
            self._moved_on(path)

    def _appeared(self, place: Place, name: str, kind: int, now: float) -> None:
        role = classify(name).role
        if role in ("other", "litter"):
            return
        mark = kind
        if role != "picture" or place.path + "/" + name in self._files:
            try:
                mark = mark_of(os.lstat(self._absolute(posixpath.join(place.path, name))))
            except OSError:
                return
        self._found(place, name, mark, now)
