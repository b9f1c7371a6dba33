"""What a brief would do, found out without doing it: everything that is wrong with it, or its steps stage by stage."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from goldsmith.brief.brief import Availability, Brief, EngineUnavailable, read_brief
from goldsmith.brief.parsing import BriefError, read_prompt
from goldsmith.brief.pipeline import Stage
from goldsmith.brief.resolve import ResolvedBrief, Resolver, SourceFile
from goldsmith.brief.steps import Step
from goldsmith.cli.output import print_table, print_text, sanitise
from goldsmith.engines import EngineNeed
from goldsmith.errors import InputError
from goldsmith.files import fold_name
from goldsmith.library.availability import check_engine, model_names_by_kind, why_no_consent_today
from goldsmith.library.layers import LAYER_FOLDERS_TEXT
from goldsmith.library.library import Library
from goldsmith.operation import LAYER_FOLDERS, LAYER_SUFFIXES
from goldsmith.pipeline.intake.bundle import Bundle
from goldsmith.pipeline.intake.file_tracker import SettleTimes
from goldsmith.pipeline.scheduler.readiness import Readiness, first_missing_mask
from goldsmith.pipeline.scheduler.text_files import TextFileCache
from goldsmith.pipeline.status.daemon_state import DaemonState
from goldsmith.pipeline.status.explain import Explainer
from goldsmith.service import Setup


class DryRun:
    """Checks one file against a root's line, models and library; ``library`` is None where there is none to check against."""

    def __init__(self, setup: Setup, library: Library | None) -> None:
        self._setup = setup
        self._library = library
        self._texts = TextFileCache(setup.root)

    def show(self, path: Path, data: bytes, path_in_root: str | None, kind: str) -> None:
        """Print what would be run. Raises InputError with everything that is wrong."""
        bundle = self._bundle(path_in_root) if path_in_root is not None and kind != "recipe" else None
        name = sanitise(path.name)
        if bundle is not None and bundle.ambiguity:
            raise InputError(bundle.ambiguity)
        own, prompt, campaign = self._source_files(name, data, bundle, kind)
        if own is None and prompt is None and campaign is None and not (bundle and (bundle.masks or bundle.keeps)):
            print_text(f"{name}: nothing is wrong, and nothing is asked for: put a brief or a mask beside it.")
            return
        self._check(own, prompt, campaign, bundle)
        stage = self._start_stage(path_in_root, own or campaign)
        resolver = Resolver(self._setup.pipeline, self._setup.library.read_recipe, self._availability(bundle))
        masked = bundle is not None and bool(bundle.masks or bundle.keeps)
        resolved = resolver.resolve(stage, own=own, prompt=prompt, campaign=campaign, has_mask=masked)
        print_text(f"{name}: nothing is wrong. It was read as {_KIND_PHRASES[kind]}.")
        self._print_steps(stage, resolved, bundle)

    def _bundle(self, path_in_root: str) -> Bundle | None:
        pace = SettleTimes()
        judge = Readiness(self._setup.pipeline, self._setup.resolver, self._texts.read_bytes)
        return Explainer(self._setup.root, self._setup.pipeline, judge, None, DaemonState(), pace).bundle_containing(path_in_root)

    def _source_files(
        self, name: str, data: bytes, bundle: Bundle | None, kind: str
    ) -> tuple[SourceFile | None, SourceFile | None, SourceFile | None]:
        """The picture's own brief, its prompt and its campaign's brief, as the judge would read them."""
        if bundle is None:
            said = (data, name)
            return (None, said, None) if kind == "prompt" else (None, None, None) if kind == "picture" else (said, None, None)
        own, prompt, campaign = (self._read_source(path) for path in (bundle.brief, bundle.prompt, bundle.campaign_brief))
        return own, prompt, campaign

    def _read_source(self, path: str | None) -> SourceFile | None:
        return None if path is None else (self._texts.read_bytes(path), sanitise(os.path.basename(path)))

    # ------------------------------------------------------------------ what is wrong

    def _check(self, own: SourceFile | None, prompt: SourceFile | None, campaign: SourceFile | None, bundle: Bundle | None) -> None:
        """Read every file that speaks, and raise one Problem with the faults of all of them."""
        faults: list[str] = []
        stock = self._availability(bundle)
        brief = _try_read(faults, lambda: self._read_brief(own, stock)) if own is not None else None
        if prompt is not None:
            _try_read(faults, lambda: read_prompt(*prompt))
        if campaign is not None and not (brief is not None and brief.resolved):
            whole = _try_read(faults, lambda: self._read_brief(campaign, stock))
            brief = brief if brief is not None and brief.recipe else whole or brief
        if brief is not None and brief.recipe is not None and self._library is not None:
            recipe = brief.recipe
            _try_read(faults, lambda: self._read_brief(self._setup.library.read_recipe(recipe), stock))
        if faults:
            raise InputError("\n".join(faults), "Nothing was run.")

    def _read_brief(self, source_file: SourceFile | None, availability: Availability) -> Brief:
        data, name = source_file or (b"", "")
        return read_brief(data, name, self._setup.pipeline, availability)

    def _availability(self, bundle: Bundle | None) -> Availability:
        """What the house has, with the looks that lie beside the picture."""
        models, library = model_names_by_kind(self._setup.weights), self._library
        if library is None:
            return Availability(models, why_unavailable=self._permanent_refusal)
        beside = {fold_name(os.path.basename(path)) for path in (bundle.looks if bundle is not None else ())}

        def is_here(shelf: str, name: str, suffixes: tuple[str, ...]) -> bool:
            near = shelf == "looks" and any(fold_name(name + suffix) in beside for suffix in ("", *suffixes))
            return near or library.find(shelf, name, suffixes) is not None

        return Availability(models, is_here, library.list_names, self._permanent_refusal, partial(why_no_consent_today, library))

    def _permanent_refusal(self, need: EngineNeed[Any]) -> EngineUnavailable | None:
        """Weights that are not on this machine are no fault of the brief: they are told below what would be run."""
        found = check_engine(self._setup.weights, need)
        return None if found is None or found.is_transient else found

    # ------------------------------------------------------------------ what would be run

    def _start_stage(self, path_in_root: str | None, source_file: SourceFile | None) -> Stage:
        """The stage of the folder it lies in; for a file that lies elsewhere the first one on the line."""
        found = self._setup.pipeline.stage_of_folder(path_in_root.partition("/")[0]) if path_in_root is not None else None
        if found is not None or source_file is None:
            return found or self._setup.pipeline.stages[0]
        brief = self._read_brief(source_file, Availability())
        spoken = [stage for stage in self._setup.pipeline.stages if stage.name in brief.steps_by_stage]
        return spoken[0] if brief.resolved and spoken else self._setup.pipeline.stages[0]

    def _print_steps(self, stage: Stage, resolved: ResolvedBrief | None, bundle: Bundle | None) -> None:
        if resolved is None:
            print_text(f"It asks for nothing in {stage.folder}/: a picture that lies there waits.")
            return
        if not resolved.reaches(stage):
            waits = f"in {stage.folder}/ a picture waits for [[{stage.name}]] or for somebody who drags it on"
            print_text(f"It ends with {resolved.last_stage}: {waits}.")
            return
        stages = self._setup.pipeline.stages
        way = stages[self._setup.pipeline.index_of(stage.name) : self._setup.pipeline.index_of(resolved.last_stage) + 1]
        print_table(("stage", "step", "settings", "from"), [row for each in way for row in _step_rows(each, resolved.steps_for(each))])
        for sentence in self._remarks(way, resolved, bundle):
            print_text(sentence)

    def _remarks(self, stages: Sequence[Stage], resolved: ResolvedBrief, bundle: Bundle | None) -> Iterator[str]:
        last = stages[-1].next_folder
        yield f"Then it lies in {last}/" + (", finished." if last == self._setup.pipeline.final_folder else " and waits there.")
        there = set(bundle.masks) | set(bundle.keeps) if bundle is not None else set()
        lacking = first_missing_mask([step for each in stages for step in resolved.steps_for(each)], there)
        if lacking:
            stem = sanitise(bundle.stem) if bundle is not None else "NAME"
            label = "" if lacking == "mask" else f".{lacking}"
            yield f"It waits for a mask: “{stem}.mask{label}.png” beside the picture."
        steps = [step for each in stages for step in resolved.steps_for(each)]
        yield from self._missing_layer(steps, bundle)
        told = [(step, check_engine(self._setup.weights, need)) for step in steps for need in step.operation.needs().engines]
        missing = [f"{step.location}: {found.sentence}" for step, found in told if found is not None]
        yield from missing
        if missing:
            yield "Until then a picture that asks for this is held with a note; it goes on by itself afterwards."

    def _missing_layer(self, steps: Sequence[Step], bundle: Bundle | None) -> Iterator[str]:
        """The first layer that lies neither beside the picture nor in the library."""
        beside = {fold_name(name) for name in bundle.layers} if bundle is not None else set[str]()
        for name in (name for step in steps for name in sorted(step.operation.needs().layers)):
            in_library = self._library is None or any(self._library.find(shelf, name, LAYER_SUFFIXES) for shelf in LAYER_FOLDERS)
            if fold_name(name) not in beside and not in_library:
                stem = sanitise(bundle.stem) if bundle is not None else "NAME"
                yield f"It waits for a layer: “{stem}.layer.{sanitise(name)}.png” beside the picture, or “{sanitise(name)}” in {LAYER_FOLDERS_TEXT}."
                return


_KIND_PHRASES = {"brief": "a brief", "recipe": "a recipe", "prompt": "a prompt", "picture": "a picture with what lies beside it"}


def _try_read(messages: list[str], read: Callable[[], Brief | str]) -> Brief | None:
    """What was read, or None with its faults noted."""
    try:
        found = read()
    except BriefError as fault:
        messages.append(fault.sentence)
    except InputError as fault:
        messages.append(str(fault))
    else:
        return found if isinstance(found, Brief) else None
    return None


def _step_rows(stage: Stage, steps: Sequence[Step]) -> Iterator[tuple[str, str, str, str]]:
    if not steps:
        yield stage.name, "-", "passes as it is", ""
    for number, step in enumerate(steps, 1):
        settings = ", ".join(f"{key} = {_format_value(value)}" for key, value in step.settings.items())
        yield stage.name, f"{number}. {step.op}", settings, step.source_file or "its own brief"


def _format_value(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_format_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_format_value, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)
