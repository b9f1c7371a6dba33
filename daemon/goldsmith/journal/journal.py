"""The journal: one sqlite file in WAL mode that says what was intended, what was done, what waits and what is wrong.

Plans and history are written with synchronous=FULL (a plan that is recorded survives power loss); the mirror of the queue, which
the folders can always tell again, with synchronous=NORMAL. One thread writes; any number of others may read.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
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
    "INSERT INTO history (job_id, path, sha256, started_at, taken_at, stage, outcome, results, lineage, record) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class Journal:
    """The record of one root. Every method raises HostError where the disk under it fails."""

    def __init__(self, connection: sqlite3.Connection, path: Path, *, fresh: bool) -> None:
        self._db = connection
        self.path = path
        # True where the file was made by this very opening: nothing of the past is known.
        self.is_new = fresh
        self._batching = False

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Journal:
        """Open the journal at ``path``, made where it is missing unless ``read_only`` (which works while a daemon writes)."""
        if read_only and not path.exists():
            raise UsageError(f"There is no journal at {path} yet.", "Start `goldsmith run` on this root first.")
        mode = "ro" if read_only else "rwc"
        with _translate_errors(path):
            db = sqlite3.connect(f"file:{quote(os.fsencode(path))}?mode={mode}", uri=True, isolation_level=None, timeout=5.0)
            try:
                fresh = _prepare_reading(db, path) if read_only else _prepare_writing(db)
            except BaseException:
                db.close()
                raise
        return cls(db, path, fresh=fresh)

    def close(self) -> None:
        self._db.close()

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Write what is noted inside in one transaction. Plans never wait for it: they are written through at once."""
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
        """One transaction that is on the disk when it is over. A batch that is open is written first."""
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

    # ------------------------------------------------------------------ the queue, for status and why

    def record_queued(self, job_id: str, stage: str, queue: str, picture_path: str, now: float) -> None:
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO live (job_id, stage, lane, path, queued_at) VALUES (?, ?, ?, ?, ?)",
                (job_id, stage, queue, os.fsencode(picture_path), now),
            )

    def record_started(self, job_id: str, now: float, lease_until: float) -> None:
        with self._transaction() as db:
            db.execute("UPDATE live SET started_at = ?, lease_until = ? WHERE job_id = ?", (now, lease_until, job_id))

    def record_progress(self, job_id: str, step: int, op: str, fraction: float, note: str, lease_until: float) -> None:
        with self._transaction() as db:
            db.execute(
                "UPDATE live SET step = ?, op = ?, fraction = ?, note = ?, lease_until = ? WHERE job_id = ?",
                (step, op, fraction, note, lease_until, job_id),
            )

    def renew_lease(self, job_id: str, lease_until: float) -> None:
        """Its lane is done with it; what is left is the daemon's."""
        with self._transaction() as db:
            db.execute("UPDATE live SET lease_until = ? WHERE job_id = ?", (lease_until, job_id))

    def remove_job(self, job_id: str) -> None:
        with self._transaction() as db:
            db.execute("DELETE FROM live WHERE job_id = ?", (job_id,))

    def active_jobs(self) -> list[ActiveJob]:
        """The jobs that wait or run, in the order they were queued."""
        with _translate_errors(self.path):
            return [_to_active_job(row) for row in self._db.execute("SELECT * FROM live ORDER BY seq")]

    def clear_active_jobs(self) -> list[ActiveJob]:
        """Forget the queue of a daemon that is no more, and return it.

        Leases play no part here: one daemon holds a root, and its lanes die with it, so whoever may call this knows that every row is
        void, however long its lease would run. Leases are for those who look on and cannot know that.
        """
        jobs = self.active_jobs()
        with self._transaction() as db:
            db.execute("DELETE FROM live")
        return jobs

    # ------------------------------------------------------------------ attempts and holds

    def attempt_count(self, path: str, fingerprint: str) -> int:
        """How often a lane died, hung or burst over these very bytes."""
        with _translate_errors(self.path):
            found = self._db.execute("SELECT count FROM attempt WHERE path = ? AND fingerprint = ?", (os.fsencode(path), fingerprint))
            row = found.fetchone()
        return int(row[0]) if row else 0

    def count_attempt(self, path: str, fingerprint: str) -> int:
        """Count one attempt that went wrong, and return how many there are now."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO attempt VALUES (?, ?, 1) ON CONFLICT (path, fingerprint) DO UPDATE SET count = count + 1",
                (os.fsencode(path), fingerprint),
            )
        return self.attempt_count(path, fingerprint)

    def record_hold(self, path: str, fingerprint: str, sentence: str, remedy: str, note_path: str, now: float) -> None:
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO held VALUES (?, ?, ?, ?, ?, ?)",
                (os.fsencode(path), fingerprint, sentence, remedy, os.fsencode(note_path), now),
            )

    def hold_at(self, path: str) -> HoldRecord | None:
        with _translate_errors(self.path):
            row = self._db.execute("SELECT * FROM held WHERE path = ?", (os.fsencode(path),)).fetchone()
        return _to_hold(row) if row else None

    def all_holds(self) -> list[HoldRecord]:
        with _translate_errors(self.path):
            return [_to_hold(row) for row in self._db.execute("SELECT * FROM held ORDER BY since, path")]

    def release_hold(self, path: str) -> None:
        """The problem is over or is to be looked at again: forget it and the attempts it cost."""
        with self._transaction() as db:
            db.execute("DELETE FROM held WHERE path = ?", (os.fsencode(path),))
            db.execute("DELETE FROM attempt WHERE path = ?", (os.fsencode(path),))

    # ------------------------------------------------------------------ plans

    def record_plans(self, plans: Sequence[Plan]) -> None:
        """Record what is about to be done; it is on the disk when this returns."""
        rows = [(plan.id, _to_json(plan.model_dump())) for plan in plans]
        with self._durable_transaction() as db:
            db.executemany("INSERT INTO plan (id, body) VALUES (?, ?)", rows)

    def update_plan(self, plan: Plan) -> None:
        """Record other destinations for a plan that is open and of which nothing has been done."""
        with self._durable_transaction() as db:
            db.execute("UPDATE plan SET body = ? WHERE id = ?", (_to_json(plan.model_dump()), plan.id))

    def complete_plans(self, completed: Sequence[CompletedPlan]) -> None:
        """Tick plans off: their history, what they put down and which versions that makes, in the same transaction."""
        with self._durable_transaction() as db:
            db.executemany("DELETE FROM plan WHERE id = ?", [(one.plan_id,) for one in completed])
            db.executemany(_INSERT_HISTORY, [_history_values(row) for one in completed for row in one.history_rows])
            db.executemany(
                "INSERT OR REPLACE INTO placed VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (os.fsencode(put.path), *map(_to_signed64, put.sig), put.sha256, put.job_id)
                    for one in completed
                    for put in one.placed_files
                ],
            )
            db.executemany(
                "INSERT OR IGNORE INTO version VALUES (?, ?, ?)",
                [(os.fsencode(seen.folder), os.fsencode(seen.stem), seen.number) for one in completed for seen in one.versions],
            )

    def abandon(self, plan_ids: Iterable[str]) -> None:
        """Forget plans of which nothing has been done."""
        with self._durable_transaction() as db:
            db.executemany("DELETE FROM plan WHERE id = ?", [(plan_id,) for plan_id in plan_ids])

    def open_plans(self) -> list[Plan]:
        """Plans neither done nor abandoned, in the order they were made."""
        with _translate_errors(self.path):
            bodies = [row[0] for row in self._db.execute("SELECT body FROM plan ORDER BY seq")]
        return [Plan.model_validate(json.loads(body)) for body in bodies]

    def placed_file(self, path: str) -> PlacedFile | None:
        """What the daemon put down at ``path`` last; whether it still lies there is for the caller to see."""
        with _translate_errors(self.path):
            row = self._db.execute("SELECT * FROM placed WHERE path = ?", (os.fsencode(path),)).fetchone()
        if row is None:
            return None
        sig = FileSignature(*(number & 0xFFFF_FFFF_FFFF_FFFF for number in row[1:3]), *row[3:6])
        return PlacedFile(path=path, sig=sig, sha256=row[6], job_id=row[7])

    def placed_versions(self, folder: str, stem: str) -> set[int]:
        """Every version of the asset ``stem`` (folded, without version) that was ever put into ``folder``, wherever it went since."""
        with _translate_errors(self.path):
            found = self._db.execute("SELECT number FROM version WHERE folder = ? AND stem = ?", (os.fsencode(folder), os.fsencode(stem)))
            return {int(row[0]) for row in found}

    # ------------------------------------------------------------------ history

    def record_problem(self, row: HistoryRow) -> None:
        """Put on record that an input was found wanting and stays where it lies."""
        with self._transaction() as db:
            db.execute(_INSERT_HISTORY, _history_values(row))

    def history(self, path: str | None = None) -> Iterator[HistoryRow]:
        """Everything ever taken (or everything at one path), oldest first."""
        at = None if path is None else os.fsencode(path)
        with _translate_errors(self.path):
            everything = "SELECT * FROM history ORDER BY seq"
            found = self._db.execute("SELECT * FROM history WHERE path = ? ORDER BY seq", (at,)) if at else self._db.execute(everything)
            for row in found:
                yield _to_history_row(row)

    def lineage(self, job_id: str) -> list[HistoryRow]:
        """The way of one asset up to and with ``job_id``, oldest first: each row is the job that made the next one's input."""
        rows: list[HistoryRow] = []
        seen: set[str] = set()
        while job_id and job_id not in seen:
            seen.add(job_id)
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
    """Say in words what sqlite cannot do: all of it is the machine's fault."""
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.IntegrityError):
        raise
    except sqlite3.DatabaseError as error:
        broken = "malformed" in str(error) or "not a database" in str(error)
        remedy = (
            "Move that file away and start again: the folders are the truth, only the history is lost."
            if broken
            else "Look at the disk it lies on: space, mount and permissions."
        )
        raise HostError(f"The journal {path} cannot be used: {error}.", remedy) from error


def _prepare_writing(db: sqlite3.Connection) -> bool:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    fresh = migrate(db)
    db.execute("PRAGMA synchronous = NORMAL")
    return fresh


def _prepare_reading(db: sqlite3.Connection, path: Path) -> bool:
    if todo := pending_migrations(db):
        raise UsageError(f"The journal {path} is not up to date (it lacks {todo[0]!r}).", "Start `goldsmith run` with this version once.")
    return False


def _to_json(value: object) -> str:
    """ASCII, since names with undecodable bytes (surrogates) have no UTF-8."""
    return json.dumps(value, separators=(",", ":"))


def _to_signed64(number: int) -> int:
    """Inode and device numbers are unsigned 64 bit; sqlite's integers are signed."""
    return number - (1 << 64) if number >= 1 << 63 else number


def _history_values(row: HistoryRow) -> tuple[object, ...]:
    return (
        *(row.job_id, os.fsencode(row.path), row.sha256, row.started_at, row.taken_at, row.stage, row.outcome),
        *(_to_json(row.results), row.parent_job_id, _to_json(row.record)),
    )


def _to_history_row(row: tuple[Any, ...]) -> HistoryRow:
    _, job_id, path, sha256, started_at, taken_at, stage, outcome, results, lineage, record = row
    return HistoryRow(
        job_id=job_id,
        path=os.fsdecode(path),
        sha256=sha256,
        started_at=started_at,
        taken_at=taken_at,
        stage=stage,
        outcome=outcome,
        results=tuple(json.loads(results)),
        parent_job_id=lineage,
        record=json.loads(record),
    )


def _to_active_job(row: tuple[Any, ...]) -> ActiveJob:
    job = ActiveJob(*row[1:])
    return job._replace(path=os.fsdecode(job.path))


def _to_hold(row: tuple[Any, ...]) -> HoldRecord:
    held = HoldRecord(*row)
    return held._replace(path=os.fsdecode(held.path), note_path=os.fsdecode(held.note_path))
