"""Builds everything from the settings, and runs it: the one file that knows every part."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import structlog

from goldsmith.brief.pipeline import Pipeline, read_pipeline
from goldsmith.brief.resolve import Resolver
from goldsmith.brief.settings import Settings, find_config, read_config, read_settings
from goldsmith.engines.registry.weights_registry import WeightsRegistry, default_models_folder, open_weights_registry
from goldsmith.errors import GoldsmithError, UsageError
from goldsmith.files import Filesystem, fold_name, write_atomically
from goldsmith.jobs.job import ResourceLimits
from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
from goldsmith.journal.journal import Journal
from goldsmith.journal.location import prepare_journal_folder
from goldsmith.library.availability import build_availability
from goldsmith.library.library import Library
from goldsmith.pipeline.commit.naming import ARCHIVE_FOLDER, SCRATCH_FOLDER
from goldsmith.pipeline.commit.plan_executor import PlanExecutor
from goldsmith.pipeline.commit.planner import Planner
from goldsmith.pipeline.commit.recovery import recover_plans
from goldsmith.pipeline.commit.root_lock import RootLock
from goldsmith.pipeline.intake.intake import Intake, IntakeSettings
from goldsmith.pipeline.intake.watcher import Watcher
from goldsmith.pipeline.scheduler.holds import Holds
from goldsmith.pipeline.scheduler.host_health import HostHealth, OnEvent
from goldsmith.pipeline.scheduler.in_flight import InFlight
from goldsmith.pipeline.scheduler.limits import JobLimits
from goldsmith.pipeline.scheduler.parts import Clocks, SchedulerState, SharedParts
from goldsmith.pipeline.scheduler.readiness import Readiness
from goldsmith.pipeline.scheduler.results import Results, SettlePolicy
from goldsmith.pipeline.scheduler.scheduler import CommitParts, JobPreparation, Scheduler, SchedulerParts
from goldsmith.pipeline.scheduler.text_files import TextFileCache
from goldsmith.pipeline.workers.worker_pools import WorkerPools
from goldsmith.pipeline.workers.worker_specs import build_worker_specs, worker_state
from goldsmith.systemd_notify import SystemdNotifier

if TYPE_CHECKING:
    from goldsmith.pipeline.replay.foreground_runner import OnStageProgress
    from goldsmith.pipeline.replay.report import ReplayReport

# In the journal's folder, for as long as the daemon runs: what `status` and `why` ask of it.
STATE_FILE = "daemon.json"
# Seconds the loop sleeps at most.
_MAX_SLEEP_SECONDS = 60.0
# So many jobs of each lane are told in the order in which they will go.
_MAX_QUEUE_ORDER = 100
# Seconds between two writings of the state file at least.
_STATE_INTERVAL_SECONDS = 1.0


@dataclass(frozen=True)
class Setup:
    """One root with everything that was written about it, read and checked."""

    root: Path
    settings: Settings
    pipeline: Pipeline
    weights: WeightsRegistry
    models_file: Path
    library: Library

    @property
    def resolver(self) -> Resolver:
        """Reads briefs against this line, these models and their weights, and this library."""
        return Resolver(self.pipeline, self.library.read_recipe, build_availability(self.weights, self.library))


def load_setup(root: Path, config: Path | None = None, **flags: object) -> Setup:
    """Read the house, the line and the models of ``root``. Raises UsageError with everything that is wrong."""
    root = Path(os.path.abspath(root))
    if not root.is_dir():
        raise UsageError(f"{root} is not there.", f"Run: goldsmith init {root}")
    where = find_config(config, root)
    house_file, line_file, models_file = (where.path_of(name) for name in ("goldsmith.toml", "pipeline.toml", "models.toml"))
    house = read_settings(read_config(house_file), str(house_file), os.environ, **flags)
    line = read_pipeline(read_config(line_file), str(line_file))
    weights = open_weights_registry(models_file, house.models_dir or default_models_folder())
    return Setup(root, house, line, weights, models_file, Library(root))


class DaemonRuntime:
    """Everything of one root, wired together for one configuration. ``turn`` is the loop's one round."""

    def __init__(self, setup: Setup, journal: Journal, on_event: OnEvent, fs: Filesystem | None = None) -> None:
        self.setup = setup
        root, house, clock = setup.root, setup.settings, time.monotonic
        fs = fs or Filesystem()
        planner = Planner(root, setup.pipeline.final_folder, journal, fs, self._stem_taken, time.time)
        deliver = PlanExecutor(root, journal, fs, time.time, planner.rename_plan)
        journal.clear_active_jobs()  # before anything that takes long: nobody is to believe the rows of a daemon that is no more
        for result in recover_plans(deliver):
            on_event("recovered", job=result.plan.job_id, result=type(result).__name__.lower())
        self.watcher = Watcher(root)
        pace = IntakeSettings(house.quiet, house.breath, house.weak_quiet, house.sweep, house.poll)
        self.intake = Intake(root, [stage.folder for stage in setup.pipeline.stages], self.watcher, clock, pace, setup.weights.change_token)
        specs = _worker_specs(setup)
        self.workers = WorkerPools(specs, _worker_context(setup), clock)
        self.host_health = HostHealth(house.retry_machine, clock, on_event)
        holds = Holds(root, journal, fs, time.time)
        holds.release_missing()
        text_files = TextFileCache(root)
        shared = SharedParts(
            SchedulerState(InFlight(journal), holds, self.host_health, journal),
            self.intake,
            self.workers,
            Clocks(monotonic=clock, wall=time.time),
            on_event,
        )
        parts = SchedulerParts(
            shared,
            Results(shared, SettlePolicy(house.gather, house.broken_after, house.attempts)),
            JobPreparation(Readiness(setup.pipeline, setup.resolver, text_files.read_bytes), text_files, _job_limits(setup, specs)),
            CommitParts(planner, deliver),
        )
        self.scheduler = Scheduler(root, setup.pipeline, parts)
        self._poll = select.poll()

    def start(self) -> None:
        """Watch the folders and warm the lanes. What lies there already comes up by itself."""
        self.intake.start()
        self.workers.prewarm()
        for descriptor in (self.watcher.fd, *self.workers.readable_fds()):
            self._poll.register(descriptor, select.POLLIN)

    def add_wakeup_fd(self, fd: int) -> None:
        """End a turn's wait when this becomes readable."""
        self._poll.register(fd, select.POLLIN)

    def run_once(self, max_wait: float) -> None:
        """Wait until there is something to do, ``longest`` seconds at most, and do all of it."""
        seconds = self.scheduler.seconds_until_due()
        self._poll.poll(1000 * (max_wait if seconds is None else min(seconds, max_wait)))
        self.scheduler.run_once()

    def drain(self, timeout: float, keep_alive: Callable[[], None]) -> None:
        """Begin nothing more; let what runs finish for so long, and commit it. What is left waits in the folders."""
        end = time.monotonic() + timeout
        self.scheduler.drain()
        while self.scheduler.can_finish_by(end) and time.monotonic() < end:
            self.run_once(0.25)
            keep_alive()

    def close(self) -> None:
        """End the lanes and the watch."""
        self.workers.stop(0.0)
        self.watcher.close()

    def state(self) -> dict[str, object]:
        """What the command line shows of a running daemon."""
        return {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "root": str(self.setup.root),
            "paused": self.host_health.pause_reason,
            "lanes": {stage.queue: self.workers.pause_reason(stage.queue) or "" for stage in self.setup.pipeline.stages},
            "order": {stage.queue: self.workers.predict_order(stage.queue, _MAX_QUEUE_ORDER) for stage in self.setup.pipeline.stages},
            "seats": [worker_state(seated, time.time()) for seated in self.workers.worker_snapshots()],
            "folders": self.intake.watch_modes(),
            "weak": sorted(self.intake.weak_quiet_folders()),
            "missing": self.intake.unavailable_folders() | self.intake.unreadable_folders(),
            "watcher": self.watcher.error,
        }

    def _stem_taken(self, folder: str, campaign: str, stem: str) -> bool:
        return self.intake.is_stem_taken(folder, campaign, fold_name(stem))


class Service:
    """The daemon of one root: signals, configuration, systemd, and the loop around the works."""

    def __init__(self, read_setup: Callable[[], Setup], on_event: OnEvent | None = None) -> None:
        self._read_setup = read_setup
        self._setup = read_setup()
        self._log = structlog.get_logger("goldsmith")
        self._on_event: OnEvent = on_event or self._log_event
        self._stop_requested = False
        self._reload_requested = False
        self._notify = SystemdNotifier()
        self._written_state = ""
        self._next_state_write = 0.0

    def run(self, *, until_idle: bool = False) -> None:
        """Work until SIGTERM or SIGINT (then drain), or, ``until_idle``, until nothing is left that could be done.

        Raises AlreadyRunningError where another daemon holds the root, UsageError and HostError where it cannot start.
        """
        root = self._setup.root
        with self._signals() as wake, contextlib.ExitStack() as stack:
            path = prepare_journal_folder(root, self._setup.settings.state_dir)
            create_folders(self._setup)
            stack.enter_context(RootLock.acquire(root))
            journal = stack.enter_context(contextlib.closing(Journal.open(path)))
            state_file = path.parent / STATE_FILE
            stack.callback(lambda: state_file.unlink(missing_ok=True))
            while True:
                with contextlib.closing(DaemonRuntime(self._setup, journal, self._on_event)) as works:
                    works.start()
                    works.add_wakeup_fd(wake)
                    self._loop(works, wake, state_file, until_idle=until_idle)
                    works.drain(self._setup.settings.drain, self._notify.ping_watchdog)
                if self._stop_requested or not self._reload_requested:
                    return
                self._reload_setup()
                create_folders(self._setup)

    def _loop(self, runtime: DaemonRuntime, wakeup_fd: int, state_file: Path, *, until_idle: bool) -> None:
        runtime.scheduler.run_once()
        self._write_state(runtime, state_file)
        self._notify.ready()
        self._on_event("watching", root=str(self._setup.root), until="Ctrl-C or SIGTERM")
        while not (self._stop_requested or self._reload_requested or (until_idle and runtime.scheduler.is_idle)):
            runtime.run_once(self._notify.watchdog_interval or _MAX_SLEEP_SECONDS)
            with contextlib.suppress(BlockingIOError):
                os.read(wakeup_fd, 4096)
            self._write_state(runtime, state_file)
            self._notify.ping_watchdog()
        if self._stop_requested or not self._reload_requested:
            self._notify.stopping()
        else:
            self._notify.reloading()

    def _log_event(self, event: str, /, **facts: object) -> None:
        """Into the log: what went wrong stands out, and progress is for those who want to know everything."""
        level = {"progress": "debug", "held": "warning", "fault": "warning", "requeued": "warning", "paused": "error"}.get(event, "info")
        getattr(self._log, level)(event, **facts)

    def _reload_setup(self) -> None:
        """SIGHUP: the configuration is read again. A faulty one is said, and the old one stays in force."""
        self._reload_requested = False
        try:
            self._setup = self._read_setup()
        except GoldsmithError as fault:
            self._log.error("not reloaded", sentence=fault.sentence, remedy=fault.remedy)

    def _write_state(self, runtime: DaemonRuntime, state_file: Path) -> None:
        """The state file is written when something changed, once a second at most."""
        now = time.monotonic()
        if now < self._next_state_write:
            return
        self._next_state_write = now + _STATE_INTERVAL_SECONDS
        text = json.dumps(runtime.state(), sort_keys=True)
        if text != self._written_state:
            write_atomically(Filesystem(), state_file, text.encode(), replace=True)
            self._written_state = text
            self._notify.status(runtime.host_health.pause_reason or "Watching the folders.")

    @contextlib.contextmanager
    def _signals(self) -> Iterator[int]:
        """SIGTERM, SIGINT and SIGHUP set a flag and make the descriptor readable; nothing is done inside a signal."""
        wake, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

        def stop(number: int, frame: FrameType | None) -> None:
            self._stop_requested = True

        def reload(number: int, frame: FrameType | None) -> None:
            self._reload_requested = True

        woken = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        actions = ((signal.SIGTERM, stop), (signal.SIGINT, stop), (signal.SIGHUP, reload))
        before = [(number, signal.signal(number, action)) for number, action in actions]
        try:
            yield wake
        finally:
            for number, old in before:
                signal.signal(number, old)
            signal.set_wakeup_fd(woken)
            os.close(wake)
            os.close(writing)


def run_replay(setup: Setup, file: Path, on_progress: OnStageProgress, output_folder: Path | None = None) -> ReplayReport:
    """Do the delivery of a manifest again, in a folder of its own, and say what came of it; what was made is copied into ``keep``.

    Raises InputError where the manifest is not to be trusted, something is missing or a stage fails now; MachineFault; UsageFault where
    ``keep`` is no place for it.
    """
    # The daemon never does this: what it takes is not imported for it.
    from goldsmith.ops import catalogue
    from goldsmith.pipeline.replay.compare_operation import CATALOGUE_ENTRY_POINT
    from goldsmith.pipeline.replay.manifest_reader import read_manifest
    from goldsmith.pipeline.replay.replay import Replay

    manifest = read_manifest(file, catalogue())
    if output_folder is not None:
        _create_empty_folder(output_folder, setup.root)
    specs = _worker_specs(setup)
    lanes = WorkerPools(specs, _worker_context(setup).model_copy(update={"catalogue": CATALOGUE_ENTRY_POINT}), time.monotonic)
    try:
        with tempfile.TemporaryDirectory(prefix="goldsmith-replay-") as room:
            again = Replay(setup.root, manifest, file.parent, lanes, _job_limits(setup, specs), Path(room), on_progress)
            came = again.run()
            if output_folder is not None:
                again.save_outputs(came, output_folder)
            return came
    finally:
        lanes.stop(0.0)


def _create_empty_folder(folder: Path, root: Path) -> None:
    """Make the folder, or find it empty. Raises UsageError where it is neither, or lies in the root: what lies there is taken up."""
    if Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(root)):
        raise UsageError(f"{folder} lies in {root}.", "Name a folder outside it: what lies in there may be taken for work.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = any(folder.iterdir())
    except OSError as error:
        raise UsageError(f"{folder} cannot be used: {error.strerror}.", "Name another folder.") from error
    if held:
        raise UsageError(f"{folder} is not empty.", "Name a new folder, so that nothing is overwritten.")


def _worker_context(setup: Setup) -> WorkerConfig:
    return WorkerConfig(models_file=str(setup.models_file), weights_folder=str(setup.weights.folder))


def _worker_specs(setup: Setup) -> list[WorkerSpec]:
    return build_worker_specs(setup.settings, [stage.queue for stage in setup.pipeline.stages])


def _job_limits(setup: Setup, specs: Sequence[WorkerSpec]) -> JobLimits:
    house = setup.settings
    base = ResourceLimits(timeout_seconds=house.job_seconds, max_memory_bytes=house.worker_memory_mb * 2**20, max_pixels=house.max_pixels)
    on_cpu = {spec.queue for spec in specs if spec.device == "cpu"}
    return JobLimits(base, setup.weights, on_cpu, engineless_queue="cpu" if "cpu" in on_cpu else "")


def create_folders(setup: Setup) -> None:
    """The folders of the line that are not there yet: a stage that was added to pipeline.toml gets its own.

    Raises UsageError where there are none at all: any folder could be named by mistake.
    """
    folders = setup.pipeline.folders
    if not any((setup.root / name).is_dir() for name in folders):
        raise UsageError(f"{setup.root} has none of the folders of the line ({', '.join(folders)}).", f"Run: goldsmith init {setup.root}")
    for name in (*setup.pipeline.folders, ARCHIVE_FOLDER, "library", SCRATCH_FOLDER):
        (setup.root / name).mkdir(parents=True, exist_ok=True)
