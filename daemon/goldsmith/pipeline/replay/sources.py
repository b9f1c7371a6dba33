"""Finds what a delivery was made of: originals in the archive by their hashes, and what it took from the library."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from goldsmith.errors import InputError
from goldsmith.files import OPEN_FOLDER_FLAGS, Filesystem, PathAt, display_name
from goldsmith.library.library import LIBRARY_FOLDERS, shipped_file
from goldsmith.pipeline.commit.naming import ARCHIVE_FOLDER

_BLOCK_BYTES = 1 << 20
# Nothing is there, or a link or a pipe, which is as good as nothing: the daemon puts neither into the archive.
_MISSING_ERRNOS = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EISDIR})


class MissingSource(InputError):
    """Something that a delivery was made of is not to be had."""


class ReplaySources:
    """Reads the archive and the library of one root, and copies from there. Links are not followed, whoever laid them."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        self._root = root
        # Bytes of the largest file that is taken, as for a lane.
        self._max_bytes = max_bytes
        self._fs = Filesystem()

    def copy_original(self, path: str, sha256: str, archived_paths: Sequence[str], target: Path) -> None:
        """Copy the file that once lay at ``path`` to ``to``. ``places``: where the record says it was put.

        What is at another number or under another day is found as well, by its hash. Raises Missing with where was looked.
        """
        looked: list[str] = []
        for place in self._candidate_paths(path, archived_paths):
            found = self._copy(place, target, sha256)
            if found == sha256:
                return
            if found:
                looked.append(f"{place} is another file now (sha256 {found[:12]}…)")
        where = (
            "; ".join(map(display_name, looked[:3]))
            or f"nothing lies at {display_name(next(iter(archived_paths), f'{ARCHIVE_FOLDER}/*/{path}'))}"
        )
        raise MissingSource(f"{display_name(path)} (sha256 {sha256[:12]}…) is not in the archive: {where}.")

    def copy_library_file(self, name: str, target: Path) -> str:
        """Copy ``library/<name>``, or what ships under that name, to ``to``; the hash that it has now. Raises Missing."""
        shelf, _, file = name.partition("/")
        if shelf not in LIBRARY_FOLDERS or file in ("", ".", "..") or "/" in file or "\0" in file:
            raise MissingSource(f"library/{display_name(name)} is no place in the library.")
        found = self._copy(f"library/{name}", target)
        ships = None if found else shipped_file(shelf, file)
        if ships is not None:
            with ships.open("rb") as data:
                found = self._copy_stream(data, ships.stat().st_size, target)
        if not found:
            raise MissingSource(f"library/{display_name(name)} is no longer there.")
        return found

    def _candidate_paths(self, path: str, archived_paths: Sequence[str]) -> Iterator[str]:
        """Where it was put; beside that, under the numbers that files of one name get; then the same on every other day."""
        told: set[str] = set()
        days = sorted(self._list_names(ARCHIVE_FOLDER))
        for place in (*archived_paths, *(f"{ARCHIVE_FOLDER}/{day}/{path}" for day in days)):
            folder, _, name = place.rpartition("/")
            own, suffix = os.path.splitext(re.sub(r"~\d+(?=\.[^.]*$|$)", "", name))
            numbered = re.compile(re.escape(own) + r"~\d+" + re.escape(suffix))
            beside = [f"{folder}/{each}" for each in sorted(self._list_names(folder)) if numbered.fullmatch(each)]
            for each in (place, f"{folder}/{own}{suffix}", *beside):
                if each not in told:
                    told.add(each)
                    yield each

    def _list_names(self, folder: str) -> list[str]:
        with contextlib.suppress(OSError), self._open_folder(folder) as there:
            return os.listdir(there)
        return []

    def _copy(self, path: str, target: Path, expected_sha256: str = "") -> str:
        """The hash of the ordinary file there, copied to ``to`` where that is ``wanted`` or nothing is; "" where there is none."""
        folder, _, name = path.rpartition("/")
        try:
            with self._open_folder(folder) as there, open(self._fs.open(PathAt(there, name)), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    return ""
                if status.st_size > self._max_bytes:
                    raise MissingSource(
                        f"{display_name(path)} has {status.st_size >> 20} MiB; more than {self._max_bytes >> 20} MiB is not read."
                    )
                found = self._copy_stream(file, status.st_size, target)
        except OSError as error:
            if error.errno in _MISSING_ERRNOS:
                return ""
            raise
        if expected_sha256 not in ("", found):
            target.unlink()
        return found

    def _copy_stream(self, file: BinaryIO, size: int, target: Path) -> str:
        """The hash of the file, copied block by block: no more of it than it had when it was opened."""
        digest = hashlib.sha256()
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as copy:
            while size > 0 and (block := file.read(min(size, _BLOCK_BYTES))):
                copy.write(block)
                digest.update(block)
                size -= len(block)
        return digest.hexdigest()

    @contextlib.contextmanager
    def _open_folder(self, path: str) -> Iterator[int]:
        """The folder at a path relative to the root, reached without following a link. Raises OSError."""
        there = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in path.split("/"):
                inner = os.open(part, OPEN_FOLDER_FLAGS, dir_fd=there)
                os.close(there)
                there = inner
            yield there
        finally:
            os.close(there)
