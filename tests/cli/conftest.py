"""A set of folders with a journal, and the command line called as a person calls it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.commandline import Goldsmith, Tell, Told
from goldsmith.cli import main
from goldsmith.cli.init import make_root
from goldsmith.journal.journal import Journal
from goldsmith.journal.location import journal_path, prepare_journal_folder
from goldsmith.pipeline.commit.root_lock import RootLock


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the machine's own settings reaches a command."""
    for name in [name for name in os.environ if name.startswith("GOLDSMITH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GOLDSMITH_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("GOLDSMITH_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def goldsmith(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Goldsmith:
    """``goldsmith("why", "inbox/hero.png")``: the program as it is installed, in this process."""

    def call(*words: str | Path) -> Told:
        monkeypatch.setattr(sys, "argv", ["goldsmith", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        out, err = capsys.readouterr()
        return Told(code, out, err)

    return call


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Fresh folders, as ``goldsmith init`` makes them."""
    make_root(tmp_path / "hot")
    return tmp_path / "hot"


@pytest.fixture
def journal(root: Path, tmp_path: Path) -> Iterator[Journal]:
    """The root's journal, open for writing as the daemon has it."""
    made = Journal.open(prepare_journal_folder(root, tmp_path / "state"))
    yield made
    made.close()


@pytest.fixture
def running(root: Path, journal: Journal, tmp_path: Path) -> Iterator[Tell]:
    """A daemon as others see it: the lock is held; call it to let it tell something of itself."""
    with RootLock.acquire(root):

        def tell(**facts: object) -> None:
            modes = dict.fromkeys(("inbox", "selected", "masked", "graded"), "events")
            told = {"paused": "", "lanes": {}, "folders": modes, "weak": [], "missing": {}, "watcher": "", **facts}
            (journal_path(root, tmp_path / "state").parent / "daemon.json").write_text(json.dumps(told))

        tell()
        yield tell
