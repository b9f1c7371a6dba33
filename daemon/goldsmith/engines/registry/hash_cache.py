"""A cache of hashes: a verified file is recorded with its size and time, so that every later check costs only a ``stat``."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, as 64 hex digits."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


class HashCache:
    """The verified files of one model: hash, size and time by path, stored in one file of the models folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f".{name}.checked.json"

    def is_verified(self, path: Path, sha256: str) -> bool:
        """Return whether the file was verified to have that hash and has not changed since."""
        return self._read().get(str(path)) == _stamp(path, sha256)

    def add(self, verified: Mapping[Path, str]) -> None:
        """Add verified files. If the models folder is read-only, nothing is stored: each process then hashes the files again."""
        records = {**self._read(), **{str(path): _stamp(path, sha256) for path, sha256 in verified.items()}}
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(records), encoding="ascii")
            temporary.replace(self._path)

    def _read(self) -> dict[str, list[str | int]]:
        try:
            records = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return records if isinstance(records, dict) else {}


def _stamp(path: Path, sha256: str) -> list[str | int]:
    status = path.stat()
    return [sha256, status.st_size, status.st_mtime_ns]


def _stamp_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.checked")


def read_stamp(path: Path) -> list[str | int] | None:
    """Return the recorded hash, size and time of a verified single file; None if there is no record."""
    try:
        stamp: list[str | int] = json.loads(_stamp_path(path).read_bytes())
    except (OSError, ValueError):
        return None
    return stamp


def write_stamp(path: Path, stamp: list[str | int]) -> None:
    """Record that the file was verified. If the models folder is read-only, nothing is stored: each process then hashes it again."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.checking")
    with contextlib.suppress(OSError):
        temporary.write_text(json.dumps(stamp), encoding="ascii")
        temporary.replace(_stamp_path(path))
