"""Resolves one picture's brief: its own brief, the recipe that it names, and the campaign's brief, merged.

Stage by stage the picture's own brief wins, then its recipe, then the campaign's brief. A picture goes as far as the last stage that one
of them mentions. Stages before it that none mentions run their default steps.
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
    HdrReading,
    InReview,
    MaskFit,
    MaskFrom,
    availability_problems,
    read_brief,
)
from goldsmith.brief.parsing import BriefError, BriefProblem, check_size, read_prompt
from goldsmith.brief.pipeline import Pipeline, Stage, masks_of
from goldsmith.brief.steps import OperationCatalogue, Step, with_look
from goldsmith.picture.formats.table import WorkingFormat
from goldsmith.step_needs import StepInputs, StepNeeds, check_prompt

# The bytes of a file, and its name in messages.
SourceFile = tuple[bytes, str]

_IN_REVIEW_HEADER = "\n[in_review]                # Goldsmith's own note about the result that waits for a person\n"
_TOML_HEADER = "# These steps will run on this picture. Edit this file to change them.\n"


@dataclass(frozen=True)
class ResolvedBrief:
    """The complete steps and settings for a picture; nothing is merged into them later."""

    title: str
    prompt: str
    seed: int
    # Of the files between the folders; None = as the stage's row of the pipeline says.
    working: WorkingFormat | None
    hdr: HdrReading
    float_range: float
    mask_fit: MaskFit
    # Steps by stage in the order of the pipeline, with the default steps of stages that no file mentions.
    steps_by_stage: Mapping[str, tuple[Step, ...]]
    # The last stage that runs; then the picture waits in the next folder.
    last_stage: str
    # The stages of the pipeline, in order.
    stage_names: tuple[str, ...] = field(repr=False)
    # Where the unnamed mask is: beside the picture or in its layers, or the hole in its alpha.
    mask_from: MaskFrom = "files"
    # True for a mask, a look or a prompt without a brief: only this stage runs, and no brief moves on.
    is_single_stage: bool = False
    # True if the picture's own brief already has all of this: that brief moves on, byte for byte.
    is_complete: bool = field(default=False, compare=False)
    # Who made the picture, whose it is, and whom to name: written into its files.
    creator: str = ""
    rights: str = ""
    credit: str = ""
    # The stages whose results (``edit``) or found masks (``edit.mask``) a person must approve, besides those of the pipeline.
    review: tuple[str, ...] = ()
    # The names of the masks that a person has approved.
    approved_masks: tuple[str, ...] = ()
    # The result that waits for a person; None unless the picture lies in review/.
    in_review: InReview | None = field(default=None, compare=False)
    # The files that were merged, without the picture's own brief.
    source_files: tuple[str, ...] = field(default=(), compare=False)

    def steps_for(self, stage: Stage) -> tuple[Step, ...]:
        """Return the steps of a stage; none if the picture passes it unchanged."""
        return self.steps_by_stage.get(stage.name, ())

    def is_reviewed_after(self, stage: Stage) -> bool:
        """Return whether a person must approve the results of a stage. A stage without steps has no results."""
        asks = any(step.operation.asks_person() for step in self.steps_for(stage))
        return asks or (bool(self.steps_for(stage)) and (stage.is_reviewed or stage.name in self.review))

    def reviews_masks_of(self, stage: Stage) -> bool:
        """Return whether a person must approve the masks that the steps of a stage find by themselves."""
        return stage.reviews_masks or masks_of(stage.name) in self.review

    def reaches(self, stage: Stage) -> bool:
        """Return whether the picture runs through the stage. If not, its brief ended earlier and the picture waits."""
        return self.stage_names.index(stage.name) <= self.stage_names.index(self.last_stage)

    @cached_property
    def _toml_bytes(self) -> bytes:
        return _format_brief(self).encode()

    def to_toml(self) -> bytes:
        """Return the brief that moves with the picture. Resolving it gives the same steps and settings."""
        return self._toml_bytes

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the steps and settings, independent of their notation."""
        content = [
            self.title,
            self.creator,
            self.rights,
            self.credit,
            self.prompt,
            self.seed,
            self.working,
            self.hdr,
            self.float_range,
            self.mask_fit,
            self.mask_from,
            self.review,
            self.approved_masks,
            self.last_stage,
            self.is_single_stage,
            self.steps_as_data,
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    @property
    def steps_as_data(self) -> dict[str, list[dict[str, object]]]:
        """The steps as plain data, for jobs and the record."""
        return {name: [{"op": step.op, **step.settings} for step in steps] for name, steps in self.steps_by_stage.items()}


class Resolver:
    """Merges the files written for a picture, and caches the results, because thousands of pictures share a campaign's brief.

    ``read_recipe`` returns a recipe by name or raises InputError. With an ``availability``, missing models and library files are reported
    before a job runs. They are checked on each call, because they come and go.
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
        own_look: str = "",
        inputs: StepInputs | None = None,
    ) -> ResolvedBrief | None:
        """Return the resolved brief of a picture in ``stage.folder``; None if no file asks for a step.

        own:         ``hero.toml``. If it moved here with the picture it is complete, and the campaign's brief is ignored.
        prompt:      ``hero.txt``.
        campaign:    the nearest ``brief.toml`` above the picture.
        has_mask:    whether there is a mask beside the picture.
        has_sidecar: (library folder, name, suffixes) -> whether a sidecar of the picture replaces that library file.
        own_look:    the name of the look beside the picture; "" = none.
        inputs:      what lies beside the brief, for the steps of this stage.
        Raises BriefError with every problem of the first file that has one.
        """
        if own is None and campaign is None and prompt is None and not has_mask and not own_look:
            return None
        text = None if prompt is None else _checked_prompt(*prompt)
        layers = self._layers(own, campaign)
        key = (stage.name, text, has_mask, own_look, *((layer.digest, layer.source) for layer in layers))
        resolved = self._resolved.get_or_create(key, lambda: merge_layers(stage, self._pipeline, layers, text, has_mask, own_look))
        if resolved is not None and self._availability is not None:
            source = own or campaign or prompt or (b"", "the mask beside it" if has_mask else "the look beside it")
            _check_availability(resolved, stage.name, self._availability, has_sidecar, source[1], inputs)
        return resolved

    def resolve_waiting(self, own: SourceFile) -> ResolvedBrief | None:
        """Return what the brief of a picture in review/ says; None if it does not say which result waits there.

        Raises BriefError with every problem of the file.
        """
        layer = self._read_layer(own, "")
        waiting = layer.brief.in_review
        stage = None if waiting is None else self._pipeline.stages[self._pipeline.index_of(waiting.stage)]
        return None if stage is None else merge_layers(stage, self._pipeline, [layer], None, False)

    def nothing(self) -> ResolvedBrief:
        """Return the brief of a picture about which no file says anything."""
        return _merge_fields(self._pipeline, [], None, {}, -1)

    def why_no_engine(self, needs: StepNeeds) -> str | None:
        """Return why this machine has no engine for a step with these needs, as complete sentences; None if it has one."""
        why = self._availability.why_unavailable if self._availability is not None else None
        refusals = [why(need) for need in needs.engines] if why is not None else []
        return next((refusal.sentence for refusal in refusals if refusal is not None), None)

    def is_in_library(self, folder: str, name: str, suffixes: tuple[str, ...]) -> bool:
        """Return whether the library has such a file now. Without a library the answer is False."""
        return (
            self._availability is not None
            and self._availability.has_file is not None
            and self._availability.has_file(folder, name, suffixes)
        )

    def _layers(self, own: SourceFile | None, campaign: SourceFile | None) -> list[BriefLayer]:
        """Return the files to merge, the strongest first: own brief, its recipe, campaign's brief, its recipe if own names none."""
        layers: list[BriefLayer] = []
        if own is not None:
            layers.append(self._read_layer(own, ""))
            if layers[0].brief.resolved:
                return layers
            layers += self._recipe_layers(layers[0].brief)
        if campaign is not None:
            campaign_layer = self._read_layer(campaign, campaign[1])
            has_own_recipe = len(layers) > 1
            layers.append(campaign_layer)
            layers += [] if has_own_recipe else self._recipe_layers(campaign_layer.brief)
        return layers

    def _read_layer(self, source_file: SourceFile, source: str) -> BriefLayer:
        data, file = source_file
        check_size(len(data), file, data)
        digest = hashlib.sha256(data).hexdigest()
        read = partial(read_brief, data, file, self._pipeline, catalogue=self._catalogue, source=source)
        return BriefLayer(digest, source, self._briefs.get_or_create((digest, source), read))

    def _recipe_layers(self, brief: Brief) -> list[BriefLayer]:
        if brief.recipe is None:
            return []
        recipe = self._read_recipe(brief.recipe)
        layer = self._read_layer(recipe, recipe[1])
        if layer.brief.recipe is not None or layer.brief.resolved:
            sentence = "is not allowed in a recipe, which must be complete: write the steps into the recipe itself."
            raise BriefError(recipe[1], [BriefProblem("recipe" if layer.brief.recipe else "resolved", sentence)])
        return [layer]


class BriefLayer(NamedTuple):
    """One file to merge: the SHA-256 of its bytes, its name ("" = the picture's own brief), its content."""

    digest: str
    source: str
    brief: Brief


CachedValue = TypeVar("CachedValue")


class _LruCache(Generic[CachedValue]):
    """The most recently used values, by key."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[object, CachedValue] = OrderedDict()

    def get_or_create(self, key: object, create: Callable[[], CachedValue]) -> CachedValue:
        """Return the cached value, or create and cache it."""
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        value = self._entries[key] = create()
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)
        return value


def _check_availability(
    resolved: ResolvedBrief,
    stage: str,
    availability: Availability,
    has_sidecar: FileLookup | None,
    own_brief: str,
    inputs: StepInputs | None,
) -> None:
    """Raise BriefError if a step of ``stage`` or a later stage names something that is missing."""
    by_file: dict[str, list[BriefProblem]] = {}
    for name in resolved.stage_names[resolved.stage_names.index(stage) :]:
        for number, step in enumerate(resolved.steps_by_stage.get(name, ())):
            # The first step may make the picture, so every later one has it.
            step_inputs = None if inputs is None or name != stage else replace(inputs, has_picture=inputs.has_picture or number > 0)
            problems = availability_problems([step], availability, has_sidecar, step_inputs)
            if problems:
                by_file.setdefault(step.source_file or own_brief, []).extend(problems)
    for file, problems in by_file.items():
        raise BriefError(file, problems)


def merge_layers(
    stage: Stage, pipeline: Pipeline, layers: Sequence[BriefLayer], prompt: str | None, has_mask: bool, own_look: str = ""
) -> ResolvedBrief | None:
    """Merge the layers, the strongest first, for a picture in ``stage.folder``.

    ``prompt`` is the text of its ``hero.txt``, ``own_look`` the name of its ``hero.cube``.
    """
    tables = {
        each.name: table
        for each in pipeline.stages
        if (table := _first_set(layer.brief.steps_by_stage.get(each.name) for layer in layers)) is not None
    }
    index, last_index = pipeline.index_of(stage.name), max((pipeline.index_of(name) for name in tables), default=-1)
    resolved_brief = _merge_fields(pipeline, layers, prompt, tables, last_index)
    if last_index >= index:
        filled = {each.name: tuple(each.default_steps) for each in pipeline.stages[index : last_index + 1]} | tables
        return replace(
            resolved_brief,
            steps_by_stage=MappingProxyType({each.name: filled[each.name] for each in pipeline.stages if each.name in filled}),
        )
    implicit_steps = _implicit_steps(
        stage, pipeline, names_stages=last_index >= 0, has_brief=bool(layers), has_prompt=prompt is not None, has_mask=has_mask
    )
    if own_look and stage.look_steps:
        before = stage.default_steps if implicit_steps is None else implicit_steps
        implicit_steps = tuple(with_look(step, own_look) for step in (*before, *stage.look_steps))
    if implicit_steps is None:
        return resolved_brief if last_index >= 0 else None
    return replace(
        resolved_brief, steps_by_stage=MappingProxyType({stage.name: implicit_steps}), last_stage=stage.name, is_single_stage=True
    )


def _checked_prompt(data: bytes, file: str) -> str:
    """Return the prompt in a ``hero.txt``. Raises BriefError if it is none, or has words that another program obeys."""
    try:
        return check_prompt(read_prompt(data, file))
    except ValueError as error:
        raise BriefError(file, [BriefProblem("", f"{error}.")]) from error


def _merge_fields(
    pipeline: Pipeline, layers: Sequence[BriefLayer], prompt: str | None, steps_by_stage: dict[str, tuple[Step, ...]], last_index: int
) -> ResolvedBrief:
    briefs = [layer.brief for layer in layers]
    own = briefs[0].prompt if layers and not layers[0].source and not briefs[0].resolved else None
    # A hero.txt is weaker than the picture's own brief, and stronger than a brief that moved here before hero.txt was written.
    prompts = [own, prompt or None, *(brief.prompt for brief in briefs)]
    return ResolvedBrief(
        is_complete=bool(briefs) and briefs[0].resolved and prompt is None and briefs[0].in_review is None,
        title=_first_set(brief.title for brief in briefs) or "",
        creator=_first_set(brief.creator for brief in briefs) or "",
        rights=_first_set(brief.rights for brief in briefs) or "",
        credit=_first_set(brief.credit for brief in briefs) or "",
        prompt=_first_set(prompts) or "",
        seed=_first_set(brief.seed for brief in briefs) or 0,
        working=_first_set(brief.working for brief in briefs),
        hdr=_first_set(brief.hdr for brief in briefs) or "refuse",
        float_range=_first_set(brief.float_range for brief in briefs) or 1.0,
        mask_fit=_first_set(brief.mask_fit for brief in briefs) or "refuse",
        mask_from=_first_set(brief.mask_from for brief in briefs) or "files",
        review=_first_set(brief.review for brief in briefs) or (),
        approved_masks=_first_set(brief.approved_masks for brief in briefs) or (),
        in_review=briefs[0].in_review if layers and not layers[0].source else None,
        steps_by_stage=MappingProxyType(steps_by_stage),
        last_stage=pipeline.stages[last_index].name,
        stage_names=tuple(each.name for each in pipeline.stages),
        source_files=tuple(layer.source for layer in layers if layer.source),
    )


def _implicit_steps(
    stage: Stage, pipeline: Pipeline, *, names_stages: bool, has_brief: bool, has_prompt: bool, has_mask: bool
) -> tuple[Step, ...] | None:
    """Return the steps that a mask, a prompt or a brief without stages asks for in this stage; None if there is none of these.

    ``names_stages``: a brief mentions stages, all of them before this one.
    """
    if has_mask and (stage.mask_steps or has_prompt or (not names_stages and pipeline.moves_with_mask(stage))):
        return tuple(stage.mask_steps or stage.default_steps)
    return tuple(stage.default_steps) if has_prompt or (has_brief and not names_stages) else None


FieldValue = TypeVar("FieldValue")


def _first_set(values: Iterable[FieldValue | None]) -> FieldValue | None:
    return next((value for value in values if value is not None), None)


def _format_brief(resolved: ResolvedBrief) -> str:
    """Return the brief as people write one: its settings, then each step under its own [[heading]]."""
    parts = [_TOML_HEADER]
    if resolved.source_files:
        parts.append(f"# Merged from the picture's own brief and {', '.join(map(_comment_text, resolved.source_files))}.\n")
    head: dict[str, object] = {name: getattr(resolved, name) for name in ("title", "creator", "rights", "credit", "prompt", "seed")}
    head |= {
        "working": resolved.working or "",
        "hdr": resolved.hdr if resolved.hdr != "refuse" else "",
        "float_range": resolved.float_range if resolved.float_range != 1.0 else "",
    }
    parts += [format_pair(key, value) for key, value in head.items() if value != ""]
    parts += [format_pair("review", list(resolved.review))] if resolved.review else []
    parts.append("resolved = true            # complete: no recipe and no campaign's brief is merged in\n")
    parts += [f"{_format_key(name)} = []\n" for name, steps in resolved.steps_by_stage.items() if not steps]
    parts.append(f"\n[mask]\n{format_pair('fit', resolved.mask_fit)}")
    parts += [format_pair("approved", list(resolved.approved_masks))] if resolved.approved_masks else []
    parts += [format_pair("from", resolved.mask_from)] if resolved.mask_from != "files" else []
    if resolved.in_review is not None:
        waiting: dict[str, object] = {"stage": resolved.in_review.stage, "seed": resolved.in_review.seed, "bytes": resolved.in_review.size}
        waiting |= {"candidates": resolved.in_review.candidates} if resolved.in_review.candidates else {}
        masks = [{"region": region, "name": name} for region, name in resolved.in_review.masks]
        waiting |= {"masks": masks} if masks else {}
        parts.append(_IN_REVIEW_HEADER + "".join(format_pair(key, value) for key, value in waiting.items()))
    for name, steps in resolved.steps_by_stage.items():
        for step in steps:
            parts.append(f"\n[[{_format_key(name)}]]\n{format_pair('op', step.op)}")
            parts += [format_pair(key, value) for key, value in step.settings.items()]
    return "".join(parts)


def format_pair(key: str, value: object) -> str:
    """Return a setting of a brief as a line, with its line end."""
    return f"{_format_key(key)} = {_format_value(value)}\n"


def _format_value(value: object) -> str:
    """Return a value, on one line if possible: tables and lists inline, texts of several lines as they are."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_format_key(key)} = {_format_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_format_value(inner) for inner in value) + "]"
    return tomli_w.dumps({"x": value}, multiline_strings=True)[len("x = ") : -1]


def _format_key(name: str) -> str:
    return tomli_w.dumps({name: 0})[: -len(" = 0\n")]


def _comment_text(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
