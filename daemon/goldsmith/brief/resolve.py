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
    Beside,
    Brief,
    MaskFit,
    Stock,
    Working,
    read_brief,
    stock_faults,
)
from goldsmith.brief.pipeline import Line, Stage, Step
from goldsmith.brief.reading import BriefFault, Fault, check_size, read_prompt
from goldsmith.brief.steps import Catalogue

Written = tuple[bytes, str]
"""The bytes of a file, and what the file is called in sentences."""

_HEADING = "# What will be run on this picture. Edit it here and it changes.\n"


@dataclass(frozen=True)
class Resolved:
    """Everything that is to be done to a picture, complete: nothing else is merged in later."""

    title: str
    prompt: str
    seed: int
    working: Working
    mask_fit: MaskFit
    tables: Mapping[str, tuple[Step, ...]]
    """Steps by stage in the order of the line; the defaults of stages in between are written out."""
    last_stage: str
    """How far the brief carries the picture; it waits in the folder after that stage."""
    stages: tuple[str, ...] = field(repr=False)
    """The stages of the line, in order."""
    one_stage: bool = False
    """True for a bare mask or a prompt: good for the folder it lies in, and no brief travels on."""
    complete: bool = field(default=False, compare=False)
    """True where the picture's own brief says all this already: it travels on as it is, byte for byte."""
    sources: tuple[str, ...] = field(default=(), compare=False)
    """The files it was made of beside the picture's own brief."""

    def steps_for(self, stage: Stage) -> tuple[Step, ...]:
        """The steps of that stage; none where it passes as it is."""
        return self.tables.get(stage.name, ())

    def reaches(self, stage: Stage) -> bool:
        """True where the picture is to go through that stage; False: the brief ended before it, and the picture waits."""
        return self.stages.index(stage.name) <= self.stages.index(self.last_stage)

    @cached_property
    def _toml(self) -> bytes:
        return _written(self).encode()

    def to_toml(self) -> bytes:
        """The brief that travels with the picture; read again it resolves to the same."""
        return self._toml

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) of everything that is to be done, however it was written."""
        says = [self.title, self.prompt, self.seed, self.working, self.mask_fit, self.last_stage, self.one_stage, self.plain_tables]
        return hashlib.sha256(json.dumps(says).encode()).hexdigest()

    @property
    def plain_tables(self) -> dict[str, list[dict[str, object]]]:
        """The steps as plain data, for jobs and the record."""
        return {name: [{"op": step.op, **step.settings} for step in steps] for name, steps in self.tables.items()}


class Resolver:
    """Makes one of all that was written for a picture, and remembers it: thousands of pictures share a campaign's brief.

    ``recipe`` gives a recipe's bytes by its name, or raises Problem. With a ``stock``, models and things of the library that
    are not there are said before anything runs; they are asked for each time, because the library changes.
    """

    def __init__(
        self, line: Line, recipe: Callable[[str], Written], stock: Stock | None = None, catalogue: Catalogue | None = None
    ) -> None:
        self._line = line
        self._recipe = recipe
        self._stock = stock
        self._catalogue = catalogue
        self._briefs: _Kept[Brief] = _Kept(256)
        self._resolved: _Kept[Resolved | None] = _Kept(256)

    def resolve(
        self,
        stage: Stage,
        own: Written | None = None,
        prompt: Written | None = None,
        campaign: Written | None = None,
        has_mask: bool = False,
        beside: Beside | None = None,
    ) -> Resolved | None:
        """What is to be done to a picture that lies in ``stage.folder``; None where nothing asks for anything.

        own:      ``hero.toml``; one that travelled here is complete, and the campaign's brief is not looked at.
        prompt:   ``hero.txt``.
        campaign: the nearest ``brief.toml`` up the campaign's folders.
        has_mask: a mask lies beside the picture.
        beside:   (shelf, name, suffixes) -> does a sidecar of the picture stand for that thing of the library?
        Raises BriefFault with everything that is wrong in the first file that is wrong.
        """
        if own is None and campaign is None and prompt is None and not has_mask:
            return None
        text = None if prompt is None else read_prompt(*prompt)
        layers = self._layers(own, campaign)
        key = (stage.name, text, has_mask, *((layer.digest, layer.source) for layer in layers))
        made = self._resolved.get(key, lambda: merged(stage, self._line, layers, text, has_mask))
        if made is not None and self._stock is not None:
            said = own or campaign or prompt or (b"", "the mask beside it")
            _check_stock(made, stage.name, self._stock, beside, said[1])
        return made

    def in_library(self, shelf: str, name: str, suffixes: tuple[str, ...]) -> bool:
        """True where the library has such a thing now; False, too, where nobody gave a library to look into."""
        return self._stock is not None and self._stock.has is not None and self._stock.has(shelf, name, suffixes)

    def _layers(self, own: Written | None, campaign: Written | None) -> list[Layer]:
        """The files that speak, the strongest first: own, its recipe, the campaign's brief, its recipe unless own named one."""
        layers: list[Layer] = []
        if own is not None:
            layers.append(self._layer(own, ""))
            if layers[0].brief.resolved:
                return layers
            layers += self._recipe_of(layers[0].brief)
        if campaign is not None:
            whole = self._layer(campaign, campaign[1])
            own_recipe = len(layers) > 1
            layers.append(whole)
            layers += [] if own_recipe else self._recipe_of(whole.brief)
        return layers

    def _layer(self, written: Written, source: str) -> Layer:
        data, file = written
        check_size(len(data), file)
        digest = hashlib.sha256(data).hexdigest()
        read = partial(read_brief, data, file, self._line, catalogue=self._catalogue, source=source)
        return Layer(digest, source, self._briefs.get((digest, source), read))

    def _recipe_of(self, brief: Brief) -> list[Layer]:
        if brief.recipe is None:
            return []
        written = self._recipe(brief.recipe)
        layer = self._layer(written, written[1])
        if layer.brief.recipe is not None or layer.brief.resolved:
            told = "is named inside a recipe; a recipe stands alone: put the steps that are meant into it."
            raise BriefFault(written[1], [Fault("recipe" if layer.brief.recipe else "resolved", told)])
        return [layer]


class Layer(NamedTuple):
    """One file of a resolution: the sha256 of its bytes, what it is called ("" = the picture's own brief), what it says."""

    digest: str
    source: str
    brief: Brief


Kept = TypeVar("Kept")


class _Kept(Generic[Kept]):
    """The last things made, by key."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: OrderedDict[object, Kept] = OrderedDict()

    def get(self, key: object, make: Callable[[], Kept]) -> Kept:
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        made = self._entries[key] = make()
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)
        return made


def _check_stock(resolved: Resolved, stage: str, stock: Stock, beside: Beside | None, own: str) -> None:
    """Raise BriefFault where a step from ``stage`` on names a thing that is not there."""
    by_file: dict[str, list[Fault]] = {}
    for name in resolved.stages[resolved.stages.index(stage) :]:
        for step in resolved.tables.get(name, ()):
            faults = stock_faults([step], stock, beside)
            if faults:
                by_file.setdefault(step.source or own, []).extend(faults)
    for file, faults in by_file.items():
        raise BriefFault(file, faults)


def merged(stage: Stage, line: Line, layers: Sequence[Layer], text: str | None, has_mask: bool) -> Resolved | None:
    """The layers made one, the strongest first, for a picture in ``stage.folder``; ``text`` is what its ``hero.txt`` says."""
    tables = {one.name: table for one in line.stages if (table := _first(layer.brief.tables.get(one.name) for layer in layers)) is not None}
    here, last = line.place(stage.name), max((line.place(name) for name in tables), default=-1)
    asked = _asked(line, layers, text, tables, last)
    if last >= here:
        filled = {one.name: one.default for one in line.stages[here : last + 1]} | tables
        return replace(asked, tables=MappingProxyType({one.name: filled[one.name] for one in line.stages if one.name in filled}))
    alone = _alone(stage, line, spoken=last >= 0, said=bool(layers), prompted=text is not None, has_mask=has_mask)
    if alone is None:
        return asked if last >= 0 else None
    return replace(asked, tables=MappingProxyType({stage.name: alone}), last_stage=stage.name, one_stage=True)


def _asked(line: Line, layers: Sequence[Layer], text: str | None, tables: dict[str, tuple[Step, ...]], last: int) -> Resolved:
    briefs = [layer.brief for layer in layers]
    own = briefs[0].prompt if layers and not layers[0].source and not briefs[0].resolved else None
    # What a hero.txt says stands below the picture's own brief, and above one that travelled here before it was written.
    prompts = [own, text or None, *(brief.prompt for brief in briefs)]
    return Resolved(
        complete=bool(briefs) and briefs[0].resolved and text is None,
        title=_first(brief.title for brief in briefs) or "",
        prompt=_first(prompts) or "",
        seed=_first(brief.seed for brief in briefs) or 0,
        working=_first(brief.working for brief in briefs) or "png",
        mask_fit=_first(brief.mask_fit for brief in briefs) or "refuse",
        tables=MappingProxyType(tables),
        last_stage=line.stages[last].name,
        stages=tuple(one.name for one in line.stages),
        sources=tuple(layer.source for layer in layers if layer.source),
    )


def _alone(stage: Stage, line: Line, *, spoken: bool, said: bool, prompted: bool, has_mask: bool) -> tuple[Step, ...] | None:
    """The steps of a picture that no brief takes through this stage: a mask, a prompt or a brief without stages may; else None.

    spoken: a brief speaks of stages, all of them behind this one. said: there is a brief at all.
    """
    if has_mask and (stage.with_mask or prompted or (not spoken and _mask_ahead(stage, line))):
        return stage.with_mask or stage.default
    return stage.default if prompted or (said and not spoken) else None


def _mask_ahead(stage: Stage, line: Line) -> bool:
    """True where this stage or a later one has a use for a bare mask; behind that one a mask is no instruction."""
    return any(one.with_mask for one in line.stages[line.place(stage.name) :])


Said = TypeVar("Said")


def _first(values: Iterable[Said | None]) -> Said | None:
    return next((value for value in values if value is not None), None)


def _written(resolved: Resolved) -> str:
    """The brief as people write one: what it is about, then stage by stage, each step under its own [[heading]]."""
    parts = [_HEADING]
    if resolved.sources:
        parts.append(f"# Besides its own brief it was made of {', '.join(map(_comment, resolved.sources))}.\n")
    head = {"title": resolved.title, "prompt": resolved.prompt, "seed": resolved.seed, "working": resolved.working}
    parts += [_pair(key, value) for key, value in head.items() if value != ""]
    parts.append("resolved = true            # complete: no recipe and no campaign's brief is added\n")
    parts += [f"{_key(name)} = []\n" for name, steps in resolved.tables.items() if not steps]
    parts.append(f"\n[mask]\n{_pair('fit', resolved.mask_fit)}")
    for name, steps in resolved.tables.items():
        for step in steps:
            parts.append(f"\n[[{_key(name)}]]\n{_pair('op', step.op)}")
            parts += [_pair(key, value) for key, value in step.settings.items()]
    return "".join(parts)


def _pair(key: str, value: object) -> str:
    return f"{_key(key)} = {_value(value)}\n"


def _value(value: object) -> str:
    """One value on one line where it can be: tables and lists inline, several lines of text as they are."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(inner) for inner in value) + "]"
    return tomli_w.dumps({"x": value}, multiline_strings=True)[len("x = ") : -1]


def _key(name: str) -> str:
    return tomli_w.dumps({name: 0})[: -len(" = 0\n")]


def _comment(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
