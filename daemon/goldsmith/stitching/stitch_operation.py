"""The shared base of operations that fill the masked part of a picture: their settings, the step itself, and what is kept of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field

from goldsmith.engines.kinds import INPAINTER
from goldsmith.engines.protocols import EngineNeed, Inpainter
from goldsmith.errors import InputError
from goldsmith.operation import Deliverable, PictureOperation, RegionExpression, StepContext, StepNeeds, region_needs
from goldsmith.picture import region
from goldsmith.picture.companion import Companion
from goldsmith.picture.crop_and_stitch import StitchOptions, stitch
from goldsmith.picture.crop_planning import CropBox, find_mask_bounds
from goldsmith.picture.picture import Mask, Picture, freeze
from goldsmith.stitching.best_fill import HoleFill, stitch_best
from goldsmith.stitching.fill_sheet import encode_sheet

# The word for ``model`` that compares several fills and keeps the best.
AUTO = "auto"
# Sheets of the compared fills are kept for this many holes, the largest first.
MAX_SHEETS = 8
# What is not copied into a hole beside it, by the words of a region.
NEVER_COPIED = ("subject", "face")


class StitchOperation(PictureOperation):
    """Fill the region from its surroundings by crop and stitch; everything else stays bit for bit as it is."""

    where: Annotated[RegionExpression, Field(min_length=1)] = "mask"
    """Where it works: a mask's name or a region such as "mask & left" or "box(0.1, 0.2, 0.3, 0.4)"."""
    model: Annotated[str, Field(min_length=1, max_length=100)] = AUTO
    """The engine's name in config/models.toml; "auto" compares several fills and keeps the best, or uses a model that takes the prompt."""
    grow: Annotated[int, Field(ge=0, le=256)] = 4
    """By how many px the engine's hole extends beyond the mask; of its result only the part under the mask is kept."""
    feather: Annotated[int, Field(ge=0, le=256)] = 0
    """Over how many px the fill fades in from the mask's edge, inwards only; with a tight mask an outline of the old content remains."""
    context: Annotated[float, Field(ge=0.1, le=4)] = 0.5
    """How much of the surroundings the engine sees at each side, as a share of the hole's longer side."""

    def needs(self) -> StepNeeds:
        """Return an inpainting engine and what ``where`` needs: masks, and engines that detect its words."""
        needs = region_needs(self.where)
        return replace(needs, engines=(EngineNeed(INPAINTER, self.engine_name), *needs.engines))

    @property
    def engine_name(self) -> str | None:
        """The engine that the step names, or None for the first default that is present."""
        return None if self.model == AUTO else self.model

    @abstractmethod
    def open_engine(self, context: StepContext) -> Inpainter:
        """Return the engine for these settings; called only if there is something to fill."""

    def open_guided_engine(self, picture: Picture, context: StepContext) -> tuple[Inpainter, Companion | None]:
        """Return the engine, and the pixels that it looks at besides the picture; None if there are none."""
        return self.open_engine(context), None

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """Return the picture, filled where the region is above zero; the same object if the region is empty."""
        mask = self.extend_region(picture, context.detect.region(self.where, picture, self.removes_content))
        bounds = find_mask_bounds(mask)
        if bounds is None:
            context.results.record(regions=0)
            return picture
        engine, companion = self.open_guided_engine(picture, context)
        descriptor = engine.descriptor
        options = StitchOptions(
            self.grow,
            self.feather,
            self.context,
            side=descriptor.side,
            multiple=descriptor.multiple,
            seed=context.seed,
            enlarges=descriptor.enlarges,
            generates=descriptor.takes_prompt,
        )
        hidden = self._excluded_mask(picture, context)
        if self.model != AUTO or descriptor.takes_prompt:
            result = stitch(picture, mask, engine.fill, options, context.progress.report, bounds, hidden, companion=companion)
            context.results.record(**result.findings())
            return result.picture
        return self._fill_best(picture, mask, engine, options, context, bounds, hidden)

    def _fill_best(
        self,
        picture: Picture,
        mask: Mask,
        engine: Inpainter,
        options: StitchOptions,
        context: StepContext,
        bounds: CropBox,
        hidden: Mask | None,
    ) -> Picture:
        """Return the picture with the best of several fills in each hole; put the choice on record and the other fills aside."""

        def find_objects(part: Picture) -> list[Mask]:
            return [matte for word in NEVER_COPIED if (matte := context.detect.find(word, part)) is not None]

        result, holes = stitch_best(picture, mask, engine.fill, options, context.progress.report, bounds, hidden, find_objects)
        context.results.record(**result.findings())
        context.results.record(fills=[hole.findings() for hole in holes])
        self._refuse_unfit(holes, engine.descriptor.name, picture, context)
        doubts = describe_doubts(holes)
        if doubts:
            context.results.record(remark=doubts)
        compared = sorted((hole for hole in holes if len(hole.fills) > 1), key=lambda hole: -hole.box[2] * hole.box[3])
        for number, hole in enumerate(compared[:MAX_SHEETS], 1):
            data = encode_sheet(hole.draw_sheet(picture))
            context.results.archive(Deliverable(f"_fills{number:02d}", ".jpg", data, {"what": "compared fills", "box": list(hole.box)}))
        return result.picture

    def _refuse_unfit(self, holes: Sequence[HoleFill], engine_name: str, picture: Picture, context: StepContext) -> None:
        """Raise InputError, with the fills beside the note, if the best fill of a hole shows what its surroundings do not have."""
        unfit = [hole for hole in holes if hole.is_unfit]
        if not unfit:
            return
        if unfit[0].fills:
            context.results.show_problem(Picture(freeze(unfit[0].draw_sheet(picture).astype(np.float32) / np.float32(255))))
        raise InputError(
            f"No fill is good enough to go on. {describe_doubts(unfit)}",
            "Look at the fills in the picture beside this note. Paint the mask over the whole object, name a model that takes a prompt, or "
            f'set model = "{engine_name}" to use its fill as it is.',
        )

    def _excluded_mask(self, picture: Picture, context: StepContext) -> Mask | None:
        """Return the pixels outside the region that the engine must not see.

        They are the subject if its background is removed: the fill would continue it.
        """
        if not self.removes_content or "subject" not in region.parse_region(self.where).protected_detections():
            return None
        return context.detect.region(f"subject|({self.where})", picture, is_removal=True)


def describe_doubts(holes: Sequence[HoleFill]) -> str:
    """Return a sentence for each doubtful fill: where it is and what was measured; "" if there is none."""
    sentences = []
    for hole in holes:
        doubts = hole.doubts()
        if doubts:
            left, top, width, height = hole.box
            sentences.append(f"The fill of {width} x {height} px at ({left}, {top}) is doubtful: {'; '.join(doubts)}.")
    return " ".join(sentences)
