"""One top folder that answers like another filesystem: nothing can be renamed into it, and files are really copied."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable

from goldsmith.files import Filesystem, PathAt


class TwoDisks(Filesystem):
    """``folder`` is on another disk than the rest of the root. ``copy_seconds`` adds up the time of all copies to it and from it."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.is_copying = False
        self.copy_seconds = 0.0

    def _is_there(self, at: PathAt) -> bool:
        return self._folder in str(at).split("/")

    def can_rename_between(self, folder: int, other_folder: int) -> bool:
        return self._is_there(PathAt(folder, "")) == self._is_there(PathAt(other_folder, ""))

    def rename_flagged(self, source: PathAt, target: PathAt) -> None:
        if self._is_there(source) != self._is_there(target):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        super().rename_flagged(source, target)

    def copy(
        self, source: PathAt, target: PathAt, permissions_from: int | None = None, is_stopped: Callable[[], bool] | None = None
    ) -> str:
        started_at, self.is_copying = time.monotonic(), True
        try:
            return super().copy(source, target, permissions_from, is_stopped)
        finally:
            self.copy_seconds += time.monotonic() - started_at
            self.is_copying = False
