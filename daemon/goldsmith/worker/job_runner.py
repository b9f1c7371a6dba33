"""One attempt at a job: read, decode, run the steps, prove law 4, write the results. Exactly one outcome comes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter
from types import MappingProxyType

import numpy as np
from pydantic import JsonValue

from goldsmith.errors import (
    DeviceError,
    GoldsmithError,
    HostError,
    IncompleteFileError,
    InputError,
    JobCancelled,
)
from goldsmith.files import MACHINE_ERRNOS, Filesystem
from goldsmith.jobs import job_faults
from goldsmith.jobs.job import (
    InputRead,
    Job,
    JobFault,
    JobFaultKind,
    JobProgress,
    Outcome,
    StepResult,
)
from goldsmith.library.library import Library
from goldsmith.operation import Deliverable, FileOperation, Operation, PictureOperation, SetOperation
from goldsmith.picture.memory_budget import MemoryBudget
from goldsmith.picture.picture import Picture, freeze
from goldsmith.worker.detections import DetectionCache
from goldsmith.worker.engine_provider import EngineProvider, to_json
from goldsmith.worker.inputs import InputChanged, LoadedInput, load_input, paths_by_name
from goldsmith.worker.load_masks import load_masks
from goldsmith.worker.mask_proof import ChangeCount, count_original_changes, count_outside_changes, editable_region
from goldsmith.worker.scratch_folder import ScratchFolder
from goldsmith.worker.spilled_list import SpilledList, spill_pictures
from goldsmith.worker.step_context import WorkerStepContext
from goldsmith.worker.step_results import OriginalPicture, StepResults, picture_facts
from goldsmith.worker.trace import files_trace, picture_trace

_SEED_BITS = 31


def step_seed(seed: int, number: int) -> int:
    """The seed of a job's step (1-based): 31 bits of SHA-256, so that neighbouring seeds and steps have nothing in common."""
    digest = hashlib.sha256(f"{seed}/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> (32 - _SEED_BITS)


def ignore_engine_release() -> None:
    """For callers to whom it does not matter when a job is done with its engines."""


def run_job(
    job: Job,
    engine_provider: EngineProvider,
    on_progress: Callable[[JobProgress], None],
    is_cancelled: Callable[[], bool],
    fs: Filesystem | None = None,
    on_engine_released: Callable[[], None] = ignore_engine_release,
) -> Outcome:
    """The job's outcome. What no operation has promised to raise comes through: that is the lane's border to catch.

    ``landed`` is called when the last step is over that needs an engine: what is left is choosing, encoding and writing.
    """
    attempt = _JobRunner(job, engine_provider, on_progress, is_cancelled, fs or Filesystem(), on_engine_released)
    try:
        return attempt.run()
    except JobCancelled:
        return attempt.failure(job_faults.cancelled(job))
    except InputChanged as changed:
        return attempt.failure(JobFault(kind="changed", sentence=changed.sentence, path=changed.path))
    except GoldsmithError as error:
        fault = JobFault(
            kind=_fault_kind(error),
            sentence=error.sentence,
            remedy=error.remedy,
            path=attempt.current_path,
            preview_path=attempt.problem_image,
        )
        return attempt.failure(fault)
    except OSError as error:
        if error.errno not in MACHINE_ERRNOS:
            raise
        return attempt.failure(
            JobFault(kind="machine", sentence=f"{job_faults.picture_name(job)} could not be worked on: {error.strerror}.")
        )


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
    ) -> None:
        # The input at work, for a fault's path.
        self.current_path = job.asset.path
        self._job = job
        self._engine_provider = engine_provider
        self._on_progress = on_progress
        self._is_cancelled = is_cancelled
        self._fs = fs
        self._on_engine_released = on_engine_released
        self._reads: dict[str, InputRead] = {}
        self._detection_cache = DetectionCache()

    def failure(self, fault: JobFault) -> Outcome:
        return Outcome(job_id=self._job.id, fault=fault, reads=tuple(self._reads.values()))

    @property
    def problem_image(self) -> str:
        """Path of the picture that a step left to show why it failed; "" = none."""
        scratch: ScratchFolder | None = getattr(self, "_scratch", None)  # there is none yet where it was not to be made
        return "" if scratch is None else scratch.problem_image

    def run(self) -> Outcome:
        """Everything, in order."""
        job = self._job
        self._scratch = ScratchFolder(Path(job.scratch), self._fs)
        picture, masks = self._load_inputs()
        if not job.steps:
            return self._verify_only(picture)
        operations = self._engine_provider.operations(job.stage, job.steps)
        made, given, facts = StepResults([]), None, dict[str, object]()
        if not job.is_lone_brief:
            room = MemoryBudget(job.limits.max_memory_bytes, max(operation.bytes_per_pixel() for operation in operations))
            plate, facts = self._decode_picture(picture, masks, room)
            made, given = StepResults([plate]), OriginalPicture(plate)
            del plate, masks
        last = max((number for number, operation in enumerate(operations, 1) if operation.needs().engines), default=0)
        for number, operation in enumerate(operations, 1):
            try:
                self._run_step(number, operation, made)
            except InputError as problem:
                self._run_following_preflights(problem, number, operations, made)
                raise
            if number == last:
                self._on_engine_released()
        return self._write_results(given, made, facts, picture.data)

    # Reading

    def _load_inputs(self) -> tuple[LoadedInput, list[LoadedInput]]:
        """Every input read and hashed; the bytes are kept of those that are pixels."""
        pixels = []
        for given in self._job.inputs:  # a brief that stands alone is read here for its hash
            self._check_cancelled()
            self.current_path = given.path
            loaded = load_input(self._job, given)
            self._reads[given.path] = loaded.read
            if given is self._job.asset or given.role in ("mask", "keep"):
                pixels.append(loaded)
        self.current_path = self._job.asset.path
        return pixels[0], pixels[1:]

    def _verify_only(self, picture: LoadedInput) -> Outcome:
        """Nothing is asked: the file is only looked at, to the end, and goes on as it is."""
        from goldsmith.picture.codec import verify

        facts = asdict(verify(picture.data, picture.name, self._job.limits.max_pixels))
        return self._unchanged_outcome(picture.data, facts)

    def _unchanged_outcome(self, data: bytes, facts: Mapping[str, object], results: StepResults | None = None) -> Outcome:
        """The file itself goes on. The archive wants its bytes only if a person put them there."""
        original = "" if self._job.asset.sha256 else str(self._scratch.write_file("original", data))
        return self._success(results or StepResults([]), facts, unchanged=True, original=original)

    def _decode_picture(self, picture: LoadedInput, masks: Sequence[LoadedInput], room: MemoryBudget) -> tuple[Picture, dict[str, object]]:
        from goldsmith.picture.codec import decode_with_info, verify

        plate, facts = decode_with_info(picture.data, picture.name, self._job.limits.max_pixels, room)
        if facts.frames > 1:
            verify(picture.data, picture.name, self._job.limits.max_pixels)  # a file is whole when its last frame is
        named = load_masks(self._job, masks, plate, self._begin_reading, room)
        self.current_path = self._job.asset.path
        return replace(plate, masks=MappingProxyType(named)), asdict(facts)

    def _begin_reading(self, loaded: LoadedInput) -> None:
        self._check_cancelled()
        self.current_path = loaded.source.path

    # Working

    def _run_step(self, number: int, operation: Operation, results: StepResults) -> None:
        spec = self._job.steps[number - 1]
        context = self._step_context(number, spec.op, operation.bytes_per_pixel())
        context.progress.report(0.0)
        begun = perf_counter()
        masks = operation.needs().masks
        self._require_masks(masks, results.pictures, number, spec.op)
        try:
            files = self._apply_operation(operation, context, results, number)
        except InputError as problem:
            raise InputError(f"{self._job.stage}.{number} ({spec.op}): {problem.sentence}", problem.remedy) from problem
        results.used_masks |= masks
        results.used_files += context.step_record.used_files
        settings = operation.model_dump(mode="json")
        seconds = perf_counter() - begun
        left = files_trace(files) if isinstance(operation, FileOperation) else picture_trace(results.pictures)
        done = StepResult(
            op=spec.op,
            settings=settings,
            seed=context.seed,
            seconds=seconds,
            findings=context.step_record.findings,
            engine=context.step_record.engines(),
            picture_hash=left,
        )
        results.steps.append(done)

    def _run_following_preflights(self, problem: InputError, number: int, operations: Sequence[Operation], results: StepResults) -> None:
        """Where a judge found faults: raises InputError with those that judges right behind it find, so that all is mended at once."""
        said = [problem.sentence]
        for later in range(number, len(operations) + 1):
            operation = operations[later - 1]
            if not (isinstance(operation, FileOperation) and operation.is_preflight):
                break
            try:
                if later > number:
                    self._run_step(later, operation, results)
            except InputError as other:
                said.append(other.sentence)
        if len(said) > 1:
            raise InputError(" ".join(said), problem.remedy) from problem

    def _apply_operation(
        self, operation: Operation, context: WorkerStepContext, results: StepResults, number: int
    ) -> Sequence[Deliverable]:
        """Does the step; the files that it made, which are written then."""
        if not results.pictures and operation.needs().needs_picture:
            raise InputError(
                f"It needs a picture, and {job_faults.picture_name(self._job)} comes without one.", "Put the picture beside it."
            )
        if isinstance(operation, PictureOperation):
            self._replace_pictures(results, (self._apply_and_verify(operation, plate, context) for plate in results.pictures), number)
        elif isinstance(operation, SetOperation):
            self._replace_pictures(results, operation.apply_set(results.pictures, context), number)
            if not results.pictures:
                raise InputError(f"It left no picture of {job_faults.picture_name(self._job)} over.", "Ask less of it.")
        elif isinstance(operation, FileOperation):
            files = [file for plate in results.pictures for file in operation.make_files(plate, context)]
            for file in files:
                self._check_cancelled()
                self._scratch.add_output("deliverable", file.tail + file.suffix, file.data, _to_json_facts(file.facts))
            results.file_count += len(files)
            return files
        return ()

    def _replace_pictures(self, results: StepResults, pictures: Iterable[Picture], number: int) -> None:
        """The pictures that go on take the place of those that came in."""
        before, results.pictures = results.pictures, spill_pictures(pictures, self._scratch, f"set-{number}")
        if isinstance(before, SpilledList):
            before.delete_files()

    def _step_context(self, number: int, op: str, bytes_per_pixel: int) -> WorkerStepContext:
        def say(fraction: float, note: str) -> None:
            self._check_cancelled()
            self._on_progress(JobProgress(job_id=self._job.id, step=number, op=op, fraction=fraction, note=note))

        library = Library(Path(self._job.root))
        seed = step_seed(self._job.seed, number)
        return WorkerStepContext(
            self._job,
            self._engine_provider,
            self._scratch,
            library,
            self._reads,
            say,
            seed,
            detection_cache=self._detection_cache,
            bytes_per_pixel=bytes_per_pixel,
        )

    def _apply_and_verify(self, operation: PictureOperation, picture: Picture, context: WorkerStepContext) -> Picture:
        """The picture after the step, with the proof of law 4 on record where the step uses masks."""
        after = operation.apply(picture, context)
        stands = operation.origin_in_result(picture)
        if stands is not None and after is not picture:
            self._require_original_unchanged(count_original_changes(picture, after, stands), context)
        where = getattr(operation, "where", None)
        if after is picture and isinstance(where, str) and where and not context.detect.is_region_known(where, picture):
            return after
        mask = editable_region(operation, picture, context)
        if mask is None or (after.height, after.width) != (picture.height, picture.width):
            return after
        count = count_outside_changes(picture, after, mask)
        context.results.record(outside_pixels=count.pixels, outside_changed=count.changed)
        if count.changed:
            raise InputError(
                f"It changed {count.changed} pixels of {job_faults.picture_name(self._job)} outside the mask, so its result is thrown away.",
                "This is a fault of the operation or its engine: try another model.",
            )
        return after

    def _require_original_unchanged(self, count: ChangeCount, context: WorkerStepContext) -> None:
        context.results.record(old_pixels=count.pixels, old_changed=count.changed)
        if count.changed:
            raise InputError(
                f"It changed {count.changed} pixels of {job_faults.picture_name(self._job)} itself, so its result is thrown away.",
                "This is a fault of the operation or its engine: try another model.",
            )

    def _require_masks(self, masks: frozenset[str], pictures: Sequence[Picture], number: int, op: str) -> None:
        missing = sorted(name for name in masks if any(name not in plate.masks for plate in pictures))
        if missing:
            stem = Path(self._job.asset.path).stem
            file = f"{stem}.mask.png" if missing[0] == "mask" else f"{stem}.mask.{missing[0]}.png"
            raise InputError(
                f"{self._job.stage}.{number} ({op}) needs the mask {file}, and it is not there.", "Paint it, white where to change."
            )

    def _check_cancelled(self) -> None:
        if self._is_cancelled():
            raise JobCancelled

    # Results

    def _write_results(
        self, original: OriginalPicture | None, results: StepResults, facts: Mapping[str, object], picture: bytes
    ) -> Outcome:
        """What goes on: the picture (itself, byte for byte, where no pixel changed), masks at a new geometry, deliverables."""
        from goldsmith.picture.codec import OUTPUT_SUFFIXES, EncodingOptions, encode

        if len(results.pictures) > 1:
            raise InputError(
                f"The steps leave {len(results.pictures)} pictures of {job_faults.picture_name(self._job)}.", "Let a select step pick one."
            )
        plate = results.pictures[0]
        if self._job.deliver and results.file_count:
            return self._success(results, facts)
        self._check_cancelled()
        if original is not None and not self._job.deliver:
            self._write_unused_masks(original.without_pixels, plate, results)
        if original is not None and original.is_same_picture(plate):
            return self._unchanged_outcome(picture, facts, results)
        data = encode(plate, EncodingOptions(format=self._job.working, depth=plate.depth))
        self._scratch.add_output("picture", OUTPUT_SUFFIXES[self._job.working], data, {**picture_facts(plate), "format": self._job.working})
        return self._success(results, facts)

    def _write_unused_masks(self, before: Picture, after: Picture, results: StepResults) -> None:
        """A mask that no step used and that has another geometry now is written anew; its old files have had their day."""
        from goldsmith.picture.codec import EncodingOptions, encode

        files = paths_by_name(self._job.inputs, "mask", "keep")
        for name, mask in sorted(after.masks.items()):
            old = before.masks.get(name)
            if name in results.used_masks or old is mask or (old is not None and np.array_equal(old, mask)):
                continue
            tail = ".mask.png" if name == "mask" else f".mask.{name}.png"
            data = encode(Picture(pixels=freeze(mask[:, :, None]), depth=16), EncodingOptions(format="png", depth=16))
            self._scratch.add_output("mask", tail, data, {"width": after.width, "height": after.height, "depth": 16})
            results.used_files += files.get(name, ())

    def _success(self, results: StepResults, facts: Mapping[str, object], unchanged: bool = False, original: str = "") -> Outcome:
        self._check_cancelled()
        self._scratch.sync_folder()
        files = paths_by_name(self._job.inputs, "mask", "keep")
        used = [*(path for name in sorted(results.used_masks) for path in files.get(name, ())), *results.used_files]
        return Outcome(
            job_id=self._job.id,
            reads=tuple(self._reads.values()),
            is_unchanged=unchanged,
            original_copy=original,
            outputs=self._scratch.outputs,
            consumed_masks=tuple(sorted(results.used_masks)),
            consumed_files=tuple(dict.fromkeys(used)),
            steps=tuple(results.steps),
            facts=_to_json_facts(facts),
        )


def _to_json_facts(facts: Mapping[str, object]) -> dict[str, JsonValue]:
    return {name: to_json(value) for name, value in facts.items()}
