"""Breaks a journal under the connection that has it open, like a failing disk."""

from __future__ import annotations

import sqlite3
from pathlib import Path

_PAGE_BYTES = 4096


def break_open_journal(path: Path) -> None:
    """Overwrite every page but the first, after a change by another connection, so that no connection trusts its cache."""
    db = sqlite3.connect(path, timeout=60.0)
    try:
        with db:
            db.execute("CREATE TABLE IF NOT EXISTS anything (value)")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        db.close()
    with path.open("r+b") as file:
        file.seek(_PAGE_BYTES)
        file.write(b"\x5a" * (path.stat().st_size - _PAGE_BYTES))
