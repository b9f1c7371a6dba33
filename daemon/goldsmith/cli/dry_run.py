"""Checks a brief without running it: lists every error, or the steps that it would run, stage by stage."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from goldsmith.brief.brief import Availability, Brief, EngineUnavailable, read_brief
from goldsmith.brief.parsing import BriefError, read_prompt
from goldsmith.brief.pipeline import Stage
from goldsmith.brief.resolve import ResolvedBrief, Resolver, SourceFile
from goldsmith.brief.steps import Step
from goldsmith.cli.output import print_records, print_sentence, print_text, sanitise
from goldsmith.engines.diffusion.families import prompt_remarks
from goldsmith.engines.kinds import INPAINTER
from goldsmith.engines.protocols import EngineNeed
from goldsmith.engines.registry.models import DiffusionSettings
from goldsmith.errors import InputError
from goldsmith.files import fold_name
from goldsmith.library.availability import check_engine, model_names_by_kind, why_no_consent_today
from goldsmith.library.layers import LAYER_FOLDERS_TEXT
from goldsmith.library.library import Library
from goldsmith.pipeline.intake.bundle import Bundle
from goldsmith.pipeline.intake.file_tracker import SettleTimes
from goldsmith.pipeline.scheduler.readiness import Readiness, first_missing_mask, known_inputs, own_look
from goldsmith.pipeline.scheduler.text_files import TextFileCache
from goldsmith.pipeline.status.daemon_state import DaemonState
from goldsmith.pipeline.status.explain import Explainer
from goldsmith.service.setup import Setup
from goldsmith.step_needs import LAYER_FOLDERS, LAYER_SUFFIXES, StepInputs


class DryRun:
    """Checks one file against a root's pipeline, models and library. ``library`` is None if the root has none."""

    def __init__(self, setup: Setup, library: Library | None) -> None:
        self._setup = setup
        self._library = library
        self._texts = TextFileCache(setup.root)

    def show(self, path: Path, data: bytes, path_in_root: str | None, kind: str) -> None:
        """Print the steps that would run. Raises InputError with every error."""
        bundle = self._bundle(path_in_root) if path_in_root is not None and kind != "recipe" else None
        name = sanitise(path.name)
        if bundle is not None and bundle.ambiguity:
            raise InputError(bundle.ambiguity)
        own, prompt, campaign = self._source_files(name, data, bundle, kind)
        stage = self._start_stage(path_in_root, own or campaign)
        look = "" if bundle is None else own_look(bundle, stage)
        if own is None and prompt is None and campaign is None and not look and not (bundle and (bundle.masks or bundle.keeps)):
            instruction = "a brief or a mask" if self._setup.pipeline.moves_with_mask(stage) else "a brief"
            print_text(f"{name}: no errors, and no instructions: put {instruction} beside it.")
            return
        self._check(own, prompt, campaign, bundle)
        resolver = Resolver(self._setup.pipeline, self._setup.library.read_recipe, self._availability(bundle))
        has_mask = bundle is not None and bool(bundle.masks or bundle.keeps)
        inputs = None if bundle is None else known_inputs(bundle)
        resolved = resolver.resolve(stage, own=own, prompt=prompt, campaign=campaign, has_mask=has_mask, inputs=inputs, own_look=look)
        print_text(f"{name}: no errors. It was read as {_KIND_PHRASES[kind]}.")
        self._print_steps(stage, resolved, bundle)

    def _bundle(self, path_in_root: str) -> Bundle | None:
        setup = self._setup
        readiness = Readiness(setup.pipeline, setup.resolver, self._texts.read_bytes)
        explainer = Explainer(setup.root, setup.pipeline, lambda: readiness, None, DaemonState(), SettleTimes())
        return explainer.bundle_containing(path_in_root)

    def _source_files(
        self, name: str, data: bytes, bundle: Bundle | None, kind: str
    ) -> tuple[SourceFile | None, SourceFile | None, SourceFile | None]:
        """Return the picture's own brief, its prompt and its campaign's brief, as the daemon would read them."""
        if bundle is None:
            source = (data, name)
            return (None, source, None) if kind == "prompt" else (None, None, None) if kind == "picture" else (source, None, None)
        own, prompt, campaign = (self._read_source(path) for path in (bundle.brief, bundle.prompt, bundle.campaign_brief))
        return own, prompt, campaign

    def _read_source(self, path: str | None) -> SourceFile | None:
        return None if path is None else (self._texts.read_bytes(path), sanitise(os.path.basename(path)))

    # ------------------------------------------------------------------ errors

    def _check(self, own: SourceFile | None, prompt: SourceFile | None, campaign: SourceFile | None, bundle: Bundle | None) -> None:
        """Read every file that contributes instructions. Raises InputError with the errors of all of them."""
        messages: list[str] = []
        availability = self._availability(bundle)
        brief = _try_read(messages, lambda: self._read_brief(own, availability)) if own is not None else None
        if prompt is not None:
            _try_read(messages, lambda: read_prompt(*prompt))
        if campaign is not None and not (brief is not None and brief.resolved):
            campaign_brief = _try_read(messages, lambda: self._read_brief(campaign, availability))
            brief = brief if brief is not None and brief.recipe else campaign_brief or brief
        if brief is not None and brief.recipe is not None and self._library is not None:
            recipe = brief.recipe
            _try_read(messages, lambda: self._read_brief(self._setup.library.read_recipe(recipe), availability))
        if messages:
            raise InputError("\n".join(messages), "Nothing was run.")

    def _read_brief(self, source_file: SourceFile | None, availability: Availability) -> Brief:
        data, name = source_file or (b"", "")
        return read_brief(data, name, self._setup.pipeline, availability)

    def _availability(self, bundle: Bundle | None) -> Availability:
        """Return which models and library files a brief may name, the looks beside the picture included."""
        models, library = model_names_by_kind(self._setup.weights), self._library
        if library is None:
            return Availability(models, why_unavailable=self._permanent_refusal)
        beside = {fold_name(os.path.basename(path)) for path in (bundle.looks if bundle is not None else ())}

        def has_file(folder: str, name: str, suffixes: tuple[str, ...]) -> bool:
            is_beside = folder == "looks" and any(fold_name(name + suffix) in beside for suffix in ("", *suffixes))
            return is_beside or library.find(folder, name, suffixes) is not None

        return Availability(models, has_file, library.list_names, self._permanent_refusal, partial(why_no_consent_today, library))

    def _permanent_refusal(self, need: EngineNeed[Any]) -> EngineUnavailable | None:
        """Return why no engine can ever meet the need. Missing weights are not an error in the brief: ``_remarks`` reports them."""
        unavailable = check_engine(self._setup.weights, need)
        return None if unavailable is None or unavailable.is_transient else unavailable

    # ------------------------------------------------------------------ steps

    def _start_stage(self, path_in_root: str | None, source_file: SourceFile | None) -> Stage:
        """Return the stage of the file's folder.

        For a file outside the pipeline's folders: the first stage of a resolved brief, else the first stage of the pipeline.
        """
        folder_stage = self._setup.pipeline.stage_of_folder(path_in_root.partition("/")[0]) if path_in_root is not None else None
        if folder_stage is not None or source_file is None:
            return folder_stage or self._setup.pipeline.stages[0]
        brief = self._read_brief(source_file, Availability())
        brief_stages = [stage for stage in self._setup.pipeline.stages if stage.name in brief.steps_by_stage]
        return brief_stages[0] if brief.resolved and brief_stages else self._setup.pipeline.stages[0]

    def _print_steps(self, stage: Stage, resolved: ResolvedBrief | None, bundle: Bundle | None) -> None:
        if resolved is None:
            print_text(f"It has no instructions for {stage.folder}/: a picture there waits.")
            return
        if not resolved.reaches(stage):
            waiting_clause = f"in {stage.folder}/ a picture waits until you add [[{stage.name}]] or move it on by hand"
            print_text(f"It ends with {resolved.last_stage}: {waiting_clause}.")
            return
        stages = self._setup.pipeline.stages
        remaining = stages[self._setup.pipeline.index_of(stage.name) : self._setup.pipeline.index_of(resolved.last_stage) + 1]
        print_records(
            ("stage", "step", "settings", "from"),
            [row for each in remaining for row in _step_rows(each, resolved.steps_for(each))],
            headline=("stage", "step"),
        )
        for sentence in self._remarks(remaining, resolved, bundle):
            print_sentence(sentence)

    def _remarks(self, stages: Sequence[Stage], resolved: ResolvedBrief, bundle: Bundle | None) -> Iterator[str]:
        next_folder = stages[-1].next_folder
        yield f"Then the picture is in {next_folder}/" + (
            ", finished." if next_folder == self._setup.pipeline.final_folder else " and waits there."
        )
        present = set(bundle.masks) | set(bundle.keeps) if bundle is not None else set()
        missing_mask = first_missing_mask([step for each in stages for step in resolved.steps_for(each)], present)
        if missing_mask:
            stem = sanitise(bundle.stem) if bundle is not None else "NAME"
            label = "" if missing_mask == "mask" else f".{missing_mask}"
            yield f"It waits for a mask: “{stem}.mask{label}.png” beside the picture."
        steps = [step for each in stages for step in resolved.steps_for(each)]
        yield from self._missing_layer(steps, bundle)
        yield from self._words_alone(steps, bundle)
        for step in steps:
            generators = self._generators(step, bool(resolved.prompt))
            native_pixels = next((diffusion.pixels for _, diffusion in generators), 0)
            yield from (f"{step.location}: {remark}" for remark in step.operation.remarks(native_pixels))
            yield from _prompt_remarks(step, resolved.prompt, generators)
        checks = [(step, check_engine(self._setup.weights, need)) for step in steps for need in step.operation.needs().engines]
        missing = [f"{step.location}: {unavailable.sentence}" for step, unavailable in checks if unavailable is not None]
        yield from missing
        if missing:
            yield "Until then, Goldsmith holds such a picture with a note; afterwards the picture goes on by itself."

    def _words_alone(self, steps: Sequence[Step], bundle: Bundle | None) -> Iterator[str]:
        """Yield a sentence if there is no picture yet and the first step's model cannot do without one."""
        if bundle is None or not bundle.is_lone_brief or not steps or steps[0].operation.needs().needs_picture:
            return
        needs = steps[0].operation.needs_beside(StepInputs(False, bool(bundle.refs), frozenset(bundle.controls)))
        for unavailable in (check_engine(self._setup.weights, need) for need in needs.engines):
            if unavailable is not None and not unavailable.is_transient:
                yield f"{steps[0].location}: it waits for its picture: {unavailable.sentence}"

    def _generators(self, step: Step, has_prompt: bool) -> list[tuple[str, DiffusionSettings]]:
        """Return the generating models that the step will use, with their settings; a missing model is left out.

        has_prompt: the brief has a prompt for steps that read it.
        """
        generators: list[tuple[str, DiffusionSettings]] = []
        for need in step.operation.needs().engines:
            reads_brief = need.kind is INPAINTER and has_prompt and step.operation.uses_brief_prompt()
            for each in (replace(need, needs_prompt=True), need) if reads_brief else (need,):
                with suppress(InputError):
                    choice = self._setup.weights.choose(each)
                    generators += [(choice.name, choice.model.diffusion)] if choice.model.diffusion is not None else []
                    break
        return generators

    def _missing_layer(self, steps: Sequence[Step], bundle: Bundle | None) -> Iterator[str]:
        """Yield a sentence about the first layer that is neither beside the picture nor in the library."""
        beside = {fold_name(name) for name in bundle.layers} if bundle is not None else set[str]()
        for name in (name for step in steps for name in sorted(step.operation.needs().layers)):
            in_library = self._library is None or any(self._library.find(folder, name, LAYER_SUFFIXES) for folder in LAYER_FOLDERS)
            if fold_name(name) not in beside and not in_library:
                stem = sanitise(bundle.stem) if bundle is not None else "NAME"
                file = f"{stem}.layer.{sanitise(name)}.png"
                yield f"It waits for a layer: “{file}” beside the picture, or “{sanitise(name)}” in {LAYER_FOLDERS_TEXT}."
                return


def _prompt_remarks(step: Step, brief_prompt: str, generators: Sequence[tuple[str, DiffusionSettings]]) -> Iterator[str]:
    """Yield a sentence for each text of the step that one of its models will not read completely."""
    texts = [(f"{step.location}.{place}", place, text) for place, text in step.operation.prompt_texts().items()]
    if step.operation.uses_brief_prompt() and brief_prompt:
        texts.append((f"{step.location}: the brief's prompt", "prompt", brief_prompt))
    for label, place, text in texts:
        for model, diffusion in dict(generators).items():
            for remark in prompt_remarks(model, diffusion.family, text, is_negative=place == "negative"):
                yield f"{label} {remark}"


_KIND_PHRASES = {"brief": "a brief", "recipe": "a recipe", "prompt": "a prompt", "picture": "a picture with its sidecars"}


def _try_read(messages: list[str], read: Callable[[], Brief | str]) -> Brief | None:
    """Return the brief that was read; None for a prompt, or if there are errors, which are added to ``messages``."""
    try:
        result = read()
    except BriefError as error:
        messages.append(error.sentence)
    except InputError as error:
        messages.append(str(error))
    else:
        return result if isinstance(result, Brief) else None
    return None


def _step_rows(stage: Stage, steps: Sequence[Step]) -> Iterator[tuple[str, str, str, str]]:
    if not steps:
        yield stage.name, "-", "passes unchanged", ""
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
