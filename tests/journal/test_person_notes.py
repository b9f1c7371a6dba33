"""Names of people who have put a file where it lies on the page: believed for that very file, and for no other."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from goldsmith.files import FileSignature
from goldsmith.journal.person_notes import PersonNotes

PATH = "review/approve/hero.png"


@pytest.fixture
def notes(tmp_path: Path) -> PersonNotes:
    return PersonNotes(tmp_path / "state" / "root-1")


def signature(file: Path) -> FileSignature:
    return FileSignature.from_stat(file.lstat())


def test_a_note_names_the_person(notes: PersonNotes, tmp_path: Path) -> None:
    """For this file at this path; a removed note names nobody."""
    sig = signature(tmp_path)
    notes.write(PATH, sig, "aa", "Anna Müller")
    assert notes.handling_of(PATH, sig, "aa") == ("Anna Müller", "moved")
    assert notes.handling_of("review/reject/hero.png", sig, "aa") is None
    assert notes.handling_of(PATH, sig, "bb") is None
    notes.remove(PATH)
    assert notes.handling_of(PATH, sig, "aa") is None


def test_a_file_that_was_moved_again_has_no_person(notes: PersonNotes, tmp_path: Path) -> None:
    """Somebody has dragged the picture out of the tray and into it again: that is another person's decision."""
    file = tmp_path / "hero.png"
    file.write_bytes(b"x")
    notes.write(PATH, signature(file), "aa", "anna")
    os.rename(file, tmp_path / "away.png")
    os.rename(tmp_path / "away.png", file)
    assert notes.handling_of(PATH, signature(file), "aa") is None


def test_only_the_service_s_user_can_read_and_write_the_notes(notes: PersonNotes, tmp_path: Path) -> None:
    """Their folder is beside the journal, outside the share."""
    notes.write(PATH, signature(tmp_path), "aa", "anna")
    folder = tmp_path / "state" / "root-1" / "persons"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 100, b'{"person": "eve"}', b"x" * 10**6])
def test_a_damaged_note_names_nobody(notes: PersonNotes, tmp_path: Path, content: bytes) -> None:
    """The decision itself goes on without a name."""
    sig = signature(tmp_path)
    notes.write(PATH, sig, "aa", "anna")
    next((tmp_path / "state" / "root-1" / "persons").iterdir()).write_bytes(content)
    assert notes.handling_of(PATH, sig, "aa") is None


def test_a_note_says_what_was_done(notes: PersonNotes, tmp_path: Path) -> None:
    """A mask was painted, a brief written, a file dropped."""
    sig = signature(tmp_path)
    notes.write(PATH, sig, "aa", "anna", "painted")
    assert notes.handling_of(PATH, sig, "aa") == ("anna", "painted")


def test_notes_are_removed_when_nobody_needs_them(notes: PersonNotes, tmp_path: Path) -> None:
    """Those of the last three months stay while their file is there, and a day longer; a damaged one stays no longer either."""
    sig, day = signature(tmp_path), 24 * 3600
    taken_path = "inbox/gone-\udcff.png"
    for path in (PATH, taken_path):
        notes.write(path, sig, "aa", "anna")
    folder = tmp_path / "state" / "root-1" / "persons"
    (folder / "damaged.json").write_bytes(b"?")
    written = max(file.stat().st_mtime for file in folder.iterdir())
    notes.remove_old(lambda path: path == taken_path)
    assert notes.handling_of(taken_path, sig, "aa") == ("anna", "moved")
    notes.remove_old(lambda path: path == taken_path, written + 2 * day)
    assert notes.handling_of(taken_path, sig, "aa") is None
    assert notes.handling_of(PATH, sig, "aa") == ("anna", "moved")
    notes.remove_old(lambda _: False, written + 100 * day)
    assert list(folder.iterdir()) == []
    PersonNotes(tmp_path / "nowhere").remove_old(lambda _: True)
