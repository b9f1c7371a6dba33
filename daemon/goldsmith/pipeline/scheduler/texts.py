"""Small text files of a share (briefs, prompts): read safely, once per change."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from goldsmith.brief.reading import MAX_BYTES, check_size
from goldsmith.errors import Problem
from goldsmith.files import Sig, open_input

_KEPT = 4096


@dataclass(frozen=True, slots=True)
class Text:
    """The bytes of one small file, their hash, and the file's signature while it was read."""

    data: bytes
    sha256: str
    sig: Sig


class Texts:
    """Reads briefs and prompts below the root; what has not changed since is not read again."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._kept: OrderedDict[str, Text] = OrderedDict()

    def read(self, path: str) -> Text:
        """The file at ``path`` (relative to the root). Raises Problem where it is no regular file or over 256 KiB."""
        try:
            status = os.lstat(self._root / path)
        except FileNotFoundError:
            raise Problem(f"{path} is gone.") from None
        known = self._kept.get(path)
        if known is not None and known.sig == Sig.of(status):
            return known
        text = self._read(path)
        self._kept[path] = text
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return text

    def bytes_of(self, path: str) -> bytes:
        """The bytes alone, as the judge asks for them."""
        return self.read(path).data

    def _read(self, path: str) -> Text:
        descriptor = open_input(self._root / path)
        try:
            status = os.fstat(descriptor)
            check_size(status.st_size, os.path.basename(path))
            data = _whole(descriptor)
            return Text(data, hashlib.sha256(data).hexdigest(), Sig.of(status))
        finally:
            os.close(descriptor)


def _whole(descriptor: int) -> bytes:
    parts = []
    room = MAX_BYTES + 1
    while room > 0 and (part := os.read(descriptor, room)):
        parts.append(part)
        room -= len(part)
    return b"".join(parts)
