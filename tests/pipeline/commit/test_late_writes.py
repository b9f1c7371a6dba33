"""Inputs that were written to after their commit go back to where they were dropped, and others do not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from doubles.pretended_mounts import pretend
from goldsmith.cli.init import make_root
from goldsmith.files import FileSignature, Filesystem
from goldsmith.journal.records import Consume
from goldsmith.pipeline.commit.late_writes import LateWrites

HERO, BRIEF = "inbox/acme/hero.png", "inbox/acme/hero.toml"
QUIET = 10.0


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_root(tmp_path / "root")
    pretend(monkeypatch, tmp_path / "root", "fuse.sshfs")
    return tmp_path / "root"


@pytest.fixture
def late_writes(root: Path) -> LateWrites:
    return LateWrites(root, Filesystem(), QUIET)


def committed(root: Path, *paths: str) -> list[Consume]:
    """Put inputs into the archive, as a commit at the time 0 leaves them."""
    consumes = []
    for path in paths:
        archived = f"archive/2026-01-02/{path}"
        target = root / archived
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"as it was read")
        os.utime(target, (1000, 1000))
        consumes.append(Consume(path=path, sig=FileSignature.from_stat(target.stat()), sha256="00", destination=archived))
    return consumes


def write_on(root: Path, path: str) -> None:
    with (root / "archive/2026-01-02" / path).open("ab") as file:
        file.write(b", and the rest")


def test_a_picture_that_grew_goes_back_with_its_brief(root: Path, late_writes: LateWrites) -> None:
    """The brief goes first, so that the picture finds its instruction."""
    late_writes.watch(committed(root, HERO, BRIEF), 0.0)
    assert late_writes.next_look_at() == QUIET
    assert late_writes.put_back_changed(QUIET) == []
    write_on(root, HERO)
    assert late_writes.put_back_changed(QUIET + 1) == [], "the next look is later"
    assert late_writes.put_back_changed(3 * QUIET) == [BRIEF, HERO]
    assert (root / HERO).read_bytes() == b"as it was read, and the rest"
    assert (root / BRIEF).exists()
    assert late_writes.next_look_at() is None


def test_a_change_of_equal_size_counts(root: Path, late_writes: LateWrites) -> None:
    """A program may fill a file in place; its time tells."""
    late_writes.watch(committed(root, HERO), 0.0)
    archived = root / "archive/2026-01-02" / HERO
    archived.write_bytes(b"as it is later")
    os.utime(archived, (1010, 1010))
    assert late_writes.put_back_changed(QUIET) == [HERO]


def test_the_looks_end_after_some_minutes(root: Path, late_writes: LateWrites) -> None:
    """Each look is three times later than the one before, and the last one 15 minutes after the commit."""
    late_writes.watch(committed(root, HERO), 0.0)
    looks = []
    while (due := late_writes.next_look_at()) is not None:
        looks.append(due)
        assert late_writes.put_back_changed(due) == []
    assert looks == [10.0, 30.0, 90.0, 270.0, 900.0]


def test_a_newer_picture_of_that_name_keeps_its_place(root: Path, late_writes: LateWrites) -> None:
    """Somebody has dropped it again in the meantime: nothing goes back, and nothing is overwritten."""
    late_writes.watch(committed(root, HERO, BRIEF), 0.0)
    write_on(root, HERO)
    (root / HERO).parent.mkdir(parents=True)
    (root / HERO).write_bytes(b"newer")
    assert late_writes.put_back_changed(QUIET) == []
    assert (root / HERO).read_bytes() == b"newer"
    assert not (root / BRIEF).exists()
    assert (root / "archive/2026-01-02" / HERO).exists()


def test_a_newer_brief_stays_and_the_picture_joins_it(root: Path, late_writes: LateWrites) -> None:
    """What people have put there since is what they want."""
    late_writes.watch(committed(root, HERO, BRIEF), 0.0)
    write_on(root, HERO)
    (root / BRIEF).parent.mkdir(parents=True)
    (root / BRIEF).write_bytes(b"newer")
    assert late_writes.put_back_changed(QUIET) == [HERO]
    assert (root / BRIEF).read_bytes() == b"newer"


def test_a_file_that_is_gone_from_the_archive_is_left_alone(root: Path, late_writes: LateWrites) -> None:
    """An administrator may remove old days."""
    late_writes.watch(committed(root, HERO), 0.0)
    (root / "archive/2026-01-02" / HERO).unlink()
    assert late_writes.put_back_changed(QUIET) == []


def test_a_disk_that_fails_keeps_the_file_for_the_next_look(root: Path, late_writes: LateWrites, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays in the archive until the disk works again."""
    late_writes.watch(committed(root, HERO), 0.0)
    write_on(root, HERO)
    with monkeypatch.context() as broken:

        def fail(fs: Filesystem, source: object, target: object) -> None:
            raise OSError(5, "Input/output error")

        broken.setattr(Filesystem, "rename_noreplace", fail)
        assert late_writes.put_back_changed(QUIET) == []
    assert late_writes.put_back_changed(3 * QUIET) == [HERO]


def test_local_files_and_those_that_moved_on_are_not_watched(root: Path, late_writes: LateWrites, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease tells on local disks; a file that moved to the next folder is followed there."""
    picture, brief = committed(root, HERO, BRIEF)
    late_writes.watch([picture.model_copy(update={"destination": "selected/acme/hero.png"}), brief], 0.0)
    pretend(monkeypatch, root, "ext4")
    late_writes.watch(committed(root, BRIEF), 0.0)
    assert late_writes.next_look_at() is None
