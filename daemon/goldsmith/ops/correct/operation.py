"""The ``correct`` operation: find, record and correct defects of generators, upscalers, lenses and sharpeners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from goldsmith.engines.kinds import INPAINTER
from goldsmith.engines.protocols import EngineNeed
from goldsmith.operation import (
    PictureOperation,
    RecordValue,
    RegionExpression,
    StepContext,
    StepNeeds,
    region_needs,
)
from goldsmith.ops.correct import (
    banding,
    chromatic_aberration,
    copy_move,
    fringes,
    halos,
    noise,
    seams,
)
from goldsmith.ops.correct.defect import Defect, to_box
from goldsmith.picture.crop_and_stitch import StitchOptions, stitch
from goldsmith.picture.dither import dither
from goldsmith.picture.picture import Mask, Picture, PixelPatch, Pixels, freeze

CorrectionStrength = Literal["auto", "off"] | Annotated[float, Field(ge=0, le=100)]
DefectFinder = Callable[[Pixels, float], list[Defect]]

# At most this many places of one kind are recorded, largest first; all are counted.
_MAX_RECORDED = 24
# px round a copy that the engine repaints too.
_REPAIR_MARGIN = 4


class Correct(PictureOperation):
    """Find and correct banding, tile seams, noise, colour fringes and sharpening halos; find duplicated regions.

    Returns the same picture if nothing is found.
    """

    banding: CorrectionStrength = "auto"
    """Smooth slopes that go in steps: "auto" corrects what is found, "off" does not look, 0 to 100 percent (0 only records)."""
    seams: CorrectionStrength = "auto"
    """Straight lines where the tone of neighbouring tiles steps: "auto", "off" or 0 to 100."""
    noise: CorrectionStrength = "auto"
    """Noise above 2.5 % of full scale, and colour noise above 0.8 %: "auto", "off" or 0 to 100."""
    fringes: CorrectionStrength = "auto"
    """Red and blue larger or smaller than green, and purple or green rims beside blown highlights: "auto", "off" or 0 to 100."""
    halos: CorrectionStrength = "auto"
    """Light and dark rims along edges, from too much sharpening: "auto", "off" or 0 to 100."""
    repeats: Literal["report", "repair", "off"] = "report"
    """Regions that occur twice, exact to the px: "report" records them, "repair" lets an engine repaint the copy, "off" does not look."""
    model: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """The engine for repeats = "repair": a name in config/models.toml; default: the default inpainting model."""
    where: RegionExpression = ""
    """The region to correct: a mask's name or an expression such as "mask & left"; default: the whole picture."""

    def bytes_per_pixel(self) -> int:
        """Return the memory for a search over the whole picture and a correction as large as the picture."""
        return 96

    def needs(self) -> StepNeeds:
        """Return the region's masks, and an inpainting engine if copies are to be repainted."""
        found = region_needs(self.where)
        if self.repeats != "repair":
            return found
        return StepNeeds(masks=found.masks, engines=(EngineNeed(INPAINTER, self.model), *found.engines))

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """Return the picture with the found defects corrected; the same picture if there are none."""
        mask = context.detect.region(self.where, picture) if self.where else None
        if mask is not None and not mask.any():
            return picture
        work = _CorrectionRun(picture, mask, context)
        work.find_and_correct("banding", self.banding, banding.find)
        work.find_and_correct("seams", self.seams, seams.find)
        work.dither_to_8_bits()
        work.find_and_correct("lateral", self.fringes, chromatic_aberration.find)
        work.find_and_correct("noise", self.noise, noise.find)
        work.find_and_correct("colour_noise", self.noise, noise.find_colour_noise)
        work.find_and_correct("fringes", self.fringes, fringes.find)
        work.find_and_correct("halos", self.halos, halos.find)
        if self.repeats != "off":
            self._handle_repeats(work)
        context.progress.report(1.0)
        return work.picture

    def _handle_repeats(self, run: _CorrectionRun) -> None:
        """Record the copies, and repaint them if the step says so and they are not a pattern."""
        found = [one for one in copy_move.find(run.picture.pixels) if run.overlaps_region(one.window)]
        run.record("repeats", [one.to_defect() for one in found], [{"pattern": one.is_pattern} for one in found])
        copies = [one for one in found if not one.is_pattern]
        if self.repeats != "repair" or not copies:
            return
        hole = np.zeros((run.picture.height, run.picture.width), np.float32)
        for one in copies:
            hole[one.window][one.mask] = 1
        if run.mask is not None:
            hole *= run.mask
        if not hole.any():
            return
        engine = run.context.engines.get(EngineNeed(INPAINTER, self.model))
        asked = engine.descriptor
        manner = StitchOptions(
            _REPAIR_MARGIN, 0, 0.5, side=asked.side, multiple=asked.multiple, seed=run.context.seed, enlarges=asked.enlarges
        )
        done = stitch(run.picture, freeze(hole), engine.fill, manner, run.context.progress.report)
        run.context.results.record(repaired=len(copies))
        run.picture = done.picture


class _CorrectionRun:
    """The picture after each correction, and the defects so far."""

    def __init__(self, picture: Picture, mask: Mask | None, context: StepContext) -> None:
        self.picture = picture
        self.mask = mask
        self.context = context
        self._original = picture
        self._kinds_done = 0

    def find_and_correct(self, kind: str, strength: CorrectionStrength, find: DefectFinder) -> None:
        """Find one kind of defect, record it, and blend the corrections into the picture through the mask."""
        self._kinds_done += 1
        self.context.progress.report(self._kinds_done / 8, f"finding {kind}")
        if strength == "off":
            return
        share = 1.0 if strength == "auto" else float(strength) / 100
        found = [fault for fault in find(self.picture.pixels, share) if self.overlaps_region(fault.window)]
        self.record(kind, found)
        laid = [self._blend_through_mask(fault.repair) for fault in found if fault.repair is not None] if share else []
        if laid:
            self.picture = self.picture.with_patches(laid)

    def record(self, kind: str, defects: list[Defect], extra_facts: list[dict[str, RecordValue]] | None = None) -> None:
        """Record each defect with its box and its size before and after; record nothing if there is none."""
        if not defects:
            return
        told: list[RecordValue] = []
        for number, fault in enumerate(defects[:_MAX_RECORDED]):
            facts: dict[str, RecordValue] = {"box": to_box(fault.window), "before": fault.before, "after": fault.after}
            if fault.duplicate_of is not None:
                facts = {"box": to_box(fault.window), "same_as": to_box(fault.duplicate_of), "alike": fault.before}
            told.append(facts | (extra_facts[number] if extra_facts else {}))
        findings: dict[str, RecordValue] = {kind: told, f"{kind}_count": len(defects)}
        self.context.results.record(**findings)

    def dither_to_8_bits(self) -> None:
        """Dither the smoothed parts of an 8-bit picture; otherwise the bands would return when it is written."""
        laid = self.picture.differing_windows(self._original)
        if self.picture.depth != 8 or not laid:
            return
        made = [(place, freeze(dither(self.picture.pixels_in(place), 8, self.context.seed + number))) for number, place in enumerate(laid)]
        self.picture = self._original.with_patches(made)

    def overlaps_region(self, window: tuple[slice, slice]) -> bool:
        """Return whether the region overlaps a window."""
        return self.mask is None or bool(self.mask[window].any())

    def _blend_through_mask(self, patch: PixelPatch) -> PixelPatch:
        """Return the patch blended in proportion to the mask."""
        place, made = patch
        if self.mask is None:
            return patch
        share = self.mask[place][:, :, None]
        under = self.picture.pixels_in(place)
        return place, freeze(np.where(share > 0, under + (made - under) * share, under))
