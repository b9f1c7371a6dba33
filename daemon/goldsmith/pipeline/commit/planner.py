"""The plan of a commit, made from an outcome: where each file goes, its name, and the row for the history."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import JsonValue

from goldsmith.brief.brief import InReview
from goldsmith.files import FileSignature, Filesystem, fold_name
from goldsmith.jobs.job import Outcome, OutputFile
from goldsmith.jobs.work_folder import WorkFolder, split_scratch_path
from goldsmith.journal.journal import Journal
from goldsmith.journal.person_notes import Handling, PersonNotes
from goldsmith.journal.records import Consume, HistoryRow, Plan, Publish
from goldsmith.picture.formats.table import format_order, is_picture_suffix, matching_suffix
from goldsmith.pipeline.commit.hand_work import hand_row
from goldsmith.pipeline.commit.manifest import MANIFEST_SUFFIX, RECORDED_JOB_FIELDS, build_manifest, rename_deliverables
from goldsmith.pipeline.commit.naming import (
    MAX_NAME_BYTES,
    archive_path,
    is_in_archive,
    next_free_stem,
    source_name,
    split_version,
    stem_with_suffix,
    truncate_name,
)
from goldsmith.pipeline.commit.plan_executor import with_new_stem
from goldsmith.pipeline.intake.bundle import Bundle
from goldsmith.pipeline.intake.file_names import classify
from goldsmith.pipeline.stage_work import Decision, StageWork
from goldsmith.root_folder import RootFolder

# Bytes. The daemon has written the manifest itself, so a larger file is another one.
_MAX_MANIFEST_BYTES = 64 * 2**20
# Bytes that a stem leaves free for the rest of a name: version, export name, mask name and suffix.
_RESERVED_TAIL_BYTES = 40


class Planner:
    """Makes plans. ``names_with_stem(folder, campaign, stem)`` returns the pictures and briefs of that stem in a stage's folder.

    Versions are of one asset. ``hero.png`` and ``hero.jpg`` are two: the results of the second are called ``hero_jpg``.
    """

    def __init__(
        self,
        root: Path,
        final_folder: str,
        journal: Journal,
        fs: Filesystem,
        names_with_stem: Callable[[str, str, str], Collection[str]],
        wall_clock: Callable[[], float],
        folders: Sequence[str] = (),
    ) -> None:
        """``folders``: all folders of the pipeline, from which a picture may be dragged back."""
        self._root = RootFolder(root)
        self._folders = folders
        self._work_folder = WorkFolder(root)
        self._final_folder = final_folder
        self._journal = journal
        self._person_notes = PersonNotes(journal.path.parent)
        self._fs = fs
        self._names_with_stem = names_with_stem
        self._wall_clock = wall_clock
        # The folded names that plans without a commit so far have reserved, each with the id of its plan.
        self._reserved: dict[str, str] = {}
        self._reserving_plan = ""
        # (Folder, folded stem without its version) -> the asset that gets it in this batch, and the id of its plan.
        self._reserved_for: dict[tuple[str, str], tuple[str, str]] = {}

    def plan(self, work: StageWork) -> Plan:
        """Return the plan for finished work, with names that are free at this moment.

        Raises OSError or HostError if the disk fails, and ScratchError if the job's scratch folder cannot be used.
        """
        self._reserving_plan = work.job.id
        outcome = work.final_outcome
        decision = work.ready.decision
        target = posixpath.join(work.ready.next_folder, work.bundle.target_campaign).rstrip("/")
        if decision is not None and decision.kind == "name":
            return _DecisionDraft(self, work, outcome, posixpath.dirname(work.asset_path), decision.stem, decision).plan()
        if decision is not None:
            keeps_name = decision.kind in ("reject", "beside", "close")
            stem = work.bundle.stem if keeps_name else self._choose_stem(work, target, outcome, is_same_version=bool(decision.masks))
            return _DecisionDraft(self, work, outcome, target, stem, decision).plan()
        stem = self._choose_stem(work, target, outcome)
        return _PlanDraft(self, work, outcome, target, stem).plan()

    def clear_reservations(self, open_plans: Collection[str] = ()) -> None:
        """Forget the reserved names, once plans are committed and the files themselves take the names, except those of ``open_plans``."""
        self._reserved = {name: plan_id for name, plan_id in self._reserved.items() if plan_id in open_plans}
        self._reserved_for = {name: reserved for name, reserved in self._reserved_for.items() if reserved[1] in open_plans}

    def reserve(self, path: str) -> None:
        self._reserved[fold_name(path)] = self._reserving_plan

    def is_free(self, path: str) -> bool:
        """Return whether no file is at ``path`` and no plan of this batch has reserved it."""
        return fold_name(path) not in self._reserved and not self._root.exists(path)

    def _choose_stem(self, work: StageWork, target: str, outcome: Outcome, *, is_same_version: bool = False) -> str:
        """Return a free stem for the results. ``is_same_version``: the picture only comes back to where it was, so it keeps its name."""
        next_folder, bundle = work.ready.next_folder, work.bundle
        tails = [output.tail for output in outcome.outputs if output.role != "archive_only"]
        if outcome.is_unchanged:
            tails.append(suffix_when_moved(outcome, work.asset_path))
        tails.append(MANIFEST_SUFFIX if next_folder == self._final_folder else ".toml")
        tails += [".txt"] if work.ready.keeps_prompt else []

        def is_free(stem: str) -> bool:
            if fold_name(_stem_reservation(target, stem)) in self._reserved:
                return False
            if next_folder != self._final_folder and self._present_names(next_folder, bundle.target_campaign, stem):
                return False
            return all(self.is_free(posixpath.join(target, stem + tail)) for tail in tails)

        own_stem = self._own_stem(work, target)
        base = fold_name(split_version(own_stem)[0])
        used = () if is_same_version else self._journal.placed_versions(target, base)
        stem = next_free_stem(own_stem, used, is_free, 255 - _RESERVED_TAIL_BYTES)
        self.reserve(_stem_reservation(target, stem))
        self._reserved_for[target, base] = source_name(posixpath.basename(work.asset_path)), work.job.id
        return stem

    def _own_stem(self, work: StageWork, target: str) -> str:
        """Return the asset's stem; with its suffix if a picture of another format has that stem in its folder or in ``target``."""
        stem, name = work.bundle.stem, posixpath.basename(work.asset_path)
        if work.bundle.is_lone_brief or (
            all(_twin_order(name) < _twin_order(twin) for twin in work.bundle.twins) and self._is_own(work, target, stem)
        ):
            return stem
        suffix, number = os.path.splitext(name)[1], 1
        while not self._is_own(work, target, stem_with_suffix(stem, suffix, number)):
            number += 1
        return stem_with_suffix(stem, suffix, number)

    def _present_names(self, folder: str, campaign: str, stem: str) -> list[str]:
        """Return the known names with that stem that are in the folder now: an undone plan may have put one there for a moment."""
        names = self._names_with_stem(folder, campaign, stem)
        return [name for name in names if not self._root.is_missing(posixpath.join(folder, campaign, name))]

    def _is_own(self, work: StageWork, target: str, stem: str) -> bool:
        """Return whether no other asset has that stem in ``target``: none has placed a version there, and nobody has put one there.

        A file that Goldsmith has placed there itself, and that was dragged back unchanged, is the same asset under its new name.
        """
        name, base = posixpath.basename(work.asset_path), fold_name(split_version(stem)[0])
        sources = self._journal.placed_sources(target, base) | {self._reserved_for.get((target, base), ("", ""))[0]}
        others = {source for source in sources if is_picture_suffix(os.path.splitext(source)[1])} - {source_name(name)}
        return not (others or self._is_somebody_else_s(work, target, stem)) or self._was_placed(name, work)

    def _is_somebody_else_s(self, work: StageWork, target: str, stem: str) -> bool:
        """Return whether a person has put a picture of another format with that stem into the next folder."""
        suffix = os.path.splitext(work.asset_path)[1].lower()
        names = self._present_names(work.ready.next_folder, work.bundle.target_campaign, stem)
        suffixes = {name: os.path.splitext(name)[1].lower() for name in names}
        return any(
            is_picture_suffix(other) and other != suffix and self._journal.placed_file(posixpath.join(target, name)) is None
            for name, other in suffixes.items()
        )

    def _was_placed(self, name: str, work: StageWork) -> bool:
        """Return whether the asset has the name and the bytes of a file that Goldsmith has placed in one of the pipeline's folders."""
        paths = (posixpath.join(folder, work.bundle.target_campaign, name) for folder in self._folders)
        placed_files = map(self._journal.placed_file, paths)
        return any(placed is not None and placed.sha256 == work.hashes[work.asset_path] for placed in placed_files)

    def rename_plan(self, plan: Plan, stem: str) -> Plan:
        """Return the plan with another stem, for names that were taken at the last moment. Its manifest gets the new names."""
        renamed = with_new_stem(plan, stem)
        new_names = {
            posixpath.basename(before.destination): posixpath.basename(after.destination)
            for before, after in zip(_all_moves(plan), _all_moves(renamed), strict=True)
        }
        publishes = tuple(
            self._rewrite_manifest(publish, new_names) if publish.destination.endswith(MANIFEST_SUFFIX) else publish
            for publish in renamed.publishes
        )
        return renamed.model_copy(update={"publishes": publishes})

    def _rewrite_manifest(self, publish: Publish, new_names: dict[str, str]) -> Publish:
        scratch, _ = split_scratch_path(publish.source)
        data = rename_deliverables(self._work_folder.read_file(publish.source, _MAX_MANIFEST_BYTES), new_names)
        source, sig = self._work_folder.create_file(self._fs, scratch, "renamed", data)
        return publish.model_copy(update={"source": source, "sha256": hashlib.sha256(data).hexdigest(), "sig": sig})

    # ------------------------------------------------------------------ for drafts

    def reserve_archive_path(self, path: str) -> str:
        free_path = archive_path(path, self._wall_clock(), self.is_free)
        self.reserve(free_path)
        return free_path

    def write_text_file(self, work: StageWork, name: str, data: bytes) -> tuple[str, FileSignature]:
        """Write a small file durably under a new name, where no worker process can change it; return its absolute path and signature."""
        return self._work_folder.create_file(self._fs, work.job.id, name, data)

    def lineage(self, row: HistoryRow, by_hand: HistoryRow | None) -> list[HistoryRow]:
        """Return the rows that led to ``row``, and that row. ``by_hand``: the one before it, if it is not in the journal yet."""
        last_rows = [row] if by_hand is None else [by_hand, row]
        parent_job_id = last_rows[0].parent_job_id
        return [*(self._journal.lineage(parent_job_id) if parent_job_id else ()), *last_rows]

    def row_of(self, job_id: str) -> HistoryRow | None:
        """Return the history row of a job; None if the job is not known."""
        return self._journal.committed_row(job_id) if job_id else None

    def person_of(self, work: StageWork) -> str:
        """Return who has put the picture of the work where it lies; "" if that was not done on the page."""
        handling = self.handling_of(work, work.asset_path)
        return handling.person if handling is not None else ""

    def handling_of(self, work: StageWork, path: str) -> Handling | None:
        """Return who has put an input of the work where it lies, and how; None if that was not done on the page."""
        sig = work.sigs.get(path)
        return self._person_notes.handling_of(path, sig, work.hashes[path]) if sig is not None else None

    def now(self) -> float:
        return self._wall_clock()

    def is_final_folder(self, folder: str) -> bool:
        return folder == self._final_folder


class _PlanDraft:
    """The inputs and results of one plan while it is put together."""

    def __init__(self, planner: Planner, work: StageWork, outcome: Outcome, target: str, stem: str) -> None:
        self._planner = planner
        self._work = work
        self._outcome = outcome
        self._target = target
        self._stem = stem
        self._hand_row = hand_row(work, planner.now())
        self._consumes: list[Consume] = []
        self._publishes: list[Publish] = []
        self._is_final = planner.is_final_folder(work.ready.next_folder)

    def plan(self) -> Plan:
        self._add_hand_work()
        self._add_picture()
        self._add_sidecars()
        for output in self._forwarded_outputs():
            self._publish(output.path, output.tail, output.sha256, self._outcome.verified_sigs[output.path])
        archive_only = self._add_archive_only_outputs()
        row = self._history_row(archive_only)
        self._add_brief(row)
        work, consumes, publishes = self._work, tuple(self._consumes), tuple(self._publishes)
        lone_brief = work.asset_path if work.bundle.is_lone_brief else ""
        return Plan(
            id=work.job.id,
            job_id=work.job.id,
            stem=self._stem,
            consumes=consumes,
            publishes=publishes,
            history_row=row,
            hand_row=self._hand_row,
            lone_brief=lone_brief,
        )

    def _add_picture(self) -> None:
        path = self._work.asset_path
        if self._work.bundle.is_lone_brief:
            return  # the asset is its brief, which _add_brief handles
        if not self._outcome.is_unchanged:
            self._archive(path)
            return
        self._forward(path, suffix_when_moved(self._outcome, path))
        is_known = self._hand_row is None and self._work.origin.parent_job_id and not self._work.job.keeps_result
        if self._outcome.original_copy and not is_known:
            self._publish_to_archive(self._outcome.original_copy, self._planner.reserve_archive_path(path), self._work.hashes[path])

    def _add_hand_work(self) -> None:
        """Send the mask of what a person changed to the archive, and put it on record."""
        comparison = self._work.comparison
        if self._hand_row is None or comparison is None or comparison.fault is not None:
            return
        entries = []
        for output in comparison.outputs:
            destination = self._archive_beside(output)
            sig = comparison.verified_sigs[output.path]
            self._publishes.append(Publish(source=output.path, destination=destination, sha256=output.sha256, sig=sig))
            entries.append({**output.facts, "sha256": output.sha256, "archived": destination})
        record = {**self._hand_row.record, **({"archive_only": entries} if entries else {})}
        self._hand_row = self._hand_row.model_copy(update={"record": record})

    def _archive_beside(self, output: OutputFile) -> str:
        """Return a free place in the archive for a result that does not move on, beside the original."""
        bundle = self._work.bundle
        name = truncate_name(bundle.stem, MAX_NAME_BYTES - len(output.tail)) + output.tail
        return self._planner.reserve_archive_path(posixpath.join(bundle.folder, bundle.campaign, name))

    def _forwarded_outputs(self) -> list[OutputFile]:
        return [output for output in self._outcome.outputs if output.role != "archive_only"]

    def _add_archive_only_outputs(self) -> list[dict[str, Any]]:
        """Send results that do not move on to the archive, beside the original, and return their entries for the record."""
        entries = []
        for output in self._outcome.outputs:
            if output.role == "archive_only":
                destination = self._archive_beside(output)
                self._publish_to_archive(output.path, destination, output.sha256)
                entries.append({**output.facts, **_document_id(output), "sha256": output.sha256, "archived": destination})
        return entries

    def _add_sidecars(self) -> None:
        used = set(self._outcome.consumed_files)
        for path, tail in sidecar_tails(self._work.bundle, self._outcome):
            if path in used or self._is_final:
                self._archive(path)
            else:
                self._forward(path, tail)
        if self._work.bundle.returned_from is not None:
            self._archive(self._work.bundle.returned_from)

    def _add_brief(self, row: HistoryRow) -> None:
        """Send the resolved brief on; at the end of the pipeline the manifest replaces it.

        An instruction for one stage is archived, unless its words are for a step of a later stage.
        """
        bundle, resolved = self._work.bundle, self._work.ready.resolved
        if self._work.ready.waits_for_person:
            self._add_brief_for_review()
            return
        if self._work.ready.keeps_prompt:
            self._forward_prompt()
            return
        if bundle.prompt is not None:
            self._archive(bundle.prompt)
        if self._is_final:
            if bundle.brief is not None:
                self._archive(bundle.brief)
            final_row = row.model_copy(update={"record": {**row.record, "archived": self._archived_paths()}})
            self._publish_text(
                MANIFEST_SUFFIX,
                build_manifest(
                    self._planner.lineage(final_row, self._hand_row), self._deliverable_entries(), str(row.record.get("brief", ""))
                ),
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

    def _add_brief_for_review(self) -> None:
        """Lay the resolved brief beside a result that waits for a person, with what the decision will need."""
        work = self._work
        for path in (work.bundle.prompt, work.bundle.brief):
            if path is not None:
                self._archive(path)
        picture = next((output for output in self._outcome.outputs if output.role == "picture"), None)
        size = work.sigs[work.asset_path].size if picture is None else picture.size
        candidates = sum(output.role == "candidate" for output in self._outcome.outputs)
        in_review = InReview(work.ready.stage.name, work.job.seed % 2**32, size, candidates, tuple(work.ready.found_masks.items()))
        self._publish_text(".toml", replace(work.ready.resolved, in_review=in_review).to_toml())

    def _forward_prompt(self) -> None:
        """Send a prompt on as it is written: in ``hero.txt``, in a brief without steps, or in the campaign's."""
        bundle = self._work.bundle
        for path, tail in ((bundle.prompt, ".txt"), (bundle.brief, ".toml")):
            if path is not None:
                self._forward(path, tail)
        if bundle.prompt is None and bundle.brief is None:
            self._publish_text(".txt", f"{self._work.ready.resolved.prompt}\n".encode())

    def _history_row(self, archive_only: list[dict[str, Any]]) -> HistoryRow:
        work, outcome = self._work, self._outcome
        record: dict[str, Any] = {
            "seconds": round(outcome.seconds, 4),
            "queue": outcome.queue,
            "environment": outcome.environment,
            **{name: getattr(work.job, name) for name in RECORDED_JOB_FIELDS},
            "retouched": work.job.retouched or outcome.identity.is_hand_work,
            **({"remarks": list(work.job.remarks)} if work.job.remarks else {}),
            **({"approved_masks": list(work.job.approved_masks)} if work.job.approved_masks else {}),
            **({"known_by": work.origin.known_by} if work.origin.known_by else {}),
            **({"unsure_origin": list(work.origin.unsure)} if work.origin.unsure else {}),
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
            parent_job_id=work.origin.parent_job_id if self._hand_row is None else self._hand_row.job_id,
            record=record,
            looks={output.sha256: output.look for output in outcome.outputs if output.look},
        )

    def _input_records(self) -> list[dict[str, Any]]:
        """Return the record of every input, first those that the worker read, in its order. A replay starts from these."""
        work = self._work
        inputs = {each.path: each for each in work.job.inputs}
        roles = {work.bundle.brief: "brief", work.bundle.prompt: "prompt"}
        read = {path: each for path, each in inputs.items() if each.role not in ("review", "before")}
        records = [{"role": each.role, "name": each.name, "path": path, "sha256": work.hashes[path]} for path, each in read.items()]
        others = [(path, sha256) for path, sha256 in work.hashes.items() if path not in inputs]
        records += [{"role": roles.get(path, "brief"), "name": "", "path": path, "sha256": sha256} for path, sha256 in others]
        return [{**record, **self._handling_facts(record["path"])} for record in records]

    def _handling_facts(self, path: str) -> dict[str, str]:
        """Return who has put an input where it lay, and how, for its record; nothing if that was not done on the page."""
        handling = self._planner.handling_of(self._work, path)
        return {} if handling is None else {"by": handling.person, "act": handling.act}

    def _output_records(self) -> list[dict[str, Any]]:
        """Return the record of every result, including a picture that stays unchanged."""
        outcome, picture = self._outcome, self._work.asset_path
        records: list[dict[str, Any]] = []
        if outcome.is_unchanged:
            records.append({"role": "picture", "tail": suffix_when_moved(outcome, picture), "sha256": self._work.hashes[picture]})
        results = (output for output in outcome.outputs if output.role != "review")
        return records + [{"role": output.role, "tail": output.tail, "sha256": output.sha256, **_document_id(output)} for output in results]

    def _archived_paths(self) -> dict[str, str]:
        """Return the planned archive path of each input."""
        paths = {consume.path: consume.destination for consume in self._consumes if is_in_archive(consume.destination)}
        copy = next((publish.destination for publish in self._publishes if publish.source == self._outcome.original_copy), "")
        return {self._work.asset_path: copy, **paths} if copy else paths

    def _result_paths(self) -> list[str]:
        paths = (
            [consume.destination for consume in self._consumes if consume.path == self._work.asset_path]
            if self._outcome.is_unchanged
            else []
        )
        return paths + [self._target_path(output.tail) for output in self._forwarded_outputs() if output.role != "review"]

    def _deliverable_entries(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = []
        if self._outcome.is_unchanged:
            path = self._work.asset_path
            name = self._stem + suffix_when_moved(self._outcome, path)
            entries.append({"file": name, "sha256": self._work.hashes[path], "bytes": self._work.sigs[path].size, **self._outcome.facts})
        for output in self._forwarded_outputs():
            entries.append({"file": self._stem + output.tail, "sha256": output.sha256, "bytes": output.size, **output.facts})
        return entries

    def _target_path(self, tail: str) -> str:
        return posixpath.join(self._target, self._stem + tail)

    def _forward(self, path: str, tail: str) -> None:
        self._consume(path, self._target_path(tail))
        self._planner.reserve(self._target_path(tail))

    def _archive(self, path: str) -> None:
        self._consume(path, self._planner.reserve_archive_path(path))

    def _consume(self, path: str, destination: str) -> None:
        self._consumes.append(Consume(path=path, sig=self._work.sigs[path], sha256=self._work.hashes[path], destination=destination))

    def _publish(self, source: str, tail: str, sha256: str, sig: FileSignature) -> None:
        self._publishes.append(Publish(source=source, destination=self._target_path(tail), sha256=sha256, sig=sig))
        self._planner.reserve(self._target_path(tail))

    def _publish_to_archive(self, source: str, destination: str, sha256: str) -> None:
        sig = self._outcome.verified_sigs[source]
        self._publishes.append(Publish(source=source, destination=destination, sha256=sha256, sig=sig))

    def _publish_text(self, tail: str, data: bytes) -> None:
        name = tail.lstrip(".")
        source, sig = self._planner.write_text_file(self._work, f"text-{name}", data)
        self._publish(source, tail, hashlib.sha256(data).hexdigest(), sig)


def _document_id(output: OutputFile) -> dict[str, JsonValue]:
    """Return the id in the metadata of a result, as an entry of its record; nothing if it has none."""
    return {"document_id": output.document_id} if output.document_id else {}


class _DecisionDraft(_PlanDraft):
    """The plan of what a person has decided about a picture in review/."""

    def __init__(self, planner: Planner, work: StageWork, outcome: Outcome, target: str, stem: str, decision: Decision) -> None:
        super().__init__(planner, work, outcome, target, stem)
        self._decision = decision
        # The row of the job that made the result; None if it is not known.
        self._waited = planner.row_of(work.origin.parent_job_id)
        if decision.kind == "again":
            self._hand_row = None  # what a person has done to the result is put away with it

    def plan(self) -> Plan:
        moves = {"approve": self._approve, "again": self._do_again, "beside": self._follow, "name": self._give_name}
        self._add_hand_work()
        moves.get(self._decision.kind, self._archive_all)()
        return Plan(
            id=self._work.job.id,
            job_id=self._work.job.id,
            stem=self._stem,
            consumes=tuple(self._consumes),
            publishes=tuple(self._publishes),
            history_row=self._decision_row(),
            hand_row=self._hand_row,
        )

    def _approve(self) -> None:
        """Send the picture on with its sidecars and its brief, and archive what was laid here for the review."""
        picture = self._work.asset_path
        self._forward(picture, suffix_when_moved(self._outcome, picture))
        if self._outcome.original_copy and self._hand_row is not None:
            self._publish_to_archive(self._outcome.original_copy, self._planner.reserve_archive_path(picture), self._work.hashes[picture])
        for path, tail in sidecar_tails(self._work.bundle, self._outcome) if self._decision.takes_rest else ():
            self._forward(path, tail)
        self._finish_brief()
        self._archive_rest()

    def _follow(self) -> None:
        """Send what the picture has left behind after it. What has a name that is taken there goes to the archive."""
        self._target = posixpath.dirname(self._work.asset_path)
        for path, tail in sidecar_tails(self._work.bundle, self._outcome):
            if self._planner.is_free(self._target_path(tail)):
                self._forward(path, tail)
        if self._planner.is_free(self._target_path(".toml")):
            self._finish_brief()
        self._archive_rest(keep=self._work.asset_path)

    def _do_again(self) -> None:
        """Bring the originals back into the stage's folder with a brief that has the next seed, and archive the result, or the masks."""
        originals = {path: tail for path in self._work.bundle.reviews if (tail := classify(posixpath.basename(path)).label)}
        picture = self._work.asset_path
        if self._decision.masks:
            self._forward(picture, suffix_when_moved(self._outcome, picture))
            for path in self._decided_masks():
                self._archive(path)
        else:
            self._archive(picture)  # first: it identifies the work
        for path, tail in originals.items():
            self._forward(path, tail)
        moved = {consume.path for consume in self._consumes}
        for path, tail in sidecar_tails(self._work.bundle, self._outcome):
            if tail not in originals.values() and path not in moved:
                self._forward(path, tail)
        self._finish_brief()
        self._archive_rest()

    def _decided_masks(self) -> list[str]:
        """Return the paths of the masks about which it was decided."""
        masks = self._work.bundle.masks
        return [path for name in self._decision.masks for path in masks.get(name, ())]

    def _archive_all(self) -> None:
        self._archive(self._work.asset_path)
        self._archive_rest()

    def _give_name(self) -> None:
        """Give a picture in a tray the name back under which its result waited."""
        picture = self._work.asset_path
        self._forward(picture, suffix_when_moved(self._outcome, picture))

    def _finish_brief(self) -> None:
        """Put down the brief that goes with the pictures."""
        if self._decision.brief is not None:
            self._publish_text(".toml", self._decision.brief.to_toml())

    def _archive_rest(self, keep: str = "") -> None:
        """Archive every file that is in no move yet, except ``keep``."""
        if not self._decision.takes_rest:
            self._archive_remark()
            return
        moved = {consume.path for consume in self._consumes}
        for path in dict.fromkeys(self._work.bundle.files):
            if path not in moved and path != keep:
                self._archive(path)

    def _archive_remark(self) -> None:
        """Archive the words that were dropped with a candidate: all else belongs to its set."""
        if self._work.bundle.prompt is not None:
            self._archive(self._work.bundle.prompt)

    def _decision_row(self) -> HistoryRow:
        decision, row = self._decision, self._history_row([])
        person = self._planner.person_of(self._work)
        review: dict[str, Any] = {
            "decision": "approve" if decision.kind == "beside" else decision.kind,
            "of": decision.stage.name,
            **({"by": person} if person else {}),
            **({"remark": decision.remark} if decision.remark else {}),
            **({"masks": self._mask_records()} if decision.masks else {}),
            **({"result_of": self._waited.job_id} if self._waited is not None else {}),
        }
        if decision.kind == "again":  # what is made again follows from the original, not from the result that is put away
            row = row.model_copy(update={"parent_job_id": "" if self._waited is None else self._waited.parent_job_id})
        outcome: Literal["passed", "rejected"] = "rejected" if decision.kind in ("reject", "close") else "passed"
        brief = "" if decision.brief is None else decision.brief.to_toml().decode()
        return row.model_copy(update={"outcome": outcome, "record": {**row.record, "review": review, "brief": brief}})

    def _mask_records(self) -> list[dict[str, Any]]:
        """Return name and hash of each mask that was decided upon, and whether a person has changed it since it was found."""
        outputs = _entries_of(None if self._waited is None else self._waited.record.get("outputs"))
        found_hashes = {str(entry.get("sha256")) for entry in outputs if entry.get("role") == "mask"}
        records = []
        for name in self._decision.masks:
            for path in self._work.bundle.masks.get(name, ()):
                sha256 = self._work.hashes[path]
                painting = {"painted": sha256 not in found_hashes} if found_hashes else {}
                records.append({"name": name, "sha256": sha256, **painting})
        return records

    def _result_paths(self) -> list[str]:
        moves = [*((each.path, each.destination) for each in self._consumes), *(("", each.destination) for each in self._publishes)]
        return [destination for _, destination in moves if not is_in_archive(destination)]


def _entries_of(value: JsonValue | None) -> list[dict[str, JsonValue]]:
    return [entry for entry in (value if isinstance(value, list) else ()) if isinstance(entry, dict)]


def _twin_order(name: str) -> tuple[int, str]:
    """Return the place of a picture among those of its stem; the first one keeps the stem. The order of the formats is the table's."""
    return format_order(os.path.splitext(name)[1].lower()), name


def _stem_reservation(target: str, stem: str) -> str:
    """Return the reservation of a stem: two plans of a batch must not share one, whatever their suffixes."""
    return f"{target}/{stem}/"


def _all_moves(plan: Plan) -> tuple[Consume | Publish, ...]:
    return (*plan.consumes, *plan.publishes)


def xmp_tail(path: str, picture: str | None) -> str:
    """Return the tail of a metadata sidecar: ``.png.xmp`` if it has the picture's whole name, as darktable writes it, else ``.xmp``."""
    base = posixpath.basename(path)[: -len(".xmp")]
    has_whole_name = picture is not None and fold_name(base) == fold_name(posixpath.basename(picture))
    return f"{os.path.splitext(picture or '')[1]}.xmp" if has_whole_name else ".xmp"


def suffix_when_moved(outcome: Outcome, path: str) -> str:
    """Return the suffix of an input that moves on byte for byte: that of its format if its own one stands for something else."""
    format_name = next((read.format for read in outcome.reads if read.path == path), "")
    return matching_suffix(format_name, os.path.splitext(path)[1])


def sidecar_tails(bundle: Bundle, outcome: Outcome) -> list[tuple[str, str]]:
    """Return path and tail of every sidecar. The tail follows the stem of the new name and is read the same way for every stem."""
    tails: list[tuple[str, str]] = []
    labelled = (("mask", bundle.masks), ("keep", bundle.keeps), ("layer", bundle.layers), ("control", bundle.controls))
    for role, paths_by_name in labelled:
        for label, paths in paths_by_name.items():
            for number, path in enumerate(paths):
                count = f"{number:03d}" if number else ""
                name = "" if label in ("mask", "") and role != "layer" else f".{label}"
                tails.append((path, f".{role}{count}{name}{suffix_when_moved(outcome, path)}"))
    for number, path in enumerate(bundle.refs):
        count = f"{number:03d}" if number else ""
        tails.append((path, f".ref{count}{suffix_when_moved(outcome, path)}"))
    tails += [(path, os.path.splitext(path)[1]) for path in bundle.looks]
    tails += [(path, xmp_tail(path, bundle.picture)) for path in bundle.xmps]
    return tails
