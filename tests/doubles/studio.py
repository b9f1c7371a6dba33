"""A whole studio: a root with its folders, a journal outside it, and the daemon, stepped in this process or run as a program.

In-process, ``turn`` itself waits for the next thing to happen, so no test sleeps. As a program, readiness and every
further word comes through a pipe, and that is what is waited on.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from goldsmith.cli.init import make_root
from goldsmith.files import FileSignature, Filesystem, is_ignored_folder
from goldsmith.journal.journal import Journal
from goldsmith.journal.location import prepare_journal_folder
from goldsmith.journal.records import HistoryRow
from goldsmith.pipeline.commit.root_lock import RootLock
from goldsmith.pipeline.intake.file_names import classify, group_keys
from goldsmith.service import DaemonRuntime, Setup, create_folders, load_setup

# Seconds until a test gives up; a loaded machine is slow, not wrong.
DEADLINE = 60.0
# A house that waits for as little as it may.
HASTE: dict[str, object] = {
    "quiet": 0.3,
    "breath": 0.05,
    "gather": 0.1,
    "broken_after": 1,
    "weak_quiet": 0.5,
    "retry_machine": 0.5,
    "cpu_workers": 1,
    "threads": 1,
}
LANE = re.compile(r"goldsmith\.worker")


class Studio:
    """One root and one daemon at a time. ``flags`` are the house's; the state lies beside the root, never in it."""

    def __init__(self, place: Path, **flags: object) -> None:
        self.root = place / "root"
        self.state_dir = place / "state"
        self.flags = {**HASTE, "state_dir": str(self.state_dir), **flags}
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.works: DaemonRuntime | None = None
        self._open = contextlib.ExitStack()
        make_root(self.root)

    # ------------------------------------------------------------------ what people do

    def put(self, path: str | bytes, data: bytes | str) -> Path:
        """Put a file down whole, by a rename, as most programs do."""
        target = self.at(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".tmp-")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
        os.replace(name, target)
        return target

    def at(self, path: str | bytes) -> Path:
        return self.root / (os.fsdecode(path) if isinstance(path, bytes) else path)

    def read(self, path: str) -> bytes:
        return self.at(path).read_bytes()

    def line(self, text: str) -> None:
        """Another line than the shipped one."""
        (self.root / "config" / "pipeline.toml").write_text(text)

    # ------------------------------------------------------------------ what lies there

    def folder(self, name: str) -> list[str]:
        """Every file in a folder and below it, sorted; neither the README nor anything with a dot."""
        found = []
        for above, _, names in os.walk(self.root / name):
            inner = os.path.relpath(above, self.root / name)
            found += [os.path.normpath(os.path.join(inner, each)) for each in names if each != "README.txt" and not each.startswith(".")]
        return sorted(found)

    def folders(self) -> dict[str, list[str]]:
        """The folders of the line that hold anything, and what they hold."""
        line = load_setup(self.root, **self.flags).pipeline
        held = {name: self.folder(name) for name in line.folders}
        return {name: files for name, files in held.items() if files}

    def archived(self) -> list[str]:
        """What lies in the archive, without the day."""
        return sorted(path.partition("/")[2] for path in self.folder("archive"))

    def manifest(self, path: str) -> dict[str, Any]:
        found = json.loads(self.read(path))
        assert isinstance(found, dict)
        return found

    def note(self, picture: str) -> str:
        """The problem note of a picture; "" where there is none."""
        path = self.at(f"{picture}.problem.txt")
        return path.read_text() if path.exists() else ""

    def history(self) -> list[HistoryRow]:
        if self.works is not None:
            return list(self.journal.history())
        journal = Journal.open(self.journal_path)
        with contextlib.closing(journal):
            return list(journal.history())

    def first_step(self, asset: str) -> dict[str, Any]:
        """The first step that was done to an asset, as it is on record."""
        row = next(row for row in self.history() if row.path == asset)
        steps = row.record["steps"]
        assert isinstance(steps, list)
        assert isinstance(steps[0], dict)
        return steps[0]

    # ------------------------------------------------------------------ the daemon, in this process

    @property
    def journal_path(self) -> Path:
        return prepare_journal_folder(self.root, self.state_dir)

    def setup(self) -> Setup:
        return load_setup(self.root, **self.flags)

    def start(self, fs: Filesystem | None = None) -> DaemonRuntime:
        """The daemon starts: lock, journal, recovery, watch, lanes. No turn is made yet."""
        setup = self.setup()
        create_folders(setup)
        self._open.enter_context(RootLock.acquire(self.root))
        self.journal = self._open.enter_context(contextlib.closing(Journal.open(self.journal_path)))
        self.works = self._open.enter_context(contextlib.closing(DaemonRuntime(setup, self.journal, self._heard, fs)))
        self.works.start()
        return self.works

    def stop(self) -> None:
        """The daemon ends, without finishing anything."""
        self.works = None
        self._open.close()

    def restart(self, fs: Filesystem | None = None) -> DaemonRuntime:
        self.stop()
        return self.start(fs)

    def until(self, done: Callable[[], object], why: str = "", seconds: float = DEADLINE) -> None:
        """Turn the loop until something is so."""
        works = self.works or self.start()
        end = time.monotonic() + seconds
        while not done():
            left = end - time.monotonic()
            assert left > 0, f"not within {seconds} s: {why or 'what was waited for'}\n{self.report()}"
            works.run_once(min(left, 0.5))

    def until_idle(self, seconds: float = DEADLINE) -> None:
        """Turn until nothing more will happen by itself. What was put down just before is waited for: the folders are read again."""
        works = self.works or self.start()
        self.until(lambda: self.seen() and works.scheduler.is_idle, "an idle line", seconds)

    def heard(self, event: str, **facts: object) -> list[dict[str, Any]]:
        """What was said of an event so far, where these facts agree."""
        said = [told for name, told in self.events if name == event]
        return [told for told in said if all(told.get(key) == value for key, value in facts.items())]

    def until_heard(self, event: str, count: int = 1, **facts: object) -> dict[str, Any]:
        self.until(lambda: len(self.heard(event, **facts)) >= count, f"{count} x {event} {facts}")
        return self.heard(event, **facts)[-1]

    def _heard(self, event: str, /, **facts: object) -> None:
        self.events.append((event, dict(facts)))

    def seen(self) -> bool:
        """True when the intake knows every file that means something in the stages' folders as it lies there now, and none that is gone."""
        works = self.works
        if works is None:
            return False
        there = [stage.folder for stage in works.setup.pipeline.stages if self.at(stage.folder).is_dir()]
        lying = {path for folder in there for path in self._meant(folder)}
        told = ((*bundle.files, bundle.note) for bundle in works.intake.bundles() if bundle.folder in there)
        known = {path for paths in told for path in paths if path is not None}
        return known <= lying and all(map(self._up_to_date, lying))

    def _meant(self, folder: str) -> Iterator[str]:
        """The files in a folder and below it whose names mean something there: pictures, sidecars, briefs, notes."""
        for name in self.folder(folder):
            *campaigns, own = name.split("/")
            if not any(map(is_ignored_folder, campaigns)) and (group_keys(own) or classify(own).role == "campaign"):
                yield f"{folder}/{name}"

    def _up_to_date(self, path: str) -> bool:
        """True when the intake has heard of a file, and of what was last done to it."""
        assert self.works is not None
        state = self.works.intake.state(path)
        try:
            return state.status != "gone" and (state.sig is None or state.sig.same_content(FileSignature.from_stat(self.at(path).lstat())))
        except FileNotFoundError:
            return False  # gone since it was listed

    def report(self) -> str:
        """What a person who looks into a failed test wants to see."""
        words = "\n".join(f"  {name} {told}" for name, told in self.events[-12:])
        notes = {path: self.read(path).decode() for path in self._notes()}
        return f"folders: {self.folders()}\nnotes: {notes}\nlast words:\n{words}"

    def _notes(self) -> list[str]:
        return [f"{top}/{name}" for top, names in self.folders().items() for name in names if name.endswith(".problem.txt")]


class Daemon:
    """``python -m goldsmith run`` on a studio's root, as a program of its own; what it says comes through pipes."""

    def __init__(self, studio: Studio, *words: str, program: Sequence[str] = ("-m", "goldsmith"), **environment: str) -> None:
        self.studio = studio
        self.said: list[dict[str, Any]] = []
        # What it told systemd.
        self.words: list[str] = []
        self._folder = tempfile.TemporaryDirectory(prefix="gs")
        address = os.path.join(self._folder.name, "notify")
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ear.bind(address)
        self._ear.setblocking(False)
        given = {f"GOLDSMITH_{name.upper()}": str(value) for name, value in studio.flags.items()}
        command = [sys.executable, "-P", *program, "run", "--root", str(studio.root), *words]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("GOLDSMITH_")}
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**inherited, **given, "NOTIFY_SOCKET": address, **environment},
        )
        assert self.process.stderr is not None
        self._mouth = self.process.stderr.fileno()
        os.set_blocking(self._mouth, False)
        self._rest = b""
        self.stderr = b""
        self._end = os.pidfd_open(self.process.pid)
        self._poll = select.poll()
        for descriptor in (self._ear.fileno(), self._mouth, self._end):
            self._poll.register(descriptor, select.POLLIN)

    @property
    def pid(self) -> int:
        return self.process.pid

    def listen(self, seconds: float) -> bool:
        """Hear what it says for so long, or until it says something or ends; False once it has ended."""
        self._poll.poll(1000 * max(0.0, seconds))
        with contextlib.suppress(BlockingIOError):
            while True:
                self.words += self._ear.recv(4096).decode().split("\n")
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._mouth, 65536):
                self._hear(data)
        return self.process.poll() is None

    def until_bell(self, bell: Doorbell, times: int, seconds: float) -> bool:
        """Listen until files came to lie somewhere so many times; False where that did not happen in time."""
        end = time.monotonic() + seconds
        self._poll.register(bell.descriptor, select.POLLIN)
        rung = bell.rung()
        while rung < times and (left := end - time.monotonic()) > 0 and self.listen(left):
            rung += bell.rung()
        self._poll.unregister(bell.descriptor)
        return rung >= times

    def until(self, done: Callable[[], object], why: str = "", seconds: float = DEADLINE) -> None:
        """Listen until something is so. What makes no sound (a file that appears) is looked for 20 times a second."""
        end = time.monotonic() + seconds
        while not done():
            left = end - time.monotonic()
            assert left > 0, f"not within {seconds} s: {why}\n{self.stderr.decode()[-3000:]}\n{self.studio.folders()}"
            alive = self.listen(min(left, 0.05))
            assert alive or done(), f"the daemon ended ({self.process.poll()}) before: {why}\n{self.stderr.decode()[-3000:]}"

    def until_ready(self) -> Daemon:
        self.until(lambda: "READY=1" in self.words, "READY=1")
        return self

    def pass_time(self, seconds: float) -> bool:
        """Listen for exactly so long; False where it ended before that."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not self.listen(left):
                return False
        return True

    def heard(self, event: str) -> list[dict[str, Any]]:
        return [told for told in self.said if told.get("event") == event]

    def worker_pids(self) -> list[int]:
        """Return the ids of its worker processes, oldest first."""
        found = []
        with contextlib.suppress(OSError), open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as children:
            found = [int(word) for word in children.read().split()]
        return [pid for pid in found if LANE.search(_command(pid))]

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL at this very instant. Its lanes die with it."""
        self.process.kill()
        self.process.wait()
        self.close()

    def end(self) -> int:
        """SIGTERM, and its exit status."""
        self.send(signal.SIGTERM)
        self.until(lambda: self.process.poll() is not None, "the end after SIGTERM")
        self.listen(0)
        return int(self.process.wait())

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self._end >= 0:
            os.close(self._end)
            self._end = -1
            self._ear.close()
            assert self.process.stderr is not None
            self.process.stderr.close()
            self._folder.cleanup()

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hear(self, data: bytes) -> None:
        self.stderr += data
        *whole, self._rest = (self._rest + data).split(b"\n")
        for word in whole:
            with contextlib.suppress(ValueError):
                told = json.loads(word)
                if isinstance(told, dict):
                    self.said.append(told)


class Doorbell:
    """Rings when a file is renamed into one of some folders: the first sign of a commit that anybody else can see (inotify(7))."""

    _MOVED_TO = 0x80
    _HEAD = 16

    def __init__(self, folders: Iterable[Path]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for folder in folders:
            libc.inotify_add_watch(self.descriptor, os.fsencode(folder), self._MOVED_TO)

    def rung(self) -> int:
        """How often it rang since it was last asked."""
        count = 0
        with contextlib.suppress(BlockingIOError):
            data = os.read(self.descriptor, 65536)
            while data:
                count += 1
                data = data[self._HEAD + int.from_bytes(data[12:16], sys.byteorder) :]
        return count

    def close(self) -> None:
        os.close(self.descriptor)


@contextlib.contextmanager
def studio_at(place: Path, **flags: object) -> Iterator[Studio]:
    """A studio whose daemon ends with the test."""
    studio = Studio(place, **flags)
    try:
        yield studio
    finally:
        studio.stop()


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""
