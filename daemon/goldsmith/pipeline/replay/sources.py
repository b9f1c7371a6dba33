"""Finds what a delivery was made of: originals in the archive by their hashes, and what it took from the library."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from goldsmith.errors import Problem
from goldsmith.files import FOLDER_FLAGS, At, Filesystem, display_name, is_regular
from goldsmith.library.library import SHELVES, comes_with_the_program
from goldsmith.pipeline.commit.naming import ARCHIVE

_BLOCK = 1 << 20
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EISDIR})
"""Nothing is there, or a link or a pipe, which is as good as nothing: the daemon puts neither into the archive."""


class Missing(Problem):
    """Something that a delivery was made of is not to be had."""


class Sources:
    """Reads the archive and the library of one root, and copies from there. Links are not followed, whoever laid them."""

    def __init__(self, root: Path, most: int) -> None:
        self._root = root
        self._most = most
        """Bytes of the largest file that is taken, as for a lane."""
        self._fs = Filesystem()

    def original(self, path: str, sha256: str, places: Sequence[str], to: Path) -> None:
        """Copy the file that once lay at ``path`` to ``to``. ``places``: where the record says it was put.

        What is at another number or under another day is found as well, by its hash. Raises Missing with where was looked.
        """
        looked: list[str] = []
        for place in self._places(path, places):
            found = self._copy(place, to, sha256)
            if found == sha256:
                return
            if found:
                looked.append(f"{place} is another file now (sha256 {found[:12]}…)")
        where = "; ".join(map(display_name, looked[:3])) or f"nothing lies at {display_name(next(iter(places), f'{ARCHIVE}/*/{path}'))}"
        raise Missing(f"{display_name(path)} (sha256 {sha256[:12]}…) is not in the archive: {where}.")

    def shelved(self, name: str, to: Path) -> str:
        """Copy ``library/<name>``, or what ships under that name, to ``to``; the hash that it has now. Raises Missing."""
        shelf, _, file = name.partition("/")
        if shelf not in SHELVES or file in ("", ".", "..") or "/" in file or "\0" in file:
            raise Missing(f"library/{display_name(name)} is no place in the library.")
        found = self._copy(f"library/{name}", to)
        ships = None if found else comes_with_the_program(shelf, file)
        if ships is not None:
            with ships.open("rb") as data:
                found = self._streamed(data, ships.stat().st_size, to)
        if not found:
            raise Missing(f"library/{display_name(name)} is no longer there.")
        return found

    def _places(self, path: str, places: Sequence[str]) -> Iterator[str]:
        """Where it was put; beside that, under the numbers that files of one name get; then the same on every other day."""
        told: set[str] = set()
        days = sorted(self._names(ARCHIVE))
        for place in (*places, *(f"{ARCHIVE}/{day}/{path}" for day in days)):
            folder, _, name = place.rpartition("/")
            own, suffix = os.path.splitext(re.sub(r"~\d+(?=\.[^.]*$|$)", "", name))
            numbered = re.compile(re.escape(own) + r"~\d+" + re.escape(suffix))
            beside = [f"{folder}/{each}" for each in sorted(self._names(folder)) if numbered.fullmatch(each)]
            for each in (place, f"{folder}/{own}{suffix}", *beside):
                if each not in told:
                    told.add(each)
                    yield each

    def _names(self, folder: str) -> list[str]:
        with contextlib.suppress(OSError), self._folder(folder) as there:
            return os.listdir(there)
        return []

    def _copy(self, place: str, to: Path, wanted: str = "") -> str:
        """The hash of the ordinary file there, copied to ``to`` where that is ``wanted`` or nothing is; "" where there is none."""
        folder, _, name = place.rpartition("/")
        try:
            with self._folder(folder) as there, open(self._fs.open(At(there, name)), "rb") as file:
                status = os.fstat(file.fileno())
                if not is_regular(status):
                    return ""
                if status.st_size > self._most:
                    raise Missing(f"{display_name(place)} has {status.st_size >> 20} MiB; more than {self._most >> 20} MiB is not read.")
                found = self._streamed(file, status.st_size, to)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return ""
            raise
        if wanted not in ("", found):
            to.unlink()
        return found

    def _streamed(self, file: BinaryIO, size: int, to: Path) -> str:
        """The hash of the file, copied block by block: no more of it than it had when it was opened."""
        digest = hashlib.sha256()
        to.parent.mkdir(parents=True, exist_ok=True)
        with to.open("wb") as copy:
            while size > 0 and (block := file.read(min(size, _BLOCK))):
                copy.write(block)
                digest.update(block)
                size -= len(block)
        return digest.hexdigest()

    @contextlib.contextmanager
    def _folder(self, path: str) -> Iterator[int]:
        """The folder at a path relative to the root, reached without following a link. Raises OSError."""
        there = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in path.split("/"):
                inner = os.open(part, FOLDER_FLAGS, dir_fd=there)
                os.close(there)
                there = inner
            yield there
        finally:
            os.close(there)
