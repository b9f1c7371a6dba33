"""What becomes of work: what the lanes say of it, and when its result may be committed or its fault be told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from goldsmith.errors import MachineFault, Problem
from goldsmith.files import Sig
from goldsmith.jobs.job import Fault, Outcome, Progress, PutBack
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import TakenRow
from goldsmith.pipeline.intake.bundle import Bundle
from goldsmith.pipeline.intake.intake import Intake
from goldsmith.pipeline.scheduler.holds import Holds
from goldsmith.pipeline.scheduler.in_flight import Heard, Machine, Slate
from goldsmith.pipeline.scheduler.work import Work, fingerprint
from goldsmith.pipeline.workers.queues import Event, Lanes

LEASE = 60.0
"""Seconds beyond its own time limit for which a running job is believed without a word from its lane."""
_SOON = 0.25


@dataclass(frozen=True, slots=True)
class Patience:
    """The foreman's own waits, in seconds, and how many times a lane may die of one picture."""

    gather: float = 2.0
    broken_after: float = 30.0
    attempts: int = 2


class Outcomes:
    """Hears the lanes and settles what they bring."""

    def __init__(
        self,
        *,
        slate: Slate,
        machine: Machine,
        intake: Intake,
        lanes: Lanes,
        holds: Holds,
        journal: Journal,
        patience: Patience,
        wall: Callable[[], float],
        heard: Heard,
    ) -> None:
        self._slate = slate
        self._machine = machine
        self._intake = intake
        self._lanes = lanes
        self._holds = holds
        self._journal = journal
        self._patience = patience
        self._wall = wall
        self._heard = heard
        self._heard_of: deque[Event] = deque()

    def hear(self, now: float) -> None:
        """Take in what the lanes have said since."""
        self._heard_of.extend(self._lanes.collect(now))
        while self._heard_of:
            self._take_in(self._heard_of[0], now)
            self._heard_of.popleft()  # only now: a journal that fails over one of them loses none

    def _take_in(self, event: Event, now: float) -> None:
        work = self._slate.of_job(event.job_id)
        if work is None:
            return
        if isinstance(event, Progress):
            self._progress(work, event)
        elif isinstance(event, PutBack):
            self._put_back(work, event)
        elif work.cancelled:
            self._slate.forget(work)
            self._slate.again([work.bundle.key])
        elif event.fault is not None:
            self._fault(work, event.fault, event, now)
        else:
            self.finish(work, event, now)

    def finish(self, work: Work, outcome: Outcome, now: float) -> None:
        """The work is done; what is left is to wait until its inputs have settled."""
        work.outcome = outcome
        work.hashes.update({read.path: read.sha256 for read in outcome.reads})
        self.settle(work, now)

    def settle(self, work: Work, now: float) -> None:
        """Commit (or hold) as soon as every file has been quiet long enough; look again at that moment otherwise."""
        ready_at = self._ready_at(work)
        if work.outcome is None:
            return
        if ready_at is None or ready_at > now:
            if work.in_lane:
                self._journal.renewed(work.job.id, self._believed(work, 0.0 if ready_at is None else ready_at - now))
            if ready_at is not None:  # else the intake brings it up again when its files have settled
                self._slate.later(ready_at, work.bundle.key)
        elif work.outcome.fault is not None:
            fault = work.outcome.fault
            shown = _shown(fault)  # the scratch folder goes with the work
            self._slate.forget(work)
            self.hold(work.bundle, work.sigs, Problem(fault.sentence, fault.remedy), work, shown)
        elif not work.plan_id:
            self._slate.finished[work.bundle.key] = None

    def withdraw(self, work: Work) -> None:
        """Its inputs changed or went away: nothing of it is kept. What lies there now is looked at afresh."""
        if work.plan_id:
            return  # half put down by a failing disk: it ends there first
        if work.outcome is not None:
            self._slate.forget(work)
            self._slate.again([work.bundle.key])
        elif not work.cancelled:
            work.cancelled = True
            self._lanes.cancel(work.job.id)

    def hold(self, bundle: Bundle, sigs: Mapping[str, Sig], problem: Problem, work: Work | None, shown: bytes = b"") -> None:
        """Tell what is wrong, beside the picture and on record; it stays where it lies. ``shown``: a JPEG that shows it, too."""
        row = None
        if work is not None and work.picture in work.hashes:
            row = TakenRow(
                job_id=work.job.id,
                path=work.picture,
                sha256=work.hashes[work.picture],
                started_at=work.started_at,
                taken_at=self._wall(),
                stage=work.job.stage,
                outcome="problem",
                record={"sentence": problem.sentence, "remedy": problem.remedy},
            )
        try:
            note = self._holds.hold(bundle, sigs, problem, row, library=work is None or work.uses_library, shown=shown)
        except FileNotFoundError:
            self._intake.touched(bundle.asset or bundle.stem)  # it went away with its folder: there is nobody to tell
            return
        except (OSError, MachineFault) as error:
            self._machine.pause(error)
            self._slate.again([bundle.key])
            return
        if note:
            self._intake.touched(note)  # known from now on, so that it is missed however soon it is deleted
        self._heard("held", picture=bundle.asset or bundle.stem, sentence=problem.sentence, remedy=problem.remedy)

    def gathered_at(self, paths: Iterable[str]) -> float:
        """When the last of these files will have lain there for long enough to bring what belongs to it."""
        arrived = (self._intake.state(path).since for path in paths if self._intake.sha(path) is None)
        return max(arrived, default=0.0) + self._patience.gather

    def finishes_by(self, moment: float) -> bool:
        """Whether some work that is done may be committed by then, if nobody touches its files any more."""
        dues = (self._due(work) for work in self._slate.done())
        return any(due is not None and due <= moment for due in dues)

    def _ready_at(self, work: Work) -> float | None:
        """When the commit may be; None while a file has yet to settle."""
        settled = all(self._intake.state(path).kind == "settled" for path in work.sigs)
        return self._due(work) if settled else None

    def _due(self, work: Work) -> float | None:
        """When the commit may be, as far as its files go on lying still; None where one of them is on its way."""
        due = work.patience_until
        for path in work.sigs:
            settles = self._intake.settles_at(path)
            if settles is None:
                return None
            gathered = not work.ready.explicit and self._intake.sha(path) is None
            due = max(due, settles, self._intake.state(path).since + self._patience.gather if gathered else 0.0)
        return due

    def _progress(self, work: Work, event: Progress) -> None:
        until = self._believed(work)
        if event.step == 0 and not event.op:
            self._journal.started(event.job_id, self._wall(), until)
        else:
            self._journal.progress(event.job_id, event.step, event.op, event.fraction, event.note, until)
        self._heard("progress", picture=work.picture, stage=work.job.stage, step=event.step, op=event.op, fraction=event.fraction)

    def _believed(self, work: Work, seconds: float = 0.0) -> float:
        """Until when others may believe what stands in the journal of it: a job may be silent for all of its time, or for longer."""
        return self._wall() + max(seconds, work.job.limits.seconds) + LEASE

    def _put_back(self, work: Work, event: PutBack) -> None:
        """Its device failed: it stands in line again, and nothing is held against it."""
        self._journal.queued(work.job.id, work.job.stage, work.job.lane, work.picture, work.started_at)
        self._heard("put back", picture=work.picture, stage=work.job.stage, sentence=event.sentence)

    def _fault(self, work: Work, fault: Fault, outcome: Outcome, now: float) -> None:
        self._heard("fault", picture=work.picture, stage=work.job.stage, kind=fault.kind, sentence=fault.sentence, detail=fault.detail)
        key = work.bundle.key
        work.hashes.update({read.path: read.sha256 for read in outcome.reads})
        if fault.kind == "machine":
            self._slate.forget(work)
            self._machine.pause(MachineFault(fault.sentence, fault.remedy))
            self._slate.again([key])
        elif fault.kind in ("changed", "cancelled"):
            self._slate.forget(work)
            self._intake.touched(fault.path or work.picture)
            self._slate.later(now + _SOON, key)
        elif fault.kind in ("crash", "timeout", "memory"):
            self._died(work, fault)
        else:
            work.outcome = outcome
            work.patience_until = now + (self._patience.broken_after if fault.kind == "incomplete" else 0.0)
            self.settle(work, now)

    def _died(self, work: Work, fault: Fault) -> None:
        """A lane process died of it: that is one attempt. The same picture does not get to kill lanes for ever."""
        attempts = self._journal.attempted(work.picture, fingerprint(work.sigs))
        self._slate.forget(work)
        if attempts < self._patience.attempts:
            self._slate.again([work.bundle.key])
            return
        self.hold(work.bundle, work.sigs, Problem(f"{fault.sentence} It was tried {attempts} times.", fault.remedy), work)


def _shown(fault: Fault) -> bytes:
    """The picture that a step left to show why; without it the note stands alone."""
    try:
        return Path(fault.shown).read_bytes() if fault.shown else b""
    except OSError:
        return b""
