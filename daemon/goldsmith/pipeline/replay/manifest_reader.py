"""Reads the manifest of a delivery for a replay. It is not trusted, because anybody who may write to the share can edit it.

Before a job runs, everything is checked: paths must stay inside the root, archive and library, a brief must be able to name every
operation, and models.toml must define every model.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from goldsmith.brief.parsing import BriefProblem
from goldsmith.brief.steps import MAX_STEPS, OperationCatalogue, Step, StepReader
from goldsmith.errors import InputError
from goldsmith.files import display_name
from goldsmith.jobs.job import OutputRole, StepSpec
from goldsmith.picture.formats.table import WorkingFormat
from goldsmith.pipeline.commit.manifest import MANIFEST_SUFFIX
from goldsmith.pipeline.commit.naming import ARCHIVE_FOLDER
from goldsmith.root_folder import RootFolder

# The largest manifest that is read.
MAX_MANIFEST_BYTES = 16 * 2**20
_MAX_STAGES = 64
_MAX_FILES = 2000
_MAX_PATH_BYTES = 4096
_MAX_NAME_BYTES = 255
_MAX_REMARK_LENGTH = 2000
_MAX_PROBLEMS_SHOWN = 5


def _check_name(name: str) -> str:
    if name in ("", ".", "..") or "/" in name or "\0" in name or len(os.fsencode(name)) > _MAX_NAME_BYTES:
        raise ValueError("is not the name of a file")
    return name


def _check_path(path: str) -> str:
    try:
        for part in path.split("/"):
            _check_name(part)
    except ValueError as error:
        raise ValueError("is not a path inside the folders") from error
    if len(os.fsencode(path)) > _MAX_PATH_BYTES:
        raise ValueError("is too long for a path")
    return path


def _check_archive_path(path: str) -> str:
    if not _check_path(path).startswith(f"{ARCHIVE_FOLDER}/"):
        raise ValueError("is not a path in archive/")
    return path


def _check_stage_path(path: str) -> str:
    top, _, rest = _check_path(path).partition("/")
    if not rest or top.startswith(".") or top in (ARCHIVE_FOLDER, "library"):
        raise ValueError("is not a file in a folder of the pipeline")
    return path


# A file's name, without folders; undecodable bytes are surrogates.
FileName = Annotated[str, AfterValidator(_check_name)]
# A path relative to the root that never leaves it.
PathInRoot = Annotated[str, AfterValidator(_check_path)]
Sha256Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
StageName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Seed = Annotated[int, Field(ge=0, le=2**63)]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class InputRecord(_Data):
    """One input file of a stage."""

    role: Literal["picture", "mask", "keep", "look", "layer", "ref", "control", "xmp", "brief", "prompt"]
    name: str
    path: Annotated[str, AfterValidator(_check_stage_path)]
    sha256: Sha256Hex


class OutputRecord(_Data):
    """One output file of a stage: the part of its name after the stem, and its hash."""

    role: OutputRole
    tail: Annotated[str, AfterValidator(_check_name)]
    sha256: Sha256Hex


class ArchivedResult(_Data):
    """A result of a stage that went to the archive alone: a candidate, a contact sheet."""

    archived: Annotated[str, AfterValidator(_check_archive_path)]


class HandWork(_Data):
    """What a person did to a picture between two stages."""

    program: Annotated[str, Field(max_length=_MAX_NAME_BYTES)] = ""
    saved_at: Annotated[str, Field(max_length=100)] = ""


class StepRecord(_Data):
    """One step that has run."""

    op: Annotated[str, Field(max_length=64)]
    settings: dict[str, JsonValue]
    seed: Seed
    findings: dict[str, JsonValue]
    engine: dict[str, JsonValue] | None
    picture_hash: Annotated[str, Field(max_length=64)]

    @property
    def references(self) -> dict[str, str]:
        """The hashes of the files that the step used from the library or from beside the picture, by name."""
        references = self.findings.get("references")
        return {name: str(sha256) for name, sha256 in references.items()} if isinstance(references, dict) else {}


_HAND_WORK_DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "queue": "",
        "seed": 0,
        "prompt": "",
        "mask_fit": "refuse",
        "mask_from": "files",
        "working": "png",
        "deliver": False,
        "environment": {},
    }
)


class StageRecord(_Data):
    """One stage that has run, or a person's work between two stages, which no run repeats."""

    stage: StageName
    queue: Annotated[str, Field(max_length=64)]
    """"" if the file was passed on and no worker had to open it."""
    stem: FileName
    seed: Seed
    prompt: str
    title: str = ""
    creator: str = ""
    rights: str = ""
    credit: str = ""
    mask_fit: Literal["refuse", "scale"]
    mask_from: Literal["files", "alpha"]
    working: WorkingFormat
    hdr: Literal["refuse", "tonemap"] = "refuse"
    float_range: Annotated[float, Field(gt=0, le=1e9)] = 1.0
    remarks: Annotated[tuple[Annotated[str, Field(max_length=_MAX_REMARK_LENGTH)], ...], Field(max_length=_MAX_FILES)] = ()
    approved_masks: Annotated[tuple[FileName, ...], Field(max_length=_MAX_FILES)] = ()
    """The names of the masks that a person has approved as they are."""
    deliver: bool
    credential_bytes: Annotated[int, Field(ge=0, le=2**31)] = 0
    retouched: bool = False
    inputs: Annotated[tuple[InputRecord, ...], Field(min_length=1, max_length=_MAX_FILES)]
    steps: Annotated[tuple[StepRecord, ...], Field(max_length=MAX_STEPS)]
    outputs: Annotated[tuple[OutputRecord, ...], Field(max_length=_MAX_FILES)]
    archived: dict[PathInRoot, Annotated[str, AfterValidator(_check_archive_path)]]
    archive_only: Annotated[tuple[ArchivedResult, ...], Field(max_length=_MAX_FILES)] = ()
    environment: dict[str, JsonValue]
    by_hand: HandWork | None = None

    @model_validator(mode="before")
    @classmethod
    def _complete_hand_work(cls, data: Any) -> Any:
        """Add what a person's work does not have."""
        return {**_HAND_WORK_DEFAULTS, **data} if isinstance(data, dict) and data.get("by_hand") is not None else data

    @property
    def worker_inputs(self) -> tuple[InputRecord, ...]:
        """The worker's inputs, the asset first. The daemon itself reads briefs and prompts beside a picture."""
        return (self.inputs[0], *(each for each in self.inputs[1:] if each.role not in ("brief", "prompt")))

    @model_validator(mode="after")
    def _check_unique_paths(self) -> Self:
        paths = [each.path for each in self.worker_inputs]
        if len(set(paths)) < len(paths):
            raise ValueError("has the same input file twice")
        return self

    @property
    def step_specs(self) -> tuple[StepSpec, ...]:
        """The steps in the form of a job."""
        return tuple(StepSpec(op=step.op, settings=step.settings) for step in self.steps)


class DeliverableRecord(_Data):
    """One deliverable."""

    file: FileName
    sha256: Sha256Hex
    size_bytes: Annotated[int, Field(alias="bytes", ge=0)]
    unsigned_sha256: Sha256Hex | None = None
    """The hash before it was signed: each signature is another one. None if it is not signed."""


class Manifest(_Data):
    """The part of a manifest that a replay needs."""

    goldsmith: Annotated[str, Field(max_length=100)]
    delivered_at: Annotated[str, Field(max_length=100)] = ""
    deliverables: Annotated[tuple[DeliverableRecord, ...], Field(min_length=1, max_length=_MAX_FILES)]
    stages: Annotated[tuple[StageRecord, ...], Field(min_length=1, max_length=_MAX_STAGES)]


@dataclass(frozen=True, slots=True)
class ValidatedManifest:
    """A manifest whose steps have been validated like those of a brief."""

    deliverables: tuple[DeliverableRecord, ...]
    stages: tuple[StageRecord, ...]
    # The steps of each stage.
    steps: tuple[tuple[Step, ...], ...]


def archived_paths(stages: Sequence[StageRecord]) -> dict[str, list[str]]:
    """Return the recorded archive paths of the inputs of these stages by their hashes."""
    paths_by_hash: dict[str, list[str]] = {}
    for stage in stages:
        for each in stage.inputs:
            if each.path in stage.archived:
                paths_by_hash.setdefault(each.sha256, []).append(stage.archived[each.path])
    return paths_by_hash


def read_manifest(root: RootFolder, path: Path, catalogue: OperationCatalogue) -> ValidatedManifest:
    """Return the delivery in the manifest at the absolute ``path``, inside the root or not. Raises InputError with its problems."""
    name = display_name(path.name)
    manifest = read_record(root, path)
    problems: list[BriefProblem] = []
    steps = tuple(
        _check_steps(stage, catalogue, f"stages.{number}.{stage.stage}", problems) for number, stage in enumerate(manifest.stages, 1)
    )
    if problems:
        raise InputError(_problems_text(name, [str(problem) for problem in problems]), _REMEDY)
    return ValidatedManifest(manifest.deliverables, manifest.stages, steps)


def read_record(root: RootFolder, path: Path) -> Manifest:
    """Return what the manifest at the absolute ``path`` says, without a check of its steps. Raises InputError with its problems."""
    name = display_name(path.name)
    try:
        return Manifest.model_validate(_read_json(root, path, name))
    except ValidationError as error:
        raise InputError(_problems_text(name, _error_messages(error)), _REMEDY) from error


def _check_steps(stage: StageRecord, catalogue: OperationCatalogue, location: str, problems: list[BriefProblem]) -> tuple[Step, ...]:
    """Return the steps, read like those of a brief. Each step that a brief may not contain is added to the problems."""
    return StepReader(catalogue, problems).read_steps(location, [{**spec.settings, "op": spec.op} for spec in stage.step_specs], None)


_REMEDY = "Only an unchanged manifest of this version of Goldsmith can be run again."


def _read_json(root: RootFolder, path: Path, name: str) -> Mapping[str, Any]:
    with os.fdopen(root.open_named_file(path), "rb") as file:
        data = file.read(MAX_MANIFEST_BYTES + 1)
    if len(data) > MAX_MANIFEST_BYTES:
        raise InputError(f"{name} is larger than any manifest ({MAX_MANIFEST_BYTES >> 20} MiB).", _REMEDY)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{name} is not a manifest: it is not JSON.", f"Name the delivered manifest; its name ends in {MANIFEST_SUFFIX}."
        ) from error
    if not isinstance(content, dict):
        raise InputError(f"{name} is not a manifest.", f"Name the delivered manifest; its name ends in {MANIFEST_SUFFIX}.")
    return content


def _error_messages(error: ValidationError) -> list[str]:
    """Return each error once: pydantic also calls a list too short if its items are invalid."""
    errors = error.errors(include_url=False)
    inner = {each["loc"][:depth] for each in errors for depth in range(len(each["loc"]))}
    return [_error_message(each) for each in errors if each["type"] != "too_short" or each["loc"] not in inner]


def _error_message(error: Any) -> str:
    """Return a pydantic error as a sentence with its location. Lists are counted from 1."""
    place = ".".join(str(part + 1) if isinstance(part, int) else display_name(str(part)) for part in error["loc"])
    if error["type"] == "missing":
        return f"{place} is missing."
    if error["type"] == "value_error":
        value = f" ({display_name(error['input'])[:_MAX_NAME_BYTES]})" if isinstance(error["input"], str) else ""
        return f"{place}{value} {error['ctx']['error']}."
    return f"{place}: {error['msg']}."


def _problems_text(name: str, problems: list[str]) -> str:
    more = f"\nand {len(problems) - _MAX_PROBLEMS_SHOWN} more." if len(problems) > _MAX_PROBLEMS_SHOWN else ""
    return f"{name} cannot be run again:\n" + "\n".join(problems[:_MAX_PROBLEMS_SHOWN]) + more
