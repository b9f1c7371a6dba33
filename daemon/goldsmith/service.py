"""The composition root: builds every part of the daemon from the settings, and runs its main loop."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import stat
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

import structlog

from goldsmith.brief.pipeline import Pipeline, read_pipeline
from goldsmith.brief.resolve import Resolver
from goldsmith.brief.settings import Settings, find_config, read_config, read_settings
from goldsmith.engines.registry.hash_notes import HashNotes
from goldsmith.engines.registry.weights_registry import WeightsRegistry, default_models_folder, open_weights_registry
from goldsmith.errors import GoldsmithError, HostError, UsageError
from goldsmith.files import Filesystem, fold_name
from goldsmith.jobs.job import SCRATCH_FOLDER, ResourceLimits
from goldsmith.jobs.protocol import WorkerConfig, WorkerFolders, WorkerSpec
from goldsmith.jobs.work_folder import WorkFolder
from goldsmith.journal.damage import replaced_remedy, set_aside
from goldsmith.journal.journal import Journal
from goldsmith.journal.location import journal_path, prepare_journal_folder, register_root, weights_notes_path
from goldsmith.journal.sqlite_errors import JournalBroken
from goldsmith.library.availability import build_availability
from goldsmith.library.library import Library
from goldsmith.pipeline.archive.daily_pruning import DailyPruning
from goldsmith.pipeline.archive.pruning import PruneReport, Pruning
from goldsmith.pipeline.commit.copier import Copier
from goldsmith.pipeline.commit.late_writes import LateWrites
from goldsmith.pipeline.commit.naming import ARCHIVE_FOLDER
from goldsmith.pipeline.commit.nested_roots import require_separate_root
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
from goldsmith.pipeline.scheduler.limits import JobLimits
from goldsmith.pipeline.scheduler.parts import Clocks, SchedulerState, SharedParts
from goldsmith.pipeline.scheduler.readiness import Readiness
from goldsmith.pipeline.scheduler.results import Results, SettlePolicy
from goldsmith.pipeline.scheduler.scheduler import CommitParts, JobPreparation, Scheduler, SchedulerParts
from goldsmith.pipeline.scheduler.text_files import TextFileCache
from goldsmith.pipeline.status.daemon_state import STATE_FILE, DaemonState, WorkerStatus
from goldsmith.pipeline.status.folder_status import FolderStatusFiles, FolderStatusSources
from goldsmith.pipeline.turns import FolderTurns
from goldsmith.pipeline.workers.slot import WorkerSnapshot
from goldsmith.pipeline.workers.worker_pools import WorkerPools
from goldsmith.pipeline.workers.worker_specs import build_worker_specs, find_model_paths
from goldsmith.root_folder import RootFolder
from goldsmith.state_report import StateReport, error_text
from goldsmith.systemd_notify import SystemdNotifier

if TYPE_CHECKING:
    from goldsmith.pipeline.replay.foreground_runner import OnStageProgress
    from goldsmith.pipeline.replay.report import ReplayReport

_T = TypeVar("_T")

_PR_SET_DUMPABLE = 4
# The longest sleep of the main loop.
_MAX_SLEEP_SECONDS = 60.0
# The state file lists at most this many jobs of each queue, in the order in which they start.
_MAX_QUEUE_ORDER = 100
# The state file lists at most this many holds without a note.
_MAX_HOLDS_WITHOUT_NOTE = 100
# Seconds between two tries to start, until the settings are known.
_START_RETRY_SECONDS = 10.0
# Seconds that the main loop waits after a failure of its own waiting, so that it does not spin.
_FAILURE_PAUSE_SECONDS = 0.5
# The result in the log of a plan that the previous daemon left open.
_RECOVERY_RESULTS = {
    PlanCommitted: "committed",
    FilesChanged: "files_changed",
    ResultsRejected: "results_rejected",
    FileRefused: "file_refused",
    PlanHalted: "halted",
}
# The levels of events in the log; all others are information.
_EVENT_LEVELS = {
    "progress": "debug",
    **dict.fromkeys(("held", "fault", "requeued", "permissions refused"), "warning"),
    **dict.fromkeys(
        ("queue paused", "folder unavailable", "partly reloaded", "lock renewed", "no status file", "not pruned", "root recognised"),
        "warning",
    ),
    **dict.fromkeys(("paused", "error", "waiting to start", "not reloaded", "state not written", "journal replaced"), "error"),
}


@dataclass(frozen=True)
class Setup:
    """One root with its settings, pipeline, models and library, read and checked."""

    root: Path
    settings: Settings
    pipeline: Pipeline
    weights: WeightsRegistry
    models_file: Path
    library: Library

    @property
    def resolver(self) -> Resolver:
        """The resolver that reads briefs against this pipeline, these models and their weights, and this library."""
        return Resolver(self.pipeline, self.library.read_recipe, build_availability(self.weights, self.library))


def load_setup(root: Path, config: Path | None = None, **flags: object) -> Setup:
    """Return the settings, the pipeline and the models of ``root``. ``flags`` override the settings.

    Raises UsageError if ``root`` is missing, ConfigError with every problem of a configuration file, and HostError if a disk fails or the
    root, on which a daemon has worked before, is not mounted.
    """
    root = Path(os.path.abspath(root))
    files = find_config(config, root)
    settings_file, pipeline_file, models_file = (files.path_of(name) for name in ("goldsmith.toml", "pipeline.toml", "models.toml"))
    settings = read_settings(read_config(settings_file), str(settings_file), os.environ, **flags)
    require_root(root, settings.state_dir)
    pipeline = read_pipeline(read_config(pipeline_file), str(pipeline_file))
    notes = HashNotes(weights_notes_path(settings.state_dir))
    weights = open_weights_registry(models_file, settings.models_dir or default_models_folder(), notes)
    return Setup(root, settings, pipeline, weights, models_file, Library(root))


def require_root(root: Path, state_dir: Path | None) -> None:
    """Raise UsageError if there is no folder at ``root``; HostError if a daemon has worked on it before, because then its mount is gone."""
    try:
        if stat.S_ISDIR(os.stat(root).st_mode):
            return
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise HostError(f"{root} cannot be opened: {error_text(error)}.", "Check its disk and its permissions.") from error
    if _was_used(root, state_dir):
        raise HostError(f"{root} is not there, and Goldsmith has worked on it before.", "Check that the share is mounted.")
    raise UsageError(f"{root} does not exist.", f"Run: goldsmith init {root}")


def _was_used(root: Path, state_dir: Path | None) -> bool:
    """Return whether a daemon has worked on this root: then it has a journal."""
    try:
        return journal_path(root, state_dir).exists()
    except (OSError, UsageError):
        return False


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
        planner = Planner(root, setup.pipeline.final_folder, journal, fs, self._names_with_stem, time.time, setup.pipeline.folders)
        self.copier = Copier(fs, root)
        executor = PlanExecutor(root, journal, fs, time.time, planner.rename_plan, lock, self.copier)
        work_folder = WorkFolder(root)
        queued_before = journal.clear_active_jobs()  # before any slow work: the rows of the previous daemon are out of date
        for result in recover_plans(executor):
            on_event("recovered", job=result.plan.job_id, result=_RECOVERY_RESULTS[type(result)])
        self._holds = holds = Holds(root, journal, fs, time.time, clock, settings.retry_machine)
        holds.release_missing()
        self._on_event = on_event
        self.watcher = Watcher(root)
        intervals = IntakeSettings(settings.quiet, settings.breath, settings.weak_quiet, settings.sweep, settings.poll)
        self.intake = Intake(
            root, [stage.folder for stage in setup.pipeline.stages], self.watcher, clock, intervals, setup.weights.change_token
        )
        specs = _worker_specs(setup)
        self.workers = WorkerPools(specs, lambda: worker_config(setup), worker_folders(setup), clock)
        self.host_health = HostHealth(settings.retry_machine, clock, on_event)
        text_files = TextFileCache(root)
        turns = FolderTurns(stage.folder for stage in setup.pipeline.stages)
        in_flight = InFlight(journal, work_folder, turns, [bundle_key(job.path) for job in queued_before])
        shared = SharedParts(
            SchedulerState(in_flight, holds, self.host_health, journal, work_folder, lock),
            self.intake,
            self.workers,
            Clocks(monotonic=clock, wall=time.time),
            on_event,
        )
        parts = SchedulerParts(
            shared,
            Results(shared, SettlePolicy(settings.gather, settings.broken_after, settings.attempts)),
            JobPreparation(Readiness(setup.pipeline, setup.resolver, text_files.read_bytes), text_files, _job_limits(setup, specs)),
            CommitParts(planner, executor, LateWrites(root, fs, settings.weak_quiet)),
        )
        self.scheduler = Scheduler(root, setup.pipeline, parts)
        self.folder_status = self._build_folder_status(shared, parts.preparation.readiness, intervals)
        begin_pruning = partial(begin_daily_pruning, setup, journal) if settings.keep_days else None
        self.pruning = DailyPruning(begin_pruning, clock, on_event)
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
            threading.Event().wait(_FAILURE_PAUSE_SECONDS)
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
        queues = dict.fromkeys(stage.queue for stage in self.setup.pipeline.stages)
        dependencies = (
            self._event_count,
            self.intake.change_count,
            self.host_health.pause_reason,
            tuple(map(self.workers.pause_reason, queues)),
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
        queues = dict.fromkeys(stage.queue for stage in self.setup.pipeline.stages)
        return DaemonState(
            pid=os.getpid(),
            host=socket.gethostname(),
            root=str(self.setup.root),
            pause_reason=self.host_health.pause_reason,
            queue_pauses={queue: self.workers.pause_reason(queue) or "" for queue in queues},
            queue_order={queue: tuple(self.workers.predict_order(queue, _MAX_QUEUE_ORDER)) for queue in queues},
            workers=tuple(worker_status(snapshot, time.time()) for snapshot in self.workers.worker_snapshots()),
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


def worker_status(snapshot: WorkerSnapshot, now: float) -> WorkerStatus:
    """Return one worker process as the state file has it. ``now`` is in Unix seconds."""
    models = snapshot.models
    return WorkerStatus(
        queue=snapshot.spec.queue,
        device=snapshot.spec.device,
        device_title=snapshot.spec.device_title,
        device_memory_mb=snapshot.spec.device_memory_mb,
        pause_reason=snapshot.pause_reason,
        jobs=tuple(job.id for job in snapshot.jobs),
        loaded=tuple(models.loaded),
        loading=models.loading,
        loading_since=round(now - snapshot.loading_seconds) if models.loading else 0,
    )


class Service:
    """The daemon of one root: signals, configuration, systemd, and the main loop."""

    def __init__(self, read_setup: Callable[[], Setup], on_event: OnEvent | None = None) -> None:
        self._read_setup = read_setup
        self._setup: Setup | None = None
        self._log = structlog.get_logger("goldsmith")
        self._receive_event: OnEvent = on_event or self._log_event
        self._stop_requested = False
        self._reload_requested = False
        self._notify = SystemdNotifier()
        self._wait_sentence = ""

    def run(self, *, until_idle: bool = False) -> None:
        """Work until SIGTERM or SIGINT, then drain. With ``until_idle``, end as soon as no job is running or ready.

        If the host fails, at the start too, wait until it works again. Raises AlreadyRunningError if another daemon holds the root or takes
        it over, and UsageError if the configuration or the command is wrong.
        """
        refuse_inspection()
        with self._signals() as wakeup_fd, contextlib.ExitStack() as stack:
            opened = self._until_possible(lambda: self._open_root(stack), wakeup_fd)
            if opened is None:
                return
            lock, journal = opened
            report = StateReport(journal.path.parent / STATE_FILE, self._notify, self._on_event)
            stack.callback(lambda: report.remove() if lock.is_current() else None)  # else it may be the file of another daemon
            while not self._stop_requested:
                runtime = self._until_possible(lambda: self._start_runtime(lock, journal, wakeup_fd), wakeup_fd)
                if runtime is None:
                    return
                with contextlib.closing(runtime):
                    new_setup = self._loop(runtime, wakeup_fd, report, until_idle=until_idle)
                    runtime.drain(runtime.setup.settings.drain, self._notify.ping_watchdog)
                    if new_setup is None:
                        runtime.say_stopped()
                        return
                self._setup = new_setup

    # ------------------------------------------------------------------ starting

    def _open_root(self, stack: contextlib.ExitStack) -> tuple[RootLock, Journal]:
        """Read the configuration, take the root and open its journal. ``stack`` closes both at the end."""
        setup = self._setup = self._read_setup()
        require_separate_root(setup.root, setup.pipeline.folders)
        create_folders(setup)
        with contextlib.ExitStack() as opened:
            lock = opened.enter_context(RootLock.acquire(setup.root))
            journal_file = prepare_journal_folder(setup.root, setup.settings.state_dir)
            if sentence := register_root(setup.root, journal_file.parent):
                self._on_event("root recognised", sentence=sentence)
            journal = open_journal(journal_file, self._on_event)
            opened.callback(journal.close)
            stack.push(opened.pop_all())
        return lock, journal

    def _start_runtime(self, lock: RootLock, journal: Journal, wakeup_fd: int) -> DaemonRuntime:
        setup = self._setup
        if setup is None:
            raise RuntimeError("the configuration is not read yet")
        runtime = build_runtime(setup, lock, journal, self._on_event, keep_alive=self._notify.keep_starting)
        try:
            runtime.start()
            runtime.add_wakeup_fd(wakeup_fd)
        except BaseException:
            runtime.close()
            raise
        return runtime

    def _until_possible(self, begin: Callable[[], _T], wakeup_fd: int) -> _T | None:
        """Return the result of ``begin``, which is tried until the host lets it succeed; None if the daemon shall stop instead."""
        while not self._stop_requested:
            try:
                result = begin()
            except (OSError, HostError) as error:
                self._report_wait(error)
                seconds = _START_RETRY_SECONDS if self._setup is None else self._setup.settings.retry_machine
                self._wait(wakeup_fd, seconds)
            else:
                self._wait_sentence = ""
                return result
        return None

    def _report_wait(self, error: OSError | HostError) -> None:
        """Log why the start waits, once for each reason, and tell systemd that the service is up and waits."""
        sentence = f"Goldsmith cannot start yet: {error_text(error)}."
        remedy = "It is tried again by itself."
        if sentence != self._wait_sentence:
            self._on_event("waiting to start", sentence=sentence, remedy=remedy)
        self._wait_sentence = sentence
        self._notify.ready()
        self._notify.status(f"{sentence} {remedy}")

    def _wait(self, wakeup_fd: int, seconds: float) -> None:
        """Wait until the time is over or a signal arrives."""
        end = time.monotonic() + seconds
        while not self._stop_requested and (left := end - time.monotonic()) > 0:
            self._notify.ping_watchdog()
            try:
                if select.select([wakeup_fd], [], [], min(left, self._notify.watchdog_interval or _MAX_SLEEP_SECONDS))[0]:
                    os.read(wakeup_fd, 4096)
            except OSError:
                threading.Event().wait(_FAILURE_PAUSE_SECONDS)

    # ------------------------------------------------------------------ running

    def _loop(self, runtime: DaemonRuntime, wakeup_fd: int, report: StateReport, *, until_idle: bool) -> Setup | None:
        """Work until the daemon shall stop, and return None; or until there is a new configuration that can be used, and return it."""
        runtime.scheduler.run_once()
        report.update(runtime.state)
        self._notify.ready()
        self._on_event("watching", root=str(runtime.setup.root), until="Ctrl-C or SIGTERM")
        while not self._stop_requested and not (until_idle and runtime.scheduler.is_idle):
            if self._reload_requested and (new_setup := self._reload_setup(runtime.setup)) is not None:
                return new_setup
            runtime.run_once(report.seconds_until_due(self._notify.watchdog_interval or _MAX_SLEEP_SECONDS))
            with contextlib.suppress(OSError):
                os.read(wakeup_fd, 4096)
            report.update(runtime.state)
            self._notify.ping_watchdog()
        self._notify.stopping()
        return None

    def _reload_setup(self, old: Setup) -> Setup | None:
        """Read the configuration again after SIGHUP. If it cannot be used, log why and return None: the old one stays in force."""
        self._reload_requested = False
        self._notify.reloading()
        try:
            setup = self._read_setup()
            create_folders(setup)
        except Exception as error:  # noqa: BLE001 - whatever fails, the loop goes on (law 12)
            sentence = error.sentence if isinstance(error, GoldsmithError) else f"The configuration cannot be read: {error_text(error)}."
            remedy = f"{getattr(error, 'remedy', '')} The old configuration stays in force.".strip()
            self._on_event("not reloaded", sentence=sentence, remedy=remedy, detail=traceback_text(error))
            self._notify.ready()
            return None
        if setup.settings.state_dir != old.settings.state_dir:
            sentence = f"The journal stays in {journal_path(old.root, old.settings.state_dir).parent}: state_dir needs a restart."
            self._on_event("partly reloaded", sentence=sentence, remedy="Run: systemctl restart goldsmith")
        return setup

    def _on_event(self, event: str, /, **facts: object) -> None:
        """Pass on an event. A log that cannot be written, because its disk is full or its reader is gone, must not stop the work."""
        with contextlib.suppress(OSError, ValueError):
            self._receive_event(event, **facts)

    def _log_event(self, event: str, /, **facts: object) -> None:
        """Log an event: failures as warnings or errors, progress for debugging only."""
        getattr(self._log, _EVENT_LEVELS.get(event, "info"))(event, **facts)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[int]:
        """Yield a descriptor that SIGTERM, SIGINT and SIGHUP make readable. The handlers only set a flag."""
        wakeup_fd, write_fd = self._open_wakeup_pipe()

        def stop(number: int, frame: FrameType | None) -> None:
            self._stop_requested = True

        def reload(number: int, frame: FrameType | None) -> None:
            self._reload_requested = True

        previous_fd = signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
        handlers = ((signal.SIGTERM, stop), (signal.SIGINT, stop), (signal.SIGHUP, reload))
        previous = [(number, signal.signal(number, handler)) for number, handler in handlers]
        try:
            yield wakeup_fd
        finally:
            for number, handler in previous:
                signal.signal(number, handler)
            signal.set_wakeup_fd(previous_fd)
            for fd in (wakeup_fd, write_fd):
                with contextlib.suppress(OSError):
                    os.close(fd)

    def _open_wakeup_pipe(self) -> tuple[int, int]:
        """Return both ends of a new pipe. Wait until the system has descriptors to give."""
        while True:
            try:
                return os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                self._report_wait(error)
                threading.Event().wait(_FAILURE_PAUSE_SECONDS)


def open_journal(path: Path, on_event: OnEvent) -> Journal:
    """Return the journal at ``path``, open for writing. A broken one is set aside, since the folders hold everything that work needs.

    Raises UsageError if a newer version has written it, and HostError if its disk fails.
    """
    try:
        return Journal.open(path)
    except JournalBroken as damage:
        kept = set_aside(path, time.time())
        on_event("journal replaced", sentence=damage.sentence, remedy=replaced_remedy(kept))
        return Journal.open(path)


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
    return Pruning(setup.root, setup.pipeline.folders, journal, setup.settings.keep_days, time.time(), is_dry_run=False)


def run_pruning(setup: Setup, days: float, *, is_dry_run: bool) -> PruneReport:
    """Prune the archive and the journal of a root on which no daemon runs, and return what was removed, or in a dry run what would be.

    Raises AlreadyRunningError if a daemon runs (a dry run does not mind), InputError if a manifest cannot be read, UsageError, HostError.
    """
    folders, now = setup.pipeline.folders, time.time()
    journal_file = journal_path(setup.root, setup.settings.state_dir)
    if is_dry_run:
        with contextlib.closing(Journal.open(journal_file, read_only=True)) as journal:
            pruning = Pruning(setup.root, folders, journal, days, now, is_dry_run=True)
            deque(pruning.steps(), maxlen=0)
            return pruning.report
    # A new, empty journal knows of no picture in work, so what that needs would go.
    Journal.open(journal_file, read_only=True).close()
    with RootLock.acquire(setup.root), contextlib.closing(Journal.open(journal_file)) as journal:
        pruning = Pruning(setup.root, folders, journal, days, now, is_dry_run=False)
        deque(pruning.steps(), maxlen=0)
        return pruning.report


def refuse_inspection() -> None:
    """Keep other processes of this user, a taken-over worker for one, from tracing this one and from reading its memory and environment.

    See PR_SET_DUMPABLE in prctl(2). It also means that this process leaves no core dump.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def run_replay(setup: Setup, file: Path, on_progress: OnStageProgress, output_folder: Path | None = None) -> ReplayReport:
    """Make the deliverables of a manifest again in a temporary folder, and return how they compare with the delivered files.

    The new files are copied into ``output_folder``. Raises InputError if the manifest is not valid, an input is missing or a stage fails,
    HostError, and UsageError if ``output_folder`` is not usable.
    """
    # Imported here because the daemon never replays.
    from goldsmith.ops import catalogue
    from goldsmith.pipeline.replay.compare_operation import CATALOGUE_ENTRY_POINT
    from goldsmith.pipeline.replay.manifest_reader import read_manifest
    from goldsmith.pipeline.replay.replay import Replay

    manifest = read_manifest(RootFolder(setup.root), file, catalogue())
    if output_folder is not None:
        _create_empty_folder(output_folder, setup.root)
    refuse_inspection()
    specs = _worker_specs(setup)
    config = worker_config(setup).model_copy(update={"catalogue": CATALOGUE_ENTRY_POINT})
    with tempfile.TemporaryDirectory(prefix="goldsmith-replay-") as name:
        folder = Path(name, "inputs")
        folder.mkdir()
        worker_folders = WorkerFolders(
            work=str(Path(name, "work")), inputs=(str(folder),), models=find_model_paths(setup.root, setup.weights, setup.models_file)
        )
        pools = WorkerPools(specs, config, worker_folders, time.monotonic)
        try:
            replay = Replay(setup.root, manifest, file.parent, pools, _job_limits(setup, specs), folder, on_progress)
            report = replay.run()
            if output_folder is not None:
                replay.save_outputs(report, output_folder)
            return report
        finally:
            pools.stop(0.0)


def _create_empty_folder(folder: Path, root: Path) -> None:
    """Create the folder, or accept an empty one. Raises UsageError if it is not empty, not usable, or inside the root."""
    if Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(root)):
        raise UsageError(f"{folder} is inside {root}.", "Name a folder outside it: files inside the root may be processed.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        has_files = any(folder.iterdir())
    except OSError as error:
        raise UsageError(f"{folder} cannot be used: {error.strerror}.", "Name another folder.") from error
    if has_files:
        raise UsageError(f"{folder} is not empty.", "Name a new folder, so that nothing is overwritten.")


def worker_config(setup: Setup) -> WorkerConfig:
    """Return the configuration for a worker process that starts now: `goldsmith models` may have noted hashes since the last one."""
    return WorkerConfig(
        models_file=str(setup.models_file), weights_folder=str(setup.weights.folder), weights_notes=setup.weights.notes.stored()
    )


def worker_folders(setup: Setup) -> WorkerFolders:
    """Return what the workers of a root may read and where they write. They cannot read the root itself, nor ``.goldsmith``."""
    return WorkerFolders(
        work=str(setup.root / SCRATCH_FOLDER),
        inputs=tuple(str(setup.root / name) for name in _input_folders(setup.pipeline)),
        models=find_model_paths(setup.root, setup.weights, setup.models_file),
    )


def _input_folders(pipeline: Pipeline) -> tuple[str, ...]:
    """Return the folders of a root that hold inputs of jobs."""
    return (*pipeline.folders, ARCHIVE_FOLDER, "library")


def _worker_specs(setup: Setup) -> list[WorkerSpec]:
    return build_worker_specs(setup.settings, [stage.queue for stage in setup.pipeline.stages])


def _job_limits(setup: Setup, specs: Sequence[WorkerSpec]) -> JobLimits:
    settings = setup.settings
    base = ResourceLimits(
        timeout_seconds=settings.job_seconds, max_memory_bytes=settings.worker_memory_mb * 2**20, max_pixels=settings.max_pixels
    )
    cpu_queues = {spec.queue for spec in specs if spec.device == "cpu"}
    return JobLimits(base, setup.weights, cpu_queues, engineless_queue="cpu" if "cpu" in cpu_queues else "")


def create_folders(setup: Setup) -> None:
    """Create the pipeline's missing folders, for example the folder of a stage that was added to pipeline.toml.

    If none of them exists, ``root`` is probably the wrong folder: raises UsageError; HostError if a daemon has worked on it before, because
    then its mount is probably gone. Also raises HostError if the service's own folder is not its alone, and OSError.
    """
    folders = setup.pipeline.folders
    if not any((setup.root / name).is_dir() for name in folders):
        sentence = f"{setup.root} has none of the pipeline's folders ({', '.join(folders)})."
        if _was_used(setup.root, setup.settings.state_dir):
            raise HostError(sentence, "Check that the share is mounted and that pipeline.toml names its folders.")
        raise UsageError(sentence, f"Run: goldsmith init {setup.root}")
    root = RootFolder(setup.root)
    for name in _input_folders(setup.pipeline):
        root.make_folder(name)
    WorkFolder(setup.root).prepare()
