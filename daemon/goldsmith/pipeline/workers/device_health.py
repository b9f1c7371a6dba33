"""The health of a device. While a device is paused, no job starts on it, and its jobs stay queued (law 5).

The other jobs on a device show whether a failure is the fault of the job or of the device. A job is not to blame for a dead device: the
job keeps its place in the queue, and no attempt is counted. A device is not to blame for a job that fails on it again and again while
other jobs succeed.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from goldsmith.jobs.job import Job
from goldsmith.jobs.job_faults import MEMORY_EXHAUSTED, MEMORY_EXHAUSTED_REMEDY

# Seconds until a failed device is tried again, doubled with each failure. A driver that is being updated is back soon. A card that fell
# off its bus needs a person, who takes longer than a pause of ten minutes.
INITIAL_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 10.0, 600.0
# The same for a process that could not start.
_INITIAL_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 0.5, 60.0
# The longest pause after the loss of a host. To ask for another one costs nothing: the runner knows whether there is one.
_MAX_HOST_PAUSE_SECONDS = 5.0

# How often a job is requeued because its device is suspected. A device that is to blame has been tried again for an hour by then.
MAX_EXCUSES = 3

# (path, stage): a second attempt at the same work is another job with the same key.
WorkKey = tuple[str, str]


def work_key(job: Job) -> WorkKey:
    """Return the key of a job's work. A second attempt at the same work has the same key."""
    return job.asset.path, job.stage


class DeviceHealth:
    """The health of one device that the workers of one queue use."""

    def __init__(self, queue: str, device: str, wall_clock: Callable[[], float] = time.time) -> None:
        # Why no job starts on the device; "" while it is healthy.
        self.pause_reason = ""
        # True from the loss of its host until a process on it is ready.
        self.is_host_lost = False
        # When the device is tried again.
        self.retry_at = 0.0
        # Why no process of it can start, until one is ready; "" if the last one could. It stays while the next start is tried.
        self._start_failure = ""
        self._queue = queue
        self._device = device
        self._wall_clock = wall_clock
        # The host on which the last process got ready; "" for this one.
        self._host = ""
        self._failed_starts = 0
        self._device_failures = 0
        # How often the device failed on this work since it last succeeded with other work. 0: it has succeeded since, so the failure was
        # the fault of the work.
        self._failures_by_work: dict[WorkKey, int] = {}
        # The work on which the last process died or ran out of time, if no job has succeeded since.
        self._last_fatal_work: WorkKey | None = None
        # How often this work was requeued because the device was suspected, since a job last succeeded.
        self._excuses_by_work: dict[WorkKey, int] = {}

    @property
    def label(self) -> str:
        """The name of the device in sentences."""
        device = "CPU" if self._device == "cpu" else f"GPU {self._device}"
        return f"{device} of {self._host}" if self._host else device

    @property
    def reported_reason(self) -> str:
        """Why no job runs on the device, for people: the reason of a pause, also while the next start is only being tried."""
        return self.pause_reason or self._start_failure

    def is_paused(self, now: float) -> bool:
        """Return whether the device is paused; end a pause whose time is over."""
        if self.pause_reason and now >= self.retry_at:
            self.pause_reason = ""
        return bool(self.pause_reason)

    def on_process_ready(self, host: str = "") -> None:
        """Note that a process on the device is ready for jobs. ``host``: the name of its host, "" for this one."""
        self._failed_starts, self._start_failure, self._host, self.is_host_lost = 0, "", host, False

    def on_start_failed(self, reason: str, now: float) -> None:
        """Pause the device because a process on it could not start."""
        seconds = self._count_failed_start()
        device_phrase = "" if self._device == "cpu" else f" on {self._device}"
        self.retry_at = now + seconds
        self.pause_reason = (
            f"The workers of queue {self._queue} cannot start{device_phrase} ({reason}). They are tried again within {seconds:g} s; "
            "the jobs stay queued."
        )
        self._start_failure = self.pause_reason

    def on_host_lost(self, reason: str, now: float) -> None:
        """Pause the device because its host is lost, or none can be reached; ``reason`` is a sentence. No job is to blame."""
        self.is_host_lost = True
        self.retry_at = now + min(_MAX_HOST_PAUSE_SECONDS, self._count_failed_start())
        self.pause_reason = self._start_failure = f"{reason} The jobs of queue {self._queue} stay queued, and go on by themselves."

    def _count_failed_start(self) -> float:
        """Count one more failed start, and return the seconds until the next is tried."""
        seconds = min(_MAX_BACKOFF_SECONDS, _INITIAL_BACKOFF_SECONDS * 2.0 ** min(self._failed_starts, 16))
        self._failed_starts += 1
        return seconds

    def on_memory_exhausted(self, now: float) -> None:
        """Pause the device because the kernel ended a process on it for want of memory: other jobs and programs release some meanwhile."""
        self.retry_at = now + INITIAL_PAUSE_SECONDS
        self.pause_reason = (
            f"{MEMORY_EXHAUSTED} The next job of queue {self._queue} starts within {INITIAL_PAUSE_SECONDS:g} s. {MEMORY_EXHAUSTED_REMEDY}"
        )

    def on_device_failed(self, reason: str, now: float) -> None:
        """Pause the device because the device itself has failed; each pause in a row is longer."""
        seconds = min(MAX_PAUSE_SECONDS, INITIAL_PAUSE_SECONDS * 2.0 ** min(self._device_failures, 16))
        self._device_failures += 1
        self.retry_at = now + seconds
        retry_time = time.strftime("%H:%M:%S", time.localtime(self._wall_clock() + seconds))
        cause = reason.removeprefix(f"{self._device} has failed: ").rstrip(".")
        self.pause_reason = f"The {self.label} has failed ({cause}). It is tried again at {retry_time}; its jobs stay queued."

    def on_job_succeeded(self, job: Job) -> None:
        """Note that a job succeeded on the device.

        Only a job that ran a generating model proves that the device works: other jobs may never have touched it.
        """
        key = work_key(job)
        if not job.models and key not in self._failures_by_work:
            return
        self._device_failures, self._last_fatal_work = 0, None
        self._excuses_by_work.clear()
        self._failures_by_work.pop(key, None)
        self._failures_by_work = dict.fromkeys(self._failures_by_work, 0)

    def record_job_failure(self, job: Job) -> bool:
        """Note that the device failed on this job. Return True if the job is at fault.

        The job is at fault if the device has succeeded with other jobs since it last failed on this one.
        """
        key = work_key(job)
        failures = self._failures_by_work.get(key)
        if failures == 0:
            return True
        self._failures_by_work[key] = (failures or 0) + 1
        return False

    def failure_count(self, job: Job) -> int:
        """Return how often the device failed on this job, or was suspected because of it, without a success in between."""
        key = work_key(job)
        return max(self._failures_by_work.get(key, 0), self._excuses_by_work.get(key, 0) + 1)

    def record_process_death(self, job: Job) -> bool:
        """Note that a process died or ran out of time on this job. Return True if the device is suspected.

        A device is suspected after two deaths in a row on two different pictures, and until a job succeeds on it. Each job is excused
        ``MAX_EXCUSES`` times at most. A CPU is never suspected, and no device is suspected because of a job without a model.
        """
        if self._device == "cpu" or not job.models:
            return False
        key, before = work_key(job), self._last_fatal_work
        self._last_fatal_work = key
        excuses = self._excuses_by_work.get(key, 0)
        if before is None or (before == key and not excuses) or excuses >= MAX_EXCUSES:
            return False
        self._excuses_by_work[key] = excuses + 1
        return True
