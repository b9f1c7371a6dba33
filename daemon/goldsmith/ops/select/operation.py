"""The ``select`` operation: it measures a picture before work goes into it, and keeps the best of several."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

from pydantic import Field

from goldsmith.errors import InputError
from goldsmith.operation import Deliverable, RecordValue, SetOperation, StepContext
from goldsmith.picture.picture import Picture
from goldsmith.picture.quality_metrics import Assessment, assess

_MIN_CRISP_SHARPNESS = 30.0
_MAX_CLEAN_NOISE = 2.0
_MAX_CLEAN_CLIPPING = 1.0
# Soft (or without edges), noisy, clipped highlights, blocked shadows.
_MAX_REMARKS = 4
# What the model did not read of a prompt, by the name of its fact.
_UNREAD_REMARKS = {"prompt_truncated": "the end of the prompt was ignored", "weights_read_as_words": "weights were read as words"}
# The longest prompt under a picture of the contact sheet.
_MAX_CAPTION_CHARS = 240
# Maximum number of rejected candidates in a sentence; the others are counted.
_MAX_REASONS = 8


class Select(SetOperation):
    """Measure sharpness, noise, clipping and size; hold a picture that breaks a limit, keep the best of several.

    No pixel is changed. With the default settings every picture passes, and its measurements are recorded.
    """

    credential_action: ClassVar[str] = ""
    also_called: ClassVar[str] = "pick choose curate best rank filter"
    settings_also_called: ClassVar[Mapping[str, str]] = MappingProxyType({"keep": "count number best top", "min_side": "min-size"})

    closes_set: ClassVar[bool] = True

    keep: int = Field(default=1, ge=1, le=64)
    """How many pictures are kept, best first (1 to 64). A stage passes on one picture: only 1 may be left at its end."""
    ask: bool = False
    """true = a person picks: all candidates wait in review/ with their sheet. Those that are dragged into approve/ go on
    (default: false). It must be the last step of its stage."""
    min_side: int | None = Field(default=None, ge=1, le=30000)
    """Hold a picture whose shorter side has fewer pixels than this (1 to 30000; unset: any size passes)."""
    min_sharpness: float | None = Field(default=None, ge=0, le=100)
    """Hold a picture that is softer than this (0 to 100: 60 is crisp, under 30 is soft; unset: any passes)."""
    max_noise: float | None = Field(default=None, ge=0, le=100)
    """Hold a picture with more noise than this, in per cent of full scale (0 to 100: 2 is clearly visible; unset: any passes)."""
    max_clipped: float | None = Field(default=None, ge=0, le=100)
    """Hold a picture with more blown highlights than this, in per cent of its pixels in the worst channel (0 to 100; unset: any passes)."""
    max_black: float | None = Field(default=None, ge=0, le=100)
    """Hold a picture with more pure black than this, in per cent of its pixels (0 to 100; unset: any passes)."""

    def max_results(self, count: int) -> int:
        """Return how many pictures of ``count`` are kept at most."""
        return 1 if self.ask else min(self.keep, count)

    def asks_person(self) -> bool:
        """Return whether a person picks."""
        return self.ask

    def apply_set(self, pictures: Sequence[Picture], context: StepContext) -> Sequence[Picture]:
        """Return the ``keep`` best pictures that break no limit, best first; all of them if a person picks.

        Raises InputError with the reasons if every picture breaks a limit.
        """
        assessments: list[Assessment] = []
        share = 1.0 if len(pictures) == 1 else 0.5
        for number, picture in enumerate(pictures):
            context.progress.report(share * number / len(pictures), "measuring")
            assessments.append(assess(picture))
        faults = [self._broken_limits(assessment) for assessment in assessments]
        passing = [number for number in range(len(pictures)) if not faults[number]]
        best = sorted(passing, key=lambda number: _rank_key(assessments[number]))[: None if self.ask else self.keep]
        self._record_assessments(context, pictures, assessments, best)
        if pictures and not best:
            if len(pictures) == 1:
                remedy = "Provide a better picture, or relax the limits of the select step in the brief."
                raise InputError(f"The picture {'; '.join(faults[0])}.", remedy)
            _show_rejected(context, pictures, assessments)
            raise _all_rejected(pictures, faults)
        if len(pictures) > 1:
            _archive_candidates(context, pictures, assessments, best, self.keep if self.ask else 0)
        return [pictures[number] for number in best]

    def _broken_limits(self, assessment: Assessment) -> list[str]:
        """Return every broken limit, as the end of a sentence that begins with the picture."""
        side, broken = min(assessment.width, assessment.height), []
        if self.min_side is not None and side < self.min_side:
            broken.append(
                f"is {assessment.width} x {assessment.height} px: its shorter side is below the limit of {self.min_side} px (min_side)"
            )
        if self.min_sharpness is not None and assessment.sharpness is not None and assessment.sharpness < self.min_sharpness:
            broken.append(f"is too soft: sharpness {assessment.sharpness:.0f}, the limit is {self.min_sharpness:g} (min_sharpness)")
        if self.max_noise is not None and assessment.noise_percent > self.max_noise:
            broken.append(f"is too noisy: {assessment.noise_percent:.1f} %, the limit is {self.max_noise:g} % (max_noise)")
        if self.max_clipped is not None and assessment.max_clipped_highlights > self.max_clipped:
            broken.append(
                f"has {assessment.max_clipped_highlights:.1f} % blown highlights, the limit is {self.max_clipped:g} % (max_clipped)"
            )
        if self.max_black is not None and assessment.clipped_black > self.max_black:
            broken.append(f"has {assessment.clipped_black:.1f} % pure black, the limit is {self.max_black:g} % (max_black)")
        return broken

    def _record_assessments(
        self, context: StepContext, pictures: Sequence[Picture], assessments: Sequence[Assessment], best: Sequence[int]
    ) -> None:
        """Record the measurements; for several pictures, also which are kept."""
        if len(assessments) == 1:
            context.results.record(**_assessment_record(assessments[0]))
        else:
            candidates: list[RecordValue] = [
                {**_candidate_identity(picture, index), "score": quality_score(assessment), **_assessment_record(assessment)}
                for index, (picture, assessment) in enumerate(zip(pictures, assessments, strict=True))
            ]
            context.results.record(kept=[_candidate_number(pictures[index], index) for index in best], candidates=candidates)


def _archive_candidates(
    context: StepContext, pictures: Sequence[Picture], assessments: Sequence[Assessment], best: Sequence[int], pick_count: int
) -> None:
    """Archive the pictures that are not kept, unchanged, and a contact sheet of all.

    ``pick_count``: how many a person picks of the kept ones, who gets the sheet; 0 = nobody is asked.
    """
    from goldsmith.ops.select.contact_sheet import ContactSheetCell, make_thumbnail, render_contact_sheet, thumbnail_side
    from goldsmith.picture.codec import EncodingOptions, encode

    cells, side = [], thumbnail_side(len(pictures))
    for index, (picture, assessment) in enumerate(zip(pictures, assessments, strict=True)):
        context.progress.report(0.5 + 0.5 * index / len(pictures), "archiving candidates")
        is_kept = index in best and not pick_count
        cells.append(ContactSheetCell(make_thumbnail(picture, side), _caption(picture, index, assessment, is_kept), is_kept))
        if index not in best:
            tail = f"_candidate{_candidate_number(picture, index):03d}"
            identified = picture.with_metadata(context.results.with_identity(picture.metadata, f"{tail}.png"))
            data = encode(identified, EncodingOptions(format="png", depth=picture.depth))
            facts: dict[str, RecordValue] = {"what": "candidate", **_candidate_identity(picture, index), "score": quality_score(assessment)}
            context.results.archive(Deliverable(tail, ".png", data, facts))
    if pick_count > 0:
        picks = "the one that goes on" if pick_count == 1 else f"the {pick_count} that go on"
        title = f"{context.stem}: {len(best)} candidates. Drag {picks} into review/approve."
        context.results.lay_for_review(Deliverable("", ".candidates.jpg", render_contact_sheet(cells, title), {"what": "contact sheet"}))
        return
    kept = ", ".join(str(_candidate_number(pictures[index], index)) for index in best)
    title = f"{context.stem}: {len(pictures)} candidates, number {kept} kept"
    context.results.archive(Deliverable("_candidates", ".jpg", render_contact_sheet(cells, title), {"what": "contact sheet"}))


def _show_rejected(context: StepContext, pictures: Sequence[Picture], assessments: Sequence[Assessment]) -> None:
    """Keep a contact sheet of all pictures for the problem note, so that none is rejected unseen."""
    from goldsmith.ops.select.contact_sheet import ContactSheetCell, draw_contact_sheet, make_thumbnail, thumbnail_side

    side = thumbnail_side(len(pictures))
    cells = [
        ContactSheetCell(make_thumbnail(picture, side), _caption(picture, index, assessment, False))
        for index, (picture, assessment) in enumerate(zip(pictures, assessments, strict=True))
    ]
    context.results.show_problem(draw_contact_sheet(cells, f"{context.stem}: {len(pictures)} candidates, none kept"))


def _all_rejected(pictures: Sequence[Picture], faults: Sequence[Sequence[str]]) -> InputError:
    """Return the problem if every candidate breaks a limit, with the reasons of the first ones."""
    reasons = [f"{_candidate_number(picture, index)}: {' and '.join(faults[index])}" for index, picture in enumerate(pictures)]
    more = f"; and {len(reasons) - _MAX_REASONS} more" if len(reasons) > _MAX_REASONS else ""
    seeds = any("seed" in picture.record_values for picture in pictures)
    again = " Under each is the line for the regenerate step that makes it again." if seeds else ""
    return InputError(
        f"The select step rejected every candidate: number {'; '.join(reasons[:_MAX_REASONS])}{more}.",
        f"Relax the limits of the select step in the brief. The picture beside this note shows all candidates.{again}",
    )


def _candidate_number(picture: Picture, index: int) -> int:
    """Return the picture's number in its set, or its position from 1."""
    return picture.record_values.get("number", index + 1)


def _candidate_identity(picture: Picture, index: int) -> dict[str, RecordValue]:
    """Return the number of a picture and, if it was generated, its seed and what tells it apart."""
    return {
        **picture.variation,
        "number": _candidate_number(picture, index),
        **({"seed": picture.record_values["seed"]} if "seed" in picture.record_values else {}),
    }


def _caption(picture: Picture, index: int, assessment: Assessment, kept: bool) -> tuple[str, ...]:
    """Return the caption of a picture on the contact sheet; of a generated one, with the line that makes it again."""
    seed = picture.record_values.get("seed")
    unread = [remark for name, remark in _UNREAD_REMARKS.items() if picture.record_values.get(name)]
    remarks = ", ".join([*unread, *_remarks(assessment)]) or "no remarks"
    first = f"{_candidate_number(picture, index)}   score {quality_score(assessment):.1f}" + ("   kept" if kept else "")
    lines = [f"{name} = {_setting_text(value)}" for name, value in picture.variation.items()]
    return (first, *(() if seed is None else (f"seeds = [{seed}]",)), *lines, remarks)


def _setting_text(value: str | float) -> str:
    """Return a setting's value as a brief has it; a long prompt is shortened."""
    if not isinstance(value, str):
        return f"{value:g}"
    short = value if len(value) <= _MAX_CAPTION_CHARS else value[:_MAX_CAPTION_CHARS] + "…"
    return json.dumps(short, ensure_ascii=False)


def quality_score(assessment: Assessment) -> float:
    """Return a score from 0 to 100 that orders candidates: 20 points for each remark avoided, and up to 20 for detail."""
    return round(20.0 * (_MAX_REMARKS - len(_remarks(assessment))) + 0.2 * _detail(assessment), 1)


def _detail(assessment: Assessment) -> float:
    """Return the sharpness, 0..100, less a point for each per cent of the picture without detail: blown highlights look sharp."""
    blank = [share for share in (assessment.max_clipped_highlights, assessment.clipped_black) if share > _MAX_CLEAN_CLIPPING]
    return max((assessment.sharpness or 0.0) - sum(blank), 0.0)


def _assessment_record(assessment: Assessment) -> dict[str, RecordValue]:
    """Return the measurements for the record."""
    return {
        "width": assessment.width,
        "height": assessment.height,
        "sharpness": None if assessment.sharpness is None else round(assessment.sharpness, 1),
        "noise": round(assessment.noise_percent, 2),
        "clipped_highlights": [round(share, 2) for share in assessment.clipped_highlights],
        "clipped_shadows": [round(share, 2) for share in assessment.clipped_shadows],
        "black": round(assessment.clipped_black, 2),
        "remarks": list(_remarks(assessment)),
    }


def _remarks(assessment: Assessment) -> list[str]:
    """Return conspicuous faults in plain words."""
    remarks = []
    if assessment.sharpness is None:
        remarks.append("no edges to measure sharpness by")
    elif assessment.sharpness < _MIN_CRISP_SHARPNESS:
        remarks.append("soft")
    if assessment.noise_percent > _MAX_CLEAN_NOISE:
        remarks.append(f"noisy ({assessment.noise_percent:.1f} %)")
    if assessment.max_clipped_highlights > _MAX_CLEAN_CLIPPING:
        remarks.append(f"clipped highlights {assessment.max_clipped_highlights:.1f} %")
    if assessment.clipped_black > _MAX_CLEAN_CLIPPING:
        remarks.append(f"blocked shadows {assessment.clipped_black:.1f} %")
    return remarks


def _rank_key(assessment: Assessment) -> tuple[int, float]:
    """Return the sort key of candidates: fewest remarks first, then most detail, as in ``quality_score`` before rounding."""
    return len(_remarks(assessment)), -_detail(assessment)
