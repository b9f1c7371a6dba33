"""Read folders again and compare them with the index, one folder at a time, without opening a file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from goldsmith.files import is_ignored_file, is_ignored_folder
from goldsmith.pipeline.intake.bundle_index import SPECIAL_FILE, SYMLINK, UNCHECKED, FolderIndex, change_token


@dataclass(slots=True)
class ScanResult:
    """What one reading of a folder found: names of changed files, names of folders."""

    appeared: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)


def scan_folder(path: str, known_folder: FolderIndex) -> ScanResult:
    """Compare a folder on disk with the index, and update the change tokens, but not the names.

    Files without an instruction (token UNCHECKED) are not examined with stat. Symlinked folders are not entered. Raises OSError if the
    folder cannot be read.
    """
    found = ScanResult()
    known = known_folder.names
    seen = 0
    there: set[str] = set()
    with os.scandir(path) as entries:
        for entry in entries:
            name = entry.name
            if entry.is_dir(follow_symlinks=False):
                if not is_ignored_folder(name):
                    found.folders.append(name)
                continue
            mark = known.get(name)
            if mark is None:
                if not is_ignored_file(name):
                    found.appeared.append(name)
                continue
            seen += 1
            there.add(name)
            now = _change_token(entry, mark)
            if now != mark:
                known[name] = now
                found.changed.append(name)
    if seen < len(known):
        found.vanished = [name for name in known if name not in there]
    return found


def _token_for_type(entry: os.DirEntry[str]) -> int:
    if entry.is_file(follow_symlinks=False):
        return UNCHECKED
    return SYMLINK if entry.is_symlink() else SPECIAL_FILE


def _change_token(entry: os.DirEntry[str], token: int) -> int:
    if token <= UNCHECKED:
        return _token_for_type(entry)
    try:
        return change_token(entry.stat(follow_symlinks=False))
    except FileNotFoundError:
        return UNCHECKED
    except OSError:
        return token


def library_fingerprint(library: str) -> int:
    """Return a number that changes when anything in the upper two levels of ``library/`` does; 0 if it does not exist."""
    rows = []
    for folder in (library, *_subfolders(library)):
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    rows.append((folder, entry.name, status.st_ino, status.st_size, status.st_mtime_ns))
        except OSError:
            continue
    return hash(tuple(sorted(rows)))


def _subfolders(library: str) -> list[str]:
    try:
        with os.scandir(library) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
