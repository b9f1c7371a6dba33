"""A whole studio: a root with its folders, a journal outside it, and the daemon, stepped in this process or run as a program.

In this process, ``run_once`` waits for the next event, so no test sleeps. As a program, the daemon reports its readiness and its events
through sockets and pipes, and tests wait for these.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doubles.forked_workers import fork_worker, workers_from
from goldsmith.cli.init import make_root
from goldsmith.files import STATUS_FILE_NAME, FileSignature, Filesystem, is_ignored_folder
from goldsmith.journal.journal import Journal
from goldsmith.journal.location import prepare_journal_folder
from goldsmith.journal.records import HistoryRow
from goldsmith.pipeline.commit.root_lock import RootLock
from goldsmith.pipeline.intake.file_names import classify, group_keys
from goldsmith.pipeline.workers.runner import SpawnWorker
from goldsmith.service.runtime import DaemonRuntime, build_runtime
from goldsmith.service.service import open_journal
from goldsmith.service.setup import Setup, create_folders, load_setup

# Seconds until a test gives up; for hangs only, because a loaded machine is slow.
DEADLINE = 600.0
# Settings with the shortest waits that are allowed.
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
# What Goldsmith itself writes into a stage's folder, whatever people do.
_OWN_FILES = ("README.txt", STATUS_FILE_NAME)
_WORKER_COMMAND = re.compile(r"goldsmith\.worker")


@dataclass(eq=False)
class _Reaction:
    event: str
    facts: dict[str, object]
    action: Callable[[], object]


class Studio:
    """One root and one daemon at a time. ``flags`` override settings; the state is beside the root, never in it."""

    def __init__(self, place: Path, **flags: object) -> None:
        self.root = place / "root"
        self.state_dir = place / "state"
        self.flags = {**HASTE, "state_dir": str(self.state_dir), **flags}
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._reactions: list[_Reaction] = []
        self.runtime: DaemonRuntime | None = None
        # Starts the worker processes of a daemon in this process.
        self.spawn: SpawnWorker = fork_worker
        self._open = contextlib.ExitStack()
        make_root(self.root)

    # ------------------------------------------------------------------ what people do

    def put(self, path: str | bytes, data: bytes | str) -> Path:
        """Write a file and rename it into place, as most programs do."""
        target = self.at(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".tmp-")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
        os.replace(name, target)
        return target

    def write(self, path: str, data: bytes | str) -> Path:
        """Write a file under its own name. rclone loses the rename of a file that it still uploads."""
        target = self.at(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data.encode() if isinstance(data, str) else data)
        return target

    def at(self, path: str | bytes) -> Path:
        return self.root / (os.fsdecode(path) if isinstance(path, bytes) else path)

    def read(self, path: str) -> bytes:
        return self.at(path).read_bytes()

    def write_pipeline(self, text: str) -> None:
        """Replace the shipped pipeline."""
        (self.root / "config" / "pipeline.toml").write_text(text)

    # ------------------------------------------------------------------ the content of the folders

    def folder(self, name: str) -> list[str]:
        """Return the files in a folder and below it, sorted, without the README, the status file and names that begin with a dot."""
        paths = []
        for above, _, names in os.walk(self.root / name):
            inner = os.path.relpath(above, self.root / name)
            paths += [os.path.normpath(os.path.join(inner, each)) for each in names if each not in _OWN_FILES and not each.startswith(".")]
        return sorted(paths)

    def folders(self) -> dict[str, list[str]]:
        """Return the files of each folder of the pipeline that is not empty."""
        pipeline = load_setup(self.root, None, **self.flags).pipeline
        held = {name: self.folder(name) for name in pipeline.shared_folders}
        return {name: files for name, files in held.items() if files}

    def archived(self) -> list[str]:
        """Return the files of the archive, without the day, and without the copies of results that wait for a person."""
        paths = (path.partition("/")[2] for path in self.folder("archive"))
        return sorted(path for path in paths if not path.rpartition(".")[0].endswith("_result"))

    def manifest(self, path: str) -> dict[str, Any]:
        content = json.loads(self.read(path))
        assert isinstance(content, dict)
        return content

    def note(self, picture: str) -> str:
        """Return the problem note of a picture, or "" if there is none."""
        path = self.at(f"{picture}.problem.txt")
        return path.read_text() if path.exists() else ""

    def history(self) -> list[HistoryRow]:
        if self.runtime is not None:
            return list(self.journal.history())
        journal = Journal.open(self.journal_path)
        with contextlib.closing(journal):
            return list(journal.history())

    def first_step(self, asset: str) -> dict[str, Any]:
        """Return the record of the first step that was applied to an asset."""
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
        return load_setup(self.root, None, **self.flags)

    def start(self, fs: Filesystem | None = None) -> DaemonRuntime:
        """Start the daemon: lock, journal, recovery, watcher, worker processes. The main loop does not run yet."""
        setup = self.setup()
        create_folders(setup)
        lock = self._open.enter_context(RootLock.acquire(self.root))
        self.journal = self._open.enter_context(contextlib.closing(open_journal(self.journal_path, self._record_event)))
        with workers_from(self.spawn):
            built = build_runtime(setup, lock, self.journal, self._record_event, fs)
        self.runtime = self._open.enter_context(contextlib.closing(built))
        self.runtime.start()
        return self.runtime

    def stop(self) -> None:
        """Stop the daemon without finishing any work."""
        self.runtime = None
        self._open.close()

    def restart(self, fs: Filesystem | None = None) -> DaemonRuntime:
        self.stop()
        return self.start(fs)

    def until(self, done: Callable[[], object], why: str = "", seconds: float = DEADLINE) -> None:
        """Run the main loop until ``done`` is true."""
        works = self.runtime or self.start()
        end = time.monotonic() + seconds
        while not done():
            left = end - time.monotonic()
            assert left > 0, f"not within {seconds} s: {why or 'what was waited for'}\n{self.report()}"
            works.run_once(min(left, 0.5))

    def until_idle(self, seconds: float = DEADLINE) -> None:
        """Run the main loop until the daemon knows all files and has no work left; files from just before the call count."""
        works = self.runtime or self.start()
        self.until(lambda: self.knows_every_file() and works.scheduler.is_idle, "an idle daemon", seconds)

    def events_of(self, event: str, **facts: object) -> list[dict[str, Any]]:
        """Return the facts of all events so far that have this name and these facts."""
        matches = [details for name, details in self.events if name == event]
        return [details for details in matches if all(details.get(key) == value for key, value in facts.items())]

    def react(self, event: str, action: Callable[[], object], **facts: object) -> None:
        """Call ``action`` as the next such event is reported: what the daemon finds in the same turn of its loop comes after it."""
        self._reactions.append(_Reaction(event, facts, action))

    def until_event(self, event: str, count: int = 1, **facts: object) -> dict[str, Any]:
        self.until(lambda: len(self.events_of(event, **facts)) >= count, f"{count} x {event} {facts}")
        return self.events_of(event, **facts)[-1]

    def _record_event(self, event: str, /, **facts: object) -> None:
        self.events.append((event, dict(facts)))
        for reaction in [each for each in self._reactions if each.event == event and each.facts.items() <= facts.items()]:
            self._reactions.remove(reaction)
            reaction.action()

    def knows_every_file(self) -> bool:
        """Return whether the intake knows the present state of every file with a role in the stages' folders, and no deleted file."""
        works = self.runtime
        if works is None:
            return False
        folders = [folder for folder in works.setup.pipeline.watched_folders if self.at(folder).is_dir()]
        present = {path for folder in folders for path in self._meaningful_files(folder)}
        groups = ((*bundle.files, bundle.note) for bundle in works.intake.bundles() if bundle.folder in folders)
        known = {path for paths in groups for path in paths if path is not None}
        return known <= present and all(map(self._up_to_date, present))

    def _meaningful_files(self, folder: str) -> Iterator[str]:
        """Yield the files in a folder and below it whose names have a role: pictures, sidecars, briefs, notes."""
        for name in self.folder(folder):
            *campaigns, own = name.split("/")
            if not any(map(is_ignored_folder, campaigns)) and (group_keys(own) or classify(own).role == "campaign"):
                yield f"{folder}/{name}"

    def _up_to_date(self, path: str) -> bool:
        """Return whether the intake knows the file and its last change."""
        assert self.runtime is not None
        state = self.runtime.intake.state(path)
        try:
            return state.status != "gone" and (state.sig is None or state.sig.same_content(FileSignature.from_stat(self.at(path).lstat())))
        except FileNotFoundError:
            return False  # deleted since it was listed

    def report(self) -> str:
        """Return the folders, the notes and the last events, for the message of a failed test."""
        words = "\n".join(f"  {name} {facts}" for name, facts in self.events[-12:])
        notes = {path: self.read(path).decode() for path in self._notes()}
        return f"folders: {self.folders()}\nnotes: {notes}\nlast words:\n{words}"

    def _notes(self) -> list[str]:
        return [f"{top}/{name}" for top, names in self.folders().items() for name in names if name.endswith(".problem.txt")]


class Daemon:
    """``python -m goldsmith run`` on a studio's root, as a separate program; its log and its notifications are collected."""

    def __init__(self, studio: Studio, *words: str, program: Sequence[str] = ("-m", "goldsmith"), **environment: str) -> None:
        self.studio = studio
        self.log: list[dict[str, Any]] = []
        # Its messages to systemd.
        self.words: list[str] = []
        self._folder = tempfile.TemporaryDirectory(prefix="gs")
        address = os.path.join(self._folder.name, "notify")
        self._notify_socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify_socket.bind(address)
        # The daemon may run as another user.
        os.chmod(self._folder.name, 0o711)  # noqa: S103
        os.chmod(address, 0o777)  # noqa: S103
        self._notify_socket.setblocking(False)
        settings = {f"GOLDSMITH_{name.upper()}": str(value) for name, value in studio.flags.items()}
        command = [sys.executable, "-P", *program, "run", "--root", str(studio.root), *words]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("GOLDSMITH_")}
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**inherited, **settings, "NOTIFY_SOCKET": address, **environment},
        )
        assert self.process.stderr is not None
        self._stderr_fd = self.process.stderr.fileno()
        os.set_blocking(self._stderr_fd, False)
        self._rest = b""
        self.stderr = b""
        self._end = os.pidfd_open(self.process.pid)
        self._poll = select.poll()
        for descriptor in (self._notify_socket.fileno(), self._stderr_fd, self._end):
            self._poll.register(descriptor, select.POLLIN)

    @property
    def pid(self) -> int:
        return self.process.pid

    def listen(self, seconds: float) -> bool:
        """Collect messages for some seconds, or until a message comes or the daemon ends. Return False if it has ended."""
        self._poll.poll(1000 * max(0.0, seconds))
        with contextlib.suppress(BlockingIOError):
            while True:
                self.words += self._notify_socket.recv(4096).decode().split("\n")
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._stderr_fd, 65536):
                self._read_log(data)
        return self.process.poll() is None

    def until_bell(self, bell: Doorbell, times: int, seconds: float) -> bool:
        """Listen until ``times`` files have been renamed into the folders of ``bell``. Return False if the time is over before that."""
        end = time.monotonic() + seconds
        self._poll.register(bell.descriptor, select.POLLIN)
        rings = bell.take_rings()
        while rings < times and (left := end - time.monotonic()) > 0 and self.listen(left):
            rings += bell.take_rings()
        self._poll.unregister(bell.descriptor)
        return rings >= times

    def until(self, done: Callable[[], object], why: str = "", seconds: float = DEADLINE) -> None:
        """Listen until ``done`` is true. It is also evaluated 20 times a second, for changes without a message, such as a new file."""
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
        """Listen for exactly this time. Return False if the daemon ends before that."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not self.listen(left):
                return False
        return True

    def events_of(self, event: str) -> list[dict[str, Any]]:
        """Return the log entries of this event so far."""
        return [entry for entry in self.log if entry.get("event") == event]

    def worker_pids(self) -> list[int]:
        """Return the ids of its worker processes, oldest first."""
        pids = []
        with contextlib.suppress(OSError), open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as children:
            pids = [int(word) for word in children.read().split()]
        return [pid for pid in pids if _WORKER_COMMAND.search(_command(pid))]

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """Send SIGKILL. The worker processes die with the daemon."""
        self.process.kill()
        self.process.wait()
        self.close()

    def end(self) -> int:
        """Send SIGTERM and return the exit status."""
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
            self._notify_socket.close()
            assert self.process.stderr is not None
            self.process.stderr.close()
            self._folder.cleanup()

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_log(self, data: bytes) -> None:
        self.stderr += data
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict):
                    self.log.append(entry)


class Doorbell:
    """Rings when a file is renamed into a watched folder: the first sign of a commit that is visible from outside (inotify(7))."""

    _MOVED_TO = 0x80
    _HEAD = 16

    def __init__(self, folders: Iterable[Path]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for folder in folders:
            libc.inotify_add_watch(self.descriptor, os.fsencode(folder), self._MOVED_TO)

    def take_rings(self) -> int:
        """Return the number of rings since the last call."""
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
    """Yield a studio whose daemon ends with the test."""
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
