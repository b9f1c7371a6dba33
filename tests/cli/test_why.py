"""``goldsmith why`` finds the user's file by any name. The sentences are tested with the explainer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from doubles.commandline import Goldsmith
from goldsmith.cli import output
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import CompletedPlan, HistoryRow

ALONE = "Waiting for an instruction: put a mask (“hero.mask.png”) or a brief (“hero.toml”) beside it."


@pytest.fixture(autouse=True)
def _hero(root: Path) -> None:
    (root / "inbox" / "acme").mkdir()
    (root / "inbox" / "acme" / "hero.png").write_bytes(b"x")


@pytest.mark.parametrize(
    ("folder", "file", "with_root"),
    [
        (".", "hot/inbox/acme/hero.png", False),
        (".", "inbox/acme/hero.png", True),
        ("hot", "inbox/acme/hero.png", False),
        ("hot/inbox", "acme/hero.png", False),
        ("hot/inbox/acme", "hero.png", False),
        ("hot/inbox/acme", "./hero.png", False),
        ("hot/masked", "../inbox/acme/hero.png", False),
        ("hot/inbox/acme", "inbox/acme/hero.png", False),
        (".", "hero.png", True),
        (".", "HERO.PNG", True),
    ],
)
def test_a_file_is_found_by_every_kind_of_name(
    goldsmith: Goldsmith, root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str, file: str, with_root: bool
) -> None:
    """The name is a path from the working directory or the root, or a bare name. The working directory or the path gives the root."""
    monkeypatch.chdir(tmp_path / folder)
    result = goldsmith("why", file, *(["--root", root] if with_root else []))
    assert (result.code, result.out.strip()) == (0, ALONE)


def test_an_absolute_path_is_found_through_a_link_to_the_root(goldsmith: Goldsmith, root: Path, tmp_path: Path) -> None:
    """Users reach a share by different paths."""
    assert goldsmith("why", root / "inbox/acme/hero.png").out.strip() == ALONE
    os.symlink(root, tmp_path / "share")
    assert goldsmith("why", tmp_path / "share/inbox/acme/hero.png", "-r", root).out.strip() == ALONE


def test_the_environment_names_the_root(goldsmith: Goldsmith, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GOLDSMITH_ROOT has the path of the root."""
    monkeypatch.setenv("GOLDSMITH_ROOT", str(root))
    assert goldsmith("why", "inbox/acme/hero.png").out.strip() == ALONE


def test_a_configuration_names_the_root(goldsmith: Goldsmith, root: Path, tmp_path: Path) -> None:
    """``root`` in the goldsmith.toml of --config counts."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "goldsmith.toml").write_text(f'root = "{root}"\n')
    assert goldsmith("why", "inbox/acme/hero.png", "--config", tmp_path / "etc").out.strip() == ALONE


def test_an_ambiguous_bare_name_is_an_error(goldsmith: Goldsmith, root: Path) -> None:
    """The message lists both paths."""
    (root / "masked" / "hero.png").write_bytes(b"x")
    result = goldsmith("why", "hero.png", "-r", root)
    assert result.code == 2
    assert "inbox/acme/hero.png, masked/hero.png" in result.err


def test_a_file_outside_the_root_is_refused(goldsmith: Goldsmith, root: Path, tmp_path: Path) -> None:
    """The message names the root."""
    result = goldsmith("why", "/etc/hostname", "-r", root)
    assert result.code == 2
    assert f"/etc/hostname is not in {root}." in result.err


def test_an_undecodable_name_is_explained_on_one_line(goldsmith: Goldsmith, root: Path) -> None:
    """The output has no line breaks and no undecodable bytes."""
    name = os.fsdecode(b"inbox/he\nro\xff.png")
    (root / name).write_bytes(b"x")
    result = goldsmith("why", name, "-r", root)
    assert len(result.out.splitlines()) == 1
    assert "he�ro�.toml" in result.out
    assert len(goldsmith("why", os.fsdecode(b"inbox/go\nne\xff.png"), "-r", root).out.splitlines()) == 1


def test_a_processed_file_is_found_by_its_old_path(
    goldsmith: Goldsmith, root: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The working directory is the folder into which the file was dropped."""
    row = HistoryRow(
        job_id="1", path="inbox/old.png", sha256="0", started_at=0.0, stage="generate", outcome="passed", results=("selected/old.png",)
    )
    journal.complete_plans([CompletedPlan("1", (row,), (), ())])
    monkeypatch.chdir(root / "inbox")
    assert "It became selected/old.png." in goldsmith("why", "old.png").out


def test_a_bare_name_is_found_in_the_history(goldsmith: Goldsmith, root: Path, journal: Journal) -> None:
    """The picture is no longer in its folder, and the user knows only its name."""
    row = HistoryRow(
        job_id="9",
        path="masked/acme/lion.png",
        sha256="0",
        started_at=1.0,
        taken_at=2.0,
        stage="grade",
        outcome="passed",
        results=("graded/acme/lion.png",),
    )
    journal.complete_plans([CompletedPlan("9", (row,), (), ())])
    assert "became graded/acme/lion.png" in goldsmith("why", "Lion.PNG", "-r", root).out
    assert [cells[1] for cells in goldsmith("history", "lion.png", "-r", root).rows[1:]] == ["masked/acme/lion.png"]


def test_a_path_that_is_too_long_for_the_kernel_is_in_folders_that_are_too_deep(goldsmith: Goldsmith, root: Path) -> None:
    """Such a picture does exist, so it must not be called missing."""
    result = goldsmith("why", "--root", root, "/".join(["inbox/acme", *["deeper"] * 800, "hero.png"]))
    sentence = "inbox/acme/ has folders more than 64 deep: pictures in those are not found. Move them up.\n"
    assert (result.code, result.out) == (0, sentence), result.err


def test_the_sentence_is_wrapped_to_the_terminal(goldsmith: Goldsmith, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No word is broken, and in a pipe it is one line."""
    (root / "selected" / "hero.png").write_bytes(b"x")
    (root / "selected" / "hero.toml").write_text('[[edit]]\nop = "erase"\nwhere = "the lamp"\n')
    for name in ("hero.png", "hero.toml"):
        os.utime(root / "selected" / name, (1e9, 1e9))
    whole = goldsmith("why", "selected/hero.png", "-r", root).out
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    wrapped = goldsmith("why", "selected/hero.png", "-r", root).out
    assert max(map(len, wrapped.splitlines())) <= 60
    assert wrapped.split() == whole.split()
    assert len(whole.splitlines()) == 1 < len(wrapped.splitlines())
