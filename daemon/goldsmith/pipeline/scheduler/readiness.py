"""The readiness of a bundle: the steps that can start, or the sentence that says what is missing (law 7).

The daemon and ``goldsmith why`` both use this module, so they cannot disagree. It decodes no picture and changes no file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from goldsmith.brief.parsing import library_name_error
from goldsmith.brief.pipeline import REVIEW_FOLDER, REVIEW_STAGE, Pipeline, Stage, masks_of, missing_layer, missing_mask_sentence
from goldsmith.brief.resolve import ResolvedBrief, Resolver, SourceFile
from goldsmith.brief.steps import Step
from goldsmith.errors import InputError
from goldsmith.files import display_name, fold_name
from goldsmith.library.layers import LAYER_FOLDERS_TEXT
from goldsmith.picture.formats.table import may_have_layers
from goldsmith.pipeline.intake.bundle import Bundle, split_tray
from goldsmith.pipeline.scheduler.review_decisions import ReviewDecisions
from goldsmith.pipeline.stage_work import Ready
from goldsmith.step_needs import LAYER_FOLDERS, LAYER_SUFFIXES, StepInputs

# Returns the bytes of a small text file, given its path relative to the root; raises InputError if it cannot be read.
ReadTextFile = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Waiting:
    """The bundle is correct, but a file is missing."""

    sentence: str
    # True if a new file in the library may end the wait.
    depends_on_library: bool = False


@dataclass(frozen=True, slots=True)
class Invalid:
    """The brief or the bundle is wrong and gets a note."""

    problem: InputError


ReadinessResult = Waiting | Invalid | Ready


class Readiness:
    """Reads the instructions of a bundle and decides whether its stage can start."""

    def __init__(
        self, pipeline: Pipeline, resolver: Resolver, read_text_file: ReadTextFile, lstat: Callable[[str], os.stat_result] = os.lstat
    ) -> None:
        """``lstat`` returns the state of a file, given its path relative to the root."""
        self._pipeline = pipeline
        self._resolver = resolver
        self._read_text_file = read_text_file
        self._review_decisions = ReviewDecisions(pipeline, resolver, lstat)

    def check(self, bundle: Bundle) -> ReadinessResult:
        """Return whether the bundle is ready, waits for a file, or is invalid."""
        stage = self._pipeline.stage_of_folder(bundle.folder)
        if stage is None:
            return Waiting(f"{bundle.folder}/ is the end of the pipeline: nothing more happens here.")
        if not bundle.asset:
            return Waiting(_waiting_for_picture_sentence(bundle))
        if bundle.ambiguity:
            return Invalid(InputError(bundle.ambiguity))
        try:
            return self._check_review(bundle) if stage == REVIEW_STAGE else self._check_instructions(stage, bundle)
        except InputError as problem:
            return Invalid(problem)

    def _check_review(self, bundle: Bundle) -> ReadinessResult:
        """Return the readiness of what a person has decided about a picture in review/. Raises InputError if its brief is wrong."""
        remark = self._read_source(bundle.prompt) if bundle.tray else None
        decision = self._review_decisions.check(bundle, self._read_source(bundle.brief), remark)
        return Waiting(decision) if isinstance(decision, str) else decision

    def _check_instructions(self, stage: Stage, bundle: Bundle) -> ReadinessResult:
        """Return the readiness. Raises InputError if a brief is wrong, or if it names a folder of the library that is a link."""
        resolved = self._resolve(stage, bundle)
        if bundle.is_lone_brief:
            return self._check_lone_brief(stage, resolved, bundle)
        if resolved is None:
            return Waiting(self._instruction_sentence(stage, bundle))
        if not resolved.reaches(stage):
            return Waiting(_end_of_brief_sentence(stage, resolved, bundle))
        return self._check_needs(stage, resolved, bundle)

    def _instruction_sentence(self, stage: Stage, bundle: Bundle) -> str:
        """Return what would make a picture without instructions move on: a mask too, where a mask has an effect."""
        name = display_name(bundle.stem)
        look_folder = next((each.folder for each in self._pipeline.stages if each.look_steps), "")
        if bundle.looks and look_folder:
            look = display_name(os.path.basename(bundle.looks[0]))
            return f"Waiting for an instruction: “{look}” alone is one in {look_folder}/ only; put a brief (“{name}.toml”) beside it."
        if self._pipeline.moves_with_mask(stage):
            return f"Waiting for an instruction: put a mask (“{name}.mask.png”) or a brief (“{name}.toml”) beside it."
        because = f"{stage.name} does nothing with a mask alone; " if bundle.masks or bundle.keeps else ""
        return f"Waiting for an instruction: {because}put a brief (“{name}.toml”) beside it."

    def _resolve(self, stage: Stage, bundle: Bundle) -> ResolvedBrief | None:
        beside = {fold_name(os.path.basename(path)) for path in bundle.looks}

        def is_beside(library_folder: str, name: str, suffixes: Sequence[str]) -> bool:
            return library_folder == "looks" and any(fold_name(name + suffix) in beside for suffix in ("", *suffixes))

        return self._resolver.resolve(
            stage,
            own=self._read_source(bundle.brief),
            prompt=self._read_source(bundle.prompt),
            campaign=self._read_source(bundle.campaign_brief),
            has_mask=bool(bundle.masks or bundle.keeps),
            has_sidecar=is_beside,
            own_look=own_look(bundle, stage),
            # A brief alone may still get its picture; with references, a picture makes no difference to the model.
            inputs=known_inputs(bundle),
        )

    def _read_source(self, path: str | None) -> SourceFile | None:
        return None if path is None else (self._read_text_file(path), display_name(os.path.basename(path)))

    def _check_lone_brief(self, stage: Stage, resolved: ResolvedBrief | None, bundle: Bundle) -> ReadinessResult:
        """Return the readiness of a brief without a picture: it can start if its first step makes one and has a prompt."""
        steps = () if resolved is None or not resolved.reaches(stage) else resolved.steps_for(stage)
        needs = [step.operation.needs() for step in steps]
        if resolved is None or not needs or bundle.masks or bundle.keeps:
            return Waiting(_waiting_for_picture_sentence(bundle))
        number = next((number for number, need in enumerate(needs, 1) if need.masks), 1 if needs[0].needs_picture else 0)
        if number:
            missing = "a mask of one" if needs[number - 1].masks else "one"
            return Waiting(_waiting_for_picture_sentence(bundle, f"step {number} of {stage.name}, {steps[number - 1].op}, needs {missing}"))
        if needs[0].needs_prompt and not resolved.prompt:
            name = display_name(os.path.basename(bundle.asset))
            return Waiting(f"Waiting for its picture, or for words to make one from: write a prompt into {name}.")
        inputs = StepInputs(has_picture=False, has_references=bool(bundle.refs), controls=frozenset(bundle.controls))
        refusal = self._resolver.why_no_engine(steps[0].operation.needs_beside(inputs))
        if refusal is not None:
            return Waiting(_waiting_for_picture_sentence(bundle, f"step 1 of {stage.name}, {steps[0].op}, cannot do without: {refusal}"))
        if resolved.reviews_masks_of(stage) and (mask_names := names_of_found_masks(steps, frozenset())):
            raise InputError(
                f"{masks_of(stage.name)} asks for a review of the mask “{next(iter(mask_names))}”, but the picture in which it would be "
                f"found is only made in {stage.name}.",
                f"Put that step into the next stage, or take {masks_of(stage.name)} out of review.",
            )
        return Ready(stage, resolved, steps, has_all_named_inputs=False, is_reviewed=_is_reviewed(self._pipeline, stage, resolved, bundle))

    def _check_needs(self, stage: Stage, resolved: ResolvedBrief, bundle: Bundle) -> ReadinessResult:
        steps = resolved.steps_for(stage)
        # Only a worker can tell which masks and layers a file with layers holds.
        may_be_inside = may_have_layers(os.path.splitext(bundle.picture or "")[1].lower())
        available = set(bundle.masks) | set(bundle.keeps) | ({"mask"} if resolved.mask_from == "alpha" else set())
        missing = missing_mask_sentence(stage.name, steps, available)
        if missing and not may_be_inside:
            name = first_missing_mask(steps, available)
            file = f"{bundle.stem}.mask.png" if name == "mask" else f"{bundle.stem}.mask.{name}.png"
            from goldsmith.picture.region import suggest_word  # it needs numpy

            word = suggest_word(name) if name != "mask" else ""
            instead = f" If you mean a region and no mask, write “{word}”." if word else ""
            return Waiting(f"{missing[0].upper()}{missing[1:]}: put “{display_name(file)}” beside it.{instead}")
        name, missing = missing_layer(stage.name, steps, lambda name: self._has_layer(name, bundle))
        if missing and not may_be_inside:
            file = display_name(f"{bundle.stem}.layer.{name}.png")
            library_file = f"a picture called “{display_name(name)}” into {LAYER_FOLDERS_TEXT}"
            return Waiting(f"{missing[0].upper()}{missing[1:]}: put “{file}” beside it, or {library_file}.", depends_on_library=True)
        if resolved.is_single_stage and not steps:
            instruction = "a brief or a mask" if self._pipeline.moves_with_mask(stage) else "a brief"
            return Waiting(f"Waiting for {instruction}: {stage.name} has no steps of its own for a prompt alone.")
        has_all_named_inputs = any(step.operation.needs().masks for step in steps)
        mask_names = names_of_found_masks(steps, available) if resolved.reviews_masks_of(stage) else {}
        if mask_names:
            _require_campaign_of_review(bundle)
            return Ready(stage, resolved, steps, has_all_named_inputs, found_masks=mask_names)
        is_reviewed = _is_reviewed(self._pipeline, stage, resolved, bundle)
        return Ready(stage, resolved, steps, has_all_named_inputs, self._keeps_prompt(stage, resolved), is_reviewed)

    def _keeps_prompt(self, stage: Stage, resolved: ResolvedBrief) -> bool:
        if not resolved.is_single_stage or not resolved.prompt:
            return False  # a brief with steps has the prompt in itself, and travels
        is_read = any(step.operation.uses_brief_prompt() for step in resolved.steps_for(stage))
        return not is_read and self._pipeline.uses_prompt_after(stage)

    def _has_layer(self, name: str, bundle: Bundle) -> bool:
        beside = any(fold_name(name) == fold_name(known) for known in bundle.layers)
        return beside or any(self._resolver.is_in_library(folder, name, LAYER_SUFFIXES) for folder in LAYER_FOLDERS)


def _is_reviewed(pipeline: Pipeline, stage: Stage, resolved: ResolvedBrief, bundle: Bundle) -> bool:
    """Return whether a person must approve the results. Raises InputError if the campaign has the name of a tray."""
    is_reviewed = resolved.is_reviewed_after(stage)
    if is_reviewed and stage == pipeline.stages[-1]:
        raise InputError(f"The results of {stage.name} are for the client, so nobody can pick among them.", "Pick in the stage before it.")
    if is_reviewed:
        _require_campaign_of_review(bundle)
    return is_reviewed


def _require_campaign_of_review(bundle: Bundle) -> None:
    """Raise InputError if the campaign has the name of a tray."""
    if split_tray(REVIEW_FOLDER, bundle.campaign)[0]:
        folder = display_name(bundle.campaign.partition("/")[0])
        raise InputError(
            f"The campaign folder “{folder}” has the name of a tray in {REVIEW_FOLDER}/, so nobody could approve what is in it.",
            "Give the campaign another name.",
        )


def names_of_found_masks(steps: Sequence[Step], available: Set[str]) -> dict[str, str]:
    """Return for the words of each region that the steps find by themselves the name of its mask, which no file beside the picture has.

    The first one is ``mask`` if that name is free.
    """
    names: dict[str, str] = {}
    used_names = {fold_name(name) for name in available}
    for number, step in enumerate(steps, 1):
        words = step.operation.found_region()
        if words and words not in names:
            candidates = ("mask", f"step{number}", *(f"step{number}-{count}" for count in range(2, len(used_names) + 3)))
            names[words] = next(name for name in candidates if name not in used_names)
            used_names.add(names[words])
    return names


def own_look(bundle: Bundle, stage: Stage) -> str:
    """Return the name of the look beside the picture, for a stage that has steps for one; "" if there is none.

    Raises InputError if there is no brief and there are several, or one whose name a step cannot hold.
    """
    if not stage.look_steps:
        return ""
    names = [os.path.basename(path) for path in bundle.looks]
    name = os.path.splitext(names[0])[0] if len(names) == 1 else ""
    can_be_held = not library_name_error(name) and display_name(name) == name
    if not names or can_be_held or bundle.brief or bundle.campaign_brief:
        return name if can_be_held else ""
    listed = " and ".join(f"“{display_name(each)}”" for each in names)
    if len(names) > 1:
        raise InputError(f"{listed} are both the look of {display_name(bundle.stem)}.", "Keep one of them.")
    raise InputError(
        f"The look {listed} has a name that no step can hold.", "Rename it and its picture: plain letters, at most 200, without slashes."
    )


def _waiting_for_picture_sentence(bundle: Bundle, reason: str = "") -> str:
    """Return the sentence for a bundle without a picture. If it has no brief either, the sentence adds how to make one from words."""
    name = display_name(bundle.stem)
    because = f" ({reason})" if reason else ""
    sentence = f"Waiting for its picture: nothing beside it is called “{name}” and has a picture's extension{because}."
    if bundle.asset:
        return sentence
    return f"{sentence} To have one made from words, put a brief (“{name}.toml”) here whose first step makes pictures."


def known_inputs(bundle: Bundle) -> StepInputs | None:
    """Return what lies beside a brief; None for a brief alone, which may still get its picture."""
    if bundle.is_lone_brief and not bundle.refs and not bundle.controls:
        return None
    # Some models follow a control picture only where they make a picture from words alone.
    has_picture = not (bundle.is_lone_brief and bundle.controls)
    return StepInputs(has_picture, has_references=bool(bundle.refs), controls=frozenset(bundle.controls))


def first_missing_mask(steps: Sequence[Step], available: Set[str]) -> str:
    """Return the name of the first mask that a step needs and that is not available, or ""."""
    return next((name for step in steps for name in sorted(step.operation.needs().masks - available)), "")


def _end_of_brief_sentence(stage: Stage, resolved: ResolvedBrief, bundle: Bundle) -> str:
    brief = display_name(os.path.basename(bundle.brief or bundle.campaign_brief or "its brief"))
    return f"Its brief ends with {resolved.last_stage}: add [[{stage.name}]] to {brief}, or move the picture on by hand."
