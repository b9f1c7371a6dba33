"""What a person has decided about a result in review/, or the sentence that it still waits.

The decision is the place where the picture lies: in one of the trays, or in the folder that comes next. What was done, and what is to be
done yet, is in the brief that Goldsmith has laid beside the result. So nothing has to be remembered anywhere else.
"""

from __future__ import annotations

import os
import posixpath
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import MappingProxyType

from goldsmith.brief.brief import InReview
from goldsmith.brief.parsing import read_prompt
from goldsmith.brief.pipeline import AGAIN, APPROVE, REJECT, REVIEW_FOLDER, REVIEW_STAGE, Pipeline, Stage
from goldsmith.brief.resolve import ResolvedBrief, Resolver, SourceFile
from goldsmith.brief.steps import Step
from goldsmith.errors import InputError
from goldsmith.files import display_name, fold_name
from goldsmith.jobs.names import CANDIDATES_SHEET_TAIL, mask_tail
from goldsmith.picture.formats.table import is_picture_suffix
from goldsmith.pipeline.intake.bundle import Bundle
from goldsmith.pipeline.intake.file_names import BEFORE_SUFFIX, candidate_base, classify, target_stem
from goldsmith.pipeline.stage_work import Decision, Ready
from goldsmith.step_needs import MAX_PROMPT_CHARS, check_prompt

_MAX_SEED = 2**32 - 1
_TRAYS = (
    f"Drag it into {REVIEW_FOLDER}/{APPROVE}, into {REVIEW_FOLDER}/{AGAIN} to have it made anew with another seed, or into "
    f"{REVIEW_FOLDER}/{REJECT}."
)


class ReviewDecisions:
    """Reads the decisions from where the pictures lie. ``lstat`` returns the state of a file, by its path relative to the root."""

    def __init__(self, pipeline: Pipeline, resolver: Resolver, lstat: Callable[[str], os.stat_result]) -> None:
        self._pipeline = pipeline
        self._resolver = resolver
        self._lstat = lstat

    def check(self, bundle: Bundle, own: SourceFile | None, remark: SourceFile | None) -> Ready | str:
        """Return the decision as work that can start, or a sentence that says what is missing.

        own: the brief beside the picture; remark: the ``hero.txt`` beside it. Raises InputError if the brief is wrong, or if what was
        decided cannot be done.
        """
        resolved = None if own is None else self._resolver.resolve_waiting(own)
        if own is None and bundle.tray and bundle.picture is not None:
            return _ready(Decision("name", REVIEW_STAGE), self._resolver.nothing(), REVIEW_FOLDER)
        if resolved is None or resolved.in_review is None:
            return _unknown_sentence(bundle)
        stage = self._pipeline.stages[self._pipeline.index_of(resolved.in_review.stage)]
        if resolved.in_review.masks:
            words = "" if remark is None or not bundle.tray else read_prompt(*remark)
            return self._check_masks(bundle, stage, resolved, resolved.in_review, words)
        if resolved.in_review.candidates and (not bundle.tray or bundle.tray == APPROVE):
            return self._check_pick(bundle, stage, resolved, resolved.in_review)
        if not bundle.tray:
            return self._check_untouched(bundle, stage, resolved, resolved.in_review)
        words = "" if remark is None else read_prompt(*remark)
        if bundle.tray == APPROVE:
            return _ready(Decision("approve", stage, replace(resolved, in_review=None), words), resolved, stage.next_folder)
        if bundle.tray == REJECT:
            is_all = not resolved.in_review.candidates
            return _ready(Decision("reject", stage, None, words, takes_rest=is_all), resolved, "")
        return self._check_again(bundle, stage, resolved, resolved.in_review, words)

    def _check_masks(self, bundle: Bundle, stage: Stage, resolved: ResolvedBrief, waiting: InReview, words: str) -> Ready | str:
        """Return the work on masks that wait for approval, or the sentence about them.

        Approved masks go back into the stage's folder with their picture, and the brief names them in place of the regions.
        """
        names = tuple(name for _, name in waiting.masks)
        tray = bundle.tray
        if not tray and bundle.picture is not None:
            return f"{_masks_phrase(bundle, names)} for your eye since {self._since(bundle)}. {_masks_remedy(bundle, names)}"
        if not tray:
            moved = self._moved_past_trays(bundle, stage.folder, waiting.size)
            if not moved:
                return _left_sentence(bundle)
            approved = _with_approved_masks(bundle, stage, resolved, waiting)
            return _ready(Decision("beside", stage, approved, picture=moved, masks=names), resolved, stage.folder)
        if tray == REJECT:
            return _ready(Decision("reject", stage, None, words, masks=names), resolved, "")
        if tray == APPROVE:
            approved = _with_approved_masks(bundle, stage, resolved, waiting)
            return _ready(Decision("approve", stage, approved, words, masks=names), resolved, stage.folder)
        again = _for_next_try(_next_seed(resolved, waiting), stage, words)
        return _ready(Decision("again", stage, again, words, masks=names), resolved, stage.folder)

    def _moved_past_trays(self, bundle: Bundle, folder: str, size: int) -> str:
        """Return the place of the picture if it was dragged straight into ``folder``; "" if it was not."""
        return next((path for path in bundle.beyond if path.partition("/")[0] == folder and self._size(path) == size), "")

    def _check_pick(self, bundle: Bundle, stage: Stage, resolved: ResolvedBrief, waiting: InReview) -> Ready | str:
        """Return the work on a candidate in ``approve``, or on a set of which no more is wanted; else the sentence about it.

        Of several candidates in ``approve`` the last one goes on after the others, and takes the rest of the set along.
        """
        keep = max((getattr(step.operation, "keep", 1) for step in resolved.steps_for(stage) if step.operation.asks_person()), default=1)
        if bundle.tray:
            is_last = all(path < (bundle.picture or "") for path in bundle.rivals)
            if is_last and bundle.rivals and keep == 1:
                return "It goes on after the other candidates in its tray."
            approved = replace(resolved, in_review=None)
            takes_rest = keep == 1 and is_last
            return _ready(Decision("approve", stage, approved, takes_rest=takes_rest), resolved, stage.next_folder)
        if bundle.picture is not None or (bundle.candidates and any(map(_is_candidates_sheet, bundle.reviews))):
            picks = "the one that goes on" if keep == 1 else f"the {keep} that go on"
            close = "" if keep == 1 else f" Then delete {display_name(candidates_sheet_of(bundle))}: the others go to the archive."
            return (
                f"Waits for your pick among {waiting.candidates} candidates since {self._since(bundle)}. Drag {picks} into "
                f"{REVIEW_FOLDER}/{APPROVE}, or any into {REVIEW_FOLDER}/{AGAIN} to have all made anew.{close}"
            )
        return _ready(Decision("close", stage, picture=next(iter(bundle.candidates), "")), resolved, "")

    def _check_untouched(self, bundle: Bundle, stage: Stage, resolved: ResolvedBrief, waiting: InReview) -> Ready | str:
        """Return the work on a result that is in no tray, if it was dragged straight into the next folder; else the sentence about it."""
        if bundle.picture is not None:
            return f"Waits for your eye since {self._since(bundle)}. {_TRAYS}"
        moved = self._moved_past_trays(bundle, stage.next_folder, waiting.size)
        if not moved:
            return _left_sentence(bundle)
        decision = Decision("beside", stage, replace(resolved, in_review=None), picture=moved)
        return _ready(decision, resolved, stage.next_folder)

    def _check_again(self, bundle: Bundle, stage: Stage, resolved: ResolvedBrief, waiting: InReview, remark: str) -> Ready:
        """Return the work that brings the originals back into the stage's folder. Raises InputError if the original is missing."""
        steps = resolved.steps_for(stage)
        needs_picture = not steps or steps[0].operation.needs().needs_picture
        if needs_picture and not any(is_original_picture(path) for path in bundle.reviews):
            name = display_name(f"{bundle.stem}{BEFORE_SUFFIX}.png")
            raise InputError(
                f"“{display_name(bundle.stem)}” cannot be made again: its original, “{name}”, is not beside it.",
                f"Put the original into {stage.folder}/ yourself, or take the picture out of {REVIEW_FOLDER}/{AGAIN}.",
            )
        stem = target_stem(classify(posixpath.basename(bundle.brief or bundle.asset)))
        again = _for_next_try(_next_seed(resolved, waiting), stage, remark)
        return _ready(Decision("again", stage, again, remark, stem=stem), resolved, stage.folder)

    def _since(self, bundle: Bundle) -> str:
        """Return when the result was laid here: the time alone if that was today."""
        path = next((path for path in (*bundle.reviews, bundle.brief) if path), bundle.asset)
        try:
            moment = time.localtime(self._lstat(path).st_mtime)
        except OSError:
            return "a while ago"
        is_today = moment[:3] == time.localtime()[:3]
        return time.strftime("%H:%M" if is_today else "%Y-%m-%d %H:%M", moment)

    def _size(self, path: str) -> int:
        try:
            return self._lstat(path).st_size
        except OSError:
            return -1


def _next_seed(resolved: ResolvedBrief, waiting: InReview) -> ResolvedBrief:
    """Return the brief of a result that waits, with the seed after the one that made the result."""
    seed = 1 if waiting.seed >= _MAX_SEED else waiting.seed + 1
    return replace(resolved, in_review=None, is_single_stage=False, seed=seed)


def _with_approved_masks(bundle: Bundle, stage: Stage, resolved: ResolvedBrief, waiting: InReview) -> ResolvedBrief:
    """Return the brief in which each step uses the approved mask in place of the region that it would find.

    Raises InputError if a mask is gone, or if the brief now asks for a region whose mask nobody has seen.
    """
    names = dict(waiting.masks)
    for name in names.values():
        if fold_name(name) not in {fold_name(known) for known in bundle.masks}:
            raise InputError(
                f"The mask of “{display_name(bundle.stem)}”, “{_mask_file(bundle, name)}”, is not beside it.",
                f"Put the mask back, or drag the picture into {REVIEW_FOLDER}/{AGAIN} to have the mask found again.",
            )
    steps = []
    for number, step in enumerate(resolved.steps_for(stage), 1):
        words = step.operation.found_region()
        if words and words not in names:
            raise InputError(
                f"Step {number} of {stage.name}, {step.op}, now works on “{words}”, and nobody has seen that mask.",
                f"Drag the picture into {REVIEW_FOLDER}/{AGAIN} to have the mask found.",
            )
        steps.append(_with_mask(step, names[words]) if words else step)
    approved_masks = tuple(dict.fromkeys((*resolved.approved_masks, *names.values())))
    steps_by_stage = MappingProxyType({**resolved.steps_by_stage, stage.name: tuple(steps)})
    return replace(resolved, in_review=None, is_single_stage=False, approved_masks=approved_masks, steps_by_stage=steps_by_stage)


def _with_mask(step: Step, name: str) -> Step:
    settings = step.operation.settings_with_mask(step.settings, name)
    return replace(step, settings=MappingProxyType(dict(settings)), operation=type(step.operation).model_validate(settings))


def _mask_file(bundle: Bundle, name: str) -> str:
    return display_name(f"{bundle.stem}{mask_tail(name)}")


def _masks_phrase(bundle: Bundle, names: Sequence[str]) -> str:
    files = " and ".join(f"“{_mask_file(bundle, name)}”" for name in names)
    return f"The mask {files} waits" if len(names) == 1 else f"The masks {files} wait"


def _masks_remedy(bundle: Bundle, names: Sequence[str]) -> str:
    """Return what to do about masks that wait."""
    name = display_name(posixpath.basename(bundle.picture or bundle.stem))
    it, is_wrong = ("it", "it is") if len(names) == 1 else ("them", "they are")
    return (
        f"Paint over {it} if {is_wrong} wrong. Then drag “{name}” into {REVIEW_FOLDER}/{APPROVE}, into {REVIEW_FOLDER}/{AGAIN} to have "
        f"{it} found anew, or into {REVIEW_FOLDER}/{REJECT}."
    )


def _left_sentence(bundle: Bundle) -> str:
    """Return the sentence about a brief in review/ whose picture somebody has taken away."""
    return (
        f"The picture “{display_name(bundle.stem)}” has left {REVIEW_FOLDER}/, and its brief waits here. Put the picture into "
        f"{REVIEW_FOLDER}/{APPROVE}, or put it back."
    )


def _is_candidates_sheet(path: str) -> bool:
    return path.casefold().endswith(CANDIDATES_SHEET_TAIL)


def candidates_sheet_of(bundle: Bundle) -> str:
    """Return the name of the sheet with all candidates of a set."""
    return f"{candidate_base(fold_name(bundle.stem))}{CANDIDATES_SHEET_TAIL}"


def is_original_picture(path: str) -> bool:
    """Return whether a file beside a result is the copy of the picture that the result was made from."""
    tail = classify(posixpath.basename(path)).label
    return tail.count(".") == 1 and is_picture_suffix(tail.lower())


def _ready(decision: Decision, resolved: ResolvedBrief, next_folder: str) -> Ready:
    """Return the decision as the work of the stage of review/, which has no steps."""
    return Ready(replace(REVIEW_STAGE, next_folder=next_folder), resolved, (), has_all_named_inputs=False, decision=decision)


def _for_next_try(resolved: ResolvedBrief, stage: Stage, remark: str) -> ResolvedBrief:
    """Return the brief for another try: with other seeds, and with the remark added to the words of the steps that take words."""
    steps = resolved.steps_for(stage)
    with_words = tuple(_for_another_try(step, remark) for step in steps)
    prompt = resolved.prompt
    if remark and any(step.operation.uses_brief_prompt() for step in steps):
        prompt = _joined_words(prompt, remark)
    return replace(resolved, prompt=prompt, steps_by_stage=MappingProxyType({**resolved.steps_by_stage, stage.name: with_words}))


def _for_another_try(step: Step, remark: str) -> Step:
    """Return the step with other seeds if it names seeds, and with the remark added to its own prompt if it has one."""
    settings = step.operation.another_try(step.settings)
    prompt = settings.get("prompt")
    if remark and isinstance(prompt, str) and prompt:
        settings = {**settings, "prompt": _joined_words(prompt, remark)}
    if settings is step.settings:
        return step
    return replace(step, settings=MappingProxyType(dict(settings)), operation=type(step.operation).model_validate(settings))


def _joined_words(prompt: str, remark: str) -> str:
    """Return the prompt with the remark behind it. Raises InputError if no prompt may have such words, or so many."""
    words = f"{prompt.rstrip(' ,.')}, {remark}" if prompt else remark
    if len(words) > MAX_PROMPT_CHARS:
        raise InputError(
            f"With your remark, the prompt has {len(words)} characters; a prompt has at most {MAX_PROMPT_CHARS}.", "Shorten the remark."
        )
    try:
        return check_prompt(words)
    except ValueError as error:
        raise InputError(f"Your remark cannot be added to the prompt: {error}.", "Change the remark.") from error


def unknown_problem(path: str, places: Sequence[str]) -> InputError:
    """Return the problem of a picture in a tray which no waiting result is, or of which several are copies.

    places: the results that it may be.
    """
    name = display_name(posixpath.basename(path))
    if places:
        listed = " or ".join(display_name(place) for place in places[:4])
        return InputError(f"“{name}” may be {listed}.", "Give it the name of the one that you mean, in a folder of its campaign.")
    return InputError(
        f"Nothing called “{display_name(posixpath.splitext(name)[0])}” waits in {REVIEW_FOLDER}/, and no result that waits there has the "
        "bytes or the id of this picture.",
        "Give the picture the name that it had there, or put its brief beside it.",
    )


def _unknown_sentence(bundle: Bundle) -> str:
    """Return the sentence about a picture in review/ with a brief that does not say which result it is."""
    name = display_name(bundle.stem)
    if bundle.tray:
        return f"Nothing called “{name}” waits in {REVIEW_FOLDER}/: take the brief away from it, or give it the name that it had there."
    return f"{REVIEW_FOLDER}/ holds results that wait for a person, and “{name}” is none: put it into the folder of a stage."
