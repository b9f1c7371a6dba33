"""``goldsmith retry`` deletes the problem note and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from doubles.commandline import Goldsmith, WriteState
from goldsmith.journal.journal import Journal

NOTE = "inbox/hero.png.problem.txt"


@pytest.fixture(autouse=True)
def _held(root: Path, journal: Journal) -> None:
    for path in ("inbox/hero.png", "inbox/hero.mask.png", "inbox/hero.toml", NOTE):
        (root / path).write_bytes(b"")
    journal.record_hold("inbox/hero.png", "fp", "hero.png is cut off.", "Copy it again.", NOTE, 1.0)


@pytest.mark.parametrize("file", ["inbox/hero.png", NOTE, "inbox/hero.mask.png", "inbox/hero.toml", "hero.png", "hero.png.problem.txt"])
def test_any_file_of_a_picture_leads_to_its_note(goldsmith: Goldsmith, root: Path, file: str) -> None:
    """The argument may be the picture, the note, a sidecar or a bare name. All other files stay."""
    result = goldsmith("retry", file, "-r", root)
    assert result.code == 0
    assert result.out.strip() == "The problem note of inbox/hero.png is deleted. Goldsmith tries the picture again as soon as it runs."
    assert sorted(path.name for path in (root / "inbox").glob("hero*")) == ["hero.mask.png", "hero.png", "hero.toml"]


def test_with_a_daemon_the_picture_is_tried_again_now(goldsmith: Goldsmith, root: Path, write_daemon_state: WriteState) -> None:
    """The daemon notices the deletion by itself."""
    assert "Goldsmith tries the picture again now." in goldsmith("retry", "hero.png", "-r", root).out


def test_a_picture_without_a_note_is_an_error_with_the_reason_it_waits(goldsmith: Goldsmith, root: Path) -> None:
    """The exit code is 2, and the message has the sentence of ``why``."""
    (root / "inbox" / "fine.png").write_bytes(b"x")
    result = goldsmith("retry", "inbox/fine.png", "-r", root)
    assert result.code == 2
    assert "There is nothing to retry: inbox/fine.png has no problem note." in result.err
    assert "Waiting for an instruction" in result.err


@pytest.mark.parametrize("file", ["archive/x.png", "config/pipeline.toml", "delivered/x.png", "inbox/nowhere.png"])
def test_only_files_in_the_pipeline_can_be_retried(goldsmith: Goldsmith, root: Path, file: str) -> None:
    """Nothing is deleted."""
    before = sorted(str(path) for path in root.rglob("*"))
    assert goldsmith("retry", file, "-r", root).code == 2
    assert sorted(str(path) for path in root.rglob("*")) == before


def test_a_linked_folder_is_not_followed(goldsmith: Goldsmith, root: Path, tmp_path: Path) -> None:
    """A note outside the root stays, although a link leads to it."""
    (tmp_path / "outside").mkdir()
    for name in ("x.png", "x.png.problem.txt"):
        (tmp_path / "outside" / name).write_bytes(b"")
    os.symlink(tmp_path / "outside", root / "inbox" / "link")
    result = goldsmith("retry", "inbox/link/x.png", "-r", root)
    assert result.code in (2, 4)
    assert (tmp_path / "outside" / "x.png.problem.txt").exists()


def test_several_files_may_be_named(goldsmith: Goldsmith, root: Path, journal: Journal) -> None:
    """Each file gets one sentence."""
    for name in ("a.png", "a.png.problem.txt"):
        (root / "masked" / name).write_bytes(b"")
    result = goldsmith("retry", "inbox/hero.png", "masked/a.png", "-r", root)
    assert len(result.out.splitlines()) == 2


def test_a_problem_without_a_note_is_not_called_nothing(goldsmith: Goldsmith, root: Path, journal: Journal) -> None:
    """Where no note could be written, the picture is tried again all the same."""
    (root / "selected" / "bad.png").write_bytes(b"x")
    journal.record_hold("selected/bad.png", "fp", "bad.png is cut off.", "Copy it again.", "", 1.0)
    result = goldsmith("retry", "selected/bad.png", "-r", root)
    assert result.code == 0
    assert "nothing to retry" not in result.out + result.err
    assert "Goldsmith tries the picture again" in result.out
