"""Holds: the note beside the picture, what it stands for, and when it goes."""

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

WRONG = InputError("The mask is all black.", "Paint white where to change.")


@pytest.fixture
def share(tmp_path: Path) -> Share:
    made = Share(tmp_path)
    made.put("selected/hero.png", b"picture")
    made.put("selected/hero.mask.png", b"mask")
    return made


@pytest.fixture
def journal(share: Share) -> Iterator[Journal]:
    opened = share.journal()
    yield opened
    opened.close()


def bundle_in(share: Share) -> tuple[Bundle, dict[str, FileSignature]]:
    (bundle,) = group_bundles("selected", "", ["hero.png", "hero.mask.png"])
    return bundle, {path: FileSignature.from_stat(os.lstat(share.root / path)) for path in bundle.files}


def holds_of(share: Share, journal: Journal, fs: Filesystem | None = None) -> Holds:
    return Holds(share.root, journal, fs or Filesystem(), lambda: 1000.0)


def note(share: Share) -> Path:
    return share.root / "selected/hero.png.problem.txt"


def test_a_hold_stands_while_nothing_changes_and_its_note_lies_there(share: Share, journal: Journal) -> None:
    """For this object and for the next one over the same journal."""
    bundle, sigs = bundle_in(share)
    holds_of(share, journal).hold(bundle, sigs, WRONG, None)
    holds = holds_of(share, journal)
    assert note(share).read_text().startswith("The mask is all black.\nPaint white where to change.\n\n")
    assert holds.is_still_held(bundle, sigs)
    assert (len(holds), "selected/hero.png" in holds) == (1, True)
    note(share).unlink()
    assert not holds.is_still_held(bundle, sigs)


def test_a_changed_bundle_is_held_no_longer(share: Share, journal: Journal) -> None:
    """Other bytes under the mask's name."""
    bundle, sigs = bundle_in(share)
    holds = holds_of(share, journal)
    holds.hold(bundle, sigs, WRONG, None)
    share.put("selected/hero.mask.png", b"another")
    assert not holds.is_still_held(*bundle_in(share))


def test_a_release_takes_the_note_away_and_forgets(share: Share, journal: Journal) -> None:
    """Also where the note is gone already, and where there never was a hold."""
    holds = holds_of(share, journal)
    for gone in (False, True):
        holds.hold(*bundle_in(share), WRONG, None)
        if gone:
            note(share).unlink()
        holds.release("selected/hero.png")
        assert not note(share).exists()
        assert journal.all_holds() == []
    holds.release("selected/other.png")


def test_the_attempts_are_forgotten_with_the_hold(share: Share, journal: Journal) -> None:
    """Whoever deletes the note gets all attempts again."""
    holds = holds_of(share, journal)
    journal.count_attempt("selected/hero.png", "print")
    holds.hold(*bundle_in(share), WRONG, None)
    holds.release("selected/hero.png")
    assert journal.attempt_count("selected/hero.png", "print") == 0


def test_a_picture_that_is_to_be_tried_again_keeps_its_note_until_then(share: Share, journal: Journal) -> None:
    """The library changed: the hold no longer stands, but nobody is told that all is well."""
    bundle, sigs = bundle_in(share)
    holds = holds_of(share, journal)
    holds.hold(bundle, sigs, WRONG, None)
    holds.allow_retry("selected/hero.png")
    assert not holds.is_still_held(bundle, sigs)
    assert note(share).exists()


def test_at_a_start_the_notes_of_pictures_that_are_gone_go_too(share: Share, journal: Journal) -> None:
    """Others stay."""
    holds_of(share, journal).hold(*bundle_in(share), WRONG, None)
    holds = holds_of(share, journal)
    holds.release_missing()
    assert note(share).exists()
    (share.root / "selected/hero.png").unlink()
    holds.release_missing()
    assert not note(share).exists()
    assert "selected/hero.png" not in holds


def test_where_no_note_may_be_written_the_journal_alone_tells(share: Share, journal: Journal) -> None:
    """The folder of one campaign refuses it; the hold stands all the same."""
    disk = Disk(Script(at=1, trouble=lambda name: PermissionError(errno.EACCES, os.strerror(errno.EACCES))))
    bundle, sigs = bundle_in(share)
    holds = holds_of(share, journal, disk)
    holds.hold(bundle, sigs, WRONG, None)
    assert holds.is_still_held(bundle, sigs)
    assert [held.sentence for held in journal.all_holds()] == [WRONG.sentence]
    holds.release("selected/hero.png")
    assert journal.all_holds() == []


def test_a_full_disk_is_the_machines_fault(share: Share, journal: Journal) -> None:
    """Nothing is remembered of a hold that could not be told for that reason."""
    disk = Disk(Script(at=1, trouble=lambda name: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
    holds = holds_of(share, journal, disk)
    with pytest.raises(OSError, match="No space left"):
        holds.hold(*bundle_in(share), WRONG, None)
    assert (len(holds), journal.all_holds()) == (0, [])


def test_a_picture_that_shows_the_problem_comes_and_goes_with_its_note(share: Share, journal: Journal) -> None:
    """It lies beside the note, is nobody's asset, and a release takes both away; deleting it alone tries nothing again."""
    bundle, sigs = bundle_in(share)
    holds = holds_of(share, journal)
    holds.hold(bundle, sigs, WRONG, None, preview=b"a jpeg")
    shown = share.root / "selected/hero.png.problem.jpg"
    assert shown.read_bytes() == b"a jpeg"
    assert classify(shown.name).role == "litter"
    shown.unlink()
    assert holds.is_still_held(bundle, sigs)
    holds.hold(bundle, sigs, WRONG, None, preview=b"another")
    assert shown.read_bytes() == b"another"
    holds.release_bundle(bundle)
    assert not shown.exists()
    assert not note(share).exists()
