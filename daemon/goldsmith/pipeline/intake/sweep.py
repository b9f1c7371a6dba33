"""Reading the folders again: what is there now against what was known, one folder at a time, no file opened."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from goldsmith.files import is_litter, is_litter_folder
from goldsmith.pipeline.intake.index import LINK, SPECIAL, UNSEEN, Place, mark_of


@dataclass(slots=True)
class Swept:
    """What one reading of one folder brought up: names of files, names of folders."""

    appeared: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)


def sweep(path: str, place: Place) -> Swept:
    """Compare a folder on disk with what is known of it; the known marks are brought up to date, names are not.

    Files that rest without an instruction (mark UNSEEN) are not even looked at with stat. Symlinked folders are not entered.
    Raises OSError where the folder cannot be read.
    """
    found = Swept()
    known = place.names
    seen = 0
    there: set[str] = set()
    with os.scandir(path) as entries:
        for entry in entries:
            name = entry.name
            if entry.is_dir(follow_symlinks=False):
                if not is_litter_folder(name):
                    found.folders.append(name)
                continue
            mark = known.get(name)
            if mark is None:
                if not is_litter(name):
                    found.appeared.append(name)
                continue
            seen += 1
            there.add(name)
            now = _mark(entry, mark)
            if now != mark:
                known[name] = now
                found.changed.append(name)
    if seen < len(known):
        found.vanished = [name for name in known if name not in there]
    return found


def _kind(entry: os.DirEntry[str]) -> int:
    if entry.is_file(follow_symlinks=False):
        return UNSEEN
    return LINK if entry.is_symlink() else SPECIAL


def _mark(entry: os.DirEntry[str], mark: int) -> int:
    if mark <= UNSEEN:
        return _kind(entry)
    try:
        return mark_of(entry.stat(follow_symlinks=False))
    except FileNotFoundError:
        return UNSEEN
    except OSError:
        return mark


def fingerprint(library: str) -> int:
    """A number that changes when anything two floors down in ``library/`` does; 0 where it is not there."""
    rows = []
    for folder in (library, *_folders(library)):
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    rows.append((folder, entry.name, status.st_ino, status.st_size, status.st_mtime_ns))
        except OSError:
            continue
    return hash(tuple(sorted(rows)))


def _folders(library: str) -> list[str]:
    try:
        with os.scandir(library) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
