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

from goldsmith.files import Sig, fold
from goldsmith.pipeline.intake.bundle import Bundle, Key
from goldsmith.pipeline.intake.completeness import Completeness, FileState, Pace, refused
from goldsmith.pipeline.intake.index import LINK, UNSEEN, Index
from goldsmith.pipeline.intake.mounts import Mode, Mounts
from goldsmith.pipeline.intake.names import classify
from goldsmith.pipeline.intake.ready_queue import Surfacing
from goldsmith.pipeline.intake.scanner import Arrivals
from goldsmith.pipeline.intake.sweep import fingerprint
from goldsmith.pipeline.intake.watch import Watcher

LIBRARY = "library"
SLICE = 512
"""Bundles that one ``drain`` returns at most."""
_HINTS = 4096
_LOOKS = 512


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
        stores: Callable[[], object] = lambda: None,
    ) -> None:
        settings = settings or IntakeSettings()
        self._root = os.path.realpath(root)
        self._watcher = watcher
        self._clock = clock
        self._mounts = Mounts(self._root, folders, watcher, settings.sweep_events, settings.sweep_polling)
        self._index = Index()
        self._files = Completeness(self._root, settings, self._mounts.unchanged)
        self._surfacing = Surfacing(self._index)
        self._arrivals = Arrivals(self._root, self._index, self._files, self._surfacing, self._mounts, watcher.watched)
        self._library = 0
        self._stores = stores
        self._stored = stores()
        self.library_changed = False
        """Set when something in ``library/`` changed, or what ``stores`` says, which is the house's weights; whoever has looked sets
        it back."""

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
            self._look_at_stores()
        paths, lost = self._watcher.take(_HINTS)
        self._mounts.listen()
        self._start_sweeps(now, everything=lost)
        for path in paths:
            self._hear(path, now)
        self._arrivals.read_on(now, self._clock)
        for path in self._files.look_due(now, _LOOKS):
            self._arrivals.moved_on(path)
        return self._surfacing.take(SLICE)

    def wait(self, now: float) -> float:
        """Seconds until ``drain`` has something to do by itself; hints make ``watcher.fd`` readable before that."""
        if self._watcher.waiting() or self._arrivals or self._surfacing:
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

    def settles_at(self, path: str) -> float | None:
        """When a file that is followed settles (0 where it has), if nobody touches it any more; None where that cannot be told."""
        return self._files.settles_at(path)

    def sha(self, path: str) -> str | None:
        """The hash of a file that the daemon put down and nothing has touched since."""
        return self._files.sha(path)

    def follows(self, path: str) -> bool:
        """True where somebody wants this file."""
        return path in self._files

    def stem_taken(self, folder: str, campaign: str, stem: str) -> bool:
        """True where a picture or a brief of that (folded) stem lies there already."""
        place = self._index.places.get(posixpath.join(folder, campaign) if campaign else folder)
        if place is None:
            return False
        named = (classify(name) for name in place.under(hash(stem)))
        return any(each.role in ("picture", "brief") and fold(each.stem) == stem for each in named)

    @property
    def busy(self) -> bool:
        """True while something is still to be read, looked at or waited for: files on their way, folders to be read, bundles to come up."""
        return bool(self._arrivals or self._surfacing or self._watcher.waiting() or self._files.arriving())

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
        return dict(self._arrivals.unreadable)

    # --- telling

    def want(self, paths: Iterable[str]) -> None:
        """Follow these files: their bundle comes up whenever one of them came further or fell back."""
        now = self._clock()
        for path in paths:
            self._files.want(path, now)
            if path in self._files:
                self._arrivals.remember(path)
            else:
                self._arrivals.moved_on(path)

    def known(self, path: str, sig: Sig, sha256: str) -> None:
        """The daemon has put this file down itself: it is settled at once, and its bundle comes up."""
        if path.partition("/")[0] not in self._mounts.all:
            return
        self._files.known(path, sig, sha256, self._clock())
        if path in self._files:
            above, name = posixpath.split(path)
            self._index.open(above).add(name, UNSEEN)
            self._arrivals.remember(path)
            self._arrivals.nominate(path)

    def touched(self, path: str) -> None:
        """Look at this file again now, and let its bundle come up."""
        self._hear(os.path.join(self._root, path), self._clock())
        self._arrivals.nominate(path)

    def forget(self, path: str) -> None:
        """The daemon has taken this file away itself, or nobody wants it any longer; its bundle does not come up for that."""
        self._files.drop(path)
        above, name = posixpath.split(path)
        place = self._index.places.get(above)
        if place is not None and name in place.names and not os.path.lexists(os.path.join(self._root, path)):
            place.remove(name)
            self._surfacing.discard(place, name)

    def _hear(self, path: str, now: float) -> None:
        if path.startswith(os.path.join(self._root, LIBRARY)):
            self.library_changed = True
        self._arrivals.hear(path, now)

    def _look_at_stores(self) -> None:
        stored = self._stores()
        self.library_changed = self.library_changed or stored != self._stored
        self._stored = stored

    def _start_sweeps(self, now: float, *, everything: bool) -> None:
        due = self._mounts.take_due(now)
        if everything:
            due = self._mounts.there()
        for mount in due:
            self._arrivals.start(mount, now)
        if due:
            library = fingerprint(os.path.join(self._root, LIBRARY))
            self.library_changed = self.library_changed or library != self._library
            self._library = library
