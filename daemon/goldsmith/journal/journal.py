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
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from goldsmith.errors import UsageError
from goldsmith.files import FileSignature
from goldsmith.journal import history_table, old_rows, picture_versions
from goldsmith.journal.damage import check_files, check_tables, find_damage, remove_journal, set_aside
from goldsmith.journal.history_table import to_json
from goldsmith.journal.migrations import migrate, pending_migrations
from goldsmith.journal.old_rows import OldRow
from goldsmith.journal.records import (
    ActiveJob,
    CompletedPlan,
    HistoryRow,
    HoldRecord,
    JobResults,
    KeptPartRecord,
    PictureVersion,
    PlacedFile,
    Plan,
)
from goldsmith.journal.sqlite_errors import JournalBroken, JournalError, read_record, translate_errors

_ACTIVE_JOB_COLUMNS = ", ".join(ActiveJob._fields)
_HOLD_COLUMNS = ", ".join(HoldRecord._fields)
_PLACED_COLUMNS = "path, dev, ino, size, mtime_ns, ctime_ns, sha256, job_id"


class Journal:
    """The record of one root. Every method raises HostError if the disk fails."""

    def __init__(self, connection: sqlite3.Connection, path: Path, *, is_new: bool = False) -> None:
        self._connection: sqlite3.Connection | None = connection
        self.path = path
        # Whether the file was made by this object: then nothing is known of what an earlier journal had.
        self.is_new = is_new
        # The damage that was found in the file, until ``replace_broken`` has made a new one.
        self.damage: JournalBroken | None = None
        self._batching = False

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Journal:
        """Open the journal at ``path`` and create the file if it is missing.

        With ``read_only`` no file is created; reading works while a daemon writes. Raises UsageError if there is no journal to read, or
        if its tables are those of another version, JournalBroken if its content is damaged, and JournalError if it cannot be opened.
        """
        if read_only and not path.exists():
            raise UsageError(f"There is no journal at {path} yet.", "Start `goldsmith run` on this root first.")
        is_new = not read_only and not os.path.lexists(path)
        return cls(_open_for_reading(path) if read_only else _open_for_writing(path), path, is_new=is_new)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()

    def replace_broken(self, now: float) -> Path:
        """Set the broken file aside, go on with a new, empty journal, and return the path of the broken one. ``now`` is in Unix seconds.

        Raises JournalError if the disk does not allow it; the next call tries again.
        """
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):  # closing writes the log into the file, which is broken
                self._connection.close()
            self._connection = None
        kept = set_aside(self.path, now)
        self._connection = _open_for_writing(self.path)
        self.is_new, self.damage = True, None
        return kept

    def find_damage(self, seconds: float) -> tuple[str, bool]:
        """Look through the whole file, for at most ``seconds``. Return the first damage, or "", and whether the time was enough."""
        with self._translated():
            return find_damage(self._db, seconds)

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise JournalError(f"The journal {self.path} was broken, and there is no new one yet.", "Check its disk.")
        return self._connection

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Translate the errors of SQLite, and remember damage."""
        try:
            with translate_errors(self.path):
                yield
        except JournalBroken as error:
            self.damage = error
            raise

    @property
    def change_count(self) -> int:
        """The number of rows that this object has written so far, also in transactions that failed."""
        return self._db.total_changes

    def check_writable(self) -> None:
        """Write a page durably. Raises HostError if the disk does not take it."""
        with self._durable_transaction() as db:
            db.execute(f"PRAGMA user_version = {int(db.execute('PRAGMA user_version').fetchone()[0])}")

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
        with self._translated():
            if self._batching:
                yield self._db
                return
            self._begin()
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise

    def _begin(self) -> None:
        """Begin a transaction. End one that a failing disk left open, because neither its COMMIT nor its ROLLBACK worked."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._db.execute("BEGIN IMMEDIATE")

    @contextlib.contextmanager
    def _durable_transaction(self) -> Iterator[sqlite3.Connection]:
        """Run the block in one transaction that is on the disk when the block ends. An open batch is committed first."""
        batching, self._batching = self._batching, False
        try:
            with self._translated():
                if batching:
                    self._db.execute("COMMIT")
                self._db.execute("PRAGMA synchronous = FULL")
            with self._transaction() as db:
                yield db
        finally:
            self._batching = batching
            with self._translated():
                if not self._db.in_transaction:  # else the first COMMIT has failed, and the batch ends with its rollback
                    self._db.execute("PRAGMA synchronous = NORMAL")
                    if batching:
                        self._begin()

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
        with self._translated():
            query = f"SELECT {_ACTIVE_JOB_COLUMNS} FROM active_job ORDER BY seq"  # noqa: S608 - constants
            return [read_record(_to_active_job, row) for row in self._db.execute(query)]

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
        with self._translated():
            cursor = self._db.execute("SELECT count FROM attempt WHERE path = ? AND fingerprint = ?", (os.fsencode(path), fingerprint))
            row = cursor.fetchone()
        return int(row[0]) if row else 0

    def count_attempt(self, path: str, fingerprint: str) -> int:
        """Count one failed attempt and return the new count."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO attempt (path, fingerprint, count) VALUES (?, ?, 1) "
                "ON CONFLICT (path, fingerprint) DO UPDATE SET count = count + 1",
                (os.fsencode(path), fingerprint),
            )
        return self.attempt_count(path, fingerprint)

    def record_hold(self, path: str, fingerprint: str, sentence: str, remedy: str, note_path: str, now: float) -> None:
        """Record a hold on the asset at ``path``; it replaces an earlier one. ``now`` is in Unix seconds."""
        with self._transaction() as db:
            db.execute(
                f"INSERT OR REPLACE INTO hold ({_HOLD_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
                (os.fsencode(path), fingerprint, sentence, remedy, os.fsencode(note_path), now),
            )

    def all_holds(self) -> list[HoldRecord]:
        """Return every hold, the oldest first."""
        with self._translated():
            query = f"SELECT {_HOLD_COLUMNS} FROM hold ORDER BY since, path"  # noqa: S608 - constants
            return [read_record(_to_hold, row) for row in self._db.execute(query)]

    def release_hold(self, path: str) -> None:
        """Delete the hold at ``path`` and the count of its failed attempts."""
        with self._transaction() as db:
            db.execute("DELETE FROM hold WHERE path = ?", (os.fsencode(path),))
            db.execute("DELETE FROM attempt WHERE path = ?", (os.fsencode(path),))

    # ------------------------------------------------------------------ kept parts of unfinished steps

    def record_kept_part(self, path: str, part: KeptPartRecord, now: float) -> None:
        """Record a finished part of the work on the asset at ``path``. ``now`` is in Unix seconds."""
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO kept_part (key, path, sha256, size, made_at) VALUES (?, ?, ?, ?, ?)",
                (part.key, os.fsencode(path), part.sha256, part.size, now),
            )

    def kept_parts(self, path: str) -> list[KeptPartRecord]:
        """Return the kept parts of the work on the asset at ``path``, the oldest first."""
        with self._translated():
            query = "SELECT key, sha256, size FROM kept_part WHERE path = ? ORDER BY made_at, key"
            return [KeptPartRecord(*row) for row in self._db.execute(query, (os.fsencode(path),))]

    def surplus_kept_parts(self, made_before: float, max_bytes: int) -> list[str]:
        """Return the keys of the parts that were made before that time (Unix seconds), and of the oldest beyond ``max_bytes`` in all."""
        with self._translated():
            query = (
                "SELECT key FROM (SELECT key, made_at, SUM(size) OVER (ORDER BY made_at DESC, key DESC) AS total FROM kept_part) "
                "WHERE made_at < ? OR total > ?"
            )
            return [row[0] for row in self._db.execute(query, (made_before, max_bytes))]

    def all_kept_keys(self) -> set[str]:
        """Return the keys of all kept parts."""
        with self._translated():
            return {row[0] for row in self._db.execute("SELECT key FROM kept_part")}

    def forget_kept_parts(self, keys: Collection[str]) -> None:
        """Remove the records of these parts."""
        with self._transaction() as db:
            db.executemany("DELETE FROM kept_part WHERE key = ?", [(key,) for key in keys])

    # ------------------------------------------------------------------ plans

    def record_plans(self, plans: Sequence[Plan]) -> None:
        """Record plans before they are carried out. They are on the disk when the call returns."""
        rows = [(plan.id, to_json(plan.model_dump())) for plan in plans]
        with self._durable_transaction() as db:
            db.executemany("INSERT INTO plan (id, body) VALUES (?, ?)", rows)

    def update_plan(self, plan: Plan) -> None:
        """Replace an open plan of which nothing has been carried out, to give it other destinations."""
        with self._durable_transaction() as db:
            db.execute("UPDATE plan SET body = ? WHERE id = ?", (to_json(plan.model_dump()), plan.id))

    def complete_plans(self, completed: Sequence[CompletedPlan]) -> None:
        """Delete carried-out plans and record their history, placed files and versions in the same transaction."""
        with self._durable_transaction() as db:
            db.executemany("DELETE FROM plan WHERE id = ?", [(plan.plan_id,) for plan in completed])
            for row in (row for plan in completed for row in plan.history_rows):
                history_table.insert_row(db, row)
            db.executemany(
                f"INSERT OR REPLACE INTO placed_file ({_PLACED_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
                [
                    (os.fsencode(file.path), *map(_to_signed64, file.sig), file.sha256, file.job_id)
                    for plan in completed
                    for file in plan.placed_files
                ],
            )
            db.executemany(
                "INSERT OR IGNORE INTO placed_version (folder, stem, number, source) VALUES (?, ?, ?, ?)",
                [
                    (os.fsencode(version.folder), os.fsencode(version.stem), version.number, os.fsencode(version.source))
                    for plan in completed
                    for version in plan.versions
                ],
            )

    def open_plans(self) -> list[Plan]:
        """Return the plans that are not complete, in the order in which they were recorded."""
        with self._translated():
            return [read_record(_to_plan, row) for row in self._db.execute("SELECT body FROM plan ORDER BY seq")]

    def is_placed(self, path: str) -> bool:
        """Return whether the daemon placed a file at ``path``, the last one that was there."""
        return self.placed_file(path) is not None

    def placed_file(self, path: str) -> PlacedFile | None:
        """Return the file that the daemon last placed at ``path``, or None. The caller checks whether it is still there."""
        with self._translated():
            query = f"SELECT {_PLACED_COLUMNS} FROM placed_file WHERE path = ?"  # noqa: S608 - constants
            row = self._db.execute(query, (os.fsencode(path),)).fetchone()
            return None if row is None else read_record(_to_placed_file, row)

    def placed_versions(self, folder: str, stem: str) -> set[int]:
        """Return the number of every version of an asset that was ever placed in ``folder``, even if the file has moved on.

        ``stem`` is folded (``fold_name``) and has no version.
        """
        with self._translated():
            query = "SELECT number FROM placed_version WHERE folder = ? AND stem = ?"
            return {read_record(int, row[0]) for row in self._db.execute(query, (os.fsencode(folder), os.fsencode(stem)))}

    def placed_sources(self, folder: str, stem: str) -> set[str]:
        """Return the names of the assets from which the versions in ``placed_versions`` were made, folded and without a version."""
        with self._translated():
            query = "SELECT DISTINCT source FROM placed_version WHERE folder = ? AND stem = ? AND source <> x''"
            rows = self._db.execute(query, (os.fsencode(folder), os.fsencode(stem)))
            return {read_record(os.fsdecode, row[0]) for row in rows}

    # ------------------------------------------------------------------ history

    def record_problem(self, row: HistoryRow) -> None:
        """Record that an input has a problem and stays where it is."""
        with self._transaction() as db:
            history_table.insert_row(db, row)

    def history(self, path: str | None = None) -> Iterator[HistoryRow]:
        """Yield the history rows of all inputs, or of the inputs at one path, the oldest first."""
        with self._translated():
            yield from history_table.all_rows(self._db, path)

    def last_rows(self, limit: int, *, with_problems: bool = True) -> list[HistoryRow]:
        """Return the last ``limit`` history rows, the oldest first, with or without the inputs that had a problem."""
        with self._translated():
            return history_table.last_rows(self._db, limit, with_problems=with_problems)

    def related_rows(self, paths: Collection[str], limit: int | None = None, *, with_problems: bool = True) -> Iterator[HistoryRow]:
        """Yield the history of a file that has one of these paths, the oldest row first; with ``limit`` only its last rows.

        It has every job that read, made or archived the file, those that led to it, and those that used their results.
        """
        with self._translated():
            yield from history_table.related_rows(self._db, paths, limit, with_problems=with_problems)

    def rows_after(self, after: int, limit: int) -> list[tuple[int, HistoryRow]]:
        """Return the first ``limit`` rows whose numbers are above ``after``, each with its number, the oldest first."""
        with self._translated():
            return history_table.rows_after(self._db, after, limit)

    def last_seq(self) -> int:
        """Return the number of the newest row of the history; 0 if there is none."""
        with self._translated():
            return history_table.last_seq(self._db)

    def rows_below(self, folders: Collection[str]) -> Iterator[HistoryRow]:
        """Yield the rows of the jobs that read, made or archived a file below one of these folders, the oldest first."""
        with self._translated():
            yield from history_table.rows_below(self._db, folders)

    def job_results(self, after: int, limit: int) -> list[JobResults]:
        """Return the results of the last ``limit`` jobs whose rows have a number above ``after``, the oldest first."""
        with self._translated():
            return history_table.job_results(self._db, after, limit)

    def remarks(self, path: str) -> list[str]:
        """Return the remarks about the file that the daemon last placed at ``path``, from all jobs that led to it, as sentences."""
        placed = self.placed_file(path)
        rows = self.lineage(placed.job_id) if placed is not None else ()
        return list(dict.fromkeys(remark for row in rows for remark in row.remarks()))

    def last_row_at(self, path: str) -> HistoryRow | None:
        """Return the last history row of an input at ``path`` that was processed, or None. A problem does not count."""
        with self._translated():
            return history_table.last_row_at(self._db, path)

    def has_row_at(self, path: str) -> bool:
        """Return whether an input at ``path`` was ever processed, or refused with a problem."""
        with self._translated():
            return history_table.has_row_at(self._db, path)

    def last_path_named(self, name: str) -> str | None:
        """Return the path of the last input with this bare name, in any folder, or None. Upper and lower case do not matter."""
        with self._translated():
            return history_table.last_path_named(self._db, name)

    # ------------------------------------------------------------------ picture files

    def versions_by_hash(self, sha256: str, limit: int = 20) -> list[PictureVersion]:
        """Return at most ``limit`` picture files with these bytes that went through the folders, the newest first."""
        with self._translated():
            return picture_versions.versions_by_hash(self._db, sha256, limit)

    def first_taken(self, sha256: str) -> PictureVersion | None:
        """Return the first picture file with these bytes that a job took, or None."""
        with self._translated():
            return picture_versions.first_taken(self._db, sha256)

    def versions_by_id(self, document_id: str, limit: int = 20) -> list[PictureVersion]:
        """Return at most ``limit`` picture files with this id in their metadata, the newest first."""
        with self._translated():
            return picture_versions.versions_by_id(self._db, document_id, limit)

    def versions_at(self, path: str, limit: int = 20) -> list[PictureVersion]:
        """Return at most ``limit`` picture files that were put down at this path with any suffix, the newest first."""
        with self._translated():
            return picture_versions.versions_at(self._db, path, limit)

    def versions_at_any(self, paths: Collection[str], limit: int = 20) -> list[PictureVersion]:
        """Return at most ``limit`` picture files that were put down at one of these paths with any suffix, the newest first."""
        with self._translated():
            return picture_versions.versions_at_any(self._db, paths, limit)

    def versions_named(self, names: Collection[str], limit: int = 20) -> list[PictureVersion]:
        """Return at most ``limit`` picture files with one of these names without suffix, in any folder, the newest first."""
        with self._translated():
            return picture_versions.versions_named(self._db, names, limit)

    def committed_row(self, job_id: str) -> HistoryRow | None:
        """Return the row of a job that put down results, or of a person's work, or None."""
        with self._translated():
            return history_table.committed_row(self._db, job_id)

    # ------------------------------------------------------------------ pruning

    def next_old_rows(self, taken_before: float, after: OldRow | None, limit: int) -> list[OldRow]:
        """Return at most ``limit`` rows that were taken before ``taken_before`` (Unix seconds), the newest first, from ``after`` on."""
        with self._translated():
            return old_rows.next_old_rows(self._db, taken_before, after, limit)

    def next_jobs(self, job_id: str) -> list[int]:
        """Return the ``seq`` of every history row whose input the job has made."""
        with self._translated():
            return old_rows.next_jobs(self._db, job_id)

    def placed_paths(self, job_id: str) -> list[str]:
        """Return the paths at which files of the job were placed last."""
        with self._translated():
            return old_rows.placed_paths(self._db, job_id)

    def rows_with_file(self, path: str) -> list[int]:
        """Return the ``seq`` of every history row that read, made or archived the file."""
        with self._translated():
            return old_rows.rows_with_file(self._db, path)

    def row_bytes(self, rows: Sequence[OldRow]) -> int:
        """Return about how many bytes the removal of these rows would free."""
        with self._translated():
            return old_rows.row_bytes(self._db, rows)

    def remove_rows(self, rows: Sequence[OldRow]) -> int:
        """Remove rows of the history with what belongs to them, in one transaction, and return about how many bytes that frees."""
        with self._transaction() as db:
            return old_rows.remove_rows(db, rows)

    def began_at(self) -> float:
        """Return when the journal was made, in Unix seconds: it knows nothing of what was done before."""
        with self._translated():
            return float(self._db.execute("SELECT MIN(at) FROM migration").fetchone()[0])

    def record_prune(self, now: float, archived_before: str) -> None:
        """Record that the archive was pruned at ``now`` (Unix seconds): of the days before ``archived_before``, files are missing."""
        with self._transaction() as db:
            db.execute("INSERT INTO prune (at, archived_before) VALUES (?, ?)", (now, archived_before))

    def pruned_before(self) -> str:
        """Return the day before which files of the archive were pruned, as 2026-10-31, or ""."""
        with self._translated():
            return str(self._db.execute("SELECT COALESCE(MAX(archived_before), '') FROM prune").fetchone()[0])

    def shrink(self, max_pages: int) -> bool:
        """Give at most this many unused pages back to the disk. Return whether more may be unused."""
        with self._translated():
            before = self._db.execute("PRAGMA freelist_count").fetchone()[0]
            self._db.execute(f"PRAGMA incremental_vacuum({max_pages:d})").fetchall()
            return 0 < int(self._db.execute("PRAGMA freelist_count").fetchone()[0]) < int(before)

    def lineage(self, job_id: str) -> list[HistoryRow]:
        """Return the jobs that led to ``job_id``, that job last: each row made the input of the next one."""
        rows: list[HistoryRow] = []
        visited_ids: set[str] = set()
        while job_id and job_id not in visited_ids:
            visited_ids.add(job_id)
            row = self.committed_row(job_id)
            if row is None:
                break
            rows.append(row)
            job_id = row.parent_job_id
        return rows[::-1]


def _open_for_reading(path: Path) -> sqlite3.Connection:
    """Return a connection that cannot write. Raises UsageError if a migration is missing: a reader cannot run it."""
    check_files(path, with_log=False)
    with translate_errors(path), _connection(path, "ro") as db:
        if pending := _pending_migrations(db, path):
            raise UsageError(
                f"The journal {path} is not up to date (it lacks {pending[0]!r}).", "Start `goldsmith run` with this version once."
            )
        check_tables(db, path)
        return db


def _open_for_writing(path: Path) -> sqlite3.Connection:
    """Return a connection to a journal with every table. A file that could not be filled is removed, so that it is not taken for broken."""
    check_files(path)
    is_new = not os.path.lexists(path)
    try:
        with translate_errors(path), _connection(path, "rwc") as db:
            pending = _pending_migrations(db, path)
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only a new file takes it: pruning can then make the file smaller
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            if pending:
                migrate(db)
            db.execute("PRAGMA synchronous = NORMAL")
            check_tables(db, path)
            return db
    except JournalError:
        if is_new:
            remove_journal(path)
        raise


@contextlib.contextmanager
def _connection(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    """Yield a connection, and close it if the block fails."""
    db = sqlite3.connect(f"file:{quote(os.fsencode(path))}?mode={mode}", uri=True, isolation_level=None, timeout=5.0)
    try:
        yield db
    except BaseException:
        db.close()
        raise


def _pending_migrations(db: sqlite3.Connection, path: Path) -> list[str]:
    """Return the names of the missing migrations. A file whose list of tables cannot be read, for any reason of its own, is broken."""
    try:
        return pending_migrations(db)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:
            raise JournalBroken(path, str(error)) from error
        raise


def _to_signed64(number: int) -> int:
    """Return the number as SQLite stores it: inode and device numbers are unsigned 64-bit, SQLite's integers signed."""
    return number - (1 << 64) if number >= 1 << 63 else number


def _to_plan(row: tuple[Any, ...]) -> Plan:
    return Plan.model_validate(json.loads(row[0]))


def _to_placed_file(row: tuple[Any, ...]) -> PlacedFile:
    sig = FileSignature(*(number & 0xFFFF_FFFF_FFFF_FFFF for number in row[1:3]), *row[3:6])
    return PlacedFile(path=os.fsdecode(row[0]), sig=sig, sha256=row[6], job_id=row[7])


def _to_active_job(row: tuple[Any, ...]) -> ActiveJob:
    job = ActiveJob(*row)
    return job._replace(path=os.fsdecode(job.path))


def _to_hold(row: tuple[Any, ...]) -> HoldRecord:
    hold = HoldRecord(*row)
    return hold._replace(path=os.fsdecode(hold.path), note_path=os.fsdecode(hold.note_path))
