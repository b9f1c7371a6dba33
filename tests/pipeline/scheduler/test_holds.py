"""Holds: the note beside the picture, when the hold applies, and when it ends."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.disk import Disk, Script
from doubles.share import Share
from goldsmith.errors import InputError
from goldsmith.files import FileSignature, Filesystem
from goldsmith.journal.journal import Journal
from goldsmith.pipeline.intake.bundle import Bundle, group_bundles
from goldsmith.pipeline.intake.file_names import classify
from goldsmith.pipeline.scheduler.holds import Holds
from goldsmith.root_folder import RootFolder

WRONG = InputError("The mask is all black.", "Paint white where to change.")


@pytest.fixture
def share(tmp_path: Path) -> Share:
    share = Share(tmp_path)
    share.put("selected/hero.png", b"picture")
    share.put("selected/hero.mask.png", b"mask")
    return share


@pytest.fixture
def journal(share: Share) -> Iterator[Journal]:
    journal = share.journal()
    yield journal
    journal.close()


def bundle_in(share: Share) -> tuple[Bundle, dict[str, FileSignature]]:
    (bundle,) = group_bundles("selected", "", ["hero.png", "hero.mask.png"])
    return bundle, {path: FileSignature.from_stat(os.lstat(share.root / path)) for path in bundle.files}


def holds_of(share: Share, journal: Journal, fs: Filesystem | None = None) -> Holds:
    return Holds(share.root, journal, fs or Filesystem(), lambda: 1000.0)


def note_file(share: Share) -> Path:
    return share.root / "selected/hero.png.problem.txt"


def test_a_hold_applies_while_the_bundle_is_unchanged_and_its_note_exists(share: Share, journal: Journal) -> None:
    """A new object with the same journal applies the hold too."""
    bundle, sigs = bundle_in(share)
    holds_of(share, journal).hold(bundle, sigs, WRONG, None)
    holds = holds_of(share, journal)
    assert note_file(share).read_text().startswith("The mask is all black.\nPaint white where to change.\n\n")
    assert holds.is_still_held(bundle, sigs)
    assert [held.path for held in journal.all_holds()] == ["selected/hero.png"]
    note_file(share).unlink()
    assert not holds.is_still_held(bundle, sigs)


def test_a_hold_does_not_apply_to_a_changed_bundle(share: Share, journal: Journal) -> None:
    """The mask has the same name and other bytes."""
    bundle, sigs = bundle_in(share)
    holds = holds_of(share, journal)
    holds.hold(bundle, sigs, WRONG, None)
    share.put("selected/hero.mask.png", b"another")
    assert not holds.is_still_held(*bundle_in(share))


def test_a_release_deletes_the_note_and_the_record(share: Share, journal: Journal) -> None:
    """A release also works if the note is missing, and if there is no hold."""
    holds = holds_of(share, journal)
    for is_note_missing in (False, True):
        holds.hold(*bundle_in(share), WRONG, None)
        if is_note_missing:
            note_file(share).unlink()
        holds.release("selected/hero.png")
        assert not note_file(share).exists()
        assert journal.all_holds() == []
    holds.release("selected/other.png")


def test_a_release_resets_the_count_of_attempts(share: Share, journal: Journal) -> None:
    """After the note is deleted, the picture has all its attempts again."""
    holds = holds_of(share, journal)
    journal.count_attempt("selected/hero.png", "print")
    holds.hold(*bundle_in(share), WRONG, None)
    holds.release("selected/hero.png")
    assert journal.attempt_count("selected/hero.png", "print") == 0


def test_a_picture_that_is_tried_again_keeps_its_note_until_the_result(share: Share, journal: Journal) -> None:
    """After a change of the library the hold does not apply any more, but the problem may still exist."""
    bundle, sigs = bundle_in(share)
    holds = holds_of(share, journal)
    holds.hold(bundle, sigs, WRONG, None)
    holds.allow_retry("selected/hero.png")
    assert not holds.is_still_held(bundle, sigs)
    assert note_file(share).exists()


def test_the_notes_of_missing_pictures_are_deleted_at_the_start(share: Share, journal: Journal) -> None:
    """The notes of existing pictures stay."""
    holds_of(share, journal).hold(*bundle_in(share), WRONG, None)
    holds = holds_of(share, journal)
    holds.release_missing()
    assert note_file(share).exists()
    (share.root / "selected/hero.png").unlink()
    holds.release_missing()
    assert not note_file(share).exists()
    assert journal.all_holds() == []


def test_the_journal_alone_has_the_hold_if_the_folder_refuses_the_note(share: Share, journal: Journal) -> None:
    """The hold applies although the campaign's folder is not writable."""
    disk = Disk(Script(at=1, trouble=lambda name: PermissionError(errno.EACCES, os.strerror(errno.EACCES))))
    bundle, sigs = bundle_in(share)
    holds = holds_of(share, journal, disk)
    holds.hold(bundle, sigs, WRONG, None)
    assert holds.is_still_held(bundle, sigs)
    assert [held.sentence for held in journal.all_holds()] == [WRONG.sentence]
    holds.release("selected/hero.png")
    assert journal.all_holds() == []


def test_a_full_disk_is_reported_to_the_caller(share: Share, journal: Journal) -> None:
    """A hold whose note could not be written for this reason is not recorded."""
    disk = Disk(Script(at=1, trouble=lambda name: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
    holds = holds_of(share, journal, disk)
    with pytest.raises(OSError, match="No space left"):
        holds.hold(*bundle_in(share), WRONG, None)
    assert (holds.waiting_for_library(), journal.all_holds()) == ((), [])


def test_a_preview_is_written_and_deleted_with_its_note(share: Share, journal: Journal) -> None:
    """The preview is no asset, a release deletes it with the note, and deleting only the preview starts no new try."""
    bundle, sigs = bundle_in(share)
    holds = holds_of(share, journal)
    holds.hold(bundle, sigs, WRONG, None, preview=b"a jpeg")
    preview = share.root / "selected/hero.png.problem.jpg"
    assert preview.read_bytes() == b"a jpeg"
    assert classify(preview.name).role == "litter"
    preview.unlink()
    assert holds.is_still_held(bundle, sigs)
    holds.hold(bundle, sigs, WRONG, None, preview=b"another")
    assert preview.read_bytes() == b"another"
    holds.release_bundle(bundle)
    assert not preview.exists()
    assert not note_file(share).exists()


# ---------------------------------------------------------------------- holds that are tried again by themselves


class RetriedHolds:
    """Holds on a clock that only the test moves."""

    def __init__(self, share: Share, journal: Journal) -> None:
        self.now = 1000.0
        self.share = share
        self.holds = Holds(share.root, journal, Filesystem(), lambda: 1000.0, lambda: self.now, retry_seconds=10.0)

    def hold(self, *denied_folders: str) -> None:
        self.holds.hold(*bundle_in(self.share), WRONG, None, denied_folders=denied_folders)

    def due(self, later: float) -> list[str]:
        self.now += later
        return self.holds.pop_due_retries(self.now)


def test_a_hold_over_a_permission_is_tried_again_at_growing_intervals(share: Share, journal: Journal) -> None:
    """The first time after ten seconds, and never more than ten minutes apart. In between the hold applies."""
    retried = RetriedHolds(share, journal)
    retried.hold()
    for seconds in (10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0, 600.0):
        assert retried.holds.next_retry_at() == retried.now + seconds
        assert retried.due(seconds - 0.1) == []
        assert retried.holds.is_still_held(*bundle_in(share))
        assert retried.due(0.1) == ["selected/hero.png"]
        assert not retried.holds.is_still_held(*bundle_in(share))
        retried.hold()
    retried.holds.release("selected/hero.png")
    assert retried.holds.next_retry_at() is None


def test_a_folder_that_still_refuses_files_costs_no_try(share: Share, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A try may cost minutes on a GPU. It begins when the folder, or the nearest one above it that exists, takes files."""
    retried = RetriedHolds(share, journal)
    retried.hold("selected", "masked/acme")
    with monkeypatch.context() as patch:
        patch.setattr(RootFolder, "can_write", lambda root, path: path != "masked")
        assert [retried.due(10.0) for _ in range(3)] == [[], [], []]
        assert retried.holds.is_still_held(*bundle_in(share))
    assert retried.due(10.0) == ["selected/hero.png"]


def test_a_changed_file_is_tried_at_once(share: Share, journal: Journal) -> None:
    """`goldsmith retry` relies on it when there is no note to delete."""
    retried = RetriedHolds(share, journal)
    retried.hold()
    picture = share.root / "selected/hero.png"
    os.utime(picture, ns=(0, picture.stat().st_mtime_ns + 1_000_000))
    assert not retried.holds.is_still_held(*bundle_in(share))


def test_the_next_daemon_tries_such_a_hold_at_its_start(share: Share, journal: Journal) -> None:
    """The permission may have been mended meanwhile. Its note stays until the result is known."""
    RetriedHolds(share, journal).hold()
    holds = holds_of(share, journal)
    bundle, sigs = bundle_in(share)
    assert not holds.is_still_held(bundle, sigs)
    holds.release_bundle(bundle)
    assert note_file(share).exists()
    holds.release(bundle.asset)
    assert not note_file(share).exists()


def test_the_same_problem_leaves_its_note_untouched(share: Share, journal: Journal) -> None:
    """A folder that is synchronised is not written to at every try."""
    retried = RetriedHolds(share, journal)
    retried.hold()
    before = note_file(share).stat()
    assert retried.holds.is_held_for(bundle_in(share)[0], WRONG)
    retried.hold()
    assert note_file(share).stat().st_ino == before.st_ino
    retried.holds.hold(*bundle_in(share), InputError("Another problem."), None)
    assert note_file(share).read_text().startswith("Another problem.")
    assert retried.holds.next_retry_at() is None


def test_holds_without_a_note_are_listed_with_their_problem(share: Share, journal: Journal) -> None:
    """Nobody can see them in their folder. They are tried again when the folder takes files."""
    disk = Disk(Script(at=1, trouble=lambda name: PermissionError(errno.EACCES, os.strerror(errno.EACCES))))
    holds = holds_of(share, journal, disk)
    holds.hold(*bundle_in(share), WRONG, None)
    assert holds.without_note(9) == {"selected/hero.png": "The mask is all black. Paint white where to change."}
    assert holds.without_note(0) == {}
    assert holds.next_retry_at() is not None


def test_an_unreadable_folder_releases_no_hold_at_the_start(share: Share, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a picture that is certainly gone is released."""
    holds_of(share, journal).hold(*bundle_in(share), WRONG, None)

    def refuse(root: RootFolder, path: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(RootFolder, "lstat", refuse)
    holds_of(share, journal).release_missing()
    assert [held.path for held in journal.all_holds()] == ["selected/hero.png"]


def test_a_note_does_not_say_where_files_lie_on_the_server(share: Share, journal: Journal) -> None:
    """Neither does the hold, which the folder's status file shows; a path below the root is shown from there."""
    bundle, sigs = bundle_in(share)
    problem = InputError(f"/var/lib/models/sdxl/config.json is damaged, see {share.root}/selected/hero.png.", "Run: ls /srv/models/x")
    holds_of(share, journal).hold(bundle, sigs, problem, None)
    assert note_file(share).read_text().startswith("config.json is damaged, see selected/hero.png.\nRun: ls x\n")
    (held,) = journal.all_holds()
    assert "/var" not in held.sentence + held.remedy
    assert "/srv" not in held.sentence + held.remedy
