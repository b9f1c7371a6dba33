"""The queries of pruning: which old rows of the history something still needs, and their removal in small batches."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from goldsmith.journal.history_table import row_of_seq
from goldsmith.journal.picture_versions import remove_versions


class OldRow(NamedTuple):
    """One old row of the history. ``taken_at`` and ``seq`` are its place: rows are read from the newest to the oldest."""

    taken_at: float
    seq: int
    job_id: str


def next_old_rows(db: sqlite3.Connection, taken_before: float, after: OldRow | None, limit: int) -> list[OldRow]:
    """Return the next rows that were taken before ``taken_before`` (Unix seconds), the newest first, that come after ``after``."""
    taken_at, seq = (taken_before, 0) if after is None else (after.taken_at, after.seq)
    query = "SELECT taken_at, seq, job_id FROM history WHERE (taken_at, seq) < (?, ?) ORDER BY taken_at DESC, seq DESC LIMIT ?"
    return [OldRow(*row) for row in db.execute(query, (taken_at, seq, limit))]


def next_jobs(db: sqlite3.Connection, job_id: str) -> list[int]:
    """Return the ``seq`` of every row whose input the job has made."""
    query = "SELECT seq FROM history WHERE parent_job_id = ? AND parent_job_id <> ''"
    return [row[0] for row in db.execute(query, (job_id,))]


def placed_paths(db: sqlite3.Connection, job_id: str) -> list[str]:
    """Return the paths at which files of the job were placed last."""
    return [os.fsdecode(row[0]) for row in db.execute("SELECT path FROM placed_file WHERE job_id = ?", (job_id,))]


def rows_with_file(db: sqlite3.Connection, path: str) -> list[int]:
    """Return the ``seq`` of every row that names the file."""
    return [row[0] for row in db.execute("SELECT seq FROM history_file WHERE path = ?", (os.fsencode(path),))]


def remove_rows(db: sqlite3.Connection, rows: Sequence[OldRow]) -> int:
    """Remove rows, what the index has of them, and the placed files of their jobs. Return the number of bytes of their records."""
    removed_bytes = 0
    for row in rows:
        history_row, size = row_of_seq(db, row.seq)
        files = [(os.fsencode(path), row.seq) for path in history_row.file_paths()]
        db.executemany("DELETE FROM history_file WHERE path = ? AND seq = ?", files)
        db.execute("DELETE FROM history WHERE seq = ?", (row.seq,))
        remove_versions(db, [row.job_id])
        db.execute(
            "DELETE FROM placed_file WHERE job_id = ?1 AND NOT EXISTS (SELECT 1 FROM history WHERE job_id = ?1)",
            (row.job_id,),
        )
        removed_bytes += size + sum(len(path) for path, _ in files)
    return removed_bytes


def row_bytes(db: sqlite3.Connection, rows: Sequence[OldRow]) -> int:
    """Return the number of bytes that the removal of these rows would free, about."""
    total = 0
    for row in rows:
        history_row, size = row_of_seq(db, row.seq)
        total += size + sum(len(os.fsencode(path)) for path in history_row.file_paths())
    return total
