"""All parts of the daemon for one root and one configuration, and one round of its main loop."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial

from goldsmith.errors import error_text
from goldsmith.files import Filesystem, fold_name
from goldsmith.jobs.protocol import WorkerSpec
from goldsmith.jobs.work_folder import WorkFolder
from goldsmith.journal.damage import replaced_remedy
from goldsmith.journal.journal import Journal
from goldsmith.journal.sqlite_errors import JournalBroken
from goldsmith.pipeline.archive.daily_pruning import DailyPruning
from goldsmith.pipeline.archive.pruning import Pruning
from goldsmith.pipeline.commit.copier import Copier
from goldsmith.pipeline.commit.late_writes import LateWrites
from goldsmith.pipeline.commit.plan_executor import FileRefused, FilesChanged, PlanCommitted, PlanExecutor, PlanHalted, ResultsRejected
from goldsmith.pipeline.commit.planner import Planner
from goldsmith.pipeline.commit.recovery import recover_plans
from goldsmith.pipeline.commit.root_lock import RootLock
from goldsmith.pipeline.commit.shared_folders import PermissionRefusals
from goldsmith.pipeline.intake.bundle import bundle_key
from goldsmith.pipeline.intake.intake import Intake, IntakeSettings
from goldsmith.pipeline.intake.watcher import Watcher
from goldsmith.pipeline.scheduler.holds import Holds
from goldsmith.pipeline.scheduler.host_health import HostHealth, OnEvent, traceback_text
from goldsmith.pipeline.scheduler.in_flight import InFlight
from goldsmith.pipeline.scheduler.kept_parts import open_kept_parts
from goldsmith.pipeline.scheduler.parts import Clocks, SchedulerState, SharedParts
from goldsmith.pipeline.scheduler.readiness import Readiness
from goldsmith.pipeline.scheduler.results import Results, SettlePolicy
from goldsmith.pipeline.scheduler.scheduler import CommitParts, JobPreparation, Scheduler, SchedulerParts
from goldsmith.pipeline.scheduler.text_files import TextFileCache
from goldsmith.pipeline.status.daemon_state import DaemonState, WorkerStatus
from goldsmith.pipeline.status.folder_status import FolderStatusFiles, FolderStatusSources
from goldsmith.pipeline.turns import FolderTurns
from goldsmith.pipeline.workers.ray_runner import RayRunner
from goldsmith.pipeline.workers.runner import LocalRunner, Runner
from goldsmith.pipeline.workers.slot import WorkerSnapshot
from goldsmith.pipeline.workers.worker_pools import WorkerPools
from goldsmith.root_folder import RootFolder
from goldsmith.service.setup import Setup
from goldsmith.service.signing import IdentityLookup, find_identity, signing_specs
from goldsmith.service.worker_setup import bridge_setup, job_limits, worker_config, worker_folders, worker_specs

# The state file lists at most this many jobs of each queue, in the order in which they start.
_MAX_QUEUE_ORDER = 100
# The state file lists at most this many holds without a note.
_MAX_HOLDS_WITHOUT_NOTE = 100
# Seconds that the main loop waits after a failure of its own waiting, so that it does not spin.
FAILURE_PAUSE_SECONDS = 0.5
# The result in the log of a plan that the previous daemon left open.
_RECOVERY_RESULTS = {
    PlanCommitted: "committed",
    FilesChanged: "files_changed",
    ResultsRejected: "results_rejected",
    FileRefused: "file_refused",
    PlanHalted: "halted",
}


class DaemonRuntime:
    """All parts of the daemon for one root and one configuration. ``run_once`` is one round of the main loop."""

    def __init__(
        self,
        setup: Setup,
        lock: RootLock,
        journal: Journal,
        on_event: OnEvent,
        fs: Filesystem | None = None,
        keep_alive: Callable[[], None] = lambda: None,  # called while the recovery copies large files: the main loop does not run then
    ) -> None:
        self.setup = setup
        self._event_count = 0
        # What the folders' status files depended on when they were last composed.
        self._status_dependencies: tuple[object, ...] = ()
        # Why they could not be written the last time; each reason is reported once.
        self._status_failure = ""
        on_event = self._counting_events(on_event)
        root, settings, clock = setup.root, setup.settings, time.monotonic
        fs = fs or Filesystem()
        self.permission_refusals = PermissionRefusals(root, on_event)
        fs.on_refused = self.permission_refusals.add
        fs.on_copied_block = keep_alive
        planner = Planner(root, setup.pipeline.final_folder, journal, fs, self._names_with_stem, time.time, setup.pipeline.shared_folders)
        self.copier = Copier(fs, root)
        executor = PlanExecutor(root, journal, fs, time.time, planner.rename_plan, lock, self.copier)
        work_folder = WorkFolder(root)
        queued_before = journal.clear_active_jobs()  # before any slow work: the rows of the previous daemon are out of date
        for result in recover_plans(executor):
            on_event("recovered", job=result.plan.job_id, result=_RECOVERY_RESULTS[type(result)])
        self._holds = holds = Holds(root, journal, fs, time.time, clock, settings.retry_machine, setup.weights.folders())
        holds.release_missing()
        self._on_event = on_event
        self.watcher = Watcher(root)
        intervals = IntakeSettings(settings.quiet, settings.breath, settings.weak_quiet, settings.sweep, settings.poll)
        stamp, folders = setup.weights.change_token, setup.pipeline.watched_folders
        self.intake = Intake(root, folders, self.watcher, clock, intervals, stamp, journal.is_placed)
        specs, lookup = worker_specs(setup), self._find_identity(on_event)
        self.workers = self._create_workers([*specs, *signing_specs(lookup.identity)], lookup.sign)
        self.host_health = HostHealth(settings.retry_machine, clock, on_event)
        text_files = TextFileCache(root)
        readiness = Readiness(setup.pipeline, setup.resolver, text_files.read_bytes, RootFolder(root).lstat)
        turns = FolderTurns(folders)
        in_flight = self._in_flight = InFlight(journal, work_folder, turns, [bundle_key(job.path) for job in queued_before])
        shared = SharedParts(
            SchedulerState(in_flight, holds, self.host_health, journal, work_folder, lock, open_kept_parts(journal, work_folder)),
            self.intake,
            self.workers,
            Clocks(monotonic=clock, wall=time.time),
            on_event,
        )
        settle_policy = SettlePolicy(settings.gather, settings.broken_after, settings.attempts)
        parts = SchedulerParts(
            shared,
            Results(shared, settle_policy, lookup.for_deliveries(journal, time.time)),
            JobPreparation(readiness, text_files, job_limits(setup, specs)),
            CommitParts(planner, executor, LateWrites(root, fs, settings.weak_quiet)),
        )
        self.scheduler = Scheduler(root, setup.pipeline, parts)
        self.folder_status = self._build_folder_status(shared, parts.preparation.readiness, intervals)
        self.pruning = DailyPruning(partial(begin_daily_pruning, setup, journal) if settings.keep_days else None, clock, on_event)
        self._poll = select.poll()

    def start(self) -> None:
        """Watch the folders and start the worker processes. The first scan reports the files that are there already."""
        self.intake.start()
        self.workers.prewarm()
        for descriptor in (self.watcher.fd, self.copier.fd, *self.workers.readable_fds()):
            self._poll.register(descriptor, select.POLLIN)

    def add_wakeup_fd(self, fd: int) -> None:
        """Wake the main loop when ``fd`` becomes readable."""
        self._poll.register(fd, select.POLLIN)

    def run_once(self, max_wait: float) -> None:
        """Wait for work, at most ``max_wait`` seconds, and do all that is due."""
        try:
            pruning_due = None if self.host_health.is_unhealthy else self.pruning.seconds_until_due()
            status_due = None if self.folder_status is None else self.folder_status.seconds_until_due()
            due = [seconds for seconds in (self.scheduler.seconds_until_due(), pruning_due, status_due) if seconds is not None]
            self._poll.poll(1000 * min([max_wait, *due]))
        except Exception as error:  # noqa: BLE001 - whatever fails, the loop goes on (law 12)
            self.scheduler.report_failed_turn(error)
            threading.Event().wait(FAILURE_PAUSE_SECONDS)
        self.scheduler.run_once()
        if not self.host_health.is_unhealthy:
            self.pruning.run_once()
        self._write_folder_status()

    def say_stopped(self) -> None:
        """Say in the folders' status files that the daemon has stopped."""
        if self.folder_status is not None:
            self._write_status_files(self.folder_status.write_stopped)

    def _write_folder_status(self) -> None:
        """Bring the folders' status files up to date, if anything has changed that they may show."""
        if self.folder_status is not None:
            self._write_status_files(self._write_due_status)

    def _write_status_files(self, write: Callable[[], None]) -> None:
        """Call ``write``. The pictures matter more than the report about them, so a failure is only logged."""
        try:
            write()
        except Exception as error:  # noqa: BLE001 - see above; the next change writes the files again
            sentence = f"The folders' status files cannot be written: {error_text(error)}."
            if sentence != self._status_failure:
                self._on_event("no status file", sentence=sentence, detail=traceback_text(error))
            self._status_failure = sentence

    def _write_due_status(self) -> None:
        if self.folder_status is None:
            return
        queues = self.workers.queues
        dependencies = (
            self._event_count,
            self.intake.change_count,
            self.host_health.pause_reason,
            tuple(map(self.workers.pause_reason, queues)),
            self.workers.host_refusals,
            self.intake.unavailable_folders() | self.intake.unreadable_folders(),
        )
        if dependencies != self._status_dependencies:
            self._status_dependencies = dependencies
            self.folder_status.mark_changed()
        self.folder_status.write_due()

    def _counting_events(self, on_event: OnEvent) -> OnEvent:
        def count(event: str, /, **facts: object) -> None:
            self._event_count += 1
            on_event(event, **facts)

        return count

    def _create_workers(self, specs: Sequence[WorkerSpec], sign: Callable[[bytes], bytes]) -> WorkerPools:
        setup = self.setup
        runners: dict[str, Runner] = {"local": LocalRunner()}
        if any(spec.runner == "ray" for spec in specs):
            runners["ray"] = RayRunner(lambda: bridge_setup(setup))
        return WorkerPools(specs, lambda: worker_config(setup), worker_folders(setup), time.monotonic, runners, sign)

    def _find_identity(self, on_event: OnEvent) -> IdentityLookup:
        """Return who signs deliverables. That nobody has made an identity is no fault; that one cannot be used is logged."""
        lookup = find_identity(self.setup)
        if lookup.problem is not None and not lookup.is_missing:
            on_event("nobody signs", sentence=lookup.problem.sentence, remedy=lookup.problem.remedy)
        return lookup

    def _build_folder_status(self, shared: SharedParts, readiness: Readiness, settle_times: IntakeSettings) -> FolderStatusFiles | None:
        """Return the writer of the folders' status files; None if the settings switch them off, and then remove those of earlier runs."""
        state = shared.state
        sources = FolderStatusSources(self.intake, state.in_flight, state.holds, readiness, state.journal, settle_times, self.state)
        fs = Filesystem()
        fs.on_refused = self.permission_refusals.add
        files = FolderStatusFiles(self.setup.root, self.setup.pipeline, sources, fs, shared.on_event)
        if self.setup.settings.folder_status:
            return files
        files.remove_all()
        return None

    def drain(self, timeout: float, keep_alive: Callable[[], None]) -> None:
        """Start no more jobs; let running jobs finish for ``timeout`` seconds and commit them. Other pictures stay in their folders."""
        end = time.monotonic() + timeout
        self.scheduler.drain()
        while self.scheduler.can_finish_by(end) and time.monotonic() < end:
            self.run_once(0.25)
            keep_alive()

    def close(self) -> None:
        """Stop the copies, the worker processes and the watcher.

        Nothing is raised: the process or the next runtime must not depend on it.
        """
        for close in (self.copier.close, lambda: self.workers.stop(0.0), self.watcher.close):
            try:
                close()
            except Exception as error:  # noqa: BLE001 - the kernel ends what is left with the process
                sentence = f"A part of Goldsmith could not be closed: {error_text(error)}."
                self._on_event("error", sentence=sentence, detail=traceback_text(error))

    def state(self) -> DaemonState:
        """Return the state that the command line shows of a running daemon."""
        queues = self.workers.queues
        return DaemonState(
            pid=os.getpid(),
            host=socket.gethostname(),
            root=str(self.setup.root),
            pause_reason=self.host_health.pause_reason,
            queue_pauses={queue: self.workers.pause_reason(queue) or "" for queue in queues},
            queue_order={queue: tuple(self.workers.predict_order(queue, _MAX_QUEUE_ORDER)) for queue in queues},
            gave_way=self._in_flight.gave_way(_MAX_QUEUE_ORDER),
            workers=tuple(worker_status(snapshot, time.time()) for snapshot in self.workers.worker_snapshots()),
            node_refusals=self.workers.host_refusals,
            watch_modes=dict(self.intake.watch_modes()),
            weak_quiet_folders=tuple(sorted(self.intake.weak_quiet_folders())),
            unavailable_folders=self.intake.unavailable_folders() | self.intake.unreadable_folders(),
            watcher_error=self.watcher.error,
            permission_refusals=self.permission_refusals.sentences,
            holds_without_note=self._holds.without_note(_MAX_HOLDS_WITHOUT_NOTE),
            status_file_refusals={} if self.folder_status is None else self.folder_status.refusals,
        )

    def _names_with_stem(self, folder: str, campaign: str, stem: str) -> Collection[str]:
        return self.intake.names_with_stem(folder, campaign, fold_name(stem))


def build_runtime(
    setup: Setup,
    lock: RootLock,
    journal: Journal,
    on_event: OnEvent,
    fs: Filesystem | None = None,
    keep_alive: Callable[[], None] = lambda: None,
) -> DaemonRuntime:
    """Return the parts of the daemon. If the journal turns out to be broken while they read it, they get a new one."""
    try:
        return DaemonRuntime(setup, lock, journal, on_event, fs, keep_alive)
    except JournalBroken as damage:
        kept = journal.replace_broken(time.time())
        on_event("journal replaced", sentence=damage.sentence, remedy=replaced_remedy(kept))
        return DaemonRuntime(setup, lock, journal, on_event, fs, keep_alive)


def begin_daily_pruning(setup: Setup, journal: Journal) -> Pruning:
    """Return a pruning of everything that is older than ``keep_days``."""
    return Pruning(setup.root, setup.pipeline, journal, setup.settings.keep_days, time.time(), is_dry_run=False)


def worker_status(snapshot: WorkerSnapshot, now: float) -> WorkerStatus:
    """Return one worker process as the state file has it. ``now`` is in Unix seconds."""
    models = snapshot.models
    return WorkerStatus(
        queue=snapshot.spec.queue,
        host=snapshot.host,
        device=snapshot.spec.device,
        device_title=snapshot.spec.device_title,
        device_memory_mb=snapshot.spec.device_memory_mb,
        pause_reason=snapshot.pause_reason,
        jobs=tuple(job.id for job in snapshot.jobs),
        loaded=tuple(models.loaded),
        loading=models.loading,
        loading_since=round(now - snapshot.loading_seconds) if models.loading else 0,
    )
