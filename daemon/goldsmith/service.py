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

from goldsmith.brief.pipeline import Line, read_line
from goldsmith.brief.resolve import Resolver
from goldsmith.brief.settings import House, find_config, read_config, read_house
from goldsmith.engines.registry.weights import Weights, default_folder, weights_of
from goldsmith.errors import GoldsmithError, UsageFault
from goldsmith.files import Filesystem, fold, publish
from goldsmith.jobs.job import Limits
from goldsmith.jobs.protocol import LaneContext, LaneSpec
from goldsmith.journal.journal import Journal
from goldsmith.journal.place import prepare
from goldsmith.library.availability import stock_of
from goldsmith.library.library import Library
from goldsmith.pipeline.commit.lock import RootLock
from goldsmith.pipeline.commit.naming import ARCHIVE, WORK
from goldsmith.pipeline.commit.plan_executor import Deliver
from goldsmith.pipeline.commit.planner import Planner
from goldsmith.pipeline.commit.recovery import recover
from goldsmith.pipeline.intake.intake import Intake, IntakeSettings
from goldsmith.pipeline.intake.watch import Watcher
from goldsmith.pipeline.scheduler.holds import Holds
from goldsmith.pipeline.scheduler.in_flight import Heard, Machine, Slate
from goldsmith.pipeline.scheduler.limits import Allowances
from goldsmith.pipeline.scheduler.readiness import Judge
from goldsmith.pipeline.scheduler.results import Outcomes, Patience
from goldsmith.pipeline.scheduler.scheduler import Foreman
from goldsmith.pipeline.scheduler.texts import Texts
from goldsmith.pipeline.workers.queues import Lanes
from goldsmith.pipeline.workers.specs import lane_specs, told_of
from goldsmith.systemd_notify import Notify

if TYPE_CHECKING:
    from goldsmith.pipeline.replay.report import Report
    from goldsmith.pipeline.replay.runs import Tell

STATE_FILE = "daemon.json"
"""In the journal's folder, for as long as the daemon runs: what `status` and `why` ask of it."""
_LONGEST = 60.0
"""Seconds the loop sleeps at most."""
_IN_ORDER = 100
"""So many jobs of each lane are told in the order in which they will go."""
_TELL = 1.0
"""Seconds between two writings of the state file at least."""


@dataclass(frozen=True)
class Setup:
    """One root with everything that was written about it, read and checked."""

    root: Path
    house: House
    line: Line
    weights: Weights
    models_file: Path
    library: Library

    @property
    def resolver(self) -> Resolver:
        """Reads briefs against this line, these models and their weights, and this library."""
        return Resolver(self.line, self.library.recipe, stock_of(self.weights, self.library))


def set_up(root: Path, config: Path | None = None, **flags: object) -> Setup:
    """Read the house, the line and the models of ``root``. Raises UsageFault with everything that is wrong."""
    root = Path(os.path.abspath(root))
    if not root.is_dir():
        raise UsageFault(f"{root} is not there.", f"Run: goldsmith init {root}")
    where = find_config(config, root)
    house_file, line_file, models_file = (where.file(name) for name in ("house.toml", "line.toml", "models.toml"))
    house = read_house(read_config(house_file), str(house_file), os.environ, **flags)
    line = read_line(read_config(line_file), str(line_file))
    weights = weights_of(models_file, house.models_dir or default_folder())
    return Setup(root, house, line, weights, models_file, Library(root))


class Works:
    """Everything of one root, wired together for one configuration. ``turn`` is the loop's one round."""

    def __init__(self, setup: Setup, journal: Journal, heard: Heard, fs: Filesystem | None = None) -> None:
        self.setup = setup
        root, house, clock = setup.root, setup.house, time.monotonic
        fs = fs or Filesystem()
        planner = Planner(root, setup.line.last, journal, fs, self._stem_taken, time.time)
        deliver = Deliver(root, journal, fs, time.time, planner.reword)
        journal.boot()  # before anything that takes long: nobody is to believe the rows of a daemon that is no more
        for result in recover(deliver):
            heard("recovered", job=result.plan.job_id, result=type(result).__name__.lower())
        self.watcher = Watcher(root)
        pace = IntakeSettings(house.quiet, house.breath, house.weak_quiet, house.sweep, house.poll)
        self.intake = Intake(root, [stage.folder for stage in setup.line.stages], self.watcher, clock, pace, setup.weights.stamp)
        specs = _specs(setup)
        self.lanes = Lanes(specs, _context(setup), clock)
        self.machine = Machine(house.retry_machine, clock, heard)
        slate, texts = Slate(journal), Texts(root)
        holds = Holds(root, journal, fs, time.time)
        holds.forget_gone()
        outcomes = Outcomes(
            slate=slate,
            machine=self.machine,
            intake=self.intake,
            lanes=self.lanes,
            holds=holds,
            journal=journal,
            patience=Patience(house.gather, house.broken_after, house.attempts),
            wall=time.time,
            heard=heard,
        )
        self.foreman = Foreman(
            root,
            setup.line,
            slate=slate,
            machine=self.machine,
            intake=self.intake,
            judge=Judge(setup.line, setup.resolver, texts.bytes_of),
            texts=texts,
            lanes=self.lanes,
            outcomes=outcomes,
            planner=planner,
            deliver=deliver,
            holds=holds,
            journal=journal,
            allowances=_allowances(setup, specs),
            clock=clock,
            wall=time.time,
            heard=heard,
        )
        self._poll = select.poll()

    def start(self) -> None:
        """Watch the folders and warm the lanes. What lies there already comes up by itself."""
        self.intake.start()
        self.lanes.warm()
        for descriptor in (self.watcher.fd, *self.lanes.waitables()):
            self._poll.register(descriptor, select.POLLIN)

    def wake_by(self, descriptor: int) -> None:
        """End a turn's wait when this becomes readable."""
        self._poll.register(descriptor, select.POLLIN)

    def turn(self, longest: float) -> None:
        """Wait until there is something to do, ``longest`` seconds at most, and do all of it."""
        seconds = self.foreman.wait()
        self._poll.poll(1000 * (longest if seconds is None else min(seconds, longest)))
        self.foreman.turn()

    def finish(self, seconds: float, alive: Callable[[], None]) -> None:
        """Begin nothing more; let what runs finish for so long, and commit it. What is left waits in the folders."""
        end = time.monotonic() + seconds
        self.foreman.drain()
        while self.foreman.may_finish(end) and time.monotonic() < end:
            self.turn(0.25)
            alive()

    def close(self) -> None:
        """End the lanes and the watch."""
        self.lanes.stop(0.0)
        self.watcher.close()

    def state(self) -> dict[str, object]:
        """What the command line shows of a running daemon."""
        return {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "root": str(self.setup.root),
            "paused": self.machine.sentence,
            "lanes": {stage.lane: self.lanes.paused(stage.lane) or "" for stage in self.setup.line.stages},
            "order": {stage.lane: self.lanes.order(stage.lane, _IN_ORDER) for stage in self.setup.line.stages},
            "seats": [told_of(seated, time.time()) for seated in self.lanes.seats()],
            "folders": self.intake.modes(),
            "weak": sorted(self.intake.weak()),
            "missing": self.intake.paused() | self.intake.unreadable(),
            "watcher": self.watcher.trouble,
        }

    def _stem_taken(self, folder: str, campaign: str, stem: str) -> bool:
        return self.intake.stem_taken(folder, campaign, fold(stem))


class Service:
    """The daemon of one root: signals, configuration, systemd, and the loop around the works."""

    def __init__(self, read_setup: Callable[[], Setup], heard: Heard | None = None) -> None:
        self._read_setup = read_setup
        self._setup = read_setup()
        self._log = structlog.get_logger("goldsmith")
        self._heard: Heard = heard or self._note
        self._stop = False
        self._reload = False
        self._notify = Notify()
        self._state = ""
        self._state_due = 0.0

    def run(self, *, until_idle: bool = False) -> None:
        """Work until SIGTERM or SIGINT (then drain), or, ``until_idle``, until nothing is left that could be done.

        Raises AlreadyRunning where another daemon holds the root, UsageFault and MachineFault where it cannot start.
        """
        root = self._setup.root
        with self._signals() as wake, contextlib.ExitStack() as stack:
            path = prepare(root, self._setup.house.state_dir)
            make_folders(self._setup)
            stack.enter_context(RootLock.take(root))
            journal = stack.enter_context(contextlib.closing(Journal.open(path)))
            state_file = path.parent / STATE_FILE
            stack.callback(lambda: state_file.unlink(missing_ok=True))
            while True:
                with contextlib.closing(Works(self._setup, journal, self._heard)) as works:
                    works.start()
                    works.wake_by(wake)
                    self._loop(works, wake, state_file, until_idle=until_idle)
                    works.finish(self._setup.house.drain, self._notify.pet)
                if self._stop or not self._reload:
                    return
                self._read_again()
                make_folders(self._setup)

    def _loop(self, works: Works, wake: int, state_file: Path, *, until_idle: bool) -> None:
        works.foreman.turn()
        self._tell(works, state_file)
        self._notify.ready()
        self._heard("watching", root=str(self._setup.root), until="Ctrl-C or SIGTERM")
        while not (self._stop or self._reload or (until_idle and works.foreman.idle)):
            works.turn(self._notify.interval or _LONGEST)
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 4096)
            self._tell(works, state_file)
            self._notify.pet()
        if self._stop or not self._reload:
            self._notify.stopping()
        else:
            self._notify.reloading()

    def _note(self, event: str, /, **facts: object) -> None:
        """Into the log: what went wrong stands out, and progress is for those who want to know everything."""
        level = {"progress": "debug", "held": "warning", "fault": "warning", "put back": "warning", "paused": "error"}.get(event, "info")
        getattr(self._log, level)(event, **facts)

    def _read_again(self) -> None:
        """SIGHUP: the configuration is read again. A faulty one is said, and the old one stays in force."""
        self._reload = False
        try:
            self._setup = self._read_setup()
        except GoldsmithError as fault:
            self._log.error("not reloaded", sentence=fault.sentence, remedy=fault.remedy)

    def _tell(self, works: Works, state_file: Path) -> None:
        """The state file is written when something changed, once a second at most."""
        now = time.monotonic()
        if now < self._state_due:
            return
        self._state_due = now + _TELL
        text = json.dumps(works.state(), sort_keys=True)
        if text != self._state:
            publish(Filesystem(), state_file, text.encode(), replace=True)
            self._state = text
            self._notify.status(works.machine.sentence or "Watching the folders.")

    @contextlib.contextmanager
    def _signals(self) -> Iterator[int]:
        """SIGTERM, SIGINT and SIGHUP set a flag and make the descriptor readable; nothing is done inside a signal."""
        wake, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

        def stop(number: int, frame: FrameType | None) -> None:
            self._stop = True

        def reload(number: int, frame: FrameType | None) -> None:
            self._reload = True

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


def replay(setup: Setup, file: Path, tell: Tell, keep: Path | None = None) -> Report:
    """Do the delivery of a manifest again, in a folder of its own, and say what came of it; what was made is copied into ``keep``.

    Raises Problem where the manifest is not to be trusted, something is missing or a stage fails now; MachineFault; UsageFault where
    ``keep`` is no place for it.
    """
    # The daemon never does this: what it takes is not imported for it.
    from goldsmith.ops import catalogue
    from goldsmith.pipeline.replay.compare import CATALOGUE
    from goldsmith.pipeline.replay.record import read_manifest
    from goldsmith.pipeline.replay.replay import Replay

    manifest = read_manifest(file, catalogue())
    if keep is not None:
        _empty_folder(keep, setup.root)
    specs = _specs(setup)
    lanes = Lanes(specs, _context(setup).model_copy(update={"catalogue": CATALOGUE}), time.monotonic)
    try:
        with tempfile.TemporaryDirectory(prefix="goldsmith-replay-") as room:
            again = Replay(setup.root, manifest, file.parent, lanes, _allowances(setup, specs), Path(room), tell)
            came = again.run()
            if keep is not None:
                again.keep(came, keep)
            return came
    finally:
        lanes.stop(0.0)


def _empty_folder(folder: Path, root: Path) -> None:
    """Make the folder, or find it empty. Raises UsageFault where it is neither, or lies in the root: what lies there is taken up."""
    if Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(root)):
        raise UsageFault(f"{folder} lies in {root}.", "Name a folder outside it: what lies in there may be taken for work.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = any(folder.iterdir())
    except OSError as error:
        raise UsageFault(f"{folder} cannot be used: {error.strerror}.", "Name another folder.") from error
    if held:
        raise UsageFault(f"{folder} is not empty.", "Name a new folder, so that nothing is overwritten.")


def _context(setup: Setup) -> LaneContext:
    return LaneContext(models_file=str(setup.models_file), weights=str(setup.weights.folder))


def _specs(setup: Setup) -> list[LaneSpec]:
    return lane_specs(setup.house, [stage.lane for stage in setup.line.stages])


def _allowances(setup: Setup, specs: Sequence[LaneSpec]) -> Allowances:
    house = setup.house
    base = Limits(seconds=house.job_seconds, memory_bytes=house.lane_memory_mb * 2**20, pixels=house.max_pixels)
    on_cpu = {spec.name for spec in specs if spec.device == "cpu"}
    return Allowances(base, setup.weights, on_cpu, light="cpu" if "cpu" in on_cpu else "")


def make_folders(setup: Setup) -> None:
    """The folders of the line that are not there yet: a stage that was added to line.toml gets its own.

    Raises UsageFault where there are none at all: any folder could be named by mistake.
    """
    folders = setup.line.folders
    if not any((setup.root / name).is_dir() for name in folders):
        raise UsageFault(f"{setup.root} has none of the folders of the line ({', '.join(folders)}).", f"Run: goldsmith init {setup.root}")
    for name in (*setup.line.folders, ARCHIVE, "library", WORK):
        (setup.root / name).mkdir(parents=True, exist_ok=True)
