"""The shared base of operations that fill the masked part of a picture with an engine: their settings and the step itself."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from goldsmith.engines.kinds import INPAINTER
from goldsmith.engines.protocols import EngineNeed, Inpainter
from goldsmith.operation import PictureOperation, RegionExpression, StepContext, StepNeeds, region_needs
from goldsmith.picture import region
from goldsmith.picture.crop_and_stitch import StitchOptions, stitch
from goldsmith.picture.crop_planning import find_mask_bounds
from goldsmith.picture.picture import Mask, Picture


class StitchOperation(PictureOperation):
    """Fill the region from its surroundings by crop and stitch; everything else stays bit for bit as it is."""

    where: Annotated[RegionExpression, Field(min_length=1)] = "mask"
    """Where it works: a mask's name or a region such as "mask & left" or "box(0.1, 0.2, 0.3, 0.4)"."""
    model: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """The engine's name in config/models.toml; without it the first default that is present."""
    grow: Annotated[int, Field(ge=0, le=256)] = 4
    """By how many px the engine's hole extends beyond the mask; of its result only the part under the mask is kept."""
    feather: Annotated[int, Field(ge=0, le=256)] = 0
    """Over how many px the fill fades in from the mask's edge, inwards only; with a tight mask an outline of the old content remains."""
    context: Annotated[float, Field(ge=0.1, le=4)] = 0.5
    """How much of the surroundings the engine sees at each side, as a share of the hole's longer side."""

    def needs(self) -> StepNeeds:
        """Return an inpainting engine and what ``where`` needs: masks, and engines that detect its words."""
        needs = region_needs(self.where)
        return replace(needs, engines=(EngineNeed(INPAINTER, self.model), *needs.engines))

    @abstractmethod
    def open_engine(self, context: StepContext) -> Inpainter:
        """Return the engine for these settings; called only if there is something to fill."""

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """Return the picture, filled where the region is above zero; the same object if the region is empty."""
        mask = context.detect.region(self.where, picture, self.removes_content)
        bounds = find_mask_bounds(mask)
        if bounds is None:
            context.results.record(regions=0)
            return picture
        engine = self.open_engine(context)
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
        result = stitch(picture, mask, engine.fill, options, context.progress.report, bounds, self._excluded_mask(picture, context))
        context.results.record(**result.findings())
        return result.picture

    def _excluded_mask(self, picture: Picture, context: StepContext) -> Mask | None:
        """Return the pixels outside the region that the engine must not see.

        They are the subject if its background is removed: the fill would continue it.
        """
        if not self.removes_content or "subject" not in region.parse_region(self.where).protected_detections():
            return None
        return context.detect.region(f"subject|({self.where})", picture, is_removal=True)
