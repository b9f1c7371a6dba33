"""The lock of a root: one daemon at a time."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from doubles.other_users import as_user
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
    with pytest.raises(HostError, match="is a link or a file"):
        RootLock.acquire(tmp_path)


def test_a_pipe_in_the_place_of_the_lock_file_does_not_stop_the_start(tmp_path: Path) -> None:
    """The daemon takes the lock on it, or is told that it cannot; it does not wait for another end."""
    (tmp_path / ".goldsmith").mkdir(mode=0o700)
    os.mkfifo(tmp_path / ".goldsmith" / "lock")
    with pytest.raises(HostError, match="lock"):
        RootLock.acquire(tmp_path)
    assert lock_holder(tmp_path) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_learns_that_a_daemon_runs() -> None:
    """The lock file lies in a folder that only the service's user may enter; the lock on that folder is visible."""
    with tempfile.TemporaryDirectory(prefix="goldsmith-lock-") as name:  # others may not enter the folders of pytest
        root = Path(name)
        root.chmod(0o755)
        with RootLock.acquire(root):
            assert stat.S_IMODE((root / ".goldsmith").stat().st_mode) == 0o700
            assert as_user(65534, lambda: lock_holder(root)) == f"process {os.getpid()} on {os.uname().nodename}"
        assert as_user(65534, lambda: lock_holder(root)) == ""
