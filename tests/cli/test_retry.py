"""``goldsmith retry``: takes the note away, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from doubles.commandline import Goldsmith, Tell
from goldsmith.journal.journal import Journal

NOTE = "inbox/hero.png.problem.txt"


@pytest.fixture(autouse=True)
def _held(root: Path, journal: Journal) -> None:
    for path in ("inbox/hero.png", "inbox/hero.mask.png", "inbox/hero.toml", NOTE):
        (root / path).write_bytes(b"")
    journal.record_hold("inbox/hero.png", "fp", "hero.png is cut off.", "Copy it again.", NOTE, 1.0)


@pytest.mark.parametrize("file", ["inbox/hero.png", NOTE, "inbox/hero.mask.png", "inbox/hero.toml", "hero.png", "hero.png.problem.txt"])
def test_the_note_goes_whatever_of_the_picture_is_named(goldsmith: Goldsmith, root: Path, file: str) -> None:
    """Picture, note, sidecar, or a bare name; all else stays."""
    told = goldsmith("retry", file, "-r", root)
    assert told.code == 0
    assert told.out.strip() == "The note beside inbox/hero.png is gone: it is tried again as soon as Goldsmith runs here."
    assert sorted(path.name for path in (root / "inbox").glob("hero*")) == ["hero.mask.png", "hero.png", "hero.toml"]


def test_with_a_daemon_it_is_tried_now(goldsmith: Goldsmith, root: Path, running: Tell) -> None:
    """The daemon hears of the note's going by itself."""
    assert "it is tried again now." in goldsmith("retry", "hero.png", "-r", root).out


def test_where_there_is_nothing_to_retry_the_reason_it_waits_is_said(goldsmith: Goldsmith, root: Path) -> None:
    """Exit code 2 and law 7's sentence."""
    (root / "inbox" / "fine.png").write_bytes(b"x")
    told = goldsmith("retry", "inbox/fine.png", "-r", root)
    assert told.code == 2
    assert "There is nothing to retry: no problem note lies beside inbox/fine.png." in told.err
    assert "Waiting for an instruction" in told.err


@pytest.mark.parametrize("file", ["archive/x.png", "config/pipeline.toml", "delivered/x.png", "inbox/nowhere.png"])
def test_only_what_lies_on_the_line_can_be_retried(goldsmith: Goldsmith, root: Path, file: str) -> None:
    """A sentence for everything else, and nothing deleted."""
    before = sorted(str(path) for path in root.rglob("*"))
    assert goldsmith("retry", file, "-r", root).code == 2
    assert sorted(str(path) for path in root.rglob("*")) == before


def test_a_linked_folder_is_not_followed(goldsmith: Goldsmith, root: Path, tmp_path: Path) -> None:
    """A note outside the root stays, whatever link leads there."""
    (tmp_path / "outside").mkdir()
    for name in ("x.png", "x.png.problem.txt"):
        (tmp_path / "outside" / name).write_bytes(b"")
    os.symlink(tmp_path / "outside", root / "inbox" / "link")
    told = goldsmith("retry", "inbox/link/x.png", "-r", root)
    assert told.code in (2, 4)
    assert (tmp_path / "outside" / "x.png.problem.txt").exists()


def test_several_may_be_named(goldsmith: Goldsmith, root: Path, journal: Journal) -> None:
    """One sentence each."""
    for name in ("a.png", "a.png.problem.txt"):
        (root / "masked" / name).write_bytes(b"")
    told = goldsmith("retry", "inbox/hero.png", "masked/a.png", "-r", root)
    assert len(told.out.splitlines()) == 2
