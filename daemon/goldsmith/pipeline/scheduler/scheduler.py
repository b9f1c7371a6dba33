"""The scheduler: moves each asset from its folder to the next one.

The scheduler is one loop in one thread. A turn handles the events of the workers, checks the bundles that the intake reports, starts
jobs, and commits finished work in batches. No call waits, decodes a picture, or names a stage or an operation.
"""

from __future__ import annotations

import posixpath
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import cast

from goldsmith.brief.pipeline import Pipeline
from goldsmith.errors import AlreadyRunningError, HostError, InputError, UnreadableFileError
from goldsmith.files import EXHAUSTED_ERRNOS, FileSignature, display_name
from goldsmith.jobs.job import BY_HAND, InputRead, Job, JobInput, Outcome, RemovalRecord
from goldsmith.jobs.work_folder import ScratchError
from goldsmith.journal.damage import replaced_remedy
from goldsmith.journal.records import Plan
from goldsmith.journal.sqlite_errors import JournalBroken
from goldsmith.pipeline.commit.late_writes import LateWrites
from goldsmith.pipeline.commit.naming import is_in_archive
from goldsmith.pipeline.commit.plan_executor import (
    FilesChanged,
    PlanCommitted,
    PlanExecutor,
    PlanHalted,
    PlanResult,
    ResultsRejected,
)
from goldsmith.pipeline.commit.planner import Planner
from goldsmith.pipeline.intake.bundle import Bundle, BundleKey, bundle_key
from goldsmith.pipeline.intake.file_tracker import FileState
from goldsmith.pipeline.intake.stage_folders import CHECK_INTERVAL_SECONDS
from goldsmith.pipeline.scheduler.candidate_briefs import CandidateBriefs
from goldsmith.pipeline.scheduler.group_commit import GroupCommitDelay
from goldsmith.pipeline.scheduler.host_health import mistake_sentence, traceback_text
from goldsmith.pipeline.scheduler.in_flight import files_token
from goldsmith.pipeline.scheduler.known_looks import find_known_looks
from goldsmith.pipeline.scheduler.limits import JobLimits
from goldsmith.pipeline.scheduler.parts import SharedParts
from goldsmith.pipeline.scheduler.readiness import Invalid, Readiness, Waiting
from goldsmith.pipeline.scheduler.results import Results
from goldsmith.pipeline.scheduler.text_files import TextFileCache
from goldsmith.pipeline.stage_work import EarlierWork, Ready, StageWork, build_job, checks_results, job_inputs, removals_of
from goldsmith.pipeline.turns import TurnQueue
from goldsmith.pipeline.workers.job_queue import QueuedJob

# Maximum number of plans in one commit: they share one record in the journal and one fsync per folder.
COMMIT_BATCH_SIZE = 64
# Maximum number of plans whose files are being copied, after a first batch. A single picture waits behind so many copies at most.
_MAX_COPYING_PLANS = 8
# While this much finished work waits for its commit, no further job starts: its results lie in scratch folders.
MAX_UNCOMMITTED = 128
# Maximum number of bundles that are due for a check at a time. The others stay in the intake, which has a fair order of its own.
MAX_DUE_CHECKS = 512
# Seconds after which a turn of the loop checks no further bundle, so that workers, signals and the watchdog get their answers.
_CHECK_SECONDS = 0.03
# How many bundles it checks in any case, so that a turn does more than pay for itself on a busy machine.
_MIN_CHECKS = 16
_LOCK_RENEWED = "The lock in .goldsmith was removed or replaced. It is made anew; leave that folder alone while Goldsmith runs."
_EXHAUSTED = "Something in the folders needs more memory than Goldsmith has."
_UNREADABLE_REMEDY = "Let Goldsmith's user read it and enter its folders (chmod g+rX), and check its disk. It is tried again by itself."
_UNEXPECTED_REMEDY = "This is a mistake in Goldsmith. Please report it with the traceback in the log. It is tried again by itself."
_EXHAUSTED_REMEDY = "Look for very deep folders and very large texts in the folder of the last upload, and take them away."


@dataclass(frozen=True, slots=True)
class JobPreparation:
    """The parts that turn a bundle into a job."""

    readiness: Readiness
    text_files: TextFileCache
    limits: JobLimits


@dataclass(frozen=True, slots=True)
class CommitParts:
    """The parts that turn an outcome into a plan and carry the plan out."""

    planner: Planner
    executor: PlanExecutor
    late_writes: LateWrites


@dataclass(frozen=True, slots=True)
class SchedulerParts:
    """All collaborators of the scheduler."""

    shared: SharedParts
    results: Results
    preparation: JobPreparation
    commit: CommitParts


class Scheduler:
    """Owns every asset from the start of its work until it is in the next folder."""

    def __init__(self, root: Path, pipeline: Pipeline, parts: SchedulerParts) -> None:
        shared = parts.shared
        self._root = root
        self._pipeline = pipeline
        self._in_flight = shared.state.in_flight
        self._holds = shared.state.holds
        self._host_health = shared.state.host_health
        self._journal = shared.state.journal
        self._work_folder = shared.state.work_folder
        self._root_lock = shared.state.root_lock
        self._kept_parts = shared.state.kept_parts
        self._intake = shared.intake
        self._workers = shared.workers
        self._clock = shared.clocks.monotonic
        self._wall_clock = shared.clocks.wall
        self._on_event = shared.on_event
        self._results = parts.results
        self._readiness = parts.preparation.readiness
        self._text_files = parts.preparation.text_files
        self._job_limits = parts.preparation.limits
        self._planner = parts.commit.planner
        self._plan_executor = parts.commit.executor
        self._late_writes = parts.commit.late_writes
        self._candidate_briefs = CandidateBriefs(root, pipeline, self._journal, parts.commit.executor.fs)
        # Bundles that wait for a file in the library, in the order in which they began to wait.
        self._waiting_for_library: dict[BundleKey, None] = {}
        self._is_draining = False
        # Monotonic time of the next check of the service's own folder.
        self._work_folder_check_at = 0.0
        self._group_commit_delay = GroupCommitDelay(COMMIT_BATCH_SIZE, self._clock)
        # Work that is being queued: if a worker takes it at once, it is not built twice.
        self._just_queued: StageWork | None = None
        self._workers.build_job = self._build_job

    # ------------------------------------------------------------------ the main loop's interface

    def run_once(self) -> None:
        """Do everything that can be done now, without waiting. If the journal turns out to be broken, go on with a new one.

        A failure pauses all work until the next trial (law 12). Raises only AlreadyRunningError, if another daemon has taken over the root.
        """
        try:
            self._take_turn(self._clock())
        except AlreadyRunningError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever fails, the loop goes on
            self.report_failed_turn(error)
        if self._journal.damage is not None:
            self._replace_journal(self._journal.damage)

    def report_failed_turn(self, error: Exception) -> None:
        """Pause because of an exception that no part has handled: of the disk, of the memory, or a mistake in this program."""
        if not isinstance(error, HostError | OSError):
            is_exhausted = isinstance(error, RecursionError | MemoryError)
            fault = HostError(_EXHAUSTED, _EXHAUSTED_REMEDY) if is_exhausted else HostError(mistake_sentence(error), _UNEXPECTED_REMEDY)
            self._on_event("error", sentence=fault.sentence, detail=traceback_text(error))
            error = fault
        self._host_health.report_failure(error, "turn")

    def _take_turn(self, now: float) -> None:
        self._check_work_folder(now)
        if self._host_health.is_unhealthy and now >= self._host_health.retry_at:
            self._begin_trial()
        self._workers.hold(self._must_hold)
        written = self._journal.change_count
        with self._journal.batch():
            self._results.process_events(now)
            self._check_bundles(now)
        if self._journal.change_count != written:
            self._host_health.report_success("turn")
        if not self._host_health.is_unhealthy and self._plan_executor.copying_plans:
            self._finish_copied()
        if not self._host_health.is_unhealthy and self._commit_room and not self._commit_delay():
            self._commit_batch()
        if not self._host_health.is_unhealthy:
            self._put_back_late_writes(now)
        if self._host_health.is_on_trial and not len(self._in_flight) and not self._in_flight.due_count:
            self._probe_host()

    def _put_back_late_writes(self, now: float) -> None:
        """Take inputs that were written to after their commit as new work."""
        for path in self._late_writes.put_back_changed(now):
            self._on_event("put_back", picture=path, sentence="It was still being written when it was taken, and is done again.")
            self._intake.recheck(path)

    def _replace_journal(self, damage: JournalBroken) -> None:
        """Set the broken journal aside, and put the work in progress into the new one. The folders hold everything else."""
        try:
            kept = self._journal.replace_broken(self._wall_clock())
            self._on_event("journal replaced", sentence=damage.sentence, remedy=replaced_remedy(kept))
            self._plan_executor.record_again()
            with self._journal.batch():
                self._results.record_again(self._clock())
                self._record_queue_again()
            self._begin_trial()
        except Exception as error:  # noqa: BLE001 - whatever fails, the loop goes on
            self.report_failed_turn(error)

    def _record_queue_again(self) -> None:
        """Record the bundles that wait for a worker in a new journal."""
        for key, queued in self._in_flight.queued():
            bundle, stage = self._intake.bundle(key), self._pipeline.stage_of_folder(key.folder)
            if bundle is not None and stage is not None:
                self._journal.record_queued(queued.id, stage.name, queued.queue, bundle.asset, self._wall_clock())

    @property
    def _must_hold(self) -> bool:
        """True while no further job may start: the host has failed, or finished work waits, for a slow disk or for its files to settle."""
        return self._host_health.is_unhealthy or self._in_flight.uncommitted_count >= MAX_UNCOMMITTED

    @property
    def _commit_room(self) -> int:
        """How many plans the next commit may have. Few plans wait for the copies of their files, so that others get their turns."""
        copying = len(self._plan_executor.copying_plans)
        limit = COMMIT_BATCH_SIZE if not copying else max(0, _MAX_COPYING_PLANS - copying)
        return min(limit, len(self._in_flight.ready_to_commit))

    def _check_work_folder(self, now: float) -> None:
        """Check at intervals, and before a pause ends or a commit without a lock, that the root is this daemon's alone.

        A removed lock is made anew, and so is the service's own folder.
        """
        if self._host_health.is_unhealthy:
            is_urgent = now >= self._host_health.retry_at
        else:
            is_urgent = bool(self._in_flight.ready_to_commit) and not self._root_lock.is_current()
        if is_urgent or now >= self._work_folder_check_at:
            self._work_folder_check_at = now + CHECK_INTERVAL_SECONDS
            try:
                if self._root_lock.check():
                    self._on_event("lock renewed", sentence=_LOCK_RENEWED)
                self._work_folder.check()
            except HostError as fault:
                self._host_health.report_failure(fault, "turn")

    def seconds_until_due(self) -> float | None:
        """Return the seconds until the next turn has something to do without any event; None if only an event can cause work."""
        now = self._clock()
        if self._host_health.is_unhealthy:
            return max(0.05, self._host_health.retry_at - now)
        if self._in_flight.due_count or (self._workers.is_held and not self._must_hold):
            return 0.0
        due = [self._workers.seconds_until_due(now), self._seconds_to_next_check(now)]
        if self._commit_room:
            due.append(self._commit_delay())
        known = [max(0.0, seconds) for seconds in due if seconds is not None]
        return min(known) if known else None

    def _seconds_to_next_check(self, now: float) -> float | None:
        """Return the seconds until the next scheduled check of a bundle or of the intake."""
        moments = (self._in_flight.next_due_at(), self._holds.next_retry_at(), self._late_writes.next_look_at())
        return min([self._intake.seconds_until_due(now), *(moment - now for moment in moments if moment is not None)])

    def _commit_delay(self) -> float:
        """Return the seconds to wait before the next commit, so that more work joins the batch; 0 = commit now."""
        return self._group_commit_delay.seconds_to_wait(len(self._in_flight.ready_to_commit), self._seconds_to_more_results)

    def _seconds_to_more_results(self) -> float | None:
        """Return the seconds until more work may be finished, or None if no other work is in progress."""
        if len(self._in_flight) == len(self._in_flight.ready_to_commit):
            return None
        queued = any(self._workers.queue_length(stage.queue) for stage in self._pipeline.stages)
        return 0.0 if queued else self._seconds_to_next_check(self._clock())

    @property
    def is_idle(self) -> bool:
        """True if nothing more will happen until somebody changes a file."""
        return self._in_flight.is_empty and not self._intake.is_busy

    def can_finish_by(self, deadline: float) -> bool:
        """Return whether started work can still be committed by ``deadline`` (monotonic time): a job runs, or a commit is due by then."""
        is_committing = self._in_flight.ready_to_commit or self._plan_executor.copying_plans
        is_active = self._workers.running_jobs() or is_committing or self._results.has_commit_due_by(deadline)
        return bool(is_active) and not self._host_health.is_unhealthy

    def drain(self) -> None:
        """Start no further jobs. Running jobs finish and are committed."""
        self._is_draining = True
        self._workers.drain()

    # ------------------------------------------------------------------ checking bundles

    def _collect_due(self, now: float) -> None:
        """Make the checks due that are to be done now. If the system refuses to look at the folders, none is forgotten."""
        self._in_flight.collect_due(now)
        self._in_flight.recheck(self._intake.collect(now, max(0, MAX_DUE_CHECKS - self._in_flight.due_count)))
        self._in_flight.recheck(map(bundle_key, self._holds.pop_due_retries(now)))
        if self._intake.library_changed:
            self._in_flight.recheck(self._retry_library_holds())
            self._in_flight.recheck(self._waiting_for_library)
            self._intake.library_changed = False
            self._waiting_for_library.clear()

    def _check_bundles(self, now: float) -> None:
        """Check the bundles that are due, in fair turns and for a limited time: the others are due in the next turn."""
        self._collect_due(now)
        end = self._clock() + _CHECK_SECONDS
        for number in range(self._in_flight.due_count):
            key = self._in_flight.pop_due()
            try:
                self._check_bundle(key, now)
            except (RecursionError, MemoryError) as error:
                self._hold_exhausting(key, error)
            except OSError as error:
                if error.errno in EXHAUSTED_ERRNOS:
                    self._in_flight.recheck([key])
                    raise
                self._hold_unreadable(key, error)
            except BaseException:
                self._in_flight.recheck([key])  # the journal failed during the check
                raise
            if number >= _MIN_CHECKS and self._clock() >= end:
                break

    def _hold_exhausting(self, key: BundleKey, error: RecursionError | MemoryError) -> None:
        """Hold a bundle whose check used up the stack or the memory. Raises the error again if there is no such bundle any more."""
        bundle = self._intake.bundle(key)
        if bundle is None:
            raise error
        name = display_name(bundle.asset or bundle.stem)
        problem = InputError(f"{name} cannot be worked on: its files need more memory than Goldsmith has.", "Make them simpler.")
        self._on_event("error", picture=name, sentence=problem.sentence, detail=repr(error))
        self._results.hold(bundle, {}, problem, None)

    def _hold_unreadable(self, key: BundleKey, error: OSError) -> None:
        """Hold a bundle whose check the system refused, for example because its folder cannot be read. All others go on."""
        bundle = self._intake.bundle(key)
        if bundle is None:
            return  # the intake reports it again if it comes back
        place = f" ({display_name(error.filename)})" if isinstance(error.filename, str) else ""
        sentence = f"{display_name(bundle.asset or bundle.stem)} cannot be worked on: {error.strerror or error}{place}."
        self._results.hold(bundle, {}, UnreadableFileError(sentence, _UNREADABLE_REMEDY), None)

    def _retry_library_holds(self) -> Iterator[BundleKey]:
        """Yield the bundles that are held and may depend on the library, and allow each another try."""
        for picture in self._holds.waiting_for_library():
            bundle = self._intake.bundle_containing(picture)
            if bundle is not None:
                self._holds.allow_retry(picture)
                yield bundle.key

    def _check_bundle(self, key: BundleKey, now: float) -> None:
        bundle = self._intake.bundle(key)
        work = self._in_flight.get(key)
        if work is not None:
            self._recheck_work(work, bundle, now)
            return
        if self._in_flight.get_queued(key) is not None and not self._withdraw_if_changed(key, bundle):
            return
        if bundle is None or not bundle.asset:
            self._in_flight.forget_number(key)
            self._holds.release_key(key)
        elif bundle.has_instructions:
            self._check_instructed(bundle, now)
        else:
            self._in_flight.forget_number(key)
            self._holds.release_bundle(bundle)
            self._bring_brief(bundle)

    def _bring_brief(self, bundle: Bundle) -> None:
        """Lay the rest of its brief beside a candidate that somebody has taken from the archive, once it has arrived."""
        rows = [] if self._host_health.is_unhealthy or self._is_draining else self._candidate_briefs.rows_of(bundle)
        if not rows or bundle.picture is None:
            return
        self._track_files([bundle.picture])
        if self._intake.state(bundle.picture).status != "settled":
            return  # the intake reports it again
        brief = self._candidate_briefs.write(bundle, rows)
        if brief is not None:
            self._on_event("brief brought", picture=bundle.picture, brief=brief.path)
            self._intake.add_settled(brief.path, brief.sig, brief.sha256)
            self._intake.recheck(brief.path)

    def _withdraw_if_changed(self, key: BundleKey, bundle: Bundle | None) -> bool:
        """Take a bundle that has changed out of its queue. Return whether it has changed."""
        queued = self._in_flight.get_queued(key)
        sigs = None if bundle is None else self._settled_sigs(_all_files(bundle))
        if queued is None or (sigs is not None and files_token(sigs) == queued.token):
            return False
        self._withdraw(key)
        return True

    def _withdraw(self, key: BundleKey) -> None:
        """Take a bundle out of its queue, unless a worker has taken it."""
        queued = self._in_flight.get_queued(key)
        if queued is not None:
            self._in_flight.remove_queued(key)
            self._workers.withdraw(queued)

    def _check_instructed(self, bundle: Bundle, now: float) -> None:
        """Start a bundle that has instructions as soon as all its files look complete."""
        paths = _all_files(bundle)
        self._track_files(paths)
        states = {path: self._intake.state(path) for path in paths}
        readable = {path: state.sig for path, state in states.items() if state.sig is not None and state.status != "unreadable"}
        # This comes before the check for settled files: after a restart unchanged files have not settled yet, and the hold still applies.
        if self._holds.is_still_held(bundle, readable):
            return
        if self._is_held_as_empty(bundle, states, now):
            return
        sigs = self._settled_sigs(paths)
        if sigs is None:
            self._hold_if_unusable(bundle, states, readable, now)
            return
        if self._host_health.is_unhealthy or self._is_draining:
            # In the first turn of the trial, which does not end before the bundle has been checked.
            self._in_flight.recheck_at(self._host_health.retry_at if self._host_health.is_unhealthy else now + 1.0, bundle.key)
            return
        gathered = self._results.sidecars_due_at(paths) if bundle.is_lone_brief else 0.0
        if gathered > now:
            self._in_flight.recheck_at(gathered, bundle.key)  # the brief's picture may still arrive
            return
        self._holds.release_bundle(bundle)
        verdict = self._readiness.check(bundle)
        if isinstance(verdict, Ready):
            self._start(bundle, verdict, sigs, now)
            return
        self._in_flight.forget_number(bundle.key)
        if isinstance(verdict, Invalid):
            if self._may_be_unfinished(paths):
                return  # the bundle comes back when its files have settled
            self._results.hold(bundle, sigs, verdict.problem, None)
        elif isinstance(verdict, Waiting):
            self._holds.release(bundle.asset)
            if verdict.depends_on_library:
                self._waiting_for_library[bundle.key] = None

    def _is_held_as_empty(self, bundle: Bundle, states: Mapping[str, FileState], now: float) -> bool:
        """Hold a bundle with a file that has stayed empty for so long that its bytes will not come, and return whether it is held."""
        empty = {path: state.changed_at for path, state in states.items() if state.sig is not None and state.sig.size == 0}
        if not empty:
            return False
        path, changed_at = next(iter(empty.items()))
        due = self._results.broken_due_at(changed_at)
        if due > now:
            self._in_flight.recheck_at(due, bundle.key)
            return False
        problem = InputError(f"{display_name(posixpath.basename(path))} is empty: it has 0 bytes.", "Copy or save it again, or remove it.")
        self._results.hold(bundle, {path: state.sig for path, state in states.items() if state.sig is not None}, problem, None)
        return True

    def _hold_if_unusable(self, bundle: Bundle, states: Mapping[str, FileState], readable: Mapping[str, FileSignature], now: float) -> None:
        """Hold a bundle with a link, a pipe or a device, which never settles, or with a file that cannot be read.

        Release any other: its files are still arriving.
        """
        refusal = next((state.reason for state in states.values() if state.status == "refused" and state.reason), "")
        unreadable = {path: state for path, state in states.items() if state.status == "unreadable"}
        if refusal:
            if not self._holds.is_still_held(bundle, {}):
                self._results.hold(bundle, {}, InputError(f"{refusal}."), None)
        elif unreadable:
            path, state = next(iter(unreadable.items()))
            due = self._results.unreadable_due_at(state.changed_at)
            if due > now:
                self._in_flight.recheck_at(due, bundle.key)
                return
            problem = UnreadableFileError(f"{display_name(path)} {state.reason}.", _UNREADABLE_REMEDY)
            self._results.hold(bundle, readable, problem, None)
        else:
            self._holds.release_bundle(bundle)

    def _track_files(self, paths: Iterable[str]) -> None:
        """Follow these files. A file that the daemon placed before a restart counts as settled."""
        for path in paths:
            if not self._intake.is_followed(path):
                placed = self._journal.placed_file(path)
                if placed is not None:
                    self._intake.add_settled(path, placed.sig, placed.sha256)
        self._intake.follow(paths)

    def _settled_sigs(self, paths: Iterable[str]) -> dict[str, FileSignature] | None:
        """Return the signature of each file, or None if one of them cannot be used yet."""
        sigs: dict[str, FileSignature] = {}
        for path in paths:
            state = self._intake.state(path)
            if not state.can_start or state.sig is None:
                return None
            sigs[path] = state.sig
        return sigs

    def _may_be_unfinished(self, paths: Iterable[str]) -> bool:
        """Return whether one of the files may still be half written, because no lease tells and it has not been quiet for long."""
        weak = self._intake.weak_quiet_folders()
        return any(path.partition("/")[0] in weak and self._intake.state(path).status != "settled" for path in paths)

    def _recheck_work(self, work: StageWork, bundle: Bundle | None, now: float) -> None:
        """Discard work whose files have changed. If they are unchanged, commit it once they have been quiet long enough."""
        if bundle is None or set(_all_files(bundle)) != set(_all_files(work.bundle)):
            self._results.invalidate(work)
            return
        for path, sig in work.sigs.items():
            state = self._intake.state(path)
            if state.sig is None or not state.sig.same_content(sig) or state.status == "writing":
                self._results.invalidate(work)
                return
        if work.outcome is not None:
            self._results.commit_or_wait(work, now)

    def _start(self, bundle: Bundle, ready: Ready, sigs: dict[str, FileSignature], now: float) -> None:
        """Queue a bundle for a worker, or finish it at once if its stage has nothing to do."""
        work = self._make_work(secrets.token_hex(8), bundle, ready, sigs)
        if work is None:
            self._in_flight.recheck_at(now + 1.0, bundle.key)
            return
        job = work.job
        work.number = self._in_flight.take_number(bundle.key)
        if not job.steps and all(each.sha256 for each in job.inputs):
            # The daemon wrote these files, their hashes are known and nobody has changed them: no worker has to read them.
            self._begin(work)
            try:
                self._results.finish(work, _unchanged_outcome(work), now)
            except BaseException:
                self._in_flight.remove(work, keeps_place=True)  # else the bundle would count as being worked on for ever
                raise
            return
        turn = self._in_flight.turns.of(bundle.folder, bundle.campaign)
        queued = QueuedJob(job.id, job.queue, turn, work.number, job.models, job.batch_key, bundle.key, files_token(sigs))
        self._in_flight.add_queued(bundle.key, queued)
        self._just_queued = work
        try:
            self._journal.record_queued(job.id, job.stage, job.queue, work.asset_path, work.started_at)
            self._workers.enqueue(queued)
        except BaseException:
            self._withdraw(bundle.key)  # else the bundle would count as queued for ever
            raise
        finally:
            self._just_queued = None

    def _make_work(self, job_id: str, bundle: Bundle, ready: Ready, sigs: dict[str, FileSignature]) -> StageWork | None:
        """Return the work on a bundle with its job; None if a file has disappeared or is no regular file any more."""
        if ready.decision is not None:
            decision = ready.decision
            bundle = replace(bundle, picture=decision.picture or bundle.picture, stem=decision.stem or bundle.stem)
        try:
            texts = {path: self._text_files.read(path) for path in (bundle.brief, bundle.prompt) if path is not None}
        except (OSError, InputError):  # the intake will report it
            return None
        if any(not text.sig.same_content(sigs[path]) for path, text in texts.items()):  # it changed after the intake looked at it
            for path in texts:
                self._intake.recheck(path)
            return None
        hashes = {path: text.sha256 for path, text in texts.items()}
        self._work_folder.check()
        inputs = job_inputs(bundle, sigs, self._intake.known_sha256)
        is_final = ready.next_folder == self._pipeline.final_folder
        earlier = self._earlier_work(bundle, ready, inputs[0], is_final)
        job = build_job(job_id, self._root, bundle, ready, inputs, self._job_limits.base, is_final, earlier)
        job = self._job_limits.apply(job, ready.steps)
        # A job that finds masks runs on the stage's queue, and opens none of the models that its steps will need.
        job = job.model_copy(update={"models": (), "batch_key": "", "weights_mb": 0, "pictures_mb": 0}) if ready.found_masks else job
        job = job if ready.found_masks else self._kept_parts.added_to(job)
        return StageWork(bundle, ready, job, sigs, hashes, self._wall_clock())

    def _earlier_work(self, bundle: Bundle, ready: Ready, asset: JobInput, is_final: bool) -> EarlierWork:
        # Only a check needs remarks and removals, and the history must be read for them.
        checks = checks_results(ready.steps)
        # A person has put it down: it may be a copy of a version that a job has made.
        is_strange = bundle.picture is not None and not asset.sha256 and ready.decision is None
        return EarlierWork(
            remarks=tuple(self._journal.remarks(bundle.asset)) if checks else (),
            removals=self._earlier_removals(asset) if checks else (),
            known_looks=find_known_looks(self._journal, bundle, self._pipeline.folders) if is_strange else (),
            credential_bytes=self._results.credential_bytes(asset) if is_final else 0,
            retouched=self._was_retouched(asset),
        )

    def _was_retouched(self, asset: JobInput) -> bool:
        """Return whether a person has changed the picture by hand: the file that lies there now, or the one from which its job made it."""
        placed = self._journal.placed_file(asset.path) if asset.role == "picture" else None
        if placed is None or not placed.sig.same_content(asset.sig):
            return placed is not None
        row = self._journal.committed_row(placed.job_id)
        return row is not None and (row.parent_job_id.endswith(f"-{BY_HAND}") or row.record.get("retouched") is True)

    def _earlier_removals(self, asset: JobInput) -> tuple[RemovalRecord, ...]:
        """Return the steps of earlier stages that removed content from a picture that the daemon placed."""
        placed = self._journal.placed_file(asset.path) if asset.sha256 else None
        rows = [] if placed is None else self._journal.lineage(placed.job_id)
        return tuple(removal for row in rows for removal in removals_of(row.stage, row.step_findings()))

    def _begin(self, work: StageWork) -> None:
        self._in_flight.add(work)
        self._on_event("started", picture=work.asset_path, stage=work.job.stage, steps=[step.op for step in work.job.steps])

    def _build_job(self, queued: QueuedJob) -> Job | None:
        """Return the job of queued work, which a worker takes now. Return None, and check the bundle again, if it has changed."""
        key, work = cast(BundleKey, queued.origin), self._just_queued
        if work is None or work.job.id != queued.id:
            try:
                work = self._rebuild_work(key, queued)
            except (HostError, OSError) as fault:
                self._host_health.report_failure(fault, "turn")
                self._workers.hold(True)
                work = None
            except (RecursionError, MemoryError):  # the check of the bundle holds it
                work = None
        if work is None:
            self._in_flight.remove_queued(key)
            self._in_flight.recheck([key])
            return None
        work.number, work.was_submitted = queued.number, True
        self._begin(work)
        return work.job

    def _rebuild_work(self, key: BundleKey, queued: QueuedJob) -> StageWork | None:
        """Return the work on a bundle as it is now; None if it has changed since it was queued."""
        bundle = self._intake.bundle(key)
        sigs = None if bundle is None else self._settled_sigs(_all_files(bundle))
        if bundle is None or sigs is None or files_token(sigs) != queued.token:
            return None
        verdict = self._readiness.check(bundle)
        work = self._make_work(queued.id, bundle, verdict, sigs) if isinstance(verdict, Ready) else None
        return work if work is not None and work.job.queue == queued.queue else None

    # ------------------------------------------------------------------ committing

    def _commit_batch(self) -> None:
        started_at = self._clock()
        plans: list[Plan] = []
        for key in self._next_to_commit(self._commit_room):
            del self._in_flight.ready_to_commit[key]
            work = self._in_flight.get(key)
            if work is None:
                continue
            try:
                plan = self._planner.plan(work)
            except ScratchError as problem:
                self._in_flight.remove(work)
                self._results.hold(work.bundle, work.sigs, problem, work)
                continue
            except (OSError, HostError) as error:
                self._in_flight.ready_to_commit[key] = None
                self._host_health.report_failure(error, "commit")
                break
            work.plan_id = plan.id
            plans.append(plan)
        try:
            results = self._plan_executor.commit(plans) if plans else ()
        finally:  # a name that stays reserved would make the next try another version
            self._planner.clear_reservations(self._plan_executor.copying_plans)
        for result in results:
            self._handle_result(result)
        self._group_commit_delay.record_commit(started_at)

    def _next_to_commit(self, count: int) -> list[BundleKey]:
        """Return the keys of the next finished work, in fair turns."""
        waiting: TurnQueue[BundleKey, BundleKey] = TurnQueue()
        for number, key in enumerate(self._in_flight.ready_to_commit):
            waiting.add(key, key, self._in_flight.turns.of(key.folder, key.campaign), number)
        return list(islice(waiting, count))

    def _finish_copied(self) -> None:
        """Commit the work whose files are copied to the filesystems of their destinations."""
        try:
            for result in self._plan_executor.finish_copied():
                self._handle_result(result)
        finally:
            self._planner.clear_reservations(self._plan_executor.copying_plans)

    def _begin_trial(self) -> None:
        """Let work go on to see whether the host has recovered, and first finish or undo the plans that it left half done."""
        self._host_health.begin_trial()
        for result in self._plan_executor.finish_open_plans() if self._plan_executor.pending_jobs else ():
            self._handle_result(result)

    def _probe_host(self) -> None:
        """End a trial in which nothing is left to do if the journal and the work folder take a write. Raises OSError or HostError."""
        self._journal.check_writable()
        self._work_folder.check_writable(self._plan_executor.fs)
        self._host_health.end_pause()

    def _handle_result(self, result: PlanResult) -> None:
        """Handle the result of one plan, whether it is of this batch or was left half done by a failing host."""
        work = self._in_flight.get_by_job(result.plan.job_id)
        if work is None:
            return
        if isinstance(result, PlanCommitted):
            self._handle_committed(work, result)
            return
        if isinstance(result, PlanHalted):
            if not result.is_pending:
                # Every file is where it was. Keep the finished work and commit it when the host is healthy again.
                work.plan_id = ""
                self._in_flight.ready_to_commit[work.bundle.key] = None
            self._host_health.report_failure(HostError(result.sentence, result.remedy), "commit")
            return
        work.plan_id = ""
        if isinstance(result, FilesChanged):
            self._intake.recheck(result.path)
            self._results.invalidate(work)
        elif isinstance(result, ResultsRejected):
            self._results.reject(work, result.is_missing)
        else:
            self._in_flight.remove(work)
            problem = InputError(result.sentence, result.remedy)
            self._results.hold(work.bundle, work.sigs, problem, work, denied_folders=result.denied_folders)

    def _handle_committed(self, work: StageWork, result: PlanCommitted) -> None:
        self._host_health.report_success("commit")
        self._in_flight.remove(work)
        row = result.plan.history_row
        facts: dict[str, object] = {"results": _result_paths(result.plan), "seconds": row.record["seconds"]}
        facts |= {"remarks": remarks} if (remarks := row.remarks()) else {}
        self._on_event("committed", picture=work.asset_path, stage=work.job.stage, **facts)
        for path in work.bundle.files:
            self._intake.forget(path)
        for placed in result.placed_files:
            if self._pipeline.stage_of_folder(placed.path.partition("/")[0]) is not None:
                self._intake.add_settled(placed.path, placed.sig, placed.sha256)
        if not all(source.sha256 for source in work.job.inputs):  # else the daemon wrote them all itself
            self._late_writes.watch(result.plan.consumes, self._clock())
        self._holds.release(work.asset_path)  # if it was tried again with its note still there
        self._kept_parts.forget(work.asset_path)


def _all_files(bundle: Bundle) -> tuple[str, ...]:
    """Return every file that is an input of the bundle's work, including the campaign's brief, and what the bundle's ambiguity is about."""
    campaign_brief = () if bundle.campaign_brief is None else (bundle.campaign_brief,)
    return (*bundle.files, *campaign_brief, *bundle.disputed, *bundle.beyond, *bundle.rivals)


def _result_paths(plan: Plan) -> list[str]:
    """Return the paths of a plan's results, without those in the archive."""
    return [path for path in plan.destinations if not is_in_archive(path)]


def _unchanged_outcome(work: StageWork) -> Outcome:
    """Return the outcome of a stage that has no steps, for inputs whose hashes are known."""
    reads = tuple(InputRead.model_construct(path=each.path, sig=each.sig, sha256=each.sha256) for each in work.job.inputs)
    return Outcome(job_id=work.job.id, reads=reads, is_unchanged=True)
