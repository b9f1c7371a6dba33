"""A share whose archive is another disk, with copies to it that wait for the test."""

from __future__ import annotations

import threading
from collections.abc import Callable

from doubles.disk import Disk, Script
from goldsmith.files import PathAt


class SlowCopies(Disk):
    """A disk with ``archive/`` on a mount of its own. Copies wait until ``go_on`` is set, or until they are stopped."""

    def __init__(self) -> None:
        super().__init__(Script(), mounts=("archive",))
        self.go_on = threading.Event()
        # The names of the threads that copied.
        self.copying_threads: list[str] = []

    def copy(
        self, source: PathAt, target: PathAt, permissions_from: int | None = None, is_stopped: Callable[[], bool] | None = None
    ) -> str:
        self.copying_threads.append(threading.current_thread().name)
        while not (self.go_on.wait(0.01) or (is_stopped is not None and is_stopped())):
            pass
        return super().copy(source, target, permissions_from, is_stopped)
