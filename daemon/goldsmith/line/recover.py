"""After a start: what a daemon that died had begun is finished or taken back, and what it left lying about is cleared away.

It may itself be killed at any instant and simply run again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from goldsmith.files import NEW_PREFIX, At, Filesystem
from goldsmith.journal.journal import Journal
from goldsmith.line.deliver import Deliver, Result
from goldsmith.line.leg import COPY_PREFIX, PARKED_PREFIX
from goldsmith.line.naming import ARCHIVE, WORK

_RESTORED = "restored-"


def recover(root: Path, journal: Journal, fs: Filesystem | None = None, deliver: Deliver | None = None) -> list[Result]:
    """Replay every open plan, then remove scratch folders and dot-names that belong to none. One result per plan.

    With ``deliver`` given, plans that a failing disk keeps from ending stay pending there, and its next commit tries them again.
    """
    fs = fs or Filesystem()
    results = (deliver or Deliver(root, journal, fs)).settle(journal.open_plans())
    still_open = journal.open_plans()
    _clear_scratch(root, {os.path.dirname(put.source) for plan in still_open for put in plan.puts} | {plan.job_id for plan in still_open})
    _clear_dot_names(root, fs, {plan.id for plan in still_open})
    return results


def _clear_scratch(root: Path, kept: Collection[str]) -> None:
    """Scratch of jobs that are no more. What cannot be removed now is tried again at the next start."""
    try:
        folders = list(os.scandir(root / WORK))
    except OSError:
        return
    for folder in folders:
        if folder.path not in kept and folder.name not in kept:
            if folder.is_dir(follow_symlinks=False):
                shutil.rmtree(folder.path, ignore_errors=True)


def _clear_dot_names(root: Path, fs: Filesystem, open_plans: Collection[str]) -> None:
    """Half-written files go. An input that stands parked under a dot-name of no open plan is given a name again, never removed."""
    for entry in _ours(root):
        if entry.name.startswith((NEW_PREFIX, COPY_PREFIX)):
            if entry.name.removeprefix(COPY_PREFIX).rpartition("-")[0] not in open_plans:
                _quietly_unlink(fs, entry)
        elif entry.name.removeprefix(PARKED_PREFIX).rpartition("-")[0] not in open_plans:
            _give_name_back(fs, entry)


def _ours(root: Path) -> Iterator[os.DirEntry[str]]:
    """Our dot-names in the folders of the line; the archive and the library are not walked, they may hold millions."""
    waiting = [entry.path for entry in _entries(str(root)) if entry.name not in (ARCHIVE, "library") and not entry.name.startswith(".")]
    while waiting:
        for entry in _entries(waiting.pop()):
            if entry.name.startswith((NEW_PREFIX, COPY_PREFIX, PARKED_PREFIX)):
                yield entry
            elif not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def _quietly_unlink(fs: Filesystem, entry: os.DirEntry[str]) -> None:
    try:
        fs.unlink(At.path(entry.path))
    except OSError:
        return


def _give_name_back(fs: Filesystem, entry: os.DirEntry[str]) -> None:
    """Only after the journal was lost in mid-commit: then this may be the only copy of somebody's picture."""
    home = os.path.join(os.path.dirname(entry.path), _RESTORED + entry.name.removeprefix(PARKED_PREFIX) + _suffix(fs, entry))
    try:
        fs.rename_noreplace(At.path(entry.path), At.path(home))
    except OSError:
        return


def _suffix(fs: Filesystem, entry: os.DirEntry[str]) -> str:
    """What kind of picture it is, from its first bytes, so that the line and its owner know it again."""
    try:
        fd = fs.open(At.path(entry.path))
    except OSError:
        return ""
    try:
        head = os.read(fd, 16)
    finally:
        os.close(fd)
    return next((suffix for magic, suffix in _MAGIC if head[: len(magic)] == magic), "")


_MAGIC = ((b"\x89PNG", ".png"), (b"\xff\xd8\xff", ".jpg"), (b"II*\0", ".tif"), (b"MM\0*", ".tif"), (b"RIFF", ".webp"))
