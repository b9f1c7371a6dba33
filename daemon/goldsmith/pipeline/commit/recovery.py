"""The recovery at the start: finishes or undoes the plans of a daemon that died, and deletes its temporary files.

The recovery itself may be killed at any moment; the next start simply runs it again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator

from goldsmith.files import TEMP_PREFIX, Filesystem, PathAt
from goldsmith.jobs.work_folder import WorkFolder
from goldsmith.picture.formats.table import DETECTION_BYTES, detect_by_content
from goldsmith.pipeline.commit.file_move import COPY_PREFIX, PARKED_PREFIX
from goldsmith.pipeline.commit.naming import ARCHIVE_FOLDER
from goldsmith.pipeline.commit.plan_copy import PlanCopy
from goldsmith.pipeline.commit.plan_executor import PlanExecutor, PlanResult, scratch_folders
from goldsmith.root_folder import RootFolder

_RESTORED_PREFIX = "restored-"
_TEMPORARY_PREFIXES = (TEMP_PREFIX, COPY_PREFIX, PARKED_PREFIX)


def recover_plans(executor: PlanExecutor) -> list[PlanResult]:
    """Finish or undo every open plan, delete the scratch folders and dot-names of no open plan, and return one result per plan.

    A plan that a failing disk keeps open stays pending in ``executor``, whose next commit tries it again. If the journal was lost, the
    plans come from their copy in the root.
    """
    if executor.journal.is_new:
        known = {plan.id for plan in executor.journal.open_plans()}
        executor.journal.record_plans([plan for plan in PlanCopy(executor.root).read() if plan.id not in known])
    results = executor.finish_open_plans(executor.journal.open_plans())
    open_plans = executor.journal.open_plans()
    WorkFolder(executor.root).clear(scratch_folders(open_plans))
    _clear_temporary_files(RootFolder(executor.root), executor.fs, {plan.id for plan in open_plans})
    return results


def _clear_temporary_files(root: RootFolder, fs: Filesystem, open_plans: Collection[str]) -> None:
    """Delete unfinished files. A parked input of no open plan gets a visible name again and is never deleted."""
    for folder_path, name in _temporary_files(root):
        prefix = next(prefix for prefix in _TEMPORARY_PREFIXES if name.startswith(prefix))
        if name.removeprefix(prefix).rpartition("-")[0] in open_plans:
            continue
        with contextlib.suppress(OSError), root.opened_folder(folder_path) as folder:
            if prefix == PARKED_PREFIX:
                _restore_parked_file(fs, PathAt(folder, name))
            else:
                fs.unlink(PathAt(folder, name))


def _temporary_files(root: RootFolder) -> Iterator[tuple[str, str]]:
    """Yield folder and name of each of the daemon's dot-names in the stages' folders.

    The archive and the library may hold millions of files and are skipped.
    """
    _, top_folders = root.list_names("")
    for top in top_folders:
        if top in (ARCHIVE_FOLDER, "library") or top.startswith("."):
            continue
        for folder_path, names in root.walk(top):
            yield from ((folder_path, name) for name in names if name.startswith(_TEMPORARY_PREFIXES))


def _restore_parked_file(fs: Filesystem, parked: PathAt) -> None:
    """Give a parked input a visible name. This happens if the journal was lost during a commit: it may be the only copy of a picture."""
    restored = _RESTORED_PREFIX + parked.name.removeprefix(PARKED_PREFIX) + _suffix_from_content(fs, parked)
    fs.rename_noreplace(parked, PathAt(parked.dir_fd, restored))


def _suffix_from_content(fs: Filesystem, at: PathAt) -> str:
    """Return the suffix that matches the first bytes of a file, or ""."""
    fd = fs.open(at)
    try:
        start = os.read(fd, DETECTION_BYTES)
    finally:
        os.close(fd)
    picture_format = detect_by_content(start)
    return "" if picture_format is None else picture_format.suffix
