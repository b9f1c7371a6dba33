"""Runs one job: reads and decodes its inputs, runs the steps, proves that protected pixels are unchanged, and writes the results."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from pydantic import JsonValue

from goldsmith.errors import (
    DeviceError,
    GoldsmithError,
    HostError,
    IncompleteFileError,
    InputError,
    JobCancelled,
    JobYielded,
)
from goldsmith.files import MACHINE_ERRNOS, Filesystem, hide_server_paths
from goldsmith.jobs import job_faults
from goldsmith.jobs.job import (
    BY_HAND,
    REVIEW_SHEET_TAIL,
    AssetIdentity,
    InputRead,
    Job,
    JobFault,
    JobFaultKind,
    JobProgress,
    Outcome,
    StepResult,
    mask_tail,
)
from goldsmith.library.library import Library
from goldsmith.operation import CHANGED_SHARE, Deliverable, FileOperation, Operation, PictureOperation, Removal, SetOperation
from goldsmith.picture.format_detection import describe_wrong_suffix
from goldsmith.picture.formats.image_info import PROVENANCE_NOTE, ImageInfo
from goldsmith.picture.formats.table import FORMATS, FORMATS_WITH_LAYERS
from goldsmith.picture.layered.layered_file import LayeredFile
from goldsmith.picture.layered.picture_layers import KeptFile, PictureLayers
from goldsmith.picture.memory_budget import BYTES_PER_PIXEL, MemoryBudget
from goldsmith.picture.picture import BitDepth, Mask, Metadata, Picture, freeze
from goldsmith.picture.remarks import collect_remarks
from goldsmith.worker.detections import DetectionCache
from goldsmith.worker.engine_provider import EngineProvider, to_json
from goldsmith.worker.file_identities import FileIdentities, asset_identity
from goldsmith.worker.file_inspection import inspect_file
from goldsmith.worker.file_signing import RequestSignature, refuse_signature, sign_files
from goldsmith.worker.finished_parts import NO_PARTS, PartChannel
from goldsmith.worker.inputs import InputChanged, LoadedInput, load_input, paths_by_name, reading_options
from goldsmith.worker.load_masks import MADE_BY_GOLDSMITH, load_masks, mask_from_alpha
from goldsmith.worker.mask_proof import ChangeCount, count_original_changes, count_outside_changes, editable_region, measure_changed_share
from goldsmith.worker.pending_step import PendingStep
from goldsmith.worker.scratch_folder import ScratchFolder
from goldsmith.worker.spilled_list import SpilledList, spill_pictures
from goldsmith.worker.stage_layers import LAYER_BYTES_PER_PIXEL, StageLayers, free_group_name, layer_name
from goldsmith.worker.step_context import EarlierSteps, JobParts, WorkerStepContext
from goldsmith.worker.step_results import OriginalPicture, StepResults, picture_facts
from goldsmith.worker.trace import files_trace, picture_trace

if TYPE_CHECKING:
    from goldsmith.picture.codec import PicturePart

_SEED_BITS = 31


def step_seed(seed: int, number: int) -> int:
    """Return the seed of a job's step (1-based): 31 bits of SHA-256, so that neighbouring seeds and steps are unrelated."""
    digest = hashlib.sha256(f"{seed}/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> (32 - _SEED_BITS)


def ignore_engine_release() -> None:
    """Do nothing: for callers that do not need to know when a job is done with its engines."""


def run_job(
    job: Job,
    engine_provider: EngineProvider,
    on_progress: Callable[[JobProgress], None],
    is_cancelled: Callable[[], bool],
    fs: Filesystem | None = None,
    on_engine_released: Callable[[], None] = ignore_engine_release,
    part_channel: PartChannel = NO_PARTS,
    sign: RequestSignature = refuse_signature,
) -> Outcome:
    """Run the job and return its outcome. Exceptions that no operation may raise pass through; the worker process catches them.

    ``on_engine_released`` is called after the last step that needs an engine: only selecting, encoding and writing remain.
    ``sign`` asks the daemon for a signature.
    """
    runner = _JobRunner(job, engine_provider, on_progress, is_cancelled, fs or Filesystem(), on_engine_released, part_channel, sign)
    try:
        return runner.run()
    except JobCancelled:
        return runner.failure(job_faults.cancelled(job.asset.path))
    except JobYielded:
        return runner.failure(job_faults.yielded(job))
    except InputChanged as changed:
        return runner.failure(JobFault(kind="changed", sentence=changed.sentence, path=changed.path))
    except GoldsmithError as error:
        fault = JobFault(
            kind=_fault_kind(error),
            sentence=hide_server_paths(error.sentence, job.root, *engine_provider.model_folders, is_echo=False),
            remedy=hide_server_paths(error.remedy, job.root, *engine_provider.model_folders, is_echo=False),
            path=runner.current_path,
            preview_path=runner.problem_image,
            detail=_cause_text(error),
        )
        if fault.sentence != error.sentence:  # the log has the whole path
            fault = fault.model_copy(update={"detail": "\n".join(filter(None, (error.sentence, fault.detail)))})
        return runner.failure(fault)
    except OSError as error:
        if error.errno not in MACHINE_ERRNOS:
            raise
        return runner.failure(
            JobFault(kind="machine", sentence=f"{job_faults.picture_name(job)} could not be processed: {error.strerror}.")
        )


def _cause_text(error: BaseException) -> str:
    """Return what a decoder or another library said, for the log: its words are for programmers. "" if no library raised the error."""
    cause = error.__cause__
    while isinstance(cause, GoldsmithError):
        cause = cause.__cause__
    return "" if cause is None else f"{type(cause).__name__}: {cause}"


def _fault_kind(error: GoldsmithError) -> JobFaultKind:
    if isinstance(error, IncompleteFileError):
        return "incomplete"
    if isinstance(error, DeviceError):
        return "device"
    return "machine" if isinstance(error, HostError) else "problem"


class _JobRunner:
    def __init__(
        self,
        job: Job,
        engine_provider: EngineProvider,
        on_progress: Callable[[JobProgress], None],
        is_cancelled: Callable[[], bool],
        fs: Filesystem,
        on_engine_released: Callable[[], None],
        part_channel: PartChannel,
        sign: RequestSignature,
    ) -> None:
        # The input that is being read, for the path of a fault.
        self.current_path = job.asset.path
        self._job = job
        self._engine_provider = engine_provider
        self._on_progress = on_progress
        self._is_cancelled = is_cancelled
        self._fs = fs
        self._on_engine_released = on_engine_released
        self._part_channel = part_channel
        self._sign = sign
        self._reads: dict[str, InputRead] = {}
        # About the files beside the picture, and about the picture itself: the notes in its facts.
        self._input_notes: list[str] = []
        self._picture_notes: Sequence[str] = ()
        # What the picture's generator says of how it was made.
        self._generation: dict[str, object] = {}
        # What its content credentials say; empty if it has none.
        self._credentials: dict[str, object] = {}
        self._removals = [Removal(**removal.model_dump()) for removal in job.removals]
        self._detection_cache = DetectionCache()
        self._identities = FileIdentities(job, self._reads)
        # Whether the step that runs has changed a picture.
        self._has_changed = False
        # True if a person picks among the pictures that the steps leave.
        self._asks_person = False
        # The result of an earlier job that the picture replaces, as another kind of file.
        self._older: LoadedInput | None = None
        # The masks and layers in the picture's own file, and the names of those masks.
        self._parts: Sequence[PicturePart] = ()
        self._masks_inside: set[str] = set()
        self._needs_unnamed_mask = False
        # Of the picture as it was read, with its sidecars.
        self._identity = AssetIdentity()
        # None if no file of the job has layers.
        self._layers: StageLayers | None = None
        # The last step, if its pixels are still to be computed.
        self._pending: PendingStep | None = None

    def failure(self, fault: JobFault) -> Outcome:
        return Outcome(job_id=self._job.id, fault=fault, reads=tuple(self._reads.values()))

    @property
    def problem_image(self) -> str:
        """Path of the picture that a step wrote to show why it failed; "" = none."""
        scratch: ScratchFolder | None = getattr(self, "_scratch", None)  # missing if it could not be created
        return "" if scratch is None else scratch.problem_image

    def run(self) -> Outcome:
        """Run the whole job and return its outcome."""
        job = self._job
        self._scratch = ScratchFolder(Path(job.scratch), self._fs)
        if job.signing is not None:
            sign_files(job, job.signing, self._reads, self._scratch, self._sign)
            return self._success(StepResults([]), None, unchanged=True)
        if job.inspects:
            facts = _to_json_facts(inspect_file(job, self._reads, self._engine_provider.trusted_roots))
            return self._success(StepResults([]), None, unchanged=True).model_copy(update={"facts": facts})
        picture, masks, sidecars = self._load_inputs()
        if job.compares_versions:
            return self._compare_versions(picture, masks[0])
        self._require_newer_version(picture)
        if not job.steps:
            return self._verify_only(picture)
        operations = self._engine_provider.operations(job.stage, job.steps)
        results, original, info = StepResults([]), None, None
        if not job.is_lone_brief:
            memory_budget = MemoryBudget(job.limits.max_memory_bytes, self._bytes_per_pixel(operations))
            self._needs_unnamed_mask = any("mask" in operation.needs().masks for operation in operations)
            decoded, info = self._decode_picture(picture, masks, memory_budget)
            decoded = self._merge_sidecars(decoded, sidecars)
            results, original = StepResults([decoded]), OriginalPicture(decoded)
            self._identity = self._identify(decoded)
            self._layers = self._begin_layers(operations, decoded, picture)
            del decoded, masks
        elif self._writes_layers(operations):
            self._layers = StageLayers(job.stage, None)
        if job.finds_masks:
            return self._lay_masks(operations, results, info, picture.data)
        self._asks_person = operations[-1].asks_person()
        source = None if original is None else original.without_pixels.metadata
        self._identities.begin(operations, results.steps, source, is_hand_work=self._identity.is_hand_work)
        last_with_engine = max((number for number, operation in enumerate(operations, 1) if operation.needs().engines), default=0)
        for number, operation in enumerate(operations, 1):
            try:
                self._run_step(number, operation, results)
            except InputError as problem:
                self._run_following_preflights(problem, number, operations, results)
                raise
            if number == last_with_engine:
                self._on_engine_released()
        self._finish_pending(results)
        return self._write_results(original, results, info, picture.data)

    # Reading

    def _load_inputs(self) -> tuple[LoadedInput, list[LoadedInput], list[LoadedInput]]:
        """Read and hash every input; return the picture, the masks and the metadata sidecars with their bytes."""
        pixels, sidecars = [], []
        for source in self._job.inputs:  # a brief without a picture is read here for its hash
            self._check_cancelled()
            self.current_path = source.path
            loaded = load_input(self._job, source)
            self._reads[source.path] = loaded.read
            self._note_wrong_suffix(loaded)
            if source.role == "before" and not self._job.compares_versions:
                self._older = loaded
            elif source is self._job.asset or source.role in ("mask", "keep", "before"):
                pixels.append(loaded)
            elif source.role == "xmp":
                sidecars.append(loaded)
        self.current_path = self._job.asset.path
        return pixels[0], pixels[1:], sidecars

    def _note_wrong_suffix(self, loaded: LoadedInput) -> None:
        """Add a note on a file beside the picture whose suffix stands for another format. The picture's own reading notes its suffix."""
        if loaded.read.format and loaded.source is not self._job.asset:
            note = describe_wrong_suffix(FORMATS[loaded.read.format], loaded.name, f"“{loaded.name}”")
            self._input_notes += [note] if note else []

    def _require_newer_version(self, picture: LoadedInput) -> None:
        """Raise InputError unless the picture is known by its id or by its look as a newer version of the older file beside it."""
        from goldsmith.picture.codec import read_metadata

        if self._older is None:
            return
        older, newer = (
            asset_identity(read_metadata(each.data, each.name, self._job.limits.max_pixels)).ids for each in (self._older, picture)
        )
        is_known = bool(older) and older[0] in newer
        if not is_known and not self._looks_like(picture, self._older):
            raise InputError(
                f"{picture.name} and {self._older.name} lie beside one brief, nothing in {picture.name} says that it was made from "
                "the other, and it does not look so.",
                f"Call the brief {picture.name}.toml or {self._older.name}.toml, or take away the picture that you do not need.",
            )
        by_look = "" if is_known else " by its look, because it has lost its id,"
        self._input_notes.append(f"it is{by_look} a newer version of {self._older.name}, which went to the archive")

    def _looks_like(self, newer: LoadedInput, older: LoadedInput) -> bool:
        """Return whether one picture was made from the other: an editor that wrote no id, such as Krita, has saved it."""
        from goldsmith.picture.codec import decode
        from goldsmith.picture.likeness import SeenPicture, describe_look

        budget, reading = MemoryBudget(self._job.limits.max_memory_bytes, 2 * BYTES_PER_PIXEL), reading_options(self._job)
        pictures = (decode(each.data, each.name, self._job.limits.max_pixels, budget, reading) for each in (older, newer))
        look = describe_look(next(pictures))
        return bool(look) and SeenPicture(next(pictures)).compare(look).is_alike

    def _verify_only(self, picture: LoadedInput) -> Outcome:
        """Verify the complete file for a job without steps; it goes on unchanged."""
        from goldsmith.picture.codec import decode, read_metadata, verify

        info = verify(picture.data, picture.name, self._job.limits.max_pixels, reading_options(self._job))
        self._read_credentials(picture)
        self._identity = asset_identity(read_metadata(picture.data, picture.name, self._job.limits.max_pixels))
        if self._job.known_looks:
            budget = MemoryBudget(self._job.limits.max_memory_bytes, BYTES_PER_PIXEL)
            decoded = decode(picture.data, picture.name, self._job.limits.max_pixels, budget, reading_options(self._job))
            self._identity = self._identify(decoded)
        return self._unchanged_outcome(picture.data, info)

    def _identify(self, picture: Picture) -> AssetIdentity:
        """Return what the picture says of itself, and which known version it looks like."""
        identity, known = asset_identity(picture.metadata), self._job.known_looks
        if not known or self._reads[self._job.asset.path].sha256 in {each.sha256 for each in known}:
            return identity
        from goldsmith.worker.alike_versions import find_alike_versions

        alike = find_alike_versions(picture, known)
        is_hand_work = len(alike) == 1 or any(each.document_id in identity.ids for each in known)
        return identity.model_copy(update={"alike": alike, "is_hand_work": is_hand_work})

    def _compare_versions(self, picture: LoadedInput, before: LoadedInput) -> Outcome:
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
        return self._success(StepResults([]), None, unchanged=True).model_copy(update={"facts": {BY_HAND: facts}})

    @staticmethod
    def _encode_mask(mask: Mask, depth: BitDepth) -> bytes:
        from goldsmith.picture.codec import EncodingOptions, encode

        metadata = Metadata(text_chunks=(MADE_BY_GOLDSMITH,))
        return encode(Picture(freeze(mask[:, :, None]), depth=depth, metadata=metadata), EncodingOptions(format="png", depth=depth))

    def _unchanged_outcome(self, data: bytes, info: ImageInfo | None, results: StepResults | None = None) -> Outcome:
        """Return the outcome in which the file itself goes on. The archive needs its bytes if a person put it there, or if it waits now."""
        is_kept = self._job.asset.sha256 and not self._job.keeps_result
        original = "" if is_kept else str(self._scratch.write_file("original", data))
        return self._success(results or StepResults([]), info, unchanged=True, original=original)

    def _decode_picture(self, picture: LoadedInput, masks: Sequence[LoadedInput], memory_budget: MemoryBudget) -> tuple[Picture, ImageInfo]:
        from goldsmith.picture.codec import decode_with_info, open_parts, verify
        from goldsmith.picture.metadata.generation_settings import read_generation_settings

        reading = reading_options(self._job)
        decoded, info = decode_with_info(picture.data, picture.name, self._job.limits.max_pixels, memory_budget, reading)
        if info.frames > 1:
            info = verify(picture.data, picture.name, self._job.limits.max_pixels, reading)  # complete only if its last frame is
        self._picture_notes = info.notes
        self._read_credentials(picture)
        settings = read_generation_settings(decoded.metadata)
        self._generation = {} if settings is None else settings.to_record()
        self._parts = open_parts(picture.data, picture.name, self._job.limits.max_pixels)
        inside = [part for part in self._parts if part.kind == "mask"]
        self._masks_inside = {part.label for part in inside}
        named_masks = load_masks(self._job, masks, decoded, self._begin_reading, self._input_notes.append, memory_budget, inside)
        self.current_path = self._job.asset.path
        if self._job.mask_from == "alpha" and self._needs_unnamed_mask:
            named_masks["mask"] = mask_from_alpha(decoded, picture.name, named_masks.get("mask"))
            self._masks_inside.add("mask")
            decoded = decoded.without_alpha()
        return decoded.with_masks(MappingProxyType(named_masks)), info

    def _lay_masks(self, operations: Sequence[Operation], results: StepResults, info: ImageInfo | None, data: bytes) -> Outcome:
        """Return the outcome of a job that finds masks for a person to approve: the masks, and a sheet. The picture stays as it is."""
        from goldsmith.worker.found_masks import find_masks, masks_used_up
        from goldsmith.worker.review_sheet import render_mask_sheet

        (picture,) = results.pictures
        for number, operation in enumerate(operations, 1):
            if operation.found_region():
                self._require_masks(operation.needs().masks, results.pictures, number, self._job.steps[number - 1].op)

        def context_of(number: int) -> WorkerStepContext:
            return self._step_context(number, self._job.steps[number - 1].op, operations[number - 1].bytes_per_pixel(), ())

        found_masks = find_masks(self._job, operations, picture, context_of)
        for each in found_masks:
            facts: dict[str, JsonValue] = {"width": picture.width, "height": picture.height, "depth": 16}
            self._scratch.add_output("mask", each.tail, self._encode_mask(each.mask, 16), facts)
        self._scratch.add_output("review", REVIEW_SHEET_TAIL, render_mask_sheet(self._job.stem, self._job.stage, picture, found_masks), {})
        results.used_masks |= masks_used_up(operations)
        outcome = self._unchanged_outcome(data, info, results)
        return outcome.model_copy(update={"facts": {**outcome.facts, "found_masks": [each.facts for each in found_masks]}})

    def _read_credentials(self, picture: LoadedInput) -> None:
        """Put on record what the picture's own content credentials say, and remark it if they are broken."""
        from goldsmith.credentials.content_credentials import read_credentials

        row = FORMATS.get(picture.read.format)
        credentials = None if row is None or not row.holds_credentials else read_credentials(picture.data, row.media_type)
        if credentials is not None:
            self._credentials = credentials.to_record()
            if self._job.credential_bytes:  # they will be carried
                size = self._job.credential_bytes + credentials.store_bytes
                self._job = self._job.model_copy(update={"credential_bytes": size})
            remark = credentials.remark()
            self._input_notes += [remark] if remark else []

    def _merge_sidecars(self, picture: Picture, sidecars: Sequence[LoadedInput]) -> Picture:
        """Return the picture with the metadata of its XMP sidecars; of two, the last one wins."""
        from goldsmith.picture.metadata.credits import merge_sidecar
        from goldsmith.picture.metadata.xmp_packet import UnreadableXmp

        for sidecar in sidecars:
            self._begin_reading(sidecar)
            try:
                picture = picture.with_metadata(merge_sidecar(picture.metadata, sidecar.data))
            except UnreadableXmp as error:
                raise InputError(f"{sidecar.name} cannot be read: {error}.", "Save it again, or take it away.") from error
        self.current_path = self._job.asset.path
        return picture

    def _begin_reading(self, loaded: LoadedInput) -> None:
        self._check_cancelled()
        self.current_path = loaded.source.path

    def _writes_layers(self, operations: Sequence[Operation]) -> bool:
        """Return whether a file of the job has layers."""
        makes_files = any(isinstance(operation, FileOperation) and operation.writes_layers() for operation in operations)
        return makes_files or FORMATS[self._job.working].has_layers

    def _begin_layers(self, operations: Sequence[Operation], decoded: Picture, picture: LoadedInput) -> StageLayers | None:
        """Return the layers of a picture that was read, those of its file below; None if no file of the job has layers."""
        if not self._writes_layers(operations):
            return None
        kept, group_names = None, frozenset[str]()
        if picture.read.format and FORMATS[picture.read.format].has_layers:
            from goldsmith.picture.codec import read_outline

            outline = read_outline(picture.data, picture.name, self._job.limits.max_pixels)
            if outline.layer_count and outline.icc == decoded.icc:
                limits = self._job.limits
                kept = KeptFile(picture.data, picture.name, picture.read.format, limits.max_pixels, limits.max_memory_bytes // 2)
            group_names = outline.group_names
        return StageLayers(free_group_name(self._job.stage, group_names), decoded, kept, self._decode_kept)

    def _decode_kept(self, kept: KeptFile) -> LayeredFile:
        from goldsmith.picture.codec import decode_layers

        return decode_layers(kept.data, kept.name, kept.max_pixels, kept.max_bytes)

    def _bytes_per_pixel(self, operations: Sequence[Operation]) -> int:
        """Return the memory of the job for each pixel of its picture, with its layers."""
        most = max(operation.bytes_per_pixel() for operation in operations)
        return most + (LAYER_BYTES_PER_PIXEL * (1 + len(operations)) if self._writes_layers(operations) else 0)

    # Working

    def _run_step(self, number: int, operation: Operation, results: StepResults) -> None:
        spec = self._job.steps[number - 1]
        context = self._step_context(number, spec.op, operation.bytes_per_pixel(), results.steps)
        context.progress.report(0.0)
        if not (isinstance(operation, PictureOperation) and operation.reads_rows):
            self._finish_pending(results)
        pending = self._pending
        started = perf_counter()
        masks = operation.needs().masks
        self._require_masks(masks, results.pictures, number, spec.op)
        self._has_changed = isinstance(operation, SetOperation)
        try:
            files = self._apply_operation(operation, context, results, number)
        except InputError as problem:
            raise InputError(f"{self._job.stage}.{number} ({spec.op}): {problem.sentence}", problem.remedy) from problem
        change = None
        if self._has_changed:
            change = self._identities.add_change(operation, context.recorder.engine, context.recorder.layer_types)
        results.used_masks |= masks
        results.used_files += context.recorder.used_files
        results.used_layers |= context.recorder.used_layers
        settings = operation.model_dump(mode="json")
        seconds = perf_counter() - started
        picture_hash = "" if self._keep_pending(number, results) else self._trace(operation, files, results)
        step_result = StepResult(
            op=spec.op,
            settings=settings,
            seed=context.seed,
            seconds=seconds,
            findings=context.recorder.findings,
            engine=context.recorder.engines(),
            source_type=change or "",
            picture_hash=picture_hash,
        )
        results.steps.append(step_result)
        if pending is not None:
            pending.put_on_record(results, lambda _: self._check_cancelled())

    @staticmethod
    def _trace(operation: Operation, files: Sequence[Deliverable], results: StepResults) -> str:
        return files_trace(files) if isinstance(operation, FileOperation) else picture_trace(results.pictures)

    def _keep_pending(self, number: int, results: StepResults) -> bool:
        """Return whether the step's pixels are still to be computed: the next step may do it, row by row."""
        lazy = results.pictures[0].lazy_pixels if len(results.pictures) == 1 else None
        is_pending = lazy is not None and lazy.bit_sums is not None and not lazy.is_computed
        self._pending = PendingStep(number, results.pictures[0]) if is_pending else None
        return is_pending

    def _finish_pending(self, results: StepResults) -> None:
        """Compute the pixels of the step before, if they are still to be computed, and put them on its record."""
        if self._pending is not None:
            self._pending.put_on_record(results, lambda _: self._check_cancelled())
            self._pending = None

    def _run_following_preflights(self, problem: InputError, number: int, operations: Sequence[Operation], results: StepResults) -> None:
        """Run the preflights right behind the one that failed. If another fails, raise one InputError with the faults of all."""
        sentences = [problem.sentence]
        for following in range(number, len(operations) + 1):
            operation = operations[following - 1]
            if not (isinstance(operation, FileOperation) and operation.is_preflight):
                break
            try:
                if following > number:
                    self._run_step(following, operation, results)
            except InputError as other:
                sentences.append(other.sentence)
        if len(sentences) > 1:
            raise InputError(" ".join(sentences), problem.remedy) from problem

    def _apply_operation(
        self, operation: Operation, context: WorkerStepContext, results: StepResults, number: int
    ) -> Sequence[Deliverable]:
        """Run the step and write the files that it makes; return them."""
        if not results.pictures and operation.needs().needs_picture:
            raise InputError(f"It needs a picture, but {job_faults.picture_name(self._job)} has none.", "Put the picture beside it.")
        if isinstance(operation, PictureOperation):
            self._replace_pictures(results, (self._apply_and_verify(operation, each, context, number) for each in results.pictures), number)
        elif isinstance(operation, SetOperation):
            before = results.pictures
            self._replace_pictures(results, operation.apply_set(results.pictures, context), number)
            if not results.pictures:
                raise InputError(f"It rejected every picture of {job_faults.picture_name(self._job)}.", "Relax its limits.")
            if self._layers is not None:
                self._layers.add_set(layer_name(self._job.steps[number - 1].op), before, results.pictures)
        elif isinstance(operation, FileOperation):
            files = [file for picture in results.pictures for file in operation.make_files(picture, context)]
            for file in files:
                self._check_cancelled()
                tail = file.tail + file.suffix
                self._scratch.add_output("deliverable", tail, file.data, _to_json_facts(file.facts), self._identities.id_of(tail))
            results.file_count += len(files)
            return files
        return ()

    def _replace_pictures(self, results: StepResults, pictures: Iterable[Picture], number: int) -> None:
        """Replace the pictures of the previous step by those of this step."""
        old_pictures, results.pictures = results.pictures, spill_pictures(pictures, self._scratch, f"set-{number}")
        if isinstance(old_pictures, SpilledList):
            old_pictures.delete_files()

    def _step_context(self, number: int, op: str, bytes_per_pixel: int, steps: Sequence[StepResult]) -> WorkerStepContext:
        def on_progress(fraction: float, note: str) -> None:
            self._check_cancelled()
            self._on_progress(JobProgress(job_id=self._job.id, step=number, op=op, fraction=fraction, note=note))

        library = Library(Path(self._job.root))
        parts = JobParts(
            self._job,
            self._engine_provider,
            self._scratch,
            library,
            self._reads,
            self._identities,
            self._detection_cache,
            self._part_channel,
            self._layers,
        )
        remarks = collect_remarks([*self._picture_notes, *self._input_notes], [(step.op, step.findings) for step in steps])
        seed = step_seed(self._job.seed, number)
        return WorkerStepContext(parts, on_progress, seed, bytes_per_pixel, EarlierSteps(remarks, self._removals, steps))

    def _apply_and_verify(self, operation: PictureOperation, picture: Picture, context: WorkerStepContext, number: int) -> Picture:
        """Return the picture after the step, with the proof that protected pixels are unchanged on record."""
        after = operation.apply(picture, context)
        self._has_changed = self._has_changed or after is not picture
        origin = operation.origin_in_result(picture)
        if origin is not None and after is not picture:
            self._require_original_unchanged(count_original_changes(picture, after, origin), context)
        self._require_geometry(operation, picture, after)
        mask = self._prove_mask(operation, picture, after, context, number)
        if self._layers is not None and not self._layers.is_in_set and after is not picture:
            looks = context.recorder.findings.get("references")
            name = layer_name(self._job.steps[number - 1].op, operation.layer_detail(), looks if isinstance(looks, dict) else {})
            self._layers.add_operation(name, operation, picture, after, mask)
        return after

    def _prove_mask(
        self, operation: PictureOperation, picture: Picture, after: Picture, context: WorkerStepContext, number: int
    ) -> Mask | None:
        """Return where the step could change pixels, (h, w), 0..1, after the proof that nothing else has changed; None = everywhere."""
        where = getattr(operation, "where", None)
        if after is picture and isinstance(where, str) and where and not context.detect.is_region_known(where, picture):
            return None
        mask = editable_region(operation, picture, context)
        if mask is None or (after.height, after.width) != (picture.height, picture.width):
            return None
        count = count_outside_changes(picture, after, mask)
        context.results.record(outside_pixels=count.pixels, outside_changed=count.changed)
        if count.changed:
            raise InputError(
                f"It changed {count.changed} pixels of {job_faults.picture_name(self._job)} outside the mask, so its result is discarded.",
                "This is a fault of the operation or its engine: try another model.",
            )
        if operation.removes_content:
            self._record_removal(picture, after, mask, context, number)
        return mask

    def _record_removal(self, before: Picture, after: Picture, mask: Mask, context: WorkerStepContext, number: int) -> None:
        """Put on record how much of the region has changed, for steps that check the results."""
        share = measure_changed_share(before, after, mask)
        if share is not None:
            context.results.record(**{CHANGED_SHARE: round(share, 4)})
            self._removals.append(Removal(self._job.stage, number, self._job.steps[number - 1].op, round(share, 4)))

    def _require_geometry(self, operation: PictureOperation, before: Picture, after: Picture) -> None:
        if (before.width, before.height) != (after.width, after.height) and not operation.changes_geometry:
            raise InputError(
                f"It changed the size of {job_faults.picture_name(self._job)} from {before.width} x {before.height} px to "
                f"{after.width} x {after.height} px, so its result is discarded.",
                "This is a fault of the operation: it must declare changes_geometry.",
            )

    def _require_original_unchanged(self, count: ChangeCount, context: WorkerStepContext) -> None:
        context.results.record(old_pixels=count.pixels, old_changed=count.changed)
        if count.changed:
            raise InputError(
                f"It changed {count.changed} pixels of {job_faults.picture_name(self._job)} itself, so its result is discarded.",
                "This is a fault of the operation or its engine: try another model.",
            )

    def _require_masks(self, masks: frozenset[str], pictures: Sequence[Picture], number: int, op: str) -> None:
        missing = sorted(name for name in masks if any(name not in picture.masks for picture in pictures))
        if missing:
            stem = Path(self._job.asset.path).stem
            file = f"{stem}.mask.png" if missing[0] == "mask" else f"{stem}.mask.{missing[0]}.png"
            raise InputError(
                f"{self._job.stage}.{number} ({op}) needs the mask {file}, which is missing.",
                f"Paint it, white where the picture is to change{self._layer_instead(missing[0])}.",
            )

    def _layer_instead(self, name: str) -> str:
        """Return the other way to give a mask to a picture whose format has layers; "" for other formats."""
        if self._reads[self._job.asset.path].format not in FORMATS_WITH_LAYERS:
            return ""
        layer = "mask" if name == "mask" else f"mask {name}"
        return f", or as a layer called “{layer}” in {job_faults.picture_name(self._job)}"

    def _check_cancelled(self) -> None:
        if self._is_cancelled():
            raise JobCancelled

    # Results

    def _write_results(self, original: OriginalPicture | None, results: StepResults, info: ImageInfo | None, picture: bytes) -> Outcome:
        """Write the picture (the file itself if no pixel changed) and masks with a new geometry, and return the outcome."""
        from goldsmith.picture.codec import EncodingOptions, encode, encode_layers, written_metadata
        from goldsmith.picture.likeness import describe_look
        from goldsmith.picture.metadata.credits import with_credits
        from goldsmith.picture.metadata.selection import names_left_out

        if len(results.pictures) > 1 and self._asks_person:
            return self._write_candidates(results, info)
        if len(results.pictures) > 1:
            raise InputError(
                f"The steps leave {len(results.pictures)} pictures of {job_faults.picture_name(self._job)}.",
                "Add a select step that picks one.",
            )
        result = results.pictures[0]
        if self._job.deliver and results.file_count:
            return self._success(results, info)
        self._check_cancelled()
        if original is not None and not self._job.deliver:
            self._write_unused_masks(original.without_pixels, result, results)
        if self._job.review is not None:
            self._write_review_sheet(original, result, results, info, picture)
        if original is not None and original.is_same_picture(result):
            return self._unchanged_outcome(picture, info, results)
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
        return self._success(results, info, left_out=left_out)

    def _layers_of(self, result: Picture, results: StepResults) -> PictureLayers | None:
        """Return the layers under the result, without the masks that steps have used; None if its format has none."""
        if self._layers is None or not FORMATS[self._job.working].has_layers:
            return None
        self._layers.leave_out(results.used_masks, (part.label for part in self._parts if part.kind == "layer"))
        if self._layers.merged_by:
            self._input_notes.append(f"its layers were merged by the step “{self._layers.merged_by}”, whose result they do not fit")
        return self._layers.layers_of(result)

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
        return self._success(results, info)

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
        notes = [*(info.notes if info is not None else ()), *self._input_notes]
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
            if name in results.used_masks or name in self._masks_inside or old is mask or (old is not None and np.array_equal(old, mask)):
                continue
            tail = mask_tail(name)
            self._scratch.add_output("mask", tail, self._encode_mask(mask, 16), {"width": after.width, "height": after.height, "depth": 16})
            results.used_files += files.get(name, ())

    def _write_unused_parts(self, result: Picture, results: StepResults, layers: PictureLayers | None) -> None:
        """Write the masks and layers of the picture's own file that no step has used and that its new file does not hold."""
        from goldsmith.picture.codec import EncodingOptions, encode, keeps_file

        held: set[str] = set()
        if layers is not None and layers.kept is not None and keeps_file(result, self._job.working, layers.kept):
            held = {part.label for part in self._parts if part.kind == "mask"}
        for name in sorted(self._masks_inside - results.used_masks - held):
            tail = ".mask.png" if name == "mask" else f".mask.{name}.png"
            facts: dict[str, JsonValue] = {"width": result.width, "height": result.height, "depth": 16}
            self._scratch.add_output("mask", tail, self._encode_mask(result.masks[name], 16), facts)
        for part in self._parts:
            if part.kind == "layer" and part.label not in results.used_layers:
                layer = part.decode()
                data = encode(layer, EncodingOptions(format="png", depth=layer.depth))
                self._scratch.add_output("layer", f".layer.{part.label}.png", data, picture_facts(layer))
                results.used_layers.add(part.label)

    def _success(
        self,
        results: StepResults,
        info: ImageInfo | None,
        unchanged: bool = False,
        original: str = "",
        left_out: Sequence[str] = (),
    ) -> Outcome:
        self._check_cancelled()
        facts = {} if info is None else asdict(info)
        if self._generation:
            facts["generation"] = self._generation
        if self._credentials:
            facts["credentials"] = self._credentials
            # Whether they are lost shows at the delivery.
            facts["notes"] = [note for note in facts.get("notes", ()) if note != PROVENANCE_NOTE]
        may_be_incomplete = bool(facts.pop("may_be_incomplete", False))
        if facts or self._input_notes:
            facts["notes"] = [*facts.get("notes", ()), *self._input_notes]
        if left_out:
            facts["metadata_left_out"] = left_out
        files = paths_by_name(self._job.inputs, "mask", "keep")
        used = [*(path for name in sorted(results.used_masks) for path in files.get(name, ())), *results.used_files]
        used += [self._older.source.path] if self._older is not None else []
        self._copy_inputs_for_review(used)
        self._scratch.sync_folder()
        return Outcome(
            job_id=self._job.id,
            reads=tuple(self._reads.values()),
            is_unchanged=unchanged,
            original_copy=original,
            outputs=self._scratch.outputs,
            consumed_masks=tuple(sorted(results.used_masks & files.keys())),
            consumed_files=tuple(dict.fromkeys(used)),
            steps=tuple(results.steps),
            facts=_to_json_facts(facts),
            may_be_incomplete=may_be_incomplete,
            identity=self._identity,
        )


def _to_json_facts(facts: Mapping[str, object]) -> dict[str, JsonValue]:
    return {name: to_json(value) for name, value in facts.items()}
