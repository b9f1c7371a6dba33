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
    Cancelled,
    DeviceFault,
    GoldsmithError,
    Incomplete,
    MachineFault,
    Problem,
)
from goldsmith.files import MACHINE_ERRNOS, Filesystem
from goldsmith.jobs import faults
from goldsmith.jobs.job import (
    Fault,
    FaultKind,
    Job,
    Outcome,
    Progress,
    Read,
    StepDone,
)
from goldsmith.library.library import Library
from goldsmith.operation import Deliverable, FileOperation, Operation, PlateOperation, SetOperation
from goldsmith.picture.picture import Plate, frozen
from goldsmith.picture.room import Room
from goldsmith.worker.attempt_state import Given, Made, facts_of
from goldsmith.worker.detections import Memory
from goldsmith.worker.inputs import Changed, Loaded, load, paths_of
from goldsmith.worker.masks import named_masks
from goldsmith.worker.proof import Count, count_old, count_outside, reach
from goldsmith.worker.results import Scratch
from goldsmith.worker.spilled_list import Shelf, shelved
from goldsmith.worker.step_context import LaneBench, Shop, plain
from goldsmith.worker.trace import trace_of, trace_of_files

_SEED_BITS = 31


def step_seed(seed: int, number: int) -> int:
    """The seed of a job's step (1-based): 31 bits of SHA-256, so that neighbouring seeds and steps have nothing in common."""
    digest = hashlib.sha256(f"{seed}/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> (32 - _SEED_BITS)


def unlanded() -> None:
    """For callers to whom it does not matter when a job is done with its engines."""


def run_job(
    job: Job,
    shop: Shop,
    report: Callable[[Progress], None],
    cancelled: Callable[[], bool],
    fs: Filesystem | None = None,
    landed: Callable[[], None] = unlanded,
) -> Outcome:
    """The job's outcome. What no operation has promised to raise comes through: that is the lane's border to catch.

    ``landed`` is called when the last step is over that needs an engine: what is left is choosing, encoding and writing.
    """
    attempt = _Attempt(job, shop, report, cancelled, fs or Filesystem(), landed)
    try:
        return attempt.outcome()
    except Cancelled:
        return attempt.failed(faults.cancelled(job))
    except Changed as changed:
        return attempt.failed(Fault(kind="changed", sentence=changed.sentence, path=changed.path))
    except GoldsmithError as error:
        fault = Fault(kind=_kind(error), sentence=error.sentence, remedy=error.remedy, path=attempt.at, shown=attempt.shown)
        return attempt.failed(fault)
    except OSError as error:
        if error.errno not in MACHINE_ERRNOS:
            raise
        return attempt.failed(Fault(kind="machine", sentence=f"{faults.name_of(job)} could not be worked on: {error.strerror}."))


def _kind(error: GoldsmithError) -> FaultKind:
    if isinstance(error, Incomplete):
        return "incomplete"
    if isinstance(error, DeviceFault):
        return "device"
    return "machine" if isinstance(error, MachineFault) else "problem"


class _Attempt:
    def __init__(
        self,
        job: Job,
        shop: Shop,
        report: Callable[[Progress], None],
        cancelled: Callable[[], bool],
        fs: Filesystem,
        landed: Callable[[], None],
    ) -> None:
        self.at = job.picture.path
        """The input at work, for a fault's path."""
        self._job = job
        self._shop = shop
        self._report = report
        self._cancelled = cancelled
        self._fs = fs
        self._landed = landed
        self._reads: dict[str, Read] = {}
        self._sight = Memory()

    def failed(self, fault: Fault) -> Outcome:
        return Outcome(job_id=self._job.id, fault=fault, reads=tuple(self._reads.values()))

    @property
    def shown(self) -> str:
        """Path of the picture that a step left to show why it failed; "" = none."""
        scratch: Scratch | None = getattr(self, "_scratch", None)  # there is none yet where it was not to be made
        return "" if scratch is None else scratch.shown

    def outcome(self) -> Outcome:
        """Everything, in order."""
        job = self._job
        self._scratch = Scratch(Path(job.scratch), self._fs)
        picture, masks = self._load()
        if not job.steps:
            return self._untouched(picture)
        operations = self._shop.operations(job.stage, job.steps)
        made, given, facts = Made([]), None, dict[str, object]()
        if not job.alone:
            room = Room(job.limits.memory_bytes, max(operation.weighs() for operation in operations))
            plate, facts = self._decoded(picture, masks, room)
            made, given = Made([plate]), Given(plate)
            del plate, masks
        last = max((number for number, operation in enumerate(operations, 1) if operation.needs().engines), default=0)
        for number, operation in enumerate(operations, 1):
            try:
                self._step(number, operation, made)
            except Problem as problem:
                self._ask_those_behind(problem, number, operations, made)
                raise
            if number == last:
                self._landed()
        return self._results(given, made, facts, picture.data)

    # Reading

    def _load(self) -> tuple[Loaded, list[Loaded]]:
        """Every input read and hashed; the bytes are kept of those that are pixels."""
        pixels = []
        for given in self._job.inputs:  # a brief that stands alone is read here for its hash
            self._pulse()
            self.at = given.path
            loaded = load(self._job, given)
            self._reads[given.path] = loaded.read
            if given is self._job.picture or given.role in ("mask", "keep"):
                pixels.append(loaded)
        self.at = self._job.picture.path
        return pixels[0], pixels[1:]

    def _untouched(self, picture: Loaded) -> Outcome:
        """Nothing is asked: the file is only looked at, to the end, and goes on as it is."""
        from goldsmith.picture.codec import verify

        facts = asdict(verify(picture.data, picture.name, self._job.limits.pixels))
        return self._passed(picture.data, facts)

    def _passed(self, data: bytes, facts: Mapping[str, object], made: Made | None = None) -> Outcome:
        """The file itself goes on. The archive wants its bytes only if a person put them there."""
        original = "" if self._job.picture.sha256 else str(self._scratch.put("original", data))
        return self._done(made or Made([]), facts, unchanged=True, original=original)

    def _decoded(self, picture: Loaded, masks: Sequence[Loaded], room: Room) -> tuple[Plate, dict[str, object]]:
        from goldsmith.picture.codec import decoded, verify

        plate, facts = decoded(picture.data, picture.name, self._job.limits.pixels, room)
        if facts.frames > 1:
            verify(picture.data, picture.name, self._job.limits.pixels)  # a file is whole when its last frame is
        named = named_masks(self._job, masks, plate, self._turn_to, room)
        self.at = self._job.picture.path
        return replace(plate, masks=MappingProxyType(named)), asdict(facts)

    def _turn_to(self, loaded: Loaded) -> None:
        self._pulse()
        self.at = loaded.given.path

    # Working

    def _step(self, number: int, operation: Operation, made: Made) -> None:
        spec = self._job.steps[number - 1]
        bench = self._bench(number, spec.op, operation.weighs())
        bench.progress(0.0)
        begun = perf_counter()
        masks = operation.needs().masks
        self._require(masks, made.plates, number, spec.op)
        try:
            files = self._work(operation, bench, made, number)
        except Problem as problem:
            raise Problem(f"{self._job.stage}.{number} ({spec.op}): {problem.sentence}", problem.remedy) from problem
        made.used_masks |= masks
        made.used += bench.used
        settings = operation.model_dump(mode="json")
        seconds = perf_counter() - begun
        left = trace_of_files(files) if isinstance(operation, FileOperation) else trace_of(made.plates)
        done = StepDone(op=spec.op, settings=settings, seed=bench.seed, seconds=seconds, findings=bench.findings, engine=bench.engines())
        made.steps.append(done.model_copy(update={"trace": left}))

    def _ask_those_behind(self, problem: Problem, number: int, operations: Sequence[Operation], made: Made) -> None:
        """Where a judge found faults: raises Problem with those that judges right behind it find, so that all is mended at once."""
        said = [problem.sentence]
        for later in range(number, len(operations) + 1):
            operation = operations[later - 1]
            if not (isinstance(operation, FileOperation) and operation.judges):
                break
            try:
                if later > number:
                    self._step(later, operation, made)
            except Problem as other:
                said.append(other.sentence)
        if len(said) > 1:
            raise Problem(" ".join(said), problem.remedy) from problem

    def _work(self, operation: Operation, bench: LaneBench, made: Made, number: int) -> Sequence[Deliverable]:
        """Does the step; the files that it made, which are written then."""
        if not made.plates and operation.needs().picture:
            raise Problem(f"It needs a picture, and {faults.name_of(self._job)} comes without one.", "Put the picture beside it.")
        if isinstance(operation, PlateOperation):
            self._exchange(made, (self._applied(operation, plate, bench) for plate in made.plates), number)
        elif isinstance(operation, SetOperation):
            self._exchange(made, operation.apply_set(made.plates, bench), number)
            if not made.plates:
                raise Problem(f"It left no picture of {faults.name_of(self._job)} over.", "Ask less of it.")
        elif isinstance(operation, FileOperation):
            files = [file for plate in made.plates for file in operation.make(plate, bench)]
            for file in files:
                self._pulse()
                self._scratch.output("deliverable", file.tail + file.suffix, file.data, _jsonable(file.facts))
            made.files += len(files)
            return files
        return ()

    def _exchange(self, made: Made, plates: Iterable[Plate], number: int) -> None:
        """The plates that go on take the place of those that came in."""
        before, made.plates = made.plates, shelved(plates, self._scratch, f"set-{number}")
        if isinstance(before, Shelf):
            before.clear()

    def _bench(self, number: int, op: str, weighs: int) -> LaneBench:
        def say(fraction: float, note: str) -> None:
            self._pulse()
            self._report(Progress(job_id=self._job.id, step=number, op=op, fraction=fraction, note=note))

        library = Library(Path(self._job.root))
        seed = step_seed(self._job.seed, number)
        return LaneBench(self._job, self._shop, self._scratch, library, self._reads, say, seed, sight=self._sight, weighs=weighs)

    def _applied(self, operation: PlateOperation, plate: Plate, bench: LaneBench) -> Plate:
        """The plate after the step, with the proof of law 4 on record where the step uses masks."""
        after = operation.apply(plate, bench)
        stands = operation.stands(plate)
        if stands is not None and after is not plate:
            self._prove_old(count_old(plate, after, stands), bench)
        where = getattr(operation, "where", None)
        if after is plate and isinstance(where, str) and where and not bench.knows(where, plate):
            return after
        mask = reach(operation, plate, bench)
        if mask is None or (after.height, after.width) != (plate.height, plate.width):
            return after
        count = count_outside(plate, after, mask)
        bench.record(outside_pixels=count.pixels, outside_changed=count.changed)
        if count.changed:
            raise Problem(
                f"It changed {count.changed} pixels of {faults.name_of(self._job)} outside the mask, so its result is thrown away.",
                "This is a fault of the operation or its engine: try another model.",
            )
        return after

    def _prove_old(self, count: Count, bench: LaneBench) -> None:
        bench.record(old_pixels=count.pixels, old_changed=count.changed)
        if count.changed:
            raise Problem(
                f"It changed {count.changed} pixels of {faults.name_of(self._job)} itself, so its result is thrown away.",
                "This is a fault of the operation or its engine: try another model.",
            )

    def _require(self, masks: frozenset[str], plates: Sequence[Plate], number: int, op: str) -> None:
        missing = sorted(name for name in masks if any(name not in plate.masks for plate in plates))
        if missing:
            stem = Path(self._job.picture.path).stem
            file = f"{stem}.mask.png" if missing[0] == "mask" else f"{stem}.mask.{missing[0]}.png"
            raise Problem(
                f"{self._job.stage}.{number} ({op}) needs the mask {file}, and it is not there.", "Paint it, white where to change."
            )

    def _pulse(self) -> None:
        if self._cancelled():
            raise Cancelled

    # Results

    def _results(self, given: Given | None, made: Made, facts: Mapping[str, object], picture: bytes) -> Outcome:
        """What goes on: the picture (itself, byte for byte, where no pixel changed), masks at a new geometry, deliverables."""
        from goldsmith.picture.codec import SUFFIXES, Encoding, encode

        if len(made.plates) > 1:
            raise Problem(f"The steps leave {len(made.plates)} pictures of {faults.name_of(self._job)}.", "Let a select step pick one.")
        plate = made.plates[0]
        if self._job.deliver and made.files:
            return self._done(made, facts)
        self._pulse()
        if given is not None and not self._job.deliver:
            self._travelling_masks(given.bare, plate, made)
        if given is not None and given.is_still(plate):
            return self._passed(picture, facts, made)
        data = encode(plate, Encoding(format=self._job.working, depth=plate.depth))
        self._scratch.output("picture", SUFFIXES[self._job.working], data, {**facts_of(plate), "format": self._job.working})
        return self._done(made, facts)

    def _travelling_masks(self, before: Plate, after: Plate, made: Made) -> None:
        """A mask that no step used and that has another geometry now is written anew; its old files have had their day."""
        from goldsmith.picture.codec import Encoding, encode

        files = paths_of(self._job.inputs, "mask", "keep")
        for name, mask in sorted(after.masks.items()):
            old = before.masks.get(name)
            if name in made.used_masks or old is mask or (old is not None and np.array_equal(old, mask)):
                continue
            tail = ".mask.png" if name == "mask" else f".mask.{name}.png"
            data = encode(Plate(pixels=frozen(mask[:, :, None]), depth=16), Encoding(format="png", depth=16))
            self._scratch.output("mask", tail, data, {"width": after.width, "height": after.height, "depth": 16})
            made.used += files.get(name, ())

    def _done(self, made: Made, facts: Mapping[str, object], unchanged: bool = False, original: str = "") -> Outcome:
        self._pulse()
        self._scratch.seal()
        files = paths_of(self._job.inputs, "mask", "keep")
        used = [*(path for name in sorted(made.used_masks) for path in files.get(name, ())), *made.used]
        return Outcome(
            job_id=self._job.id,
            reads=tuple(self._reads.values()),
            unchanged=unchanged,
            original=original,
            outputs=self._scratch.outputs,
            used_masks=tuple(sorted(made.used_masks)),
            used=tuple(dict.fromkeys(used)),
            steps=tuple(made.steps),
            facts=_jsonable(facts),
        )


def _jsonable(facts: Mapping[str, object]) -> dict[str, JsonValue]:
    return {name: plain(value) for name, value in facts.items()}
