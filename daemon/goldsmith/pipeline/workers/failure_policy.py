"""What becomes of jobs whose process is dead: an outcome each, or their place in line again where it was not their doing."""

from __future__ import annotations

from collections.abc import Callable

from goldsmith.jobs import faults
from goldsmith.jobs.job import Fault, Job, Outcome, PutBack
from goldsmith.pipeline.workers.job_queue import Queue
from goldsmith.pipeline.workers.slot import Place, Run

_SENDS = 3
"""So often is a job sent to a process that dies before it begins; then the job is suspected."""


class Endings:
    """Decides whose fault a dead process is. Every job gets exactly one outcome in the end, however often it is put back before."""

    def __init__(self, queue: Queue, finish: Callable[[Outcome], None], tell: Callable[[PutBack], None]) -> None:
        self._queue = queue
        self._finish = finish
        self._tell = tell
        self._sends: dict[str, int] = {}
        self._alone: set[str] = set()

    def sociable(self, job: Job) -> bool:
        """Whether it may be worked on together with others: not where a process has died of one of them, and nobody knows which."""
        return job.id not in self._alone

    @property
    def wary(self) -> bool:
        """True while there is such a job that is not sociable."""
        return bool(self._alone)

    def forget(self, job_id: str) -> None:
        """It has its outcome."""
        self._sends.pop(job_id, None)
        self._alone.discard(job_id)

    def device_failed(self, place: Place, run: Run, fault: Fault, now: float) -> None:
        """A job says that its device has failed: that pauses, unless it is this one job that it always fails over."""
        health = place.bay.health
        if len(place.runs) == 1 and health.strike(run.job):
            run.doom, run.own = faults.fails_device(run.job, health.name, fault), True
            return
        place.blame = fault.sentence
        health.failed(fault.sentence, now)

    def of(self, place: Place, status: int | None, words: str, now: float) -> None:
        """Tell what becomes of every job that the dead process had; ``status`` is None for one that would not go."""
        back: list[Job] = []
        together = len(place.runs) > 1
        called_off = any(run.deaf(now) for run in place.runs)
        for run in place.runs:
            fault = run.doom or faults.died(run.job, -9 if status is None else status)
            if run.cancelled is not None:
                self._ended(run.job, faults.cancelled(run.job), words)
            elif place.blame or together:
                back.append(run.job)
            elif not run.begun and run.doom is None and self._may_be_sent_again(run.job):
                self._queue.put_back([run.job])
            elif not run.own and fault.kind in ("crash", "timeout") and place.bay.health.suspected(run.job):
                place.blame = faults.twice_running(run.job, fault)
                place.bay.health.failed(place.blame, now)
                back.append(run.job)
            else:
                self._ended(run.job, fault, words)
        if together and not (place.blame or called_off):
            self._alone.update(job.id for job in back)
        self._put_back(place, back)

    def _ended(self, job: Job, fault: Fault, words: str) -> None:
        self._finish(Outcome(job_id=job.id, fault=fault.model_copy(update={"detail": words})))

    def _may_be_sent_again(self, job: Job) -> bool:
        """One that had not even begun loses nothing by being sent to another process."""
        self._sends[job.id] = self._sends.get(job.id, 0) + 1
        return self._sends[job.id] < _SENDS

    def _put_back(self, place: Place, jobs: list[Job]) -> None:
        """To the front of the line; but one over which the device fails again lets another go first: that shows who is to blame."""
        again = len(jobs) == 1 and place.bay.health.failed_over(jobs[0]) > 1
        self._queue.put_back(jobs, behind=min(len(self._queue), int(again)))
        sentence = place.blame or "It shared a process with a job that ended it."
        for job in jobs:
            self._tell(PutBack(job_id=job.id, sentence=sentence))
