"""The commands that read a broken journal say so, and show what the folders alone say."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from doubles.broken_journal import break_open_journal
from doubles.commandline import Goldsmith
from goldsmith.cli import diagnostics
from goldsmith.journal.damage import set_aside
from goldsmith.journal.journal import Journal
from goldsmith.journal.location import journal_path
from goldsmith.journal.records import HistoryRow


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the GPU checks, which would import torch."""
    monkeypatch.setattr(diagnostics, "check_gpu", lambda: iter(()))


@pytest.fixture
def broken(root: Path, journal: Journal, tmp_path: Path) -> Path:
    """Return the path of a journal that is no database."""
    journal.close()
    path = journal_path(root, tmp_path / "state")
    path.write_bytes(b"noise" * 5000)
    return path


def test_why_and_status_say_that_the_journal_is_broken(goldsmith: Goldsmith, root: Path, broken: Path) -> None:
    """Both still answer from the folders."""
    (root / "inbox" / "hero.png").write_bytes(b"x")
    result = goldsmith("why", "inbox/hero.png", "-r", root)
    assert result.code == 0
    assert "Waiting for an instruction" in result.out.splitlines()[0]
    assert f"without the journal. The journal {broken} is broken: file is not a database." in result.out
    result = goldsmith("status", "-r", root)
    assert result.code == 0
    assert f"The journal {broken} is broken" in result.out
    assert any(row[0] == "inbox/" for row in result.rows)


def test_a_journal_that_fails_while_it_is_read_is_said_too(goldsmith: Goldsmith, root: Path, journal: Journal, tmp_path: Path) -> None:
    """The history is damaged, and no start reads it: `why` and `status` answer from the folders, `history` ends with the reason."""
    for number in range(50):
        row = HistoryRow(
            job_id=str(number),
            path="inbox/gone.png",
            sha256="aa",
            started_at=1.0,
            stage="edit",
            outcome="passed",
            record={"text": "x" * 9000},
        )
        journal.record_problem(row)
    journal.close()
    path = journal_path(root, tmp_path / "state")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\x5a" * (size - size // 2))
    result = goldsmith("why", "inbox/gone.png", "-r", root)
    assert result.code == 0
    assert "without the journal" in result.out
    assert goldsmith("status", "-r", root).code == 0
    result = goldsmith("history", "-r", root)
    assert (result.code, "is broken" in result.err) == (4, True)
    findings = {each["subject"]: each for each in json.loads(goldsmith("doctor", "--json", "-r", root).out)}
    assert findings["journal"]["severity"] == "fault"
    assert "is broken" in findings["journal"]["sentence"]


def test_why_says_nothing_of_a_journal_that_does_not_exist_yet(goldsmith: Goldsmith, root: Path) -> None:
    """Before the first start there is no journal, and that is no fault."""
    (root / "inbox" / "hero.png").write_bytes(b"x")
    assert len(goldsmith("why", "inbox/hero.png", "-r", root).out.splitlines()) == 1


def test_doctor_reads_the_whole_journal(goldsmith: Goldsmith, root: Path, journal: Journal, tmp_path: Path) -> None:
    """A sound journal is ok, a broken one is a fault with a remedy."""
    findings = {each["subject"]: each for each in json.loads(goldsmith("doctor", "--json", "-r", root).out)}
    assert (findings["journal"]["severity"], "its content is sound" in findings["journal"]["sentence"]) == ("ok", True)
    break_open_journal(journal_path(root, tmp_path / "state"))
    result = goldsmith("doctor", "--json", "-r", root)
    findings = {each["subject"]: each for each in json.loads(result.out)}
    assert (findings["journal"]["severity"], result.code) == ("fault", 4)
    assert "sets it aside by itself" in findings["journal"]["remedy"]


def test_a_large_journal_is_checked_in_part(
    goldsmith: Goldsmith, root: Path, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check has a limit of time, and says that it stopped."""
    for number in range(50):
        journal.record_hold(f"inbox/{number}.png", "f", "It is broken.", "", "", 1.0)
    monkeypatch.setattr("goldsmith.cli.journal_checks._MAX_CHECK_SECONDS", 0.0)
    findings = {each["subject"]: each for each in json.loads(goldsmith("doctor", "--json", "-r", root).out)}
    assert "no fault in the part of it that was read" in findings["journal"]["sentence"]


def test_a_journal_that_was_set_aside_is_shown_until_somebody_removes_it(goldsmith: Goldsmith, root: Path, broken: Path) -> None:
    """`status`, its JSON and `doctor` name the file."""
    kept = set_aside(broken, time.time())
    Journal.open(broken).close()
    assert f"is kept as {kept}" in goldsmith("status", "-r", root).out
    assert json.loads(goldsmith("status", "--json", "-r", root).out)["broken_journals"] == [str(kept)]
    findings = {each["subject"]: each for each in json.loads(goldsmith("doctor", "--json", "-r", root).out)}
    assert (findings["broken journal"]["severity"], findings["journal"]["severity"]) == ("note", "ok")
    assert str(kept) in findings["broken journal"]["sentence"]
    kept.unlink()
    assert "is kept as" not in goldsmith("status", "-r", root).out
