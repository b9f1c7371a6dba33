"""Whether a lane's device is well. While it is not, nothing is begun on it and its jobs wait in place (law 5).

Whose fault a failure is, is told by what else happens on the device. A picture is not to blame for a dead device: it keeps its
place in line and no attempt is counted. A device is not to blame for a picture over which it fails again and again while others
come through.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from goldsmith.jobs.job import Job

FIRST_PAUSE, LONGEST_PAUSE = 10.0, 600.0
"""Seconds until a failed device is tried again, doubled with each failure. A card that fell off its bus takes a person to mend, and
then ten minutes are not long; a driver that is being updated is back sooner."""
_BACKOFF, _LONGEST_BACKOFF = 0.5, 60.0
"""The same for a process that could not even start."""

LET_OFF = 3
"""So often is a picture put back because its device is suspected: a device that is to blame has been tried again for an hour by then."""

Picture = tuple[str, str]
"""(path, stage): the same work again has another job, but not another name."""


def picture_of(job: Job) -> Picture:
    return job.picture.path, job.stage


class Health:
    """One device of one lane."""

    def __init__(self, lane: str, device: str, wall: Callable[[], float] = time.time) -> None:
        self.sentence = ""
        """Why nothing is begun on it; "" where it is well."""
        self.until = 0.0
        """When it is tried again."""
        self._lane = lane
        self._device = device
        self._wall = wall
        self._starts = 0
        self._failures = 0
        self._struck: dict[Picture, int] = {}
        """How often it failed over a picture since it was last well with another; 0 = it has been since, so that was the picture."""
        self._ended: Picture | None = None
        """The picture over which its last process died or ran out of time, where nothing has gone well since."""
        self._let_off: dict[Picture, int] = {}
        """How often a picture was put back because the device was suspected in its stead, since anything went well."""

    @property
    def name(self) -> str:
        """What a sentence calls it."""
        return "CPU" if self._device == "cpu" else f"GPU {self._device}"

    def ill(self, now: float) -> bool:
        """True while it pauses; a pause whose time is over ends here."""
        if self.sentence and now >= self.until:
            self.sentence = ""
        return bool(self.sentence)

    def pardon(self) -> None:
        """Try it again at once."""
        self.sentence = ""

    def started(self) -> None:
        """A process on it is ready for jobs."""
        self._starts = 0

    def could_not_start(self, why: str, now: float) -> None:
        """Its process ended before it was ready, or could not be made."""
        seconds = min(_LONGEST_BACKOFF, _BACKOFF * 2.0 ** min(self._starts, 16))
        self._starts += 1
        on = "" if self._device == "cpu" else f" on {self._device}"
        self.until = now + seconds
        self.sentence = f"The {self._lane} lane cannot start{on} ({why}); it is tried again within {seconds:g} s, and its jobs wait."

    def failed(self, why: str, now: float) -> None:
        """The device itself has failed: pause, longer every time."""
        seconds = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._failures, 16))
        self._failures += 1
        self.until = now + seconds
        at = time.strftime("%H:%M:%S", time.localtime(self._wall() + seconds))
        what = why.removeprefix(f"{self._device} has failed: ").rstrip(".")
        self.sentence = f"The {self.name} has failed ({what}). It is tried again at {at}; its jobs wait in place."

    def worked(self, job: Job) -> None:
        """A job was done on it. Only one that ran a generating model proves anything: other work may never have touched the device."""
        own = picture_of(job)
        if not job.models and own not in self._struck:
            return
        self._failures, self._ended = 0, None
        self._let_off.clear()
        self._struck.pop(own, None)
        self._struck = dict.fromkeys(self._struck, 0)

    def strike(self, job: Job) -> bool:
        """It failed over this job. True where that is the job's own doing: it has been well with others since it last did."""
        own = picture_of(job)
        before = self._struck.get(own)
        if before == 0:
            return True
        self._struck[own] = (before or 0) + 1
        return False

    def failed_over(self, job: Job) -> int:
        """How often it has failed over this job, with nothing done on it in between, or was suspected in its stead."""
        own = picture_of(job)
        return max(self._struck.get(own, 0), self._let_off.get(own, 0) + 1)

    def suspected(self, job: Job) -> bool:
        """A process died or ran out of time over this job. True where the device is suspected: twice running, over two pictures.

        It goes on to be suspected until something goes well on it, but each picture is let off only so often. A CPU is never
        suspected, nor is a device over work that it may have had no part in.
        """
        if self._device == "cpu" or not job.models:
            return False
        own, before = picture_of(job), self._ended
        self._ended = own
        times = self._let_off.get(own, 0)
        if before is None or (before == own and not times) or times >= LET_OFF:
            return False
        self._let_off[own] = times + 1
        return True
