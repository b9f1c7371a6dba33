"""The journal's tables, as small named migrations. Never edit a released migration: add another one.

Paths and folded names are BLOBs, because a name on a share need not be valid UTF-8.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

from goldsmith.errors import UsageError
from goldsmith.journal.history_table import index_files, index_versions

MIGRATIONS: tuple[tuple[str, str], ...] = (
    (
        "plans, placed files and placed versions",
        """
        CREATE TABLE plan (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, body TEXT NOT NULL);
        CREATE TABLE placed_file (
            path BLOB PRIMARY KEY, dev INTEGER NOT NULL, ino INTEGER NOT NULL, size INTEGER NOT NULL,
            mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, sha256 TEXT NOT NULL, job_id TEXT NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE placed_version (folder BLOB, stem BLOB, number INTEGER, PRIMARY KEY (folder, stem, number)) WITHOUT ROWID
        """,
    ),
    (
        "history",
        """
        CREATE TABLE history (
            seq INTEGER PRIMARY KEY, job_id TEXT NOT NULL, path BLOB NOT NULL, sha256 TEXT NOT NULL, started_at REAL NOT NULL,
            taken_at REAL NOT NULL, stage TEXT NOT NULL, outcome TEXT NOT NULL, results TEXT NOT NULL, parent_job_id TEXT NOT NULL,
            record TEXT NOT NULL
        );
        CREATE INDEX history_job ON history (job_id);
        CREATE INDEX history_path ON history (path)
        """,
    ),
    (
        "queued and running jobs, attempts and holds",
        """
        CREATE TABLE active_job (
            seq INTEGER PRIMARY KEY, job_id TEXT NOT NULL UNIQUE, stage TEXT NOT NULL, queue TEXT NOT NULL, path BLOB NOT NULL,
            queued_at REAL NOT NULL, started_at REAL, lease_until REAL, step INTEGER NOT NULL DEFAULT 0, op TEXT NOT NULL DEFAULT '',
            fraction REAL NOT NULL DEFAULT 0, note TEXT NOT NULL DEFAULT ''
        );
        CREATE TABLE attempt (path BLOB, fingerprint TEXT, count INTEGER NOT NULL, PRIMARY KEY (path, fingerprint)) WITHOUT ROWID;
        CREATE TABLE hold (
            path BLOB PRIMARY KEY, fingerprint TEXT NOT NULL, sentence TEXT NOT NULL, remedy TEXT NOT NULL, note_path BLOB NOT NULL,
            since REAL NOT NULL
        ) WITHOUT ROWID
        """,
    ),
    (
        "an index of the files in the history",
        """
        CREATE TABLE history_file (path BLOB, seq INTEGER, PRIMARY KEY (path, seq)) WITHOUT ROWID;
        ALTER TABLE history ADD COLUMN name BLOB NOT NULL DEFAULT x'';
        CREATE INDEX history_name ON history (name);
        CREATE INDEX history_parent ON history (parent_job_id) WHERE parent_job_id <> '';
        CREATE INDEX history_taken ON history (taken_at);
        CREATE INDEX placed_file_job ON placed_file (job_id);
        CREATE TABLE prune (at REAL NOT NULL, archived_before TEXT NOT NULL)
        """,
    ),
    ("the source of each placed version", "ALTER TABLE placed_version ADD COLUMN source BLOB NOT NULL DEFAULT x''"),
    (
        "the kept parts of unfinished steps",
        """
        CREATE TABLE kept_part (
            key TEXT PRIMARY KEY, path BLOB NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL, made_at REAL NOT NULL
        ) WITHOUT ROWID;
        CREATE INDEX kept_part_path ON kept_part (path)
        """,
    ),
    (
        "the picture files in the history",
        """
        CREATE TABLE picture_version (
            seq INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, job_id TEXT NOT NULL, is_result INTEGER NOT NULL, path BLOB NOT NULL,
            document_id TEXT NOT NULL, look BLOB NOT NULL, place BLOB NOT NULL, name BLOB NOT NULL
        );
        CREATE INDEX picture_version_hash ON picture_version (sha256);
        CREATE INDEX picture_version_id ON picture_version (document_id) WHERE document_id <> '';
        CREATE INDEX picture_version_place ON picture_version (place);
        CREATE INDEX picture_version_name ON picture_version (name);
        CREATE INDEX picture_version_job ON picture_version (job_id)
        """,
    ),
)
# What fills the new tables and columns of a migration from the old rows, by the migration's name.
_FILLED_BY: dict[str, Callable[[sqlite3.Connection], None]] = {
    "an index of the files in the history": index_files,
    "the picture files in the history": index_versions,
}


def pending_migrations(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the migrations that this journal lacks. Raises UsageError if it has one that this version does not know."""
    known = [name for name, _ in MIGRATIONS]
    has_table = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'migration'").fetchone()
    applied = {row[0] for row in connection.execute("SELECT name FROM migration")} if has_table else set()
    if unknown := applied.difference(known):
        raise UsageError(
            f"The journal was written by a newer Goldsmith (it has {min(unknown)!r}, which this version does not know).",
            "Run the newer version, or set state_dir to another folder.",
        )
    return [name for name in known if name not in applied]


def migrate(connection: sqlite3.Connection) -> None:
    """Apply the missing migrations, each in its own transaction."""
    pending = pending_migrations(connection)
    connection.execute("CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY, at REAL NOT NULL)")
    for name, statements in MIGRATIONS:
        if name in pending:
            _apply_migration(connection, name, statements)


def _apply_migration(connection: sqlite3.Connection, name: str, statements: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements.split(";"):
            connection.execute(statement)
        if name in _FILLED_BY:
            _FILLED_BY[name](connection)
        connection.execute("INSERT INTO migration VALUES (?, ?)", (name, time.time()))
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
