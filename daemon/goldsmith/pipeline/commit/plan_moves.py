"""The moves of one plan: first all inputs, then all results; a rollback undoes them in reverse order."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from pydantic import JsonValue

from goldsmith.files import FileSignature, Filesystem, fold_name
from goldsmith.journal.records import CompletedPlan, HistoryRow, PlacedFile, PlacedVersion, Plan
from goldsmith.pipeline.commit.file_move import FileMove, PreparedCopy, ResultLost, SidecarArrived, SourceMissing
from goldsmith.pipeline.commit.naming import archive_path, is_in_archive, source_name, split_version
from goldsmith.pipeline.commit.open_folders import OpenFolders
from goldsmith.pipeline.intake.bundle_index import find_companion


class PlanMoves:
    """Carries out one plan. ``is_recovery``: the plan was found open, and an earlier run may have done any part of it.

    ``restored_sigs`` holds the new signature of each input that a rollback has restored, by path: the next try must not take the rollback
    for a change. ``copies`` holds the copies that were made before the commit, by the numbers of their moves.
    """

    def __init__(
        self,
        fs: Filesystem,
        folders: OpenFolders,
        plan: Plan,
        restored_sigs: dict[str, FileSignature],
        copies: Mapping[int, PreparedCopy] | None = None,
        *,
        is_recovery: bool,
    ) -> None:
        self.fs, self.folders, self.plan, self.restored_sigs, self.is_recovery = fs, folders, plan, restored_sigs, is_recovery
        self.consumes = [
            self._file_move(number, consume.path, consume.destination, consume.sha256) for number, consume in enumerate(plan.consumes)
        ]
        self.publishes = [
            self._file_move(number, publish.source, publish.destination, publish.sha256)
            for number, publish in enumerate(plan.publishes, len(plan.consumes))
        ]
        for move, consume in zip(self.consumes, plan.consumes, strict=True):
            move.is_consume, move.sig, move.restored_sig = True, consume.sig, restored_sigs.get(consume.path)
        for move, publish in zip(self.publishes, plan.publishes, strict=True):
            move.sig = publish.sig
        for number, move in enumerate(self.consumes + self.publishes):
            move.prepared = (copies or {}).get(number)
        # Inputs that could not return to their source, with their path in the archive.
        self.displaced: list[tuple[FileMove, str]] = []

    def _file_move(self, number: int, source: str, destination: str, sha256: str) -> FileMove:
        move = FileMove(self.fs, self.folders, f"{self.plan.id}-{number}", source, destination, sha256)
        move.is_recovery = self.is_recovery
        return move

    def apply(self) -> None:
        """Do every move that is not done yet. Raises as ``FileMove.apply`` does; the caller must then call ``roll_back``."""
        if self.is_recovery and self._has_publishing_started():
            for move in self.consumes:
                move.confirm_consumed()
        else:
            self._consume_all()
            self._check_lone_brief()
        for move in self.publishes:
            try:
                move.apply()
            except SourceMissing:
                if not self.is_recovery:
                    raise

    def _has_publishing_started(self) -> bool:
        """Return whether an earlier run has moved at least one result. All inputs are then moved, since they go first.

        Raises ResultLost if results are missing although an input is still at its source: then the scratch folder is lost.
        """
        missing = [move for move in self.publishes if not move.is_at_source()]
        if missing and any(move.is_at_source() for move in self.consumes):
            raise ResultLost(missing[0], f"The result {missing[0].name} is no longer there.")
        return bool(missing)

    def _consume_all(self) -> None:
        for number, move in enumerate(self.consumes):
            try:
                move.apply()
            except SourceMissing:
                if not (self.is_recovery and any(later.is_at_destination() for later in self.consumes[number + 1 :])):
                    raise

    def _check_lone_brief(self) -> None:
        """Raise SidecarArrived if a sidecar of a lone brief has arrived.

        The brief has left its folder by now, so a sidecar that arrives after this check is too late.
        """
        brief = self.plan.lone_brief
        if brief:
            sidecar = find_companion(brief, self.folders.list_file_names(posixpath.dirname(brief)))
            if sidecar is not None:
                raise SidecarArrived(next(move for move in self.consumes if move.source == brief), sidecar)

    def roll_back(self, now: float) -> None:
        """Undo every move. An input whose source has a new file goes to the archive instead."""
        for move in reversed(self.consumes + self.publishes):
            if not move.roll_back():
                self.displaced.append((move, self._archive_displaced(move, now)))
            elif move.is_consume and move.restored_sig is not None:
                self.restored_sigs[move.source] = move.restored_sig

    def _archive_displaced(self, move: FileMove, now: float) -> str:
        path = move.stranded_path()
        if is_in_archive(path):
            return path
        destination = archive_path(move.source, now, self.folders.is_free)
        archive_move = self._file_move(self.consumes.index(move), path, destination, "")
        archive_move.is_recovery = False
        archive_move.apply_unchecked()
        archive_move.clean_up()
        return destination

    def clean_up(self) -> None:
        for move in self.consumes + self.publishes:
            move.clean_up()
            self.restored_sigs.pop(move.source, None)

    def completed_plan(self, now: float) -> CompletedPlan:
        """Return the record of the finished plan."""
        placed = tuple(
            PlacedFile.model_construct(path=move.destination, sig=move.destination_sig, sha256=move.sha256, job_id=self.plan.job_id)
            for move in self.consumes + self.publishes
            if move.destination_sig is not None and not is_in_archive(move.destination)
        )
        results = tuple(path for path in self.plan.destinations if not is_in_archive(path))
        archived: dict[str, JsonValue] = {
            consume.path: consume.destination for consume in self.plan.consumes if is_in_archive(consume.destination)
        }
        row = self.plan.history_row
        # An unchanged picture moves on itself, and its copy is in the archive.
        for publish in self.plan.publishes:
            if is_in_archive(publish.destination) and publish.sha256 == row.sha256:
                archived[row.path] = publish.destination
        record = {**row.record, "archived": archived}
        row = row.model_copy(update={"taken_at": now, "results": results, "record": record})
        rows = (row,) if self.plan.hand_row is None else (self.plan.hand_row, row)
        return CompletedPlan(self.plan.id, rows, placed, plan_versions(self.plan))

    def superseded_plan(self, now: float) -> CompletedPlan:
        """Return the record of a plan that was undone, with a row for each input that went to the archive instead."""
        rows = tuple(
            HistoryRow(
                job_id=self.plan.job_id,
                path=move.source,
                sha256="",
                started_at=self.plan.history_row.started_at,
                taken_at=now,
                stage=self.plan.history_row.stage,
                outcome="superseded",
                record={"archived": {move.source: archived_path}},
            )
            for move, archived_path in self.displaced
        )
        return CompletedPlan(self.plan.id, rows, (), ())


def plan_versions(plan: Plan) -> tuple[PlacedVersion, ...]:
    """Return the versions that a plan places: one in each folder that gets results."""
    base, number = split_version(plan.stem)
    folders = {path.rpartition("/")[0] for path in plan.destinations if not is_in_archive(path)}
    source = source_name(posixpath.basename(plan.history_row.path))
    return tuple(PlacedVersion(folder, fold_name(base), number, source) for folder in sorted(folders))
