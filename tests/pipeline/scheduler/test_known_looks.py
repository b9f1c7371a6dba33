"""The names under which the versions of an edited copy are looked for."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from goldsmith.journal.journal import Journal
from goldsmith.journal.records import CompletedPlan, HistoryRow
from goldsmith.pipeline.intake.bundle import Bundle, BundleKey
from goldsmith.pipeline.scheduler.known_looks import MAX_LOOKS, find_known_looks, neighbouring_names, possible_names

FOLDERS = ("inbox", "selected", "masked", "graded", "delivered")


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("hero", "hero"),
        ("hero copy", "hero"),
        ("hero-edited", "hero"),
        ("hero (1)", "hero"),
        ("hero_v002_final", "hero"),
        ("hero_v002_final", "hero_v002"),
        ("Spring.hero 2 Kopie", "Spring.hero 2"),
    ],
)
def test_the_name_before_the_editor_is_among_them(stem: str, name: str) -> None:
    """What programs put behind a name is left out, step by step."""
    assert name in possible_names(stem)


@pytest.mark.parametrize(("stem", "name"), [("shot_007 retouched", "shot_008"), ("shot_099", "shot_100"), ("shot_000", "shot_002")])
def test_a_neighbour_in_a_series_is_another_picture(stem: str, name: str) -> None:
    """It is looked at, but it is no name that the picture may have had."""
    assert name in neighbouring_names(stem)
    assert name not in possible_names(stem)


def test_there_are_few_of_them_whatever_the_name() -> None:
    """The journal is asked for sixteen names at most."""
    assert len(possible_names(" ".join(str(number) for number in range(100)))) <= 16
    assert possible_names("_") == ["_"]


def test_a_job_gets_few_looks_and_not_those_of_one_picture_alone(tmp_path: Path) -> None:
    """Half of them at most are versions of one picture, the newest first; a version without a look is none."""
    bundle = Bundle(BundleKey("masked", "acme", "shot_1 copy.png"), "shot_1 copy", picture="masked/acme/shot_1 copy.png")
    with contextlib.closing(Journal.open(tmp_path / "journal.db")) as journal:
        rows = [row(f"{number:02x}" * 32, f"masked/acme/shot_{number % 2 + 1}.png", number) for number in range(12)]
        rows.append(row("ff" * 32, "masked/acme/shot_1.png", -1))
        journal.complete_plans([CompletedPlan("", tuple(rows), (), ())])
        looks = find_known_looks(journal, bundle, FOLDERS)
    assert len(looks) == MAX_LOOKS
    assert [look.sha256[:2] for look in looks] == ["0b", "0a", "09", "08", "07", "06", "05", "04"]
    assert {look.group: look.is_neighbour for look in looks} == {"acme/shot_1": False, "acme/shot_2": True}


def test_the_versions_of_its_own_campaign_come_first(tmp_path: Path) -> None:
    """A hundred other campaigns have a “hero” too, and theirs are newer."""
    bundle = Bundle(BundleKey("graded", "acme/spring", "hero copy.png"), "hero copy", picture="graded/acme/spring/hero copy.png")
    with contextlib.closing(Journal.open(tmp_path / "journal.db")) as journal:
        rows = [row("aa" * 32, "selected/acme/spring/hero.png", 0), row("bb" * 32, "masked/acme/spring/hero.png", 1)]
        rows += [row(f"{number:02x}" * 32, f"masked/campaign-{number}/hero.png", number) for number in range(2, 102)]
        journal.complete_plans([CompletedPlan("", tuple(rows), (), ())])
        looks = find_known_looks(journal, bundle, FOLDERS)
    assert [look.sha256[:2] for look in looks[:3]] == ["bb", "aa", "65"]
    assert len(looks) == MAX_LOOKS


def row(sha256: str, path: str, number: int) -> HistoryRow:
    """Return the row of a job that made a picture, with a look unless ``number`` is negative."""
    looks = {sha256: "0102"} if number >= 0 else {}
    record = {"outputs": [{"role": "picture", "tail": ".png", "sha256": sha256}]}
    return HistoryRow(
        job_id=f"job{number}", path="selected/x.png", sha256="e" * 64, started_at=0, stage="edit", outcome="passed",
        results=(path,), record=record, looks=looks,
    )  # fmt: skip
