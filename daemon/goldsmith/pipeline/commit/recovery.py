"""The recovery at the start: finishes or undoes the plans of a daemon that died, and deletes its temporary files.

The recovery itself may be killed at any moment; the next start simply runs it again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from goldsmith.files import TEMP_PREFIX, Filesystem, PathAt
from goldsmith.jobs.job import SCRATCH_FOLDER
from goldsmith.journal.records import Plan
from goldsmith.picture.formats.table import DETECTION_BYTES, detect_by_content
from goldsmith.pipeline.commit.file_move import COPY_PREFIX, PARKED_PREFIX
from goldsmith.pipeline.commit.naming import ARCHIVE_FOLDER
from goldsmith.pipeline.commit.plan_executor import PlanExecutor, PlanResult

_RESTORED_PREFIX = "restored-"
_TEMPORARY_PREFIXES = (TEMP_PREFIX, COPY_PREFIX, PARKED_PREFIX)


def recover_plans(executor: PlanExecutor) -> list[PlanResult]:
    """Finish or undo every open plan, delete the scratch folders and dot-names of no open plan, and return one result per plan.

    A plan that a failing disk keeps open stays pending in ``executor``, whose next commit tries it again.
    """
    results = executor.finish_open_plans(executor.journal.open_plans())
    open_plans = executor.journal.open_plans()
    _clear_scratch(executor.root / SCRATCH_FOLDER, open_plans)
    _clear_temporary_files(executor.root, executor.fs, {plan.id for plan in open_plans})
    return results


def _clear_scratch(scratch_folder: Path, open_plans: Sequence[Plan]) -> None:
    """Delete the scratch folders of ended jobs. A folder that cannot be deleted is tried again at the next start."""
    open_folders = {os.path.relpath(publish.source, scratch_folder).partition("/")[0] for plan in open_plans for publish in plan.publishes}
    for folder in _list_entries(str(scratch_folder)):
        if folder.name not in open_folders and folder.is_dir(follow_symlinks=False):
            shutil.rmtree(folder.path, ignore_errors=True)


def _clear_temporary_files(root: Path, fs: Filesystem, open_plans: Collection[str]) -> None:
    """Delete unfinished files. A parked input of no open plan gets a visible name again and is never deleted."""
    for entry in _temporary_files(root):
        prefix = next(prefix for prefix in _TEMPORARY_PREFIXES if entry.name.startswith(prefix))
        if entry.name.removeprefix(prefix).rpartition("-")[0] in open_plans:
            continue
        with contextlib.suppress(OSError):
            if prefix == PARKED_PREFIX:
                _restore_parked_file(fs, entry)
            else:
                fs.unlink(PathAt.from_path(entry.path))


def _temporary_files(root: Path) -> Iterator[os.DirEntry[str]]:
    """Yield the daemon's dot-names in the stages' folders. The archive and the library may hold millions of files and are skipped."""
    waiting = [
        entry.path for entry in _list_entries(str(root)) if entry.name not in (ARCHIVE_FOLDER, "library") and not entry.name.startswith(".")
    ]
    while waiting:
        for entry in _list_entries(waiting.pop()):
            if entry.name.startswith(_TEMPORARY_PREFIXES):
                yield entry
            elif not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)


def _list_entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _restore_parked_file(fs: Filesystem, entry: os.DirEntry[str]) -> None:
    """Give a parked input a visible name. This happens if the journal was lost during a commit: it may be the only copy of a picture."""
    restored = os.path.join(
        os.path.dirname(entry.path), _RESTORED_PREFIX + entry.name.removeprefix(PARKED_PREFIX) + _suffix_from_content(fs, entry)
    )
    fs.rename_noreplace(PathAt.from_path(entry.path), PathAt.from_path(restored))


def _suffix_from_content(fs: Filesystem, entry: os.DirEntry[str]) -> str:
    """Return the suffix that matches the first bytes of a file, or ""."""
    fd = fs.open(PathAt.from_path(entry.path))
    try:
        start = os.read(fd, DETECTION_BYTES)
    finally:
        os.close(fd)
    picture_format = detect_by_content(start)
    return "" if picture_format is None else picture_format.suffix
