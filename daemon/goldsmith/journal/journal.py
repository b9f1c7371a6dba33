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

from goldsmith.errors import MachineFault, UsageFault
from goldsmith.files import Sig
from goldsmith.journal.migrations import migrate, missing
from goldsmith.journal.records import (
    Held,
    LiveJob,
    Placed,
    Plan,
    Settled,
    TakenRow,
)

_ADD_ROW = (
    "INSERT INTO history (job_id, path, sha256, started_at, taken_at, stage, outcome, results, lineage, record) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class Journal:
    """The record of one root. Every method raises MachineFault where the disk under it fails."""

    def __init__(self, connection: sqlite3.Connection, path: Path, *, fresh: bool) -> None:
        self._db = connection
        self.path = path
        self.fresh = fresh
        """True where the file was made by this very opening: nothing of the past is known."""
        self._batching = False

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Journal:
        """Open the journal at ``path``, made where it is missing unless ``read_only`` (which works while a daemon writes)."""
        if read_only and not path.exists():
            raise UsageFault(f"There is no journal at {path} yet.", "Start `goldsmith run` on this root first.")
        mode = "ro" if read_only else "rwc"
        with _plainly(path):
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
        with _plainly(self.path):
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
    def _durably(self) -> Iterator[sqlite3.Connection]:
        """One transaction that is on the disk when it is over. A batch that is open is written first."""
        batching, self._batching = self._batching, False
        try:
            with _plainly(self.path):
                if batching:
                    self._db.execute("COMMIT")
                self._db.execute("PRAGMA synchronous = FULL")
            with self._transaction() as db:
                yield db
        finally:
            self._batching = batching
            with _plainly(self.path):
                self._db.execute("PRAGMA synchronous = NORMAL")
                if batching:
                    self._db.execute("BEGIN IMMEDIATE")

    # ------------------------------------------------------------------ the queue, for status and why

    def queued(self, job_id: str, stage: str, lane: str, picture_path: str, now: float) -> None:
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO live (job_id, stage, lane, path, queued_at) VALUES (?, ?, ?, ?, ?)",
                (job_id, stage, lane, os.fsencode(picture_path), now),
            )

    def started(self, job_id: str, now: float, lease_until: float) -> None:
        with self._transaction() as db:
            db.execute("UPDATE live SET started_at = ?, lease_until = ? WHERE job_id = ?", (now, lease_until, job_id))

    def progress(self, job_id: str, step: int, op: str, fraction: float, note: str, lease_until: float) -> None:
        with self._transaction() as db:
            db.execute(
                "UPDATE live SET step = ?, op = ?, fraction = ?, note = ?, lease_until = ? WHERE job_id = ?",
                (step, op, fraction, note, lease_until, job_id),
            )

    def renewed(self, job_id: str, lease_until: float) -> None:
        """Its lane is done with it; what is left is the daemon's."""
        with self._transaction() as db:
            db.execute("UPDATE live SET lease_until = ? WHERE job_id = ?", (lease_until, job_id))

    def withdrawn(self, job_id: str) -> None:
        with self._transaction() as db:
            db.execute("DELETE FROM live WHERE job_id = ?", (job_id,))

    def live(self) -> list[LiveJob]:
        """The jobs that wait or run, in the order they were queued."""
        with _plainly(self.path):
            return [_live(row) for row in self._db.execute("SELECT * FROM live ORDER BY seq")]

    def boot(self) -> list[LiveJob]:
        """Forget the queue of a daemon that is no more, and return it.

        Leases play no part here: one daemon holds a root, and its lanes die with it, so whoever may call this knows that every row is
        void, however long its lease would run. Leases are for those who look on and cannot know that.
        """
        jobs = self.live()
        with self._transaction() as db:
            db.execute("DELETE FROM live")
        return jobs

    # ------------------------------------------------------------------ attempts and holds

    def attempts(self, path: str, fingerprint: str) -> int:
        """How often a lane died, hung or burst over these very bytes."""
        with _plainly(self.path):
            found = self._db.execute("SELECT count FROM attempt WHERE path = ? AND fingerprint = ?", (os.fsencode(path), fingerprint))
            row = found.fetchone()
        return int(row[0]) if row else 0

    def attempted(self, path: str, fingerprint: str) -> int:
        """Count one attempt that went wrong, and return how many there are now."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO attempt VALUES (?, ?, 1) ON CONFLICT (path, fingerprint) DO UPDATE SET count = count + 1",
                (os.fsencode(path), fingerprint),
            )
        return self.attempts(path, fingerprint)

    def hold(self, path: str, fingerprint: str, sentence: str, remedy: str, note_path: str, now: float) -> None:
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO held VALUES (?, ?, ?, ?, ?, ?)",
                (os.fsencode(path), fingerprint, sentence, remedy, os.fsencode(note_path), now),
            )

    def held(self, path: str) -> Held | None:
        with _plainly(self.path):
            row = self._db.execute("SELECT * FROM held WHERE path = ?", (os.fsencode(path),)).fetchone()
        return _held(row) if row else None

    def all_held(self) -> list[Held]:
        with _plainly(self.path):
            return [_held(row) for row in self._db.execute("SELECT * FROM held ORDER BY since, path")]

    def release(self, path: str) -> None:
        """The problem is over or is to be looked at again: forget it and the attempts it cost."""
        with self._transaction() as db:
            db.execute("DELETE FROM held WHERE path = ?", (os.fsencode(path),))
            db.execute("DELETE FROM attempt WHERE path = ?", (os.fsencode(path),))

    # ------------------------------------------------------------------ plans

    def intend(self, plans: Sequence[Plan]) -> None:
        """Record what is about to be done; it is on the disk when this returns."""
        rows = [(plan.id, _json(plan.model_dump())) for plan in plans]
        with self._durably() as db:
            db.executemany("INSERT INTO plan (id, body) VALUES (?, ?)", rows)

    def replan(self, plan: Plan) -> None:
        """Record other destinations for a plan that is open and of which nothing has been done."""
        with self._durably() as db:
            db.execute("UPDATE plan SET body = ? WHERE id = ?", (_json(plan.model_dump()), plan.id))

    def done(self, settled: Sequence[Settled]) -> None:
        """Tick plans off: their history, what they put down and which versions that makes, in the same transaction."""
        with self._durably() as db:
            db.executemany("DELETE FROM plan WHERE id = ?", [(one.plan_id,) for one in settled])
            db.executemany(_ADD_ROW, [_of_row(row) for one in settled for row in one.rows])
            db.executemany(
                "INSERT OR REPLACE INTO placed VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(os.fsencode(put.path), *map(_signed, put.sig), put.sha256, put.job_id) for one in settled for put in one.placed],
            )
            db.executemany(
                "INSERT OR IGNORE INTO version VALUES (?, ?, ?)",
                [(os.fsencode(seen.folder), os.fsencode(seen.stem), seen.number) for one in settled for seen in one.versions],
            )

    def abandon(self, plan_ids: Iterable[str]) -> None:
        """Forget plans of which nothing has been done."""
        with self._durably() as db:
            db.executemany("DELETE FROM plan WHERE id = ?", [(plan_id,) for plan_id in plan_ids])

    def open_plans(self) -> list[Plan]:
        """Plans neither done nor abandoned, in the order they were made."""
        with _plainly(self.path):
            bodies = [row[0] for row in self._db.execute("SELECT body FROM plan ORDER BY seq")]
        return [Plan.model_validate(json.loads(body)) for body in bodies]

    def placed(self, path: str) -> Placed | None:
        """What the daemon put down at ``path`` last; whether it still lies there is for the caller to see."""
        with _plainly(self.path):
            row = self._db.execute("SELECT * FROM placed WHERE path = ?", (os.fsencode(path),)).fetchone()
        if row is None:
            return None
        sig = Sig(*(number & 0xFFFF_FFFF_FFFF_FFFF for number in row[1:3]), *row[3:6])
        return Placed(path=path, sig=sig, sha256=row[6], job_id=row[7])

    def ever_placed_versions(self, folder: str, stem: str) -> set[int]:
        """Every version of the asset ``stem`` (folded, without version) that was ever put into ``folder``, wherever it went since."""
        with _plainly(self.path):
            found = self._db.execute("SELECT number FROM version WHERE folder = ? AND stem = ?", (os.fsencode(folder), os.fsencode(stem)))
            return {int(row[0]) for row in found}

    # ------------------------------------------------------------------ history

    def record_problem(self, row: TakenRow) -> None:
        """Put on record that an input was found wanting and stays where it lies."""
        with self._transaction() as db:
            db.execute(_ADD_ROW, _of_row(row))

    def history(self, path: str | None = None) -> Iterator[TakenRow]:
        """Everything ever taken (or everything at one path), oldest first."""
        at = None if path is None else os.fsencode(path)
        with _plainly(self.path):
            everything = "SELECT * FROM history ORDER BY seq"
            found = self._db.execute("SELECT * FROM history WHERE path = ? ORDER BY seq", (at,)) if at else self._db.execute(everything)
            for row in found:
                yield _to_row(row)

    def chain(self, job_id: str) -> list[TakenRow]:
        """The way of one asset up to and with ``job_id``, oldest first: each row is the job that made the next one's input."""
        rows: list[TakenRow] = []
        seen: set[str] = set()
        while job_id and job_id not in seen:
            seen.add(job_id)
            with _plainly(self.path):
                row = self._db.execute(
                    "SELECT * FROM history WHERE job_id = ? AND outcome IN ('passed', 'delivered') ORDER BY seq DESC", (job_id,)
                ).fetchone()
            if row is None:
                break
            rows.append(_to_row(row))
            job_id = rows[-1].lineage
        return rows[::-1]


@contextlib.contextmanager
def _plainly(path: Path) -> Iterator[None]:
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
        raise MachineFault(f"The journal {path} cannot be used: {error}.", remedy) from error


def _prepare_writing(db: sqlite3.Connection) -> bool:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    fresh = migrate(db)
    db.execute("PRAGMA synchronous = NORMAL")
    return fresh


def _prepare_reading(db: sqlite3.Connection, path: Path) -> bool:
    if todo := missing(db):
        raise UsageFault(f"The journal {path} is not up to date (it lacks {todo[0]!r}).", "Start `goldsmith run` with this version once.")
    return False


def _json(value: object) -> str:
    """ASCII, since names with undecodable bytes (surrogates) have no UTF-8."""
    return json.dumps(value, separators=(",", ":"))


def _signed(number: int) -> int:
    """Inode and device numbers are unsigned 64 bit; sqlite's integers are signed."""
    return number - (1 << 64) if number >= 1 << 63 else number


def _of_row(row: TakenRow) -> tuple[object, ...]:
    return (
        *(row.job_id, os.fsencode(row.path), row.sha256, row.started_at, row.taken_at, row.stage, row.outcome),
        *(_json(row.results), row.lineage, _json(row.record)),
    )


def _to_row(row: tuple[Any, ...]) -> TakenRow:
    _, job_id, path, sha256, started_at, taken_at, stage, outcome, results, lineage, record = row
    return TakenRow(
        job_id=job_id,
        path=os.fsdecode(path),
        sha256=sha256,
        started_at=started_at,
        taken_at=taken_at,
        stage=stage,
        outcome=outcome,
        results=tuple(json.loads(results)),
        lineage=lineage,
        record=json.loads(record),
    )


def _live(row: tuple[Any, ...]) -> LiveJob:
    job = LiveJob(*row[1:])
    return job._replace(path=os.fsdecode(job.path))


def _held(row: tuple[Any, ...]) -> Held:
    held = Held(*row)
    return held._replace(path=os.fsdecode(held.path), note_path=os.fsdecode(held.note_path))
