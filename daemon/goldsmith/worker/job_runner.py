"""Runs one job: reads and decodes its inputs, runs the steps, proves that protected pixels are unchanged, and writes the results."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import perf_counter

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
    Job,
    JobFault,
    JobFaultKind,
    JobProgress,
    Outcome,
    StepResult,
)
from goldsmith.library.library import Library
from goldsmith.operation import CHANGED_SHARE, Deliverable, FileOperation, Operation, PictureOperation, Removal, SetOperation
from goldsmith.picture.formats.table import FORMATS, FORMATS_WITH_LAYERS
from goldsmith.picture.memory_budget import MemoryBudget
from goldsmith.picture.picture import Mask, Picture
from goldsmith.picture.remarks import collect_remarks
from goldsmith.worker.detections import DetectionCache
from goldsmith.worker.engine_provider import EngineProvider
from goldsmith.worker.file_identities import FileIdentities
from goldsmith.worker.file_inspection import inspect_file
from goldsmith.worker.file_signing import RequestSignature, refuse_signature, sign_files
from goldsmith.worker.finished_parts import NO_PARTS, PartChannel
from goldsmith.worker.found_masks import FoundMask, find_masks, masks_used_up
from goldsmith.worker.inputs import InputChanged
from goldsmith.worker.job_inputs import JobInputs
from goldsmith.worker.mask_proof import ChangeCount, count_original_changes, count_outside_changes, editable_region, measure_changed_share
from goldsmith.worker.pending_step import PendingStep
from goldsmith.worker.result_writer import ResultWriter, to_json_facts
from goldsmith.worker.scratch_folder import ScratchFolder
from goldsmith.worker.spilled_list import SpilledList, spill_pictures
from goldsmith.worker.stage_layers import LAYER_BYTES_PER_PIXEL, StageLayers, begin_layers, layer_name
from goldsmith.worker.step_context import EarlierSteps, JobParts, WorkerStepContext
from goldsmith.worker.step_results import OriginalPicture, StepResults
from goldsmith.worker.trace import files_trace, picture_trace

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
        self._inputs = JobInputs(job, self._check_cancelled)
        self._engine_provider = engine_provider
        self._on_progress = on_progress
        self._is_cancelled = is_cancelled
        self._fs = fs
        self._on_engine_released = on_engine_released
        self._part_channel = part_channel
        self._sign = sign
        self._removals = [Removal(**removal.model_dump()) for removal in job.removals]
        self._detection_cache = DetectionCache()
        self._identities = FileIdentities(job, self._inputs.reads)
        # Whether the step that runs has changed a picture.
        self._has_changed = False
        # None if no file of the job has layers.
        self._layers: StageLayers | None = None
        # The last step, if its pixels are still to be computed.
        self._pending: PendingStep | None = None

    @property
    def _job(self) -> Job:
        return self._inputs.job

    @property
    def current_path(self) -> str:
        """The input that is being read, for the path of a fault."""
        return self._inputs.current_path

    def failure(self, fault: JobFault) -> Outcome:
        return Outcome(job_id=self._job.id, fault=fault, reads=tuple(self._inputs.reads.values()))

    @property
    def problem_image(self) -> str:
        """Path of the picture that a step wrote to show why it failed; "" = none."""
        scratch: ScratchFolder | None = getattr(self, "_scratch", None)  # missing if it could not be created
        return "" if scratch is None else scratch.problem_image

    def run(self) -> Outcome:
        """Run the whole job and return its outcome."""
        job, inputs = self._job, self._inputs
        self._scratch = ScratchFolder(Path(job.scratch), self._fs)
        writer = ResultWriter(inputs, self._scratch, self._identities, self._check_cancelled)
        if job.signing is not None:
            sign_files(job, job.signing, inputs.reads, self._scratch, self._sign)
            return writer.outcome(StepResults([]), None, unchanged=True)
        if job.inspects:
            facts = to_json_facts(inspect_file(job, inputs.reads, self._engine_provider.trusted_roots))
            return writer.outcome(StepResults([]), None, unchanged=True).model_copy(update={"facts": facts})
        picture, masks, sidecars = inputs.load()
        if job.compares_versions:
            return writer.compare_versions(picture, masks[0])
        inputs.require_newer_version(picture)
        if not job.steps:
            return writer.unchanged(picture.data, inputs.verify(picture))
        operations = self._engine_provider.operations(job.stage, job.steps)
        results, original, info = StepResults([]), None, None
        writes_layers = _writes_layers(job, operations)
        if not job.is_lone_brief:
            memory_budget = MemoryBudget(job.limits.max_memory_bytes, _bytes_per_pixel(operations, writes_layers=writes_layers))
            needs_mask = any("mask" in operation.needs().masks for operation in operations)
            decoded, info = inputs.decode(picture, masks, sidecars, memory_budget, needs_unnamed_mask=needs_mask)
            results, original = StepResults([decoded]), OriginalPicture(decoded)
            self._layers = begin_layers(job, decoded, picture) if writes_layers else None
            del decoded, masks
        elif writes_layers:
            self._layers = StageLayers(job.stage, None)
        writer.layers = self._layers
        if job.finds_masks:
            return writer.lay_masks(self._find_masks(operations, results), results, info, picture.data)
        source = None if original is None else original.without_pixels.metadata
        self._identities.begin(operations, results.steps, source, is_hand_work=inputs.identity.is_hand_work)
        self._run_steps(operations, results)
        return writer.write(original, results, info, picture.data, asks_person=operations[-1].asks_person())

    def _find_masks(self, operations: Sequence[Operation], results: StepResults) -> Sequence[FoundMask]:
        """Find the masks that a person is to approve, and mark those that are used up by it."""
        (picture,) = results.pictures
        for number, operation in enumerate(operations, 1):
            if operation.found_region():
                self._require_masks(operation.needs().masks, results.pictures, number, self._job.steps[number - 1].op)

        def context_of(number: int) -> WorkerStepContext:
            return self._step_context(number, self._job.steps[number - 1].op, operations[number - 1].bytes_per_pixel(), ())

        found_masks = find_masks(self._job, operations, picture, context_of)
        results.used_masks |= masks_used_up(operations)
        return found_masks

    def _run_steps(self, operations: Sequence[Operation], results: StepResults) -> None:
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
                self._scratch.add_output("deliverable", tail, file.data, to_json_facts(file.facts), self._identities.id_of(tail))
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
            self._inputs.reads,
            self._identities,
            self._detection_cache,
            self._part_channel,
            self._layers,
        )
        remarks = collect_remarks([*self._inputs.picture_notes, *self._inputs.notes], [(step.op, step.findings) for step in steps])
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
        if self._inputs.reads[self._job.asset.path].format not in FORMATS_WITH_LAYERS:
            return ""
        layer = "mask" if name == "mask" else f"mask {name}"
        return f", or as a layer called “{layer}” in {job_faults.picture_name(self._job)}"

    def _check_cancelled(self) -> None:
        if self._is_cancelled():
            raise JobCancelled


def _writes_layers(job: Job, operations: Sequence[Operation]) -> bool:
    """Return whether a file of the job has layers."""
    makes_files = any(isinstance(operation, FileOperation) and operation.writes_layers() for operation in operations)
    return makes_files or FORMATS[job.working].has_layers


def _bytes_per_pixel(operations: Sequence[Operation], *, writes_layers: bool) -> int:
    """Return the memory of a job for each pixel of its picture, with its layers."""
    most = max(operation.bytes_per_pixel() for operation in operations)
    return most + (LAYER_BYTES_PER_PIXEL * (1 + len(operations)) if writes_layers else 0)
