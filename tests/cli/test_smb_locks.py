"""The commands beside a running daemon whose root is an SMB mount: a locked file there is read by its holder alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from doubles.commandline import Goldsmith, WriteState
from doubles.pictures import png
from doubles.smb_locks import MandatoryLocks


@pytest.fixture
def locks(monkeypatch: pytest.MonkeyPatch) -> MandatoryLocks:
    return MandatoryLocks(monkeypatch)


@pytest.mark.parametrize("command", ["status", "why", "doctor"])
def test_no_command_reads_the_locked_file(
    locks: MandatoryLocks, write_daemon_state: WriteState, goldsmith: Goldsmith, root: Path, command: str
) -> None:
    """Each names the daemon or explains the file, and none ends with the exit code of a failed disk."""
    (root / "inbox" / "hero.png").write_bytes(png())
    words = ["why", root / "inbox" / "hero.png"] if command == "why" else [command]
    result = goldsmith(*words, "--root", root)
    assert result.code in ((0, 1) if command == "doctor" else (0,)), result.err
    assert locks.refused == []
    if command != "why":
        assert f"process {os.getpid()} on {os.uname().nodename}" in result.out


def test_a_second_daemon_is_refused_with_the_name_of_the_first(
    locks: MandatoryLocks, write_daemon_state: WriteState, goldsmith: Goldsmith, root: Path
) -> None:
    """The server refuses the lock with EACCES, which is no lack of permission here."""
    result = goldsmith("run", "--root", root)
    assert result.code == 5
    assert f"Goldsmith is already running on {root} (process {os.getpid()} on {os.uname().nodename})" in result.err
    assert locks.refused == []
