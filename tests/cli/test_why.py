"""``goldsmith why``: the sentences are tested with their maker; here, that the right file is found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from doubles.commandline import Goldsmith
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import CompletedPlan, HistoryRow

ALONE = "Waiting for an instruction: put a mask (“hero.mask.png”) or a brief (“hero.toml”) beside it."


@pytest.fixture(autouse=True)
def _hero(root: Path) -> None:
    (root / "inbox" / "acme").mkdir()
    (root / "inbox" / "acme" / "hero.png").write_bytes(b"x")


@pytest.mark.parametrize(
    ("here", "file", "root_too"),
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
def test_a_file_is_found_however_it_is_named(
    goldsmith: Goldsmith, root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, here: str, file: str, root_too: bool
) -> None:
    """From where one stands, from the root, or by its bare name; the root is told by where one stands or what one names."""
    monkeypatch.chdir(tmp_path / here)
    told = goldsmith("why", file, *(["--root", root] if root_too else []))
    assert (told.code, told.out.strip()) == (0, ALONE)


def test_a_whole_path_is_found_also_through_a_link_to_the_root(goldsmith: Goldsmith, root: Path, tmp_path: Path) -> None:
    """People reach shares by many ways."""
    assert goldsmith("why", root / "inbox/acme/hero.png").out.strip() == ALONE
    os.symlink(root, tmp_path / "share")
    assert goldsmith("why", tmp_path / "share/inbox/acme/hero.png", "-r", root).out.strip() == ALONE


def test_the_environment_names_the_root(goldsmith: Goldsmith, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GOLDSMITH_ROOT, as a unit sets it."""
    monkeypatch.setenv("GOLDSMITH_ROOT", str(root))
    assert goldsmith("why", "inbox/acme/hero.png").out.strip() == ALONE


def test_a_configuration_names_the_root(goldsmith: Goldsmith, root: Path, tmp_path: Path) -> None:
    """``root`` in the goldsmith.toml of --config."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "goldsmith.toml").write_text(f'root = "{root}"\n')
    assert goldsmith("why", "inbox/acme/hero.png", "--config", tmp_path / "etc").out.strip() == ALONE


def test_a_bare_name_that_is_there_twice_is_asked_back(goldsmith: Goldsmith, root: Path) -> None:
    """With both places, so that one can be copied."""
    (root / "masked" / "hero.png").write_bytes(b"x")
    told = goldsmith("why", "hero.png", "-r", root)
    assert told.code == 2
    assert "inbox/acme/hero.png, masked/hero.png" in told.err


def test_a_file_outside_the_root_is_refused(goldsmith: Goldsmith, root: Path, tmp_path: Path) -> None:
    """With the root that was looked in."""
    told = goldsmith("why", "/etc/hostname", "-r", root)
    assert told.code == 2
    assert f"/etc/hostname is not in {root}." in told.err


def test_a_name_that_is_no_text_is_answered_on_one_line(goldsmith: Goldsmith, root: Path) -> None:
    """Line breaks and bytes that are no text come in as arguments and do not come out."""
    name = os.fsdecode(b"inbox/he\nro\xff.png")
    (root / name).write_bytes(b"x")
    told = goldsmith("why", name, "-r", root)
    assert len(told.out.splitlines()) == 1
    assert "he�ro�.toml" in told.out
    assert len(goldsmith("why", os.fsdecode(b"inbox/go\nne\xff.png"), "-r", root).out.splitlines()) == 1


def test_a_taken_file_is_found_by_where_it_lay(goldsmith: Goldsmith, root: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standing in the folder it was dropped into."""
    taken = HistoryRow(
        job_id="1", path="inbox/old.png", sha256="0", started_at=0.0, stage="generate", outcome="passed", results=("selected/old.png",)
    )
    journal.complete_plans([CompletedPlan("1", (taken,), (), ())])
    monkeypatch.chdir(root / "inbox")
    assert "it became selected/old.png." in goldsmith("why", "old.png").out


def test_a_bare_name_of_what_was_taken_is_found_in_the_history(goldsmith: Goldsmith, root: Path, journal: Journal) -> None:
    """The picture left its folder long ago; people remember what it was called, not where it lay."""
    taken = HistoryRow(
        job_id="9",
        path="masked/acme/lion.png",
        sha256="0",
        started_at=1.0,
        taken_at=2.0,
        stage="grade",
        outcome="passed",
        results=("graded/acme/lion.png",),
    )
    journal.complete_plans([CompletedPlan("9", (taken,), (), ())])
    assert "became graded/acme/lion.png" in goldsmith("why", "Lion.PNG", "-r", root).out
    assert [row[1] for row in goldsmith("history", "lion.png", "-r", root).rows[1:]] == ["masked/acme/lion.png"]
