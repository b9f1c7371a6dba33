"""From what a stage brought to the plan of its commit: which file goes where, under which name, and what history will say."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Callable
from pathlib import Path
from typing import Any

from goldsmith.files import FileSignature, Filesystem, fold_name
from goldsmith.jobs.job import Outcome, OutputFile
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import Consume, HistoryRow, Plan, Publish
from goldsmith.pipeline.commit.manifest import MANIFEST_SUFFIX as MANIFEST
from goldsmith.pipeline.commit.manifest import RECORDED_JOB_FIELDS, build_manifest, rename_deliverables
from goldsmith.pipeline.commit.naming import (
    MAX_NAME_BYTES,
    archive_path,
    is_in_archive,
    next_free_stem,
    split_version,
    truncate_name,
)
from goldsmith.pipeline.commit.plan_executor import with_new_stem
from goldsmith.pipeline.intake.bundle import Bundle
from goldsmith.pipeline.scheduler.work_item import WorkItem

# Bytes a stem leaves free for what follows it: version, export name, mask name and suffix.
_RESERVED_TAIL_BYTES = 40


class Planner:
    """Makes plans. ``names_in(folder, campaign, stem)`` tells whether a picture or brief of that stem lies in a folder of the line."""

    def __init__(
        self,
        root: Path,
        final_folder: str,
        journal: Journal,
        fs: Filesystem,
        is_stem_taken: Callable[[str, str, str], bool],
        wall_clock: Callable[[], float],
    ) -> None:
        self._root = root
        self._final_folder = final_folder
        self._journal = journal
        self._fs = fs
        self._is_stem_taken = is_stem_taken
        self._wall_clock = wall_clock
        self._reserved: set[str] = set()

    def plan(self, work: WorkItem) -> Plan:
        """The commit of a finished piece of work, under a name that is free as far as can be seen."""
        outcome = work.final_outcome
        target = posixpath.join(work.ready.stage.next_folder, work.bundle.campaign).rstrip("/")
        stem = self._choose_stem(work, target, outcome)
        placed = self._journal.placed_file(work.asset_path)
        ours = placed is not None and placed.sha256 == work.hashes[work.asset_path]
        return _PlanDraft(self, work, outcome, target, stem, placed.job_id if placed is not None and ours else "").plan()

    def clear_reservations(self) -> None:
        """The plans made since are committed: what they were promised can be seen on the disk again."""
        self._reserved.clear()

    def reserve(self, path: str) -> None:
        self._reserved.add(fold_name(path))

    def is_free(self, path: str) -> bool:
        """True where nothing lies at ``path`` and no plan of this batch is going to put something there."""
        return fold_name(path) not in self._reserved and not os.path.lexists(self._root / path)

    def _choose_stem(self, work: WorkItem, target: str, outcome: Outcome) -> str:
        stage, bundle = work.ready.stage, work.bundle
        tails = [output.tail for output in outcome.outputs if output.role != "archive_only"]
        if outcome.is_unchanged:
            tails.append(os.path.splitext(work.asset_path)[1])
        tails.append(MANIFEST if stage.next_folder == self._final_folder else ".toml")

        def free(stem: str) -> bool:
            if fold_name(_stem_reservation(target, stem)) in self._reserved:
                return False
            if stage.next_folder != self._final_folder and self._is_stem_taken(stage.next_folder, bundle.campaign, stem):
                return False
            return all(self.is_free(posixpath.join(target, stem + tail)) for tail in tails)

        base, _ = split_version(bundle.stem)
        gone = self._journal.placed_versions(target, fold_name(base))
        stem = next_free_stem(bundle.stem, gone, free, 255 - _RESERVED_TAIL_BYTES)
        self.reserve(_stem_reservation(target, stem))
        return stem

    def rename_plan(self, plan: Plan, stem: str) -> Plan:
        """The plan under another stem, for when its names were taken in the last instant; a manifest names the new ones."""
        renamed = with_new_stem(plan, stem)
        old = {
            posixpath.basename(before.destination): posixpath.basename(after.destination)
            for before, after in zip(_all_moves(plan), _all_moves(renamed), strict=True)
        }
        puts = tuple(self._rewrite_manifest(put, old) if put.destination.endswith(MANIFEST) else put for put in renamed.publishes)
        return renamed.model_copy(update={"publishes": puts})

    def _rewrite_manifest(self, put: Publish, new_names: dict[str, str]) -> Publish:
        source = Path(put.source)
        data = rename_deliverables(source.read_bytes(), new_names)
        again = source.with_name(f"{source.name}~")
        self._write(again, data)
        return put.model_copy(
            update={"source": str(again), "sha256": hashlib.sha256(data).hexdigest(), "sig": FileSignature.from_stat(os.stat(again))}
        )

    # what a draft needs of the world

    def reserve_archive_path(self, path: str) -> str:
        found = archive_path(path, self._wall_clock(), self.is_free)
        self.reserve(found)
        return found

    def write_scratch_file(self, work: WorkItem, name: str, data: bytes) -> str:
        """Put a small text of our own into the job's scratch folder, durably; its absolute path."""
        folder = Path(work.job.scratch)
        folder.mkdir(parents=True, exist_ok=True)
        self._write(folder / name, data)
        return str(folder / name)

    def _write(self, path: Path, data: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            self._fs.write_all(descriptor, data)
            self._fs.fsync(descriptor)
        finally:
            os.close(descriptor)

    def lineage(self, row: HistoryRow) -> list[HistoryRow]:
        return [*(self._journal.lineage(row.parent_job_id) if row.parent_job_id else ()), row]

    def now(self) -> float:
        return self._wall_clock()

    def is_final_folder(self, folder: str) -> bool:
        return folder == self._final_folder


class _PlanDraft:
    """The takes and puts of one plan while they are gathered."""

    def __init__(self, planner: Planner, work: WorkItem, outcome: Outcome, target: str, stem: str, parent_job_id: str) -> None:
        self._planner = planner
        self._work = work
        self._outcome = outcome
        self._target = target
        self._stem = stem
        # The job that made the picture, or "" where a person put it there.
        self._parent_job_id = parent_job_id
        self._consumes: list[Consume] = []
        self._publishes: list[Publish] = []
        self._is_final = planner.is_final_folder(work.ready.stage.next_folder)

    def plan(self) -> Plan:
        self._add_picture()
        self._add_sidecars()
        for output in self._forwarded_outputs():
            self._publish(output.path, output.tail, output.sha256)
        aside = self._add_archive_only_outputs()
        row = self._history_row(aside)
        self._add_brief(row)
        work, takes, puts = self._work, tuple(self._consumes), tuple(self._publishes)
        alone = work.asset_path if work.bundle.is_lone_brief else ""
        return Plan(id=work.job.id, job_id=work.job.id, stem=self._stem, consumes=takes, publishes=puts, history_row=row, lone_brief=alone)

    def _add_picture(self) -> None:
        path = self._work.asset_path
        if self._work.bundle.is_lone_brief:
            return  # there is none: what the asset goes by is its brief, and that goes the way of briefs
        if not self._outcome.is_unchanged:
            self._archive(path)
            return
        self._forward(path, os.path.splitext(path)[1])
        if self._outcome.original_copy and not self._parent_job_id:
            sha256 = self._work.hashes[path]
            self._publishes.append(
                Publish(source=self._outcome.original_copy, destination=self._planner.reserve_archive_path(path), sha256=sha256)
            )

    def _forwarded_outputs(self) -> list[OutputFile]:
        return [output for output in self._outcome.outputs if output.role != "archive_only"]

    def _add_archive_only_outputs(self) -> list[dict[str, Any]]:
        """What does not go on comes to lie in the archive, where the original comes to lie; what the record says of each."""
        bundle, found = self._work.bundle, []
        for output in self._outcome.outputs:
            if output.role == "archive_only":
                name = truncate_name(bundle.stem, MAX_NAME_BYTES - len(output.tail)) + output.tail
                to = self._planner.reserve_archive_path(posixpath.join(bundle.folder, bundle.campaign, name))
                self._publishes.append(Publish(source=output.path, destination=to, sha256=output.sha256))
                found.append({**output.facts, "sha256": output.sha256, "archived": to})
        return found

    def _add_sidecars(self) -> None:
        used = set(self._outcome.consumed_files)
        for path, tail in sidecar_tails(self._work.bundle):
            if path in used or self._is_final:
                self._archive(path)
            else:
                self._forward(path, tail)

    def _add_brief(self, row: HistoryRow) -> None:
        """A brief travels on, resolved; at the end of the line the manifest stands for it. What spoke to one stage only stays behind."""
        bundle, resolved = self._work.bundle, self._work.ready.resolved
        if bundle.prompt is not None:
            self._archive(bundle.prompt)
        if self._is_final:
            if bundle.brief is not None:
                self._archive(bundle.brief)
            settled = row.model_copy(update={"record": {**row.record, "archived": self._archived_paths()}})
            self._publish_text(
                MANIFEST, build_manifest(self._planner.lineage(settled), self._deliverable_entries(), str(row.record.get("brief", "")))
            )
            return
        if resolved.is_single_stage:
            if bundle.brief is not None:
                self._archive(bundle.brief)
            return
        if bundle.brief is not None and resolved.is_complete:
            self._forward(bundle.brief, ".toml")
            return
        if bundle.brief is not None:
            self._archive(bundle.brief)
        self._publish_text(".toml", resolved.to_toml())

    def _history_row(self, archive_only: list[dict[str, Any]]) -> HistoryRow:
        work, outcome = self._work, self._outcome
        record: dict[str, Any] = {
            "seconds": round(outcome.seconds, 4),
            "queue": outcome.queue,
            "environment": outcome.environment,
            **{name: getattr(work.job, name) for name in RECORDED_JOB_FIELDS},
            "facts": outcome.facts,
            "inputs": self._input_records(),
            "steps": [step.model_dump() for step in outcome.steps],
            "outputs": self._output_records(),
            **({"archive_only": archive_only} if archive_only else {}),
            "brief": "" if work.ready.resolved.is_single_stage else work.ready.resolved.to_toml().decode(),
        }
        return HistoryRow(
            job_id=work.job.id,
            path=work.asset_path,
            sha256=work.hashes[work.asset_path],
            started_at=work.started_at,
            taken_at=self._planner.now(),
            stage=work.job.stage,
            outcome="delivered" if self._is_final else "passed",
            results=tuple(self._result_paths()),
            parent_job_id=self._parent_job_id,
            record=record,
        )

    def _input_records(self) -> list[dict[str, Any]]:
        """Every file that took part, first those that the lane read, in its order; with these a replay begins."""
        work = self._work
        given = {each.path: each for each in work.job.inputs}
        texts = {work.bundle.brief: "brief", work.bundle.prompt: "prompt"}
        found = [{"role": each.role, "name": each.name, "path": path, "sha256": work.hashes[path]} for path, each in given.items()]
        others = [(path, sha256) for path, sha256 in work.hashes.items() if path not in given]
        return found + [{"role": texts.get(path, "brief"), "name": "", "path": path, "sha256": sha256} for path, sha256 in others]

    def _output_records(self) -> list[dict[str, Any]]:
        """What the stage left, by what follows the stem; the picture itself where no byte of it was changed."""
        outcome, picture = self._outcome, self._work.asset_path
        found: list[dict[str, Any]] = []
        if outcome.is_unchanged:
            found.append({"role": "picture", "tail": os.path.splitext(picture)[1], "sha256": self._work.hashes[picture]})
        return found + [{"role": output.role, "tail": output.tail, "sha256": output.sha256} for output in outcome.outputs]

    def _archived_paths(self) -> dict[str, str]:
        """Where the inputs are going to lie in the archive, as far as can be told before they are moved."""
        found = {take.path: take.destination for take in self._consumes if is_in_archive(take.destination)}
        copy = next((put.destination for put in self._publishes if put.source == self._outcome.original_copy), "")
        return {self._work.asset_path: copy, **found} if copy else found

    def _result_paths(self) -> list[str]:
        found = [take.destination for take in self._consumes if take.path == self._work.asset_path] if self._outcome.is_unchanged else []
        return found + [self._target_path(output.tail) for output in self._forwarded_outputs()]

    def _deliverable_entries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        if self._outcome.is_unchanged:
            path = self._work.asset_path
            name = self._stem + os.path.splitext(path)[1]
            found.append({"file": name, "sha256": self._work.hashes[path], "bytes": self._work.sigs[path].size, **self._outcome.facts})
        for output in self._forwarded_outputs():
            found.append({"file": self._stem + output.tail, "sha256": output.sha256, "bytes": output.size, **output.facts})
        return found

    def _target_path(self, tail: str) -> str:
        return posixpath.join(self._target, self._stem + tail)

    def _forward(self, path: str, tail: str) -> None:
        self._consume(path, self._target_path(tail))
        self._planner.reserve(self._target_path(tail))

    def _archive(self, path: str) -> None:
        self._consume(path, self._planner.reserve_archive_path(path))

    def _consume(self, path: str, destination: str) -> None:
        self._consumes.append(Consume(path=path, sig=self._work.sigs[path], sha256=self._work.hashes[path], destination=destination))

    def _publish(self, source: str, tail: str, sha256: str) -> None:
        self._publishes.append(Publish(source=source, destination=self._target_path(tail), sha256=sha256))
        self._planner.reserve(self._target_path(tail))

    def _publish_text(self, tail: str, data: bytes) -> None:
        name = tail.lstrip(".")
        self._publish(self._planner.write_scratch_file(self._work, f"text-{name}", data), tail, hashlib.sha256(data).hexdigest())


def _stem_reservation(target: str, stem: str) -> str:
    """Stands for everything called after a stem: two of a batch may not share one, whatever their suffixes."""
    return f"{target}/{stem}/"


def _all_moves(plan: Plan) -> tuple[Consume | Publish, ...]:
    return (*plan.consumes, *plan.publishes)


def sidecar_tails(bundle: Bundle) -> list[tuple[str, str]]:
    """(path, what follows the stem) of every sidecar, spelt the one way that is read again whatever the picture is called next."""
    found: list[tuple[str, str]] = []
    for role, shelf in (("mask", bundle.masks), ("keep", bundle.keeps), ("layer", bundle.layers)):
        for label, paths in shelf.items():
            for number, path in enumerate(paths):
                count = f"{number:03d}" if number else ""
                name = "" if label in ("mask", "") and role != "layer" else f".{label}"
                found.append((path, f".{role}{count}{name}{os.path.splitext(path)[1]}"))
    for number, path in enumerate(bundle.refs):
        found.append((path, f".ref{number:03d}{os.path.splitext(path)[1]}" if number else f".ref{os.path.splitext(path)[1]}"))
    found += [(path, os.path.splitext(path)[1]) for path in bundle.looks]
    return found
