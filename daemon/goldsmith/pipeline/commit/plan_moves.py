"""One plan on its way: all its takes, then all its puts; or all of them back again, last first."""

from __future__ import annotations

import posixpath

from pydantic import JsonValue

from goldsmith.files import FileSignature, Filesystem, fold_name
from goldsmith.journal.records import CompletedPlan, HistoryRow, PlacedFile, PlacedVersion, Plan
from goldsmith.pipeline.commit.file_move import FileMove, SidecarArrived, SourceMissing
from goldsmith.pipeline.commit.naming import archive_path, is_in_archive, split_version
from goldsmith.pipeline.commit.open_folders import OpenFolders
from goldsmith.pipeline.intake.bundle_index import find_companion


class PlanMoves:
    """Carries one plan out. ``replay``: the plan was found open, and any part of it may have been done before.

    ``homes`` remembers what files that were put back have become, so that trying again does not take that for a change.
    """

    def __init__(
        self, fs: Filesystem, folders: OpenFolders, plan: Plan, restored_sigs: dict[str, FileSignature], *, is_recovery: bool
    ) -> None:
        self.fs, self.folders, self.plan, self.restored_sigs, self.is_recovery = fs, folders, plan, restored_sigs, is_recovery
        self.consumes = [self._file_move(number, take.path, take.destination, take.sha256) for number, take in enumerate(plan.consumes)]
        self.publishes = [
            self._file_move(number, put.source, put.destination, put.sha256)
            for number, put in enumerate(plan.publishes, len(plan.consumes))
        ]
        for leg, take in zip(self.consumes, plan.consumes, strict=True):
            leg.is_consume, leg.sig, leg.restored_sig = True, take.sig, restored_sigs.get(take.path)
        for leg, put in zip(self.publishes, plan.publishes, strict=True):
            leg.sig = put.sig
        self.displaced: list[tuple[FileMove, str]] = []

    def _file_move(self, number: int, source: str, destination: str, sha256: str) -> FileMove:
        leg = FileMove(self.fs, self.folders, f"{self.plan.id}-{number}", source, destination, sha256)
        leg.is_recovery = self.is_recovery
        return leg

    def apply(self) -> None:
        """Do what is still to be done. Raises as ``Leg.forward`` does; then ``resize_matte`` is to be called."""
        if self.is_recovery and self._has_publishing_started():
            for leg in self.consumes:
                leg.confirm_consumed()
        else:
            self._consume_all()
            self._check_lone_brief()
        for leg in self.publishes:
            try:
                leg.apply()
            except SourceMissing:
                if not self.is_recovery:
                    raise

    def _has_publishing_started(self) -> bool:
        """A result that is no longer in scratch was put down, since every take goes before every put.

        Raises Gone where results are missing though an input still lies where it lay: scratch was lost, there is nothing to put.
        """
        missing = [leg for leg in self.publishes if not leg.is_at_source()]
        if missing and any(leg.is_at_source() for leg in self.consumes):
            raise SourceMissing(missing[0], f"The result {missing[0].name} is no longer there.")
        return bool(missing)

    def _consume_all(self) -> None:
        for number, leg in enumerate(self.consumes):
            try:
                leg.apply()
            except SourceMissing:
                if not (self.is_recovery and any(later.is_at_destination() for later in self.consumes[number + 1 :])):
                    raise

    def _check_lone_brief(self) -> None:
        """A brief that was worked on alone is out of its folder now: what comes from here on comes too late, what is there already does
        not. Raises NotAlone."""
        brief = self.plan.lone_brief
        if brief:
            came = find_companion(brief, self.folders.list_file_names(posixpath.dirname(brief)))
            if came is not None:
                raise SidecarArrived(next(leg for leg in self.consumes if leg.source == brief), came)

    def roll_back(self, now: float) -> None:
        """Put everything back. An input whose place was filled again meanwhile goes to the archive instead."""
        for leg in reversed(self.consumes + self.publishes):
            if not leg.roll_back():
                self.displaced.append((leg, self._archive_displaced(leg, now)))
            elif leg.is_consume and leg.restored_sig is not None:
                self.restored_sigs[leg.source] = leg.restored_sig

    def _archive_displaced(self, leg: FileMove, now: float) -> str:
        astray = leg.stranded_path()
        if is_in_archive(astray):
            return astray
        to = archive_path(leg.source, now, self.folders.is_free)
        away = self._file_move(self.consumes.index(leg), astray, to, "")
        away.is_recovery = False
        away.apply()
        away.clean_up()
        return to

    def clean_up(self) -> None:
        for leg in self.consumes + self.publishes:
            leg.clean_up()
            self.restored_sigs.pop(leg.source, None)

    def completed_plan(self, now: float) -> CompletedPlan:
        """What is to be written down now that everything lies where it should."""
        placed = tuple(
            PlacedFile.model_construct(path=leg.destination, sig=leg.destination_sig, sha256=leg.sha256, job_id=self.plan.job_id)
            for leg in self.consumes + self.publishes
            if leg.destination_sig is not None and not is_in_archive(leg.destination)
        )
        results = tuple(goal for goal in self.plan.destinations if not is_in_archive(goal))
        archived: dict[str, JsonValue] = {one.path: one.destination for one in self.plan.consumes if is_in_archive(one.destination)}
        row = self.plan.history_row
        # A picture that was handed on itself lies there as a copy.
        for put in self.plan.publishes:
            if is_in_archive(put.destination) and put.sha256 == row.sha256:
                archived[row.path] = put.destination
        record = {**row.record, "archived": archived}
        row = row.model_copy(update={"taken_at": now, "results": results, "record": record})
        return CompletedPlan(self.plan.id, (row,), placed, plan_versions(self.plan))

    def superseded_plan(self, now: float) -> CompletedPlan:
        """What is to be written down of inputs that could not go home."""
        rows = tuple(
            HistoryRow(
                job_id=self.plan.job_id,
                path=leg.source,
                sha256="",
                started_at=self.plan.history_row.started_at,
                taken_at=now,
                stage=self.plan.history_row.stage,
                outcome="superseded",
                record={"archived": {leg.source: to}},
            )
            for leg, to in self.displaced
        )
        return CompletedPlan(self.plan.id, rows, (), ())


def plan_versions(plan: Plan) -> tuple[PlacedVersion, ...]:
    """The versions a plan puts down: one in each folder it puts results into."""
    base, number = split_version(plan.stem)
    folders = {goal.rpartition("/")[0] for goal in plan.destinations if not is_in_archive(goal)}
    return tuple(PlacedVersion(folder, fold_name(base), number) for folder in sorted(folders))
