"""Runs a delivery again, stage by stage, in a folder of its own: what a stage made is what the next one works on.

Neither the stages' folders nor the journal are written to. Everything that is decoded is decoded in a lane.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from goldsmith.brief.steps import Step
from goldsmith.errors import Problem
from goldsmith.files import MACHINE_ERRNOS, Sig, display_name
from goldsmith.jobs.job import Input, Job, Outcome, StepSpec
from goldsmith.pipeline.replay.comparison import Beside
from goldsmith.pipeline.replay.record import Delivery, InputRecord, OutputRecord, StageRecord, StepRecord
from goldsmith.pipeline.replay.report import Report, Rerun, report
from goldsmith.pipeline.replay.runs import Runs, Tell
from goldsmith.pipeline.replay.sources import Missing, Sources
from goldsmith.pipeline.scheduler.limits import Allowances
from goldsmith.pipeline.workers.queues import Lanes


class Replay:
    """One manifest run again.

    ``beside``: the folder it lies in, with the deliverables. ``lanes`` take their operations from ``compare.CATALOGUE``. ``room`` is an
    empty folder, where everything is made.
    """

    def __init__(self, root: Path, delivery: Delivery, beside: Path, lanes: Lanes, allowances: Allowances, room: Path, tell: Tell) -> None:
        self._delivery = delivery
        self._allowances = allowances
        self._room = room
        self._runs = Runs(lanes, tell)
        self._then = Beside(beside, self._runs, allowances.base, room)
        self._sources = Sources(root, allowances.base.memory_bytes // 2)
        self._there: dict[str, Path] = {}
        """By the hash on record, the file that stands for it here: an original, or what this run made in its place."""

    def run(self) -> Report:
        """Everything again. Raises Missing with all that is not to be had, Problem where a stage fails now, MachineFault."""
        self._gather()
        reruns = [self._stage(number, stage) for number, stage in enumerate(self._delivery.stages, 1)]
        delivered = {output.sha256 for output in reruns[-1].then.outputs}
        made = {sha256: path for sha256, path in self._there.items() if sha256 in delivered}
        return report(reruns, [self._then.laid_beside(each, made.get(each.sha256)) for each in self._delivery.deliverables])

    # ------------------------------------------------------------------ what it was made of

    def _gather(self) -> None:
        """Every original from the archive, and every file of the library; all that is missing is said at once."""
        places = self._places()
        made: set[str] = set()
        missing: dict[str, None] = {}
        for number, stage in enumerate(self._delivery.stages, 1):
            for given in stage.given:
                if given.sha256 not in made and given.sha256 not in self._there:
                    self._there[given.sha256] = self._room / "originals" / given.sha256
                    self._attempt(missing, lambda given=given: self._original(given, places))  # type: ignore[misc]
            for name in dict.fromkeys(name for step in stage.steps for name in step.references if "/" in name):
                self._attempt(missing, lambda name=name, number=number: self._shelved(name, number))  # type: ignore[misc]
            made |= {output.sha256 for output in stage.outputs}
        if missing:
            raise Missing("\n".join(missing), "Put it back where it was, and nothing else in its place.")

    def _attempt(self, missing: dict[str, None], take: Callable[[], None]) -> None:
        try:
            take()
        except Missing as fault:
            missing[fault.sentence] = None

    def _original(self, given: InputRecord, places: Mapping[str, list[str]]) -> None:
        self._sources.original(given.path, given.sha256, places.get(given.sha256, []), self._there[given.sha256])

    def _shelved(self, name: str, number: int) -> None:
        self._sources.shelved(name, self._folder(number) / "library" / name)

    def _places(self) -> dict[str, list[str]]:
        """Where the record says that files were put, by their hashes."""
        found: dict[str, list[str]] = {}
        for stage in self._delivery.stages:
            for given in stage.inputs:
                if given.path in stage.archived:
                    found.setdefault(given.sha256, []).append(stage.archived[given.path])
        return found

    # ------------------------------------------------------------------ one stage

    def _folder(self, number: int) -> Path:
        return self._room / f"{number}-{self._delivery.stages[number - 1].stage}"

    def _stage(self, number: int, then: StageRecord) -> Rerun:
        folder = self._folder(number)
        inputs = tuple(self._given(folder, given) for given in then.given)
        job = Job(
            id=f"replay-{number}",
            root=str(folder),
            stage=then.stage,
            lane=then.lane,
            stem=then.stem,
            inputs=inputs,
            steps=self._specs(number),
            prompt=then.prompt,
            seed=then.seed,
            mask_fit=then.mask_fit,
            working=then.working,
            deliver=then.deliver,
            scratch=str(self._room / f"made-{number}"),
            limits=self._allowances.base,
        )
        outcome = self._runs.outcome(self._allowances.granted(job, self._delivery.steps[number - 1]), then.stage)
        made = _made(job, outcome)
        for output in then.outputs:
            mine = _like(output, made)
            if mine is not None:
                self._there[output.sha256] = made[mine]
        return Rerun(then, outcome, tuple(made))

    def _specs(self, number: int) -> tuple[StepSpec, ...]:
        """The steps as recorded; a step for which the house would choose another model today asks for its own by name."""
        stage, steps = self._delivery.stages[number - 1], self._delivery.steps[number - 1]
        pairs = zip(stage.specs, stage.steps, steps, strict=True)
        return tuple(_with_model(spec, self._elsewhere(then, step)) for spec, then, step in pairs)

    def _elsewhere(self, then: StepRecord, step: Step) -> str:
        """The model that did the work, where it is not the one that the settings lead to now; else ""."""
        need, name = next(iter(step.operation.needs().engines), None), (then.engine or {}).get("name")
        if need is None or "model" not in then.settings or not isinstance(name, str):
            return ""
        try:
            return name if self._allowances.weights.choose(need).name != name else ""
        except Problem:
            return name

    def _given(self, folder: Path, given: InputRecord) -> Input:
        """The file in its old place, in a folder of this stage's own."""
        source, path = self._there.get(given.sha256), folder / given.path
        if source is None:
            raise Problem(f"{display_name(given.path)} was made by the stage before, and is not made by it any more.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)  # no link: two inputs may be one file by their bytes, and a link changes the other's times
        except OSError as error:
            if error.errno in MACHINE_ERRNOS:
                raise
            raise Problem(f"{display_name(given.path)} cannot lie beside what else the record names: {error.strerror}.") from error
        # No hash: what was made anew is not what was once put down. What comes from the archive has been compared.
        return Input(role=given.role, name=given.name, path=given.path, sig=Sig.of(os.lstat(path)))

    # ------------------------------------------------------------------ what is kept

    def keep(self, came: Report, folder: Path) -> None:
        """Copy what was made now into a folder, under the names of the deliverables."""
        for deliverable in came.deliverables:
            made = self._there.get(deliverable.sha256_then)
            if deliverable.sha256_now and made is not None:
                shutil.copyfile(made, folder / deliverable.file)


def _with_model(spec: StepSpec, name: str) -> StepSpec:
    return spec.model_copy(update={"settings": {**spec.settings, "model": name}}) if name else spec


def _made(job: Job, outcome: Outcome) -> dict[OutputRecord, Path]:
    """What a stage left, in the words of the record; the picture itself where no byte of it was changed."""
    made: dict[OutputRecord, Path] = {}
    if outcome.unchanged:
        picture = job.picture
        sha256 = next(read.sha256 for read in outcome.reads if read.path == picture.path)
        tail = os.path.splitext(picture.path)[1]
        made[OutputRecord(role="picture", tail=tail, sha256=sha256)] = Path(job.root, picture.path)
    for output in outcome.outputs:
        made[OutputRecord(role=output.role, tail=output.tail, sha256=output.sha256)] = Path(output.path)
    return made


def _like(then: OutputRecord, made: Mapping[OutputRecord, Path]) -> OutputRecord | None:
    """What stands for a recorded output now: what is called alike, and for the picture that goes on the picture that goes on."""
    alike = [each for each in made if each.role == then.role and (each.role == "picture" or each.tail == then.tail)]
    return alike[0] if alike else None
