"""What becomes of work: what the lanes say of it, and when its result may be committed or its fault be told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from goldsmith.errors import HostError, InputError
from goldsmith.files import FileSignature
from goldsmith.jobs.job import JobFault, JobProgress, JobRequeued, Outcome
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import HistoryRow
from goldsmith.pipeline.intake.bundle import Bundle
from goldsmith.pipeline.intake.intake import Intake
from goldsmith.pipeline.scheduler.holds import Holds
from goldsmith.pipeline.scheduler.in_flight import HostHealth, InFlight, OnEvent
from goldsmith.pipeline.scheduler.work_item import WorkItem, fingerprint
from goldsmith.pipeline.workers.worker_pools import Event, WorkerPools

# Seconds beyond its own time limit for which a running job is believed without a word from its lane.
LEASE_SECONDS = 60.0
_RECHECK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class SettlePolicy:
    """The foreman's own waits, in seconds, and how many times a lane may die of one picture."""

    gather_seconds: float = 2.0
    incomplete_seconds: float = 30.0
    max_attempts: int = 2


class Results:
    """Hears the lanes and settles what they bring."""

    def __init__(
        self,
        *,
        in_flight: InFlight,
        host_health: HostHealth,
        intake: Intake,
        workers: WorkerPools,
        holds: Holds,
        journal: Journal,
        settle_policy: SettlePolicy,
        wall_clock: Callable[[], float],
        on_event: OnEvent,
    ) -> None:
        self._in_flight = in_flight
        self._host_health = host_health
        self._intake = intake
        self._workers = workers
        self._holds = holds
        self._journal = journal
        self._settle_policy = settle_policy
        self._wall_clock = wall_clock
        self._on_event = on_event
        self._pending_events: deque[Event] = deque()

    def process_events(self, now: float) -> None:
        """Take in what the lanes have said since."""
        self._pending_events.extend(self._workers.collect(now))
        while self._pending_events:
            self._process_event(self._pending_events[0], now)
            self._pending_events.popleft()  # only now: a journal that fails over one of them loses none

    def _process_event(self, event: Event, now: float) -> None:
        work = self._in_flight.get_by_job(event.job_id)
        if work is None:
            return
        if isinstance(event, JobProgress):
            self._handle_progress(work, event)
        elif isinstance(event, JobRequeued):
            self._handle_requeue(work, event)
        elif work.is_cancelled:
            self._in_flight.remove(work)
            self._in_flight.recheck([work.bundle.key])
        elif event.fault is not None:
            self._handle_fault(work, event.fault, event, now)
        else:
            self.finish(work, event, now)

    def finish(self, work: WorkItem, outcome: Outcome, now: float) -> None:
        """The work is done; what is left is to wait until its inputs have settled."""
        work.outcome = outcome
        work.hashes.update({read.path: read.sha256 for read in outcome.reads})
        self.commit_or_wait(work, now)

    def commit_or_wait(self, work: WorkItem, now: float) -> None:
        """Commit (or hold) as soon as every file has been quiet long enough; look again at that moment otherwise."""
        ready_at = self._commit_at(work)
        if work.outcome is None:
            return
        if ready_at is None or ready_at > now:
            if work.was_submitted:
                self._journal.renew_lease(work.job.id, self._lease_until(work, 0.0 if ready_at is None else ready_at - now))
            if ready_at is not None:  # else the intake brings it up again when its files have settled
                self._in_flight.recheck_at(ready_at, work.bundle.key)
        elif work.outcome.fault is not None:
            fault = work.outcome.fault
            shown = _read_preview(fault)  # the scratch folder goes with the work
            self._in_flight.remove(work)
            self.hold(work.bundle, work.sigs, InputError(fault.sentence, fault.remedy), work, shown)
        elif not work.plan_id:
            self._in_flight.ready_to_commit[work.bundle.key] = None

    def invalidate(self, work: WorkItem) -> None:
        """Its inputs changed or went away: nothing of it is kept. What lies there now is looked at afresh."""
        if work.plan_id:
            return  # half put down by a failing disk: it ends there first
        if work.outcome is not None:
            self._in_flight.remove(work)
            self._in_flight.recheck([work.bundle.key])
        elif not work.is_cancelled:
            work.is_cancelled = True
            self._workers.cancel(work.job.id)

    def hold(
        self, bundle: Bundle, sigs: Mapping[str, FileSignature], problem: InputError, work: WorkItem | None, preview: bytes = b""
    ) -> None:
        """Tell what is wrong, beside the picture and on record; it stays where it lies. ``shown``: a JPEG that shows it, too."""
        row = None
        if work is not None and work.asset_path in work.hashes:
            row = HistoryRow(
                job_id=work.job.id,
                path=work.asset_path,
                sha256=work.hashes[work.asset_path],
                started_at=work.started_at,
                taken_at=self._wall_clock(),
                stage=work.job.stage,
                outcome="problem",
                record={"sentence": problem.sentence, "remedy": problem.remedy},
            )
        try:
            note = self._holds.hold(bundle, sigs, problem, row, may_depend_on_library=work is None or work.uses_library, preview=preview)
        except FileNotFoundError:
            self._intake.recheck(bundle.asset or bundle.stem)  # it went away with its folder: there is nobody to tell
            return
        except (OSError, HostError) as error:
            self._host_health.report_failure(error)
            self._in_flight.recheck([bundle.key])
            return
        if note:
            self._intake.recheck(note)  # known from now on, so that it is missed however soon it is deleted
        self._on_event("held", picture=bundle.asset or bundle.stem, sentence=problem.sentence, remedy=problem.remedy)

    def sidecars_due_at(self, paths: Iterable[str]) -> float:
        """When the last of these files will have lain there for long enough to bring what belongs to it."""
        arrived = (self._intake.state(path).changed_at for path in paths if self._intake.known_sha256(path) is None)
        return max(arrived, default=0.0) + self._settle_policy.gather_seconds

    def has_commit_due_by(self, deadline: float) -> bool:
        """Whether some work that is done may be committed by then, if nobody touches its files any more."""
        dues = (self._earliest_commit(work) for work in self._in_flight.with_outcome())
        return any(due is not None and due <= deadline for due in dues)

    def _commit_at(self, work: WorkItem) -> float | None:
        """When the commit may be; None while a file has yet to settle."""
        settled = all(self._intake.state(path).status == "settled" for path in work.sigs)
        return self._earliest_commit(work) if settled else None

    def _earliest_commit(self, work: WorkItem) -> float | None:
        """When the commit may be, as far as its files go on lying still; None where one of them is on its way."""
        due = work.incomplete_deadline
        for path in work.sigs:
            settles = self._intake.settles_at(path)
            if settles is None:
                return None
            gathered = not work.ready.has_all_named_inputs and self._intake.known_sha256(path) is None
            due = max(due, settles, self._intake.state(path).changed_at + self._settle_policy.gather_seconds if gathered else 0.0)
        return due

    def _handle_progress(self, work: WorkItem, event: JobProgress) -> None:
        until = self._lease_until(work)
        if event.step == 0 and not event.op:
            self._journal.record_started(event.job_id, self._wall_clock(), until)
        else:
            self._journal.record_progress(event.job_id, event.step, event.op, event.fraction, event.note, until)
        self._on_event("progress", picture=work.asset_path, stage=work.job.stage, step=event.step, op=event.op, fraction=event.fraction)

    def _lease_until(self, work: WorkItem, seconds: float = 0.0) -> float:
        """Until when others may believe what stands in the journal of it: a job may be silent for all of its time, or for longer."""
        return self._wall_clock() + max(seconds, work.job.limits.timeout_seconds) + LEASE_SECONDS

    def _handle_requeue(self, work: WorkItem, event: JobRequeued) -> None:
        """Its device failed: it stands in line again, and nothing is held against it."""
        self._journal.record_queued(work.job.id, work.job.stage, work.job.queue, work.asset_path, work.started_at)
        self._on_event("put back", picture=work.asset_path, stage=work.job.stage, sentence=event.sentence)

    def _handle_fault(self, work: WorkItem, fault: JobFault, outcome: Outcome, now: float) -> None:
        self._on_event(
            "fault", picture=work.asset_path, stage=work.job.stage, kind=fault.kind, sentence=fault.sentence, detail=fault.detail
        )
        key = work.bundle.key
        work.hashes.update({read.path: read.sha256 for read in outcome.reads})
        if fault.kind == "machine":
            self._in_flight.remove(work)
            self._host_health.report_failure(HostError(fault.sentence, fault.remedy))
            self._in_flight.recheck([key])
        elif fault.kind in ("changed", "cancelled"):
            self._in_flight.remove(work)
            self._intake.recheck(fault.path or work.asset_path)
            self._in_flight.recheck_at(now + _RECHECK_SECONDS, key)
        elif fault.kind in ("crash", "timeout", "memory"):
            self._handle_worker_death(work, fault)
        else:
            work.outcome = outcome
            work.incomplete_deadline = now + (self._settle_policy.incomplete_seconds if fault.kind == "incomplete" else 0.0)
            self.commit_or_wait(work, now)

    def _handle_worker_death(self, work: WorkItem, fault: JobFault) -> None:
        """A lane process died of it: that is one attempt. The same picture does not get to kill lanes for ever."""
        attempts = self._journal.count_attempt(work.asset_path, fingerprint(work.sigs))
        self._in_flight.remove(work)
        if attempts < self._settle_policy.max_attempts:
            self._in_flight.recheck([work.bundle.key])
            return
        self.hold(work.bundle, work.sigs, InputError(f"{fault.sentence} It was tried {attempts} times.", fault.remedy), work)


def _read_preview(fault: JobFault) -> bytes:
    """The picture that a step left to show why; without it the note stands alone."""
    try:
        return Path(fault.preview_path).read_bytes() if fault.preview_path else b""
    except OSError:
        return b""
