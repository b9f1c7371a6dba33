"""A manifest, read to be run again. Whoever may write to the share may have edited it: nothing in it is taken on trust.

It names files by paths that stay inside the archive and the library, operations that a brief could name, and models of models.toml;
everything is checked before anything runs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from goldsmith.brief.parsing import BriefProblem
from goldsmith.brief.steps import MAX_STEPS, OperationCatalogue, Step, StepReader
from goldsmith.errors import InputError
from goldsmith.files import display_name, open_input
from goldsmith.jobs.job import OutputRole, StepSpec
from goldsmith.pipeline.commit.manifest import MANIFEST_SUFFIX
from goldsmith.pipeline.commit.naming import ARCHIVE_FOLDER

# The largest manifest that is read.
MAX_MANIFEST_BYTES = 16 * 2**20
_MAX_STAGES = 64
_MAX_FILES = 2000
_MAX_PATH_BYTES = 4096
_MAX_NAME_BYTES = 255
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
        raise ValueError("is not a place in archive/")
    return path


def _check_stage_path(path: str) -> str:
    top, _, rest = _check_path(path).partition("/")
    if not rest or top.startswith(".") or top in (ARCHIVE_FOLDER, "library"):
        raise ValueError("is not a file in a folder of the line")
    return path


# A file's name, without folders; undecodable bytes are surrogates.
FileName = Annotated[str, AfterValidator(_check_name)]
# A path relative to the root that never leaves it.
PathInRoot = Annotated[str, AfterValidator(_check_path)]
Sha256Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
StageName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Seed = Annotated[int, Field(ge=0, le=2**63)]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class InputRecord(_Data):
    """One file that a stage was given."""

    role: Literal["picture", "mask", "keep", "look", "layer", "ref", "brief", "prompt"]
    name: str
    path: Annotated[str, AfterValidator(_check_stage_path)]
    sha256: Sha256Hex


class OutputRecord(_Data):
    """One file that a stage left: what followed the stem in its name, and its hash."""

    role: OutputRole
    tail: Annotated[str, AfterValidator(_check_name)]
    sha256: Sha256Hex


class StepRecord(_Data):
    """One step as it was run."""

    op: Annotated[str, Field(max_length=64)]
    settings: dict[str, JsonValue]
    seed: Seed
    findings: dict[str, JsonValue]
    engine: dict[str, JsonValue] | None
    picture_hash: Annotated[str, Field(max_length=64)]

    @property
    def references(self) -> dict[str, str]:
        """What it took from the library or from beside the picture, by name, with the hashes."""
        found = self.findings.get("references")
        return {name: str(sha256) for name, sha256 in found.items()} if isinstance(found, dict) else {}


class StageRecord(_Data):
    """One stage as it was run."""

    stage: StageName
    queue: Annotated[str, Field(max_length=64)]
    """"" where the file was passed on and no lane had to look at it."""
    stem: FileName
    seed: Seed
    prompt: str
    mask_fit: Literal["refuse", "scale"]
    working: Literal["png", "tiff"]
    deliver: bool
    inputs: Annotated[tuple[InputRecord, ...], Field(min_length=1, max_length=_MAX_FILES)]
    steps: Annotated[tuple[StepRecord, ...], Field(max_length=MAX_STEPS)]
    outputs: Annotated[tuple[OutputRecord, ...], Field(max_length=_MAX_FILES)]
    archived: dict[PathInRoot, Annotated[str, AfterValidator(_check_archive_path)]]
    environment: dict[str, JsonValue]

    @property
    def worker_inputs(self) -> tuple[InputRecord, ...]:
        """What the lane was given, what the asset goes by first; briefs and prompts beside a picture are the daemon's own reading."""
        return (self.inputs[0], *(each for each in self.inputs[1:] if each.role not in ("brief", "prompt")))

    @model_validator(mode="after")
    def _check_unique_paths(self) -> Self:
        paths = [each.path for each in self.worker_inputs]
        if len(set(paths)) < len(paths):
            raise ValueError("names one file twice among its inputs")
        return self

    @property
    def step_specs(self) -> tuple[StepSpec, ...]:
        """The steps as a lane is told of them."""
        return tuple(StepSpec(op=step.op, settings=step.settings) for step in self.steps)


class DeliverableRecord(_Data):
    """One deliverable."""

    file: FileName
    sha256: Sha256Hex
    size_bytes: Annotated[int, Field(alias="bytes", ge=0)]


class Manifest(_Data):
    """What is needed of a manifest to do the delivery again."""

    goldsmith: Annotated[str, Field(max_length=100)]
    deliverables: Annotated[tuple[DeliverableRecord, ...], Field(min_length=1, max_length=_MAX_FILES)]
    stages: Annotated[tuple[StageRecord, ...], Field(min_length=1, max_length=_MAX_STAGES)]


@dataclass(frozen=True, slots=True)
class ValidatedManifest:
    """A manifest whose steps have been checked as a brief's are."""

    deliverables: tuple[DeliverableRecord, ...]
    stages: tuple[StageRecord, ...]
    # Of each stage.
    steps: tuple[tuple[Step, ...], ...]


def read_manifest(path: Path, catalogue: OperationCatalogue) -> ValidatedManifest:
    """The delivery that the manifest at ``path`` tells of. Raises InputError with what is wrong with it."""
    name = display_name(path.name)
    content = _read_json(path, name)
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        raise InputError(_problems_text(name, _error_messages(error)), _REMEDY) from error
    faults: list[BriefProblem] = []
    steps = tuple(
        _check_steps(stage, catalogue, f"stages.{number}.{stage.stage}", faults) for number, stage in enumerate(manifest.stages, 1)
    )
    if faults:
        raise InputError(_problems_text(name, [str(fault) for fault in faults]), _REMEDY)
    return ValidatedManifest(manifest.deliverables, manifest.stages, steps)


def _check_steps(stage: StageRecord, catalogue: OperationCatalogue, location: str, problems: list[BriefProblem]) -> tuple[Step, ...]:
    """The steps as a brief's are read; what no brief may say is added to the faults."""
    return StepReader(catalogue, problems).read_steps(location, [{**spec.settings, "op": spec.op} for spec in stage.step_specs], None)


_REMEDY = "Only a manifest as this version of Goldsmith writes it can be run again: take the untouched one."


def _read_json(path: Path, name: str) -> Mapping[str, Any]:
    with os.fdopen(open_input(path), "rb") as file:
        data = file.read(MAX_MANIFEST_BYTES + 1)
    if len(data) > MAX_MANIFEST_BYTES:
        raise InputError(f"{name} is larger than any manifest ({MAX_MANIFEST_BYTES >> 20} MiB).", _REMEDY)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{name} is not a manifest: it is no JSON.", f"Name the one that was delivered, it ends in {MANIFEST_SUFFIX}."
        ) from error
    if not isinstance(content, dict):
        raise InputError(f"{name} is not a manifest.", f"Name the one that was delivered, it ends in {MANIFEST_SUFFIX}.")
    return content


def _error_messages(error: ValidationError) -> list[str]:
    """Each fault once: a list is called too short when what stands in it is wrong, and that is told already."""
    found = error.errors(include_url=False)
    inner = {each["loc"][:depth] for each in found for depth in range(len(each["loc"]))}
    return [_error_message(each) for each in found if each["type"] != "too_short" or each["loc"] not in inner]


def _error_message(error: Any) -> str:
    """A pydantic error as place and words; the lists of a manifest are counted from 1."""
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
