"""One daemon to a root."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from goldsmith.errors import AlreadyRunningError, HostError
from goldsmith.pipeline.commit.root_lock import RootLock, lock_holder


def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    """With the first one's process id and host in the sentence."""
    with RootLock.acquire(tmp_path), pytest.raises(AlreadyRunningError, match=rf"process {os.getpid()} on {os.uname().nodename}"):
        RootLock.acquire(tmp_path)
    RootLock.acquire(tmp_path).close()


def test_a_crash_lets_go(tmp_path: Path) -> None:
    """Killed without a word, the first one leaves its file but not its lock."""
    code = "import sys, pathlib; from goldsmith.pipeline.commit.root_lock import RootLock; lock = RootLock.take(pathlib.Path(sys.argv[1]))"
    tail = "; print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code + tail, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        assert lock_holder(tmp_path) == f"process {first.pid} on {os.uname().nodename}"
        with pytest.raises(AlreadyRunningError, match=str(first.pid)):
            RootLock.acquire(tmp_path)
        first.kill()
        first.wait()
    assert lock_holder(tmp_path) == ""
    with RootLock.acquire(tmp_path):
        assert str(os.getpid()) in lock_holder(tmp_path)


def test_nobody_runs_where_nobody_ever_ran(tmp_path: Path) -> None:
    """Asking makes no file."""
    assert lock_holder(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_cannot_be_locked_is_the_machines_fault(tmp_path: Path) -> None:
    """A file where the folder should be."""
    (tmp_path / ".goldsmith").write_bytes(b"")
    with pytest.raises(HostError, match="cannot be made"):
        RootLock.acquire(tmp_path)
