"""The journal: one SQLite file in WAL mode with the open plans, the history, the queued and running jobs, and the holds.

Plans and history are written with ``synchronous = FULL``, so a recorded plan survives a power loss. The queued and running jobs are
written with ``synchronous = NORMAL``, because the folders hold the same information. One thread writes; any number of processes may
read.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from goldsmith.errors import HostError, UsageError
from goldsmith.files import FileSignature
from goldsmith.journal.migrations import migrate, pending_migrations
from goldsmith.journal.records import (
    ActiveJob,
    CompletedPlan,
    HistoryRow,
    HoldRecord,
    PlacedFile,
    Plan,
)

_INSERT_HISTORY = (
    "INSERT INTO history (job_id, path, sha256, started_at, taken_at, stage, outcome, results, parent_job_id, record) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class Journal:
    """The record of one root. Every method raises HostError if the disk fails."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self.path = path
        self._batching = False

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Journal:
        """Open the journal at ``path`` and create the file if it is missing.

        With ``read_only`` no file is created; reading works while a daemon writes. Raises UsageError if there is no journal to read, or
        if its tables are those of another version, and HostError if the file cannot be opened.
        """
        if read_only and not path.exists():
            raise UsageError(f"There is no journal at {path} yet.", "Start `goldsmith run` on this root first.")
        mode = "ro" if read_only else "rwc"
        with _translate_errors(path):
            db = sqlite3.connect(f"file:{quote(os.fsencode(path))}?mode={mode}", uri=True, isolation_level=None, timeout=5.0)
            try:
                if read_only:
                    _require_current_tables(db, path)
                else:
                    _prepare_writing(db)
            except BaseException:
                db.close()
                raise
        return cls(db, path)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Write the records made inside the block in one transaction. Plans do not wait for its end: each is written at once."""
        if self._batching:
            yield
            return
        with self._transaction():
            self._batching = True
            try:
                yield
            finally:
                self._batching = False

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Run the block in one transaction, or as part of the open batch."""
        with _translate_errors(self.path):
            if self._batching:
                yield self._db
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _durable_transaction(self) -> Iterator[sqlite3.Connection]:
        """Run the block in one transaction that is on the disk when the block ends. An open batch is committed first."""
        batching, self._batching = self._batching, False
        try:
            with _translate_errors(self.path):
                if batching:
                    self._db.execute("COMMIT")
                self._db.execute("PRAGMA synchronous = FULL")
            with self._transaction() as db:
                yield db
        finally:
            self._batching = batching
            with _translate_errors(self.path):
                self._db.execute("PRAGMA synchronous = NORMAL")
                if batching:
                    self._db.execute("BEGIN IMMEDIATE")

    # ------------------------------------------------------------------ queued and running jobs, for `status` and `why`

    def record_queued(self, job_id: str, stage: str, queue: str, picture_path: str, now: float) -> None:
        """Record that a job waits in a queue. ``now`` is in Unix seconds."""
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO active_job (job_id, stage, queue, path, queued_at) VALUES (?, ?, ?, ?, ?)",
                (job_id, stage, queue, os.fsencode(picture_path), now),
            )

    def record_started(self, job_id: str, now: float, lease_until: float) -> None:
        """Record that a worker has begun the job. Readers trust the row until ``lease_until``, in Unix seconds."""
        with self._transaction() as db:
            db.execute("UPDATE active_job SET started_at = ?, lease_until = ? WHERE job_id = ?", (now, lease_until, job_id))

    def record_progress(self, job_id: str, step: int, op: str, fraction: float, note: str, lease_until: float) -> None:
        """Record how far the job is, and extend its lease."""
        with self._transaction() as db:
            db.execute(
                "UPDATE active_job SET step = ?, op = ?, fraction = ?, note = ?, lease_until = ? WHERE job_id = ?",
                (step, op, fraction, note, lease_until, job_id),
            )

    def renew_lease(self, job_id: str, lease_until: float) -> None:
        """Extend the lease of a job whose worker is done, while the daemon commits its results."""
        with self._transaction() as db:
            db.execute("UPDATE active_job SET lease_until = ? WHERE job_id = ?", (lease_until, job_id))

    def remove_job(self, job_id: str) -> None:
        """Remove a job that is done or withdrawn."""
        with self._transaction() as db:
            db.execute("DELETE FROM active_job WHERE job_id = ?", (job_id,))

    def active_jobs(self) -> list[ActiveJob]:
        """Return the jobs that wait or run, in the order in which they were queued."""
        with _translate_errors(self.path):
            return [_to_active_job(row) for row in self._db.execute("SELECT * FROM active_job ORDER BY seq")]

    def clear_active_jobs(self) -> list[ActiveJob]:
        """Remove the jobs that a daemon left behind when it ended, and return them.

        Leases do not matter here. Only one daemon holds a root and its workers end with it, so the next daemon knows that every row
        is out of date. A lease is for readers, which cannot know that.
        """
        jobs = self.active_jobs()
        with self._transaction() as db:
            db.execute("DELETE FROM active_job")
        return jobs

    # ------------------------------------------------------------------ attempts and holds

    def attempt_count(self, path: str, fingerprint: str) -> int:
        """Return how often a worker crashed, timed out or ran out of memory over exactly these bytes."""
        with _translate_errors(self.path):
            cursor = self._db.execute("SELECT count FROM attempt WHERE path = ? AND fingerprint = ?", (os.fsencode(path), fingerprint))
            row = cursor.fetchone()
        return int(row[0]) if row else 0

    def count_attempt(self, path: str, fingerprint: str) -> int:
        """Count one failed attempt and return the new count."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO attempt VALUES (?, ?, 1) ON CONFLICT (path, fingerprint) DO UPDATE SET count = count + 1",
                (os.fsencode(path), fingerprint),
            )
        return self.attempt_count(path, fingerprint)

    def record_hold(self, path: str, fingerprint: str, sentence: str, remedy: str, note_path: str, now: float) -> None:
        """Record a hold on the asset at ``path``; it replaces an earlier one. ``now`` is in Unix seconds."""
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO hold VALUES (?, ?, ?, ?, ?, ?)",
                (os.fsencode(path), fingerprint, sentence, remedy, os.fsencode(note_path), now),
            )

    def all_holds(self) -> list[HoldRecord]:
        """Return every hold, the oldest first."""
        with _translate_errors(self.path):
            return [_to_hold(row) for row in self._db.execute("SELECT * FROM hold ORDER BY since, path")]

    def release_hold(self, path: str) -> None:
        """Delete the hold at ``path`` and the count of its failed attempts."""
        with self._transaction() as db:
            db.execute("DELETE FROM hold WHERE path = ?", (os.fsencode(path),))
            db.execute("DELETE FROM attempt WHERE path = ?", (os.fsencode(path),))

    # ------------------------------------------------------------------ plans

    def record_plans(self, plans: Sequence[Plan]) -> None:
        """Record plans before they are carried out. They are on the disk when the call returns."""
        rows = [(plan.id, _to_json(plan.model_dump())) for plan in plans]
        with self._durable_transaction() as db:
            db.executemany("INSERT INTO plan (id, body) VALUES (?, ?)", rows)

    def update_plan(self, plan: Plan) -> None:
        """Replace an open plan of which nothing has been carried out, to give it other destinations."""
        with self._durable_transaction() as db:
            db.execute("UPDATE plan SET body = ? WHERE id = ?", (_to_json(plan.model_dump()), plan.id))

    def complete_plans(self, completed: Sequence[CompletedPlan]) -> None:
        """Delete carried-out plans and record their history, placed files and versions in the same transaction."""
        with self._durable_transaction() as db:
            db.executemany("DELETE FROM plan WHERE id = ?", [(plan.plan_id,) for plan in completed])
            db.executemany(_INSERT_HISTORY, [_history_values(row) for plan in completed for row in plan.history_rows])
            db.executemany(
                "INSERT OR REPLACE INTO placed_file VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (os.fsencode(file.path), *map(_to_signed64, file.sig), file.sha256, file.job_id)
                    for plan in completed
                    for file in plan.placed_files
                ],
            )
            db.executemany(
                "INSERT OR IGNORE INTO placed_version VALUES (?, ?, ?)",
                [
                    (os.fsencode(version.folder), os.fsencode(version.stem), version.number)
                    for plan in completed
                    for version in plan.versions
                ],
            )

    def open_plans(self) -> list[Plan]:
        """Return the plans that are not complete, in the order in which they were recorded."""
        with _translate_errors(self.path):
            bodies = [row[0] for row in self._db.execute("SELECT body FROM plan ORDER BY seq")]
        return [Plan.model_validate(json.loads(body)) for body in bodies]

    def placed_file(self, path: str) -> PlacedFile | None:
        """Return the file that the daemon last placed at ``path``, or None. The caller checks whether it is still there."""
        with _translate_errors(self.path):
            row = self._db.execute("SELECT * FROM placed_file WHERE path = ?", (os.fsencode(path),)).fetchone()
        if row is None:
            return None
        sig = FileSignature(*(number & 0xFFFF_FFFF_FFFF_FFFF for number in row[1:3]), *row[3:6])
        return PlacedFile(path=path, sig=sig, sha256=row[6], job_id=row[7])

    def placed_versions(self, folder: str, stem: str) -> set[int]:
        """Return the number of every version of an asset that was ever placed in ``folder``, even if the file has moved on.

        ``stem`` is folded (``fold_name``) and has no version.
        """
        with _translate_errors(self.path):
            query = "SELECT number FROM placed_version WHERE folder = ? AND stem = ?"
            return {int(row[0]) for row in self._db.execute(query, (os.fsencode(folder), os.fsencode(stem)))}

    # ------------------------------------------------------------------ history

    def record_problem(self, row: HistoryRow) -> None:
        """Record that an input has a problem and stays where it is."""
        with self._transaction() as db:
            db.execute(_INSERT_HISTORY, _history_values(row))

    def history(self, path: str | None = None) -> Iterator[HistoryRow]:
        """Yield the history rows of all inputs, or of the inputs at one path, the oldest first."""
        at = None if path is None else os.fsencode(path)
        with _translate_errors(self.path):
            everything = "SELECT * FROM history ORDER BY seq"
            cursor = self._db.execute("SELECT * FROM history WHERE path = ? ORDER BY seq", (at,)) if at else self._db.execute(everything)
            for row in cursor:
                yield _to_history_row(row)

    def lineage(self, job_id: str) -> list[HistoryRow]:
        """Return the jobs that led to ``job_id``, that job last: each row made the input of the next one."""
        rows: list[HistoryRow] = []
        visited_ids: set[str] = set()
        while job_id and job_id not in visited_ids:
            visited_ids.add(job_id)
            with _translate_errors(self.path):
                row = self._db.execute(
                    "SELECT * FROM history WHERE job_id = ? AND outcome IN ('passed', 'delivered') ORDER BY seq DESC", (job_id,)
                ).fetchone()
            if row is None:
                break
            rows.append(_to_history_row(row))
            job_id = rows[-1].parent_job_id
        return rows[::-1]


@contextlib.contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    """Raise HostError in place of an SQLite error: the disk or the file is at fault, never a picture."""
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.IntegrityError):
        raise
    except sqlite3.DatabaseError as error:
        is_corrupt = "malformed" in str(error) or "not a database" in str(error)
        remedy = (
            "Move that file away and start again. The pictures are safe in the folders; only the history is lost."
            if is_corrupt
            else "Check its disk: free space, mount and permissions."
        )
        raise HostError(f"The journal {path} cannot be used: {error}.", remedy) from error


def _prepare_writing(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    migrate(db)
    db.execute("PRAGMA synchronous = NORMAL")


def _require_current_tables(db: sqlite3.Connection, path: Path) -> None:
    """Raise UsageError if a migration is missing: a reader cannot run it."""
    if pending := pending_migrations(db):
        raise UsageError(
            f"The journal {path} is not up to date (it lacks {pending[0]!r}).", "Start `goldsmith run` with this version once."
        )


def _to_json(value: object) -> str:
    """Return the value as ASCII JSON: file names with undecodable bytes hold surrogates, which UTF-8 cannot encode."""
    return json.dumps(value, separators=(",", ":"))


def _to_signed64(number: int) -> int:
    """Return the number as SQLite stores it: inode and device numbers are unsigned 64-bit, SQLite's integers signed."""
    return number - (1 << 64) if number >= 1 << 63 else number


def _history_values(row: HistoryRow) -> tuple[object, ...]:
    return (
        *(row.job_id, os.fsencode(row.path), row.sha256, row.started_at, row.taken_at, row.stage, row.outcome),
        *(_to_json(row.results), row.parent_job_id, _to_json(row.record)),
    )


def _to_history_row(row: tuple[Any, ...]) -> HistoryRow:
    _, job_id, path, sha256, started_at, taken_at, stage, outcome, results, parent_job_id, record = row
    return HistoryRow(
        job_id=job_id,
        path=os.fsdecode(path),
        sha256=sha256,
        started_at=started_at,
        taken_at=taken_at,
        stage=stage,
        outcome=outcome,
        results=tuple(json.loads(results)),
        parent_job_id=parent_job_id,
        record=json.loads(record),
    )


def _to_active_job(row: tuple[Any, ...]) -> ActiveJob:
    job = ActiveJob(*row[1:])
    return job._replace(path=os.fsdecode(job.path))


def _to_hold(row: tuple[Any, ...]) -> HoldRecord:
    hold = HoldRecord(*row)
    return hold._replace(path=os.fsdecode(hold.path), note_path=os.fsdecode(hold.note_path))
