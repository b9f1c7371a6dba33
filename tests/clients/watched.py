"""A running daemon and programs that put pictures into its inbox in unusual ways. Each picture must be taken once and complete.

A test module is a list of sequences. Each has a campaign folder of its own, so all sequences of a module run at once against one daemon;
the tests then check them one by one. Nothing here sleeps: the log of the daemon wakes the tests.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import types
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from clients import pictures
from goldsmith.cli.init import make_root
from goldsmith.files import is_ignored_file
from goldsmith.journal.journal import Journal
from goldsmith.journal.location import journal_path
from goldsmith.journal.records import HistoryRow
from goldsmith.pipeline.intake.file_names import classify

# A brief whose pictures go from inbox/ to selected/ byte for byte.
ONWARD = "generate = []\n"
# Seconds that a step may take on a slow machine before it counts as failed.
PATIENCE = 300.0
_AT_ONCE = 8
_REPLAY = Path(__file__).with_name("replay.py")


class Watched:
    """A daemon with the shipped settings, and its log."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "root"
        make_root(self.root)
        # (event, picture), and (event, "inbox/CAMPAIGN/") for a whole campaign.
        self.events: Counter[tuple[str, str]] = Counter()
        self.log: list[str] = []
        self._changed = threading.Condition()
        self._drops: dict[Callable[[Drop], None], tuple[Drop, Future[None]]] = {}
        self._pool = ThreadPoolExecutor(_AT_ONCE)
        self.daemon = self._start()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _start(self) -> subprocess.Popen[bytes]:
        """Start the daemon, and return once it reports that it watches."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            address = f"goldsmith-clients-{os.getpid()}-{id(self)}"
            ready.bind("\0" + address)
            env = {**os.environ, "GOLDSMITH_STATE_DIR": str(self.base / "state"), "NOTIFY_SOCKET": "@" + address}
            command = [sys.executable, "-m", "goldsmith", "run", "--root", str(self.root)]
            daemon = subprocess.Popen(command, stderr=subprocess.PIPE, env=env)
            exit_fd = os.pidfd_open(daemon.pid)
            try:
                while select.select([ready, exit_fd], [], [], PATIENCE)[0] == [ready]:
                    if ready.recv(4096) == b"READY=1":
                        return daemon
            finally:
                os.close(exit_fd)
        daemon.kill()
        raise RuntimeError(f"The daemon did not start:\n{daemon.communicate()[1].decode(errors='replace')}")

    def _listen(self) -> None:
        assert self.daemon.stderr is not None
        for line in self.daemon.stderr:
            text = line.decode(errors="replace").rstrip()
            with self._changed:
                self.log.append(text)
                if text.startswith("{"):
                    self._count(json.loads(text))
                self._changed.notify_all()
        with self._changed:
            self.log.append("(the daemon has ended)")
            self._changed.notify_all()

    def _count(self, entry: dict[str, object]) -> None:
        picture, kind = str(entry.get("picture", "")), str(entry["event"])
        if kind == "fault":
            kind = f"fault: {entry['kind']}"
        self.events[kind, picture] += 1
        self.events[kind, "/".join(picture.split("/")[:2]) + "/"] += 1

    def wait(self, condition: Callable[[], bool], description: str, seconds: float = PATIENCE) -> None:
        """Wait until a log entry of the daemon makes the condition true."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition() or self.log[-1:] == ["(the daemon has ended)"], seconds) or not condition():
                last_lines = "\n".join(self.log[-40:])
                pytest.fail(f"Waited {seconds:.0f} s in vain for {description}. The daemon said last:\n{last_lines}")

    def events_below(self, top: str, kind: str) -> dict[str, int]:
        """Return the number of events of this kind so far for each picture below ``top``."""
        with self._changed:
            return {picture: count for (event, picture), count in self.events.items() if event == kind and picture.startswith(top)}

    def rows(self) -> list[HistoryRow]:
        """Return all rows of the history."""
        with closing(Journal.open(journal_path(self.root, self.base / "state"), read_only=True)) as journal:
            return list(journal.history())

    def drop(self, campaign: str) -> Drop:
        return Drop(self, campaign)

    def run_all(self, sequences: Sequence[Callable[[Drop], None]]) -> None:
        """Start all these sequences, each in its own campaign."""
        for sequence in sequences:
            drop = self.drop(sequence.__name__.removeprefix("test_"))
            self._drops[sequence] = (drop, self._pool.submit(sequence, drop))

    def verify(self, sequence: Callable[[Drop], None]) -> None:
        """Verify a sequence once it has ended."""
        drop, future = self._drops[sequence]
        future.result(5 * PATIENCE)
        drop.verify()

    def verify_all(self) -> None:
        """Verify every finished sequence again, after all files have arrived, and that events alone were used."""
        last = self.drop("last")
        last.expect(last.copy_in(last.picture("last.png")))
        last.verify()
        for drop, future in self._drops.values():
            if future.done() and future.exception() is None:
                drop.verify()
        state = json.loads((journal_path(self.root, self.base / "state").parent / "daemon.json").read_text())
        assert state["watch_modes"]["inbox"] == "events"
        assert state["weak_quiet_folders"] == []

    @property
    def failed(self) -> bool:
        return any(future.done() and future.exception() is not None for _, future in self._drops.values())

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self.daemon.send_signal(signal.SIGCONT)
        self.daemon.terminate()
        try:
            self.daemon.wait(PATIENCE)
        finally:
            self.daemon.kill()
            self._listener.join(PATIENCE)
        shutil.rmtree(self.base, ignore_errors=True)


class Drop:
    """One campaign: programs put files into it, and each file is expected to be taken once or never."""

    def __init__(self, watched: Watched, campaign: str) -> None:
        self.watched = watched
        self.campaign = campaign
        self.stage, self.next, self.is_edited = "inbox", "selected", False
        self.inbox = watched.root / "inbox" / campaign
        # Outside the root, on the same filesystem.
        self.outside = watched.base / "away" / campaign
        self.outside.mkdir(parents=True)
        self._expected: Counter[tuple[str, str]] = Counter()
        self._untouched: list[Path] = []
        self._noted: set[str] = set()
        self.write_brief(ONWARD)

    # --- actions of programs

    def write_brief(self, brief: str) -> None:
        """Write the campaign's brief in one step."""
        self.inbox.mkdir(exist_ok=True)
        self.write_outside("brief.toml", brief).rename(self.inbox / "brief.toml")

    def use_edit_stage(self) -> None:
        """Use selected/ instead of inbox/: its steps change the pictures."""
        shutil.rmtree(self.inbox)
        self.stage, self.next, self.is_edited = "selected", "masked", True
        self.inbox = self.watched.root / self.stage / self.campaign
        self.inbox.mkdir()

    def without_brief(self) -> None:
        """Delete the brief, so that the pictures wait."""
        (self.inbox / "brief.toml").unlink()

    def write_outside(self, name: str, text: str) -> Path:
        path = self.outside / name
        path.write_text(text)
        return path

    def picture(self, name: str = "hero.png", side: int = 64, variant: str = "") -> Path:
        """Write a unique picture outside the root and return its path; ``side`` 64 has 12 kB, 600 has 1 MB."""
        path = self.outside / (f"{variant}-{name}" if variant else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pictures.png(f"{self.campaign}/{name}/{variant}", side))
        return path

    def tiff(self, name: str = "hero.tif", side: int = 600, variant: str = "") -> Path:
        """Write a unique TIFF outside the root. Its first part is enough to decode a file of full size."""
        path = self.outside / (f"{variant}-{name}" if variant else name)
        return pictures.write_tiff(path, side, f"{self.campaign}/{name}/{variant}")

    def copy_in(self, source: Path, name: str | None = None) -> tuple[Path, Path]:
        """Copy a file into the campaign; return the target and the source."""
        target = self.inbox / (name or source.name)
        shutil.copyfile(source, target)
        return target, source

    def run(self, *command: str | Path, text: str | None = None, cwd: Path | None = None, ends_with: Sequence[int] = (0,)) -> None:
        """Run a program to its end."""
        argv = [os.fspath(word) for word in command]
        process = subprocess.run(
            argv,
            input=text,
            cwd=cwd or self.outside,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=900,
        )
        assert process.returncode in ends_with, f"{argv}: {process.returncode}\n{process.stdout}"

    def shell(self, script: str, *words: str | Path) -> None:
        """Run a line of shell; ``words`` are $1, $2 …"""
        self.run("sh", "-ec", script, "sh", *words)

    def replay(self, program: str, *words: str | Path | float) -> None:
        """Run a recorded program, call by call, in a process of its own."""
        self.run(sys.executable, "-I", "-S", _REPLAY, program, *(word if isinstance(word, Path) else str(word) for word in words))

    def act_during_the_work(
        self,
        name: str,
        action: Callable[[Path], None],
        picture: Callable[..., Path] | None = None,
        lay: Callable[[Path], None] | None = None,
    ) -> tuple[Path, Path]:
        """Drop a picture, and do something with it while it is worked on. Return where it lay, and its source.

        ``action(target)`` must fail where ``target`` is gone: then the work ended first, the picture is expected to be taken as it was, and
        another one is tried. ``picture(name, variant=…)`` writes the source, and ``lay(target)`` puts sidecars beside it.
        """
        stem, ending = os.path.splitext(name)
        for number in range(20):
            target = self.inbox / f"{stem}{number or ''}{ending}"
            target.parent.mkdir(exist_ok=True)
            source = (picture or self.picture)(target.name, variant="old")
            if lay is not None:
                lay(target)
            self.copy_in(source, os.path.relpath(target, self.inbox))
            self.wait_for("started", target)
            try:
                action(target)
            except AssertionError as failure:
                if "No such file or directory" not in str(failure):
                    raise
                for temporary in (*self.inbox.glob("*.tmp"), *self.inbox.glob("*.sb-*")):
                    temporary.unlink()
                self.expect(target, source)
            else:
                return target, source
        pytest.fail("The work on each of the pictures ended before something was done with it.")

    def save_during_the_work(self, name: str, save: Callable[[Path, Path], None], picture: Callable[..., Path] | None = None) -> None:
        """Save a new picture over one that is worked on, with ``save(new, target)``, and expect the new one."""
        write = picture or partial(self.picture, side=300)
        target, _ = self.act_during_the_work(name, lambda target: save(write(target.name), target), write)
        self.expect(target, self.outside / target.name)

    def wait_for(self, event: str, path: Path, count: int = 1) -> None:
        """Wait until the daemon logs this event of a picture."""
        relative = os.path.relpath(path, self.watched.root)
        self.watched.wait(lambda: self.watched.events[event, relative] >= count, f"“{event}” of {relative}")

    # --- expectations

    def expect(self, arrived: tuple[Path, Path] | Path, source: Path | bytes | None = None) -> None:
        """Expect that exactly these bytes of this file are taken, once."""
        target, origin = arrived if isinstance(arrived, tuple) else (arrived, source)
        digest = pictures.sha256(origin if origin is not None else target)
        self._expected[os.path.relpath(target, self.watched.root), digest] += 1

    def expect_untouched(self, path: Path, *, has_note: bool = False) -> None:
        """Expect that this file is never taken; it may have a problem note."""
        self._untouched.append(path)
        if has_note:
            self._noted.add(os.path.relpath(path, self.watched.root))

    def wait_until_taken(self, seconds: float = PATIENCE) -> None:
        """Wait until as many files were taken as are expected."""
        top, due = f"{self.stage}/{self.campaign}/", sum(self._expected.values())
        self.watched.wait(lambda: self.watched.events["committed", top] >= due, f"{due} pictures of {top}", seconds)

    def verify(self) -> None:
        """Check that each file was taken once with its final bytes, passed on and archived, and that nothing else was taken or held."""
        self.wait_until_taken()
        rows = self.rows()
        assert Counter((row.path, row.sha256) for row in rows) == self._expected
        assert {row.outcome for row in rows} <= {"passed"}
        self._passed_on(rows)
        archived = Counter(pictures.sha256(path) for path in self._files("archive/*/" + self.stage))
        assert not Counter(digest for _, digest in self._expected.elements()) - archived
        self._no_complaints()

    def rows(self) -> list[HistoryRow]:
        """Return the rows of the history for this campaign."""
        top = f"{self.stage}/{self.campaign}/"
        return [row for row in self.watched.rows() if row.path.startswith(top)]

    def _passed_on(self, rows: Sequence[HistoryRow]) -> None:
        """Check that the next folder holds the same files (or the results made of them), and no other picture."""
        placed = []
        for row in rows:
            (result,) = [path for path in row.results if classify(os.path.basename(path)).role == "picture"]
            if not self.is_edited:
                assert pictures.sha256(self.watched.root / result) == row.sha256
            placed.append(result)
        present = [os.path.relpath(path, self.watched.root) for path in self._files(self.next) if classify(path.name).role == "picture"]
        assert sorted(present) == sorted(placed)

    def _no_complaints(self) -> None:
        top = f"{self.stage}/{self.campaign}/"
        held = self.watched.events_below(top, "held")
        held.pop(top, None)
        assert held == dict.fromkeys(self._noted, 1)
        present = list(self._files(self.stage, litter=True))
        notes = [os.path.relpath(path, self.watched.root) for path in present if path.name.endswith(".problem.txt")]
        assert sorted(notes) == sorted(f"{path}.problem.txt" for path in self._noted)
        for path in self._untouched:
            assert os.path.lexists(path), f"{path} should have stayed where it was"
        waiting = {path for path in present if classify(path.name).role in ("picture", "mask")}
        assert waiting == {path for path in self._untouched if path in waiting}

    def _files(self, where: str, *, litter: bool = False) -> Iterator[Path]:
        for top in self.watched.root.glob(where):
            for folder, _, names in os.walk(top / self.campaign):
                yield from (Path(folder, name) for name in names if litter or not is_ignored_file(name))


def sequence(*programs: str, soak: bool = False) -> Callable[[Callable[[Drop], None]], Callable[[Watched], None]]:
    """Make a test of the actions of programs in a campaign folder. It is skipped if one of the ``programs`` is not installed."""

    def decorated(drop_in: Callable[[Drop], None]) -> Callable[[Watched], None]:
        def test(watched: Watched) -> None:
            watched.verify(drop_in)

        test.__name__, test.__qualname__, test.__doc__, test.__module__ = (
            drop_in.__name__,
            drop_in.__qualname__,
            drop_in.__doc__,
            drop_in.__module__,
        )
        test.pytestmark = list(getattr(drop_in, "pytestmark", ()))  # type: ignore[attr-defined]
        test.sequence = drop_in  # type: ignore[attr-defined]
        for program in programs:
            test = pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")(test)
        return pytest.mark.soak(test) if soak else test

    return decorated


def sequences_of(session: pytest.Session, module: types.ModuleType) -> list[Callable[[Drop], None]]:
    """Return the sequences of a module that are selected and can run."""
    items = [item for item in session.items if isinstance(item, pytest.Function) and item.module is module]
    runnable = [item for item in items if not any(mark.args[0] for mark in item.iter_markers("skipif"))]
    return [item.function.sequence for item in runnable if hasattr(item.function, "sequence")]
