"""Scans: what a folder holds now compared with what was known, one folder at a time, without opening a file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from goldsmith.files import FileSignature, is_ignored_file, is_ignored_folder
from goldsmith.pipeline.intake.bundle_index import SPECIAL_FILE, SYMLINK, UNCHECKED, FolderIndex, change_token
from goldsmith.pipeline.intake.near_misses import is_near_miss
from goldsmith.root_folder import RootFolder


@dataclass(slots=True)
class ScanResult:
    """The differences that one scan of one folder found: names of files, and names of folders."""

    appeared: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)


def scan_folder(root: RootFolder, known_folder: FolderIndex) -> ScanResult:
    """Return the differences between a folder on disk and what is known of it. Update the known change tokens, but not the names.

    Files without an instruction (token UNCHECKED) cost not even a stat. Links to folders are not entered. Raises OSError if the folder
    cannot be read, NotADirectoryError if it is a link.
    """
    result = ScanResult()
    known = known_folder.names
    known_count = 0
    present: set[str] = set()
    with root.scan(known_folder.path) as entries:
        for entry in entries:
            name = entry.name
            if entry.is_dir(follow_symlinks=False):
                if not is_ignored_folder(name):
                    result.folders.append(name)
                continue
            token = known.get(name)
            if token is None:
                if not is_ignored_file(name) or is_near_miss(name):
                    result.appeared.append(name)
                continue
            known_count += 1
            present.add(name)
            new_token = _change_token(entry, token)
            if new_token != token:
                known[name] = new_token
                result.changed.append(name)
    if known_count < len(known):
        result.vanished = [name for name in known if name not in present]
    return result


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


def library_fingerprint(root: RootFolder, library: str) -> int:
    """Return a number that changes when anything in ``library/`` or its subfolders does; 0 if there is no library."""
    rows = []
    _, subfolders = root.list_names(library)
    for folder in (library, *(f"{library}/{name}" for name in subfolders)):
        try:
            with root.scan(folder) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    sig = FileSignature.from_stat(status)
                    rows.append((folder, entry.name, sig.ino, sig.size, sig.mtime_ns))
        except OSError:
            continue
    return hash(tuple(sorted(rows)))
