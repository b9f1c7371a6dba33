"""The states of followed files, on real files and with a clock of the test."""

from __future__ import annotations

import mmap
import os
import socket
from pathlib import Path

import pytest

from doubles.mounted import mounted
from doubles.pretended_mounts import LEASE_ANSWERS, pretend
from goldsmith.errors import InputError
from goldsmith.files import FileSignature
from goldsmith.pipeline.intake import file_tracker
from goldsmith.pipeline.intake.file_tracker import FileTracker, SettleTimes
from goldsmith.root_folder import RootFolder

HERO = "inbox/hero.png"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    (tmp_path / HERO).write_bytes(b"whole")
    return tmp_path


@pytest.fixture
def tracker(root: Path) -> FileTracker:
    return FileTracker(str(root), SettleTimes())


def status_of(tracker: FileTracker, now: float, path: str = HERO) -> str:
    state = tracker.state(path, now)
    return state.status if state is not None else "gone"


def test_a_short_pause_lets_work_start_and_a_longer_one_settles_the_file(tracker: FileTracker) -> None:
    """After 0.15 s and a lease the file looks complete. After 2 s and another lease it is settled. There is no check in between."""
    tracker.follow(HERO, 10.0)
    assert (status_of(tracker, 10.0), tracker.next_check_at()) == ("new", 10.15)
    assert tracker.check_due(10.1, 99) == []
    assert tracker.check_due(10.15, 99) == [HERO]
    assert (status_of(tracker, 10.2), tracker.next_check_at()) == ("looks_complete", 12.0)
    assert tracker.check_due(12.0, 99) == [HERO]
    assert (status_of(tracker, 12.0), tracker.next_check_at()) == ("settled", None)


def test_the_reason_says_how_long_ago_the_file_arrived(tracker: FileTracker) -> None:
    """A person can see since when the file has not changed."""
    tracker.follow(HERO, 10.0)
    state = tracker.state(HERO, 10.8)
    assert state is not None
    assert (state.reason, state.changed_at) == ("arrived 0.8 s ago", 10.0)


def test_a_changed_file_is_new_again(tracker: FileTracker, root: Path) -> None:
    """The time without a change counts from the change on."""
    tracker.follow(HERO, 10.0)
    tracker.check_due(10.15, 99)
    (root / HERO).write_bytes(b"longer than before")
    assert tracker.check(HERO, 11.0)
    assert status_of(tracker, 11.0) == "new"
    tracker.check_due(11.15, 99)
    assert tracker.check_due(12.5, 99) == []
    assert tracker.check_due(13.0, 99) == [HERO]
    assert status_of(tracker, 13.0) == "settled"


def test_a_change_without_a_hint_is_noticed_before_the_file_settles(tracker: FileTracker, root: Path) -> None:
    """The second check compares the signature, so a file that grew meanwhile does not settle."""
    tracker.follow(HERO, 10.0)
    tracker.check_due(10.15, 99)
    (root / HERO).write_bytes(b"grown behind our back")
    assert tracker.check_due(12.0, 99) == [HERO]
    assert status_of(tracker, 12.0) == "new"


def test_the_modification_time_of_a_file_does_not_count(tracker: FileTracker, root: Path) -> None:
    """A file with a time of 1999 (from cp -p or unzip) counts as new."""
    os.utime(root / HERO, (915148800, 915148800))
    tracker.follow(HERO, 10.0)
    assert tracker.check_due(10.15, 99) == [HERO]
    assert status_of(tracker, 11.0) == "looks_complete"


def test_a_file_that_is_open_for_writing_waits_and_is_checked_at_a_falling_rate(tracker: FileTracker, root: Path) -> None:
    """The kernel refuses the lease while there is a writer; the time without a change counts from the last refusal."""
    with (root / HERO).open("ab"):
        tracker.follow(HERO, 10.0)
        tracker.check_due(10.15, 99)
        assert (status_of(tracker, 10.2), tracker.next_check_at()) == ("writing", pytest.approx(10.4))
        for now, due in ((10.4, 10.9), (10.9, 11.9), (11.9, 12.9)):
            assert tracker.check_due(now, 99) == []
            assert tracker.next_check_at() == pytest.approx(due)
        state = tracker.state(HERO, 12.0)
        assert state is not None
        assert state.reason == "still being written by another program"
    assert tracker.check_due(12.9, 99) == [HERO]
    assert status_of(tracker, 12.9) == "looks_complete"
    assert tracker.next_check_at() == pytest.approx(13.9)


def test_a_writer_through_mmap_is_noticed(tracker: FileTracker, root: Path) -> None:
    """mmap changes bytes without an event, and at times without a new signature; the lease is refused throughout."""
    with (root / HERO).open("r+b") as opened, mmap.mmap(opened.fileno(), 5):
        tracker.follow(HERO, 10.0)
        tracker.check_due(10.15, 99)
        assert status_of(tracker, 10.2) == "writing"


def test_a_writer_that_opens_the_file_again_keeps_it_from_settling(tracker: FileTracker, root: Path) -> None:
    """GIMP opens the file again after 50 ms: the status falls back from looks_complete to writing."""
    tracker.follow(HERO, 10.0)
    tracker.check_due(10.15, 99)
    with (root / HERO).open("ab"):
        assert tracker.check_due(12.0, 99) == [HERO]
    assert status_of(tracker, 12.0) == "writing"


def test_files_settle_later_without_leases(tracker: FileTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    """On network mounts work starts after 2 s and a file settles after 10 s, and the folder is listed with the weaker rule."""
    monkeypatch.setattr(file_tracker, "has_writer", lambda fd: None)
    tracker.follow(HERO, 10.0)
    assert tracker.check_due(10.15, 99) == []
    assert status_of(tracker, 10.2) == "new"
    assert tracker.check_due(12.0, 99) == [HERO]
    assert (status_of(tracker, 12.0), tracker.next_check_at()) == ("looks_complete", 20.0)
    assert tracker.check_due(20.0, 99) == [HERO]
    assert (status_of(tracker, 20.0), tracker.weak_quiet_folders) == ("settled", {"inbox"})


@pytest.mark.parametrize("kind", LEASE_ANSWERS)
def test_the_weaker_rule_applies_on_a_shared_mount_whatever_the_kernel_answers(
    kind: str, tracker: FileTracker, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS 4 and SMB would refuse every lease, and SSH would grant one while another machine writes. A change restarts the time."""
    pretended = pretend(monkeypatch, root, kind)
    tracker.follow(HERO, 10.0)
    tracker.check_due(12.0, 99)
    assert status_of(tracker, 12.0) == "looks_complete"
    with (root / HERO).open("ab") as file:
        file.write(b", and the rest after a pause")
    assert tracker.check_due(20.0, 99) == [HERO]
    assert status_of(tracker, 20.0) == "new"
    tracker.check_due(22.0, 99)
    assert tracker.check_due(29.9, 99) == []
    assert tracker.check_due(30.0, 99) == [HERO]
    assert (status_of(tracker, 30.0), tracker.weak_quiet_folders) == ("settled", {"inbox"})
    assert pretended.lease_questions == 0


def test_a_writer_on_the_other_side_of_ssh_is_noticed_in_time(tmp_path: Path) -> None:
    """It pauses for six seconds, as the one did that gave half pictures. The kernel here remembers the size from before."""
    with mounted("sshfs", tmp_path / "mount", tmp_path / "root") as mount:
        assert mount.behind is not None
        (mount.behind / "inbox").mkdir()
        with (mount.behind / HERO).open("wb", buffering=0) as other_side:
            other_side.write(b"the first half")
            tracker = FileTracker(str(mount.at), SettleTimes())
            tracker.follow(HERO, 10.0)
            for now in (10.15, 12.0):
                tracker.check_due(now, 99)
            assert status_of(tracker, 12.0) == "looks_complete"
            other_side.write(b", and the other half")
        tracker.check_due(20.0, 99)
        assert status_of(tracker, 20.0) == "new"
        for now in (20.15, 22.0, 30.0):
            tracker.check_due(now, 99)
        state = tracker.state(HERO, 30.0)
        assert state is not None
        assert state.sig is not None
        assert (state.status, state.sig.size) == ("settled", len(b"the first half, and the other half"))


def test_an_empty_file_waits_for_its_bytes(tracker: FileTracker, root: Path) -> None:
    """Browsers and ImageMagick create and close zero bytes first."""
    (root / HERO).write_bytes(b"")
    tracker.follow(HERO, 10.0)
    assert tracker.check_due(10.15, 99) == [HERO]
    state = tracker.state(HERO, 11.0)
    assert state is not None
    assert (state.status, state.reason) == ("new", "is still empty")
    (root / HERO).write_bytes(b"bytes")
    tracker.check(HERO, 11.0)
    tracker.check_due(11.15, 99)
    assert status_of(tracker, 11.2) == "looks_complete"


def test_an_unreadable_file_waits_with_a_sentence(tracker: FileTracker, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of another user (0600) has a reason, and goes on once its permissions change."""

    def refuse(root: RootFolder, path: str) -> int:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(RootFolder, "open_file", refuse)
        tracker.follow(HERO, 10.0)
        tracker.check_due(10.15, 99)
        state = tracker.state(HERO, 10.2)
        assert state is not None
        assert state.reason == "cannot be read: its permissions keep Goldsmith out"
        assert (state.status, tracker.has_arriving()) == ("unreadable", False)
    os.chmod(root / HERO, 0o640)
    tracker.check(HERO, 20.0)
    assert tracker.check_due(20.15, 99) == [HERO]
    assert status_of(tracker, 20.2) == "looks_complete"


def test_links_pipes_sockets_and_folders_are_never_opened(root: Path, tracker: FileTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    """lstat alone is enough to refuse each. Only a folder is refused without a sentence."""

    def refuse_to_open(root: RootFolder, path: str) -> int:
        raise AssertionError(path)

    monkeypatch.setattr(RootFolder, "open_file", refuse_to_open)
    os.symlink("/etc/passwd", root / "inbox/link.png")
    os.mkfifo(root / "inbox/pipe.png")
    (root / "inbox/folder.png").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "inbox/socket.png"))
    sentences = {}
    for name in ("link", "pipe", "socket", "folder"):
        path = f"inbox/{name}.png"
        tracker.follow(path, 10.0)
        tracker.check_due(99.0, 99)
        state = tracker.state(path, 99.0)
        assert state is not None
        assert state.status == "refused"
        sentences[name] = state.reason
    assert sentences["link"] == "“link.png” is a link, and links are not followed: copy the file itself here"
    assert "pipe, a socket or a device" in sentences["pipe"]
    assert sentences["pipe"].replace("pipe.png", "") == sentences["socket"].replace("socket.png", "")
    assert sentences["folder"] == ""


def test_a_file_that_changes_between_the_check_and_the_lease_is_new_again(
    tracker: FileTracker, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signature is read once more from the open file, after the lease was granted."""

    def change_file_and_grant_lease(fd: int) -> bool:
        (root / HERO).write_bytes(b"written in the last moment")
        return False

    tracker.follow(HERO, 10.0)
    monkeypatch.setattr(file_tracker, "has_writer", change_file_and_grant_lease)
    assert tracker.check_due(10.15, 99) == []
    assert (status_of(tracker, 10.2), tracker.next_check_at()) == ("new", pytest.approx(10.3))


def test_a_file_replaced_by_a_link_after_the_lstat_is_refused(tracker: FileTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error from the opening counts too."""

    def refuse(root: RootFolder, path: str) -> int:
        raise InputError("hero.png is not an ordinary file.", "Put the picture itself there.")

    monkeypatch.setattr(RootFolder, "open_file", refuse)
    tracker.follow(HERO, 10.0)
    tracker.check_due(10.15, 99)
    assert status_of(tracker, 10.2) == "refused"


def test_a_missing_file_is_gone_unless_its_folder_is_missing_too(root: Path) -> None:
    """If its mount is missing, a file is out of reach, not deleted."""
    is_present = True
    tracker = FileTracker(str(root), SettleTimes(), lambda folder: is_present)
    tracker.follow(HERO, 10.0)
    os.rename(root / HERO, root / "elsewhere")
    is_present = False
    tracker.check_due(10.15, 99)
    state = tracker.state(HERO, 10.2)
    assert state is not None
    assert (state.status, state.reason) == ("new", "its folder is not there")
    is_present = True
    assert tracker.check_due(11.0, 99) == [HERO]
    assert tracker.state(HERO, 11.0) is None


def test_the_daemons_own_results_are_settled_until_they_change(tracker: FileTracker, root: Path) -> None:
    """Between Goldsmith's own stages there is no wait: hints change nothing while the signature is the same."""
    tracker.add_settled(HERO, FileSignature.from_stat(os.lstat(root / HERO)), "abc", 10.0)
    assert (status_of(tracker, 10.0), tracker.known_sha256(HERO), tracker.next_check_at()) == ("settled", "abc", None)
    assert not tracker.check(HERO, 10.1)
    assert tracker.known_sha256(HERO) == "abc"
    (root / HERO).write_bytes(b"painted over by hand")
    assert tracker.check(HERO, 10.2)
    assert (status_of(tracker, 10.2), tracker.known_sha256(HERO)) == ("new", None)


def test_a_result_that_was_overwritten_before_the_call_is_not_settled(tracker: FileTracker, root: Path) -> None:
    """The expected signature is compared with that of the file on disk."""
    expected = FileSignature.from_stat(os.lstat(root / HERO))
    (root / HERO).write_bytes(b"somebody was faster")
    tracker.add_settled(HERO, expected, "abc", 10.0)
    assert (status_of(tracker, 10.0), tracker.known_sha256(HERO)) == ("new", None)


def test_one_call_checks_a_limited_number_of_files(root: Path, tracker: FileTracker) -> None:
    """However many files are due, one call checks no more than its limit."""
    for number in range(10):
        (root / f"inbox/{number}.png").write_bytes(b"x")
        tracker.follow(f"inbox/{number}.png", 10.0)
    assert len(tracker.check_due(11.0, 4)) == 4
    assert len(tracker.check_due(11.0, 99)) == 6


def test_a_file_whose_folder_becomes_a_link_is_gone(tracker: FileTracker, root: Path, tmp_path: Path) -> None:
    """The same file behind the link is not followed any more, although its signature is the same."""
    (root / "inbox/acme").mkdir()
    (root / "inbox/acme/hero.png").write_bytes(b"whole")
    tracker.follow("inbox/acme/hero.png", 10.0)
    (root / "inbox/acme").rename(root / "elsewhere")
    (root / "inbox/acme").symlink_to(root / "elsewhere")
    tracker.check("inbox/acme/hero.png", 11.0)
    assert status_of(tracker, 11.0, "inbox/acme/hero.png") == "gone"
