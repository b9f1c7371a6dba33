"""Look a picture over before work goes into it, and keep the best of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from goldsmith.errors import Problem
from goldsmith.operation import Bench, Deliverable, Finding, SetOperation
from goldsmith.picture.assess import Assessment, assess
from goldsmith.picture.picture import Plate

_SOFT = 30.0
_NOISY = 2.0
_CLIPPED = 1.0
_MOST_REMARKS = 4
"""Soft (or without edges), noisy, clipped, blocked."""


class Select(SetOperation):
    """Measure sharpness, noise, clipping and size; hold a picture that breaks a limit, keep the best of several.

    No pixel is changed. With its default settings every picture passes, and what was measured goes on record.
    """

    closes: ClassVar[bool] = True

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

    def leaves(self, pictures: int) -> int:
        return min(self.keep, pictures)

    def apply_set(self, plates: Sequence[Plate], bench: Bench) -> Sequence[Plate]:
        """The ``keep`` best of the plates that break no limit, best first; Problem with the reasons where every one breaks one."""
        measured: list[Assessment] = []
        share = 1.0 if len(plates) == 1 else 0.5
        for number, plate in enumerate(plates):
            bench.progress(share * number / len(plates), "measuring")
            measured.append(assess(plate))
        faults = [self._faults(seen) for seen in measured]
        passing = [number for number in range(len(plates)) if not faults[number]]
        best = sorted(passing, key=lambda number: _rank(measured[number]))[: self.keep]
        self._record(bench, plates, measured, best)
        if plates and not best:
            reasons = faults[0] if len(plates) == 1 else [f"{number + 1}: {' and '.join(said)}" for number, said in enumerate(faults)]
            what = "The picture" if len(plates) == 1 else "None of the pictures passed the selection; picture"
            raise Problem(f"{what} {'; '.join(reasons)}.", "Give a better picture, or change the limits of the select step in the brief.")
        if len(plates) > 1:
            _lay_aside(bench, plates, measured, best)
        return [plates[number] for number in best]

    def _faults(self, seen: Assessment) -> list[str]:
        """Every limit that is broken, as the end of a sentence that begins with the picture."""
        side, said = min(seen.width, seen.height), []
        if self.min_side is not None and side < self.min_side:
            said.append(f"is {seen.width} x {seen.height} px, its shorter side has fewer than the {self.min_side} px asked for (min_side)")
        if self.min_sharpness is not None and seen.sharpness is not None and seen.sharpness < self.min_sharpness:
            said.append(f"is too soft: sharpness {seen.sharpness:.0f}, at least {self.min_sharpness:g} is asked for (min_sharpness)")
        if self.max_noise is not None and seen.noise > self.max_noise:
            said.append(f"is too noisy: {seen.noise:.1f} %, at most {self.max_noise:g} % is asked for (max_noise)")
        if self.max_clipped is not None and seen.blown > self.max_clipped:
            said.append(f"has {seen.blown:.1f} % blown highlights, at most {self.max_clipped:g} % is asked for (max_clipped)")
        if self.max_black is not None and seen.black > self.max_black:
            said.append(f"has {seen.black:.1f} % pure black, at most {self.max_black:g} % is asked for (max_black)")
        return said

    def _record(self, bench: Bench, plates: Sequence[Plate], measured: Sequence[Assessment], best: Sequence[int]) -> None:
        if len(measured) == 1:
            bench.record(**_findings(measured[0]))
        else:
            candidates: list[Finding] = [
                {**_called(plate, place), "score": score(seen), **_findings(seen)}
                for place, (plate, seen) in enumerate(zip(plates, measured, strict=True))
            ]
            bench.record(kept=[_number(plates[place], place) for place in best], candidates=candidates)


def _lay_aside(bench: Bench, plates: Sequence[Plate], measured: Sequence[Assessment], best: Sequence[int]) -> None:
    """What does not go on is kept, as it is, beside a sheet of them all."""
    from goldsmith.ops.select.contact_sheet import Cell, sheet, thumb_side, thumbnail
    from goldsmith.picture.codec import Encoding, encode

    cells, side = [], thumb_side(len(plates))
    for place, (plate, seen) in enumerate(zip(plates, measured, strict=True)):
        bench.progress(0.5 + 0.5 * place / len(plates), "laying aside")
        cells.append(Cell(thumbnail(plate, side), _legend(plate, place, seen, place in best), place in best))
        if place not in best:
            data = encode(plate, Encoding(format="png", depth=plate.depth))
            facts: dict[str, Finding] = {"what": "candidate", **_called(plate, place), "score": score(seen)}
            bench.aside(Deliverable(f"_candidate{_number(plate, place):02d}", ".png", data, facts))
    kept = ", ".join(str(_number(plates[place], place)) for place in best)
    title = f"{bench.stem}: {len(plates)} candidates, number {kept} goes on"
    bench.aside(Deliverable("_candidates", ".jpg", sheet(cells, title), {"what": "contact sheet"}))


def _number(plate: Plate, place: int) -> int:
    return plate.facts.get("number", place + 1)


def _called(plate: Plate, place: int) -> dict[str, Finding]:
    """How a plate of a set is told from the others: its number and, where it was made of one, its seed."""
    return {"number": _number(plate, place), **({"seed": plate.facts["seed"]} if "seed" in plate.facts else {})}


def _legend(plate: Plate, place: int, seen: Assessment, kept: bool) -> tuple[str, ...]:
    seed = plate.facts.get("seed")
    remarks = ", ".join(_remarks(seen)) or "nothing to remark"
    first = f"{_number(plate, place)}   score {score(seen):.1f}" + ("   goes on" if kept else "")
    return (first, *(() if seed is None else (f"seed {seed}",)), remarks)


def score(seen: Assessment) -> float:
    """0 to 100: 20 points for each remark that is not made, and up to 20 more for sharpness. What orders candidates, as one number."""
    return round(20.0 * (_MOST_REMARKS - len(_remarks(seen))) + 0.2 * (seen.sharpness or 0.0), 1)


def _findings(seen: Assessment) -> dict[str, Finding]:
    return {
        "width": seen.width,
        "height": seen.height,
        "sharpness": None if seen.sharpness is None else round(seen.sharpness, 1),
        "noise": round(seen.noise, 2),
        "clipped_highlights": [round(share, 2) for share in seen.highlights],
        "clipped_shadows": [round(share, 2) for share in seen.shadows],
        "black": round(seen.black, 2),
        "remarks": list(_remarks(seen)),
    }


def _remarks(seen: Assessment) -> list[str]:
    """What catches the eye, in plain words."""
    said = []
    if seen.sharpness is None:
        said.append("no edges to judge sharpness by")
    elif seen.sharpness < _SOFT:
        said.append("soft")
    if seen.noise > _NOISY:
        said.append(f"noisy ({seen.noise:.1f} %)")
    if seen.blown > _CLIPPED:
        said.append(f"clipped highlights {seen.blown:.1f} %")
    if seen.black > _CLIPPED:
        said.append(f"blocked shadows {seen.black:.1f} %")
    return said


def _rank(seen: Assessment) -> tuple[int, float]:
    """Fewest remarks first, then the sharpest: as ``score``, before it is rounded."""
    return len(_remarks(seen)), -(seen.sharpness or 0.0)
