"""What a bundle is ready for, and if for nothing, why: the one place that law 7's sentences come from.

The daemon and ``goldsmith why`` both ask here, so that they cannot disagree. Nothing is decoded and nothing is changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from goldsmith.brief.pipeline import Line, Stage, Step, waits_for_layer, waits_for_mask
from goldsmith.brief.resolve import Resolved, Resolver, Written
from goldsmith.errors import Problem
from goldsmith.files import display_name, fold
from goldsmith.library.layers import SHELVES_SHOWN
from goldsmith.operation import LAYER_SHELVES, LAYER_SUFFIXES
from goldsmith.pipeline.intake.bundle import Bundle

ReadText = Callable[[str], bytes]
"""The bytes of a small text file of the share, by its path relative to the root; raises Problem where it is none."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is wrong; something is not there yet."""

    sentence: str
    library: bool = False
    """True where something that is put into the library would end it."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """A brief or a bundle is at fault and gets a note."""

    problem: Problem


@dataclass(frozen=True, slots=True)
class Ready:
    """All that the stage asks for is there."""

    stage: Stage
    resolved: Resolved
    steps: tuple[Step, ...]
    explicit: bool
    """True where the steps named what they need and have it: then nothing more is waited for."""


Verdict = Wait | Wrong | Ready


class Judge:
    """Reads instructions and says what a bundle is ready for."""

    def __init__(self, line: Line, resolver: Resolver, read: ReadText) -> None:
        self._line = line
        self._resolver = resolver
        self._read = read

    def verdict(self, bundle: Bundle) -> Verdict:
        """What is to be done with the bundle as it lies there."""
        stage = self._line.of_folder(bundle.folder)
        if stage is None:
            return Wait(f"{bundle.folder}/ is the end of the line: nothing more happens here.")
        if not bundle.asset:
            return Wait(_waiting_for_picture(bundle))
        if bundle.ambiguous:
            return Wrong(Problem(bundle.ambiguous))
        try:
            resolved = self._resolve(stage, bundle)
        except Problem as problem:
            return Wrong(problem)
        if bundle.alone:
            return self._from_words(stage, resolved, bundle)
        if resolved is None:
            name = display_name(bundle.stem)
            return Wait(f"Waiting for an instruction: put a mask (“{name}.mask.png”) or a brief (“{name}.toml”) beside it.")
        if not resolved.reaches(stage):
            return Wait(_end_of_brief(stage, resolved, bundle))
        return self._needs(stage, resolved, bundle)

    def _resolve(self, stage: Stage, bundle: Bundle) -> Resolved | None:
        beside = {fold(os.path.basename(path)) for path in bundle.looks}

        def is_beside(shelf: str, name: str, suffixes: Sequence[str]) -> bool:
            return shelf == "looks" and any(fold(name + suffix) in beside for suffix in ("", *suffixes))

        return self._resolver.resolve(
            stage,
            own=self._written(bundle.brief),
            prompt=self._written(bundle.prompt),
            campaign=self._written(bundle.campaign_brief),
            has_mask=bool(bundle.masks or bundle.keeps),
            beside=is_beside,
        )

    def _written(self, path: str | None) -> Written | None:
        return None if path is None else (self._read(path), display_name(os.path.basename(path)))

    def _from_words(self, stage: Stage, resolved: Resolved | None, bundle: Bundle) -> Verdict:
        """A brief without a picture: it may begin where the first step makes one, and has the words for it."""
        steps = () if resolved is None or not resolved.reaches(stage) else resolved.steps_for(stage)
        needs = [step.operation.needs() for step in steps]
        if resolved is None or not needs or bundle.masks or bundle.keeps:
            return Wait(_waiting_for_picture(bundle))
        number = next((number for number, need in enumerate(needs, 1) if need.masks), 1 if needs[0].picture else 0)
        if number:
            what = "a mask of one" if needs[number - 1].masks else "one"
            return Wait(_waiting_for_picture(bundle, f"step {number} of {stage.name}, {steps[number - 1].op}, needs {what}"))
        if needs[0].words and not resolved.prompt:
            name = display_name(os.path.basename(bundle.asset))
            return Wait(f"Waiting for its picture, or for words to make one from: write a prompt into {name}.")
        return Ready(stage, resolved, steps, explicit=False)

    def _needs(self, stage: Stage, resolved: Resolved, bundle: Bundle) -> Verdict:
        steps = resolved.steps_for(stage)
        there = set(bundle.masks) | set(bundle.keeps)
        lacking = waits_for_mask(stage.name, steps, there)
        if lacking:
            name = lacking_mask(steps, there)
            file = f"{bundle.stem}.mask.png" if name == "mask" else f"{bundle.stem}.mask.{name}.png"
            return Wait(f"{lacking[0].upper()}{lacking[1:]}: put “{display_name(file)}” beside it.")
        name, lacking = waits_for_layer(stage.name, steps, lambda name: self._has_layer(name, bundle))
        if lacking:
            file = display_name(f"{bundle.stem}.layer.{name}.png")
            shelf_file = f"a picture called “{display_name(name)}” into {SHELVES_SHOWN}"
            return Wait(f"{lacking[0].upper()}{lacking[1:]}: put “{file}” beside it, or {shelf_file}.", library=True)
        if resolved.one_stage and not steps:
            return Wait(f"Waiting for a brief or a mask: {stage.name} has no steps of its own for a prompt alone.")
        return Ready(stage, resolved, steps, explicit=any(step.operation.needs().masks for step in steps))

    def _has_layer(self, name: str, bundle: Bundle) -> bool:
        beside = any(fold(name) == fold(known) for known in bundle.layers)
        return beside or any(self._resolver.in_library(shelf, name, LAYER_SUFFIXES) for shelf in LAYER_SHELVES)


def _waiting_for_picture(bundle: Bundle, why: str = "") -> str:
    """What to put where; a prompt or other sidecars by themselves are told, too, how a picture is made from words."""
    name = display_name(bundle.stem)
    because = f" ({why})" if why else ""
    told = f"Waiting for its picture: nothing beside it is called “{name}” and has a picture's ending{because}."
    if bundle.asset:
        return told
    return f"{told} To have one made from words, put a brief (“{name}.toml”) here whose first step makes pictures."


def lacking_mask(steps: Sequence[Step], there: Set[str]) -> str:
    """The first mask that a step needs and nobody has painted; "" where all are there."""
    return next((name for step in steps for name in sorted(step.operation.needs().masks - there)), "")


def _end_of_brief(stage: Stage, resolved: Resolved, bundle: Bundle) -> str:
    brief = display_name(os.path.basename(bundle.brief or bundle.campaign_brief or "its brief"))
    return f"Its brief ends with {resolved.last_stage}: add [[{stage.name}]] to {brief}, or drag it on by hand."
