"""The line as data: which folder each stage reads, which comes next, and what a stage does when a brief says nothing.

``config/line.toml``::

    [[stage]]
    name = "edit"
    folder = "selected"
    next = "masked"
    lane = "gpu"
    steps = ["inpaint", "erase", "upscale"]      # operations allowed here; "*" = all
    default = []                                 # run when a brief passes through without speaking of the stage
    with_mask = [{ op = "inpaint", where = "mask" }]   # run for a picture with a bare mask
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from goldsmith.brief.reading import (
    BriefFault,
    ConfigFault,
    Fault,
    nearest,
    read_toml,
    shown,
)
from goldsmith.brief.sentences import faults_of
from goldsmith.brief.steps import Catalogue, Step, StepReader
from goldsmith.files import fold, is_litter, is_litter_folder
from goldsmith.ops import catalogue as all_operations

__all__ = ["RESERVED_FOLDERS", "RESERVED_NAMES", "Line", "Stage", "Step", "read_line", "waits_for_layer", "waits_for_mask"]

RESERVED_FOLDERS = frozenset({"library", "archive", "review", "config", ".goldsmith"})
RESERVED_NAMES = frozenset({"title", "prompt", "recipe", "seed", "working", "mask", "resolved", "stage"})

_Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


@dataclass(frozen=True, slots=True)
class Stage:
    """One row of the line."""

    name: str
    folder: str
    next: str
    lane: str
    allowed: frozenset[str] | None
    """Words of the operations allowed here; None = all."""
    default: tuple[Step, ...] = ()
    with_mask: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """The stages in order. The last stage's ``next`` is where deliverables land."""

    stages: tuple[Stage, ...]

    def of_folder(self, folder: str) -> Stage | None:
        """The stage that works on what lies in ``folder``."""
        return next((stage for stage in self.stages if stage.folder == folder), None)

    def named(self, name: str) -> Stage | None:
        return next((stage for stage in self.stages if stage.name == name), None)

    def place(self, name: str) -> int:
        """How far down the line the stage of that name is, from 0; -1 where there is none."""
        return next((number for number, stage in enumerate(self.stages) if stage.name == name), -1)

    @property
    def folders(self) -> tuple[str, ...]:
        """Every folder on the line, in order, the last one (where nothing more happens) included."""
        return (*(stage.folder for stage in self.stages), self.stages[-1].next)

    @property
    def last(self) -> str:
        """The folder at the end of the line."""
        return self.stages[-1].next


def waits_for_mask(stage: str, steps: Collection[Step], present: Collection[str]) -> str:
    """The sentence that says which mask a stage's steps still wait for; "" where all are ``present``."""
    there = {fold(name) for name in present}
    for number, step in enumerate(steps, 1):
        lacking = sorted(name for name in step.operation.needs().masks if fold(name) not in there)
        if lacking:
            which = "a mask" if lacking[0] == "mask" else f"the mask “{lacking[0]}”"
            return f"waiting for {which} (step {number} of {stage} needs {'one' if lacking[0] == 'mask' else 'it'})"
    return ""


def waits_for_layer(stage: str, steps: Collection[Step], present: Callable[[str], bool]) -> tuple[str, str]:
    """The first layer that a stage's steps still wait for, and the sentence that says so; ("", "") where all are ``present``."""
    for number, step in enumerate(steps, 1):
        for name in sorted(step.operation.needs().layers):
            if not present(name):
                return name, f"waiting for the layer “{name}” (step {number} of {stage} needs it)"
    return "", ""


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: _Word
    folder: str
    next: str
    lane: _Word = "cpu"
    steps: tuple[str, ...] | str = "*"
    default: list[dict[str, object]] = []
    with_mask: list[dict[str, object]] = []


def read_line(data: bytes, file: str, catalogue: Catalogue | None = None) -> Line:
    """The line in a TOML file called ``file``. Raises ConfigFault with everything that is wrong."""
    known = all_operations() if catalogue is None else catalogue
    try:
        values = read_toml(data, file)
    except BriefFault as fault:
        raise ConfigFault(file, fault.faults) from None
    faults: list[Fault] = [Fault(key, f"is not known here{nearest(key, ['stage'])}") for key in values if key != "stage"]
    rows = _rows(values.get("stage", []), faults)
    stages = tuple(_stage(f"stage.{number}", row, known, faults) for number, row in rows.items())
    if not faults:
        _check_order(stages, faults)
    if faults:
        raise ConfigFault(file, faults)
    return Line(stages)


def _rows(written: object, faults: list[Fault]) -> dict[int, _Row]:
    if not isinstance(written, list) or not written or not all(isinstance(one, dict) for one in written):
        faults.append(Fault("stage", "is missing: each stage is written as [[stage]] with its name, folder and next folder."))
        return {}
    rows: dict[int, _Row] = {}
    for number, one in enumerate(written, 1):
        try:
            rows[number] = _Row.model_validate(one)
        except ValidationError as error:
            faults += faults_of(error, one, f"stage.{number}", _Row)
    return rows


def _stage(place: str, row: _Row, known: Catalogue, faults: list[Fault]) -> Stage:
    if row.name in RESERVED_NAMES:
        faults.append(Fault(f"{place}.name", f"is {shown(row.name)}, which already means something else in a brief."))
    for key, folder in (("folder", row.folder), ("next", row.next)):
        wrong = _bad_folder(folder)
        if wrong:
            faults.append(Fault(f"{place}.{key}", f"is {shown(folder)}: {wrong}."))
    if isinstance(row.steps, str) and row.steps != "*":
        faults.append(Fault(f"{place}.steps", f'is {shown(row.steps)}, but must be a list of operations, or "*" for all.'))
    allowed = None if isinstance(row.steps, str) else frozenset(row.steps)
    for word in sorted(allowed or ()):
        if word not in known:
            faults.append(Fault(f"{place}.steps", f"has {shown(word)}, but there is no such operation{nearest(word, known)}"))
    reader = StepReader(known, faults, source="config/line.toml")
    default = reader.steps(f"{place}.default", row.default, allowed)
    with_mask = reader.steps(f"{place}.with_mask", row.with_mask, allowed)
    return Stage(row.name, row.folder, row.next, row.lane, allowed, default, with_mask)


def _bad_folder(folder: str) -> str:
    """Why no stage can have that folder; "" where it can."""
    if not folder.strip() or folder != folder.strip() or len(folder.encode()) > 200 or not folder.isprintable():
        return "that is no folder's name"
    if "/" in folder or "\\" in folder or ":" in folder:
        return "a stage's folder lies directly in the root, so it is one name without slashes"
    if folder.startswith(".") or is_litter(folder) or is_litter_folder(folder):
        return "files in such a folder are never taken"
    return "that folder has another meaning" if fold(folder) in RESERVED_FOLDERS else ""


def _check_order(stages: tuple[Stage, ...], faults: list[Fault]) -> None:
    """Names and folders once each; each stage's next folder is the one that the next stage reads."""
    seen: dict[str, Mapping[str, int]] = {"name": {}, "folder": {}}
    for number, stage in enumerate(stages, 1):
        for key, value in (("name", stage.name), ("folder", stage.folder)):
            before = seen[key].get(fold(value))
            if before is not None:
                faults.append(Fault(f"stage.{number}.{key}", f"is {shown(value)}, which stage.{before} has already."))
            seen[key] = {fold(value): number, **seen[key]}
    read = {fold(stage.folder): number for number, stage in reversed(list(enumerate(stages, 1)))}
    for number, (stage, follower) in enumerate(zip(stages, [*stages[1:], None], strict=True), 1):
        earlier = read.get(fold(stage.next))
        if earlier is not None and earlier <= number:
            told = f"is {shown(stage.next)}, which stage.{earlier} reads: the line would run in a circle."
            faults.append(Fault(f"stage.{number}.next", told))
        elif follower is not None and stage.next != follower.folder:
            told = f"is {shown(stage.next)}, but the stage below it reads {shown(follower.folder)}: they must be the same folder."
            faults.append(Fault(f"stage.{number}.next", told))
