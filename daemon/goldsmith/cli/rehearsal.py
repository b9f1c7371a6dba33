"""What a brief would do, found out without doing it: everything that is wrong with it, or its steps stage by stage."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from goldsmith.brief.brief import Brief, Refusal, Stock, read_brief
from goldsmith.brief.pipeline import Stage, Step
from goldsmith.brief.reading import BriefFault, read_prompt
from goldsmith.brief.resolve import Resolved, Resolver, Written
from goldsmith.cli.screen import plain, say, table
from goldsmith.engines import EngineNeed
from goldsmith.errors import Problem
from goldsmith.files import fold
from goldsmith.library.availability import consent_missing, models_by_kind, refusal
from goldsmith.library.layers import SHELVES_SHOWN
from goldsmith.library.library import Library
from goldsmith.operation import LAYER_SHELVES, LAYER_SUFFIXES
from goldsmith.pipeline.intake.bundle import Bundle
from goldsmith.pipeline.intake.completeness import Pace
from goldsmith.pipeline.scheduler.readiness import Judge, lacking_mask
from goldsmith.pipeline.scheduler.texts import Texts
from goldsmith.pipeline.status.daemon_state import Daemon
from goldsmith.pipeline.status.explain import Explain
from goldsmith.service import Setup


class Rehearsal:
    """Checks one file against a root's line, models and library; ``library`` is None where there is none to check against."""

    def __init__(self, setup: Setup, library: Library | None) -> None:
        self._setup = setup
        self._library = library
        self._texts = Texts(setup.root)

    def show(self, path: Path, data: bytes, inside: str | None, kind: str) -> None:
        """Print what would be run. Raises Problem with everything that is wrong."""
        bundle = self._bundle(inside) if inside is not None and kind != "recipe" else None
        name = plain(path.name)
        if bundle is not None and bundle.ambiguous:
            raise Problem(bundle.ambiguous)
        own, prompt, campaign = self._written(name, data, bundle, kind)
        if own is None and prompt is None and campaign is None and not (bundle and (bundle.masks or bundle.keeps)):
            say(f"{name}: nothing is wrong, and nothing is asked for: put a brief or a mask beside it.")
            return
        self._check(own, prompt, campaign, bundle)
        stage = self._stage(inside, own or campaign)
        resolver = Resolver(self._setup.line, self._setup.library.recipe, self._stock(bundle))
        masked = bundle is not None and bool(bundle.masks or bundle.keeps)
        resolved = resolver.resolve(stage, own=own, prompt=prompt, campaign=campaign, has_mask=masked)
        say(f"{name}: nothing is wrong. It was read as {_ARTICLES[kind]}.")
        self._print(stage, resolved, bundle)

    def _bundle(self, inside: str) -> Bundle | None:
        pace = Pace()
        judge = Judge(self._setup.line, self._setup.resolver, self._texts.bytes_of)
        return Explain(self._setup.root, self._setup.line, judge, None, Daemon(), pace).bundle_with(inside)

    def _written(self, name: str, data: bytes, bundle: Bundle | None, kind: str) -> tuple[Written | None, Written | None, Written | None]:
        """The picture's own brief, its prompt and its campaign's brief, as the judge would read them."""
        if bundle is None:
            said = (data, name)
            return (None, said, None) if kind == "prompt" else (None, None, None) if kind == "picture" else (said, None, None)
        own, prompt, campaign = (self._text(path) for path in (bundle.brief, bundle.prompt, bundle.campaign_brief))
        return own, prompt, campaign

    def _text(self, path: str | None) -> Written | None:
        return None if path is None else (self._texts.bytes_of(path), plain(os.path.basename(path)))

    # ------------------------------------------------------------------ what is wrong

    def _check(self, own: Written | None, prompt: Written | None, campaign: Written | None, bundle: Bundle | None) -> None:
        """Read every file that speaks, and raise one Problem with the faults of all of them."""
        faults: list[str] = []
        stock = self._stock(bundle)
        brief = _tried(faults, lambda: self._read(own, stock)) if own is not None else None
        if prompt is not None:
            _tried(faults, lambda: read_prompt(*prompt))
        if campaign is not None and not (brief is not None and brief.resolved):
            whole = _tried(faults, lambda: self._read(campaign, stock))
            brief = brief if brief is not None and brief.recipe else whole or brief
        if brief is not None and brief.recipe is not None and self._library is not None:
            recipe = brief.recipe
            _tried(faults, lambda: self._read(self._setup.library.recipe(recipe), stock))
        if faults:
            raise Problem("\n".join(faults), "Nothing was run.")

    def _read(self, written: Written | None, stock: Stock) -> Brief:
        data, name = written or (b"", "")
        return read_brief(data, name, self._setup.line, stock)

    def _stock(self, bundle: Bundle | None) -> Stock:
        """What the house has, with the looks that lie beside the picture."""
        models, library = models_by_kind(self._setup.weights), self._library
        if library is None:
            return Stock(models, refuses=self._refuses)
        beside = {fold(os.path.basename(path)) for path in (bundle.looks if bundle is not None else ())}

        def is_here(shelf: str, name: str, suffixes: tuple[str, ...]) -> bool:
            near = shelf == "looks" and any(fold(name + suffix) in beside for suffix in ("", *suffixes))
            return near or library.find(shelf, name, suffixes) is not None

        return Stock(models, is_here, library.names, self._refuses, partial(consent_missing, library))

    def _refuses(self, need: EngineNeed) -> Refusal | None:
        """Weights that are not on this machine are no fault of the brief: they are told below what would be run."""
        found = refusal(self._setup.weights, need)
        return None if found is None or found.passing else found

    # ------------------------------------------------------------------ what would be run

    def _stage(self, inside: str | None, written: Written | None) -> Stage:
        """The stage of the folder it lies in; for a file that lies elsewhere the first one on the line."""
        found = self._setup.line.of_folder(inside.partition("/")[0]) if inside is not None else None
        if found is not None or written is None:
            return found or self._setup.line.stages[0]
        brief = self._read(written, Stock())
        spoken = [stage for stage in self._setup.line.stages if stage.name in brief.tables]
        return spoken[0] if brief.resolved and spoken else self._setup.line.stages[0]

    def _print(self, stage: Stage, resolved: Resolved | None, bundle: Bundle | None) -> None:
        if resolved is None:
            say(f"It asks for nothing in {stage.folder}/: a picture that lies there waits.")
            return
        if not resolved.reaches(stage):
            waits = f"in {stage.folder}/ a picture waits for [[{stage.name}]] or for somebody who drags it on"
            say(f"It ends with {resolved.last_stage}: {waits}.")
            return
        stages = self._setup.line.stages
        way = stages[self._setup.line.place(stage.name) : self._setup.line.place(resolved.last_stage) + 1]
        table(("stage", "step", "settings", "from"), [row for each in way for row in _rows(each, resolved.steps_for(each))])
        for sentence in self._remarks(way, resolved, bundle):
            say(sentence)

    def _remarks(self, way: Sequence[Stage], resolved: Resolved, bundle: Bundle | None) -> Iterator[str]:
        last = way[-1].next
        yield f"Then it lies in {last}/" + (", finished." if last == self._setup.line.last else " and waits there.")
        there = set(bundle.masks) | set(bundle.keeps) if bundle is not None else set()
        lacking = lacking_mask([step for each in way for step in resolved.steps_for(each)], there)
        if lacking:
            stem = plain(bundle.stem) if bundle is not None else "NAME"
            label = "" if lacking == "mask" else f".{lacking}"
            yield f"It waits for a mask: “{stem}.mask{label}.png” beside the picture."
        steps = [step for each in way for step in resolved.steps_for(each)]
        yield from self._lacking_layer(steps, bundle)
        told = [(step, refusal(self._setup.weights, need)) for step in steps for need in step.operation.needs().engines]
        missing = [f"{step.place}: {found.sentence}" for step, found in told if found is not None]
        yield from missing
        if missing:
            yield "Until then a picture that asks for this is held with a note; it goes on by itself afterwards."

    def _lacking_layer(self, steps: Sequence[Step], bundle: Bundle | None) -> Iterator[str]:
        """The first layer that lies neither beside the picture nor in the library."""
        beside = {fold(name) for name in bundle.layers} if bundle is not None else set[str]()
        for name in (name for step in steps for name in sorted(step.operation.needs().layers)):
            in_library = self._library is None or any(self._library.find(shelf, name, LAYER_SUFFIXES) for shelf in LAYER_SHELVES)
            if fold(name) not in beside and not in_library:
                stem = plain(bundle.stem) if bundle is not None else "NAME"
                yield f"It waits for a layer: “{stem}.layer.{plain(name)}.png” beside the picture, or “{plain(name)}” in {SHELVES_SHOWN}."
                return


_ARTICLES = {"brief": "a brief", "recipe": "a recipe", "prompt": "a prompt", "picture": "a picture with what lies beside it"}


def _tried(faults: list[str], read: Callable[[], Brief | str]) -> Brief | None:
    """What was read, or None with its faults noted."""
    try:
        found = read()
    except BriefFault as fault:
        faults.append(fault.sentence)
    except Problem as fault:
        faults.append(str(fault))
    else:
        return found if isinstance(found, Brief) else None
    return None


def _rows(stage: Stage, steps: Sequence[Step]) -> Iterator[tuple[str, str, str, str]]:
    if not steps:
        yield stage.name, "-", "passes as it is", ""
    for number, step in enumerate(steps, 1):
        settings = ", ".join(f"{key} = {_value(value)}" for key, value in step.settings.items())
        yield stage.name, f"{number}. {step.op}", settings, step.source or "its own brief"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)
