"""Whether a lane's device is well. While it is not, nothing is begun on it and its jobs wait in place (law 5).

Whose fault a failure is, is told by what else happens on the device. A picture is not to blame for a dead device: it keeps its
place in line and no attempt is counted. A device is not to blame for a picture over which it fails again and again while others
come through.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from goldsmith.jobs.job import Job

# Seconds until a failed device is tried again, doubled with each failure. A card that fell off its bus takes a person to mend, and then
# ten minutes are not long; a driver that is being updated is back sooner.
INITIAL_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 10.0, 600.0
# The same for a process that could not even start.
_INITIAL_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 0.5, 60.0

# So often is a picture put back because its device is suspected: a device that is to blame has been tried again for an hour by then.
MAX_EXCUSES = 3

# (path, stage): the same work again has another job, but not another name.
WorkKey = tuple[str, str]


def work_key(job: Job) -> WorkKey:
    return job.asset.path, job.stage


class DeviceHealth:
    """One device of one lane."""

    def __init__(self, queue: str, device: str, wall_clock: Callable[[], float] = time.time) -> None:
        # Why nothing is begun on it; "" where it is well.
        self.pause_reason = ""
        # When it is tried again.
        self.retry_at = 0.0
        self._queue = queue
        self._device = device
        self._wall_clock = wall_clock
        self._failed_starts = 0
        self._device_failures = 0
        # How often it failed over a picture since it was last well with another; 0 = it has been since, so that was the picture.
        self._failures_by_work: dict[WorkKey, int] = {}
        # The picture over which its last process died or ran out of time, where nothing has gone well since.
        self._last_fatal_work: WorkKey | None = None
        # How often a picture was put back because the device was suspected in its stead, since anything went well.
        self._excuses_by_work: dict[WorkKey, int] = {}

    @property
    def label(self) -> str:
        """What a sentence calls it."""
        return "CPU" if self._device == "cpu" else f"GPU {self._device}"

    def is_paused(self, now: float) -> bool:
        """True while it pauses; a pause whose time is over ends here."""
        if self.pause_reason and now >= self.retry_at:
            self.pause_reason = ""
        return bool(self.pause_reason)

    def retry_now(self) -> None:
        """Try it again at once."""
        self.pause_reason = ""

    def on_process_ready(self) -> None:
        """A process on it is ready for jobs."""
        self._failed_starts = 0

    def on_start_failed(self, reason: str, now: float) -> None:
        """Its process ended before it was ready, or could not be made."""
        seconds = min(_MAX_BACKOFF_SECONDS, _INITIAL_BACKOFF_SECONDS * 2.0 ** min(self._failed_starts, 16))
        self._failed_starts += 1
        on = "" if self._device == "cpu" else f" on {self._device}"
        self.retry_at = now + seconds
        self.pause_reason = (
            f"The {self._queue} lane cannot start{on} ({reason}); it is tried again within {seconds:g} s, and its jobs wait."
        )

    def on_device_failed(self, reason: str, now: float) -> None:
        """The device itself has failed: pause, longer every time."""
        seconds = min(MAX_PAUSE_SECONDS, INITIAL_PAUSE_SECONDS * 2.0 ** min(self._device_failures, 16))
        self._device_failures += 1
        self.retry_at = now + seconds
        at = time.strftime("%H:%M:%S", time.localtime(self._wall_clock() + seconds))
        what = reason.removeprefix(f"{self._device} has failed: ").rstrip(".")
        self.pause_reason = f"The {self.label} has failed ({what}). It is tried again at {at}; its jobs wait in place."

    def on_job_succeeded(self, job: Job) -> None:
        """A job was done on it. Only one that ran a generating model proves anything: other work may never have touched the device."""
        own = work_key(job)
        if not job.models and own not in self._failures_by_work:
            return
        self._device_failures, self._last_fatal_work = 0, None
        self._excuses_by_work.clear()
        self._failures_by_work.pop(own, None)
        self._failures_by_work = dict.fromkeys(self._failures_by_work, 0)

    def record_job_failure(self, job: Job) -> bool:
        """It failed over this job. True where that is the job's own doing: it has been well with others since it last did."""
        own = work_key(job)
        before = self._failures_by_work.get(own)
        if before == 0:
            return True
        self._failures_by_work[own] = (before or 0) + 1
        return False

    def failure_count(self, job: Job) -> int:
        """How often it has failed over this job, with nothing done on it in between, or was suspected in its stead."""
        own = work_key(job)
        return max(self._failures_by_work.get(own, 0), self._excuses_by_work.get(own, 0) + 1)

    def record_process_death(self, job: Job) -> bool:
        """A process died or ran out of time over this job. True where the device is suspected: twice running, over two pictures.

        It goes on to be suspected until something goes well on it, but each picture is let off only so often. A CPU is never
        suspected, nor is a device over work that it may have had no part in.
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
