"""The service's own folder: closed to others, and nothing in it is reached through a link, a pipe or another user's file."""

from __future__ import annotations

import errno
import os
import re
import stat
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from doubles.nested_folders import make_nested_folders, nested_folders
from doubles.other_users import as_user
from goldsmith.errors import HostError, InputError
from goldsmith.files import Filesystem
from goldsmith.jobs import folder_removal
from goldsmith.jobs.folder_removal import MAX_IMMEDIATE_ENTRIES, wait_for_removals
from goldsmith.jobs.work_folder import ScratchError, WorkFolder, split_scratch_path

OTHER_USER, GROUP = 5002, 7001
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    WorkFolder(tmp_path / "root").prepare()
    return tmp_path / "root"


@pytest.fixture
def work(root: Path) -> Path:
    return root / ".goldsmith/work"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder of the service outside the root, with a file in a subfolder."""
    (tmp_path / "state/work/job").mkdir(parents=True)
    (tmp_path / "state/work/job/journal").write_bytes(b"precious")
    return tmp_path / "state"


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode) & 0o777


# ------------------------------------------------------------------ the two folders


def test_both_folders_are_closed_to_others(root: Path, work: Path) -> None:
    """A chmod -R on the root, as older manuals said, is undone at the next check."""
    assert (_mode(work.parent), _mode(work)) == (0o700, 0o700)
    work.chmod(0o2775)
    work.parent.chmod(0o2775)
    WorkFolder(root).check()
    assert (_mode(work.parent), _mode(work)) == (0o700, 0o700)


@needs_root
def test_a_member_of_the_group_cannot_enter() -> None:
    """Each way to put something there or to look at it is refused."""
    with tempfile.TemporaryDirectory() as place:
        work = Path(place, ".goldsmith/work")
        WorkFolder(place).prepare()
        os.chmod(place, 0o755)  # noqa: S103 - the way to the folder is open
        os.chown(work.parent, -1, GROUP)

        def refused_attempts() -> int:
            attempts = (lambda: os.listdir(work), lambda: os.symlink("/etc", work / "job"), lambda: os.mkfifo(work.parent / "pipe"))
            count = 0
            for attempt in attempts:
                with pytest.raises(PermissionError):
                    attempt()
                count += 1
            return count

        assert as_user(OTHER_USER, refused_attempts, groups=[GROUP]) == 3


@pytest.mark.parametrize("name", [".goldsmith", ".goldsmith/work"])
@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_link_or_a_file_in_place_of_a_folder_is_a_fault_of_the_machine(root: Path, victim: Path, name: str, kind: str) -> None:
    """Nothing behind the link is changed, and the sentence names the folder. Once it is taken away, everything goes on."""
    (root / name).rename(root / "aside")
    if kind == "link":
        (root / name).symlink_to(victim if name == ".goldsmith" else victim / "work")
    else:
        (root / name).touch()
    folder = WorkFolder(root)
    for use in (folder.prepare, folder.check, lambda: folder.clear([]), lambda: folder.create_file(Filesystem(), "job", "text", b"x")):
        with pytest.raises(HostError, match=rf"{re.escape(str(root / name))} is a link or a file"):
            use()
    folder.remove(str(root / ".goldsmith/work/job"))
    assert (victim / "work/job/journal").read_bytes() == b"precious"
    (root / name).unlink()
    folder.prepare()
    folder.check()


@needs_root
@pytest.mark.parametrize("name", [".goldsmith", ".goldsmith/work"])
def test_a_folder_of_another_user_is_a_fault_of_the_machine(root: Path, name: str) -> None:
    """Somebody who may write to the root can put a folder of his own there."""
    os.chown(root / name, OTHER_USER, OTHER_USER)
    with pytest.raises(HostError, match=f"belongs to the user with the id {OTHER_USER}"):
        WorkFolder(root).prepare()


# ------------------------------------------------------------------ scratch folders


@pytest.mark.parametrize(("link", "scratch"), [("job", "job"), ("worker-1", "worker-1/job"), ("worker-1/job", "worker-1/job")])
def test_a_link_in_place_of_a_scratch_folder_is_the_fault_of_its_job(root: Path, work: Path, victim: Path, link: str, scratch: str) -> None:
    """Nothing is read, written or removed behind it."""
    (work / link).parent.mkdir(exist_ok=True)
    (work / link).symlink_to(victim / "work" if link == "worker-1" else victim / "work/job")
    folder = WorkFolder(root)
    with pytest.raises(ScratchError, match="cannot be used"):
        folder.create_file(Filesystem(), scratch, "text", b"x")
    with pytest.raises(ScratchError, match="cannot be used"):
        folder.read_file(str(work / scratch / "journal"), 99)
    folder.remove(str(work / scratch))
    assert os.listdir(victim / "work/job") == ["journal"]
    folder.clear([])
    assert os.listdir(work) == []
    assert (victim / "work/job/journal").read_bytes() == b"precious"


def _put_link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def _put_endless_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("put", [_put_link, _put_endless_device, os.mkfifo, os.mkdir])
def test_only_an_ordinary_file_is_read(root: Path, work: Path, put: Callable[[Path], None]) -> None:
    """Else bytes of the service's own files would appear beside a note; a pipe must not block, and a device has no end."""
    (work / "worker-1/job").mkdir(parents=True)
    put(work / "worker-1/job/shown.jpg")
    with pytest.raises(InputError):
        WorkFolder(root).read_file(str(work / "worker-1/job/shown.jpg"), 4 << 20)


def test_a_file_is_read_up_to_its_size_limit(root: Path, work: Path) -> None:
    """A sparse file of a terabyte costs one question for its size."""
    (work / "worker-1/job").mkdir(parents=True)
    preview = work / "worker-1/job/shown.jpg"
    preview.write_bytes(b"12345")
    assert WorkFolder(root).read_file(str(preview), 5) == b"12345"
    os.truncate(preview, 1 << 40)
    with pytest.raises(InputError, match=r"shown\.jpg has 1,048,576 MiB"):
        WorkFolder(root).read_file(str(preview), 5)


@needs_root
def test_a_file_of_another_user_is_not_read(root: Path, work: Path) -> None:
    """A worker process runs as the service's user, so the file is not its own."""
    (work / "job").mkdir()
    (work / "job/shown.jpg").write_bytes(b"12345")
    os.chown(work / "job/shown.jpg", OTHER_USER, OTHER_USER)
    with pytest.raises(ScratchError, match=r"shown\.jpg belongs to another user"):
        WorkFolder(root).read_file(str(work / "job/shown.jpg"), 99)


@needs_root
def test_a_scratch_folder_of_another_user_is_not_used(root: Path, work: Path) -> None:
    """Its owner could change what the daemon writes there."""
    (work / "job").mkdir()
    os.chown(work / "job", OTHER_USER, OTHER_USER)
    with pytest.raises(ScratchError, match="belongs to another user"):
        WorkFolder(root).create_file(Filesystem(), "job", "text", b"x")


def test_a_new_file_never_opens_one_that_lies_there_already(root: Path) -> None:
    """Each has a name of its own, which nobody knows before."""
    folder = WorkFolder(root)
    paths = {folder.create_file(Filesystem(), "job", "text-toml", b"x")[0] for _ in range(3)}
    assert len(paths) == 3
    assert all(Path(path).name.startswith("text-toml-") for path in paths)


class RefusingFilesystem(Filesystem):
    """Refuses every new file with one error number."""

    def __init__(self, number: int) -> None:
        self._number = number

    def create(self, at: object) -> int:
        """Raise OSError."""
        raise OSError(self._number, os.strerror(self._number))


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO])
def test_a_refused_file_is_the_fault_of_its_job(root: Path, number: int) -> None:
    """Only faults of the machine pause everybody."""
    with pytest.raises(ScratchError):
        WorkFolder(root).create_file(RefusingFilesystem(number), "job", "text", b"x")


def test_a_full_disk_is_no_job_s_fault(root: Path) -> None:
    """The error goes on to the code that pauses the work."""
    with pytest.raises(OSError, match="No space left"):
        WorkFolder(root).create_file(RefusingFilesystem(errno.ENOSPC), "job", "text", b"x")


# ------------------------------------------------------------------ removal


@pytest.mark.parametrize("depth", [1, 1500])
def test_folders_are_removed_however_deep_they_are(root: Path, work: Path, depth: int) -> None:
    """1,500 are more than Python recurses, and their path is longer than the kernel takes."""
    (work / "worker-1/job").mkdir(parents=True)
    with nested_folders(work / "worker-1/job", depth):
        WorkFolder(root).remove(str(work / "worker-1/job"))
        assert os.listdir(work / "worker-1") == []
    (work / "job").mkdir()
    make_nested_folders(work / "job", depth)
    WorkFolder(root).clear([])
    wait_for_removals()
    assert os.listdir(work) == []


@pytest.fixture
def closed_gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Return an event for which the thread that removes large folders waits."""
    gate, remove_entries = Event(), folder_removal._remove_entries
    callers = threading.get_ident()

    def remove_behind_gate(parent: int, name: str, budget: folder_removal._Budget) -> None:
        if threading.get_ident() != callers:
            assert gate.wait(600)
        remove_entries(parent, name, budget)

    monkeypatch.setattr(folder_removal, "_remove_entries", remove_behind_gate)
    yield gate
    gate.set()
    wait_for_removals()


@pytest.mark.parametrize("make", ["nested folders", "many files", "many folders"])
def test_a_large_folder_is_removed_by_a_thread(root: Path, work: Path, closed_gate: Event, make: str) -> None:
    """The caller removes a limited number of entries, and the name is free at once."""
    job = work / "worker-1/job"
    job.mkdir(parents=True)
    count = 3 * MAX_IMMEDIATE_ENTRIES
    if make == "nested folders":
        make_nested_folders(job, count)
    for number in range(count if make != "nested folders" else 0):
        (job / str(number)).mkdir() if make == "many folders" else (job / str(number)).touch()
    WorkFolder(root).remove(str(job))
    assert os.listdir(work / "worker-1") == []
    (aside,) = (path for path in work.iterdir() if path.name != "worker-1")
    left = int(subprocess.run(["find", aside, "-mindepth", "1", "-printf", "x"], capture_output=True, check=True).stdout.count(b"x"))
    assert left >= count - MAX_IMMEDIATE_ENTRIES - 1
    closed_gate.set()
    wait_for_removals()
    assert os.listdir(work) == ["worker-1"]


def test_a_small_folder_is_gone_at_once(root: Path, work: Path, closed_gate: Event) -> None:
    """What an ordinary job leaves behind needs no thread."""
    (work / "worker-1/job/copy-1").mkdir(parents=True)
    (work / "worker-1/job/copy-1/look.cube").touch()
    WorkFolder(root).remove(str(work / "worker-1/job"))
    assert [path.name for path in work.rglob("*")] == ["worker-1"]


def test_a_removal_that_a_restart_interrupted_goes_on_at_the_start(root: Path, work: Path, closed_gate: Event) -> None:
    """It keeps its name, so that nothing is moved again and again."""
    (work / "removed-0").mkdir()
    make_nested_folders(work / "removed-0", 2 * MAX_IMMEDIATE_ENTRIES)
    WorkFolder(root).clear([])
    assert os.listdir(work) == ["removed-0"]
    closed_gate.set()
    wait_for_removals()
    assert os.listdir(work) == []


@needs_root
@pytest.mark.parametrize("count", [1, 2 * MAX_IMMEDIATE_ENTRIES])
def test_closed_folders_are_removed_too(count: int) -> None:
    """A worker process can take away its own right to enter them."""
    with tempfile.TemporaryDirectory() as place:
        os.chown(place, OTHER_USER, OTHER_USER)

        def close_and_remove() -> list[str]:
            WorkFolder(place).prepare()
            work = Path(place, ".goldsmith/work")
            for number in range(count):
                (work / "job" / str(number) / "inner").mkdir(parents=True)
                (work / "job" / str(number) / "inner").chmod(0)
                (work / "job" / str(number)).chmod(0)
            (work / "job").chmod(0)
            WorkFolder(place).remove(str(work / "job"))
            wait_for_removals()
            return os.listdir(work)

        assert as_user(OTHER_USER, close_and_remove) == []


def test_what_is_kept_stays_and_everything_else_goes(root: Path, work: Path) -> None:
    """Pipes are removed without being opened."""
    for path in ("a", "b", "worker-1/a", "worker-1/b", "worker-2/c"):
        (work / path).mkdir(parents=True)
        (work / path / "000.png").write_bytes(b"result")
    os.mkfifo(work / "pipe")
    os.mkfifo(work / "worker-1/pipe")
    WorkFolder(root).clear(["a", "worker-1/a"])
    kept = ["a", "a/000.png", "worker-1", "worker-1/a", "worker-1/a/000.png"]
    assert sorted(str(path.relative_to(work)) for path in work.rglob("*")) == kept


def test_a_path_that_is_not_in_scratch_is_refused() -> None:
    """A scratch folder is the job's own or lies in that of a process; no part of its path leads up."""
    assert split_scratch_path("/srv/root/.goldsmith/work/job/text-toml") == ("job", "text-toml")
    assert split_scratch_path("/srv/root/.goldsmith/work/worker-1/job/000.png") == ("worker-1/job", "000.png")
    for path in ("000.png", "/etc/passwd", "/srv/.goldsmith/work/x", "/srv/.goldsmith/work/a/b/c/d", "/srv/.goldsmith/work/../a/x"):
        with pytest.raises(ScratchError):
            split_scratch_path(path)
