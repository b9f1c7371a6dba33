"""The health of a device. While it is unhealthy, no job starts on it and its jobs wait in place (law 5).

Other events on the device decide whose fault a failure is. A picture is not to blame for a dead device: it keeps its place in the queue and
no attempt is counted. A device is not to blame for a picture that always makes it fail while others succeed.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from goldsmith.jobs.job import Job

# Seconds until a failed device is tried again, doubled with each failure. A card that fell off its bus needs a person, so ten minutes are
# not long; a driver that is being updated is back sooner.
INITIAL_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 10.0, 600.0
# The same for a process that could not start.
_INITIAL_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 0.5, 60.0

# How often a picture is requeued because its device is suspected: by then, a device that is to blame has been tried for an hour.
MAX_EXCUSES = 3

# (path, stage): the same work has another job later, but the same key.
WorkKey = tuple[str, str]


def work_key(job: Job) -> WorkKey:
    return job.asset.path, job.stage


class DeviceHealth:
    """The health of one device of one queue."""

    def __init__(self, queue: str, device: str, wall_clock: Callable[[], float] = time.time) -> None:
        # Why no job starts on it; "" if it is healthy.
        self.pause_reason = ""
        # When it is tried again.
        self.retry_at = 0.0
        self._queue = queue
        self._device = device
        self._wall_clock = wall_clock
        self._failed_starts = 0
        self._device_failures = 0
        # How often it failed with a picture since it last succeeded with another; 0 = it has succeeded since, so the picture was to blame.
        self._failures_by_work: dict[WorkKey, int] = {}
        # The picture with which its last process died or timed out, if nothing has succeeded since.
        self._last_fatal_work: WorkKey | None = None
        # How often a picture was requeued because the device was suspected, since the last success.
        self._excuses_by_work: dict[WorkKey, int] = {}

    @property
    def label(self) -> str:
        """The device's name in a sentence."""
        return "CPU" if self._device == "cpu" else f"GPU {self._device}"

    def is_paused(self, now: float) -> bool:
        """Return whether the device pauses; a pause that is over ends here."""
        if self.pause_reason and now >= self.retry_at:
            self.pause_reason = ""
        return bool(self.pause_reason)

    def retry_now(self) -> None:
        """Try the device again at once."""
        self.pause_reason = ""

    def on_process_ready(self) -> None:
        """Record that a process on the device is ready for jobs."""
        self._failed_starts = 0

    def on_start_failed(self, reason: str, now: float) -> None:
        """Record that a process on the device ended before it was ready, or could not be started."""
        seconds = min(_MAX_BACKOFF_SECONDS, _INITIAL_BACKOFF_SECONDS * 2.0 ** min(self._failed_starts, 16))
        self._failed_starts += 1
        on = "" if self._device == "cpu" else f" on {self._device}"
        self.retry_at = now + seconds
        self.pause_reason = (
            f"The workers of queue {self._queue} cannot start{on} ({reason}); it is tried again within {seconds:g} s, and its jobs wait."
        )

    def on_device_failed(self, reason: str, now: float) -> None:
        """Record that the device itself failed: it pauses, longer every time."""
        seconds = min(MAX_PAUSE_SECONDS, INITIAL_PAUSE_SECONDS * 2.0 ** min(self._device_failures, 16))
        self._device_failures += 1
        self.retry_at = now + seconds
        at = time.strftime("%H:%M:%S", time.localtime(self._wall_clock() + seconds))
        what = reason.removeprefix(f"{self._device} has failed: ").rstrip(".")
        self.pause_reason = f"The {self.label} has failed ({what}). It is tried again at {at}; its jobs wait in place."

    def on_job_succeeded(self, job: Job) -> None:
        """Record that a job succeeded. Only a job with a generating model proves anything: other work may never have touched the device."""
        own = work_key(job)
        if not job.models and own not in self._failures_by_work:
            return
        self._device_failures, self._last_fatal_work = 0, None
        self._excuses_by_work.clear()
        self._failures_by_work.pop(own, None)
        self._failures_by_work = dict.fromkeys(self._failures_by_work, 0)

    def record_job_failure(self, job: Job) -> bool:
        """Record a device failure with this job, and return whether the job is to blame: the device has succeeded with others since the
        job's last failure.
        """
        own = work_key(job)
        before = self._failures_by_work.get(own)
        if before == 0:
            return True
        self._failures_by_work[own] = (before or 0) + 1
        return False

    def failure_count(self, job: Job) -> int:
        """Return how often the device failed with this job without a success in between, or was suspected instead of it."""
        own = work_key(job)
        return max(self._failures_by_work.get(own, 0), self._excuses_by_work.get(own, 0) + 1)

    def record_process_death(self, job: Job) -> bool:
        """Record that a process died or timed out with this job, and return whether the device is suspected: twice in a row, with two
        pictures.

        The suspicion lasts until something succeeds, but each picture is excused only a limited number of times. A CPU is never suspected,
        and neither is a device for work that it may not have taken part in.
        """
        if self._device == "cpu" or not job.models:
            return False
        own, before = work_key(job), self._last_fatal_work
        self._last_fatal_work = own
        times = self._excuses_by_work.get(own, 0)
        if before is None or (before == own and not times) or times >= MAX_EXCUSES:
            return False
        self._excuses_by_work[own] = times + 1
        return True
