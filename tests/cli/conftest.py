"""Fixtures: a root with a journal, a running daemon, and the command line as a user calls it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.commandline import CommandResult, Goldsmith, WriteState
from goldsmith.cli import environment_file, main
from goldsmith.cli.init import make_root
from goldsmith.journal.journal import Journal
from goldsmith.journal.location import journal_path, prepare_journal_folder
from goldsmith.pipeline.commit.root_lock import RootLock
from goldsmith.pipeline.status.daemon_state import STATE_FILE, DaemonState


@pytest.fixture(autouse=True)
def _without_own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep this computer's own settings away from the commands."""
    monkeypatch.setattr(environment_file, "ENVIRONMENT_FILE", tmp_path / "no-such-file")
    for name in [name for name in os.environ if name.startswith("GOLDSMITH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GOLDSMITH_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("GOLDSMITH_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def goldsmith(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Goldsmith:
    """Return a function that calls the program in this process, as in ``goldsmith("why", "inbox/hero.png")``."""

    def call(*arguments: str | Path) -> CommandResult:
        monkeypatch.setattr(sys, "argv", ["goldsmith", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as exit_request:
            code = exit_request.code if isinstance(exit_request.code, int) else int(exit_request.code is not None)
        out, err = capsys.readouterr()
        return CommandResult(code, out, err)

    return call


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the root of new folders, as ``goldsmith init`` creates them."""
    make_root(tmp_path / "hot")
    return tmp_path / "hot"


@pytest.fixture
def journal(root: Path, tmp_path: Path) -> Iterator[Journal]:
    """Yield the root's journal, open for writing."""
    journal = Journal.open(prepare_journal_folder(root, tmp_path / "state"))
    yield journal
    journal.close()


@pytest.fixture
def write_daemon_state(root: Path, journal: Journal, tmp_path: Path) -> Iterator[WriteState]:
    """Hold the root's lock like a daemon, and yield a function that writes its state file."""
    with RootLock.acquire(root):

        def write(**fields: object) -> None:
            modes = dict.fromkeys(("inbox", "selected", "masked", "graded"), "events")
            state = DaemonState.model_validate({"watch_modes": modes, **fields})
            (journal_path(root, tmp_path / "state").parent / STATE_FILE).write_bytes(state.to_json())

        write()
        yield write
