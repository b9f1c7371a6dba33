"""Small text files of a share (briefs and prompts): each is read safely, and again only after a change."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from goldsmith.brief.other_files import START_BYTES
from goldsmith.brief.parsing import MAX_FILE_BYTES, check_size
from goldsmith.errors import InputError, UnreadableFileError
from goldsmith.files import EXHAUSTED_ERRNOS, MACHINE_ERRNOS, FileSignature, display_name
from goldsmith.mounts import synced_status
from goldsmith.root_folder import RootFolder, read_start

# Maximum number of files in the cache, and of bytes in them: a text has at most 256 KiB, and a brief usually less than one.
_MAX_CACHED = 4096
_MAX_CACHED_BYTES = 8 * 2**20
_DISK_REMEDY = "Check the disk and the mount of its folder. It is tried again by itself."
_PERMISSION_REMEDY = "Let Goldsmith's user read it and enter its folders (chmod g+rX). It is tried again by itself."


@dataclass(frozen=True, slots=True)
class TextFile:
    """The bytes of one small file, their hash, and the file's signature when it was read."""

    data: bytes
    sha256: str
    sig: FileSignature


class TextFileCache:
    """Reads briefs and prompts below the root, and keeps the contents of unchanged files."""

    def __init__(self, root: Path) -> None:
        self._root = RootFolder(root)
        self._cache: OrderedDict[str, TextFile] = OrderedDict()
        self._cached_bytes = 0

    def read(self, path: str) -> TextFile:
        """Return the file at ``path`` (relative to the root).

        Raises UnreadableFileError if the system refuses to read it, InputError if it is gone, no ordinary file, or over 256 KiB, and
        OSError if the machine has no descriptors or memory left.
        """
        try:
            status = self._root.lstat(path)
            cached = self._cache.get(path)
            if cached is not None and cached.sig == FileSignature.from_stat(status):
                return cached
            text = self._read(path)
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(f"{display_name(path)} is gone.") from None
        except OSError as error:
            if error.errno in EXHAUSTED_ERRNOS:
                raise
            remedy = _DISK_REMEDY if error.errno in MACHINE_ERRNOS else _PERMISSION_REMEDY
            raise UnreadableFileError(f"{display_name(path)} cannot be read: {error.strerror}.", remedy) from error
        self._keep(path, text)
        return text

    def _keep(self, path: str, text: TextFile) -> None:
        """Put a text into the cache, and take the oldest ones out that are too many or too large together."""
        replaced = self._cache.pop(path, None)
        self._cached_bytes += len(text.data) - (len(replaced.data) if replaced is not None else 0)
        self._cache[path] = text
        while len(self._cache) > _MAX_CACHED or self._cached_bytes > _MAX_CACHED_BYTES:
            self._cached_bytes -= len(self._cache.popitem(last=False)[1].data)

    def read_bytes(self, path: str) -> bytes:
        """Return the bytes of the file at ``path``. Raises InputError as ``read`` does."""
        return self.read(path).data

    def _read(self, path: str) -> TextFile:
        descriptor = self._root.open_file(path)
        try:
            status = synced_status(descriptor)
            if status.st_size > MAX_FILE_BYTES:
                check_size(status.st_size, display_name(os.path.basename(path)), read_start(descriptor, START_BYTES))
            data = read_start(descriptor, status.st_size)
            return TextFile(data, hashlib.sha256(data).hexdigest(), FileSignature.from_stat(status))
        finally:
            os.close(descriptor)
