"""The line as data: which folder each stage reads, which comes next, and what a stage does when a brief says nothing.

``config/pipeline.toml``::

    [[stage]]
    name = "edit"
    folder = "selected"
    next = "masked"
    queue = "gpu"
    steps = ["inpaint", "erase", "upscale"]      # operations allowed here; "*" = all
    default = []                                 # run when a brief passes through without speaking of the stage
    with_mask = [{ op = "inpaint", where = "mask" }]   # run for a picture with a bare mask
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from goldsmith.brief.parsing import (
    BriefError,
    BriefProblem,
    ConfigError,
    did_you_mean,
    quote_value,
    read_toml,
)
from goldsmith.brief.steps import OperationCatalogue, Step, StepReader
from goldsmith.brief.validation_messages import validation_problems
from goldsmith.files import fold_name, is_ignored_file, is_ignored_folder
from goldsmith.ops import catalogue as all_operations

__all__ = [
    "RESERVED_FOLDERS",
    "RESERVED_STAGE_NAMES",
    "Pipeline",
    "Stage",
    "Step",
    "missing_layer",
    "missing_mask_sentence",
    "read_pipeline",
]

RESERVED_FOLDERS = frozenset({"library", "archive", "review", "config", ".goldsmith"})
RESERVED_STAGE_NAMES = frozenset({"title", "prompt", "recipe", "seed", "working", "mask", "resolved", "stage"})

_Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


@dataclass(frozen=True, slots=True)
class Stage:
    """One row of the line."""

    name: str
    folder: str
    next_folder: str
    queue: str
    # Words of the operations allowed here; None = all.
    allowed_ops: frozenset[str] | None
    default_steps: tuple[Step, ...] = ()
    mask_steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The stages in order. The last stage's ``next`` is where deliverables land."""

    stages: tuple[Stage, ...]

    def stage_of_folder(self, folder: str) -> Stage | None:
        """The stage that works on what lies in ``folder``."""
        return next((stage for stage in self.stages if stage.folder == folder), None)

    def stage_named(self, name: str) -> Stage | None:
        return next((stage for stage in self.stages if stage.name == name), None)

    def index_of(self, name: str) -> int:
        """How far down the line the stage of that name is, from 0; -1 where there is none."""
        return next((number for number, stage in enumerate(self.stages) if stage.name == name), -1)

    @property
    def folders(self) -> tuple[str, ...]:
        """Every folder on the line, in order, the last one (where nothing more happens) included."""
        return (*(stage.folder for stage in self.stages), self.stages[-1].next_folder)

    @property
    def final_folder(self) -> str:
        """The folder at the end of the line."""
        return self.stages[-1].next_folder


def missing_mask_sentence(stage: str, steps: Collection[Step], mask_names: Collection[str]) -> str:
    """The sentence that says which mask a stage's steps still wait for; "" where all are ``present``."""
    there = {fold_name(name) for name in mask_names}
    for number, step in enumerate(steps, 1):
        lacking = sorted(name for name in step.operation.needs().masks if fold_name(name) not in there)
        if lacking:
            which = "a mask" if lacking[0] == "mask" else f"the mask “{lacking[0]}”"
            return f"waiting for {which} (step {number} of {stage} needs {'one' if lacking[0] == 'mask' else 'it'})"
    return ""


def missing_layer(stage: str, steps: Collection[Step], has_layer: Callable[[str], bool]) -> tuple[str, str]:
    """The first layer that a stage's steps still wait for, and the sentence that says so; ("", "") where all are ``present``."""
    for number, step in enumerate(steps, 1):
        for name in sorted(step.operation.needs().layers):
            if not has_layer(name):
                return name, f"waiting for the layer “{name}” (step {number} of {stage} needs it)"
    return "", ""


class _StageRow(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: _Identifier
    folder: str
    next: str
    queue: _Identifier = "cpu"
    steps: tuple[str, ...] | str = "*"
    default: list[dict[str, object]] = []
    with_mask: list[dict[str, object]] = []


def read_pipeline(data: bytes, file: str, catalogue: OperationCatalogue | None = None) -> Pipeline:
    """The line in a TOML file called ``file``. Raises ConfigError with everything that is wrong."""
    known = all_operations() if catalogue is None else catalogue
    try:
        values = read_toml(data, file)
    except BriefError as fault:
        raise ConfigError(file, fault.problems) from None
    faults: list[BriefProblem] = [BriefProblem(key, f"is not known here{did_you_mean(key, ['stage'])}") for key in values if key != "stage"]
    rows = _read_rows(values.get("stage", []), faults)
    stages = tuple(_read_stage(f"stage.{number}", row, known, faults) for number, row in rows.items())
    if not faults:
        _check_order(stages, faults)
    if faults:
        raise ConfigError(file, faults)
    return Pipeline(stages)


def _read_rows(raw: object, problems: list[BriefProblem]) -> dict[int, _StageRow]:
    if not isinstance(raw, list) or not raw or not all(isinstance(one, dict) for one in raw):
        problems.append(BriefProblem("stage", "is missing: each stage is written as [[stage]] with its name, folder and next folder."))
        return {}
    rows: dict[int, _StageRow] = {}
    for number, one in enumerate(raw, 1):
        try:
            rows[number] = _StageRow.model_validate(one)
        except ValidationError as error:
            problems += validation_problems(error, one, f"stage.{number}", _StageRow)
    return rows


def _read_stage(location: str, row: _StageRow, catalogue: OperationCatalogue, problems: list[BriefProblem]) -> Stage:
    if row.name in RESERVED_STAGE_NAMES:
        problems.append(BriefProblem(f"{location}.name", f"is {quote_value(row.name)}, which already means something else in a brief."))
    for key, folder in (("folder", row.folder), ("next", row.next)):
        wrong = _folder_name_error(folder)
        if wrong:
            problems.append(BriefProblem(f"{location}.{key}", f"is {quote_value(folder)}: {wrong}."))
    if isinstance(row.steps, str) and row.steps != "*":
        problems.append(
            BriefProblem(f"{location}.steps", f'is {quote_value(row.steps)}, but must be a list of operations, or "*" for all.')
        )
    allowed = None if isinstance(row.steps, str) else frozenset(row.steps)
    for word in sorted(allowed or ()):
        if word not in catalogue:
            problems.append(
                BriefProblem(f"{location}.steps", f"has {quote_value(word)}, but there is no such operation{did_you_mean(word, catalogue)}")
            )
    reader = StepReader(catalogue, problems, source="config/pipeline.toml")
    default = reader.read_steps(f"{location}.default", row.default, allowed)
    with_mask = reader.read_steps(f"{location}.with_mask", row.with_mask, allowed)
    return Stage(row.name, row.folder, row.next, row.queue, allowed, default, with_mask)


def _folder_name_error(folder: str) -> str:
    """Why no stage can have that folder; "" where it can."""
    if not folder.strip() or folder != folder.strip() or len(folder.encode()) > 200 or not folder.isprintable():
        return "that is no folder's name"
    if "/" in folder or "\\" in folder or ":" in folder:
        return "a stage's folder lies directly in the root, so it is one name without slashes"
    if folder.startswith(".") or is_ignored_file(folder) or is_ignored_folder(folder):
        return "files in such a folder are never taken"
    return "that folder has another meaning" if fold_name(folder) in RESERVED_FOLDERS else ""


def _check_order(stages: tuple[Stage, ...], problems: list[BriefProblem]) -> None:
    """Names and folders once each; each stage's next folder is the one that the next stage reads."""
    seen: dict[str, Mapping[str, int]] = {"name": {}, "folder": {}}
    for number, stage in enumerate(stages, 1):
        for key, value in (("name", stage.name), ("folder", stage.folder)):
            before = seen[key].get(fold_name(value))
            if before is not None:
                problems.append(BriefProblem(f"stage.{number}.{key}", f"is {quote_value(value)}, which stage.{before} has already."))
            seen[key] = {fold_name(value): number, **seen[key]}
    read = {fold_name(stage.folder): number for number, stage in reversed(list(enumerate(stages, 1)))}
    for number, (stage, follower) in enumerate(zip(stages, [*stages[1:], None], strict=True), 1):
        earlier = read.get(fold_name(stage.next_folder))
        if earlier is not None and earlier <= number:
            told = f"is {quote_value(stage.next_folder)}, which stage.{earlier} reads: the line would run in a circle."
            problems.append(BriefProblem(f"stage.{number}.next", told))
        elif follower is not None and stage.next_folder != follower.folder:
            told = f"is {quote_value(stage.next_folder)}, but the stage below it reads {quote_value(follower.folder)}: they must be the same folder."
            problems.append(BriefProblem(f"stage.{number}.next", told))
