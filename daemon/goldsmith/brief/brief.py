"""A brief or a recipe as it is written, checked as a whole. Nothing is merged into it here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from goldsmith.brief.other_files import describe_text
from goldsmith.brief.parsing import (
    BriefError,
    BriefProblem,
    TomlSyntaxError,
    did_you_mean,
    file_stem,
    library_name_error,
    quote_value,
    read_text,
    read_toml,
)
from goldsmith.brief.pipeline import Pipeline, masks_of, review_of_last_stage
from goldsmith.brief.steps import OperationCatalogue, Step, StepReader
from goldsmith.brief.suggestions import StageWords, Vocabulary
from goldsmith.brief.validation_messages import validation_problems
from goldsmith.engines.protocols import EngineNeed
from goldsmith.ops import catalogue as all_operations
from goldsmith.picture.formats.table import WorkingFormat
from goldsmith.step_needs import PromptText, StepInputs

MaskFit = Literal["refuse", "scale"]
MaskFrom = Literal["files", "alpha"]
HdrReading = Literal["refuse", "tonemap"]
# Stands for the picture's name in a brief of many pictures.
_ANY_PICTURE = "NAME"
# The most masks that a brief can name: a few for each step.
_MAX_MASKS = 256


@dataclass(frozen=True, slots=True)
class InReview:
    """What the brief of a picture in review/ says of the result that waits there."""

    # The stage that made the result.
    stage: str
    # The seed of that stage's job.
    seed: int
    # Size of the picture's file, in bytes: a picture that was dragged past the trays is known again by it.
    size: int
    # How many candidates wait for a pick; 0 if one result waits for approval.
    candidates: int = 0
    # The words of each region that the steps have found, with the name of its mask, if masks wait and no result.
    masks: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Brief:
    """The content of one file. None marks a setting that the file does not have; another file may have it."""

    title: str | None = None
    creator: str | None = None
    rights: str | None = None
    credit: str | None = None
    prompt: str | None = None
    recipe: str | None = None
    seed: int | None = None
    working: WorkingFormat | None = None
    hdr: HdrReading | None = None
    float_range: float | None = None
    mask_fit: MaskFit | None = None
    # The names of the masks that a person has approved.
    approved_masks: tuple[str, ...] | None = None
    mask_from: MaskFrom | None = None
    # The stages whose results a person must approve, and ``edit.mask`` for the masks that the steps of edit find.
    review: tuple[str, ...] | None = None
    # Set while the picture lies in review/.
    in_review: InReview | None = None
    # True for a brief that moves with its picture: it is complete, and nothing is merged into it.
    resolved: bool = False
    # Steps by stage, in the order of the pipeline. A stage with no steps does nothing.
    steps_by_stage: Mapping[str, tuple[Step, ...]] = field(default_factory=lambda: MappingProxyType({}))


# (library folder, name, suffixes) -> whether there is such a file.
FileLookup = Callable[[str, str, tuple[str, ...]], bool]


@dataclass(frozen=True, slots=True)
class EngineUnavailable:
    """Why there is no engine for a step, as complete sentences. ``is_transient``: only its weights are missing, and may arrive."""

    sentence: str
    is_transient: bool = False


@dataclass(frozen=True, slots=True)
class Availability:
    """What briefs may name on this machine. A field that is None is not checked."""

    # The names in config/models.toml by kind of engine.
    model_names: Mapping[str, Sequence[str]] | None = None
    # (library folder, name, suffixes) -> whether the library has it.
    has_file: FileLookup | None = None
    # (library folder, suffixes) -> every name, to find the nearest.
    list_names: Callable[[str, tuple[str, ...]], Sequence[str]] | None = None
    # Why there is no engine for a step, by name or by default; None if there is one.
    why_unavailable: Callable[[EngineNeed[Any]], EngineUnavailable | None] | None = None
    # Why the face of that name may not be used, as complete sentences; "" if its consent is on file.
    why_no_consent: Callable[[str], str] | None = None


class _MaskTable(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    fit: MaskFit | None = None
    source: MaskFrom | None = Field(default=None, alias="from")
    approved: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=_MAX_MASKS)] | None = None


class _FoundMaskTable(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)

    region: Annotated[str, Field(min_length=1, max_length=1000)]
    name: Annotated[str, Field(min_length=1, max_length=200)]


class _InReviewTable(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)

    stage: str
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    bytes: Annotated[int, Field(ge=0, lt=2**63)]
    candidates: Annotated[int, Field(ge=0, le=1000)] = 0
    masks: Annotated[list[_FoundMaskTable], Field(max_length=_MAX_MASKS)] = []


class _BriefHeader(BaseModel):
    """The settings of a brief above its stages."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)

    title: Annotated[str, Field(max_length=200)] | None = None
    creator: Annotated[str, Field(max_length=200)] | None = None
    rights: Annotated[str, Field(max_length=1000)] | None = None
    credit: Annotated[str, Field(max_length=200)] | None = None
    prompt: PromptText | None = None
    recipe: str | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    working: WorkingFormat | None = None
    hdr: HdrReading | None = None
    float_range: Annotated[float, Field(gt=0, le=1e9)] | None = None
    mask: _MaskTable | None = None
    review: Annotated[list[str], Field(max_length=64)] | None = None
    in_review: _InReviewTable | None = None
    resolved: bool = False


def read_brief(
    data: bytes,
    file: str,
    pipeline: Pipeline,
    availability: Availability | None = None,
    *,
    catalogue: OperationCatalogue | None = None,
    source: str = "",
) -> Brief:
    """Return the brief or recipe in ``data``. ``file`` is its name in messages.

    ``source`` is recorded in its steps; "" is the picture's own brief. With an ``availability``, missing models and library files are
    problems too. Raises BriefError with every problem.
    """
    values = _read_values(data, file)
    stages = {stage.name: stage for stage in pipeline.stages}
    problems: list[BriefProblem] = []
    operations = all_operations() if catalogue is None else catalogue
    words = [StageWords(stage.name, stage.folder, stage.allowed_ops) for stage in pipeline.stages]
    vocabulary = Vocabulary(operations, words, pipeline.final_folder, _picture_stem(file))
    head = _read_header({key: value for key, value in values.items() if key not in stages}, list(stages), problems, vocabulary)
    reader = StepReader(operations, problems, source, vocabulary)
    tables = {name: reader.read_steps(name, values[name], stage.allowed_ops) for name, stage in stages.items() if name in values}
    if availability is not None:
        problems += availability_problems((step for steps in tables.values() for step in steps), availability)
    if head is not None:
        problems += _review_problems(head, pipeline)
    if problems or head is None:
        raise BriefError(file, problems)
    mask = head.mask or _MaskTable()
    waiting = head.in_review
    return Brief(
        title=head.title,
        creator=head.creator,
        rights=head.rights,
        credit=head.credit,
        prompt=head.prompt,
        recipe=head.recipe,
        seed=head.seed,
        working=head.working,
        hdr=head.hdr,
        float_range=head.float_range,
        mask_fit=mask.fit,
        mask_from=mask.source,
        approved_masks=None if mask.approved is None else tuple(mask.approved),
        review=None if head.review is None else tuple(dict.fromkeys(head.review)),
        in_review=None if waiting is None else _to_in_review(waiting),
        resolved=head.resolved,
        steps_by_stage=MappingProxyType(tables),
    )


def _to_in_review(table: _InReviewTable) -> InReview:
    masks = tuple((each.region, each.name) for each in table.masks)
    return InReview(table.stage, table.seed, table.bytes, table.candidates, masks)


def _review_problems(head: _BriefHeader, pipeline: Pipeline) -> Iterator[BriefProblem]:
    """Yield a problem for each stage to review that the pipeline does not have, or whose results cannot be reviewed."""
    names = [stage.name for stage in pipeline.stages]
    words = [*names, *map(masks_of, names)]
    for number, name in enumerate(head.review or (), 1):
        if name not in words:
            yield BriefProblem(f"review.{number}", f"is {quote_value(name)}, but there is no such stage{did_you_mean(name, words)}")
        elif name == names[-1]:
            yield BriefProblem(f"review.{number}", review_of_last_stage(pipeline.stages))
    if head.in_review is not None and head.in_review.stage not in names:
        yield BriefProblem("in_review.stage", f"is {quote_value(head.in_review.stage)}, but there is no such stage.")


def _picture_stem(file: str) -> str:
    """Return the name of the picture that a brief lies beside; NAME for a campaign's brief and a recipe, which have many pictures."""
    stem = file_stem(file)
    return _ANY_PICTURE if stem.casefold() == "brief" or "/" in file else stem


def _read_values(data: bytes, file: str) -> dict[str, object]:
    """Return the values of a brief. Raises BriefError, which says what the file is if it is no brief at all."""
    try:
        return read_toml(data, file)
    except TomlSyntaxError:
        stem = _picture_stem(file)
        other = describe_text(read_text(data, file), "" if stem == _ANY_PICTURE else stem)
        if other is None:
            raise
        raise BriefError(file, [BriefProblem("", f"is {other.description}, not a brief.")], other.remedy) from None


def _read_header(
    raw: dict[str, object], stage_names: list[str], problems: list[BriefProblem], vocabulary: Vocabulary
) -> _BriefHeader | None:
    known = [*_BriefHeader.model_fields, *stage_names]
    unknown = {key: raw.pop(key) for key in [key for key in raw if key not in _BriefHeader.model_fields]}
    problems += vocabulary.unknown_name_problems(unknown, known)
    if isinstance(raw.get("mask"), str):
        sentence = f"is {quote_value(raw.pop('mask'))}, but masks are not named in a brief: lay the mask beside the picture as "
        problems.append(BriefProblem("mask", f"{sentence}{vocabulary.stem}.mask.png."))
    try:
        head = _BriefHeader.model_validate(raw)
    except ValidationError as error:
        problems += validation_problems(error, raw, "", _BriefHeader)
        return None
    if head.recipe is not None:
        reason = library_name_error(head.recipe)
        if reason:
            problems.append(BriefProblem("recipe", f"is {quote_value(head.recipe)}: that {reason}."))
        if head.resolved:
            problems.append(
                BriefProblem(
                    "recipe", "cannot stand beside `resolved = true`, because nothing is added to a resolved brief: delete one of them."
                )
            )
    return head


def availability_problems(
    steps: Iterable[Step], availability: Availability, has_sidecar: FileLookup | None = None, inputs: StepInputs | None = None
) -> list[BriefProblem]:
    """Return a problem for each missing model, library file and consent of the steps.

    ``has_sidecar`` tells whether one of the picture's own sidecars replaces a library file. ``inputs``: what lies beside the brief of these
    steps, if that is known; a setting that contradicts it is a problem too.
    """
    return [problem for step in steps for problem in _step_problems(step, availability, has_sidecar, inputs)]


def _step_problems(
    step: Step, availability: Availability, has_sidecar: FileLookup | None, inputs: StepInputs | None
) -> Iterator[BriefProblem]:
    needs = step.operation.needs() if inputs is None else step.operation.needs_beside(inputs)
    if inputs is not None:
        setting, sentence = step.operation.input_problem(inputs)
        if sentence:
            yield BriefProblem(f"{step.location}.{setting}", sentence)
    for need in needs.engines:
        yield from _engine_problems(step, need, availability)
    for folder, name, suffixes in needs.library_files:
        if has_sidecar is not None and has_sidecar(folder, name, suffixes):
            continue
        if availability.has_file is not None and not availability.has_file(folder, name, suffixes):
            names = availability.list_names(folder, suffixes) if availability.list_names is not None else ()
            expected = " or ".join(filter(None, (", ".join(suffixes[:-1]), suffixes[-1])))
            yield BriefProblem(
                _setting_location(step, name),
                f"is {quote_value(name)}, but library/{folder}/ has no such {expected} file{did_you_mean(name, names)}",
            )
            return
    for name in sorted(needs.consents):
        reason = availability.why_no_consent(name) if availability.why_no_consent is not None else ""
        if reason:
            yield BriefProblem(_setting_location(step, name), f"is {quote_value(name)}: {reason}")


def _engine_problems(step: Step, need: EngineNeed[Any], availability: Availability) -> Iterator[BriefProblem]:
    """Yield a problem if the step's model is unknown, unsuitable or missing."""
    name, known = need.model, availability.model_names
    if name is not None and known is not None and not any(name in names for names in known.values()):
        names = known.get(need.kind.name, ())
        yield BriefProblem(
            _setting_location(step, name), f"is {quote_value(name)}, but config/models.toml has no such model{did_you_mean(name, names)}"
        )
        return
    refusal = availability.why_unavailable(need) if availability.why_unavailable is not None else None
    if refusal is not None:
        reason = refusal.sentence
        sentence = reason.removeprefix("This step ") if reason.startswith("This step ") else f"cannot be done here: {reason}"
        yield BriefProblem(step.location if name is None else _setting_location(step, name), sentence, refusal.is_transient)
    elif name is not None and known is not None and name not in known.get(need.kind.name, ()):
        yield BriefProblem(
            _setting_location(step, name),
            f"is {quote_value(name)}, which is not a model for this step; there is: {', '.join(known.get(need.kind.name, ()))}.",
        )


def _setting_location(step: Step, value: object) -> str:
    """Return the location of the setting that has ``value``."""
    return next((f"{step.location}.{key}" for key, setting in step.settings.items() if setting == value), step.location)
