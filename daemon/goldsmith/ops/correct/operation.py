"""The correction pass: faults of generators, enlargers, lenses and sharpeners are looked for, put on record and mended where they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from goldsmith.engines import EngineNeed
from goldsmith.operation import (
    Bench,
    Finding,
    Needs,
    PlateOperation,
    Where,
    region_needs,
)
from goldsmith.ops.correct import (
    banding,
    fringes,
    halos,
    lateral,
    noises,
    repeats,
    seams,
)
from goldsmith.ops.correct.defect import Fault, box
from goldsmith.picture.dither import dithered
from goldsmith.picture.picture import Laid, Mask, Pixels, Plate, frozen
from goldsmith.picture.stitch import Manner, stitch

Strength = Literal["auto", "off"] | Annotated[float, Field(ge=0, le=100)]
Find = Callable[[Pixels, float], list[Fault]]

_TOLD = 24
"""So many places of one fault are put on record, the largest first; all are counted."""
_GROW = 4
"""px round a copy that the engine makes new as well."""


class Correct(PlateOperation):
    """Find and mend bands, tile seams, noise, colour fringes and sharpening halos; find what is there twice.

    Where nothing is found the very plate comes back.
    """

    banding: Strength = "auto"
    """Smooth slopes that go in steps: "auto" mends what is found, "off" does not look, 0 to 100 per cent (0 only records)."""
    seams: Strength = "auto"
    """Straight lines where the tone of neighbouring tiles steps: "auto", "off" or 0 to 100."""
    noise: Strength = "auto"
    """Noise above 2.5 % of full scale, and noise of colour above 0.8 %: "auto", "off" or 0 to 100."""
    fringes: Strength = "auto"
    """Red and blue drawn larger or smaller than green, and purple or green rims beside blown lights: "auto", "off" or 0 to 100."""
    halos: Strength = "auto"
    """Light and dark rims along edges, from too much sharpening: "auto", "off" or 0 to 100."""
    repeats: Literal["report", "repair", "off"] = "report"
    """What is there twice to the px: "report" puts it on record, "repair" has an engine make the copy new, "off" does not look."""
    model: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """The engine for repeats = "repair": its name in config/models.toml; the house's default where it is left out."""
    where: Where = ""
    """The region to mend: a mask's name or an expression such as "mask & left"; everything where it is empty."""

    def weighs(self) -> int:
        """Faults are looked for over the whole picture, and what mends one may be as large as that."""
        return 96

    def needs(self) -> Needs:
        """The region's masks; an inpainting engine where copies are to be made new."""
        found = region_needs(self.where)
        if self.repeats != "repair":
            return found
        return Needs(masks=found.masks, engines=(EngineNeed("inpaint", self.model), *found.engines))

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        """The plate with what was found mended; the very plate where nothing was."""
        mask = bench.region(self.where, plate) if self.where else None
        if mask is not None and not mask.any():
            return plate
        work = _Work(plate, mask, bench)
        work.mend("banding", self.banding, banding.find)
        work.mend("seams", self.seams, seams.find)
        work.to_codes()
        work.mend("lateral", self.fringes, lateral.find)
        work.mend("noise", self.noise, noises.find)
        work.mend("colour_noise", self.noise, noises.find_coloured)
        work.mend("fringes", self.fringes, fringes.find)
        work.mend("halos", self.halos, halos.find)
        if self.repeats != "off":
            self._twice(work)
        bench.progress(1.0)
        return work.plate

    def _twice(self, work: _Work) -> None:
        """Copies on record, and made new where that is asked and they are no pattern."""
        found = [one for one in repeats.find(work.plate.pixels) if work.reaches(one.place)]
        work.tell("repeats", [one.fault() for one in found], [{"pattern": one.pattern} for one in found])
        copies = [one for one in found if not one.pattern]
        if self.repeats != "repair" or not copies:
            return
        hole = np.zeros((work.plate.height, work.plate.width), np.float32)
        for one in copies:
            hole[one.place][one.own] = 1
        if work.mask is not None:
            hole *= work.mask
        if not hole.any():
            return
        engine = work.bench.inpainter(self.model)
        asked = engine.descriptor
        manner = Manner(_GROW, 0, 0.5, side=asked.side, multiple=asked.multiple, seed=work.bench.seed, enlarges=asked.enlarges)
        done = stitch(work.plate, frozen(hole), engine.fill, manner, work.bench.progress)
        work.bench.record(repaired=len(copies))
        work.plate = done.plate


class _Work:
    """The plate as it is after each correction, and what was found so far."""

    def __init__(self, plate: Plate, mask: Mask | None, bench: Bench) -> None:
        self.plate = plate
        self.mask = mask
        self.bench = bench
        self._given = plate
        self._done = 0

    def mend(self, kind: str, strength: Strength, find: Find) -> None:
        """Look for one kind of fault, put it on record and lay what mends it over the plate, through the mask."""
        self._done += 1
        self.bench.progress(self._done / 8, f"looking for {kind}")
        if strength == "off":
            return
        share = 1.0 if strength == "auto" else float(strength) / 100
        found = [fault for fault in find(self.plate.pixels, share) if self.reaches(fault.window)]
        self.tell(kind, found)
        laid = [self._through(fault.laid) for fault in found if fault.laid is not None] if share else []
        if laid:
            self.plate = self.plate.patched(laid)

    def tell(self, kind: str, found: list[Fault], more: list[dict[str, Finding]] | None = None) -> None:
        """Each fault with its box and its size before and after; nothing where there is none."""
        if not found:
            return
        told: list[Finding] = []
        for number, fault in enumerate(found[:_TOLD]):
            facts: dict[str, Finding] = {"box": box(fault.window), "before": fault.before, "after": fault.after}
            if fault.also is not None:
                facts = {"box": box(fault.window), "same_as": box(fault.also), "alike": fault.before}
            told.append(facts | (more[number] if more else {}))
        findings: dict[str, Finding] = {kind: told, f"{kind}_count": len(found)}
        self.bench.record(**findings)

    def to_codes(self) -> None:
        """In a plate of 8 bits what became smooth so far is dithered, or its bands would come back as it is written."""
        laid = self.plate.apart_from(self._given)
        if self.plate.depth != 8 or not laid:
            return
        made = [(place, frozen(dithered(self.plate.window(place), 8, self.bench.seed + number))) for number, place in enumerate(laid)]
        self.plate = self._given.patched(made)

    def reaches(self, place: tuple[slice, slice]) -> bool:
        """Whether the region has anything of a box."""
        return self.mask is None or bool(self.mask[place].any())

    def _through(self, laid: Laid) -> Laid:
        """A patch, mixed in the mask's proportion."""
        place, made = laid
        if self.mask is None:
            return laid
        share = self.mask[place][:, :, None]
        under = self.plate.window(place)
        return place, frozen(np.where(share > 0, under + (made - under) * share, under))
