"""The commit: moves inputs away and results into place, for many jobs at once, each job completely or not at all.

One transaction records every plan. Then each file is renamed, without overwriting, and checked after the rename. Then every changed folder
is fsynced once, and one transaction marks the plans as complete. A plan that fails is undone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import JsonValue

from goldsmith.errors import GoldsmithError, HostError, InputError
from goldsmith.files import FileSignature, Filesystem, fold_name
from goldsmith.jobs.names import PRIVATE_FOLDER, SCRATCH_FOLDER
from goldsmith.jobs.work_folder import ScratchError, split_scratch_path
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import CompletedPlan, HistoryRow, PlacedFile, Plan
from goldsmith.pipeline.commit.commit_refusals import error_text, explain_refusal
from goldsmith.pipeline.commit.copier import Copier, CopyTask, FileToCopy
from goldsmith.pipeline.commit.file_move import NameTaken, PreparedCopy, ResultLost, ResultReplaced, SourceChanged
from goldsmith.pipeline.commit.naming import (
    MAX_NAME_BYTES,
    is_in_archive,
    next_free_path,
    next_free_stem,
    replace_stem,
    split_version,
)
from goldsmith.pipeline.commit.open_folders import OpenFolders, find_mounts, is_job_error, require_plain_path
from goldsmith.pipeline.commit.plan_copy import PlanCopy
from goldsmith.pipeline.commit.plan_moves import PlanMoves
from goldsmith.pipeline.commit.root_lock import RootLock
from goldsmith.root_folder import RootFolder

# Takes a plan and a new stem; returns the plan with every result renamed, and with new versions of the files that name results.
RenamePlan = Callable[[Plan, str], Plan]

# Number of names that are tried for the results of one plan.
_MAX_NAME_TRIES = 100


@dataclass(frozen=True, slots=True)
class PlanCommitted:
    """The results are in place, the inputs are moved away, and the journal has both."""

    # The plan as it was carried out, with the final names.
    plan: Plan
    # The files that were placed outside the archive, with their new signatures.
    placed_files: tuple[PlacedFile, ...]


@dataclass(frozen=True, slots=True)
class FilesChanged:
    """An input has changed. Every file is where it was; the work must be discarded."""

    plan: Plan
    path: str
    sentence: str


@dataclass(frozen=True, slots=True)
class ResultsRejected:
    """A result is not the file that was hashed. Every other file is where it was; the work must be done again."""

    plan: Plan
    # True if a result has disappeared from its scratch folder, False if it has changed there.
    is_missing: bool


@dataclass(frozen=True, slots=True)
class FileRefused:
    """A name or a folder of this job prevents its commit. Every file is where it was."""

    plan: Plan
    sentence: str
    remedy: str
    # The folders of the plan if the system has denied a permission; None for any other reason.
    denied_folders: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class PlanHalted:
    """The host failed. ``is_pending``: the plan could not be undone; a later ``finish_open_plans`` or ``commit`` returns its result."""

    plan: Plan
    sentence: str
    remedy: str
    is_pending: bool


PlanResult = PlanCommitted | FilesChanged | ResultsRejected | FileRefused | PlanHalted


class PlanExecutor:
    """Carries out plans for one root. It must be used by one thread only.

    With a ``copier``, plans that move files between filesystems are carried out later, when their files are copied: ``finish_copied``.
    """

    def __init__(
        self,
        root: Path,
        journal: Journal,
        fs: Filesystem | None = None,
        now: Callable[[], float] = time.time,
        rename_plan: RenamePlan | None = None,
        lock: RootLock | None = None,
        copier: Copier | None = None,
    ) -> None:
        """``lock``: the daemon's lock of the root. While it is lost, nothing is committed; None in a process that needs none."""
        self.root = root
        self.journal = journal
        self.fs = fs or Filesystem()
        self._now = now
        self._rename_plan = rename_plan or with_new_stem
        self._lock = lock
        self._mounts: set[str] = set() if lock is None else lock.mounts
        self._mounts |= find_mounts(root)
        self._copier = copier
        # The plans whose files are being copied, by id.
        self._copying: dict[str, Plan] = {}
        self._restored_sigs: dict[str, FileSignature] = {}
        self._pending: dict[str, Plan] = {}
        self._unrecorded: dict[str, CompletedPlan] = {}
        # The plans that are being carried out, and their copy outside the journal.
        self._current: dict[str, Plan] = {}
        self._copy = PlanCopy(root)
        # Job ids of plans that were denied permission once although every folder is writable.
        self._permission_denied_jobs: set[str] = set()

    @property
    def pending_jobs(self) -> list[str]:
        """The job ids of plans that could be neither finished nor undone. Until they are, nothing new is committed."""
        return [plan.job_id for plan in self._pending.values()]

    @property
    def copying_plans(self) -> Collection[str]:
        """The ids of the plans whose files are being copied, or are copied and not moved yet."""
        return self._copying.keys()

    # ------------------------------------------------------------------ the commit

    def commit(self, plans: Sequence[Plan]) -> list[PlanResult]:
        """Carry out plans, and return first the results of pending plans that are now finished or undone, then one result per plan.

        A plan whose files must be copied has no result yet.
        """
        results = self.finish_open_plans()
        halt = next((result for result in results if isinstance(result, PlanHalted)), None) or self._lock_fault()
        if halt is not None:
            return [*results, *(PlanHalted(plan, halt.sentence, halt.remedy, is_pending=False) for plan in plans)]
        ready: list[Plan] = []
        for plan in plans:
            try:
                self._require_results(plan)
                ready.append(plan)
            except FileNotFoundError:
                results.append(ResultsRejected(plan, is_missing=True))
            except (OSError, HostError, InputError) as error:
                results.append(self._failure_result(plan, error))
        if not ready:
            return results
        self._set_current(ready)
        try:
            self.journal.record_plans(ready)
        except HostError as fault:
            self._set_current(())
            self._unrecorded.update({plan.id: empty_completion(plan) for plan in ready})
            return [*results, *(PlanHalted(plan, fault.sentence, fault.remedy, is_pending=False) for plan in ready)]
        tasks = self._copy_tasks(ready)
        now = [plan for plan, task in zip(ready, tasks, strict=True) if task is None]
        for task in filter(None, tasks):
            self._begin_copies(task)
        return [*results, *(self._execute(now, is_recovery=False) if now else ())]

    def finish_copied(self) -> list[PlanResult]:
        """Carry out the plans whose files are copied, and return one result for each. After a failure of the host the others wait."""
        results: list[PlanResult] = []
        while self._copying and not any(isinstance(result, PlanHalted) for result in results):
            task = self._require_copier().take_finished()
            if task is None:
                break
            results += self.finish_open_plans()
            if any(isinstance(result, PlanHalted) for result in results):
                self._require_copier().put_back(task)
                break
            lock_fault = self._lock_fault()
            if lock_fault is not None:
                self._require_copier().put_back(task)
                return [*results, PlanHalted(task.plan, lock_fault.sentence, lock_fault.remedy, is_pending=True)]
            del self._copying[task.plan.id]
            self._set_current([task.plan])
            results += self._execute([task.plan], task.copies, is_recovery=False)
        return results

    def _copy_tasks(self, plans: Sequence[Plan]) -> list[CopyTask | None]:
        """Return the copies that each plan needs; None for a plan that needs none."""
        if self._copier is None:
            return [None] * len(plans)
        with OpenFolders(self.fs, self.root, self._mounts) as folders:
            return [self._copy_task(plan, folders) for plan in plans]

    def _copy_task(self, plan: Plan, folders: OpenFolders) -> CopyTask | None:
        """Return the copies that a plan needs; None if it needs none, or if its folders cannot be opened: then its moves report that."""
        moves = [*((move.path, move.destination) for move in plan.consumes), *((each.source, each.destination) for each in plan.publishes)]
        files = []
        try:
            for number, (source, destination) in enumerate(moves):
                folder = folders.open_folder(self._nearest_folder(destination))
                if not self.fs.can_rename_between(folders.locate(source).dir_fd, folder):
                    files.append(FileToCopy(number, source, destination))
        except (OSError, HostError, InputError):
            return None
        return CopyTask(plan, tuple(files)) if files else None

    def _begin_copies(self, task: CopyTask) -> None:
        self._copying[task.plan.id] = task.plan
        self._require_copier().begin(task)

    def _require_copier(self) -> Copier:
        if self._copier is None:
            raise RuntimeError("This executor has no copier.")
        return self._copier

    def finish_open_plans(self, plans: Iterable[Plan] = ()) -> list[PlanResult]:
        """Finish or undo the plans that were left half done: the pending ones, and ``plans`` that were found open at the start."""
        self._pending.update({plan.id: plan for plan in plans})
        waiting = list(self._pending.values())
        lock_fault = self._lock_fault()
        if lock_fault is not None:
            return [PlanHalted(plan, lock_fault.sentence, lock_fault.remedy, is_pending=True) for plan in waiting]
        try:
            if self._unrecorded:
                self.journal.complete_plans(list(self._unrecorded.values()))
                self._unrecorded.clear()
        except HostError as fault:
            return [PlanHalted(plan, fault.sentence, fault.remedy, is_pending=True) for plan in waiting]
        return self._execute(waiting, is_recovery=True) if waiting else []

    def record_again(self) -> None:
        """Record the plans that are not carried out yet in a new journal. Raises HostError if its disk fails."""
        self.journal.record_plans([*self._pending.values(), *self._copying.values()])

    def _set_current(self, plans: Iterable[Plan]) -> None:
        """Put the plans that are about to be carried out, those whose files are being copied, and the pending ones into the copy."""
        self._current = {**self._pending, **self._copying, **{plan.id: plan for plan in plans}}
        self._copy.write(list(self._current.values()))

    def _lock_fault(self) -> HostError | None:
        """Return what prevents every commit if this daemon does not hold the root any more, else None."""
        if self._lock is None or self._lock.is_current():
            return None
        return HostError(
            f"The lock in {self.root / PRIVATE_FOLDER} was removed or replaced, so another Goldsmith may work on the same pictures.",
            "Goldsmith makes the lock anew and goes on by itself, or stops if another one runs.",
        )

    def _execute(self, plans: Sequence[Plan], copies: Mapping[int, PreparedCopy] | None = None, *, is_recovery: bool) -> list[PlanResult]:
        """Carry out recorded plans. ``copies`` are those of the plan, if there is only one."""
        with OpenFolders(self.fs, self.root, self._mounts) as folders:
            ends: list[_PlanProgress] = []
            halt: PlanHalted | None = None
            for plan in plans:
                if halt is None:
                    ends.append(self._execute_plan(plan, folders, copies, is_recovery=is_recovery))
                    halt = ends[-1].halt
                else:
                    untouched = PlanHalted(plan, halt.sentence, halt.remedy, is_pending=is_recovery)
                    ends.append(_PlanProgress(plan, untouched, None if is_recovery else empty_completion(plan)))
            self._sync_folders(folders, ends)
            self._record_completed(folders, ends)
        for end in ends:
            if end.is_copying:
                continue
            if end.completed is None:
                self._pending[end.plan.id] = end.plan
            else:
                self._pending.pop(end.plan.id, None)
        self._set_current(())
        return [end.result for end in ends if end.result is not None]

    def _execute_plan(
        self, plan: Plan, folders: OpenFolders, copies: Mapping[int, PreparedCopy] | None, *, is_recovery: bool
    ) -> _PlanProgress:
        """Carry out one plan. If a name is taken, undo the plan and try the next name; after any other failure, undo it for good."""
        for _ in range(_MAX_NAME_TRIES):
            moves = PlanMoves(self.fs, folders, plan, self._restored_sigs, copies, is_recovery=is_recovery)
            try:
                moves.apply()
                return _PlanProgress(plan, None, None, moves)
            except (NameTaken, SourceChanged, OSError, HostError, InputError) as error:
                failure = error
            end = self._roll_back(moves, failure)
            if not isinstance(failure, NameTaken) or moves.displaced or end.completed is None:
                return end
            try:
                plan = self._with_free_names(plan, failure, folders)
                self._set_current([*self._current.values(), plan])
                self.journal.update_plan(plan)
            except (OSError, HostError, InputError) as error:
                return _PlanProgress(plan, self._failure_result(plan, error), empty_completion(plan))
            task = None if copies is None else self._copy_task(plan, folders)
            if task is not None:  # the rollback has removed the copies
                self._begin_copies(task)
                return _PlanProgress(plan, None, None, is_copying=True)
        return end

    def _roll_back(self, moves: PlanMoves, cause: Exception) -> _PlanProgress:
        try:
            moves.roll_back(self._now())
        except (NameTaken, SourceChanged, OSError, HostError, InputError) as error:
            verdict = self._halted(moves.plan, error)
            return _PlanProgress(moves.plan, replace(verdict, is_pending=True), None)
        return _PlanProgress(moves.plan, self._failure_result(moves.plan, cause), moves.superseded_plan(self._now()))

    def _sync_folders(self, folders: OpenFolders, progress: list[_PlanProgress]) -> None:
        """Make all moves durable. If that fails, undo the plans; if the rollback cannot be made durable either, the plans stay open."""
        try:
            folders.sync_changed()
            return
        except OSError as error:
            failure = error
        for number, end in enumerate(progress):
            if end.moves is not None:
                progress[number] = self._roll_back(end.moves, failure)
        try:
            folders.sync_changed()
        except OSError as error:
            for number, end in enumerate(progress):
                if not end.is_copying:
                    progress[number] = _PlanProgress(end.plan, replace(self._halted(end.plan, error), is_pending=True), None)

    def _record_completed(self, folders: OpenFolders, progress: list[_PlanProgress]) -> None:
        now = self._now()
        try:
            for end in progress:
                if end.moves is not None:
                    end.moves.clean_up()
                    end.completed = end.moves.completed_plan(now)
            folders.sync_changed()
            self.journal.complete_plans([end.completed for end in progress if end.completed is not None])
        except (OSError, HostError) as error:
            for end in progress:
                if end.moves is not None:
                    end.completed, end.result = None, replace(self._halted(end.plan, error), is_pending=True)
                elif end.completed is not None:
                    self._unrecorded[end.plan.id] = end.completed
            return
        for end in progress:
            if end.moves is not None and end.completed is not None:
                end.result = PlanCommitted(end.plan, end.completed.placed_files)

    # ------------------------------------------------------------------ names and failures

    def _require_results(self, plan: Plan) -> None:
        """Raise FileNotFoundError if a result has disappeared, OSError if a path is not plain: this is seen before any input is moved."""
        for path in plan.destinations:
            require_plain_path(path)
        with OpenFolders(self.fs, self.root, self._mounts) as folders:
            for publish in plan.publishes:
                self.fs.lstat(folders.locate(publish.source))

    def _with_free_names(self, plan: Plan, conflict: NameTaken, folders: OpenFolders) -> Plan:
        occupied_path = conflict.move.destination
        if is_in_archive(occupied_path):
            return with_destinations(plan, {occupied_path: next_free_path(occupied_path, folders.is_free)})
        base, number = split_version(plan.stem)
        paths = [path for path in plan.destinations if not is_in_archive(path)]
        room = MAX_NAME_BYTES + len(os.fsencode(plan.stem)) - max(len(os.fsencode(os.path.basename(path))) for path in paths)
        used = self.journal.placed_versions(os.path.dirname(occupied_path), fold_name(base)) | {number}
        stem = next_free_stem(plan.stem, used, lambda new: all(folders.is_free(replace_stem(path, plan.stem, new)) for path in paths), room)
        return self._rename_plan(plan, stem)

    def _failure_result(self, plan: Plan, cause: Exception) -> PlanResult:
        """Return the result of a plan that was undone: the inputs changed, the job prevents its commit, or the host failed."""
        if isinstance(cause, ResultLost | ResultReplaced):
            return ResultsRejected(plan, is_missing=isinstance(cause, ResultLost))
        if isinstance(cause, SourceChanged):
            return FilesChanged(plan, cause.path, cause.sentence)
        if isinstance(cause, NameTaken):
            return FileRefused(plan, f"No free name was found for {cause.move.destination}.", "Move older versions out of that folder.")
        if isinstance(cause, InputError):
            return FileRefused(plan, cause.sentence, cause.remedy)
        is_denied = isinstance(cause, OSError) and cause.errno in (errno.EACCES, errno.EPERM)
        if isinstance(cause, OSError) and (is_job_error(cause) or (is_denied and self._is_job_permission_fault(plan))):
            sentence, remedy = explain_refusal(RootFolder(self.root), plan, cause)
            return FileRefused(plan, sentence, remedy, _plan_folders(plan) if is_denied else None)
        return self._halted(plan, cause)

    def _halted(self, plan: Plan, cause: Exception) -> PlanHalted:
        if isinstance(cause, GoldsmithError):
            return PlanHalted(plan, cause.sentence, cause.remedy, is_pending=False)
        reason = error_text(cause) if isinstance(cause, OSError) else str(cause)
        return PlanHalted(
            plan,
            f"{plan.history_row.path} cannot be moved on: {reason}.",
            _REMEDY_BY_ERRNO.get(getattr(cause, "errno", 0), _DEFAULT_REMEDY),
            is_pending=False,
        )

    def _is_job_permission_fault(self, plan: Plan) -> bool:
        """Return whether a denied permission concerns this job only: a folder of its campaign, its scratch folder, or one of its files.

        A stage's folder that is not writable concerns the host. If all of them are writable, the cause is unknown: the first denial counts
        as a failure of the host and pauses everything; a second denial of the same job counts against the job.
        """
        paths = [*plan.destinations, *(take.path for take in plan.consumes)]
        if not all(self._can_write(path.partition("/")[0]) for path in paths):
            return False
        folders = [*map(self._nearest_folder, paths), *(f"{SCRATCH_FOLDER}/{folder}" for folder in scratch_folders([plan]))]
        is_job_fault = plan.job_id in self._permission_denied_jobs or not all(map(self._can_write, folders))
        (self._permission_denied_jobs.discard if is_job_fault else self._permission_denied_jobs.add)(plan.job_id)
        return is_job_fault

    def _can_write(self, folder: str) -> bool:
        return RootFolder(self.root).can_write(folder)

    def _nearest_folder(self, path: str) -> str:
        """Return the folder of a path, or the nearest existing folder above it."""
        root, folder = RootFolder(self.root), os.path.dirname(path)
        while "/" in folder and not root.exists(folder):
            folder = os.path.dirname(folder)
        return folder


@dataclass(slots=True)
class _PlanProgress:
    """The progress of one plan of a batch. ``completed`` is None while the plan is in progress, or if it cannot be ended."""

    plan: Plan
    result: PlanResult | None
    completed: CompletedPlan | None
    moves: PlanMoves | None = None
    # True if its files are being copied for another try.
    is_copying: bool = False

    @property
    def halt(self) -> PlanHalted | None:
        return self.result if isinstance(self.result, PlanHalted) else None


def with_new_stem(plan: Plan, stem: str) -> Plan:
    """Return the plan with another stem for every result. The contents of the files stay as they are."""
    paths = {path for path in plan.destinations if not is_in_archive(path)}
    return with_destinations(plan, {path: replace_stem(path, plan.stem, stem) for path in paths}).model_copy(update={"stem": stem})


def with_destinations(plan: Plan, new_destinations: dict[str, str]) -> Plan:
    """Return the plan with some destinations replaced, in its history record too. ``new_destinations``: old to new path."""
    consumes = tuple(
        consume.model_copy(update={"destination": new_destinations.get(consume.destination, consume.destination)})
        for consume in plan.consumes
    )
    publishes = tuple(
        publish.model_copy(update={"destination": new_destinations.get(publish.destination, publish.destination)})
        for publish in plan.publishes
    )
    row, hand_row = (None if each is None else _with_archive_only(each, new_destinations) for each in (plan.history_row, plan.hand_row))
    return plan.model_copy(update={"consumes": consumes, "publishes": publishes, "history_row": row, "hand_row": hand_row})


def _with_archive_only(row: HistoryRow, new_destinations: dict[str, str]) -> HistoryRow:
    archive_only = row.record.get("archive_only")
    if not isinstance(archive_only, list):
        return row
    entries: list[JsonValue] = [
        {**entry, "archived": new_destinations.get(str(entry["archived"]), entry["archived"])}
        for entry in archive_only
        if isinstance(entry, dict)
    ]
    return row.model_copy(update={"record": {**row.record, "archive_only": entries}})


def scratch_folders(plans: Iterable[Plan]) -> set[str]:
    """Return the scratch folders, below the work folder, that hold results of these plans."""
    folders = set()
    for plan in plans:
        for publish in plan.publishes:
            with contextlib.suppress(ScratchError):
                folders.add(split_scratch_path(publish.source)[0])
    return folders


def _plan_folders(plan: Plan) -> tuple[str, ...]:
    """Return the folders that files of the plan leave or go to."""
    paths = (*plan.destinations, *(consume.path for consume in plan.consumes))
    return tuple(dict.fromkeys(os.path.dirname(path) for path in paths))


def empty_completion(plan: Plan) -> CompletedPlan:
    """Return the completion of a plan of which nothing was done and nothing is recorded."""
    return CompletedPlan(plan.id, (), (), ())


_DEFAULT_REMEDY = "Check the disk and its mounts. All files stay in place until then."
_REMEDY_BY_ERRNO: dict[int | None, str] = {
    errno.ENOSPC: "Free some space on that disk. All files stay in place, and work goes on by itself.",
    errno.EDQUOT: "Raise the disk quota or free some space. All files stay in place, and work goes on by itself.",
    errno.EROFS: "Mount the disk for writing. All files stay in place until then.",
    errno.EACCES: "Give the service write access to the folders of the pipeline. All files stay in place until then.",
}
