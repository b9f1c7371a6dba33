"""Hashes of weights, read once: what was found right is noted with the file's size and time, so that every later look costs a ``stat``."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path


def file_sha256(path: Path) -> str:
    """The sha256 of a file, as 64 hex digits."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


class HashCache:
    """What was read and found right: of each path its hash, size and time, in one file a model."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f".{name}.checked.json"

    def is_verified(self, path: Path, sha256: str) -> bool:
        """True where the file was found to have that hash and has not been touched since."""
        return self._read().get(str(path)) == _stamp(path, sha256)

    def add(self, found: Mapping[Path, str]) -> None:
        """Note these hashes. A models folder nobody may write to is read again by each process."""
        noted = {**self._read(), **{str(path): _stamp(path, sha256) for path, sha256 in found.items()}}
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(noted), encoding="ascii")
            temporary.replace(self._path)

    def _read(self) -> dict[str, list[str | int]]:
        try:
            noted = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return noted if isinstance(noted, dict) else {}


def _stamp(path: Path, sha256: str) -> list[str | int]:
    status = path.stat()
    return [sha256, status.st_size, status.st_mtime_ns]


def _stamp_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.checked")


def read_stamp(path: Path) -> list[str | int] | None:
    """What was noted about a single file: its hash, size and time when it was found right."""
    try:
        known: list[str | int] = json.loads(_stamp_path(path).read_bytes())
    except (OSError, ValueError):
        return None
    return known


def write_stamp(path: Path, stamp: list[str | int]) -> None:
    """Remember that the file was read and found right. A models folder nobody may write to is read again by each process."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.checking")
    with contextlib.suppress(OSError):
        temporary.write_text(json.dumps(stamp), encoding="ascii")
        temporary.replace(_stamp_path(path))
