"""Copies files between filesystems in a thread, before the commit that moves them.

The copy lies under a dot-name in the destination's folder. The commit then checks it and renames it, as it would a copy of its own, so the
main loop never waits for a large file.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from goldsmith.errors import HostError, InputError
from goldsmith.files import FileSignature, Filesystem, PathAt
from goldsmith.journal.records import Plan
from goldsmith.pipeline.commit.file_move import COPY_PREFIX, PreparedCopy
from goldsmith.pipeline.commit.open_folders import OpenFolders

# Seconds that the daemon waits at its end for a copy that may hang on a dead disk.
_JOIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class FileToCopy:
    """A file of a plan that goes to another filesystem. Its paths are those of the plan."""

    # Its number among the moves of the plan.
    number: int
    source: str
    destination: str


@dataclass(slots=True)
class CopyTask:
    """The copies of one plan, which is recorded in the journal. ``copies`` has them by the number of their moves, once they are made."""

    plan: Plan
    files: tuple[FileToCopy, ...]
    copies: dict[int, PreparedCopy] = field(default_factory=dict)


class Copier:
    """Makes the copies of plans, one after the other. ``fd`` becomes readable when the thread has finished those of a plan."""

    def __init__(self, fs: Filesystem, root: Path) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._fs = fs
        self._root = root
        self._waiting: SimpleQueue[CopyTask | None] = SimpleQueue()
        self._finished: deque[CopyTask] = deque()
        self._is_stopped = False
        self._thread: Thread | None = None

    def begin(self, task: CopyTask) -> None:
        """Copy the files of a plan, and make their folders; ``take_finished`` returns the task later."""
        if self._thread is None:
            self._thread = Thread(target=self._run, name="copy", daemon=True)
            self._thread.start()
        self._waiting.put(task)

    def take_finished(self) -> CopyTask | None:
        """Return the next task whose copies are made, or have failed; None if there is none at the moment."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.fd)
        return self._finished.popleft() if self._finished else None

    def put_back(self, task: CopyTask) -> None:
        """Return a task whose plan cannot be committed yet: ``take_finished`` returns it first."""
        self._finished.appendleft(task)

    def close(self) -> None:
        """Stop the copies. Their plans stay open in the journal, and the recovery finishes them."""
        if self.fd < 0:
            return
        self._is_stopped = True
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(_JOIN_SECONDS)
        if self._thread is None or not self._thread.is_alive():  # a thread that hangs would write to a descriptor of something else
            os.close(self.fd)
        self.fd = -1

    def _run(self) -> None:
        fd, mounts = self.fd, set[str]()
        while (task := self._waiting.get()) is not None and not self._is_stopped:
            copy_files(self._fs, self._root, mounts, task, lambda: self._is_stopped)
            self._finished.append(task)
            os.eventfd_write(fd, 1)


def copy_files(fs: Filesystem, root: Path, mounts: set[str], task: CopyTask, is_stopped: Callable[[], bool]) -> None:
    """Make the copies of a task. The first failure is kept for the commit, which undoes the plan for it."""
    try:
        with OpenFolders(fs, root, mounts) as folders:
            for file in task.files:
                source, destination = folders.locate(file.source), folders.locate(file.destination, create=True)
                partial = PathAt(destination.dir_fd, f"{COPY_PREFIX}{task.plan.id}-{file.number}")
                with contextlib.suppress(FileNotFoundError):
                    fs.unlink(partial)
                sha256 = fs.copy(source, partial, destination.dir_fd, is_stopped)
                task.copies[file.number] = PreparedCopy(sha256, FileSignature.from_stat(fs.lstat(partial)))
            folders.sync_changed()  # the new folders
    except (OSError, HostError, InputError) as error:
        task.copies.update((file.number, PreparedCopy(error=error)) for file in task.files)
