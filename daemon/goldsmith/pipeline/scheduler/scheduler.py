"""The foreman carries each asset from what lies in one folder to what lies in the next.

One loop, one thread. A turn hears what the lanes say, looks at what the intake nominates, begins work, and commits what is
finished, in batches. Nothing here waits, decodes or knows a stage or an operation by name.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from goldsmith.brief.pipeline import Pipeline
from goldsmith.errors import HostError, InputError
from goldsmith.files import FileSignature
from goldsmith.jobs.job import InputRead, Outcome
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import Plan
from goldsmith.pipeline.commit.naming import is_in_archive
from goldsmith.pipeline.commit.plan_executor import FilesChanged, PlanCommitted, PlanExecutor, PlanHalted, PlanResult
from goldsmith.pipeline.commit.planner import Planner
from goldsmith.pipeline.intake.bundle import Bundle, BundleKey
from goldsmith.pipeline.intake.intake import Intake
from goldsmith.pipeline.scheduler.holds import Holds
from goldsmith.pipeline.scheduler.in_flight import GroupCommitDelay, HostHealth, InFlight, OnEvent
from goldsmith.pipeline.scheduler.limits import JobLimits
from goldsmith.pipeline.scheduler.readiness import Invalid, Readiness, Ready, Waiting
from goldsmith.pipeline.scheduler.results import Results
from goldsmith.pipeline.scheduler.text_files import TextFileCache
from goldsmith.pipeline.scheduler.work_item import WorkItem, build_job, job_inputs
from goldsmith.pipeline.workers.worker_pools import WorkerPools

# Plans that are committed together: one record, one fsync a folder, one tick.
COMMIT_BATCH_SIZE = 64


class Scheduler:
    """Owns every asset under work between its folder and the next."""

    def __init__(
        self,
        root: Path,
        pipeline: Pipeline,
        *,
        in_flight: InFlight,
        host_health: HostHealth,
        intake: Intake,
        readiness: Readiness,
        text_files: TextFileCache,
        workers: WorkerPools,
        results: Results,
        planner: Planner,
        plan_executor: PlanExecutor,
        holds: Holds,
        journal: Journal,
        job_limits: JobLimits,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        on_event: OnEvent,
    ) -> None:
        self._root = root
        self._pipeline = pipeline
        self._in_flight = in_flight
        self._host_health = host_health
        self._intake = intake
        self._readiness = readiness
        self._text_files = text_files
        self._workers = workers
        self._results = results
        self._planner = planner
        self._plan_executor = plan_executor
        self._holds = holds
        # Bundles that wait for something that the library may have one day, in the order of their waiting.
        self._waiting_for_library: dict[BundleKey, None] = {}
        self._journal = journal
        self._job_limits = job_limits
        self._clock = clock
        self._wall_clock = wall_clock
        self._on_event = on_event
        self._is_draining = False
        self._group_commit_delay = GroupCommitDelay(COMMIT_BATCH_SIZE, clock)

    # ------------------------------------------------------------------ the loop's view

    def run_once(self) -> None:
        """One round of everything that can be done now."""
        now = self._clock()
        if self._host_health.is_unhealthy and now >= self._host_health.retry_at:
            self._retry_host()
        try:
            with self._journal.batch():
                self._results.process_events(now)
                self._check_bundles(now)
            if not self._host_health.is_unhealthy and self._in_flight.ready_to_commit and not self._commit_delay():
                self._commit_batch()
        except HostError as fault:  # the disk under the journal
            self._host_health.report_failure(fault)

    def seconds_until_due(self) -> float | None:
        """Seconds until the next turn has something to do even if nothing is heard; None = until something is heard."""
        now = self._clock()
        if self._host_health.is_unhealthy:
            return max(0.05, self._host_health.retry_at - now)
        if self._in_flight.has_immediate_rechecks:
            return 0.0
        due = [self._workers.seconds_until_due(now), self._seconds_to_next_check(now)]
        if self._in_flight.ready_to_commit:
            due.append(self._commit_delay())
        known = [max(0.0, seconds) for seconds in due if seconds is not None]
        return min(known) if known else None

    def _seconds_to_next_check(self, now: float) -> float | None:
        """Seconds until files or waits come further by themselves."""
        moment = self._in_flight.next_due_at()
        intake = self._intake.seconds_until_due(now)
        return intake if moment is None else min(intake, moment - now)

    def _commit_delay(self) -> float:
        """Seconds for which the commit of what is finished is better left, so that more goes into it."""
        return self._group_commit_delay.seconds_to_wait(len(self._in_flight.ready_to_commit), self._seconds_to_more_results)

    def _seconds_to_more_results(self) -> float | None:
        """Seconds until more work may be finished; None where none is under way."""
        if len(self._in_flight) == len(self._in_flight.ready_to_commit):
            return None
        queued = any(self._workers.queue_length(stage.queue) for stage in self._pipeline.stages)
        return 0.0 if queued else self._seconds_to_next_check(self._clock())

    @property
    def is_idle(self) -> bool:
        """True when nothing more will happen until somebody changes something."""
        return self._in_flight.is_empty and not self._intake.is_busy

    def can_finish_by(self, deadline: float) -> bool:
        """True while something that was begun can be finished by then: a lane is at it, or its commit is due or going to be."""
        under_way = self._workers.running_jobs() or self._in_flight.ready_to_commit or self._results.has_commit_due_by(deadline)
        return bool(under_way) and not self._host_health.is_unhealthy

    def drain(self) -> None:
        """Begin nothing more; what runs may finish and be committed."""
        self._is_draining = True
        self._workers.drain()

    # ------------------------------------------------------------------ what the folders say

    def _check_bundles(self, now: float) -> None:
        keys = dict.fromkeys(self._in_flight.pop_due(now))
        keys.update(dict.fromkeys(self._intake.collect(now)))
        if self._intake.library_changed:
            self._intake.library_changed = False
            keys.update(dict.fromkeys(self._retry_library_holds()))
            keys.update(self._waiting_for_library)
            self._waiting_for_library.clear()
        waiting = list(keys)
        try:
            while waiting:
                self._check_bundle(waiting[0], now)
                del waiting[0]
        finally:
            self._in_flight.recheck(waiting)  # a journal that failed over one of them

    def _retry_library_holds(self) -> Iterator[BundleKey]:
        """The bundles that are held: what the library lacked may be there now."""
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
        elif bundle is None or not bundle.asset:
            self._holds.release_key(key)
        elif bundle.has_instructions:
            self._check_instructed(bundle, now)
        else:
            self._holds.release_bundle(bundle)

    def _check_instructed(self, bundle: Bundle, now: float) -> None:
        """Somebody asked for something. Begin as soon as all that is there looks complete."""
        paths = _all_files(bundle)
        self._track_files(paths)
        states = {path: self._intake.state(path) for path in paths}
        if self._holds.is_still_held(bundle, {path: state.sig for path, state in states.items() if state.sig is not None}):
            return  # before all is settled: a daemon that starts anew sees the files afresh, and they are the old ones
        sigs = self._settled_sigs(paths)
        if sigs is None:
            self._hold_unless_arriving(bundle, paths)
            return
        if self._host_health.is_unhealthy or self._is_draining:
            self._in_flight.recheck_at(max(self._host_health.retry_at, now + 1.0), bundle.key)
            return
        gathered = self._results.sidecars_due_at(paths) if bundle.is_lone_brief else 0.0
        if gathered > now:
            self._in_flight.recheck_at(gathered, bundle.key)  # its picture may be on the way
            return
        self._holds.release_bundle(bundle)
        verdict = self._readiness.check(bundle)
        if isinstance(verdict, Invalid):
            self._results.hold(bundle, sigs, verdict.problem, None)
        elif isinstance(verdict, Ready):
            self._start(bundle, verdict, sigs, now)
        elif isinstance(verdict, Waiting) and verdict.depends_on_library:
            self._waiting_for_library[bundle.key] = None

    def _hold_unless_arriving(self, bundle: Bundle, paths: Iterable[str]) -> None:
        """Something is still arriving; or it is a link, a pipe or a device, which never will, and that is said once."""
        refusal = next((state.reason for state in map(self._intake.state, paths) if state.status == "refused" and state.reason), "")
        if not refusal:
            self._holds.release_bundle(bundle)
        elif not self._holds.is_still_held(bundle, {}):
            self._results.hold(bundle, {}, InputError(f"{refusal}."), None)

    def _track_files(self, paths: Iterable[str]) -> None:
        """Follow these files; those that the daemon itself put down before it was restarted are known again."""
        for path in paths:
            if not self._intake.is_followed(path):
                placed = self._journal.placed_file(path)
                if placed is not None:
                    self._intake.add_settled(path, placed.sig, placed.sha256)
        self._intake.follow(paths)

    def _settled_sigs(self, paths: Iterable[str]) -> dict[str, FileSignature] | None:
        found: dict[str, FileSignature] = {}
        for path in paths:
            state = self._intake.state(path)
            if not state.can_start or state.sig is None:
                return None
            found[path] = state.sig
        return found

    def _recheck_work(self, work: WorkItem, bundle: Bundle | None, now: float) -> None:
        """Something was heard of an asset under work: another file, other bytes, or just that it has been quiet long enough."""
        if bundle is None or _all_files(bundle) != _all_files(work.bundle):
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
        try:
            hashes = {path: self._text_files.read(path).sha256 for path in (bundle.brief, bundle.prompt) if path is not None}
        except (OSError, InputError):  # gone again, or changed into something else: the intake hears of it
            self._in_flight.recheck_at(now + 1.0, bundle.key)
            return
        inputs = job_inputs(bundle, sigs, self._intake.known_sha256)
        last = ready.stage.next_folder == self._pipeline.final_folder
        job = build_job(secrets.token_hex(8), self._root, bundle, ready, inputs, self._job_limits.base, last)
        job = self._job_limits.apply(job, ready.steps)
        work = WorkItem(bundle, ready, job, sigs, hashes, self._wall_clock())
        self._in_flight.add(work)
        self._on_event("started", picture=work.asset_path, stage=job.stage, steps=[step.op for step in job.steps])
        if not job.steps and all(each.sha256 for each in inputs):
            # Our own file, nothing to do to it: its hash is known and nobody has touched it since.
            self._results.finish(work, _unchanged_outcome(work), now)
            return
        work.was_submitted = True
        self._journal.record_queued(job.id, job.stage, job.queue, work.asset_path, work.started_at)
        self._workers.submit(job)

    # ------------------------------------------------------------------ committing

    def _commit_batch(self) -> None:
        began = self._clock()
        plans: list[Plan] = []
        for key in list(self._in_flight.ready_to_commit)[:COMMIT_BATCH_SIZE]:
            del self._in_flight.ready_to_commit[key]
            work = self._in_flight.get(key)
            if work is None:
                continue
            try:
                plan = self._planner.plan(work)
            except (OSError, HostError) as error:
                self._in_flight.ready_to_commit[key] = None
                self._host_health.report_failure(error)
                break
            work.plan_id = plan.id
            plans.append(plan)
        self._planner.clear_reservations()
        for result in self._plan_executor.commit(plans) if plans else ():
            self._handle_result(result)
        self._group_commit_delay.record_commit(began)

    def _retry_host(self) -> None:
        """The machine may be well again: first what a failing disk left half done."""
        self._host_health.mark_recovered()
        for result in self._plan_executor.finish_open_plans() if self._plan_executor.pending_jobs else ():
            self._handle_result(result)

    def _handle_result(self, result: PlanResult) -> None:
        """What became of one plan, be it of this batch or one that a failing disk had left half done."""
        work = self._in_flight.get_by_job(result.plan.job_id)
        if work is None:
            return
        if isinstance(result, PlanCommitted):
            self._handle_committed(work, result)
            return
        if isinstance(result, PlanHalted):
            if not result.is_pending:
                # Everything lies as it lay; the finished work is kept, and put down when the machine is well again.
                work.plan_id = ""
                self._in_flight.ready_to_commit[work.bundle.key] = None
            self._host_health.report_failure(HostError(result.sentence, result.remedy))
            return
        work.plan_id = ""
        if isinstance(result, FilesChanged):
            self._intake.recheck(result.path)
            self._results.invalidate(work)
        else:
            self._in_flight.remove(work)
            self._results.hold(work.bundle, work.sigs, InputError(result.sentence, result.remedy), work)

    def _handle_committed(self, work: WorkItem, result: PlanCommitted) -> None:
        self._in_flight.remove(work)
        for path in work.bundle.files:
            self._intake.forget(path)
        for placed in result.placed_files:
            if self._pipeline.stage_of_folder(placed.path.partition("/")[0]) is not None:
                self._intake.add_settled(placed.path, placed.sig, placed.sha256)
        seconds = result.plan.history_row.record["seconds"]
        self._on_event("committed", picture=work.asset_path, stage=work.job.stage, results=_result_paths(result.plan), seconds=seconds)


def _all_files(bundle: Bundle) -> tuple[str, ...]:
    """Every file that takes part in the work on a bundle, the campaign's brief included."""
    return bundle.files if bundle.campaign_brief is None else (*bundle.files, bundle.campaign_brief)


def _result_paths(plan: Plan) -> list[str]:
    """Where the results of a plan came to lie, without the archive."""
    goals = [*(take.destination for take in plan.consumes), *(put.destination for put in plan.publishes)]
    return [goal for goal in goals if not is_in_archive(goal)]


def _unchanged_outcome(work: WorkItem) -> Outcome:
    """The outcome of a stage that does nothing to a file whose bytes are known."""
    reads = tuple(InputRead.model_construct(path=each.path, sig=each.sig, sha256=each.sha256) for each in work.job.inputs)
    return Outcome(job_id=work.job.id, reads=reads, is_unchanged=True)
