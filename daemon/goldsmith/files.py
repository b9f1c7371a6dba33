"""Files on a share: what one is (signature, folded name, litter), and how one is put down whole or not at all."""

from __future__ import annotations

import os
import stat
import unicodedata
from typing import NamedTuple

_LITTER_PREFIXES = (".", "~$", "#", "~syncthing~")
_LITTER_SUFFIXES = (
    *("~", ".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".download", ".opdownload"),
    *(".aria2", ".aria2__temp", ".swp", ".lock", ".bak", ".icloud"),
)
_LITTER_NAMES = frozenset({"thumbs.db", "desktop.ini"})
_LITTER_FOLDERS = frozenset({"@eadir", "__macosx", "#recycle", "lost+found", "$recycle.bin", "system volume information"})


class Sig(NamedTuple):
    """What a file is without reading it; two equal signatures of a path mean that nothing was written in between."""

    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Sig:
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def same_content(self, other: Sig) -> bool:
        """Equal but for ctime and device: a rename on the same filesystem changes ctime and nothing else."""
        return (self.ino, self.size, self.mtime_ns) == (other.ino, other.size, other.mtime_ns)


def fold(name: str) -> str:
    """The name as names are compared: NFC, case folded. Undecodable bytes (surrogates) stay as they are."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def is_litter(name: str) -> bool:
    """True for names that are never an asset: dot-files, editors' and browsers' temporary files, what file managers drop."""
    low = name.casefold()
    return (
        low.startswith(_LITTER_PREFIXES)
        or low.endswith(_LITTER_SUFFIXES)
        or low in _LITTER_NAMES
        or "conflicted copy" in low
        or ".sync-conflict-" in low
    )


def is_litter_folder(name: str) -> bool:
    """True for folders that are never walked into."""
    return name.startswith((".", "~$")) or name.casefold() in _LITTER_FOLDERS


def is_regular(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode)
