"""Writes the results of a job into its scratch folder, and makes its outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict

import numpy as np
from pydantic import JsonValue

from goldsmith.errors import InputError
from goldsmith.jobs import job_faults
from goldsmith.jobs.job import BY_HAND, Job, Outcome
from goldsmith.jobs.names import REVIEW_SHEET_TAIL, mask_tail
from goldsmith.picture.formats.image_info import PROVENANCE_NOTE, ImageInfo
from goldsmith.picture.formats.table import FORMATS
from goldsmith.picture.layered.picture_layers import PictureLayers
from goldsmith.picture.memory_budget import BYTES_PER_PIXEL, MemoryBudget
from goldsmith.picture.picture import BitDepth, Mask, Metadata, Picture, freeze
from goldsmith.picture.remarks import collect_remarks
from goldsmith.worker.engine_provider import to_json
from goldsmith.worker.file_identities import FileIdentities
from goldsmith.worker.found_masks import FoundMask
from goldsmith.worker.inputs import LoadedInput, load_input, paths_by_name, reading_options
from goldsmith.worker.job_inputs import JobInputs
from goldsmith.worker.load_masks import MADE_BY_GOLDSMITH
from goldsmith.worker.scratch_folder import ScratchFolder
from goldsmith.worker.stage_layers import StageLayers
from goldsmith.worker.step_results import OriginalPicture, StepResults, picture_facts


class ResultWriter:
    """Writes what a job has made of its inputs.

    layers: those of the stage; None if no file of the job has layers.
    """

    def __init__(self, inputs: JobInputs, scratch: ScratchFolder, identities: FileIdentities, check_cancelled: Callable[[], None]) -> None:
        self.layers: StageLayers | None = None
        self._inputs = inputs
        self._scratch = scratch
        self._identities = identities
        self._check_cancelled = check_cancelled

    @property
    def _job(self) -> Job:
        return self._inputs.job

    def write(
        self, original: OriginalPicture | None, results: StepResults, info: ImageInfo | None, picture: bytes, *, asks_person: bool
    ) -> Outcome:
        """Write the picture (the file itself if no pixel changed) and masks with a new geometry, and return the outcome.

        ``picture``: the bytes of the picture as it was. ``asks_person``: whether a person picks among the pictures that the steps leave.
        """
        from goldsmith.picture.codec import EncodingOptions, encode, encode_layers, written_metadata
        from goldsmith.picture.likeness import describe_look
        from goldsmith.picture.metadata.credits import with_credits
        from goldsmith.picture.metadata.selection import names_left_out

        if len(results.pictures) > 1 and asks_person:
            return self._write_candidates(results, info)
        if len(results.pictures) > 1:
            raise InputError(
                f"The steps leave {len(results.pictures)} pictures of {job_faults.picture_name(self._job)}.",
                "Add a select step that picks one.",
            )
        result = results.pictures[0]
        if self._job.deliver and results.file_count:
            return self.outcome(results, info)
        self._check_cancelled()
        if original is not None and not self._job.deliver:
            self._write_unused_masks(original.without_pixels, result, results)
        if self._job.review is not None:
            self._write_review_sheet(original, result, results, info, picture)
        if original is not None and original.is_same_picture(result):
            return self.unchanged(picture, info, results)
        layers = self._layers_of(result, results)
        if not self._job.deliver:
            self._write_unused_parts(result, results, layers)
        row, source = FORMATS[self._job.working], result.metadata
        result = result.with_metadata(self._identities.write_into(with_credits(source, self._job.credits), row.suffix))
        options = EncodingOptions(format=row.name, depth=result.depth)
        data = encode(result, options) if layers is None else encode_layers(result, options, layers)
        left_out = names_left_out(source, written_metadata(result, row))
        results.used_files += [source.path for source in self._job.inputs if source.role == "xmp"]
        suffix = row.suffix_of(data)
        facts = {**picture_facts(result), "format": self._job.working}
        self._scratch.add_output("picture", suffix, data, facts, self._identities.id_of(suffix), describe_look(result).hex())
        if self._job.keeps_result:
            self._scratch.add_output("archive_only", f"_result{suffix}", data, {"what": "result"}, self._identities.id_of(suffix))
        return self.outcome(results, info, left_out=left_out)

    def unchanged(self, data: bytes, info: ImageInfo | None, results: StepResults | None = None) -> Outcome:
        """Return the outcome in which the file itself goes on. The archive needs its bytes if a person put it there, or if it waits now."""
        is_kept = self._job.asset.sha256 and not self._job.keeps_result
        original = "" if is_kept else str(self._scratch.write_file("original", data))
        return self.outcome(results or StepResults([]), info, unchanged=True, original=original)

    def lay_masks(self, found_masks: Sequence[FoundMask], results: StepResults, info: ImageInfo | None, data: bytes) -> Outcome:
        """Write masks that were found for a person to approve, and a sheet; the picture stays as it is. ``data``: its bytes."""
        from goldsmith.worker.review_sheet import render_mask_sheet

        (picture,) = results.pictures
        for each in found_masks:
            facts: dict[str, JsonValue] = {"width": picture.width, "height": picture.height, "depth": 16}
            self._scratch.add_output("mask", each.tail, self._encode_mask(each.mask, 16), facts)
        self._scratch.add_output("review", REVIEW_SHEET_TAIL, render_mask_sheet(self._job.stem, self._job.stage, picture, found_masks), {})
        outcome = self.unchanged(data, info, results)
        return outcome.model_copy(update={"facts": {**outcome.facts, "found_masks": [each.facts for each in found_masks]}})

    def compare_versions(self, picture: LoadedInput, before: LoadedInput) -> Outcome:
        """Return the outcome of a job that measures what a person changed: facts, and a mask of the changed pixels for the archive."""
        from goldsmith.picture.codec import decode
        from goldsmith.worker.hand_changes import compare_versions

        budget = MemoryBudget(self._job.limits.max_memory_bytes, 2 * BYTES_PER_PIXEL)
        reading = reading_options(self._job)
        versions = [decode(each.data, each.name, self._job.limits.max_pixels, budget, reading) for each in (before, picture)]
        is_lossy = any(FORMATS[each.read.format].is_lossy for each in (before, picture) if each.read.format)
        facts, mask = compare_versions(*versions, is_lossy=is_lossy)
        if mask is not None:
            data = self._encode_mask(mask, 8)
            self._scratch.add_output("archive_only", f"_{BY_HAND}.png", data, {"what": "mask of the work by hand"})
        return self.outcome(StepResults([]), None, unchanged=True).model_copy(update={"facts": {BY_HAND: facts}})

    def outcome(
        self,
        results: StepResults,
        info: ImageInfo | None,
        unchanged: bool = False,
        original: str = "",
        left_out: Sequence[str] = (),
    ) -> Outcome:
        """Return the outcome with what was written so far. ``original``: the copy of the picture for the archive; "" = none."""
        self._check_cancelled()
        facts = {} if info is None else asdict(info)
        if self._inputs.generation:
            facts["generation"] = self._inputs.generation
        if self._inputs.credentials:
            facts["credentials"] = self._inputs.credentials
            # Whether they are lost shows at the delivery.
            facts["notes"] = [note for note in facts.get("notes", ()) if note != PROVENANCE_NOTE]
        may_be_incomplete = bool(facts.pop("may_be_incomplete", False))
        if facts or self._inputs.notes:
            facts["notes"] = [*facts.get("notes", ()), *self._inputs.notes]
        if left_out:
            facts["metadata_left_out"] = left_out
        files = paths_by_name(self._job.inputs, "mask", "keep")
        used = [*(path for name in sorted(results.used_masks) for path in files.get(name, ())), *results.used_files]
        used += [self._inputs.older.source.path] if self._inputs.older is not None else []
        self._copy_inputs_for_review(used)
        self._scratch.sync_folder()
        return Outcome(
            job_id=self._job.id,
            reads=tuple(self._inputs.reads.values()),
            is_unchanged=unchanged,
            original_copy=original,
            outputs=self._scratch.outputs,
            consumed_masks=tuple(sorted(results.used_masks & files.keys())),
            consumed_files=tuple(dict.fromkeys(used)),
            steps=tuple(results.steps),
            facts=to_json_facts(facts),
            may_be_incomplete=may_be_incomplete,
            identity=self._inputs.identity,
        )

    def _layers_of(self, result: Picture, results: StepResults) -> PictureLayers | None:
        """Return the layers under the result, without the masks that steps have used; None if its format has none."""
        if self.layers is None or not FORMATS[self._job.working].has_layers:
            return None
        self.layers.leave_out(results.used_masks, (part.label for part in self._inputs.parts if part.kind == "layer"))
        if self.layers.merged_by:
            self._inputs.notes.append(f"its layers were merged by the step “{self.layers.merged_by}”, whose result they do not fit")
        return self.layers.layers_of(result)

    def _write_candidates(self, results: StepResults, info: ImageInfo | None) -> Outcome:
        """Write every picture that the steps leave, numbered as in its set: a person picks among them."""
        from goldsmith.picture.codec import EncodingOptions, encode
        from goldsmith.picture.likeness import describe_look
        from goldsmith.picture.metadata.credits import with_credits

        row = FORMATS[self._job.working]
        for position, picture in enumerate(results.pictures, 1):
            self._check_cancelled()
            tail = f"_candidate{picture.record_values.get('number', position):03d}{row.suffix}"
            metadata = self._identities.write_into(with_credits(picture.metadata, self._job.credits), tail)
            data = encode(picture.with_metadata(metadata), EncodingOptions(format=row.name, depth=picture.depth))
            facts: dict[str, JsonValue] = {**picture_facts(picture), "format": self._job.working, **picture.record_values}
            self._scratch.add_output("candidate", tail, data, facts, self._identities.id_of(tail), describe_look(picture).hex())
        results.used_files += [source.path for source in self._job.inputs if source.role == "xmp"]
        return self.outcome(results, info)

    def _write_review_sheet(
        self, original: OriginalPicture | None, result: Picture, results: StepResults, info: ImageInfo | None, data: bytes
    ) -> None:
        """Write the sheet that shows the result to the person who decides about it. ``data``: the bytes of the picture as it was."""
        from goldsmith.picture.codec import decode
        from goldsmith.worker.review_sheet import ReviewedResult, render_review_sheet

        before, masks = None, {}
        if original is not None:
            name = job_faults.picture_name(self._job)
            before = decode(data, name, self._job.limits.max_pixels, reading=reading_options(self._job))
            known = original.without_pixels.masks
            masks = {name: known[name] for name in sorted(results.used_masks) if name in known}
        notes = [*(info.notes if info is not None else ()), *self._inputs.notes]
        remarks = collect_remarks(notes, [(step.op, step.findings) for step in results.steps])
        job = self._job
        reviewed = ReviewedResult(job.stem, job.stage, before, result, masks, job.steps, tuple(results.steps), tuple(remarks))
        self._scratch.add_output("review", REVIEW_SHEET_TAIL, render_review_sheet(reviewed), {})

    def _copy_inputs_for_review(self, used: Iterable[str]) -> None:
        """Lay copies of the picture and of the files that the steps have used beside the result, so that it can be made again."""
        names = self._job.review or {}
        for source in self._job.inputs:
            if source.path in names and (source is self._job.asset or source.path in used):
                self._scratch.add_output("review", names[source.path], load_input(self._job, source).data, {})

    def _write_unused_masks(self, before: Picture, after: Picture, results: StepResults) -> None:
        """Write each unused mask whose geometry has changed; its old files are consumed."""
        files = paths_by_name(self._job.inputs, "mask", "keep")
        for name, mask in sorted(after.masks.items()):
            old = before.masks.get(name)
            is_used = name in results.used_masks or name in self._inputs.masks_inside
            if is_used or old is mask or (old is not None and np.array_equal(old, mask)):
                continue
            tail = mask_tail(name)
            self._scratch.add_output("mask", tail, self._encode_mask(mask, 16), {"width": after.width, "height": after.height, "depth": 16})
            results.used_files += files.get(name, ())

    def _write_unused_parts(self, result: Picture, results: StepResults, layers: PictureLayers | None) -> None:
        """Write the masks and layers of the picture's own file that no step has used and that its new file does not hold."""
        from goldsmith.picture.codec import EncodingOptions, encode, keeps_file

        held: set[str] = set()
        if layers is not None and layers.kept is not None and keeps_file(result, self._job.working, layers.kept):
            held = {part.label for part in self._inputs.parts if part.kind == "mask"}
        for name in sorted(self._inputs.masks_inside - results.used_masks - held):
            tail = ".mask.png" if name == "mask" else f".mask.{name}.png"
            facts: dict[str, JsonValue] = {"width": result.width, "height": result.height, "depth": 16}
            self._scratch.add_output("mask", tail, self._encode_mask(result.masks[name], 16), facts)
        for part in self._inputs.parts:
            if part.kind == "layer" and part.label not in results.used_layers:
                layer = part.decode()
                data = encode(layer, EncodingOptions(format="png", depth=layer.depth))
                self._scratch.add_output("layer", f".layer.{part.label}.png", data, picture_facts(layer))
                results.used_layers.add(part.label)

    @staticmethod
    def _encode_mask(mask: Mask, depth: BitDepth) -> bytes:
        from goldsmith.picture.codec import EncodingOptions, encode

        metadata = Metadata(text_chunks=(MADE_BY_GOLDSMITH,))
        return encode(Picture(freeze(mask[:, :, None]), depth=depth, metadata=metadata), EncodingOptions(format="png", depth=depth))


def to_json_facts(facts: Mapping[str, object]) -> dict[str, JsonValue]:
    """Return facts with values that JSON has."""
    return {name: to_json(value) for name, value in facts.items()}
