"""Small text files of a share (briefs and prompts): each is read safely, and again only after a change."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from goldsmith.brief.parsing import MAX_FILE_BYTES, check_size
from goldsmith.errors import InputError
from goldsmith.files import FileSignature, open_input

# Maximum number of files in the cache.
_MAX_CACHED = 4096


@dataclass(frozen=True, slots=True)
class TextFile:
    """The bytes of one small file, their hash, and the file's signature when it was read."""

    data: bytes
    sha256: str
    sig: FileSignature


class TextFileCache:
    """Reads briefs and prompts below the root, and keeps the contents of unchanged files."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._cache: OrderedDict[str, TextFile] = OrderedDict()

    def read(self, path: str) -> TextFile:
        """Return the file at ``path`` (relative to the root). Raises InputError if it is gone, no regular file, or larger than 256 KiB."""
        try:
            status = os.lstat(self._root / path)
        except FileNotFoundError:
            raise InputError(f"{path} is gone.") from None
        cached = self._cache.get(path)
        if cached is not None and cached.sig == FileSignature.from_stat(status):
            return cached
        text = self._read(path)
        self._cache[path] = text
        if len(self._cache) > _MAX_CACHED:
            self._cache.popitem(last=False)
        return text

    def read_bytes(self, path: str) -> bytes:
        """Return the bytes of the file at ``path``. Raises InputError as ``read`` does."""
        return self.read(path).data

    def _read(self, path: str) -> TextFile:
        descriptor = open_input(self._root / path)
        try:
            status = os.fstat(descriptor)
            check_size(status.st_size, os.path.basename(path))
            data = _read_all(descriptor)
            return TextFile(data, hashlib.sha256(data).hexdigest(), FileSignature.from_stat(status))
        finally:
            os.close(descriptor)


def _read_all(fd: int) -> bytes:
    parts = []
    room = MAX_FILE_BYTES + 1
    while room > 0 and (part := os.read(fd, room)):
        parts.append(part)
        room -= len(part)
    return b"".join(parts)
