"""Every operating-system call of the daemon fails in turn: at the start, in the loop, at a reload and at the end (law 12).

The daemon runs in this process with its real parts, except that its worker is a thread. A picture goes through a stage, the daemon
reloads, another picture goes through, and the daemon ends. Whatever fails meanwhile, it must get there.
"""

from __future__ import annotations

import errno
import os
import signal
import time
import zlib
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from doubles.commission import PIPELINE, SHARPEN
from doubles.pictures import png
from doubles.refused_calls import ERRNOS, RefusedCalls, Site
from doubles.studio import Studio
from goldsmith.errors import AlreadyRunningError, GoldsmithError, UsageError
from goldsmith.pipeline.scheduler import holds
from goldsmith.pipeline.workers import device_health
from goldsmith.service.runtime import DaemonRuntime
from goldsmith.service.service import Service

# watchdog's thread ends with the error; the daemon starts another one.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

# Calls of the daemon between two that fail, so that each failure is one of its own.
GAP = 150
# Seconds for which all calls of a kind fail in the second mode.
LASTING_SECONDS = 0.15
# Seconds until a run counts as stuck. A busy machine is slow.
STUCK_SECONDS = 60


class Stuck(BaseException):
    """The daemon does not get on."""


class Tour:
    """One run of the daemon from the start to the end, on a studio that is used again for the next run."""

    def __init__(self, studio: Studio, calls: RefusedCalls, name: str) -> None:
        self.studio, self.calls, self.name = studio, calls, name
        self.phase = "start"
        self.events: list[tuple[str, dict[str, Any]]] = []

    def run(self) -> None:
        """Run the daemon. Raises Stuck if it does not finish both pictures, and whatever leaves it before its end."""
        previous = signal.signal(signal.SIGALRM, self._give_up)
        signal.alarm(STUCK_SECONDS)
        try:
            with self.calls.installed():
                while self.phase == "start":
                    self._start()
        except (GoldsmithError, OSError):
            if self.phase != "end":
                raise
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, previous)
        assert self.phase == "end", self.report()
        masked = self.studio.folder("masked")
        assert {f"{self.name}/first.png", f"{self.name}/second.png"} <= set(masked), self.report()

    def _start(self) -> None:
        """Run the daemon. Two errors end a start with a sentence, after which somebody starts it again.

        ENOENT: the root or its configuration is missing. EACCES: that is how some filesystems say that another daemon has the lock.
        """
        try:
            Service(self.studio.setup, self._on_event).run()
        except (UsageError, AlreadyRunningError) as error:
            expected = {UsageError: errno.ENOENT, AlreadyRunningError: errno.EACCES}[type(error)]
            if self.phase != "start" or self.calls.number != expected:
                raise

    def report(self) -> str:
        failed = "\n".join(f"  {site}" for site in self.calls.failed)
        events = "\n".join(f"  {event} {facts}" for event, facts in self.events[-15:])
        return f"{errno.errorcode[self.calls.number]} in phase {self.phase} of {self.name}; failed:\n{failed}\nevents:\n{events}"

    def _give_up(self, number: int, frame: FrameType | None) -> None:
        raise Stuck(f"{self.report()}\n{_works(frame)}")

    def _on_event(self, event: str, /, **facts: object) -> None:
        self.events.append((event, dict(facts)))
        if event == "watching" and self.phase == "start":
            self.phase = "loop"
            self._drop("first")
        elif event == "committed" and self.phase == "loop":
            self.phase = "reload"
            os.kill(os.getpid(), signal.SIGHUP)
        elif event in ("watching", "not reloaded") and self.phase == "reload":
            self.phase = "second"
            self._drop("second")
        elif event == "committed" and self.phase == "second":
            self.phase = "end"
            os.kill(os.getpid(), signal.SIGTERM)
        elif event == "held":
            self._delete_note(str(facts["picture"]))

    def _drop(self, stem: str) -> None:
        self.studio.put(f"selected/{self.name}/{stem}.toml", SHARPEN)
        self.studio.put(f"selected/{self.name}/{stem}.png", png(len(self.name)))

    def _delete_note(self, picture: str) -> None:
        """Do what the note says: a person tries again."""
        self.studio.at(f"{picture}.problem.txt").unlink(missing_ok=True)


def _works(frame: FrameType | None) -> str:
    """Return what the interrupted daemon knows of its work."""
    while frame is not None:
        runtime = frame.f_locals.get("runtime")
        if isinstance(runtime, DaemonRuntime):
            in_flight, bundles = runtime.scheduler._in_flight, list(runtime.intake.bundles())
            works = [(work.asset_path, work.plan_id, work.outcome, work.is_cancelled) for work in in_flight._work_by_key.values()]
            states = {path: runtime.intake.state(path) for bundle in bundles if bundle.folder == "selected" for path in bundle.files}
            return f"works: {works}\nready: {in_flight.ready_to_commit}\nrunning: {runtime.workers.running_jobs()}\nfiles: {states}"
        frame = frame.f_back
    return ""


class OncePerSite:
    """Lets each chosen place in the code fail once, with a gap of calls between two failures.

    ``lasts``: whether all calls of its kind fail with it, for a while.
    """

    def __init__(self, chosen: Callable[[Site], bool], lasts: Callable[[Site], bool]) -> None:
        self.chosen, self.lasts = chosen, lasts
        self.done: set[Site] = set()
        self._since = GAP
        self._kind, self._until = "", 0.0

    def __call__(self, site: Site) -> bool:
        kind = site.rpartition(" ")[2]
        if kind == self._kind and time.monotonic() < self._until:
            return True
        self._since += 1
        if site in self.done or self._since < GAP or not self.chosen(site):
            return False
        self.done.add(site)
        self._since = 0
        if self.lasts(site):
            self._kind, self._until = kind, time.monotonic() + LASTING_SECONDS
        return True


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """Return a studio in which a daemon has run before, so that its journal and its folders exist."""
    place = tmp_path_factory.mktemp("every-call")
    # A system that says for a while that a file is not there costs the time until the folders are read again.
    studio = Studio(place, quiet=0.1, breath=0.02, gather=0.0, retry_machine=0.1, broken_after=1, drain=1, sweep=5)
    studio.write_pipeline(PIPELINE)
    Tour(studio, RefusedCalls(), "before").run()
    return studio


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try workers that cannot start, and holds, again at once: the tours let one call after another fail."""
    monkeypatch.setattr(device_health, "_MAX_BACKOFF_SECONDS", 0.2)
    monkeypatch.setattr(holds, "_MAX_RETRY_SECONDS", 0.2)


def tour(studio: Studio, number: int, policy: OncePerSite, name: str) -> None:
    calls = RefusedCalls()
    calls.number, calls.must_fail = number, policy
    Tour(studio, calls, f"{errno.errorcode[number].lower()}-{name}").run()


def checksum(site: Site) -> int:
    """Return a number that spreads the places in the code evenly, and is the same in every run."""
    return zlib.crc32(site.encode())


def test_the_calls_are_found_by_themselves(studio: Studio) -> None:
    """A tour makes calls of every kind, in every part of the daemon."""
    calls = RefusedCalls()
    Tour(studio, calls, "found").run()
    kinds = {site.rpartition(" ")[2] for site in calls.sites}
    files = {"open", "stat", "read", "write", "fsync", "close", "mkdir", "rmdir", "fcntl", "flock"}
    assert kinds >= files | {"poll", "sqlite", "exec", "thread", "_syscall", "_renameat2", "inotify_add_watch"}
    modules = {site.partition(":")[0] for site in calls.sites}
    assert modules >= {
        "service/service.py",
        "files.py",
        "root_folder.py",
        "brief/settings.py",
        "journal/journal.py",
        "pipeline/commit/root_lock.py",
        "pipeline/intake/watcher.py",
        "pipeline/workers/worker_process.py",
    }


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES], ids=errno.errorcode.get)
def test_the_daemon_lives_through_calls_that_fail(studio: Studio, number: int) -> None:
    """One tour: a sixth of the places in the code fails with each error, half of them for a while."""
    share = ERRNOS.index(number)
    policy = OncePerSite(lambda site: checksum(site) % len(ERRNOS) == share, lambda site: checksum(site) % 4 < 2)
    tour(studio, number, policy, "sample")
    assert len(policy.done) > 8


@pytest.mark.soak
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "for a while"])
@pytest.mark.parametrize("number", ERRNOS, ids=errno.errorcode.get)
def test_the_daemon_lives_through_every_call_that_fails(studio: Studio, number: int, lasting: bool) -> None:
    """Every place in the code fails with every error: tours are made until one finds no place that has not failed yet."""
    policy, before = OncePerSite(lambda site: True, lambda site: lasting), -1
    while len(policy.done) > before:
        before = len(policy.done)
        tour(studio, number, policy, f"{'lasting' if lasting else 'once'}{before}")
    assert before > 100
