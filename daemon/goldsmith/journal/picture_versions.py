"""The table of picture files that went through the folders: by which a picture is known again by its bytes, its id, its place or its look.

Every query uses an index and a limit, so that it costs the same in a history of a million rows.
"""

from __future__ import annotations

import os
import posixpath
import sqlite3
from collections.abc import Collection, Iterable
from typing import Literal

from goldsmith.files import fold_name
from goldsmith.journal.records import HistoryRow, PictureVersion
from goldsmith.journal.sqlite_errors import read_record

_COLUMNS = "sha256, job_id, is_result, path, document_id, look"
_INSERT = f"INSERT INTO picture_version ({_COLUMNS}, place, name) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants
_SELECT = f"SELECT {_COLUMNS} FROM picture_version WHERE"  # noqa: S608 - constants
_NEWEST = "ORDER BY seq DESC LIMIT ?"


def insert_versions(db: sqlite3.Connection, row: HistoryRow) -> None:
    """Add the picture files that a row of the history names."""
    db.executemany(
        _INSERT,
        [
            (
                *(each.sha256, each.job_id, each.is_result, os.fsencode(each.path), each.document_id, each.look),
                *(_place(each.path), _name(each.path)),
            )
            for each in row.picture_versions()
        ],
    )


def remove_versions(db: sqlite3.Connection, job_ids: Iterable[str]) -> None:
    """Remove the files of these jobs."""
    db.executemany("DELETE FROM picture_version WHERE job_id = ?", [(job_id,) for job_id in job_ids])


def versions_by_hash(db: sqlite3.Connection, sha256: str, limit: int) -> list[PictureVersion]:
    """Return the files with these bytes, the newest first."""
    return _read(db, f"{_SELECT} sha256 = ? {_NEWEST}", (sha256, limit))


def first_taken(db: sqlite3.Connection, sha256: str) -> PictureVersion | None:
    """Return the first file with these bytes that a job took, or None."""
    return next(iter(_read(db, f"{_SELECT} sha256 = ? AND is_result = 0 ORDER BY seq LIMIT 1", (sha256,))), None)


def versions_by_id(db: sqlite3.Connection, document_id: str, limit: int) -> list[PictureVersion]:
    """Return the files with this id, the newest first."""
    return _read(db, f"{_SELECT} document_id = ? AND document_id <> '' {_NEWEST}", (document_id, limit))


def versions_at(db: sqlite3.Connection, path: str, limit: int) -> list[PictureVersion]:
    """Return the files that were put down at a path, the newest first. The suffix does not count, nor do upper and lower case."""
    return _read(db, f"{_SELECT} place = ? {_NEWEST}", (_place(path), limit))


def versions_named(db: sqlite3.Connection, names: Collection[str], limit: int) -> list[PictureVersion]:
    """Return the files with one of these names without suffix, in any folder, the newest first. Upper and lower case do not matter."""
    return _newest_of(db, "name", {os.fsencode(fold_name(name)) for name in names}, limit)


def versions_at_any(db: sqlite3.Connection, paths: Collection[str], limit: int) -> list[PictureVersion]:
    """Return the files that were put down at one of these paths, the newest first; compared as in ``versions_at``."""
    return _newest_of(db, "place", set(map(_place, paths)), limit)


def _newest_of(db: sqlite3.Connection, column: Literal["name", "place"], values: Collection[bytes], limit: int) -> list[PictureVersion]:
    # A query for each: for several values in one, SQLite reads and sorts all their files, and each campaign may have a “hero”.
    query = f"SELECT seq FROM picture_version WHERE {column} = ? {_NEWEST}"  # noqa: S608 - constants
    numbers = sorted((seq for value in values for (seq,) in db.execute(query, (value, limit))), reverse=True)
    return [version for seq in numbers[:limit] for version in _read(db, f"{_SELECT} seq = ?", (seq,))]


def _read(db: sqlite3.Connection, query: str, values: tuple[object, ...]) -> list[PictureVersion]:
    return [read_record(_to_version, row) for row in db.execute(query, values)]


def _to_version(columns: tuple[str, str, int, bytes, str, bytes]) -> PictureVersion:
    sha256, job_id, is_result, path, document_id, look = columns
    return PictureVersion(sha256, job_id, bool(is_result), os.fsdecode(path), document_id, bytes(look))


def _place(path: str) -> bytes:
    """Return a path without its suffix, folded."""
    return os.fsencode(fold_name(posixpath.splitext(path)[0]))


def _name(path: str) -> bytes:
    return os.fsencode(fold_name(posixpath.splitext(posixpath.basename(path))[0]))
