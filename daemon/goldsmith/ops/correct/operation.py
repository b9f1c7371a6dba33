"""The ``correct`` operation: find, record and correct defects of generators, upscalers, lenses and sharpeners."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

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
    decoder_grid,
    dust,
    fringes,
    halos,
    jpeg_blocks,
    noise,
    posterisation,
    seams,
)
from goldsmith.ops.correct.defect import MAX_8BIT_CODE, Defect, make_window, to_box
from goldsmith.picture.crop_and_stitch import StitchOptions, stitch
from goldsmith.picture.crop_planning import find_mask_bounds
from goldsmith.picture.dither import dither
from goldsmith.picture.picture import Mask, Picture, PixelPatch, Pixels, Window, freeze, quantise
from goldsmith.stitching.best_fill import FillRules
from goldsmith.stitching.compared_fills import fill_and_compare, objects_never_copied

CorrectionStrength = Literal["auto", "off"] | Annotated[float, Field(ge=0, le=100)]
DefectFinder = Callable[[Pixels, float], list[Defect]]

# At most this many places of one kind are recorded, largest first; all are counted.
_MAX_RECORDED = 24
# Searches, for the progress; the one for copies has no report of its own.
_KINDS = 12
# Rows that are blended at once.
_BLEND_ROWS = 128
# px round a copy that the engine repaints too.
_REPAIR_MARGIN = 4


class Correct(PictureOperation):
    """Find and correct JPEG blocks, a decoder's grid, dust, banding, tile seams, noise, colour fringes and sharpening halos.

    Finds duplicated regions, too. Returns the same picture if nothing is found.
    """

    credential_action: ClassVar[str] = "c2pa.filtered"
    also_called: ClassVar[str] = "fix repair retouch artifacts fix-artifacts cleanup-artifacts correction"
    settings_also_called: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "blocks": "block blocking jpeg compression",
            "grid": "checkerboard lattice",
            "dust": "spots spot specks sensor-dust",
            "fringes": "fringe",
            "halos": "halo",
            "seams": "seam",
            "repeats": "repeat",
        }
    )

    blocks: CorrectionStrength = "auto"
    """Blocks of 8 px and blotches of colour from JPEG compression of quality 50 and less: "auto", "off" or 0 to 100."""
    grid: CorrectionStrength = "auto"
    """A faint checkerboard or fine lines every 2, 4 or 8 px all over, from a generator's decoder: "auto", "off" or 0 to 100."""
    dust: CorrectionStrength = "auto"
    """Dark soft grey spots of about one size on smooth ground, from dust on a sensor, three or more: "auto", "off" or 0 to 100."""
    banding: CorrectionStrength = "auto"
    """Smooth slopes that go in steps, of a code or two or posterised in up to 12: "auto" corrects what is found, "off" does not look, 0 to
    100 percent (0 only records)."""
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
    """The engine for repeats = "repair": a name in config/models.toml; default: the best of several fills."""
    where: RegionExpression = ""
    """The region to correct: a mask's name or an expression such as "mask & left"; default: the whole picture."""

    def bytes_per_pixel(self) -> int:
        """Return the memory for the picture, its correction so far, and a search with a correction as large as the picture."""
        return 72

    def needs(self) -> StepNeeds:
        """Return the region's masks, and an inpainting engine if copies are to be repainted."""
        needs = region_needs(self.where)
        if self.repeats != "repair":
            return needs
        return StepNeeds(masks=needs.masks, engines=(EngineNeed(INPAINTER, self.model), *needs.engines))

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """Return the picture with the found defects corrected; the same picture if there are none."""
        mask = context.detect.region(self.where, picture) if self.where else None
        if mask is not None and not mask.any():
            return picture
        run = _CorrectionRun(picture, mask, context)
        run.find_and_correct("blocks", self.blocks, jpeg_blocks.find)
        run.find_and_correct("grid", self.grid, decoder_grid.find, rounds=True)
        run.find_and_correct("dust", self.dust, dust.find, rounds=True)
        run.find_and_correct("posterisation", self.banding, posterisation.find)
        run.find_and_correct("banding", self.banding, banding.find)
        run.find_and_correct("seams", self.seams, seams.find)
        run.dither_to_8_bits()
        run.find_and_correct("lateral", self.fringes, chromatic_aberration.find)
        run.find_and_correct("noise", self.noise, noise.find)
        run.find_and_correct("colour_noise", self.noise, noise.find_colour_noise)
        run.find_and_correct("fringes", self.fringes, fringes.find)
        run.find_and_correct("halos", self.halos, halos.find)
        if self.repeats != "off":
            self._handle_repeats(run)
        context.progress.report(1.0)
        return run.picture

    def _handle_repeats(self, run: _CorrectionRun) -> None:
        """Record the copies, and repaint them if the step says so and they are not a pattern."""
        regions = [region for region in copy_move.find(run.picture.pixels) if run.overlaps_region(region.window)]
        run.record("repeats", [region.to_defect() for region in regions], [{"pattern": region.is_pattern} for region in regions])
        copies = [region for region in regions if not region.is_pattern]
        if self.repeats != "repair" or not copies:
            return
        hole = np.zeros((run.picture.height, run.picture.width), np.float32)
        for region in copies:
            hole[region.window][region.mask] = 1
        if run.mask is not None:
            hole *= run.mask
        if not hole.any():
            return
        run.picture = self._repaint(run.picture, freeze(hole), copies, run.context)
        run.context.results.record(repaired=len(copies))

    def _repaint(self, picture: Picture, hole: Mask, copies: Sequence[copy_move.DuplicatedRegion], context: StepContext) -> Picture:
        """Return the picture with the hole (h, w), 0..1, filled by the named engine, or else by the best of several fills.

        Neither a copy nor what it is a copy of is copied into the hole: it would be there twice again.
        """
        engine = context.engines.get(EngineNeed(INPAINTER, self.model))
        descriptor = engine.descriptor
        options = StitchOptions(
            _REPAIR_MARGIN, 0, 0.5, side=descriptor.side, multiple=descriptor.multiple, seed=context.seed, enlarges=descriptor.enlarges
        )
        bounds = find_mask_bounds(hole)
        if self.model is not None or descriptor.takes_prompt or bounds is None:
            return stitch(picture, hole, engine.fill, options, context.progress.report, bounds).picture
        never_copied = np.zeros(hole.shape, np.bool_)
        for copy in copies:
            never_copied[copy.source] = never_copied[copy.window] = True
        rules = FillRules(objects_never_copied(context), never_copied)
        remedy = (
            'Look at the fills in the picture beside this note. Set repeats = "report" to keep the copies, or '
            f'model = "{descriptor.name}" to use its fill as it is.'
        )
        return fill_and_compare(picture, hole, engine, options, context, bounds, rules, remedy)


class _CorrectionRun:
    """The picture after each correction, and the defects so far."""

    def __init__(self, picture: Picture, mask: Mask | None, context: StepContext) -> None:
        self.picture = picture
        self.mask = mask
        self.context = context
        self._original = picture
        self._kinds_done = 0
        self._are_codes = picture.depth == 8

    def find_and_correct(self, kind: str, strength: CorrectionStrength, find: DefectFinder, *, rounds: bool = False) -> None:
        """Find one kind of defect, record it, and blend the corrections into the picture through the mask.

        rounds: whether corrections of an 8-bit picture whose pixels are all codes are rounded to codes. A grid was added to codes, so
        rounding restores them, and dither would add grain.
        """
        self._kinds_done += 1
        self.context.progress.report(self._kinds_done / _KINDS, f"finding {kind}")
        if strength == "off":
            return
        share = 1.0 if strength == "auto" else float(strength) / 100
        defects = [defect for defect in find(self.picture.pixels, share) if self.overlaps_region(defect.window)]
        self.record(kind, defects)
        patches = [self._blend_through_mask(defect.repair) for defect in defects if defect.repair is not None] if share else []
        if patches and rounds and self._are_codes:
            patches = [(window, _round_to_8_bits(corrected)) for window, corrected in patches]
        elif patches:
            self._are_codes = False
        if patches:
            self._apply(patches)

    def _apply(self, patches: list[PixelPatch]) -> None:
        """Put the patches into the picture. Large ones become its pixels, so that no earlier ones stay in memory."""
        size = self.picture.height * self.picture.width
        areas = [pixels.shape[0] * pixels.shape[1] for _, pixels in patches]
        if areas == [size]:
            self.picture = self.picture.with_pixels(patches[0][1])
            return
        self.picture = self.picture.with_patches(patches)
        if 2 * sum(areas) > size:
            self.picture = self.picture.with_pixels(self.picture.pixels)

    def record(self, kind: str, defects: list[Defect], extra_facts: list[dict[str, RecordValue]] | None = None) -> None:
        """Record each defect with its box and its size before and after; record nothing if there is none."""
        if not defects:
            return
        entries: list[RecordValue] = []
        for number, defect in enumerate(defects[:_MAX_RECORDED]):
            facts: dict[str, RecordValue] = {"box": to_box(defect.window), "before": defect.before, "after": defect.after}
            if defect.duplicate_of is not None:
                facts = {"box": to_box(defect.window), "same_as": to_box(defect.duplicate_of), "alike": defect.before}
            entries.append(facts | (extra_facts[number] if extra_facts else {}))
        findings: dict[str, RecordValue] = {kind: entries, f"{kind}_count": len(defects)}
        self.context.results.record(**findings)

    def dither_to_8_bits(self) -> None:
        """Dither the smoothed pixels of an 8-bit picture; otherwise the bands would return when it is written."""
        windows = self.picture.differing_windows(self._original)
        if self.picture.depth != 8 or windows == ():
            return
        whole = make_window(0, 0, self.picture.height, self.picture.width)
        patches = [
            (window, self._dither_changed_pixels(window, self.context.seed + number)) for number, window in enumerate(windows or (whole,))
        ]
        self.picture = self._original.with_pixels(patches[0][1]) if windows is None else self._original.with_patches(patches)

    def _dither_changed_pixels(self, window: Window, seed: int) -> Pixels:
        """Return the pixels of a box, (rows, columns, c), 0..1, dithered to 8 bits; those that no correction changed stay as they are."""
        current, original = self.picture.pixels_in(window), self._original.pixels_in(window)
        result = dither(current, 8, seed)
        np.copyto(result, original, where=current == original)
        return freeze(result)

    def overlaps_region(self, window: Window) -> bool:
        """Return whether the region overlaps a window."""
        return self.mask is None or bool(self.mask[window].any())

    def _blend_through_mask(self, patch: PixelPatch) -> PixelPatch:
        """Return the patch blended in proportion to the mask."""
        window, corrected = patch
        if self.mask is None:
            return patch
        blended = np.array(self.picture.pixels_in(window))
        for top in range(0, len(blended), _BLEND_ROWS):
            rows = slice(top, top + _BLEND_ROWS)
            before, share = blended[rows], self.mask[window][rows][:, :, None]
            blended[rows] = np.where(share > 0, before + (corrected[rows] - before) * share, before)
        return window, freeze(blended)


def _round_to_8_bits(pixels: Pixels) -> Pixels:
    return freeze(np.asarray(quantise(pixels, 8), np.float32) / np.float32(MAX_8BIT_CODE))
