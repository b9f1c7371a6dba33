"""Ends a worker process that decodes one file for too long: a thread compares the processor time of a decoding with its limit.

Decoders in C release Python's lock while they work, so the thread runs beside them. Only the end of the process stops them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition, Thread, get_ident

from goldsmith.jobs.job import Job
from goldsmith.picture.decoding_time import Decoding

# Seconds between two looks at the clocks while a file is decoded.
_CHECK_INTERVAL_SECONDS = 1.0

Clock = Callable[[], float]


@dataclass(slots=True)
class _RunningDecoding:
    job: Job
    decoding: Decoding
    thread_clock: Clock
    thread_start: float
    process_start: float
    # True if another job ran in the process at any time during the decoding: the processor time of the process is not this file's then.
    is_shared: bool


class DecodingWatchdog:
    """Knows which jobs run in this process and which files they decode, and calls ``on_overrun`` for a file beyond its limit.

    ``on_overrun(job, decoding)`` must end the process. If it returns, which only tests do, the decoding is not reported again.
    """

    def __init__(self, on_overrun: Callable[[Job, Decoding], None], process_clock: Clock = time.process_time) -> None:
        self._on_overrun = on_overrun
        self._process_clock = process_clock
        self._changed = Condition()
        self._jobs: dict[int, Job] = {}
        self._running: dict[int, _RunningDecoding] = {}

    def start(self) -> None:
        """Start the thread."""
        Thread(target=self._run, name="decoding-watchdog", daemon=True).start()

    @contextmanager
    def job(self, job: Job) -> Iterator[None]:
        """Say that the calling thread runs this job in the block."""
        thread = get_ident()
        with self._changed:
            self._jobs[thread] = job
            if len(self._jobs) > 1:
                for running in self._running.values():
                    running.is_shared = True
        try:
            yield
        finally:
            with self._changed:
                del self._jobs[thread]

    @contextmanager
    def watch(self, decoding: Decoding) -> Iterator[None]:
        """Limit the processor time of the block, in a thread that runs a job; elsewhere do nothing."""
        thread = get_ident()
        job = self._jobs.get(thread)
        if job is None or thread in self._running:
            yield
            return
        clock = _thread_clock(thread)
        with self._changed:
            self._running[thread] = _RunningDecoding(job, decoding, clock, clock(), self._process_clock(), len(self._jobs) > 1)
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._running.pop(thread, None)

    def check(self) -> None:
        """Report each decoding that is beyond its limit. The job cannot end meanwhile, so it has no other outcome."""
        with self._changed:
            for thread, running in list(self._running.items()):
                used = running.thread_clock() - running.thread_start
                if not running.is_shared:
                    used = max(used, self._process_clock() - running.process_start)
                if used > running.decoding.max_seconds:
                    del self._running[thread]
                    self._on_overrun(running.job, running.decoding)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait(_CHECK_INTERVAL_SECONDS if self._running else None)
            self.check()


def _thread_clock(thread: int) -> Clock:
    """Return the clock of a thread's processor time in seconds."""
    clock_id = time.pthread_getcpuclockid(thread)
    return lambda: time.clock_gettime(clock_id)
