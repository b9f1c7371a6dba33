"""The journal: what was written is there after a restart, also for a reader while the daemon writes."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from goldsmith.errors import HostError, UsageError
from goldsmith.files import FileSignature
from goldsmith.journal.journal import Journal
from goldsmith.journal.migrations import MIGRATIONS
from goldsmith.journal.records import (
    CompletedPlan,
    Consume,
    HistoryRow,
    PlacedFile,
    PlacedVersion,
    Plan,
    Publish,
)

SIG = FileSignature(2**63 + 5, 2**64 - 1, 3, 4, 5)
ODD = "selected/gru\u0308n \udcff\n.png"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a %?# folder" / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Journal:
    path.parent.mkdir()
    return Journal.open(path)


def _row(job: str = "j1", at: str = ODD, lineage: str = "", outcome: str = "passed") -> HistoryRow:
    data = {"job_id": job, "path": at, "sha256": "aa", "started_at": 1.0, "taken_at": 2.0, "stage": "edit", "outcome": outcome}
    return HistoryRow.model_validate({**data, "results": (ODD,), "parent_job_id": lineage, "record": {"seeds": [1, 2], "name": ODD}})


def _plan(job: str = "j1") -> Plan:
    puts = (Publish(source="/scratch/1", destination=ODD, sha256="bb", sig=SIG),)
    return Plan(
        id=f"p-{job}",
        job_id=job,
        stem="hero",
        consumes=(Consume(path=ODD, sig=SIG, sha256="aa", destination="archive/x"),),
        publishes=puts,
        history_row=_row(job),
    )


def test_a_plan_is_open_until_it_is_done(journal: Journal, path: Path) -> None:
    """It survives a restart to the letter; done, it has left history, placed files and versions instead."""
    journal.record_plans([_plan("j1"), _plan("j2")])
    journal.close()
    journal = Journal.open(path)
    assert not journal.is_new
    assert journal.open_plans() == [_plan("j1"), _plan("j2")]
    placed = PlacedFile(path=ODD, sig=SIG, sha256="bb", job_id="j1")
    journal.complete_plans([CompletedPlan("p-j1", (_row(),), (placed,), (PlacedVersion("masked", "her\udcff", 2),))])
    assert journal.open_plans() == [_plan("j2")]
    assert list(journal.history()) == [_row()]
    assert journal.placed_file(ODD) == placed
    assert journal.placed_file("elsewhere") is None
    assert journal.placed_versions("masked", "her\udcff") == {2}
    assert journal.placed_versions("graded", "her\udcff") == set()


def test_a_plan_can_be_changed_and_abandoned(journal: Journal) -> None:
    """Other names replace the first ones; abandoned, it leaves no history."""
    journal.record_plans([_plan()])
    other = _plan().model_copy(update={"stem": "hero_v002"})
    journal.update_plan(other)
    assert journal.open_plans() == [other]
    journal.abandon(["p-j1"])
    assert journal.open_plans() == []
    assert list(journal.history()) == []


def test_a_plan_never_waits_for_a_batch(journal: Journal, path: Path) -> None:
    """Recorded inside an open batch it is there for everybody at once, and the batch goes on after it."""
    reader = Journal.open(path, read_only=True)
    with journal.batch():
        journal.record_queued("j1", "edit", "cpu", ODD, 1.0)
        assert reader.active_jobs() == []
        journal.record_plans([_plan()])
        assert reader.open_plans() == [_plan()]
        journal.record_started("j1", 2.0, 3.0)
        assert reader.active_jobs()[0].started_at is None
    assert reader.active_jobs()[0].started_at == 2.0


def test_a_batch_that_breaks_leaves_nothing(journal: Journal) -> None:
    """All of it or none of it."""
    with contextlib.suppress(KeyError), journal.batch():
        journal.record_queued("j1", "edit", "cpu", ODD, 1.0)
        raise KeyError
    assert journal.active_jobs() == []
    journal.record_queued("j2", "edit", "cpu", ODD, 1.0)
    assert [job.job_id for job in journal.active_jobs()] == ["j2"]


def test_the_queue_is_told_in_order(journal: Journal) -> None:
    """Queued, started, in progress, withdrawn; and the next daemon starts with an empty one."""
    for name in ("b", "a", "c"):
        journal.record_queued(name, "edit", "gpu", ODD, 1.0)
    journal.record_progress("a", 2, "inpaint", 0.5, "tile 3", 9.0)
    journal.remove_job("c")
    first, second = journal.active_jobs()
    assert (first.job_id, first.path, first.step) == ("b", ODD, 0)
    assert (second.job_id, second.step, second.op, second.fraction, second.note, second.lease_until) == (
        "a",
        2,
        "inpaint",
        0.5,
        "tile 3",
        9.0,
    )
    journal.record_started("b", 2.0, 5.0)
    journal.renew_lease("b", 7.0)
    (first, second) = journal.active_jobs()
    assert [first.lease_expired(now) for now in (4.0, 7.0, 7.5)] == [False, False, True]
    assert second.lease_expired(99.0) is False, "it only waits"
    assert [job.job_id for job in journal.clear_active_jobs()] == ["b", "a"]
    assert journal.active_jobs() == []


def test_attempts_are_counted_for_the_very_bytes(journal: Journal) -> None:
    """Other bytes at the same place are new work; a release forgets them all."""
    assert [journal.count_attempt(ODD, "f1"), journal.count_attempt(ODD, "f1"), journal.count_attempt(ODD, "f2")] == [1, 2, 1]
    journal.release_hold(ODD)
    assert journal.attempt_count(ODD, "f1") == 0


def test_a_hold_is_kept_until_released(journal: Journal) -> None:
    """With its sentence, its remedy and where the note lies; a second one replaces the first."""
    journal.record_hold(ODD, "f1", "It is broken.", "Send it again.", ODD + ".problem.txt", 5.0)
    journal.record_hold(ODD, "f2", "It is still broken.", "", "", 6.0)
    held = journal.hold_at(ODD)
    assert held is not None
    assert (held.path, held.fingerprint, held.sentence, held.since) == (ODD, "f2", "It is still broken.", 6.0)
    assert journal.all_holds() == [held]
    journal.release_hold(ODD)
    assert journal.hold_at(ODD) is None


def test_history_is_told_oldest_first(journal: Journal) -> None:
    """All of it, or that of one path."""
    journal.record_problem(_row("j1", "selected/a.png", outcome="problem"))
    journal.record_problem(_row("j2", "selected/b.png", outcome="problem"))
    assert [row.job_id for row in journal.history()] == ["j1", "j2"]
    assert [row.job_id for row in journal.history("selected/b.png")] == ["j2"]


def test_the_chain_is_an_assets_whole_way(journal: Journal) -> None:
    """From the person's file to the job asked for; problems on the way and other assets are not in it."""
    rows = [_row("j0", lineage=""), _row("j1", lineage=""), _row("j2", lineage="j1"), _row("j3", lineage="j2")]
    journal.complete_plans([CompletedPlan("", tuple(rows), (), ())])
    journal.record_problem(_row("j3", lineage="j2", outcome="problem"))
    assert [row.job_id for row in journal.lineage("j3")] == ["j1", "j2", "j3"]
    assert journal.lineage("nobody") == []


def test_a_reader_needs_a_journal(path: Path) -> None:
    """Reading makes no file, and says what to do."""
    with pytest.raises(UsageError, match="no journal"):
        Journal.open(path, read_only=True)


def test_a_reader_cannot_write(journal: Journal, path: Path) -> None:
    """Not by accident either."""
    journal.record_queued("a", "edit", "gpu", ODD, 1.0)
    reader = Journal.open(path, read_only=True)
    with pytest.raises(HostError, match="readonly"):
        reader.clear_active_jobs()


def test_a_reader_works_after_the_daemon_has_gone(journal: Journal, path: Path) -> None:
    """The log has been folded into the file then."""
    journal.record_plans([_plan()])
    journal.close()
    assert Journal.open(path, read_only=True).open_plans() == [_plan()]


def test_a_newer_journal_is_left_alone(journal: Journal, path: Path) -> None:
    """An older program says so instead of guessing."""
    journal.close()
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO migration VALUES ('from the future', 0)")
    db.close()
    with pytest.raises(UsageError, match="newer Goldsmith"):
        Journal.open(path)


def test_an_older_journal_is_brought_up_to_date(journal: Journal, path: Path) -> None:
    """Only the steps it lacks are taken; a reader does not take them."""
    journal.record_problem(_row())
    journal.close()
    with sqlite3.connect(path) as db:
        db.executescript("DROP TABLE live; DROP TABLE attempt; DROP TABLE held")
        db.execute("DELETE FROM migration WHERE name = ?", (MIGRATIONS[2][0],))
    db.close()
    with pytest.raises(UsageError, match="not up to date"):
        Journal.open(path, read_only=True)
    journal = Journal.open(path)
    assert not journal.is_new
    assert journal.active_jobs() == []
    assert list(journal.history()) == [_row()]


def test_a_broken_journal_says_what_to_do(path: Path) -> None:
    """The folders are the truth: it may simply be moved away."""
    path.parent.mkdir()
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(HostError, match="Move that file away"):
        Journal.open(path)


def test_a_journal_nowhere_is_the_machines_fault(tmp_path: Path) -> None:
    """A missing folder is said with the file's name."""
    with pytest.raises(HostError, match="cannot be used"):
        Journal.open(tmp_path / "missing" / "journal.sqlite")
