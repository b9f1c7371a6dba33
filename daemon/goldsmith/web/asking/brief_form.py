"""A brief as a form: from the fields to TOML and back, and what is wrong with it in the words of ``goldsmith check``."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from goldsmith.brief.brief import read_brief
from goldsmith.brief.parsing import MAX_FILE_BYTES, BriefError, BriefProblem, read_toml
from goldsmith.brief.pipeline import Pipeline, Stage
from goldsmith.brief.resolve import ResolvedBrief, format_pair
from goldsmith.errors import GoldsmithError
from goldsmith.files import display_name
from goldsmith.library.availability import build_availability
from goldsmith.ops import catalogue
from goldsmith.pipeline.scheduler.readiness import known_inputs
from goldsmith.web import strings
from goldsmith.web.access import PageError
from goldsmith.web.asking.brief_target import BriefTarget
from goldsmith.web.asking.settings_form import form_of, read_settings, write_texts
from goldsmith.web.page import Page

# The settings above the stages that the form has; others stay as they are in the file.
HEAD_FIELDS = ("title", "prompt", "recipe")

_ShortText = Annotated[str, Field(max_length=200)]
_Text = Annotated[str, Field(max_length=20_000)]


class FilledStep(BaseModel):
    """One step of a filled form: the texts of its fields by their names."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    stage: _ShortText
    op: _ShortText
    texts: dict[_ShortText, _Text] = {}


class FilledForm(BaseModel):
    """A filled form: the texts of the settings above the stages, and the steps in their order."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    head: dict[_ShortText, _Text] = {}
    steps: Annotated[tuple[FilledStep, ...], Field(max_length=256)] = ()


@dataclass(frozen=True, slots=True)
class CheckedBrief:
    """A brief made from a form. ``problems`` are of the brief; ``others`` are sentences about files that it names or is merged with."""

    toml: str
    problems: tuple[BriefProblem, ...] = ()
    others: tuple[str, ...] = ()
    resolved: ResolvedBrief | None = None

    @property
    def is_valid(self) -> bool:
        """Whether it can be written. What is only not there yet, such as a model's weights, does not hinder that."""
        return not self.others and all(problem.is_transient for problem in self.problems)


@dataclass(frozen=True, slots=True)
class OpenedBrief:
    """The brief that is there, as a form. ``problem``: why it cannot be one, as a sentence; "" if it can."""

    form: FilledForm = field(default_factory=FilledForm)
    text: str = ""
    stamp: str = ""
    problem: str = ""


def open_brief(page: Page, target: BriefTarget) -> OpenedBrief:
    """Return the brief that is there; an empty form if there is none."""
    if not target.exists:
        return OpenedBrief()
    data = _read_file(page, target.path)
    text, stamp = data.decode("utf-8", "replace"), stamp_of(data)
    try:
        read_brief(data, target.name, page.pipeline)
        values = read_toml(data, target.name)
    except BriefError as error:
        return OpenedBrief(text=text, stamp=stamp, problem=error.sentence)
    head = {name: str(values[name]) for name in HEAD_FIELDS if name in values}
    return OpenedBrief(FilledForm(head=head, steps=tuple(_filled_steps(values, stages_from(page.pipeline, target)))), text, stamp)


def stamp_of(data: bytes) -> str:
    """Return a short text that changes whenever the file does."""
    return hashlib.sha256(data).hexdigest()[:16]


def stages_from(pipeline: Pipeline, target: BriefTarget) -> tuple[Stage, ...]:
    """Return the stages that a brief in this folder can still ask for."""
    return pipeline.stages[pipeline.index_of(target.stage.name) :]


def check_form(page: Page, target: BriefTarget, form: FilledForm) -> CheckedBrief:
    """Return the brief of a filled form, with everything that is wrong with it."""
    toml = form_to_toml(page, target, form)
    data = toml.encode()
    availability = build_availability(page.setup.weights, page.setup.library)
    try:
        read_brief(data, target.name, page.pipeline, availability)
    except BriefError as error:
        return CheckedBrief(toml, error.problems)
    try:
        resolved = _resolve(page, target, data)
    except BriefError as error:
        return CheckedBrief(toml, others=tuple(str(error).splitlines()))
    except GoldsmithError as error:
        return CheckedBrief(toml, others=(str(error),))
    return CheckedBrief(toml, resolved=resolved)


def form_to_toml(page: Page, target: BriefTarget, form: FilledForm) -> str:
    """Return the brief of a filled form. What the form has no field for stays as it is in the file that is there."""
    kept = _kept_values(page, target)
    offered = [stage.name for stage in stages_from(page.pipeline, target)]
    names = {stage.name for stage in page.pipeline.stages}
    head: dict[str, object] = {name: form.head[name].strip() for name in HEAD_FIELDS if form.head.get(name, "").strip()}
    head |= {key: value for key, value in kept.items() if key not in names and key not in HEAD_FIELDS}
    lines = [format_pair(key, value) for key, value in head.items()]
    for stage in page.pipeline.stages:
        steps = [step for step in form.steps if step.stage == stage.name] if stage.name in offered else []
        tables = [_step_table(step) for step in steps] if stage.name in offered else kept.get(stage.name)
        for table in tables if isinstance(tables, list) else ():
            lines += [f"\n[[{stage.name}]]\n", *(format_pair(key, value) for key, value in table.items())]
        if tables == [] and kept.get(stage.name) == []:
            lines.insert(len(head), f"{stage.name} = []\n")
    return "".join(lines).lstrip("\n")


def _step_table(step: FilledStep) -> dict[str, object]:
    operation = catalogue().get(step.op)
    settings = read_settings(form_of(operation), step.texts) if operation is not None else {}
    return {"op": step.op, **settings}


def _kept_values(page: Page, target: BriefTarget) -> Mapping[str, object]:
    """Return the values of the brief that is there; none if there is none, or if it cannot be read."""
    if not target.exists:
        return {}
    try:
        data = _read_file(page, target.path)
        read_brief(data, target.name, page.pipeline)
        return read_toml(data, target.name)
    except GoldsmithError:
        return {}


def _read_file(page: Page, path: str) -> bytes:
    """Return the bytes of a brief. Raises PageError if it cannot be read, InputError if it is too large or no ordinary file."""
    try:
        return page.root.read_file(path, MAX_FILE_BYTES)
    except OSError as error:
        name = display_name(posixpath.basename(path))
        raise PageError(403, strings.unreadable(name, error.strerror or ""), strings.READING_REMEDY) from error


def _filled_steps(values: Mapping[str, object], stages: Sequence[Stage]) -> Iterator[FilledStep]:
    operations = catalogue()
    for stage in stages:
        tables = values.get(stage.name)
        for table in tables if isinstance(tables, list) else ():
            settings = {key: value for key, value in table.items() if key != "op"}
            yield FilledStep(stage=stage.name, op=table["op"], texts=write_texts(form_of(operations[table["op"]]), settings))


def _resolve(page: Page, target: BriefTarget, data: bytes) -> ResolvedBrief | None:
    """Return what would run. Raises GoldsmithError for a recipe or a campaign's brief that cannot be used."""
    bundle = target.bundle
    campaign = None if bundle is None or bundle.campaign_brief is None else bundle.campaign_brief
    return page.setup.resolver.resolve(
        target.stage,
        own=(data, target.name),
        campaign=None if campaign is None else (_read_file(page, campaign), display_name(posixpath.basename(campaign))),
        has_mask=bundle is not None and bool(bundle.masks or bundle.keeps),
        inputs=None if bundle is None else known_inputs(bundle),
    )
