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

from goldsmith.errors import MachineFault
from goldsmith.files import At, Filesystem, Sig, fold
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import Placed, Plan, Settled
from goldsmith.pipeline.commit.file_move import NameTaken, NotAsRead
from goldsmith.pipeline.commit.folders import Folders, is_job_fault
from goldsmith.pipeline.commit.naming import (
    LONGEST,
    in_archive,
    next_numbered,
    restemmed,
    split_version,
    versioned,
)
from goldsmith.pipeline.commit.plan_moves import Carry

Reword = Callable[[Plan, str], Plan]
"""(plan, new stem) -> the same plan with every result called after the new stem, and files that name results written anew."""

_TRIES = 100


@dataclass(frozen=True, slots=True)
class Committed:
    """Results lie in place, inputs are put away, and both are on record."""

    plan: Plan
    """As it was carried out, names included."""
    placed: tuple[Placed, ...]
    """What the daemon put into folders of the line, with the signature it has now."""


@dataclass(frozen=True, slots=True)
class Changed:
    """An input is not what was read (or a result is lost): everything lies as it lay, the work is to be thrown away."""

    plan: Plan
    path: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The job's fault: a name or a folder of its own makes it impossible. Everything lies as it lay."""

    plan: Plan
    sentence: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Halted:
    """The machine's fault. ``pending``: it could not be undone; a later ``settle`` or ``commit`` returns what became of it."""

    plan: Plan
    sentence: str
    remedy: str
    pending: bool


Result = Committed | Changed | Refused | Halted


class Deliver:
    """Carries plans out for one root. Not for two threads."""

    def __init__(
        self,
        root: Path,
        journal: Journal,
        fs: Filesystem | None = None,
        now: Callable[[], float] = time.time,
        reword: Reword | None = None,
    ) -> None:
        self.root = root
        self.journal = journal
        self.fs = fs or Filesystem()
        self._now = now
        self._reword = reword or with_stem
        self._mounts: set[str] = set()
        self._homes: dict[str, Sig] = {}
        self._pending: dict[str, Plan] = {}
        self._undone: dict[str, Settled] = {}
        self._barred: set[str] = set()
        """Job ids of plans that were refused where every folder may be written to."""

    @property
    def pending(self) -> list[str]:
        """Job ids of plans that neither came to be nor could be undone; until they are, nothing new is committed."""
        return [plan.job_id for plan in self._pending.values()]

    # ------------------------------------------------------------------ the commit

    def commit(self, plans: Sequence[Plan]) -> list[Result]:
        """Carry plans out: one result each, after those of earlier plans that were pending and have now come to an end."""
        results = self.settle()
        halt = next((result for result in results if isinstance(result, Halted)), None)
        if halt is not None:
            return [*results, *(Halted(plan, halt.sentence, halt.remedy, pending=False) for plan in plans)]
        ready: list[Plan] = []
        for plan in plans:
            try:
                ready.append(self._with_sigs(plan))
            except FileNotFoundError as error:
                results.append(Changed(plan, str(error.filename), "A finished result is no longer in its scratch folder."))
            except OSError as error:
                results.append(self._machine(plan, error))
        if not ready:
            return results
        try:
            self.journal.intend(ready)
        except MachineFault as fault:
            self._undone.update({plan.id: nothing_of(plan) for plan in ready})
            return [*results, *(Halted(plan, fault.sentence, fault.remedy, pending=False) for plan in ready)]
        return [*results, *self._carry(ready, replay=False)]

    def settle(self, plans: Iterable[Plan] = ()) -> list[Result]:
        """Finish, or take back, what was left half done: ``plans`` found open at start, and those that are pending."""
        self._pending.update({plan.id: plan for plan in plans})
        waiting = list(self._pending.values())
        try:
            if self._undone:
                self.journal.done(list(self._undone.values()))
                self._undone.clear()
        except MachineFault as fault:
            return [Halted(plan, fault.sentence, fault.remedy, pending=True) for plan in waiting]
        return self._carry(waiting, replay=True) if waiting else []

    def _carry(self, plans: Sequence[Plan], *, replay: bool) -> list[Result]:
        with Folders(self.fs, self.root, self._mounts) as folders:
            ends: list[_End] = []
            halt: Halted | None = None
            for plan in plans:
                if halt is None:
                    ends.append(self._one(plan, folders, replay=replay))
                    halt = ends[-1].halt
                else:
                    untouched = Halted(plan, halt.sentence, halt.remedy, pending=replay)
                    ends.append(_End(plan, untouched, None if replay else nothing_of(plan)))
            self._sync(folders, ends)
            self._tick(folders, ends)
        for end in ends:
            if end.settled is None:
                self._pending[end.plan.id] = end.plan
            else:
                self._pending.pop(end.plan.id, None)
        return [end.result for end in ends if end.result is not None]

    def _one(self, plan: Plan, folders: Folders, *, replay: bool) -> _End:
        """Forward; or back, and forward again under other names where the names were taken; or back for good."""
        for _ in range(_TRIES):
            carry = Carry(self.fs, folders, plan, self._homes, replay=replay)
            try:
                carry.forward()
                return _End(plan, None, None, carry)
            except (NameTaken, NotAsRead, OSError, MachineFault) as error:
                why = error
            end = self._back(carry, why)
            if not isinstance(why, NameTaken) or carry.stowed or end.settled is None:
                return end
            try:
                plan = self._with_sigs(self._elsewhere(plan, why, folders))
                self.journal.replan(plan)
            except (OSError, MachineFault) as error:
                return _End(plan, self._verdict(plan, error), nothing_of(plan))
        return end

    def _back(self, carry: Carry, why: Exception) -> _End:
        try:
            carry.back(self._now())
        except (NameTaken, NotAsRead, OSError, MachineFault) as error:
            verdict = self._machine(carry.plan, error)
            return _End(carry.plan, replace(verdict, pending=True), None)
        return _End(carry.plan, self._verdict(carry.plan, why), carry.superseded(self._now()))

    def _sync(self, folders: Folders, ends: list[_End]) -> None:
        """Make it all durable. Where that fails, take back what was done; where that cannot be made durable either, it stays open."""
        try:
            folders.sync()
            return
        except OSError as error:
            why = error
        for number, end in enumerate(ends):
            if end.carry is not None:
                ends[number] = self._back(end.carry, why)
        try:
            folders.sync()
        except OSError as error:
            for number, end in enumerate(ends):
                ends[number] = _End(end.plan, replace(self._machine(end.plan, error), pending=True), None)

    def _tick(self, folders: Folders, ends: list[_End]) -> None:
        now = self._now()
        try:
            for end in ends:
                if end.carry is not None:
                    end.carry.finish()
                    end.settled = end.carry.settled(now)
            folders.sync()
            self.journal.done([end.settled for end in ends if end.settled is not None])
        except (OSError, MachineFault) as error:
            for end in ends:
                if end.carry is not None:
                    end.settled, end.result = None, replace(self._machine(end.plan, error), pending=True)
                elif end.settled is not None:
                    self._undone[end.plan.id] = end.settled
            return
        for end in ends:
            if end.carry is not None and end.settled is not None:
                end.result = Committed(end.plan, end.settled.placed)

    # ------------------------------------------------------------------ other names, other words

    def _with_sigs(self, plan: Plan) -> Plan:
        """The results' inodes, so that they are known again after a crash."""
        puts = tuple(put.model_copy(update={"sig": Sig.of(self.fs.lstat(At.path(put.source)))}) for put in plan.puts)
        return plan.model_copy(update={"puts": puts}) if puts else plan

    def _elsewhere(self, plan: Plan, taken: NameTaken, folders: Folders) -> Plan:
        goal = taken.leg.goal
        if in_archive(goal):
            return moved(plan, {goal: next_numbered(goal, folders.is_free)})
        base, number = split_version(plan.stem)
        goals = [goal for goal in plan.goals if not in_archive(goal)]
        room = LONGEST + len(os.fsencode(plan.stem)) - max(len(os.fsencode(os.path.basename(path))) for path in goals)
        gone = self.journal.ever_placed_versions(os.path.dirname(goal), fold(base)) | {number}
        stem = versioned(plan.stem, gone, lambda new: all(folders.is_free(restemmed(path, plan.stem, new)) for path in goals), room)
        return self._reword(plan, stem)

    def _verdict(self, plan: Plan, why: Exception) -> Result:
        """Whose fault it was that a plan had to be taken back."""
        if isinstance(why, NotAsRead):
            return Changed(plan, why.path, why.sentence)
        if isinstance(why, NameTaken):
            return Refused(plan, f"No free name was found for {why.leg.goal}.", "Move older versions out of that folder.")
        barred = isinstance(why, OSError) and why.errno in (errno.EACCES, errno.EPERM)
        if isinstance(why, OSError) and (is_job_fault(why) or (barred and self._its_own_bar(plan))):
            sentence = f"{plan.row.path} could not be moved on: {_said(why)}."
            return Refused(plan, sentence, "Look at the names and permissions of the folders it lies in and goes to.")
        return self._machine(plan, why)

    def _machine(self, plan: Plan, why: Exception) -> Halted:
        if isinstance(why, MachineFault):
            return Halted(plan, why.sentence, why.remedy, pending=False)
        said = _said(why) if isinstance(why, OSError) else str(why)
        return Halted(
            plan, f"{plan.row.path} could not be moved on: {said}.", _REMEDIES.get(getattr(why, "errno", 0), _WAITS), pending=False
        )

    def _its_own_bar(self, plan: Plan) -> bool:
        """Whether it is this one job's fault that the kernel refused it: a folder of its campaign, or a file of its own.

        A folder of the line itself that may not be written to is the machine's. Where all of them may, nothing tells which of the two
        it is: then the machine is taken to be at fault once, and all waits; what is refused again after that is refused for itself.
        """
        paths = [*plan.goals, *(take.path for take in plan.takes)]
        if not all(self._may_write(path.partition("/")[0]) for path in paths):
            return False
        again = plan.job_id in self._barred or not all(self._may_write(self._lying(path)) for path in paths)
        (self._barred.discard if again else self._barred.add)(plan.job_id)
        return again

    def _may_write(self, folder: str) -> bool:
        return os.access(self.root / folder, os.W_OK | os.X_OK, effective_ids=True)

    def _lying(self, path: str) -> str:
        """The folder that a path lies in, or the nearest one above it that is there."""
        folder = os.path.dirname(path)
        while "/" in folder and not os.path.isdir(self.root / folder):
            folder = os.path.dirname(folder)
        return folder


@dataclass(slots=True)
class _End:
    """How far one plan of a batch has come. ``settled`` is None while it is under way or cannot be ended."""

    plan: Plan
    result: Result | None
    settled: Settled | None
    carry: Carry | None = None

    @property
    def halt(self) -> Halted | None:
        return self.result if isinstance(self.result, Halted) else None


def with_stem(plan: Plan, stem: str) -> Plan:
    """The plan with every result called after another stem; what stands in the files is left as it is."""
    goals = {goal for goal in plan.goals if not in_archive(goal)}
    return moved(plan, {goal: restemmed(goal, plan.stem, stem) for goal in goals}).model_copy(update={"stem": stem})


def moved(plan: Plan, goals: dict[str, str]) -> Plan:
    """The plan with some destinations exchanged for others, on record as well."""
    takes = tuple(take.model_copy(update={"to": goals.get(take.to, take.to)}) for take in plan.takes)
    puts = tuple(put.model_copy(update={"to": goals.get(put.to, put.to)}) for put in plan.puts)
    aside = plan.row.record.get("aside")
    row = plan.row
    if isinstance(aside, list):
        told = [{**one, "archived": goals.get(str(one["archived"]), one["archived"])} for one in aside if isinstance(one, dict)]
        row = row.model_copy(update={"record": {**row.record, "aside": told}})
    return plan.model_copy(update={"takes": takes, "puts": puts, "row": row})


def nothing_of(plan: Plan) -> Settled:
    """Nothing of this plan was done and nothing is to be remembered of it."""
    return Settled(plan.id, (), (), ())


def _said(error: OSError) -> str:
    return f"{error.strerror or error}" + (f" ({error.errno})" if error.strerror is None else "")


_WAITS = "Everything waits in place; look at the disk and its mounts."
_REMEDIES: dict[int | None, str] = {
    errno.ENOSPC: "Free some space on that disk; everything waits in place and goes on by itself.",
    errno.EDQUOT: "The quota is used up; everything waits in place and goes on when there is room.",
    errno.EROFS: "The disk is read-only: mount it for writing; everything waits in place.",
    errno.EACCES: "Give the service write access to the folders of the line; everything waits in place.",
}
