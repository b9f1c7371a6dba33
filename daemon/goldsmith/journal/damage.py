"""Damage of a journal: what shows before SQLite reads a record, and how a broken journal is set aside.

A full disk, a missing permission or a lock never counts as damage: those errors pass, and the journal with them stays where it is.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import stat
import struct
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from goldsmith.journal.migrations import MIGRATIONS
from goldsmith.journal.sqlite_errors import JournalBroken, JournalError

# The files that SQLite keeps beside a journal.
_COMPANIONS = ("-wal", "-shm")
_BROKEN_SUFFIX = ".broken-"
_CREATED_TABLE = re.compile(r"CREATE TABLE (\w+)")
# The small tables, without which no plan is safe. The large ones are checked when they are read, and by `goldsmith doctor`.
_SMALL_TABLES = ("plan", "active_job", "attempt", "hold", "migration")
# The header of a write-ahead log (https://sqlite.org/fileformat2.html#walformat): magic number, version, page size, checkpoint, salts and
# checksum. The lowest bit of the magic number gives the byte order of the checksum.
_WAL_MAGIC = 0x377F0682
_WAL_HEADER_BYTES = 32
_WAL_BLOCK_BYTES = 1 << 20


def check_files(path: Path, *, with_log: bool = True) -> None:
    """Raise JournalBroken if the journal is no ordinary file, is empty, or has a write-ahead log that SQLite would drop without a word.

    ``with_log``: look at the log, too, which a running daemon may be writing. A missing journal is no damage. Raises JournalError if the
    files cannot be looked at.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise JournalBroken(path, "a folder is in its place" if stat.S_ISDIR(status.st_mode) else "it is not an ordinary file")
        if status.st_size == 0:
            raise JournalBroken(path, "it is empty")
        if with_log:
            _check_log(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise JournalError(f"The journal {path} cannot be read: {error.strerror}.", "Let Goldsmith's user read and write it.") from error


def check_tables(db: sqlite3.Connection, path: Path) -> None:
    """Raise JournalBroken if a table is missing or one of the small tables is damaged. It costs the same however long the history is."""
    present = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for table in (name for _, statements in MIGRATIONS for name in _CREATED_TABLE.findall(statements)):
        if table not in present:
            raise JournalBroken(path, f"its table {table} is missing")
    for table in _SMALL_TABLES:
        if (fault := db.execute(f"PRAGMA quick_check('{table}')").fetchone()[0]) != "ok":
            raise JournalBroken(path, str(fault))


def find_damage(db: sqlite3.Connection, seconds: float) -> tuple[str, bool]:
    """Look through the whole journal, and return the first damage, or "", and whether there was time to look at everything."""
    end = time.monotonic() + seconds
    # The handler is not called while SQLite walks through a table's pages, but an interrupt ends that, too.
    db.set_progress_handler(lambda: time.monotonic() > end, 1000)
    timer = threading.Timer(seconds, db.interrupt)
    timer.start()
    try:
        fault = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return "", False
    finally:
        timer.cancel()
        timer.join()  # so that it interrupts no later statement
        db.set_progress_handler(None, 0)
    if time.monotonic() > end:  # pages that were not reached look unused
        return "", False
    return ("" if fault == "ok" else " ".join(fault.split())), True


def set_aside(path: Path, now: float) -> Path:
    """Rename a broken journal and its companions to ``journal.sqlite.broken-DATE``, and return its new path. Raises JournalError.

    ``now`` is in Unix seconds; the date is in UTC. The log moves first: beside a new journal, SQLite would take it for that journal's.
    """
    day = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
    kept, number = path.with_name(f"{path.name}{_BROKEN_SUFFIX}{day}"), 2
    while any(os.path.lexists(f"{kept}{ending}") for ending in ("", *_COMPANIONS)):
        kept, number = path.with_name(f"{path.name}{_BROKEN_SUFFIX}{day}.{number}"), number + 1
    try:
        for ending in (*_COMPANIONS, ""):
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{path}{ending}", f"{kept}{ending}")
    except OSError as error:
        raise JournalError(
            f"The broken journal {path} cannot be moved aside: {error.strerror}.", "Let Goldsmith's user write to its folder."
        ) from error
    return kept


def remove_journal(path: Path) -> None:
    """Remove a journal that was made a moment ago and has no record. What cannot be removed is found broken at the next start."""
    for ending in (*_COMPANIONS, ""):
        with contextlib.suppress(OSError):
            os.unlink(f"{path}{ending}")


def broken_journals(path: Path) -> list[Path]:
    """Return the journals that were set aside beside the one at ``path``, the oldest first; none if the folder cannot be read."""
    start = f"{path.name}{_BROKEN_SUFFIX}"
    with contextlib.suppress(OSError):
        names = sorted(name for name in os.listdir(path.parent) if name.startswith(start) and not name.endswith(_COMPANIONS))
        return [path.with_name(name) for name in names]
    return []


def replaced_remedy(kept: Path) -> str:
    """Return what a person should know about a broken journal that was set aside as ``kept``."""
    return (
        f"The broken journal is kept as {kept}, and Goldsmith goes on with a new one. The pictures are safe in the folders; the history "
        "from before is in the broken journal alone. Check the disk, and remove that file when you no longer need it."
    )


def _check_log(path: Path) -> None:
    """Raise JournalBroken if the log has records under a header that SQLite does not accept.

    SQLite then goes back to an older state, in which plans are open that were carried out long ago. A log of zeros alone has no record.
    """
    with contextlib.suppress(FileNotFoundError), open(f"{path}-wal", "rb") as log:
        header = log.read(_WAL_HEADER_BYTES)
        if len(header) < _WAL_HEADER_BYTES or _is_accepted(header):
            return
        if any(header) or any(any(block) for block in iter(lambda: log.read(_WAL_BLOCK_BYTES), b"")):
            raise JournalBroken(path, "its write-ahead log is damaged")


def _is_accepted(header: bytes) -> bool:
    words = struct.unpack(">8I", header)
    if words[0] & ~1 != _WAL_MAGIC:
        return False
    first = second = 0
    numbers = struct.unpack(f"{'>' if words[0] & 1 else '<'}6I", header[:24])
    for number, following in zip(numbers[::2], numbers[1::2], strict=True):
        first = (first + number + second) & 0xFFFF_FFFF
        second = (second + following + first) & 0xFFFF_FFFF
    return (first, second) == words[6:]
