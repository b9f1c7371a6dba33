"""What is to be done to one picture: its own brief, the recipe it names and the campaign's brief, made one.

The brief's own steps win, stage by stage; below it stands the recipe it names, below that the campaign's brief. A picture goes
as far as the last stage that is spoken of; stages between that are not mentioned run their default steps.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

import tomli_w

from goldsmith.brief.brief import (
    Availability,
    Brief,
    FileLookup,
    MaskFit,
    WorkingFormat,
    availability_problems,
    read_brief,
)
from goldsmith.brief.parsing import BriefError, BriefProblem, check_size, read_prompt
from goldsmith.brief.pipeline import Pipeline, Stage, Step
from goldsmith.brief.steps import OperationCatalogue

# The bytes of a file, and what the file is called in sentences.
SourceFile = tuple[bytes, str]

_TOML_HEADER = "# What will be run on this picture. Edit it here and it changes.\n"


@dataclass(frozen=True)
class ResolvedBrief:
    """Everything that is to be done to a picture, complete: nothing else is merged in later."""

    title: str
    prompt: str
    seed: int
    working: WorkingFormat
    mask_fit: MaskFit
    # Steps by stage in the order of the line; the defaults of stages in between are written out.
    steps_by_stage: Mapping[str, tuple[Step, ...]]
    # How far the brief carries the picture; it waits in the folder after that stage.
    last_stage: str
    # The stages of the line, in order.
    stage_names: tuple[str, ...] = field(repr=False)
    # True for a bare mask or a prompt: good for the folder it lies in, and no brief travels on.
    is_single_stage: bool = False
    # True where the picture's own brief says all this already: it travels on as it is, byte for byte.
    is_complete: bool = field(default=False, compare=False)
    # The files it was made of beside the picture's own brief.
    source_files: tuple[str, ...] = field(default=(), compare=False)

    def steps_for(self, stage: Stage) -> tuple[Step, ...]:
        """The steps of that stage; none where it passes as it is."""
        return self.steps_by_stage.get(stage.name, ())

    def reaches(self, stage: Stage) -> bool:
        """True where the picture is to go through that stage; False: the brief ended before it, and the picture waits."""
        return self.stage_names.index(stage.name) <= self.stage_names.index(self.last_stage)

    @cached_property
    def _toml_bytes(self) -> bytes:
        return _format_brief(self).encode()

    def to_toml(self) -> bytes:
        """The brief that travels with the picture; read again it resolves to the same."""
        return self._toml_bytes

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) of everything that is to be done, however it was written."""
        says = [self.title, self.prompt, self.seed, self.working, self.mask_fit, self.last_stage, self.is_single_stage, self.steps_as_data]
        return hashlib.sha256(json.dumps(says).encode()).hexdigest()

    @property
    def steps_as_data(self) -> dict[str, list[dict[str, object]]]:
        """The steps as plain data, for jobs and the record."""
        return {name: [{"op": step.op, **step.settings} for step in steps] for name, steps in self.steps_by_stage.items()}


class Resolver:
    """Makes one of all that was written for a picture, and remembers it: thousands of pictures share a campaign's brief.

    ``recipe`` gives a recipe's bytes by its name, or raises InputError. With a ``stock``, models and things of the library that
    are not there are said before anything runs; they are asked for each time, because the library changes.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        read_recipe: Callable[[str], SourceFile],
        availability: Availability | None = None,
        catalogue: OperationCatalogue | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._read_recipe = read_recipe
        self._availability = availability
        self._catalogue = catalogue
        self._briefs: _LruCache[Brief] = _LruCache(256)
        self._resolved: _LruCache[ResolvedBrief | None] = _LruCache(256)

    def resolve(
        self,
        stage: Stage,
        own: SourceFile | None = None,
        prompt: SourceFile | None = None,
        campaign: SourceFile | None = None,
        has_mask: bool = False,
        has_sidecar: FileLookup | None = None,
    ) -> ResolvedBrief | None:
        """What is to be done to a picture that lies in ``stage.folder``; None where nothing asks for anything.

        own:      ``hero.toml``; one that travelled here is complete, and the campaign's brief is not looked at.
        prompt:   ``hero.txt``.
        campaign: the nearest ``brief.toml`` up the campaign's folders.
        has_mask: a mask lies beside the picture.
        beside:   (shelf, name, suffixes) -> does a sidecar of the picture stand for that thing of the library?
        Raises BriefError with everything that is wrong in the first file that is wrong.
        """
        if own is None and campaign is None and prompt is None and not has_mask:
            return None
        text = None if prompt is None else read_prompt(*prompt)
        layers = self._layers(own, campaign)
        key = (stage.name, text, has_mask, *((layer.digest, layer.source) for layer in layers))
        made = self._resolved.get_or_create(key, lambda: merge_layers(stage, self._pipeline, layers, text, has_mask))
        if made is not None and self._availability is not None:
            said = own or campaign or prompt or (b"", "the mask beside it")
            _check_availability(made, stage.name, self._availability, has_sidecar, said[1])
        return made

    def is_in_library(self, shelf: str, name: str, suffixes: tuple[str, ...]) -> bool:
        """True where the library has such a thing now; False, too, where nobody gave a library to look into."""
        return (
            self._availability is not None
            and self._availability.has_file is not None
            and self._availability.has_file(shelf, name, suffixes)
        )

    def _layers(self, own: SourceFile | None, campaign: SourceFile | None) -> list[BriefLayer]:
        """The files that speak, the strongest first: own, its recipe, the campaign's brief, its recipe unless own named one."""
        layers: list[BriefLayer] = []
        if own is not None:
            layers.append(self._read_layer(own, ""))
            if layers[0].brief.resolved:
                return layers
            layers += self._recipe_layers(layers[0].brief)
        if campaign is not None:
            whole = self._read_layer(campaign, campaign[1])
            own_recipe = len(layers) > 1
            layers.append(whole)
            layers += [] if own_recipe else self._recipe_layers(whole.brief)
        return layers

    def _read_layer(self, source_file: SourceFile, source: str) -> BriefLayer:
        data, file = source_file
        check_size(len(data), file)
        digest = hashlib.sha256(data).hexdigest()
        read = partial(read_brief, data, file, self._pipeline, catalogue=self._catalogue, source=source)
        return BriefLayer(digest, source, self._briefs.get_or_create((digest, source), read))

    def _recipe_layers(self, brief: Brief) -> list[BriefLayer]:
        if brief.recipe is None:
            return []
        written = self._read_recipe(brief.recipe)
        layer = self._read_layer(written, written[1])
        if layer.brief.recipe is not None or layer.brief.resolved:
            told = "is named inside a recipe; a recipe stands alone: put the steps that are meant into it."
            raise BriefError(written[1], [BriefProblem("recipe" if layer.brief.recipe else "resolved", told)])
        return [layer]


class BriefLayer(NamedTuple):
    """One file of a resolution: the sha256 of its bytes, what it is called ("" = the picture's own brief), what it says."""

    digest: str
    source: str
    brief: Brief


CachedValue = TypeVar("CachedValue")


class _LruCache(Generic[CachedValue]):
    """The last things made, by key."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[object, CachedValue] = OrderedDict()

    def get_or_create(self, key: object, create: Callable[[], CachedValue]) -> CachedValue:
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        made = self._entries[key] = create()
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)
        return made


def _check_availability(
    resolved: ResolvedBrief, stage: str, availability: Availability, has_sidecar: FileLookup | None, own_brief: str
) -> None:
    """Raise BriefError where a step from ``stage`` on names a thing that is not there."""
    by_file: dict[str, list[BriefProblem]] = {}
    for name in resolved.stage_names[resolved.stage_names.index(stage) :]:
        for step in resolved.steps_by_stage.get(name, ()):
            faults = availability_problems([step], availability, has_sidecar)
            if faults:
                by_file.setdefault(step.source_file or own_brief, []).extend(faults)
    for file, faults in by_file.items():
        raise BriefError(file, faults)


def merge_layers(
    stage: Stage, pipeline: Pipeline, layers: Sequence[BriefLayer], prompt: str | None, has_mask: bool
) -> ResolvedBrief | None:
    """The layers made one, the strongest first, for a picture in ``stage.folder``; ``text`` is what its ``hero.txt`` says."""
    tables = {
        one.name: table
        for one in pipeline.stages
        if (table := _first_set(layer.brief.steps_by_stage.get(one.name) for layer in layers)) is not None
    }
    here, last = pipeline.index_of(stage.name), max((pipeline.index_of(name) for name in tables), default=-1)
    asked = _merge_fields(pipeline, layers, prompt, tables, last)
    if last >= here:
        filled = {one.name: one.default_steps for one in pipeline.stages[here : last + 1]} | tables
        return replace(
            asked, steps_by_stage=MappingProxyType({one.name: filled[one.name] for one in pipeline.stages if one.name in filled})
        )
    alone = _implicit_steps(
        stage, pipeline, names_stages=last >= 0, has_brief=bool(layers), has_prompt=prompt is not None, has_mask=has_mask
    )
    if alone is None:
        return asked if last >= 0 else None
    return replace(asked, steps_by_stage=MappingProxyType({stage.name: alone}), last_stage=stage.name, is_single_stage=True)


def _merge_fields(
    pipeline: Pipeline, layers: Sequence[BriefLayer], prompt: str | None, steps_by_stage: dict[str, tuple[Step, ...]], last_index: int
) -> ResolvedBrief:
    briefs = [layer.brief for layer in layers]
    own = briefs[0].prompt if layers and not layers[0].source and not briefs[0].resolved else None
    # What a hero.txt says stands below the picture's own brief, and above one that travelled here before it was written.
    prompts = [own, prompt or None, *(brief.prompt for brief in briefs)]
    return ResolvedBrief(
        is_complete=bool(briefs) and briefs[0].resolved and prompt is None,
        title=_first_set(brief.title for brief in briefs) or "",
        prompt=_first_set(prompts) or "",
        seed=_first_set(brief.seed for brief in briefs) or 0,
        working=_first_set(brief.working for brief in briefs) or "png",
        mask_fit=_first_set(brief.mask_fit for brief in briefs) or "refuse",
        steps_by_stage=MappingProxyType(steps_by_stage),
        last_stage=pipeline.stages[last_index].name,
        stage_names=tuple(one.name for one in pipeline.stages),
        source_files=tuple(layer.source for layer in layers if layer.source),
    )


def _implicit_steps(
    stage: Stage, pipeline: Pipeline, *, names_stages: bool, has_brief: bool, has_prompt: bool, has_mask: bool
) -> tuple[Step, ...] | None:
    """The steps of a picture that no brief takes through this stage: a mask, a prompt or a brief without stages may; else None.

    spoken: a brief speaks of stages, all of them behind this one. said: there is a brief at all.
    """
    if has_mask and (stage.mask_steps or has_prompt or (not names_stages and _uses_mask_later(stage, pipeline))):
        return stage.mask_steps or stage.default_steps
    return stage.default_steps if has_prompt or (has_brief and not names_stages) else None


def _uses_mask_later(stage: Stage, pipeline: Pipeline) -> bool:
    """True where this stage or a later one has a use for a bare mask; behind that one a mask is no instruction."""
    return any(one.mask_steps for one in pipeline.stages[pipeline.index_of(stage.name) :])


FieldValue = TypeVar("FieldValue")


def _first_set(values: Iterable[FieldValue | None]) -> FieldValue | None:
    return next((value for value in values if value is not None), None)


def _format_brief(resolved: ResolvedBrief) -> str:
    """The brief as people write one: what it is about, then stage by stage, each step under its own [[heading]]."""
    parts = [_TOML_HEADER]
    if resolved.source_files:
        parts.append(f"# Besides its own brief it was made of {', '.join(map(_comment_text, resolved.source_files))}.\n")
    head = {"title": resolved.title, "prompt": resolved.prompt, "seed": resolved.seed, "working": resolved.working}
    parts += [_format_pair(key, value) for key, value in head.items() if value != ""]
    parts.append("resolved = true            # complete: no recipe and no campaign's brief is added\n")
    parts += [f"{_format_key(name)} = []\n" for name, steps in resolved.steps_by_stage.items() if not steps]
    parts.append(f"\n[mask]\n{_format_pair('fit', resolved.mask_fit)}")
    for name, steps in resolved.steps_by_stage.items():
        for step in steps:
            parts.append(f"\n[[{_format_key(name)}]]\n{_format_pair('op', step.op)}")
            parts += [_format_pair(key, value) for key, value in step.settings.items()]
    return "".join(parts)


def _format_pair(key: str, value: object) -> str:
    return f"{_format_key(key)} = {_format_value(value)}\n"


def _format_value(value: object) -> str:
    """One value on one line where it can be: tables and lists inline, several lines of text as they are."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_format_key(key)} = {_format_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_format_value(inner) for inner in value) + "]"
    return tomli_w.dumps({"x": value}, multiline_strings=True)[len("x = ") : -1]


def _format_key(name: str) -> str:
    return tomli_w.dumps({name: 0})[: -len(" = 0\n")]


def _comment_text(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
