"""Builds everything from the settings, and runs it: the one file that knows every part."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import structlog

from goldsmith.brief.brief import Stock
from goldsmith.brief.house import House, find_config, read_config, read_house
from goldsmith.brief.resolve import Resolver
from goldsmith.brief.stages import Line, read_line
from goldsmith.engines import EngineKind
from goldsmith.engines.models import read_models
from goldsmith.engines.weights import Weights, default_folder
from goldsmith.errors import GoldsmithError, UsageFault
from goldsmith.files import Filesystem, fold, publish
from goldsmith.journal.journal import Journal
from goldsmith.journal.place import prepare
from goldsmith.line.deliver import Deliver
from goldsmith.line.foreman import Foreman
from goldsmith.line.holds import Holds
from goldsmith.line.intake import Intake, IntakeSettings
from goldsmith.line.job import Limits
from goldsmith.line.judge import Judge
from goldsmith.line.lanes import Lanes
from goldsmith.line.library import Library
from goldsmith.line.lock import RootLock
from goldsmith.line.naming import ARCHIVE, WORK
from goldsmith.line.outcomes import Outcomes, Patience
from goldsmith.line.planner import Planner
from goldsmith.line.recover import recover
from goldsmith.line.slate import Heard, Machine, Slate
from goldsmith.line.texts import Texts
from goldsmith.line.watch import Watcher
from goldsmith.line.wire import LaneContext, LaneSpec

STATE_FILE = "daemon.json"
_PET = 10.0
"""Seconds between two words to systemd's watchdog while nothing happens."""
_STATE = 1.0
"""Seconds between two writings of the state file at most."""


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
        """Reads briefs against this line, these models and this library."""
        models: dict[EngineKind, list[str]] = {}
        for name, model in self.weights.models.models.items():
            models.setdefault(model.kind, []).append(name)

        def has(shelf: str, name: str, suffixes: tuple[str, ...]) -> bool:
            return self.library.find(shelf, name, suffixes) is not None

        return Resolver(self.line, self.library.recipe, Stock(models, has, self.library.names))


def set_up(root: Path, config: Path | None = None, **flags: object) -> Setup:
    """Read the house, the line and the models of ``root``. Raises UsageFault with everything that is wrong."""
    root = Path(os.path.abspath(root))
    if not root.is_dir():
        raise UsageFault(f"{root} is not there.", f"Run: goldsmith init {root}")
    where = find_config(config, root)
    house_file, line_file, models_file = (where.file(name) for name in ("house.toml", "line.toml", "models.toml"))
    house = read_house(read_config(house_file), str(house_file), os.environ, **flags)
    line = read_line(read_config(line_file), str(line_file))
    weights = Weights(read_models(models_file), house.models_dir or default_folder())
    return Setup(root, house, line, weights, models_file, Library(root))


class Service:
    """The daemon of one root: everything wired together, and the loop."""

    def __init__(self, read_setup: Callable[[], Setup], heard: Heard | None = None) -> None:
        self._read_setup = read_setup
        self._setup = read_setup()
        self._root = self._setup.root
        self._fs = Filesystem()
        self._log = structlog.get_logger("goldsmith")
        self._heard: Heard = heard or self._log.info
        self._stop = False
        self._reload = False
        self._notify = Notify()
        self._state_written = (0.0, "")

    def run(self, *, until_idle: bool = False) -> None:
        """Work until SIGTERM or SIGINT (then drain), or, ``until_idle``, until nothing is left that could be done.

        Raises AlreadyRunning where another daemon holds the root, UsageFault and MachineFault where it cannot start.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._signals())
            _make_folders(self._setup)
            stack.enter_context(RootLock.take(self._root))
            journal_path = prepare(self._root, self._setup.house.state_dir)
            self._journal = stack.enter_context(contextlib.closing(Journal.open(journal_path)))
            self._state_file = journal_path.parent / STATE_FILE
            stack.callback(lambda: self._state_file.unlink(missing_ok=True))
            while True:
                with contextlib.ExitStack() as parts:
                    self._build(parts)
                    self._loop(until_idle=until_idle)
                    self._drain()
                if not self._reload or self._stop:
                    return
                self._read_again()

    # ------------------------------------------------------------------ building

    def _build(self, stack: contextlib.ExitStack) -> None:
        setup, house, clock = self._setup, self._setup.house, time.monotonic
        planner = Planner(self._root, setup.line.last, self._journal, self._fs, self._stem_taken, time.time)
        deliver = Deliver(self._root, self._journal, self._fs, time.time, planner.reword)
        for result in recover(deliver):
            self._log.info("recovered", plan=result.plan.job_id, result=type(result).__name__.lower())
        self._journal.boot()
        self._watcher = Watcher(self._root)
        stack.callback(self._watcher.close)
        pace = IntakeSettings(house.quiet, house.breath, house.weak_quiet, house.sweep, house.poll)
        self._intake = Intake(self._root, [stage.folder for stage in setup.line.stages], self._watcher, clock, pace)
        self._lanes = Lanes(_lane_specs(setup), LaneContext(models_file=str(setup.models_file), weights=str(setup.weights.folder)), clock)
        stack.callback(lambda: self._lanes.stop(0.0))
        texts = Texts(self._root)
        self._slate = Slate(self._journal)
        self._machine = Machine(house.retry_machine, clock, self._heard)
        holds = Holds(self._root, self._journal, self._fs, time.time)
        outcomes = Outcomes(
            slate=self._slate,
            machine=self._machine,
            intake=self._intake,
            lanes=self._lanes,
            holds=holds,
            journal=self._journal,
            patience=Patience(house.gather, house.broken_after, house.retry_machine, house.attempts),
            wall=time.time,
            heard=self._heard,
        )
        self._foreman = Foreman(
            self._root,
            setup.line,
            slate=self._slate,
            machine=self._machine,
            intake=self._intake,
            judge=Judge(setup.line, setup.resolver, texts.bytes_of),
            texts=texts,
            lanes=self._lanes,
            outcomes=outcomes,
            planner=planner,
            deliver=deliver,
            holds=holds,
            journal=self._journal,
            limits=Limits(seconds=house.job_seconds, memory_bytes=house.lane_memory_mb * 2**20, pixels=house.max_pixels),
            clock=clock,
            wall=time.time,
            heard=self._heard,
        )

    def _stem_taken(self, folder: str, campaign: str, stem: str) -> bool:
        return self._intake.stem_taken(folder, campaign, fold(stem))

    # ------------------------------------------------------------------ the loop

    def _loop(self, *, until_idle: bool) -> None:
        self._watcher.start()
        self._intake.start()
        self._lanes.warm()
        poll = select.poll()
        for descriptor in (self._watcher.fd, self._wake, *self._lanes.waitables()):
            poll.register(descriptor, select.POLLIN)
        self._tell("ready")
        self._notify.say("READY=1")
        while not self._stop:
            self._foreman.turn()
            self._tell("working")
            if self._reload or (until_idle and self._foreman.idle):
                return
            seconds = self._foreman.wait()
            poll.poll(1000 * min(_PET, _PET if seconds is None else seconds))
            self._drain_wake()
            self._notify.pet()

    def _drain(self) -> None:
        """SIGTERM: begin nothing more, let what runs finish within the limit, commit it; what is left waits in the folders."""
        end = time.monotonic() + self._setup.house.drain
        self._notify.say(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}" if self._reload else "STOPPING=1")
        self._foreman.drain()
        while self._foreman.at_work and not self._foreman.idle and time.monotonic() < end:
            self._foreman.turn()
            self._notify.pet()
            if not self._lanes.running() and not self._slate.finished:
                break
            select.poll().poll(20)

    def _read_again(self) -> None:
        """SIGHUP: the configuration is read again. A faulty one is said, and the old one stays in force."""
        self._reload = False
        try:
            self._setup = self._read_setup()
        except GoldsmithError as fault:
            self._log.error("not reloaded", sentence=fault.sentence, remedy=fault.remedy)

    # ------------------------------------------------------------------ signals

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM, SIGINT and SIGHUP set a flag and wake the loop; nothing is done inside a signal."""
        self._wake, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

        def stop(number: int, frame: FrameType | None) -> None:
            self._stop = True

        def reload(number: int, frame: FrameType | None) -> None:
            self._reload = True

        woken = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        actions = ((signal.SIGTERM, stop), (signal.SIGINT, stop), (signal.SIGHUP, reload))
        before = [(number, signal.signal(number, action)) for number, action in actions]
        try:
            yield
        finally:
            for number, old in before:
                signal.signal(number, old)
            signal.set_wakeup_fd(woken)
            os.close(self._wake)
            os.close(writing)

    def _drain_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, 4096)

    # ------------------------------------------------------------------ telling

    def _tell(self, phase: str) -> None:
        """What the command line shows of a running daemon; written when it changes, once a second at most."""
        now = time.monotonic()
        at, before = self._state_written
        if now - at < _STATE and before:
            return
        state = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "root": str(self._root),
            "paused": self._machine.sentence,
            "lanes": {stage.lane: self._lanes.paused(stage.lane) or "" for stage in self._setup.line.stages},
            "folders": self._intake.modes(),
            "weak": sorted(self._intake.weak()),
            "missing": self._intake.paused() | self._intake.unreadable(),
            "watcher": self._watcher.trouble,
        }
        text = json.dumps(state, sort_keys=True)
        if text != before:
            publish(self._fs, self._state_file, text.encode(), replace=True)
            self._state_written = (now, text)
            self._notify.say(f"STATUS={self._machine.sentence or 'Watching the folders.'}")


class Notify:
    """systemd's readiness protocol: datagrams to the socket in NOTIFY_SOCKET (sd_notify(3)); silent where there is none."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        self._clock = clock
        self._petted = 0.0
        self._every = int(os.environ.get("WATCHDOG_USEC", "0")) / 2e6

    def say(self, words: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender, contextlib.suppress(OSError):
            sender.sendto(words.encode(), address)

    def pet(self) -> None:
        """Tell the watchdog that the loop turns; at most twice in its interval."""
        now = self._clock()
        if self._every and now - self._petted >= min(self._every, _PET) / 2:
            self._petted = now
            self.say("WATCHDOG=1")


def _make_folders(setup: Setup) -> None:
    """The folders of the line that are not there yet: a stage that was added to line.toml gets its own."""
    for name in (*setup.line.folders, ARCHIVE, "library", WORK):
        (setup.root / name).mkdir(parents=True, exist_ok=True)


def _lane_specs(setup: Setup) -> list[LaneSpec]:
    """One lane for each name in line.toml: the GPU's has one process, the others as many as the house says."""
    house = setup.house
    names = dict.fromkeys(stage.lane for stage in setup.line.stages)
    return [LaneSpec(name=name, count=1 if name == "gpu" else house.cpu_lanes, threads=house.threads) for name in names]
