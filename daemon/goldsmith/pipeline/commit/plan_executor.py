"""The commit: inputs leave their places and results come to lie in theirs, for many jobs at once, and never by half.

One transaction records every plan; then file by file the renames, each without overwriting and each looked at after it; then every
folder that was touched is fsynced once; then one transaction ticks everything off. What goes wrong with one plan is undone.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from goldsmith.errors import HostError
from goldsmith.files import FileSignature, Filesystem, PathAt, fold_name
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import CompletedPlan, PlacedFile, Plan
from goldsmith.pipeline.commit.file_move import NameTaken, SourceChanged
from goldsmith.pipeline.commit.naming import (
    MAX_NAME_BYTES,
    is_in_archive,
    next_free_path,
    next_free_stem,
    replace_stem,
    split_version,
)
from goldsmith.pipeline.commit.open_folders import OpenFolders, is_job_error
from goldsmith.pipeline.commit.plan_moves import PlanMoves

# (plan, new stem) -> the same plan with every result called after the new stem, and files that name results written anew.
RenamePlan = Callable[[Plan, str], Plan]

_MAX_NAME_TRIES = 100


@dataclass(frozen=True, slots=True)
class PlanCommitted:
    """Results lie in place, inputs are put away, and both are on record."""

    # As it was carried out, names included.
    plan: Plan
    # What the daemon put into folders of the line, with the signature it has now.
    placed_files: tuple[PlacedFile, ...]


@dataclass(frozen=True, slots=True)
class FilesChanged:
    """An input is not what was read (or a result is lost): everything lies as it lay, the work is to be thrown away."""

    plan: Plan
    path: str
    sentence: str


@dataclass(frozen=True, slots=True)
class FileRefused:
    """The job's fault: a name or a folder of its own makes it impossible. Everything lies as it lay."""

    plan: Plan
    sentence: str
    remedy: str


@dataclass(frozen=True, slots=True)
class PlanHalted:
    """The machine's fault. ``pending``: it could not be undone; a later ``settle`` or ``commit`` returns what became of it."""

    plan: Plan
    sentence: str
    remedy: str
    is_pending: bool


PlanResult = PlanCommitted | FilesChanged | FileRefused | PlanHalted


class PlanExecutor:
    """Carries plans out for one root. Not for two threads."""

    def __init__(
        self,
        root: Path,
        journal: Journal,
        fs: Filesystem | None = None,
        now: Callable[[], float] = time.time,
        rename_plan: RenamePlan | None = None,
    ) -> None:
        self.root = root
        self.journal = journal
        self.fs = fs or Filesystem()
        self._now = now
        self._rename_plan = rename_plan or with_new_stem
        self._mounts: set[str] = set()
        self._restored_sigs: dict[str, FileSignature] = {}
        self._pending: dict[str, Plan] = {}
        self._unrecorded: dict[str, CompletedPlan] = {}
        # Job ids of plans that were refused where every folder may be written to.
        self._permission_denied_jobs: set[str] = set()

    @property
    def pending_jobs(self) -> list[str]:
        """Job ids of plans that neither came to be nor could be undone; until they are, nothing new is committed."""
        return [plan.job_id for plan in self._pending.values()]

    # ------------------------------------------------------------------ the commit

    def commit(self, plans: Sequence[Plan]) -> list[PlanResult]:
        """Carry plans out: one result each, after those of earlier plans that were pending and have now come to an end."""
        results = self.finish_open_plans()
        halt = next((result for result in results if isinstance(result, PlanHalted)), None)
        if halt is not None:
            return [*results, *(PlanHalted(plan, halt.sentence, halt.remedy, is_pending=False) for plan in plans)]
        ready: list[Plan] = []
        for plan in plans:
            try:
                ready.append(self._with_publish_sigs(plan))
            except FileNotFoundError as error:
                results.append(FilesChanged(plan, str(error.filename), "A finished result is no longer in its scratch folder."))
            except OSError as error:
                results.append(self._halted(plan, error))
        if not ready:
            return results
        try:
            self.journal.record_plans(ready)
        except HostError as fault:
            self._unrecorded.update({plan.id: empty_completion(plan) for plan in ready})
            return [*results, *(PlanHalted(plan, fault.sentence, fault.remedy, is_pending=False) for plan in ready)]
        return [*results, *self._execute(ready, is_recovery=False)]

    def finish_open_plans(self, plans: Iterable[Plan] = ()) -> list[PlanResult]:
        """Finish, or take back, what was left half done: ``plans`` found open at start, and those that are pending."""
        self._pending.update({plan.id: plan for plan in plans})
        waiting = list(self._pending.values())
        try:
            if self._unrecorded:
                self.journal.complete_plans(list(self._unrecorded.values()))
                self._unrecorded.clear()
        except HostError as fault:
            return [PlanHalted(plan, fault.sentence, fault.remedy, is_pending=True) for plan in waiting]
        return self._execute(waiting, is_recovery=True) if waiting else []

    def _execute(self, plans: Sequence[Plan], *, is_recovery: bool) -> list[PlanResult]:
        with OpenFolders(self.fs, self.root, self._mounts) as folders:
            ends: list[_PlanProgress] = []
            halt: PlanHalted | None = None
            for plan in plans:
                if halt is None:
                    ends.append(self._execute_plan(plan, folders, is_recovery=is_recovery))
                    halt = ends[-1].halt
                else:
                    untouched = PlanHalted(plan, halt.sentence, halt.remedy, is_pending=is_recovery)
                    ends.append(_PlanProgress(plan, untouched, None if is_recovery else empty_completion(plan)))
            self._sync_folders(folders, ends)
            self._record_completed(folders, ends)
        for end in ends:
            if end.completed is None:
                self._pending[end.plan.id] = end.plan
            else:
                self._pending.pop(end.plan.id, None)
        return [end.result for end in ends if end.result is not None]

    def _execute_plan(self, plan: Plan, folders: OpenFolders, *, is_recovery: bool) -> _PlanProgress:
        """Forward; or back, and forward again under other names where the names were taken; or back for good."""
        for _ in range(_MAX_NAME_TRIES):
            carry = PlanMoves(self.fs, folders, plan, self._restored_sigs, is_recovery=is_recovery)
            try:
                carry.apply()
                return _PlanProgress(plan, None, None, carry)
            except (NameTaken, SourceChanged, OSError, HostError) as error:
                why = error
            end = self._roll_back(carry, why)
            if not isinstance(why, NameTaken) or carry.displaced or end.completed is None:
                return end
            try:
                plan = self._with_publish_sigs(self._with_free_names(plan, why, folders))
                self.journal.update_plan(plan)
            except (OSError, HostError) as error:
                return _PlanProgress(plan, self._failure_result(plan, error), empty_completion(plan))
        return end

    def _roll_back(self, moves: PlanMoves, cause: Exception) -> _PlanProgress:
        try:
            moves.roll_back(self._now())
        except (NameTaken, SourceChanged, OSError, HostError) as error:
            verdict = self._halted(moves.plan, error)
            return _PlanProgress(moves.plan, replace(verdict, is_pending=True), None)
        return _PlanProgress(moves.plan, self._failure_result(moves.plan, cause), moves.superseded_plan(self._now()))

    def _sync_folders(self, folders: OpenFolders, progress: list[_PlanProgress]) -> None:
        """Make it all durable. Where that fails, take back what was done; where that cannot be made durable either, it stays open."""
        try:
            folders.sync_changed()
            return
        except OSError as error:
            why = error
        for number, end in enumerate(progress):
            if end.moves is not None:
                progress[number] = self._roll_back(end.moves, why)
        try:
            folders.sync_changed()
        except OSError as error:
            for number, end in enumerate(progress):
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

    # ------------------------------------------------------------------ other names, other words

    def _with_publish_sigs(self, plan: Plan) -> Plan:
        """The results' inodes, so that they are known again after a crash."""
        puts = tuple(
            put.model_copy(update={"sig": FileSignature.from_stat(self.fs.lstat(PathAt.from_path(put.source)))}) for put in plan.publishes
        )
        return plan.model_copy(update={"publishes": puts}) if puts else plan

    def _with_free_names(self, plan: Plan, conflict: NameTaken, folders: OpenFolders) -> Plan:
        goal = conflict.move.destination
        if is_in_archive(goal):
            return with_destinations(plan, {goal: next_free_path(goal, folders.is_free)})
        base, number = split_version(plan.stem)
        goals = [goal for goal in plan.destinations if not is_in_archive(goal)]
        room = MAX_NAME_BYTES + len(os.fsencode(plan.stem)) - max(len(os.fsencode(os.path.basename(path))) for path in goals)
        gone = self.journal.placed_versions(os.path.dirname(goal), fold_name(base)) | {number}
        stem = next_free_stem(plan.stem, gone, lambda new: all(folders.is_free(replace_stem(path, plan.stem, new)) for path in goals), room)
        return self._rename_plan(plan, stem)

    def _failure_result(self, plan: Plan, cause: Exception) -> PlanResult:
        """Whose fault it was that a plan had to be taken back."""
        if isinstance(cause, SourceChanged):
            return FilesChanged(plan, cause.path, cause.sentence)
        if isinstance(cause, NameTaken):
            return FileRefused(plan, f"No free name was found for {cause.move.destination}.", "Move older versions out of that folder.")
        barred = isinstance(cause, OSError) and cause.errno in (errno.EACCES, errno.EPERM)
        if isinstance(cause, OSError) and (is_job_error(cause) or (barred and self._is_job_permission_fault(plan))):
            sentence = f"{plan.history_row.path} could not be moved on: {_error_text(cause)}."
            return FileRefused(plan, sentence, "Look at the names and permissions of the folders it lies in and goes to.")
        return self._halted(plan, cause)

    def _halted(self, plan: Plan, cause: Exception) -> PlanHalted:
        if isinstance(cause, HostError):
            return PlanHalted(plan, cause.sentence, cause.remedy, is_pending=False)
        said = _error_text(cause) if isinstance(cause, OSError) else str(cause)
        return PlanHalted(
            plan,
            f"{plan.history_row.path} could not be moved on: {said}.",
            _REMEDY_BY_ERRNO.get(getattr(cause, "errno", 0), _DEFAULT_REMEDY),
            is_pending=False,
        )

    def _is_job_permission_fault(self, plan: Plan) -> bool:
        """Whether it is this one job's fault that the kernel refused it: a folder of its campaign, or a file of its own.

        A folder of the line itself that may not be written to is the machine's. Where all of them may, nothing tells which of the two
        it is: then the machine is taken to be at fault once, and all waits; what is refused again after that is refused for itself.
        """
        paths = [*plan.destinations, *(take.path for take in plan.consumes)]
        if not all(self._can_write(path.partition("/")[0]) for path in paths):
            return False
        again = plan.job_id in self._permission_denied_jobs or not all(self._can_write(self._nearest_folder(path)) for path in paths)
        (self._permission_denied_jobs.discard if again else self._permission_denied_jobs.add)(plan.job_id)
        return again

    def _can_write(self, folder: str) -> bool:
        return os.access(self.root / folder, os.W_OK | os.X_OK, effective_ids=True)

    def _nearest_folder(self, path: str) -> str:
        """The folder that a path lies in, or the nearest one above it that is there."""
        folder = os.path.dirname(path)
        while "/" in folder and not os.path.isdir(self.root / folder):
            folder = os.path.dirname(folder)
        return folder


@dataclass(slots=True)
class _PlanProgress:
    """How far one plan of a batch has come. ``settled`` is None while it is under way or cannot be ended."""

    plan: Plan
    result: PlanResult | None
    completed: CompletedPlan | None
    moves: PlanMoves | None = None

    @property
    def halt(self) -> PlanHalted | None:
        return self.result if isinstance(self.result, PlanHalted) else None


def with_new_stem(plan: Plan, stem: str) -> Plan:
    """The plan with every result called after another stem; what stands in the files is left as it is."""
    goals = {goal for goal in plan.destinations if not is_in_archive(goal)}
    return with_destinations(plan, {goal: replace_stem(goal, plan.stem, stem) for goal in goals}).model_copy(update={"stem": stem})


def with_destinations(plan: Plan, new_destinations: dict[str, str]) -> Plan:
    """The plan with some destinations exchanged for others, on record as well."""
    takes = tuple(
        take.model_copy(update={"destination": new_destinations.get(take.destination, take.destination)}) for take in plan.consumes
    )
    puts = tuple(put.model_copy(update={"destination": new_destinations.get(put.destination, put.destination)}) for put in plan.publishes)
    aside = plan.history_row.record.get("archive_only")
    row = plan.history_row
    if isinstance(aside, list):
        told = [{**one, "archived": new_destinations.get(str(one["archived"]), one["archived"])} for one in aside if isinstance(one, dict)]
        row = row.model_copy(update={"record": {**row.record, "archive_only": told}})
    return plan.model_copy(update={"consumes": takes, "publishes": puts, "history_row": row})


def empty_completion(plan: Plan) -> CompletedPlan:
    """Nothing of this plan was done and nothing is to be remembered of it."""
    return CompletedPlan(plan.id, (), (), ())


def _error_text(error: OSError) -> str:
    return f"{error.strerror or error}" + (f" ({error.errno})" if error.strerror is None else "")


_DEFAULT_REMEDY = "Everything waits in place; look at the disk and its mounts."
_REMEDY_BY_ERRNO: dict[int | None, str] = {
    errno.ENOSPC: "Free some space on that disk; everything waits in place and goes on by itself.",
    errno.EDQUOT: "The quota is used up; everything waits in place and goes on when there is room.",
    errno.EROFS: "The disk is read-only: mount it for writing; everything waits in place.",
    errno.EACCES: "Give the service write access to the folders of the line; everything waits in place.",
}
