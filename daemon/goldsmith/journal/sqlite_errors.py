"""The errors of SQLite as errors for people. They are told apart by SQLite's result codes, never by their texts."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from goldsmith.errors import HostError

# The low byte of a result code is its kind (https://sqlite.org/rescode.html).
_KIND = 0xFF
_BROKEN_KINDS = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_DEFAULT_REMEDY = "Check its disk: free space, mount and permissions."
_REMEDIES = {
    sqlite3.SQLITE_FULL: "Free some space on its disk. Work goes on by itself.",
    sqlite3.SQLITE_IOERR: "Check its disk: the system's log (dmesg) says what failed.",
    sqlite3.SQLITE_READONLY: "Mount its disk for writing, or let Goldsmith's user write to the file and its folder.",
    sqlite3.SQLITE_CANTOPEN: "Check that its folder is there, and that Goldsmith's user may read and write the file and its folder.",
    sqlite3.SQLITE_PERM: "Let Goldsmith's user read and write the file and its folder.",
    sqlite3.SQLITE_BUSY: "Another program holds it, for example a backup: wait for that program, or end it.",
    sqlite3.SQLITE_LOCKED: "Another program holds it, for example a backup: wait for that program, or end it.",
}


class JournalError(HostError):
    """The journal cannot be read or written at the moment: its disk, its permissions or another program is at fault."""


class JournalBroken(JournalError):
    """The content of the journal is damaged. Nothing that the disk or a person does later makes it readable again."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"The journal {path} is broken: {reason}.",
            "A running Goldsmith sets it aside by itself; otherwise start `goldsmith run`. The pictures are safe in the folders.",
        )
        self.reason = reason


class _DamagedRecord(Exception):
    """A record that no version of Goldsmith has written so."""


Columns = TypeVar("Columns")
Record = TypeVar("Record")


def read_record(convert: Callable[[Columns], Record], columns: Columns) -> Record:
    """Return the record that ``convert`` makes of the columns of a row. SQLite keeps no checksums, so a damaged page may give any value.

    Inside ``translate_errors``, a row from which no record can be made is damage of the journal.
    """
    try:
        return convert(columns)
    except (ValueError, TypeError) as error:
        raise _DamagedRecord from error


@contextlib.contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Raise JournalBroken for damaged content, and JournalError in place of every other error of SQLite."""
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.IntegrityError):
        raise
    except sqlite3.DatabaseError as error:
        kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & _KIND
        if kind in _BROKEN_KINDS:
            raise JournalBroken(path, str(error)) from error
        raise JournalError(f"The journal {path} cannot be used: {error}.", _REMEDIES.get(kind, _DEFAULT_REMEDY)) from error
    except _DamagedRecord as error:
        raise JournalBroken(path, "one of its records cannot be read") from error
