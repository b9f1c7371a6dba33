"""Remarks about a picture reach people: the status file, ``why``, the log, the manifest and the preflight report have them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.commission import EXPORT, GRADE, PIPELINE, SELECT
from doubles.pictures import png
from doubles.studio import Studio, studio_at
from goldsmith.files import STATUS_FILE_NAME
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import CompletedPlan, HistoryRow
from goldsmith.picture.remarks import collect_remarks
from goldsmith.pipeline.status import remarked_pictures
from goldsmith.pipeline.status.remarked_pictures import RemarkedPictures

WRONG_NAME = "It is a PNG picture, although its name ends in .jpg."


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        yield studio


def status_of(studio: Studio, folder: str) -> str:
    path = studio.at(f"{folder}/{STATUS_FILE_NAME}")
    return path.read_text("utf-8-sig") if path.exists() else ""


def test_a_remark_is_in_the_status_file_as_long_as_the_picture_lies_there(studio: Studio) -> None:
    """It stays through the stages that follow and a restart; a picture that is taken away takes it along."""
    studio.put("inbox/acme/hero.jpg", png(1))
    studio.put("inbox/acme/hero.toml", SELECT + GRADE)
    studio.until(lambda: WRONG_NAME in status_of(studio, "graded"), "the remark")
    assert f"\nRemarks (1)\n  acme/hero.png\n      {WRONG_NAME}\n" in status_of(studio, "graded")
    assert "Remarks" not in status_of(studio, "selected")
    (committed, *_) = studio.events_of("committed", picture="inbox/acme/hero.jpg")
    assert WRONG_NAME in committed["remarks"]
    studio.at(f"graded/{STATUS_FILE_NAME}").unlink()
    studio.restart()
    studio.until(lambda: WRONG_NAME in status_of(studio, "graded"), "the remark after a restart")
    studio.at("graded/acme/hero.png").unlink()
    studio.until(lambda: "Remarks" not in status_of(studio, "graded"), "no remark any more")


def test_a_remark_is_in_the_manifest_and_in_the_report(studio: Studio) -> None:
    """Those of earlier stages and of the last one; a file without remarks has no such section."""
    brief = "generate = []\nedit = []\ngrade = []\n" + EXPORT + '[[deliver]]\nop = "check"\n'
    for name in ("inbox/hero.jpg", "graded/late.jpg", "inbox/plain.png"):
        studio.put(name, png(1))
        studio.put(f"{name.rpartition('.')[0]}.toml", brief)
    studio.until_idle()
    for stem in ("hero", "late"):
        assert f"<h2>About the picture</h2>\n<ul>\n<li>{WRONG_NAME}</li>\n</ul>" in studio.read(f"delivered/{stem}.report.html").decode()
    assert "About the picture" not in studio.read("delivered/plain.report.html").decode()
    stages = studio.manifest("delivered/hero.manifest.json")["stages"]
    assert [stage["facts"]["notes"] for stage in stages if stage["facts"].get("notes")] == [[WRONG_NAME[0].lower() + WRONG_NAME[1:-1]]]
    assert stages[-1]["remarks"] == [WRONG_NAME]
    assert "remarks" not in studio.manifest("delivered/plain.manifest.json")["stages"][-1]
    studio.until(lambda: len(studio.events_of("committed")) == 9, "all stages")
    assert studio.journal.remarks("delivered/hero_web.jpg") == [WRONG_NAME]
    assert studio.journal.remarks("delivered/plain_web.jpg") == []


def test_remarks_are_sentences_without_repetition() -> None:
    """Those of steps begin with the operation; findings of another form are left out."""
    steps = [("text", {"remark": "letters of 3 px cannot be read"}), ("check", {"remarks": ["soft", "soft", 3]}), ("grade", {"remark": {}})]
    assert collect_remarks(["it has 2 frames; the first is taken", "“a” is odd.", ""], steps) == [
        "It has 2 frames; the first is taken.",
        "“a” is odd.",
        "text: letters of 3 px cannot be read.",
        "check: soft.",
    ]
    assert collect_remarks(None, []) == []


def add_job(journal: Journal, number: int, results: tuple[str, ...], parent: int = 0, notes: list[str] | None = None) -> None:
    row = HistoryRow(
        job_id=f"j{number}",
        path=f"inbox/{number}.png",
        sha256="0" * 64,
        started_at=1.0,
        taken_at=float(number),
        stage="edit",
        outcome="passed",
        results=results,
        parent_job_id=f"j{parent}" if parent else "",
        record={"facts": {"notes": list(notes or [])}, "steps": []},
    )
    journal.complete_plans([CompletedPlan(f"j{number}", (row,), (), ())])


def test_remarks_follow_a_picture_and_leave_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new picture of the same name has none of them, and only the last jobs are remembered."""
    monkeypatch.setattr(remarked_pictures, "_MAX_JOBS", 3)
    journal = Journal.open(tmp_path / "a.db")
    remarked = RemarkedPictures(journal)
    add_job(journal, 1, ("selected/a.png", "selected/a.toml"), notes=["it is odd"])
    add_job(journal, 2, ("masked/a.png",), parent=1, notes=["it is odd", "it is large"])
    remarked.update()
    assert list(remarked.newest_in("masked")) == [("masked/a.png", ("It is odd.", "It is large."))]
    assert list(remarked.newest_in("selected")) == [("selected/a.png", ("It is odd.",))]
    add_job(journal, 3, ("selected/a.png",))
    remarked.update()
    assert list(remarked.newest_in("selected")) == []
    for number in range(4, 8):
        add_job(journal, number, (f"selected/{number}.png",), notes=["it is odd"])
    remarked.update()
    assert [path for path, _ in remarked.newest_in("selected")] == ["selected/7.png", "selected/6.png", "selected/5.png"]
    journal.close()
    remarked._journal = Journal.open(tmp_path / "b.db")
    add_job(remarked._journal, 9, ("selected/9.png",), notes=["it is odd"])
    remarked.update()
    assert next(remarked.newest_in("selected"))[0] == "selected/9.png"
    remarked._journal.close()
