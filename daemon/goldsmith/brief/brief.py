"""A brief or a recipe as it was written: what it says, checked as a whole, and nothing merged in yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from goldsmith.brief.pipeline import Line, Step
from goldsmith.brief.reading import (
    BriefFault,
    Fault,
    nearest,
    plain_name,
    read_toml,
    shown,
)
from goldsmith.brief.sentences import faults_of
from goldsmith.brief.steps import Catalogue, StepReader
from goldsmith.engines import EngineKind, EngineNeed
from goldsmith.ops import catalogue as all_operations

Working = Literal["png", "tiff"]
MaskFit = Literal["refuse", "scale"]


@dataclass(frozen=True, slots=True)
class Brief:
    """What one file says. None where it does not speak of a thing: then another file may."""

    title: str | None = None
    prompt: str | None = None
    recipe: str | None = None
    seed: int | None = None
    working: Working | None = None
    mask_fit: MaskFit | None = None
    resolved: bool = False
    """True in the brief that travels: it is complete, and nothing else is merged in."""
    tables: Mapping[str, tuple[Step, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Its steps by stage, in the order of the line; a stage that is there with no steps is to do nothing."""


Beside = Callable[[str, str, tuple[str, ...]], bool]
"""(shelf, name, suffixes) -> is there such a thing?"""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no engine for a step, as whole sentences. ``passing``: only its weights are not on this machine, and may come."""

    sentence: str
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Stock:
    """What the house has that briefs may name. A None is not checked."""

    models: Mapping[EngineKind, Sequence[str]] | None = None
    """The names in config/models.toml by what they can be asked for."""
    has: Beside | None = None
    """(shelf, name, suffixes) -> is it in the library?"""
    names: Callable[[str, tuple[str, ...]], Sequence[str]] | None = None
    """(shelf, suffixes) -> every name there is, to find the nearest."""
    refuses: Callable[[EngineNeed], Refusal | None] | None = None
    """Why a step cannot have the engine it asks for, by name or by default; None = it can."""
    consents: Callable[[str], str] | None = None
    """Why the face of that name in the library may not be used, as whole sentences; "" = its consent is on file."""


class _Mask(BaseModel):
    model_config = ConfigDict(extra="forbid")

    fit: MaskFit | None = None


class _Head(BaseModel):
    """What stands in a brief above its stages."""

    model_config = ConfigDict(extra="forbid", strict=True)

    title: Annotated[str, Field(max_length=200)] | None = None
    prompt: str | None = None
    recipe: str | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    working: Working | None = None
    mask: _Mask | None = None
    resolved: bool = False


def read_brief(
    data: bytes, file: str, line: Line, stock: Stock | None = None, *, catalogue: Catalogue | None = None, source: str = ""
) -> Brief:
    """The brief or recipe in ``data``. ``file`` is what it is called in faults.

    ``source`` is noted in its steps ("" = the picture's own brief). With a ``stock``, models and things of the library that
    are not there are faults too. Raises BriefFault with everything that is wrong.
    """
    values = read_toml(data, file)
    stages = {stage.name: stage for stage in line.stages}
    faults: list[Fault] = []
    head = _head({key: value for key, value in values.items() if key not in stages}, list(stages), faults)
    reader = StepReader(all_operations() if catalogue is None else catalogue, faults, source)
    tables = {name: reader.steps(name, values[name], stage.allowed) for name, stage in stages.items() if name in values}
    if stock is not None:
        faults += stock_faults((step for steps in tables.values() for step in steps), stock)
    if faults or head is None:
        raise BriefFault(file, faults)
    fit = head.mask.fit if head.mask else None
    return Brief(head.title, head.prompt, head.recipe, head.seed, head.working, fit, head.resolved, MappingProxyType(tables))


def _head(written: dict[str, object], stages: list[str], faults: list[Fault]) -> _Head | None:
    known = [*_Head.model_fields, *stages]
    for key in [key for key in written if key not in _Head.model_fields]:
        meant = written.pop(key)
        if _looks_like_steps(meant):
            faults.append(Fault(key, f"is no stage of the line{nearest(key, stages)}"))
        else:
            faults.append(Fault(key, f"is not known in a brief{nearest(key, known)}"))
    try:
        head = _Head.model_validate(written)
    except ValidationError as error:
        faults += faults_of(error, written, "", _Head)
        return None
    if head.recipe is not None:
        why = plain_name(head.recipe)
        if why:
            faults.append(Fault("recipe", f"is {shown(head.recipe)}: that {why}."))
        if head.resolved:
            faults.append(Fault("recipe", "cannot be named beside `resolved = true`, which says that nothing is to be added: delete one."))
    return head


def _looks_like_steps(written: object) -> bool:
    first = written[0] if isinstance(written, list) and written else written
    return isinstance(first, dict)


def stock_faults(steps: Iterable[Step], stock: Stock, beside: Beside | None = None) -> list[Fault]:
    """Models and things of the library that steps name and the house lacks; ``beside`` knows the picture's own sidecars."""
    return [fault for step in steps for fault in _lacking(step, stock, beside)]


def _lacking(step: Step, stock: Stock, beside: Beside | None) -> Iterator[Fault]:
    needs = step.operation.needs()
    for need in needs.engines:
        yield from _engine_faults(step, need, stock)
    for shelf, name, suffixes in needs.references:
        if beside is not None and beside(shelf, name, suffixes):
            continue
        if stock.has is not None and not stock.has(shelf, name, suffixes):
            names = stock.names(shelf, suffixes) if stock.names is not None else ()
            kinds = " or ".join(filter(None, (", ".join(suffixes[:-1]), suffixes[-1])))
            yield Fault(_setting(step, name), f"is {shown(name)}, but library/{shelf}/ has no such {kinds} file{nearest(name, names)}")
            return
    for name in sorted(needs.consents):
        refused = stock.consents(name) if stock.consents is not None else ""
        if refused:
            yield Fault(_setting(step, name), f"is {shown(name)}: {refused}")


def _engine_faults(step: Step, need: EngineNeed, stock: Stock) -> Iterator[Fault]:
    """A model that is not known, not able, or not here: told as the brief is read, long before the work gets to that step."""
    name, known = need.model, stock.models
    if name is not None and known is not None and not any(name in names for names in known.values()):
        names = known.get(need.kind, ())
        yield Fault(_setting(step, name), f"is {shown(name)}, but config/models.toml has no such model{nearest(name, names)}")
        return
    refusal = stock.refuses(need) if stock.refuses is not None else None
    if refusal is not None:
        said = refusal.sentence
        told = said.removeprefix("This ") if said.startswith("This ") else f"cannot be done here: {said}"
        yield Fault(step.place if name is None else _setting(step, name), told, refusal.passing)
    elif name is not None and known is not None and name not in known.get(need.kind, ()):
        yield Fault(_setting(step, name), f"is {shown(name)}, which is no model for this: there are {', '.join(known.get(need.kind, ()))}.")


def _setting(step: Step, value: object) -> str:
    """The place of the setting that says ``value``."""
    return next((f"{step.place}.{key}" for key, written in step.settings.items() if written == value), step.place)
