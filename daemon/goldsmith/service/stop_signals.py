"""The end of a program by SIGTERM or Ctrl-C, for the programs beside the daemon."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from types import FrameType


class StopSignals:
    """Knows whether the program shall end."""

    def __init__(self, wakeup_fd: int) -> None:
        self._wakeup_fd = wakeup_fd
        self.is_requested = False

    def wait(self, seconds: float) -> None:
        """Wait for so many seconds, or until a signal arrives."""
        if not self.is_requested and select.select([self._wakeup_fd], [], [], max(0.0, seconds))[0]:
            with contextlib.suppress(OSError):
                os.read(self._wakeup_fd, 4096)

    def request(self, number: int, frame: FrameType | None) -> None:
        self.is_requested = True


@contextlib.contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Yield an object that SIGTERM and SIGINT tell to end the program."""
    wakeup_fd, write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signals = StopSignals(wakeup_fd)
    previous_fd = signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
    previous = [(number, signal.signal(number, signals.request)) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        yield signals
    finally:
        for number, handler in previous:
            signal.signal(number, handler)
        signal.set_wakeup_fd(previous_fd)
        for fd in (wakeup_fd, write_fd):
            os.close(fd)
