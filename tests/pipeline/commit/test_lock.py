"""One daemon to a root."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from goldsmith.errors import AlreadyRunning, MachineFault
from goldsmith.pipeline.commit.lock import RootLock, running


def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    """With the first one's process id and host in the sentence."""
    with RootLock.take(tmp_path), pytest.raises(AlreadyRunning, match=rf"process {os.getpid()} on {os.uname().nodename}"):
        RootLock.take(tmp_path)
    RootLock.take(tmp_path).close()


def test_a_crash_lets_go(tmp_path: Path) -> None:
    """Killed without a word, the first one leaves its file but not its lock."""
    code = "import sys, pathlib; from goldsmith.pipeline.commit.lock import RootLock; lock = RootLock.take(pathlib.Path(sys.argv[1]))"
    tail = "; print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code + tail, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        assert running(tmp_path) == f"process {first.pid} on {os.uname().nodename}"
        with pytest.raises(AlreadyRunning, match=str(first.pid)):
            RootLock.take(tmp_path)
        first.kill()
        first.wait()
    assert running(tmp_path) == ""
    with RootLock.take(tmp_path):
        assert str(os.getpid()) in running(tmp_path)


def test_nobody_runs_where_nobody_ever_ran(tmp_path: Path) -> None:
    """Asking makes no file."""
    assert running(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_cannot_be_locked_is_the_machines_fault(tmp_path: Path) -> None:
    """A file where the folder should be."""
    (tmp_path / ".goldsmith").write_bytes(b"")
    with pytest.raises(MachineFault, match="cannot be made"):
        RootLock.take(tmp_path)
