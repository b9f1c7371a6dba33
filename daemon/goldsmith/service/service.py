"""The service: starts the parts, runs the main loop, and obeys signals and systemd."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TypeVar

import structlog

from goldsmith.cluster.ray_extra import require_ray_extra
from goldsmith.errors import GoldsmithError, HostError, error_text, join_sentences
from goldsmith.journal.damage import replaced_remedy, set_aside
from goldsmith.journal.journal import Journal
from goldsmith.journal.location import journal_path, prepare_journal_folder, register_root
from goldsmith.journal.sqlite_errors import JournalBroken
from goldsmith.pipeline.commit.nested_roots import require_separate_root
from goldsmith.pipeline.commit.root_lock import RootLock
from goldsmith.pipeline.monitoring.loop_probe import LoopProbe
from goldsmith.pipeline.scheduler.host_health import OnEvent, traceback_text
from goldsmith.pipeline.status.daemon_state import STATE_FILE
from goldsmith.service.inspection import refuse_inspection
from goldsmith.service.runtime import FAILURE_PAUSE_SECONDS, DaemonRuntime, build_runtime
from goldsmith.service.setup import Setup, create_folders
from goldsmith.service.state_report import StateReport
from goldsmith.service.systemd_notify import SystemdNotifier

_T = TypeVar("_T")
# The longest sleep of the main loop.
_MAX_SLEEP_SECONDS = 60.0
# Seconds between two tries to start, until the settings are known.
_START_RETRY_SECONDS = 10.0
# The levels of events in the log; all others are information.
_EVENT_LEVELS = {
    "progress": "debug",
    **dict.fromkeys(("held", "fault", "requeued", "permissions refused"), "warning"),
    **dict.fromkeys(
        (
            "queue paused",
            "folder unavailable",
            "partly reloaded",
            "lock renewed",
            "no status file",
            "no probe",
            "not pruned",
            "root recognised",
            "not signed",
            "nobody signs",
        ),
        "warning",
    ),
    **dict.fromkeys(("paused", "error", "waiting to start", "not reloaded", "state not written", "journal replaced"), "error"),
}


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
        # None if its socket could not be made: then /healthz says that nobody answers.
        self._probe: LoopProbe | None = None

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
            self._open_probe(journal, stack)
            report = StateReport(journal.path.parent / STATE_FILE, self._notify, self._on_event)
            stack.callback(lambda: report.remove() if lock.is_current() else None)  # else it may be the file of another daemon
            while not self._stop_requested:
                runtime = self._until_possible(lambda: self._start_runtime(lock, journal, wakeup_fd), wakeup_fd)
                if runtime is None:
                    return
                with contextlib.closing(runtime):
                    new_setup = self._loop(runtime, wakeup_fd, report, until_idle=until_idle)
                    runtime.drain(runtime.setup.settings.drain, self._show_life)
                    if new_setup is None:
                        runtime.say_stopped()
                        return
                self._setup = new_setup

    # ------------------------------------------------------------------ starting

    def _open_root(self, stack: contextlib.ExitStack) -> tuple[RootLock, Journal]:
        """Read the configuration, take the root and open its journal. ``stack`` closes both at the end."""
        setup = self._setup = self._read_setup()
        require_separate_root(setup.root, setup.pipeline.folders)
        require_ray_extra(setup.settings)
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
            if self._probe is not None:
                runtime.add_wakeup_fd(self._probe.fd)
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
        self._notify.status(join_sentences(sentence, remedy))

    def _wait(self, wakeup_fd: int, seconds: float) -> None:
        """Wait until the time is over or a signal arrives."""
        end = time.monotonic() + seconds
        while not self._stop_requested and (left := end - time.monotonic()) > 0:
            self._notify.ping_watchdog()
            try:
                if select.select([wakeup_fd], [], [], min(left, self._notify.watchdog_interval or _MAX_SLEEP_SECONDS))[0]:
                    os.read(wakeup_fd, 4096)
            except OSError:
                threading.Event().wait(FAILURE_PAUSE_SECONDS)

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
            self._show_life()
        self._notify.stopping()
        return None

    def _open_probe(self, journal: Journal, stack: contextlib.ExitStack) -> None:
        """Let `goldsmith metrics` ask whether the main loop turns. ``stack`` closes its socket at the end."""
        try:
            self._probe = LoopProbe(journal)
        except OSError as error:
            sentence = f"Nobody can ask whether Goldsmith is healthy: its socket cannot be made ({error.strerror})."
            self._on_event("no probe", sentence=sentence, remedy="Check the state folder. The work goes on.")
            return
        stack.callback(self._probe.close)

    def _show_life(self) -> None:
        """Show systemd, and everybody who asks, that the main loop turns."""
        self._notify.ping_watchdog()
        if self._probe is not None:
            self._probe.answer()

    def _reload_setup(self, old: Setup) -> Setup | None:
        """Read the configuration again after SIGHUP. If it cannot be used, log why and return None: the old one stays in force."""
        self._reload_requested = False
        self._notify.reloading()
        try:
            setup = self._read_setup()
            require_ray_extra(setup.settings)
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
                threading.Event().wait(FAILURE_PAUSE_SECONDS)


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
