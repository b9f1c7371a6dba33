"""The history in the journal: its rows, and the index of every file that a job read, made or archived.

Every query here names its columns and uses an index or a limit, so that it costs the same in a history of a million rows.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection, Iterator
from typing import Any

from goldsmith.files import fold_name
from goldsmith.journal.picture_versions import insert_versions
from goldsmith.journal.records import HistoryRow, JobResults, remarks_in_record
from goldsmith.journal.sqlite_errors import read_record

_COLUMNS = "job_id, path, sha256, started_at, taken_at, stage, outcome, results, parent_job_id, record"
_INSERT_ROW = f"INSERT INTO history ({_COLUMNS}, name) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants
_INSERT_FILE = "INSERT OR IGNORE INTO history_file (path, seq) VALUES (?, ?)"
# A record with one of these, as ``to_json`` writes it, may have remarks. Each more costs 4 ms of processor time in 5,000 records.
_REMARK_MARKS = ('"notes":["', '"remark')
# The jobs that read, made or archived one of the paths, every job that used their results, and every job that led to one of these.
_RELATED = f"""
    WITH RECURSIVE
        named (seq) AS (SELECT seq FROM history_file WHERE path IN ({{marks}})),
        later (job_id) AS (
            SELECT job_id FROM history WHERE seq IN named
            UNION SELECT history.job_id FROM later CROSS JOIN history
                ON history.parent_job_id = later.job_id AND history.parent_job_id <> ''
        ),
        related (job_id) AS (
            SELECT job_id FROM later
            UNION SELECT history.parent_job_id FROM related CROSS JOIN history
                ON history.job_id = related.job_id WHERE history.parent_job_id <> ''
        )
    SELECT {_COLUMNS} FROM history
    WHERE seq IN (SELECT history.seq FROM related CROSS JOIN history ON history.job_id = related.job_id)
        {{condition}}
    ORDER BY seq {{order}}
"""  # noqa: S608 - constants


def insert_row(db: sqlite3.Connection, row: HistoryRow) -> None:
    """Add a row, and every file that it names."""
    values = (
        *(row.job_id, os.fsencode(row.path), row.sha256, row.started_at, row.taken_at, row.stage, row.outcome),
        *(to_json(row.results), row.parent_job_id, to_json(row.record), file_name(row.path)),
    )
    seq = db.execute(_INSERT_ROW, values).lastrowid
    db.executemany(_INSERT_FILE, [(os.fsencode(path), seq) for path in row.file_paths()])
    insert_versions(db, row)


def all_rows(db: sqlite3.Connection, path: str | None = None) -> Iterator[HistoryRow]:
    """Yield the rows of all inputs, or of the inputs at one path, the oldest first."""
    if path is None:
        cursor = db.execute(f"SELECT {_COLUMNS} FROM history ORDER BY seq")  # noqa: S608 - constants
    else:
        cursor = db.execute(f"SELECT {_COLUMNS} FROM history WHERE path = ? ORDER BY seq", (os.fsencode(path),))  # noqa: S608 - constants
    return (read_record(_to_row, row) for row in cursor)


def last_rows(db: sqlite3.Connection, limit: int, *, with_problems: bool) -> list[HistoryRow]:
    """Return the last ``limit`` rows, the oldest first."""
    condition = "" if with_problems else "WHERE outcome <> 'problem'"
    query = f"SELECT {_COLUMNS} FROM history {condition} ORDER BY seq DESC LIMIT ?"  # noqa: S608 - constants
    return [read_record(_to_row, row) for row in db.execute(query, (limit,))][::-1]


def last_row_at(db: sqlite3.Connection, path: str) -> HistoryRow | None:
    """Return the last row of an input at ``path`` that was processed, or None. A problem does not count."""
    query = f"SELECT {_COLUMNS} FROM history WHERE path = ? AND outcome <> 'problem' ORDER BY seq DESC LIMIT 1"  # noqa: S608 - constants
    row = db.execute(query, (os.fsencode(path),)).fetchone()
    return None if row is None else read_record(_to_row, row)


def has_row_at(db: sqlite3.Connection, path: str) -> bool:
    """Return whether an input at ``path`` was ever processed or refused."""
    return db.execute("SELECT 1 FROM history WHERE path = ? LIMIT 1", (os.fsencode(path),)).fetchone() is not None


def last_path_named(db: sqlite3.Connection, name: str) -> str | None:
    """Return the path of the last input with this bare name, in any folder, or None. Names are compared folded (``fold_name``)."""
    row = db.execute("SELECT path FROM history WHERE name = ? ORDER BY seq DESC LIMIT 1", (file_name(name),)).fetchone()
    return None if row is None else os.fsdecode(row[0])


def related_rows(db: sqlite3.Connection, paths: Collection[str], limit: int | None, *, with_problems: bool) -> Iterator[HistoryRow]:
    """Yield the rows of the jobs that read, made or archived one of ``paths``, of those before them and of those that used their results.

    The oldest comes first; with ``limit`` only the last ones.
    """
    condition, values = "" if with_problems else "AND outcome <> 'problem'", [os.fsencode(path) for path in paths]
    query = _RELATED.format(marks=", ".join("?" * len(values)), condition=condition, order="ASC" if limit is None else "DESC LIMIT ?")
    rows = (read_record(_to_row, row) for row in db.execute(query, values if limit is None else (*values, limit)))
    return rows if limit is None else reversed(list(rows))


def committed_row(db: sqlite3.Connection, job_id: str) -> HistoryRow | None:
    """Return the row of a job that put down results, or None."""
    query = f"SELECT {_COLUMNS} FROM history WHERE job_id = ? AND outcome IN ('passed', 'delivered') ORDER BY seq DESC LIMIT 1"  # noqa: S608 - constants
    row = db.execute(query, (job_id,)).fetchone()
    return None if row is None else read_record(_to_row, row)


def rows_after(db: sqlite3.Connection, after: int, limit: int) -> list[tuple[int, HistoryRow]]:
    """Return the first ``limit`` rows whose numbers are above ``after``, each with its number, the oldest first."""
    query = f"SELECT seq, {_COLUMNS} FROM history WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608 - constants
    return [(int(seq), read_record(_to_row, tuple(columns))) for seq, *columns in db.execute(query, (after, limit))]


def last_seq(db: sqlite3.Connection) -> int:
    """Return the number of the newest row; 0 if there is none."""
    return int(db.execute("SELECT COALESCE(MAX(seq), 0) FROM history").fetchone()[0])


def rows_below(db: sqlite3.Connection, folders: Collection[str]) -> Iterator[HistoryRow]:
    """Yield the rows of the jobs that read, made or archived a file below one of these folders, the oldest first."""
    seqs: set[int] = set()
    for folder in folders:
        start = os.fsencode(folder) + b"/"
        # "0" follows "/": the range has every path that begins with the folder's.
        rows = db.execute("SELECT DISTINCT seq FROM history_file WHERE path >= ? AND path < ?", (start, start[:-1] + b"0"))
        seqs.update(seq for (seq,) in rows)
    query = f"SELECT {_COLUMNS} FROM history WHERE seq = ?"  # noqa: S608 - constants
    for seq in sorted(seqs):
        columns = db.execute(query, (seq,)).fetchone()
        if columns is not None:
            yield read_record(_to_row, columns)


def row_of_seq(db: sqlite3.Connection, seq: int) -> tuple[HistoryRow, int]:
    """Return the row with this number and the bytes of its texts."""
    columns = db.execute(f"SELECT {_COLUMNS} FROM history WHERE seq = ?", (seq,)).fetchone()  # noqa: S608 - constants
    return read_record(_to_row, columns), sum(len(value) for value in columns if isinstance(value, str | bytes))


def job_results(db: sqlite3.Connection, after: int, limit: int) -> list[JobResults]:
    """Return the results of the last ``limit`` jobs whose rows have a number above ``after``, the oldest first.

    Only a record that may have remarks is read: most have none, and a flood has thousands of rows.
    """
    newest = last_seq(db)
    if after > newest:
        after = 0  # another journal has taken the place of the one that the number is from
    after = max(after, newest - limit)  # of two limits in the query, SQLite would search by the first alone
    marks = " OR ".join(f"instr(record, '{mark}')" for mark in _REMARK_MARKS)
    query = (
        f"SELECT seq, job_id, parent_job_id, results, CASE WHEN {marks} THEN record ELSE '' END FROM history "  # noqa: S608 - constants
        "WHERE seq > ? AND outcome IN ('passed', 'delivered') ORDER BY seq"
    )
    return [read_record(_to_job_results, row) for row in db.execute(query, (after,))]


def index_files(db: sqlite3.Connection) -> None:
    """Fill the index of files and the column of names for the rows of an older journal."""
    query = f"SELECT seq, {_COLUMNS} FROM history ORDER BY seq"  # noqa: S608 - constants
    for seq, *columns in db.execute(query):
        row = read_record(_to_row, tuple(columns))
        db.execute("UPDATE history SET name = ? WHERE seq = ?", (file_name(row.path), seq))
        db.executemany(_INSERT_FILE, [(os.fsencode(path), seq) for path in row.file_paths()])


def index_versions(db: sqlite3.Connection) -> None:
    """Fill the table of picture files for the rows of an older journal."""
    for columns in db.execute(f"SELECT {_COLUMNS} FROM history ORDER BY seq"):  # noqa: S608 - constants
        insert_versions(db, read_record(_to_row, columns))


def file_name(path: str) -> bytes:
    """Return the folded name of a file, without its folders."""
    return os.fsencode(fold_name(path.rpartition("/")[2]))


def to_json(value: object) -> str:
    """Return the value as ASCII JSON: file names with undecodable bytes hold surrogates, which UTF-8 cannot encode."""
    return json.dumps(value, separators=(",", ":"))


def _to_job_results(columns: tuple[Any, ...]) -> JobResults:
    seq, job_id, parent_job_id, results, record = columns
    remarks = remarks_in_record(json.loads(record)) if record else []
    return JobResults(seq, job_id, parent_job_id, tuple(json.loads(results)), tuple(remarks))


def _to_row(columns: tuple[Any, ...]) -> HistoryRow:
    job_id, path, sha256, started_at, taken_at, stage, outcome, results, parent_job_id, record = columns
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
