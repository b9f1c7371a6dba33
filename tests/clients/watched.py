"""A running daemon, strange programs that put pictures into its inbox, and the one question: was each taken once, whole?

A test module is a list of sequences. Each has a campaign folder of its own, so all of a module's sequences run beside each other
against one daemon; the tests then ask, one by one, what became of theirs. Nothing here sleeps: the daemon's own log wakes who waits.
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
from pathlib import Path

import pytest

from clients import pictures
from goldsmith.cli.init import make_root
from goldsmith.files import is_ignored_file
from goldsmith.journal.journal import Journal
from goldsmith.journal.location import journal_path
from goldsmith.journal.records import HistoryRow
from goldsmith.pipeline.intake.file_names import classify

# The brief of a campaign whose pictures go from the inbox to selected/ byte for byte.
ONWARD = "generate = []\n"
# Seconds that anything here may take on a slow machine before it counts as never.
PATIENCE = 300.0
_AT_ONCE = 8
_REPLAY = Path(__file__).with_name("replay.py")


class Watched:
    """One daemon with the settings it ships with, and everything it has said."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.root = place / "root"
        make_root(self.root)
        # (event, picture), and (event, "inbox/CAMPAIGN/") for a whole campaign.
        self.heard: Counter[tuple[str, str]] = Counter()
        self.log: list[str] = []
        self._news = threading.Condition()
        self._drops: dict[Callable[[Drop], None], tuple[Drop, Future[None]]] = {}
        self._pool = ThreadPoolExecutor(_AT_ONCE)
        self.daemon = self._started()
        self._ear = threading.Thread(target=self._listen, daemon=True)
        self._ear.start()

    def _started(self) -> subprocess.Popen[bytes]:
        """The daemon, once it has said that it watches."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            address = f"goldsmith-clients-{os.getpid()}-{id(self)}"
            ready.bind("\0" + address)
            env = {**os.environ, "GOLDSMITH_STATE_DIR": str(self.place / "state"), "NOTIFY_SOCKET": "@" + address}
            command = [sys.executable, "-m", "goldsmith", "run", "--root", str(self.root)]
            daemon = subprocess.Popen(command, stderr=subprocess.PIPE, env=env)
            ended = os.pidfd_open(daemon.pid)
            try:
                while select.select([ready, ended], [], [], PATIENCE)[0] == [ready]:
                    if ready.recv(4096) == b"READY=1":
                        return daemon
            finally:
                os.close(ended)
        daemon.kill()
        raise RuntimeError(f"The daemon did not start:\n{daemon.communicate()[1].decode(errors='replace')}")

    def _listen(self) -> None:
        assert self.daemon.stderr is not None
        for line in self.daemon.stderr:
            text = line.decode(errors="replace").rstrip()
            with self._news:
                self.log.append(text)
                if text.startswith("{"):
                    self._take_note(json.loads(text))
                self._news.notify_all()
        with self._news:
            self.log.append("(the daemon has ended)")
            self._news.notify_all()

    def _take_note(self, said: dict[str, object]) -> None:
        picture, kind = str(said.get("picture", "")), str(said["event"])
        if kind == "fault":
            kind = f"fault: {said['kind']}"
        self.heard[kind, picture] += 1
        self.heard[kind, "/".join(picture.split("/")[:2]) + "/"] += 1

    def wait(self, true: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
        """Until the daemon has said something that makes it ``true``."""
        with self._news:
            if not self._news.wait_for(lambda: true() or self.log[-1:] == ["(the daemon has ended)"], seconds) or not true():
                said = "\n".join(self.log[-40:])
                pytest.fail(f"Waited {seconds:.0f} s in vain for {what}. The daemon said last:\n{said}")

    def rows(self) -> list[HistoryRow]:
        """Everything on record."""
        with closing(Journal.open(journal_path(self.root, self.place / "state"), read_only=True)) as journal:
            return list(journal.history())

    def drop(self, campaign: str) -> Drop:
        return Drop(self, campaign)

    def run_all(self, sequences: Sequence[Callable[[Drop], None]]) -> None:
        """Begin with all these sequences, each in its own campaign."""
        for sequence in sequences:
            drop = self.drop(sequence.__name__.removeprefix("test_"))
            self._drops[sequence] = (drop, self._pool.submit(sequence, drop))

    def judge(self, sequence: Callable[[Drop], None]) -> None:
        """The verdict on one sequence, as soon as it is over."""
        drop, future = self._drops[sequence]
        future.result(5 * PATIENCE)
        drop.judge()

    def everything_again(self) -> None:
        """When whatever could still be coming has come: that all verdicts stand, by events alone."""
        last = self.drop("last")
        last.due(last.copied(last.picture("last.png")))
        last.judge()
        for drop, future in self._drops.values():
            if future.done() and future.exception() is None:
                drop.judge()
        state = json.loads((journal_path(self.root, self.place / "state").parent / "daemon.json").read_text())
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
            self._ear.join(PATIENCE)
        shutil.rmtree(self.place, ignore_errors=True)


class Drop:
    """One campaign: what programs put into it, and what is to become of that."""

    def __init__(self, watched: Watched, campaign: str) -> None:
        self.watched = watched
        self.campaign = campaign
        self.stage, self.next, self.worked = "inbox", "selected", False
        self.inbox = watched.root / "inbox" / campaign
        # Outside of the root, on the same filesystem.
        self.away = watched.place / "away" / campaign
        self.away.mkdir(parents=True)
        self._due: Counter[tuple[str, str]] = Counter()
        self._stays: list[Path] = []
        self._noted: set[str] = set()
        self.instruct(ONWARD)

    # --- what programs do

    def instruct(self, brief: str) -> None:
        """The campaign's brief, whole at once."""
        self.inbox.mkdir(exist_ok=True)
        self.brief_away("brief.toml", brief).rename(self.inbox / "brief.toml")

    def at_edit(self) -> None:
        """Everything goes to selected/ instead, where steps do change the pictures."""
        shutil.rmtree(self.inbox)
        self.stage, self.next, self.worked = "selected", "masked", True
        self.inbox = self.watched.root / self.stage / self.campaign
        self.inbox.mkdir()

    def without_brief(self) -> None:
        """A campaign whose pictures wait."""
        (self.inbox / "brief.toml").unlink()

    def brief_away(self, name: str, text: str) -> Path:
        path = self.away / name
        path.write_text(text)
        return path

    def picture(self, name: str = "hero.png", side: int = 64, more: str = "") -> Path:
        """A picture outside of the root that is like no other; ``side`` 64 has 12 kB, 600 has 1 MB."""
        path = self.away / (f"{more}-{name}" if more else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pictures.png(f"{self.campaign}/{name}/{more}", side))
        return path

    def tiff(self, name: str = "hero.tif", side: int = 600, more: str = "") -> Path:
        """The same as a TIFF, of which the first part is enough to decode a file that has its full size."""
        path = self.away / (f"{more}-{name}" if more else name)
        return pictures.write_tiff(path, side, f"{self.campaign}/{name}/{more}")

    def copied(self, source: Path, name: str | None = None) -> tuple[Path, Path]:
        """The simplest of drops."""
        target = self.inbox / (name or source.name)
        shutil.copyfile(source, target)
        return target, source

    def run(self, *command: str | Path, text: str | None = None, cwd: Path | None = None, ends_with: Sequence[int] = (0,)) -> None:
        """An outside program, to its end."""
        argv = [os.fspath(word) for word in command]
        ended = subprocess.run(
            argv,
            input=text,
            cwd=cwd or self.away,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=900,
        )
        assert ended.returncode in ends_with, f"{argv}: {ended.returncode}\n{ended.stdout}"

    def shell(self, script: str, *words: str | Path) -> None:
        """A line of shell; ``words`` are $1, $2 …"""
        self.run("sh", "-ec", script, "sh", *words)

    def replay(self, program: str, *words: str | Path | float) -> None:
        """A recorded program, call by call, in a process of its own."""
        self.run(sys.executable, "-I", "-S", _REPLAY, program, *(word if isinstance(word, Path) else str(word) for word in words))

    def hears(self, event: str, path: Path, count: int = 1) -> None:
        """Wait until the daemon says that of a picture."""
        relative = os.path.relpath(path, self.watched.root)
        self.watched.wait(lambda: self.watched.heard[event, relative] >= count, f"“{event}” of {relative}")

    # --- what is to become of it

    def due(self, arrived: tuple[Path, Path] | Path, source: Path | bytes | None = None) -> None:
        """Of this file exactly these bytes are to be taken, once."""
        target, origin = arrived if isinstance(arrived, tuple) else (arrived, source)
        digest = pictures.sha256(origin if origin is not None else target)
        self._due[os.path.relpath(target, self.watched.root), digest] += 1

    def stays(self, path: Path, *, with_a_note: bool = False) -> None:
        """This is never taken; a note beside it may say why."""
        self._stays.append(path)
        if with_a_note:
            self._noted.add(os.path.relpath(path, self.watched.root))

    def wait_until_taken(self, seconds: float = PATIENCE) -> None:
        """Until as many files were taken as are due."""
        top, due = f"{self.stage}/{self.campaign}/", sum(self._due.values())
        self.watched.wait(lambda: self.watched.heard["committed", top] >= due, f"{due} pictures of {top}", seconds)

    def judge(self) -> None:
        """Each file taken once, by its finished bytes; passed on and kept as it came; nothing else taken, nothing complained of."""
        self.wait_until_taken()
        rows = self.rows()
        assert Counter((row.path, row.sha256) for row in rows) == self._due
        assert {row.outcome for row in rows} <= {"passed"}
        self._passed_on(rows)
        archived = Counter(pictures.sha256(path) for path in self._files("archive/*/" + self.stage))
        assert not Counter(digest for _, digest in self._due.elements()) - archived
        self._no_complaints()

    def rows(self) -> list[HistoryRow]:
        """What is on record of this campaign's folder."""
        top = f"{self.stage}/{self.campaign}/"
        return [row for row in self.watched.rows() if row.path.startswith(top)]

    def _passed_on(self, rows: Sequence[HistoryRow]) -> None:
        """In the next folder lies the very file (or what was made of it), and no other picture."""
        placed = []
        for row in rows:
            (result,) = [path for path in row.results if classify(os.path.basename(path)).role == "picture"]
            if not self.worked:
                assert pictures.sha256(self.watched.root / result) == row.sha256
            placed.append(result)
        lying = [os.path.relpath(path, self.watched.root) for path in self._files(self.next) if classify(path.name).role == "picture"]
        assert sorted(lying) == sorted(placed)

    def _no_complaints(self) -> None:
        top = f"{self.stage}/{self.campaign}/"
        held = {picture: count for (event, picture), count in self.watched.heard.items() if event == "held" and picture.startswith(top)}
        held.pop(top, None)
        assert held == dict.fromkeys(self._noted, 1)
        lying = list(self._files(self.stage, litter=True))
        notes = [os.path.relpath(path, self.watched.root) for path in lying if path.name.endswith(".problem.txt")]
        assert sorted(notes) == sorted(f"{path}.problem.txt" for path in self._noted)
        for path in self._stays:
            assert os.path.lexists(path), f"{path} was to stay where it is"
        waiting = {path for path in lying if classify(path.name).role in ("picture", "mask")}
        assert waiting == {path for path in self._stays if path in waiting}

    def _files(self, where: str, *, litter: bool = False) -> Iterator[Path]:
        for top in self.watched.root.glob(where):
            for folder, _, names in os.walk(top / self.campaign):
                yield from (Path(folder, name) for name in names if litter or not is_ignored_file(name))


def sequence(*programs: str, soak: bool = False) -> Callable[[Callable[[Drop], None]], Callable[[Watched], None]]:
    """A test made of what programs do in one campaign folder. ``programs`` have to be installed, else it is skipped by their name."""

    def decorated(drop_in: Callable[[Drop], None]) -> Callable[[Watched], None]:
        def test(watched: Watched) -> None:
            watched.judge(drop_in)

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
    """Those of a module that were chosen to run and can run."""
    chosen = [each for each in session.items if isinstance(each, pytest.Function) and each.module is module]
    able = [each for each in chosen if not any(mark.args[0] for mark in each.iter_markers("skipif"))]
    return [each.function.sequence for each in able if hasattr(each.function, "sequence")]
