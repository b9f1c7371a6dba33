"""The journal keeps its records across a restart, and a reader sees them while the daemon writes."""

from __future__ import annotations

import contextlib
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

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

SIGNATURE = FileSignature(2**63 + 5, 2**64 - 1, 3, 4, 5)
ODD_PATH = "selected/gru\u0308n \udcff\n.png"
# Values of PRAGMA synchronous.
NORMAL, FULL = 1, 2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a %?# folder" / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Journal:
    path.parent.mkdir()
    return Journal.open(path)


def _row(job: str = "j1", path: str = ODD_PATH, parent: str = "", outcome: str = "passed") -> HistoryRow:
    data = {"job_id": job, "path": path, "sha256": "aa", "started_at": 1.0, "taken_at": 2.0, "stage": "edit", "outcome": outcome}
    return HistoryRow.model_validate(
        {**data, "results": (ODD_PATH,), "parent_job_id": parent, "record": {"seeds": [1, 2], "name": ODD_PATH}}
    )


def _plan(job: str = "j1") -> Plan:
    return Plan(
        id=f"p-{job}",
        job_id=job,
        stem="hero",
        consumes=(Consume(path=ODD_PATH, sig=SIGNATURE, sha256="aa", destination="archive/x"),),
        publishes=(Publish(source="/scratch/1", destination=ODD_PATH, sha256="bb", sig=SIGNATURE),),
        history_row=_row(job),
    )


def test_a_plan_is_open_until_it_is_complete(journal: Journal, path: Path) -> None:
    """Check that a plan survives a restart unchanged; its completion leaves history, placed files and versions."""
    journal.record_plans([_plan("j1"), _plan("j2")])
    journal.close()
    journal = Journal.open(path)
    assert journal.open_plans() == [_plan("j1"), _plan("j2")]
    placed = PlacedFile(path=ODD_PATH, sig=SIGNATURE, sha256="bb", job_id="j1")
    journal.complete_plans([CompletedPlan("p-j1", (_row(),), (placed,), (PlacedVersion("masked", "her\udcff", 2, "her\udcff.png"),))])
    assert journal.open_plans() == [_plan("j2")]
    assert list(journal.history()) == [_row()]
    assert journal.placed_file(ODD_PATH) == placed
    assert journal.placed_file("elsewhere") is None
    assert journal.placed_versions("masked", "her\udcff") == {2}
    assert journal.placed_versions("graded", "her\udcff") == set()
    assert journal.placed_sources("masked", "her\udcff") == {"her\udcff.png"}
    assert journal.placed_sources("graded", "her\udcff") == set()


def test_an_open_plan_can_be_changed(journal: Journal) -> None:
    """Check that the new destinations replace the first ones, and that no history is written."""
    journal.record_plans([_plan()])
    changed = _plan().model_copy(update={"stem": "hero_v002"})
    journal.update_plan(changed)
    assert journal.open_plans() == [changed]
    assert list(journal.history()) == []


def test_a_plan_never_waits_for_a_batch(journal: Journal, path: Path) -> None:
    """Record a plan inside an open batch: readers see it at once, and the batch continues."""
    reader = Journal.open(path, read_only=True)
    with journal.batch():
        journal.record_queued("j1", "edit", "cpu", ODD_PATH, 1.0)
        assert reader.active_jobs() == []
        journal.record_plans([_plan()])
        assert reader.open_plans() == [_plan()]
        journal.record_started("j1", 2.0, 3.0)
        assert reader.active_jobs()[0].started_at is None
    assert reader.active_jobs()[0].started_at == 2.0


class CommitRecorder(sqlite3.Connection):
    """A connection that records the level of PRAGMA synchronous at each COMMIT."""

    commit_levels: list[int]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.commit_levels = []

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        """Run a statement; before a COMMIT, read the level back from SQLite."""
        if sql == "COMMIT":
            self.commit_levels.append(super().execute("PRAGMA synchronous").fetchone()[0])
        return super().execute(sql, parameters)

    def take_levels(self) -> list[int]:
        """Return the levels since the last call."""
        levels, self.commit_levels = self.commit_levels, []
        return levels


def test_plans_and_history_are_committed_with_synchronous_full(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the level at each COMMIT: FULL for migrations, plans and their completion, NORMAL for queued jobs."""
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=CommitRecorder))
    path.parent.mkdir()
    journal = Journal.open(path)
    recorder = journal._db
    assert isinstance(recorder, CommitRecorder)
    assert recorder.take_levels() == [FULL] * len(MIGRATIONS)
    journal.record_queued("j1", "edit", "cpu", ODD_PATH, 1.0)
    assert recorder.take_levels() == [NORMAL]
    journal.record_plans([_plan()])
    journal.update_plan(_plan())
    journal.complete_plans([CompletedPlan("p-j1", (_row(),), (), ())])
    assert recorder.take_levels() == [FULL] * 3
    with journal.batch():
        journal.record_queued("j2", "edit", "cpu", ODD_PATH, 1.0)
        journal.record_plans([_plan("j2")])
        journal.record_started("j2", 2.0, 3.0)
    assert recorder.take_levels() == [NORMAL, FULL, NORMAL], "the open batch, the plan, the rest of the batch"


def test_the_journal_uses_a_write_ahead_log(journal: Journal, path: Path) -> None:
    """Read the mode back on another connection: WAL, so that readers never block the daemon."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_failed_batch_leaves_no_record(journal: Journal) -> None:
    """Raise inside a batch: the records of the batch are rolled back, and later records are kept."""
    with contextlib.suppress(KeyError), journal.batch():
        journal.record_queued("j1", "edit", "cpu", ODD_PATH, 1.0)
        raise KeyError
    assert journal.active_jobs() == []
    journal.record_queued("j2", "edit", "cpu", ODD_PATH, 1.0)
    assert [job.job_id for job in journal.active_jobs()] == ["j2"]


def test_active_jobs_are_listed_in_the_order_they_were_queued(journal: Journal) -> None:
    """Queue, start, advance and withdraw jobs; the next daemon starts with none."""
    for name in ("b", "a", "c"):
        journal.record_queued(name, "edit", "gpu", ODD_PATH, 1.0)
    journal.record_progress("a", 2, "inpaint", 0.5, "tile 3", 9.0)
    journal.remove_job("c")
    first, second = journal.active_jobs()
    assert (first.job_id, first.path, first.step) == ("b", ODD_PATH, 0)
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
    assert second.lease_expired(99.0) is False, "a waiting job has no lease"
    assert [job.job_id for job in journal.clear_active_jobs()] == ["b", "a"]
    assert journal.active_jobs() == []


def test_attempts_are_counted_for_each_fingerprint(journal: Journal) -> None:
    """Check that other bytes at the same path start a new count, and that a release clears the counts of the path."""
    counts = [journal.count_attempt(ODD_PATH, fingerprint) for fingerprint in ("f1", "f1", "f2")]
    assert counts == [1, 2, 1]
    journal.release_hold(ODD_PATH)
    assert journal.attempt_count(ODD_PATH, "f1") == 0


def test_a_hold_is_kept_until_released(journal: Journal) -> None:
    """Record two holds at one path: the second replaces the first."""
    journal.record_hold(ODD_PATH, "f1", "It is broken.", "Send it again.", ODD_PATH + ".problem.txt", 5.0)
    journal.record_hold(ODD_PATH, "f2", "It is still broken.", "", "", 6.0)
    (hold,) = journal.all_holds()
    assert (hold.path, hold.fingerprint, hold.sentence, hold.since) == (ODD_PATH, "f2", "It is still broken.", 6.0)
    journal.release_hold(ODD_PATH)
    assert journal.all_holds() == []


def test_the_history_begins_with_the_oldest_row(journal: Journal) -> None:
    """Read the whole history, and the history of one path."""
    journal.record_problem(_row("j1", "selected/a.png", outcome="problem"))
    journal.record_problem(_row("j2", "selected/b.png", outcome="problem"))
    assert [row.job_id for row in journal.history()] == ["j1", "j2"]
    assert [row.job_id for row in journal.history("selected/b.png")] == ["j2"]


def test_the_lineage_of_a_job_begins_with_the_persons_file(journal: Journal) -> None:
    """Check that problems and other pictures are left out."""
    rows = [_row("j0"), _row("j1"), _row("j2", parent="j1"), _row("j3", parent="j2")]
    journal.complete_plans([CompletedPlan("", tuple(rows), (), ())])
    journal.record_problem(_row("j3", parent="j2", outcome="problem"))
    assert [row.job_id for row in journal.lineage("j3")] == ["j1", "j2", "j3"]
    assert journal.lineage("nobody") == []


def test_a_reader_needs_an_existing_journal(path: Path) -> None:
    """Open a missing journal for reading: no file is created."""
    with pytest.raises(UsageError, match="no journal"):
        Journal.open(path, read_only=True)
    assert not path.exists()


def test_a_reader_cannot_write(journal: Journal, path: Path) -> None:
    """Call a writing method on a reader's journal."""
    journal.record_queued("a", "edit", "gpu", ODD_PATH, 1.0)
    reader = Journal.open(path, read_only=True)
    with pytest.raises(HostError, match="readonly"):
        reader.clear_active_jobs()


def test_a_reader_works_after_the_daemon_has_ended(journal: Journal, path: Path) -> None:
    """Read after the write-ahead log has been merged into the file."""
    journal.record_plans([_plan()])
    journal.close()
    assert Journal.open(path, read_only=True).open_plans() == [_plan()]


def test_a_journal_of_a_newer_version_is_refused(journal: Journal, path: Path) -> None:
    """Open a journal that has a migration which this version does not know."""
    journal.close()
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO migration VALUES ('from the future', 0)")
    db.close()
    with pytest.raises(UsageError, match="newer Goldsmith"):
        Journal.open(path)


def test_a_journal_of_an_older_version_is_migrated(journal: Journal, path: Path) -> None:
    """Check that only the missing migrations run, and that a reader runs none."""
    journal.record_problem(_row())
    journal.close()
    with sqlite3.connect(path) as db:
        db.executescript("DROP TABLE active_job; DROP TABLE attempt; DROP TABLE hold")
        db.executescript(
            "DROP TABLE history_file; DROP TABLE prune; DROP TABLE kept_part; DROP INDEX history_parent; DROP INDEX history_taken"
        )
        db.executescript("DROP INDEX placed_file_job; DROP INDEX history_name; ALTER TABLE history DROP COLUMN name")
        db.executescript("ALTER TABLE placed_version DROP COLUMN source; DROP TABLE picture_version")
        db.executemany("DELETE FROM migration WHERE name = ?", [(name,) for name, _ in MIGRATIONS[2:]])
    db.close()
    with pytest.raises(UsageError, match="not up to date"):
        Journal.open(path, read_only=True)
    journal = Journal.open(path)
    assert journal.active_jobs() == []
    assert list(journal.history()) == [_row()]
    assert list(journal.related_rows([ODD_PATH])) == [_row()], "the files of the old rows are in the new index"
    assert journal.last_path_named(ODD_PATH.upper().rpartition("/")[2]) == ODD_PATH


def test_a_journal_in_a_missing_folder_is_a_host_error(tmp_path: Path) -> None:
    """Check that the error names the file."""
    with pytest.raises(HostError, match=r"journal\.sqlite cannot be used"):
        Journal.open(tmp_path / "missing" / "journal.sqlite")
