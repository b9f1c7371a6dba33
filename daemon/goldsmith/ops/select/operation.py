"""Look a picture over before work goes into it, and keep the best of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from goldsmith.errors import InputError
from goldsmith.operation import Deliverable, RecordValue, SetOperation, StepContext
from goldsmith.picture.picture import Picture
from goldsmith.picture.quality_metrics import Assessment, assess

_MIN_CRISP_SHARPNESS = 30.0
_MAX_CLEAN_NOISE = 2.0
_MAX_CLEAN_CLIPPING = 1.0
# Soft (or without edges), noisy, clipped, blocked.
_MAX_REMARKS = 4


class Select(SetOperation):
    """Measure sharpness, noise, clipping and size; hold a picture that breaks a limit, keep the best of several.

    No pixel is changed. With its default settings every picture passes, and what was measured goes on record.
    """

    closes_set: ClassVar[bool] = True

    keep: int = Field(default=1, ge=1, le=64)
    """How many pictures go on, best first (1 to 64). A stage hands on one picture: at its end only 1 may be left."""
    min_side: int | None = Field(default=None, ge=1, le=30000)
    """Hold a picture whose shorter side has fewer pixels than this (1 to 30000; unset: any size passes)."""
    min_sharpness: float | None = Field(default=None, ge=0, le=100)
    """Hold a picture that is softer than this (0 to 100: 60 is crisp, under 30 is soft; unset: any passes)."""
    max_noise: float | None = Field(default=None, ge=0, le=100)
    """Hold a picture with more noise than this, in per cent of full scale (0 to 100: 2 is plainly seen; unset: any passes)."""
    max_clipped: float | None = Field(default=None, ge=0, le=100)
    """Hold a picture with more blown highlights than this, in per cent of its pixels in the worst channel (0 to 100; unset: any passes)."""
    max_black: float | None = Field(default=None, ge=0, le=100)
    """Hold a picture with more pure black than this, in per cent of its pixels (0 to 100; unset: any passes)."""

    def max_results(self, count: int) -> int:
        return min(self.keep, count)

    def apply_set(self, pictures: Sequence[Picture], context: StepContext) -> Sequence[Picture]:
        """The ``keep`` best of the pictures that break no limit, best first; Problem with the reasons where every one breaks one."""
        measured: list[Assessment] = []
        share = 1.0 if len(pictures) == 1 else 0.5
        for number, picture in enumerate(pictures):
            context.progress.report(share * number / len(pictures), "measuring")
            measured.append(assess(picture))
        faults = [self._broken_limits(seen) for seen in measured]
        passing = [number for number in range(len(pictures)) if not faults[number]]
        best = sorted(passing, key=lambda number: _rank_key(measured[number]))[: self.keep]
        self._record_assessments(context, pictures, measured, best)
        if pictures and not best:
            reasons = faults[0] if len(pictures) == 1 else [f"{number + 1}: {' and '.join(said)}" for number, said in enumerate(faults)]
            what = "The picture" if len(pictures) == 1 else "None of the pictures passed the selection; picture"
            raise InputError(
                f"{what} {'; '.join(reasons)}.", "Give a better picture, or change the limits of the select step in the brief."
            )
        if len(pictures) > 1:
            _archive_candidates(context, pictures, measured, best)
        return [pictures[number] for number in best]

    def _broken_limits(self, assessment: Assessment) -> list[str]:
        """Every limit that is broken, as the end of a sentence that begins with the picture."""
        side, said = min(assessment.width, assessment.height), []
        if self.min_side is not None and side < self.min_side:
            said.append(
                f"is {assessment.width} x {assessment.height} px, its shorter side has fewer than the {self.min_side} px asked for (min_side)"
            )
        if self.min_sharpness is not None and assessment.sharpness is not None and assessment.sharpness < self.min_sharpness:
            said.append(f"is too soft: sharpness {assessment.sharpness:.0f}, at least {self.min_sharpness:g} is asked for (min_sharpness)")
        if self.max_noise is not None and assessment.noise_percent > self.max_noise:
            said.append(f"is too noisy: {assessment.noise_percent:.1f} %, at most {self.max_noise:g} % is asked for (max_noise)")
        if self.max_clipped is not None and assessment.max_clipped_highlights > self.max_clipped:
            said.append(
                f"has {assessment.max_clipped_highlights:.1f} % blown highlights, at most {self.max_clipped:g} % is asked for (max_clipped)"
            )
        if self.max_black is not None and assessment.clipped_black > self.max_black:
            said.append(f"has {assessment.clipped_black:.1f} % pure black, at most {self.max_black:g} % is asked for (max_black)")
        return said

    def _record_assessments(
        self, context: StepContext, pictures: Sequence[Picture], measured: Sequence[Assessment], best: Sequence[int]
    ) -> None:
        if len(measured) == 1:
            context.results.record(**_assessment_record(measured[0]))
        else:
            candidates: list[RecordValue] = [
                {**_candidate_identity(picture, place), "score": quality_score(seen), **_assessment_record(seen)}
                for place, (picture, seen) in enumerate(zip(pictures, measured, strict=True))
            ]
            context.results.record(kept=[_candidate_number(pictures[place], place) for place in best], candidates=candidates)


def _archive_candidates(context: StepContext, pictures: Sequence[Picture], measured: Sequence[Assessment], best: Sequence[int]) -> None:
    """What does not go on is kept, as it is, beside a sheet of them all."""
    from goldsmith.ops.select.contact_sheet import ContactSheetCell, make_thumbnail, render_contact_sheet, thumbnail_side
    from goldsmith.picture.codec import EncodingOptions, encode

    cells, side = [], thumbnail_side(len(pictures))
    for place, (picture, seen) in enumerate(zip(pictures, measured, strict=True)):
        context.progress.report(0.5 + 0.5 * place / len(pictures), "laying aside")
        cells.append(ContactSheetCell(make_thumbnail(picture, side), _caption(picture, place, seen, place in best), place in best))
        if place not in best:
            data = encode(picture, EncodingOptions(format="png", depth=picture.depth))
            facts: dict[str, RecordValue] = {"what": "candidate", **_candidate_identity(picture, place), "score": quality_score(seen)}
            context.results.archive(Deliverable(f"_candidate{_candidate_number(picture, place):02d}", ".png", data, facts))
    kept = ", ".join(str(_candidate_number(pictures[place], place)) for place in best)
    title = f"{context.stem}: {len(pictures)} candidates, number {kept} goes on"
    context.results.archive(Deliverable("_candidates", ".jpg", render_contact_sheet(cells, title), {"what": "contact sheet"}))


def _candidate_number(picture: Picture, index: int) -> int:
    return picture.record_values.get("number", index + 1)


def _candidate_identity(picture: Picture, index: int) -> dict[str, RecordValue]:
    """How a picture of a set is told from the others: its number and, where it was made of one, its seed."""
    return {
        "number": _candidate_number(picture, index),
        **({"seed": picture.record_values["seed"]} if "seed" in picture.record_values else {}),
    }


def _caption(picture: Picture, index: int, assessment: Assessment, kept: bool) -> tuple[str, ...]:
    seed = picture.record_values.get("seed")
    remarks = ", ".join(_remarks(assessment)) or "nothing to remark"
    first = f"{_candidate_number(picture, index)}   score {quality_score(assessment):.1f}" + ("   goes on" if kept else "")
    return (first, *(() if seed is None else (f"seed {seed}",)), remarks)


def quality_score(assessment: Assessment) -> float:
    """0 to 100: 20 points for each remark that is not made, and up to 20 more for sharpness. What orders candidates, as one number."""
    return round(20.0 * (_MAX_REMARKS - len(_remarks(assessment))) + 0.2 * (assessment.sharpness or 0.0), 1)


def _assessment_record(assessment: Assessment) -> dict[str, RecordValue]:
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
    """What catches the eye, in plain words."""
    said = []
    if assessment.sharpness is None:
        said.append("no edges to judge sharpness by")
    elif assessment.sharpness < _MIN_CRISP_SHARPNESS:
        said.append("soft")
    if assessment.noise_percent > _MAX_CLEAN_NOISE:
        said.append(f"noisy ({assessment.noise_percent:.1f} %)")
    if assessment.max_clipped_highlights > _MAX_CLEAN_CLIPPING:
        said.append(f"clipped highlights {assessment.max_clipped_highlights:.1f} %")
    if assessment.clipped_black > _MAX_CLEAN_CLIPPING:
        said.append(f"blocked shadows {assessment.clipped_black:.1f} %")
    return said


def _rank_key(assessment: Assessment) -> tuple[int, float]:
    """Fewest remarks first, then the sharpest: as ``quality_score``, before it is rounded."""
    return len(_remarks(assessment)), -(assessment.sharpness or 0.0)
