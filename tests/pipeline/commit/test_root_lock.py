"""The lock of a root: one daemon at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from doubles.attached import attached, make
from doubles.mounted import mounted
from doubles.other_users import as_user
from doubles.smb_locks import MandatoryLocks
from goldsmith.errors import AlreadyRunningError, HostError
from goldsmith.files import Filesystem
from goldsmith.pipeline.commit.root_lock import RootLock, lock_holder


@contextlib.contextmanager
def _lock_of_another_process(root: Path) -> Iterator[int]:
    """Yield the id of a process that holds the lock, and kill it afterwards."""
    code = "import sys, pathlib; from goldsmith.pipeline.commit.root_lock import RootLock"
    code += "; lock = RootLock.acquire(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process.pid
        process.kill()
        process.wait()


def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    """The error gives the process id and host of the first daemon."""
    with RootLock.acquire(tmp_path), pytest.raises(AlreadyRunningError, match=rf"process {os.getpid()} on {os.uname().nodename}"):
        RootLock.acquire(tmp_path)
    RootLock.acquire(tmp_path).close()


def test_a_crash_releases_the_lock(tmp_path: Path) -> None:
    """The file of a killed daemon remains, but its lock does not."""
    with _lock_of_another_process(tmp_path) as pid:
        assert lock_holder(tmp_path) == f"process {pid} on {os.uname().nodename}"
        with pytest.raises(AlreadyRunningError, match=str(pid)):
            RootLock.acquire(tmp_path)
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
    """The daemon is told that it is not a file; it does not wait for another end."""
    (tmp_path / ".goldsmith").mkdir(mode=0o700)
    os.mkfifo(tmp_path / ".goldsmith" / "lock")
    with pytest.raises(HostError, match="lock is not an ordinary file"):
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


def _replace_lock(root: Path) -> None:
    (root / "new").write_bytes(b"")
    (root / "new").rename(root / ".goldsmith" / "lock")


REMOVALS: dict[str, Callable[[Path], object]] = {
    "the file": lambda root: (root / ".goldsmith" / "lock").unlink(),
    "the folder": lambda root: shutil.rmtree(root / ".goldsmith"),
    "the folder renamed": lambda root: (root / ".goldsmith").rename(root / "elsewhere"),
    "the file replaced": _replace_lock,
}


@pytest.mark.parametrize("remove", REMOVALS.values(), ids=list(REMOVALS))
def test_a_removed_lock_is_made_anew(tmp_path: Path, remove: Callable[[Path], object]) -> None:
    """Until then the lock is not current; afterwards a second daemon is refused again, with the name of the first."""
    with RootLock.acquire(tmp_path) as lock:
        assert lock.is_current()
        assert not lock.check()
        remove(tmp_path)
        assert not lock.is_current()
        assert lock.check()
        assert lock.is_current()
        assert lock_holder(tmp_path) == f"process {os.getpid()} on {os.uname().nodename}"
        with pytest.raises(AlreadyRunningError, match=rf"process {os.getpid()} on"):
            RootLock.acquire(tmp_path)
        assert not lock.check()


@pytest.mark.parametrize("remove", REMOVALS.values(), ids=list(REMOVALS))
def test_a_daemon_whose_root_was_taken_over_stops(tmp_path: Path, remove: Callable[[Path], object]) -> None:
    """The lock is removed, and a second daemon starts before the first has noticed."""
    with RootLock.acquire(tmp_path) as first:
        remove(tmp_path)
        with _lock_of_another_process(tmp_path) as pid:
            assert not first.is_current()
            with pytest.raises(AlreadyRunningError, match=rf"\(process {pid} on .*\) has taken over"):
                first.check()
        with pytest.raises(AlreadyRunningError, match="has taken over"):
            first.check()


def test_a_mount_that_changes_inode_numbers_takes_no_lock_away(tmp_path: Path) -> None:
    """The lock file has another number than before, and the lock on it is this daemon's own."""
    with RootLock.acquire(tmp_path) as lock:
        lock._lock_identity = (0, 0)
        assert not lock.is_current()
        assert not lock.check()
        assert lock.is_current()


def test_a_lock_that_another_host_does_not_see_is_noticed(tmp_path: Path) -> None:
    """Some mounts lock on each host alone. The file beside the lock then names the other daemon."""
    with RootLock.acquire(tmp_path) as lock:
        (tmp_path / ".goldsmith" / "holder").write_text("4711 atelier 0123456789abcdef\n")
        assert lock.is_current()
        with pytest.raises(AlreadyRunningError, match=r"process 4711 on atelier"):
            lock.check()


def test_a_lock_file_that_is_removed_before_it_is_locked_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another daemon starts between the opening and the locking, in the place of the removed file."""
    flock, others = fcntl.flock, []

    def meddle(fd: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        (tmp_path / ".goldsmith" / "lock").unlink()
        others.append(RootLock.acquire(tmp_path))
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", meddle)
    with pytest.raises(AlreadyRunningError):
        RootLock.acquire(tmp_path)
    assert others[0].is_current()
    others[0].close()


def test_no_lock_is_made_in_the_folder_below_a_lost_mount(tmp_path: Path) -> None:
    """The root is a mount of its own. While it is missing, the daemon waits; then it locks what is mounted again."""
    root, disk = tmp_path / "root", tmp_path / "disk"
    root.mkdir()
    with attached("--bind", make(disk), root):
        lock = RootLock.acquire(root)
    with pytest.raises(HostError, match="is not the folder that it was"):
        lock.check()
    assert list(root.iterdir()) == []
    with attached("--bind", disk, root):
        assert lock.is_current()
        assert not lock.check()
    with attached("-t", "tmpfs", "tmpfs", root), contextlib.closing(lock):
        (root / ".goldsmith").mkdir(mode=0o700)
        assert lock.check()
        assert lock.is_current()


def test_a_full_disk_does_not_prevent_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who holds it is then known by the process id alone, and written as soon as there is room."""

    def refuse(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with RootLock.acquire(tmp_path):
        pass
    with monkeypatch.context() as patched:
        patched.setattr(Filesystem, "write", refuse)
        lock = RootLock.acquire(tmp_path)
        assert not lock.check()
    with contextlib.closing(lock):
        assert not (tmp_path / ".goldsmith" / "holder").exists()
        assert lock_holder(tmp_path) == f"process {os.getpid()} on {os.uname().nodename}"
        assert not lock.check()
        assert (tmp_path / ".goldsmith" / "holder").read_text().startswith(f"{os.getpid()} ")


def test_a_file_of_another_filesystem_with_the_same_inode_is_no_lock(tmp_path: Path) -> None:
    """The kernel's table of locks names device and inode. Two new filesystems give the first file the same inode."""
    first, second = tmp_path / "first", tmp_path / "second"
    with attached("-t", "tmpfs", "tmpfs", make(first)), attached("-t", "tmpfs", "tmpfs", make(second)):
        with RootLock.acquire(second):
            pass
        with RootLock.acquire(first):
            inodes = {(place / ".goldsmith" / "lock").stat().st_ino for place in (first, second)}
            assert len(inodes) == 1
            assert lock_holder(first)
            assert lock_holder(second) == ""


@pytest.mark.parametrize("kind", ["btrfs", "overlay", "tmpfs", "xfs", "bindfs", "mergerfs", "rclone", "ntfs-3g"])
def test_the_holder_is_found_on_every_kind_of_filesystem(tmp_path: Path, kind: str) -> None:
    """Device and inode in the kernel's table are not always those of stat: on a subvolume of btrfs, the device is another one."""
    root = tmp_path / "root"
    with mounted(kind, tmp_path / "parts", root):
        if kind == "btrfs":
            root = root / "subvolume"
            subprocess.run(["btrfs", "subvolume", "create", str(root)], capture_output=True, check=True)
        with RootLock.acquire(root) as lock:
            assert lock_holder(root) == f"process {os.getpid()} on {os.uname().nodename}"
            assert lock.is_current()
            assert not lock.check()


# ---------------------------------------------------------------------- SMB: nobody but its holder reads a locked file


def test_a_locked_file_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On an SMB mount that fails, and so does a second lock, with EACCES. The holder stands in the file beside it."""
    locks = MandatoryLocks(monkeypatch)
    with RootLock.acquire(tmp_path) as lock:
        with pytest.raises(PermissionError), (tmp_path / ".goldsmith" / "lock").open("rb", buffering=0) as file:
            os.read(file.fileno(), 1)
        assert locks.refused.pop() == str(tmp_path / ".goldsmith" / "lock")
        with pytest.raises(AlreadyRunningError, match=rf"already running .*process {os.getpid()} on"):
            RootLock.acquire(tmp_path)
        assert lock_holder(tmp_path) == f"process {os.getpid()} on {os.uname().nodename}"
        assert not lock.check()
    assert locks.refused == []
