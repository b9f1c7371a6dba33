"""The lock of a root: one daemon at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from goldsmith.errors import AlreadyRunningError, HostError
from goldsmith.pipeline.commit.root_lock import RootLock, lock_holder


def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    """The error gives the process id and host of the first daemon."""
    with RootLock.acquire(tmp_path), pytest.raises(AlreadyRunningError, match=rf"process {os.getpid()} on {os.uname().nodename}"):
        RootLock.acquire(tmp_path)
    RootLock.acquire(tmp_path).close()


def test_a_crash_releases_the_lock(tmp_path: Path) -> None:
    """The file of a killed daemon remains, but its lock does not."""
    code = "import sys, pathlib; from goldsmith.pipeline.commit.root_lock import RootLock"
    code += "; lock = RootLock.acquire(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
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


def test_a_root_without_a_lock_file_has_no_holder(tmp_path: Path) -> None:
    """The check creates no file."""
    assert lock_holder(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_cannot_be_locked_is_a_failure_of_the_host(tmp_path: Path) -> None:
    """A file has the name of the lock's folder."""
    (tmp_path / ".goldsmith").write_bytes(b"")
    with pytest.raises(HostError, match="cannot be created"):
        RootLock.acquire(tmp_path)
