"""A brief or a recipe as it was written: what it says, checked as a whole, and nothing merged in yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from goldsmith.brief.parsing import (
    BriefError,
    BriefProblem,
    did_you_mean,
    library_name_error,
    quote_value,
    read_toml,
)
from goldsmith.brief.pipeline import Pipeline, Step
from goldsmith.brief.steps import OperationCatalogue, StepReader
from goldsmith.brief.validation_messages import validation_problems
from goldsmith.engines import EngineNeed
from goldsmith.ops import catalogue as all_operations

WorkingFormat = Literal["png", "tiff"]
MaskFit = Literal["refuse", "scale"]


@dataclass(frozen=True, slots=True)
class Brief:
    """What one file says. None where it does not speak of a thing: then another file may."""

    title: str | None = None
    prompt: str | None = None
    recipe: str | None = None
    seed: int | None = None
    working: WorkingFormat | None = None
    mask_fit: MaskFit | None = None
    # True in the brief that travels: it is complete, and nothing else is merged in.
    resolved: bool = False
    # Its steps by stage, in the order of the line; a stage that is there with no steps is to do nothing.
    steps_by_stage: Mapping[str, tuple[Step, ...]] = field(default_factory=lambda: MappingProxyType({}))


# (shelf, name, suffixes) -> is there such a thing?
FileLookup = Callable[[str, str, tuple[str, ...]], bool]


@dataclass(frozen=True, slots=True)
class EngineUnavailable:
    """Why there is no engine for a step, as whole sentences. ``passing``: only its weights are not on this machine, and may come."""

    sentence: str
    is_transient: bool = False


@dataclass(frozen=True, slots=True)
class Availability:
    """What the house has that briefs may name. A None is not checked."""

    # The names in config/models.toml by what they can be asked for.
    model_names: Mapping[str, Sequence[str]] | None = None
    # (shelf, name, suffixes) -> is it in the library?
    has_file: FileLookup | None = None
    # (shelf, suffixes) -> every name there is, to find the nearest.
    list_names: Callable[[str, tuple[str, ...]], Sequence[str]] | None = None
    # Why a step cannot have the engine it asks for, by name or by default; None = it can.
    why_unavailable: Callable[[EngineNeed[Any]], EngineUnavailable | None] | None = None
    # Why the face of that name in the library may not be used, as whole sentences; "" = its consent is on file.
    why_no_consent: Callable[[str], str] | None = None


class _MaskTable(BaseModel):
    model_config = ConfigDict(extra="forbid")

    fit: MaskFit | None = None


class _BriefHeader(BaseModel):
    """What stands in a brief above its stages."""

    model_config = ConfigDict(extra="forbid", strict=True)

    title: Annotated[str, Field(max_length=200)] | None = None
    prompt: str | None = None
    recipe: str | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    working: WorkingFormat | None = None
    mask: _MaskTable | None = None
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
    """The brief or recipe in ``data``. ``file`` is what it is called in faults.

    ``source`` is noted in its steps ("" = the picture's own brief). With a ``stock``, models and things of the library that
    are not there are faults too. Raises BriefError with everything that is wrong.
    """
    values = read_toml(data, file)
    stages = {stage.name: stage for stage in pipeline.stages}
    faults: list[BriefProblem] = []
    head = _read_header({key: value for key, value in values.items() if key not in stages}, list(stages), faults)
    reader = StepReader(all_operations() if catalogue is None else catalogue, faults, source)
    tables = {name: reader.read_steps(name, values[name], stage.allowed_ops) for name, stage in stages.items() if name in values}
    if availability is not None:
        faults += availability_problems((step for steps in tables.values() for step in steps), availability)
    if faults or head is None:
        raise BriefError(file, faults)
    fit = head.mask.fit if head.mask else None
    return Brief(head.title, head.prompt, head.recipe, head.seed, head.working, fit, head.resolved, MappingProxyType(tables))


def _read_header(raw: dict[str, object], stage_names: list[str], problems: list[BriefProblem]) -> _BriefHeader | None:
    known = [*_BriefHeader.model_fields, *stage_names]
    for key in [key for key in raw if key not in _BriefHeader.model_fields]:
        meant = raw.pop(key)
        if _looks_like_steps(meant):
            problems.append(BriefProblem(key, f"is no stage of the line{did_you_mean(key, stage_names)}"))
        else:
            problems.append(BriefProblem(key, f"is not known in a brief{did_you_mean(key, known)}"))
    try:
        head = _BriefHeader.model_validate(raw)
    except ValidationError as error:
        problems += validation_problems(error, raw, "", _BriefHeader)
        return None
    if head.recipe is not None:
        why = library_name_error(head.recipe)
        if why:
            problems.append(BriefProblem("recipe", f"is {quote_value(head.recipe)}: that {why}."))
        if head.resolved:
            problems.append(
                BriefProblem("recipe", "cannot be named beside `resolved = true`, which says that nothing is to be added: delete one.")
            )
    return head


def _looks_like_steps(raw: object) -> bool:
    first = raw[0] if isinstance(raw, list) and raw else raw
    return isinstance(first, dict)


def availability_problems(steps: Iterable[Step], availability: Availability, has_sidecar: FileLookup | None = None) -> list[BriefProblem]:
    """Models and things of the library that steps name and the house lacks; ``beside`` knows the picture's own sidecars."""
    return [fault for step in steps for fault in _step_problems(step, availability, has_sidecar)]


def _step_problems(step: Step, availability: Availability, has_sidecar: FileLookup | None) -> Iterator[BriefProblem]:
    needs = step.operation.needs()
    for need in needs.engines:
        yield from _engine_problems(step, need, availability)
    for shelf, name, suffixes in needs.library_files:
        if has_sidecar is not None and has_sidecar(shelf, name, suffixes):
            continue
        if availability.has_file is not None and not availability.has_file(shelf, name, suffixes):
            names = availability.list_names(shelf, suffixes) if availability.list_names is not None else ()
            kinds = " or ".join(filter(None, (", ".join(suffixes[:-1]), suffixes[-1])))
            yield BriefProblem(
                _setting_location(step, name),
                f"is {quote_value(name)}, but library/{shelf}/ has no such {kinds} file{did_you_mean(name, names)}",
            )
            return
    for name in sorted(needs.consents):
        refused = availability.why_no_consent(name) if availability.why_no_consent is not None else ""
        if refused:
            yield BriefProblem(_setting_location(step, name), f"is {quote_value(name)}: {refused}")


def _engine_problems(step: Step, need: EngineNeed[Any], availability: Availability) -> Iterator[BriefProblem]:
    """A model that is not known, not able, or not here: told as the brief is read, long before the work gets to that step."""
    name, known = need.model, availability.model_names
    if name is not None and known is not None and not any(name in names for names in known.values()):
        names = known.get(need.kind.name, ())
        yield BriefProblem(
            _setting_location(step, name), f"is {quote_value(name)}, but config/models.toml has no such model{did_you_mean(name, names)}"
        )
        return
    refusal = availability.why_unavailable(need) if availability.why_unavailable is not None else None
    if refusal is not None:
        said = refusal.sentence
        told = said.removeprefix("This ") if said.startswith("This ") else f"cannot be done here: {said}"
        yield BriefProblem(step.location if name is None else _setting_location(step, name), told, refusal.is_transient)
    elif name is not None and known is not None and name not in known.get(need.kind.name, ()):
        yield BriefProblem(
            _setting_location(step, name),
            f"is {quote_value(name)}, which is no model for this: there are {', '.join(known.get(need.kind.name, ()))}.",
        )


def _setting_location(step: Step, value: object) -> str:
    """The place of the setting that says ``value``."""
    return next((f"{step.location}.{key}" for key, written in step.settings.items() if written == value), step.location)
