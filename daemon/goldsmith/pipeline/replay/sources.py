"""Finds the sources of a delivery: originals in the archive by their hashes, and files of the library."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from goldsmith.errors import InputError
from goldsmith.files import display_name
from goldsmith.library.library import LIBRARY_FOLDERS, shipped_file
from goldsmith.pipeline.commit.naming import ARCHIVE_FOLDER
from goldsmith.root_folder import RootFolder

_BLOCK_BYTES = 1 << 20
_MISSING_ERRNOS = frozenset({errno.ENOENT, errno.ENOTDIR})


class MissingSource(InputError):
    """A source of a delivery is missing."""


class ReplaySources:
    """Copies files from the archive and the library of one root. Links are never followed."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        self._root = RootFolder(root)
        # Bytes of the largest file that is copied, as in a worker.
        self._max_bytes = max_bytes
        # The hashes that ``find_original`` has read, by path.
        self._hashes: dict[str, str] = {}

    def copy_original(self, path: str, sha256: str, archived_paths: Sequence[str], target: Path) -> None:
        """Copy the original that was once at ``path`` to ``target``. ``archived_paths`` are its recorded places.

        It is found by its hash under another number or another day, too. Raises MissingSource with the searched places.
        """
        self._search(path, sha256, archived_paths, lambda place: self._copy(place, target, sha256))

    def find_original(self, path: str, sha256: str, archived_paths: Sequence[str]) -> str:
        """Return where the original that was once at ``path`` lies in the archive. No file is hashed twice. Raises MissingSource."""
        return self._search(path, sha256, archived_paths, self._hash)

    def _search(self, path: str, sha256: str, archived_paths: Sequence[str], read: Callable[[str], str]) -> str:
        """Return the first place of which ``read`` returns this hash. Raises MissingSource with the searched places."""
        mismatches: list[str] = []
        for place in self._candidate_paths(path, archived_paths):
            read_sha256 = read(place)
            if read_sha256 == sha256:
                return place
            if read_sha256:
                mismatches.append(f"{place} is now another file (sha256 {read_sha256[:12]}…)")
        where = (
            "; ".join(map(display_name, mismatches[:3]))
            or f"there is no file at {display_name(next(iter(archived_paths), f'{ARCHIVE_FOLDER}/*/{path}'))}"
        )
        raise MissingSource(f"{display_name(path)} (sha256 {sha256[:12]}…) is not in the archive: {where}.")

    def copy_library_file(self, name: str, target: Path) -> str:
        """Copy ``library/<name>``, or the shipped file of that name, to ``target`` and return its SHA-256. Raises MissingSource."""
        folder, _, file = name.partition("/")
        if folder not in LIBRARY_FOLDERS or file in ("", ".", "..") or "/" in file or "\0" in file:
            raise MissingSource(f"library/{display_name(name)} is not a path in the library.")
        copied_sha256 = self._copy(f"library/{name}", target)
        ships = None if copied_sha256 else shipped_file(folder, file)
        if ships is not None:
            with ships.open("rb") as data:
                copied_sha256 = self._copy_stream(data, ships.stat().st_size, target)
        if not copied_sha256:
            raise MissingSource(f"library/{display_name(name)} is no longer there.")
        return copied_sha256

    def _candidate_paths(self, path: str, archived_paths: Sequence[str]) -> Iterator[str]:
        """Yield the recorded paths, the numbered names beside them, and then the same for every other day."""
        earlier_paths: set[str] = set()
        days = sorted(self._list_names(ARCHIVE_FOLDER))
        for place in (*archived_paths, *(f"{ARCHIVE_FOLDER}/{day}/{path}" for day in days)):
            folder, _, name = place.rpartition("/")
            base, suffix = os.path.splitext(re.sub(r"~\d+(?=\.[^.]*$|$)", "", name))
            numbered = re.compile(re.escape(base) + r"~\d+" + re.escape(suffix))
            beside = [f"{folder}/{each}" for each in sorted(self._list_names(folder)) if numbered.fullmatch(each)]
            for each in (place, f"{folder}/{base}{suffix}", *beside):
                if each not in earlier_paths:
                    earlier_paths.add(each)
                    yield each

    def _list_names(self, folder: str) -> list[str]:
        file_names, folder_names = self._root.list_names(folder)
        return [*file_names, *folder_names]

    def _hash(self, path: str) -> str:
        """Return the SHA-256 of an ordinary file; "" if there is none."""
        if path not in self._hashes:
            fd = self._open(path)
            if fd is None:
                return ""
            with os.fdopen(fd, "rb") as file:
                self._hashes[path] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._hashes[path]

    def _open(self, path: str) -> int | None:
        """Return the descriptor of an ordinary file, or None if there is none."""
        try:
            return self._root.open_file(path)
        except InputError:
            return None  # the daemon never puts links, pipes or devices into the archive
        except OSError as error:
            if error.errno in _MISSING_ERRNOS:
                return None
            raise

    def _copy(self, path: str, target: Path, expected_sha256: str = "") -> str:
        """Copy an ordinary file to ``target`` and return its SHA-256; "" if there is none. A copy with an unexpected hash is removed."""
        fd = self._open(path)
        if fd is None:
            return ""
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(fd)
            if status.st_size > self._max_bytes:
                raise MissingSource(
                    f"{display_name(path)} has {status.st_size >> 20} MiB; more than {self._max_bytes >> 20} MiB is not read."
                )
            copied_sha256 = self._copy_stream(file, status.st_size, target)
        if expected_sha256 not in ("", copied_sha256):
            target.unlink()
        return copied_sha256

    def _copy_stream(self, file: BinaryIO, size: int, target: Path) -> str:
        """Copy at most ``size`` bytes, the file's size when it was opened, and return their SHA-256."""
        digest = hashlib.sha256()
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as copy:
            while size > 0 and (block := file.read(min(size, _BLOCK_BYTES))):
                copy.write(block)
                digest.update(block)
                size -= len(block)
        return digest.hexdigest()
