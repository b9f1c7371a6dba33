"""Somebody who changes weights and covers it up."""

from __future__ import annotations

import os
from pathlib import Path


def change_in_place(path: Path, data: bytes) -> None:
    """Overwrite a file with other bytes of the same length, and restore its size and its times as far as a user can."""
    before = path.stat()
    assert len(data) == before.st_size
    while True:  # a kernel before 6.13 needs several tries, because its ctime advances once in some milliseconds
        with path.open("r+b") as file:
            file.write(data)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        after = path.stat()
        assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
        if after.st_ctime_ns != before.st_ctime_ns:
            return
