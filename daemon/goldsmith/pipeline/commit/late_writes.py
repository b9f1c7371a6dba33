"""Inputs on shared mounts that somebody writes to after their commit.

On such a mount nothing tells that a program still has a file open, so an upload that paused for longer than the weaker rule waits is taken
as it is. Its program then writes on, into the file that the commit has moved to the archive. Such a file is looked at for some minutes
more. If it has changed, it goes back to where it was dropped, with everything that was taken with it: it is new work there, and comes out
as the next version.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from goldsmith.errors import HostError, InputError
from goldsmith.files import FileSignature, Filesystem
from goldsmith.journal.records import Consume
from goldsmith.mounts import kind_of_device, synced_status
from goldsmith.pipeline.commit.file_move import COARSEST_TIMESTAMP_NS, FileMove, NameTaken
from goldsmith.pipeline.commit.naming import is_in_archive
from goldsmith.pipeline.commit.open_folders import OpenFolders, find_mounts
from goldsmith.root_folder import RootFolder

# The looks come after so many times the weaker rule's quiet time, counted from the commit: with 10 s, after 10 s to 15 minutes.
_LOOKS = (1, 3, 9, 27, 90)
# How many files one call looks at: each look asks the other side.
_MAX_LOOKS = 16
# How many commits are watched at once. In a greater flood, the later ones are not.
_MAX_WATCHED = 5_000


@dataclass(frozen=True, slots=True)
class _Watched:
    """The inputs of one commit that went to the archive, the picture first."""

    consumes: tuple[Consume, ...]
    committed_at: float
    looks: int = 0


class LateWrites:
    """Watches archived inputs, and puts back those that were written to. ``quiet_seconds``: how long the weaker rule waits."""

    def __init__(self, root: Path, fs: Filesystem, quiet_seconds: float) -> None:
        self._root = root
        self._fs = fs
        self._quiet_seconds = quiet_seconds
        # The folders that are mount points, as ``OpenFolders`` keeps them.
        self._mounts: set[str] = find_mounts(root)
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, _Watched]] = []

    def watch(self, consumes: Sequence[Consume], now: float) -> None:
        """Watch the inputs of a commit, the picture first, if they came over a shared mount. ``now``: monotonic time.

        A picture that moved on without a change is followed in its new folder, with whatever is written to it.
        """
        if not consumes or not is_in_archive(consumes[0].destination):
            return
        archived = tuple(consume for consume in consumes if is_in_archive(consume.destination))
        if any(kind_of_device(consume.sig.dev).is_shared for consume in archived) and len(self._due) < _MAX_WATCHED:
            self._schedule(_Watched(archived, now))

    def next_look_at(self) -> float | None:
        """Return the monotonic time of the next look, or None if nothing is watched."""
        return self._due[0][0] if self._due else None

    def put_back_changed(self, now: float) -> list[str]:
        """Look at the files that are due, and put back the inputs of every commit of which one has changed.

        Return the paths to which files went back. If a disk fails, the files stay in the archive until the next look.
        """
        paths: list[str] = []
        for _ in range(_MAX_LOOKS):
            if not self._due or self._due[0][0] > now:
                break
            watched = heapq.heappop(self._due)[2]
            moved = self._put_back(watched.consumes) if any(map(self._has_changed, watched.consumes)) else []
            paths += moved
            if not moved and watched.looks + 1 < len(_LOOKS):
                self._schedule(_Watched(watched.consumes, watched.committed_at, watched.looks + 1))
        return paths

    def _schedule(self, watched: _Watched) -> None:
        due = watched.committed_at + _LOOKS[watched.looks] * self._quiet_seconds
        heapq.heappush(self._due, (due, next(self._numbers), watched))

    def _has_changed(self, consume: Consume) -> bool:
        """Return whether the archived file has another size or time than the one that was read. False if it is gone or cannot be read."""
        try:
            fd = RootFolder(self._root).open_file(consume.destination)
        except (OSError, InputError):
            return False
        try:
            sig = FileSignature.from_stat(synced_status(fd))
        except OSError:
            return False
        finally:
            os.close(fd)
        return sig.size != consume.sig.size or abs(sig.mtime_ns - consume.sig.mtime_ns) > COARSEST_TIMESTAMP_NS

    def _put_back(self, consumes: Sequence[Consume]) -> list[str]:
        """Move the files back to where they were dropped, the picture last, so that it finds its instruction there. Return their paths.

        If something has the picture's name there by now, that is the newer picture, and nothing moves.
        """
        moved: list[str] = []
        with contextlib.suppress(OSError, HostError, InputError, NameTaken), OpenFolders(self._fs, self._root, self._mounts) as folders:
            if not folders.is_free(consumes[0].path):
                return []
            for consume in reversed(consumes):
                if consume is consumes[0] or folders.is_free(consume.path):
                    move = FileMove(self._fs, folders, secrets.token_hex(8), consume.destination, consume.path, "")
                    move.apply_unchecked()
                    moved.append(consume.path)
            folders.sync_changed()
        return moved
