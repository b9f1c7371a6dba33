"""The handling of results: events of the workers, and the moment at which an outcome is committed or a problem is reported."""

from __future__ import annotations

import posixpath
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from goldsmith.errors import HostError, InputError, UnreadableFileError
from goldsmith.files import FileSignature
from goldsmith.jobs import job_faults
from goldsmith.jobs.job import Job, JobFault, JobInput, JobProgress, JobRequeued, Outcome, PartKept
from goldsmith.journal.records import HistoryRow
from goldsmith.pipeline.intake.bundle import Bundle
from goldsmith.pipeline.scheduler.delivery_signing import (
    DeliverySigning,
    not_carried_remark,
    unsigned_remark,
    with_notes,
)
from goldsmith.pipeline.scheduler.origins import Origins
from goldsmith.pipeline.scheduler.parts import SharedParts
from goldsmith.pipeline.scheduler.review_decisions import unknown_problem
from goldsmith.pipeline.stage_work import StageWork, comparison_job, fingerprint
from goldsmith.pipeline.workers.outcome_files import read_preview
from goldsmith.pipeline.workers.worker_pool import Event
from goldsmith.root_folder import RootFolder

# Seconds beyond a job's own timeout for which the journal's row of a silent job is valid.
LEASE_SECONDS = 60.0
_RECHECK_SECONDS = 0.25
# How often a worker may report a fault of the machine for a job in which the daemon finds nothing wrong, before that counts as an attempt,
# and the seconds until the next try.
MAX_DISPUTES = 3
# Faults of a job that signs for which the original may be the cause, whose content credentials it carries.
_KINDS_OF_HARM = frozenset({"crash", "timeout", "memory", "refused", "changed"})
# Faults of a job that signs after which the whole work begins again: a file or the host has changed, or somebody cancelled it.
_KINDS_OF_NEW_WORK = frozenset({"machine", "disputed", "changed", "cancelled"})
_DISPUTE_RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class SettlePolicy:
    """The scheduler's own waits, in seconds, and how often a job may kill its worker process."""

    # How long a new file waits for its sidecars.
    gather_seconds: float = 2.0
    # How long the rest of an incomplete picture may take to arrive.
    incomplete_seconds: float = 30.0
    # A job whose worker process dies is tried this many times in all.
    max_attempts: int = 2


class Results:
    """Receives the events of the workers and handles every outcome."""

    def __init__(self, parts: SharedParts, settle_policy: SettlePolicy, signing: DeliverySigning) -> None:
        self._in_flight = parts.state.in_flight
        self._host_health = parts.state.host_health
        self._holds = parts.state.holds
        self._journal = parts.state.journal
        self._origins = Origins(parts.state.journal)
        self._intake = parts.intake
        self._workers = parts.workers
        self._wall_clock = parts.clocks.wall
        self._on_event = parts.on_event
        self._kept_parts = parts.state.kept_parts
        self._work_folder = parts.state.work_folder
        self._settle_policy = settle_policy
        self._signing = signing
        self._pending_events: deque[Event] = deque()
        # By asset path, how often its worker reported a fault of the machine that the daemon does not see.
        self._disputes: dict[str, int] = {}

    def process_events(self, now: float) -> None:
        """Handle every event that the workers have sent since the last call."""
        self._pending_events.extend(self._workers.collect(now))
        while self._pending_events:
            self._process_event(self._pending_events[0], now)
            self._pending_events.popleft()  # after the handling: if the journal fails, the event is handled again

    def _process_event(self, event: Event, now: float) -> None:
        work = self._in_flight.get_by_job(event.job_id)
        if work is None:
            if isinstance(event, Outcome) and event.scratch:  # of a job whose work was withdrawn
                self._work_folder.remove(event.scratch)
            return
        if event.job_id == work.comparison_id:
            self._handle_comparison(work, event, now)
            return
        if event.job_id == work.signing_id:
            self._handle_signing(work, event, now)
            return
        if isinstance(event, Outcome):
            work.scratch = event.scratch
        if isinstance(event, JobProgress):
            self._handle_progress(work, event)
        elif isinstance(event, PartKept):
            self._kept_parts.record(work.asset_path, event.part)
        elif isinstance(event, JobRequeued):
            self._handle_requeue(work, event)
        elif work.is_cancelled:
            self._in_flight.remove(work, keeps_place=True)
            self._in_flight.recheck([work.bundle.key])
        elif event.fault is not None:
            self._handle_fault(work, event.fault, event, now)
        else:
            self._host_health.report_success("job")
            self.finish(work, event, now)

    def finish(self, work: StageWork, outcome: Outcome, now: float) -> None:
        """Record the outcome of successful work, and commit it once its inputs have settled."""
        work.outcome = outcome
        if outcome.may_be_incomplete:
            work.incomplete_deadline = now + self._settle_policy.incomplete_seconds
        self._disputes.pop(work.asset_path, None)
        work.hashes.update({read.path: read.sha256 for read in outcome.reads})
        work.origin = self._origins.find(work)
        before_place = self._origins.place_of_before(work)
        if before_place is not None:
            job = comparison_job(work.job, work.job.asset, *before_place)
            self._in_flight.add_comparison(work, job.id)
            self._workers.submit(job)
        self._begin_signing(work)
        self.commit_or_wait(work, now)

    def credential_bytes(self, asset: JobInput) -> int:
        """Return the bytes that content credentials will take in each deliverable of this picture; 0 if nobody signs."""
        return self._signing.estimated_bytes(asset)

    def _begin_signing(self, work: StageWork) -> None:
        """Let the deliverables of the work be signed; if nobody signs, put the reason on record."""
        job, work.outcome = self._signing.prepare(work)
        self._submit_signing(work, job)

    def _submit_signing(self, work: StageWork, job: Job | None) -> None:
        if job is not None:
            self._in_flight.add_signing(work, job)
            self._workers.submit(job)

    def _handle_signing(self, work: StageWork, event: Event, now: float) -> None:
        """Go on with the signed files. If they cannot be signed, the delivery goes on without content credentials, and a remark says so.

        The credentials of the original may have harmed the process: without them it is tried once more.
        """
        if not isinstance(event, Outcome) or not work.is_being_signed:
            return
        work.signing = event
        work.signing_scratch += [event.scratch] if event.scratch else []
        fault = event.fault
        if fault is None:
            work.outcome = self._signing.with_signed_files(work.final_outcome, event)
        elif work.signing_carries and fault.kind in _KINDS_OF_HARM:
            self._report_unsigned(work, fault)
            work.outcome = with_notes(work.final_outcome, [not_carried_remark(fault)])
            self._submit_signing(work, self._signing.job_for(work, carries=False))
        elif fault.kind in _KINDS_OF_NEW_WORK:
            work.outcome = None
            self._handle_fault(work, fault, event, now)
            return
        else:
            self._report_unsigned(work, fault)
            work.outcome = with_notes(work.final_outcome, [unsigned_remark(fault)])
        self.commit_or_wait(work, now)

    def _report_unsigned(self, work: StageWork, fault: JobFault) -> None:
        self._on_event("not signed", picture=work.asset_path, kind=fault.kind, sentence=fault.sentence)

    def _handle_comparison(self, work: StageWork, event: Event, now: float) -> None:
        """Go on with work whose versions are compared. A comparison that failed costs the record its figures, and nothing else."""
        if isinstance(event, Outcome) and work.is_being_compared:
            work.comparison = event
            self.commit_or_wait(work, now)

    def commit_or_wait(self, work: StageWork, now: float) -> None:
        """Commit (or hold) the work if every input has been quiet long enough; else schedule a check for that moment."""
        ready_at = self._commit_at(work)
        if work.outcome is None or work.is_being_compared or work.is_being_signed:
            return
        if ready_at is None or ready_at > now:
            if work.was_submitted:
                self._journal.renew_lease(work.job.id, self._lease_until(work, 0.0 if ready_at is None else ready_at - now))
            if ready_at is not None:  # else the intake reports the bundle again once its files have settled
                self._in_flight.recheck_at(ready_at, work.bundle.key)
        elif work.outcome.fault is not None:
            fault = work.outcome.fault
            preview = _read_preview(work, fault)  # before the scratch folder is removed with the work
            self._in_flight.remove(work)
            self.hold(work.bundle, work.sigs, InputError(fault.sentence, fault.remedy), work, preview)
        elif not work.plan_id and self._has_name(work):
            self._in_flight.ready_to_commit[work.bundle.key] = None

    def _has_name(self, work: StageWork) -> bool:
        """Return whether the work can be committed. A picture in a tray that is called like no waiting result gets the name of its result.

        If it is none, or if it may be several, it is held.
        """
        decision = work.ready.decision
        if decision is None or decision.kind != "name":
            return True
        places, folder = self._origins.places_in_review(work), posixpath.dirname(work.asset_path)
        stems = {posixpath.splitext(posixpath.basename(place))[0] for place in places}
        suffix = posixpath.splitext(work.asset_path)[1]
        if len(stems) == 1 and RootFolder(work.job.root).is_missing(posixpath.join(folder, (stem := stems.pop()) + suffix)):
            work.ready = replace(work.ready, decision=replace(decision, stem=stem))
            return True
        self._in_flight.remove(work)
        self.hold(work.bundle, work.sigs, unknown_problem(work.asset_path, places), None)
        return False

    def invalidate(self, work: StageWork) -> None:
        """Discard work whose inputs have changed or disappeared, and check the bundle again as it is now."""
        if work.plan_id:
            return  # a failing disk left the commit half done; it must be finished or undone first
        if work.outcome is not None:
            self._in_flight.remove(work, keeps_place=True)
            if work.is_being_compared:
                self._workers.cancel(work.comparison_id)
            if work.is_being_signed:
                self._workers.cancel(work.signing_id)
            self._in_flight.recheck([work.bundle.key])
        elif not work.is_cancelled:
            work.is_cancelled = True
            self._workers.cancel(work.job.id)

    def reject(self, work: StageWork, is_missing: bool) -> None:
        """Do work again whose results are not the files that were hashed. Hold the asset after the last attempt.

        ``is_missing``: a result has disappeared from the scratch folder.
        """
        fault = job_faults.result_lost(work.job) if is_missing else job_faults.result_changed(work.job)
        self._on_event("fault", picture=work.asset_path, stage=work.job.stage, kind=fault.kind, sentence=fault.sentence, detail="")
        self._handle_failed_attempt(work, fault)

    def hold(
        self,
        bundle: Bundle,
        sigs: Mapping[str, FileSignature],
        problem: InputError,
        work: StageWork | None,
        preview: bytes = b"",
        denied_folders: Sequence[str] | None = None,
    ) -> None:
        """Report a problem in a note beside the picture and in the journal. The files stay in place.

        ``preview``: the bytes of a JPEG that shows the problem, or b"". ``denied_folders``: the folders whose permissions are the problem;
        None if it is another one.
        """
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
        if isinstance(problem, UnreadableFileError) and denied_folders is None:
            denied_folders = ()
        is_known = self._holds.is_held_for(bundle, problem)
        may_depend_on_library = work is None or work.uses_library
        try:
            note = self._holds.hold(bundle, sigs, problem, row, may_depend_on_library, preview, denied_folders)
        except (OSError, HostError) as error:
            if isinstance(error, FileNotFoundError | NotADirectoryError) and self._holds.is_gone(bundle):
                self._intake.recheck(bundle.asset or bundle.stem)  # the asset has gone with its folder: no note is needed
                return
            self._host_health.report_failure(error, "note")
            self._in_flight.recheck([bundle.key])
            return
        self._host_health.report_success("note")
        if note:
            self._intake.recheck(note)  # the intake follows the note from now on and notices when somebody deletes it
        if not is_known:
            self._on_event("held", picture=bundle.asset or bundle.stem, sentence=problem.sentence, remedy=problem.remedy)

    def unreadable_due_at(self, unreadable_since: float) -> float:
        """Return the monotonic time at which a file that cannot be read is reported: a program may still be setting its permissions."""
        return unreadable_since + self._settle_policy.incomplete_seconds

    def broken_due_at(self, changed_at: float) -> float:
        """Return the monotonic time at which a file that has not changed since ``changed_at`` and is still incomplete counts as broken."""
        return changed_at + self._settle_policy.incomplete_seconds

    def sidecars_due_at(self, paths: Iterable[str]) -> float:
        """Return the monotonic time at which the newest of these files has waited long enough for its sidecars."""
        arrived = (self._intake.state(path).changed_at for path in paths if self._intake.known_sha256(path) is None)
        return max(arrived, default=0.0) + self._settle_policy.gather_seconds

    def has_commit_due_by(self, deadline: float) -> bool:
        """Return whether finished work can be committed by ``deadline`` (monotonic time) if nobody changes its files."""
        dues = (self._earliest_commit(work) for work in self._in_flight.with_outcome())
        return any(due is not None and due <= deadline for due in dues)

    def _commit_at(self, work: StageWork) -> float | None:
        """Return the monotonic time from which the work may be committed, or None while a file has not settled."""
        settled = all(self._intake.state(path).status == "settled" for path in work.sigs)
        return self._earliest_commit(work) if settled else None

    def _earliest_commit(self, work: StageWork) -> float | None:
        """Return the monotonic time from which the work may be committed if nobody changes its files; None if one is still arriving."""
        due = work.incomplete_deadline
        for path in work.sigs:
            settles = self._intake.settles_at(path)
            if settles is None:
                return None
            gathered = not work.ready.has_all_named_inputs and self._intake.known_sha256(path) is None
            due = max(due, settles, self._intake.state(path).changed_at + self._settle_policy.gather_seconds if gathered else 0.0)
        return due

    def _handle_progress(self, work: StageWork, event: JobProgress) -> None:
        until = self._lease_until(work)
        work.progress = event
        if event.step == 0 and not event.op:
            self._journal.record_started(event.job_id, self._wall_clock(), until)
        else:
            self._journal.record_progress(event.job_id, event.step, event.op, event.fraction, event.note, until)
        self._on_event("progress", picture=work.asset_path, stage=work.job.stage, step=event.step, op=event.op, fraction=event.fraction)

    def record_again(self, now: float) -> None:
        """Record the queued and running jobs and the holds in a new journal. ``now`` is in monotonic seconds."""
        running = self._workers.running_jobs()
        for work in self._in_flight.submitted():
            job = work.job
            self._journal.record_queued(job.id, job.stage, job.queue, work.asset_path, work.started_at)
            if job.id in running:
                began = self._wall_clock() - (now - running[job.id].started_at)
                self._journal.record_started(job.id, began, self._lease_until(work))
        self._holds.record_again()

    def _lease_until(self, work: StageWork, seconds: float = 0.0) -> float:
        """Return the Unix time until which the job's row in the journal is valid without a further event."""
        return self._wall_clock() + max(seconds, work.job.limits.timeout_seconds) + LEASE_SECONDS

    def _handle_requeue(self, work: StageWork, event: JobRequeued) -> None:
        """Record that a job is back in its queue because its device failed. This does not count as an attempt."""
        work.progress = None
        self._journal.record_queued(work.job.id, work.job.stage, work.job.queue, work.asset_path, work.started_at)
        self._on_event("requeued", picture=work.asset_path, stage=work.job.stage, sentence=event.sentence)

    def _handle_fault(self, work: StageWork, fault: JobFault, outcome: Outcome, now: float) -> None:
        if fault.kind == "yielded":
            self._give_way(work)
            return
        self._on_event(
            "fault", picture=work.asset_path, stage=work.job.stage, kind=fault.kind, sentence=fault.sentence, detail=fault.detail
        )
        key = work.bundle.key
        work.hashes.update({read.path: read.sha256 for read in outcome.reads})
        if fault.kind == "machine":
            self._in_flight.remove(work, keeps_place=True)
            self._host_health.report_failure(HostError(fault.sentence, fault.remedy), "job")
            self._in_flight.recheck([key])
        elif fault.kind == "disputed":
            self._handle_dispute(work, fault, now)
        elif fault.kind in ("changed", "cancelled"):
            self._in_flight.remove(work, keeps_place=True)
            self._intake.recheck(fault.path or work.asset_path)
            self._in_flight.recheck_at(now + _RECHECK_SECONDS, key)
        elif fault.kind in ("crash", "timeout", "memory", "refused", "lost"):
            self._handle_failed_attempt(work, fault)
        else:
            work.outcome = outcome
            work.incomplete_deadline = now + (self._settle_policy.incomplete_seconds if fault.kind == "incomplete" else 0.0)
            self.commit_or_wait(work, now)

    def _give_way(self, work: StageWork) -> None:
        """Queue the work again behind what waits: it is no fault and no attempt, and its finished parts are kept."""
        self._in_flight.remove(work)
        self._in_flight.recheck([work.bundle.key])
        part_count = len(self._kept_parts.of(work.asset_path))
        self._in_flight.note_gave_way(work, part_count)
        self._on_event("gave way", picture=work.asset_path, stage=work.job.stage, parts=part_count)

    def _handle_dispute(self, work: StageWork, fault: JobFault, now: float) -> None:
        """Try the work again later, whose worker says that the machine failed although the daemon finds nothing wrong; nothing else waits.

        It may be a quota, or a lie, so that after ``MAX_DISPUTES`` times each further time counts as an attempt.
        """
        count = self._disputes[work.asset_path] = self._disputes.get(work.asset_path, 0) + 1
        if count > MAX_DISPUTES:
            self._handle_failed_attempt(work, fault)
            return
        self._in_flight.remove(work)
        self._in_flight.recheck_at(now + _DISPUTE_RETRY_SECONDS, work.bundle.key)

    def _handle_failed_attempt(self, work: StageWork, fault: JobFault) -> None:
        """Count an attempt for which the picture need not be at fault. Try again, or hold the asset after the last attempt."""
        attempts = self._journal.count_attempt(work.asset_path, fingerprint(work.sigs))
        is_last = attempts >= self._settle_policy.max_attempts
        self._in_flight.remove(work, keeps_place=not is_last)
        if not is_last:
            self._in_flight.recheck([work.bundle.key])
            return
        self._disputes.pop(work.asset_path, None)
        self.hold(work.bundle, work.sigs, InputError(f"{fault.sentence} It was tried {attempts} times.", fault.remedy), work)


def _read_preview(work: StageWork, fault: JobFault) -> bytes:
    """Return the JPEG that a step wrote to show the problem, or b"" if there is none or it cannot be read."""
    return read_preview(work.job.model_copy(update={"scratch": work.scratch}), fault.preview_path) if fault.preview_path else b""
