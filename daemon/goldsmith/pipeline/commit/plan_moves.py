"""One plan on its way: all its takes, then all its puts; or all of them back again, last first."""

from __future__ import annotations

import posixpath

from pydantic import JsonValue

from goldsmith.files import Filesystem, Sig, fold
from goldsmith.journal.records import Placed, Plan, Settled, TakenRow, Version
from goldsmith.pipeline.commit.file_move import Gone, Leg, NotAlone
from goldsmith.pipeline.commit.folders import Folders
from goldsmith.pipeline.commit.naming import archive_path, in_archive, split_version
from goldsmith.pipeline.intake.index import company


class Carry:
    """Carries one plan out. ``replay``: the plan was found open, and any part of it may have been done before.

    ``homes`` remembers what files that were put back have become, so that trying again does not take that for a change.
    """

    def __init__(self, fs: Filesystem, folders: Folders, plan: Plan, homes: dict[str, Sig], *, replay: bool) -> None:
        self.fs, self.folders, self.plan, self.homes, self.replay = fs, folders, plan, homes, replay
        self.takes = [self._leg(number, take.path, take.to, take.sha256) for number, take in enumerate(plan.takes)]
        self.puts = [self._leg(number, put.source, put.to, put.sha256) for number, put in enumerate(plan.puts, len(plan.takes))]
        for leg, take in zip(self.takes, plan.takes, strict=True):
            leg.take, leg.sig, leg.home = True, take.sig, homes.get(take.path)
        for leg, put in zip(self.puts, plan.puts, strict=True):
            leg.sig = put.sig
        self.stowed: list[tuple[Leg, str]] = []

    def _leg(self, number: int, origin: str, goal: str, sha256: str) -> Leg:
        leg = Leg(self.fs, self.folders, f"{self.plan.id}-{number}", origin, goal, sha256)
        leg.replay = self.replay
        return leg

    def forward(self) -> None:
        """Do what is still to be done. Raises as ``Leg.forward`` does; then ``back`` is to be called."""
        if self.replay and self._puts_begun():
            for leg in self.takes:
                leg.confirm()
        else:
            self._take_all()
            self._look_round()
        for leg in self.puts:
            try:
                leg.forward()
            except Gone:
                if not self.replay:
                    raise

    def _puts_begun(self) -> bool:
        """A result that is no longer in scratch was put down, since every take goes before every put.

        Raises Gone where results are missing though an input still lies where it lay: scratch was lost, there is nothing to put.
        """
        missing = [leg for leg in self.puts if not leg.still_there()]
        if missing and any(leg.still_there() for leg in self.takes):
            raise Gone(missing[0], f"The result {missing[0].name} is no longer there.")
        return bool(missing)

    def _take_all(self) -> None:
        for number, leg in enumerate(self.takes):
            try:
                leg.forward()
            except Gone:
                if not (self.replay and any(later.reached() for later in self.takes[number + 1 :])):
                    raise

    def _look_round(self) -> None:
        """A brief that was worked on alone is out of its folder now: what comes from here on comes too late, what is there already does
        not. Raises NotAlone."""
        brief = self.plan.alone
        if brief:
            came = company(brief, self.folders.names(posixpath.dirname(brief)))
            if came is not None:
                raise NotAlone(next(leg for leg in self.takes if leg.origin == brief), came)

    def back(self, now: float) -> None:
        """Put everything back. An input whose place was filled again meanwhile goes to the archive instead."""
        for leg in reversed(self.takes + self.puts):
            if not leg.back():
                self.stowed.append((leg, self._stow(leg, now)))
            elif leg.take and leg.home is not None:
                self.homes[leg.origin] = leg.home

    def _stow(self, leg: Leg, now: float) -> str:
        astray = leg.astray()
        if in_archive(astray):
            return astray
        to = archive_path(leg.origin, now, self.folders.is_free)
        away = self._leg(self.takes.index(leg), astray, to, "")
        away.replay = False
        away.forward()
        away.finish()
        return to

    def finish(self) -> None:
        for leg in self.takes + self.puts:
            leg.finish()
            self.homes.pop(leg.origin, None)

    def settled(self, now: float) -> Settled:
        """What is to be written down now that everything lies where it should."""
        placed = tuple(
            Placed.model_construct(path=leg.goal, sig=leg.lies, sha256=leg.sha256, job_id=self.plan.job_id)
            for leg in self.takes + self.puts
            if leg.lies is not None and not in_archive(leg.goal)
        )
        results = tuple(goal for goal in self.plan.goals if not in_archive(goal))
        archived: dict[str, JsonValue] = {one.path: one.to for one in self.plan.takes if in_archive(one.to)}
        row = self.plan.row
        # A picture that was handed on itself lies there as a copy.
        for put in self.plan.puts:
            if in_archive(put.to) and put.sha256 == row.sha256:
                archived[row.path] = put.to
        record = {**row.record, "archived": archived}
        row = row.model_copy(update={"taken_at": now, "results": results, "record": record})
        return Settled(self.plan.id, (row,), placed, versions_of(self.plan))

    def superseded(self, now: float) -> Settled:
        """What is to be written down of inputs that could not go home."""
        rows = tuple(
            TakenRow(
                job_id=self.plan.job_id,
                path=leg.origin,
                sha256="",
                started_at=self.plan.row.started_at,
                taken_at=now,
                stage=self.plan.row.stage,
                outcome="superseded",
                record={"archived": {leg.origin: to}},
            )
            for leg, to in self.stowed
        )
        return Settled(self.plan.id, rows, (), ())


def versions_of(plan: Plan) -> tuple[Version, ...]:
    """The versions a plan puts down: one in each folder it puts results into."""
    base, number = split_version(plan.stem)
    folders = {goal.rpartition("/")[0] for goal in plan.goals if not in_archive(goal)}
    return tuple(Version(folder, fold(base), number) for folder in sorted(folders))
