"""What the operations share that fill the masked part of a picture with an engine: their settings, and the step itself."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from goldsmith.engines import EngineNeed, Inpainter
from goldsmith.engines.kinds import INPAINTER
from goldsmith.operation import PictureOperation, RegionExpression, StepContext, StepNeeds, region_needs
from goldsmith.picture import region
from goldsmith.picture.crop_and_stitch import StitchOptions, stitch
from goldsmith.picture.crop_planning import find_mask_bounds
from goldsmith.picture.picture import Mask, Picture


class StitchOperation(PictureOperation):
    """Fills the region from its surroundings by crop and stitch; everything else stays bit for bit as it is."""

    where: Annotated[RegionExpression, Field(min_length=1)] = "mask"
    """Where it works: a mask's name or a region such as "mask & left" or "box(0.1, 0.2, 0.3, 0.4)"."""
    model: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """The engine's name in config/models.toml; the house's default where it is left out."""
    grow: Annotated[int, Field(ge=0, le=256)] = 4
    """How many px round the mask the engine makes new as well; only what is under the mask is kept of it."""
    feather: Annotated[int, Field(ge=0, le=256)] = 0
    """Over how many px the fill fades in from the mask's edge, inwards only; with a tight mask an outline of what was there stays."""
    context: Annotated[float, Field(ge=0.1, le=4)] = 0.5
    """How much of the surroundings the engine is shown at each side, as a part of the hole's longer side."""

    def needs(self) -> StepNeeds:
        """An inpainting engine, and what ``where`` needs: masks, and engines that look for what it names."""
        needs = region_needs(self.where)
        return replace(needs, engines=(EngineNeed(INPAINTER, self.model), *needs.engines))

    @abstractmethod
    def open_engine(self, context: StepContext) -> Inpainter:
        """The engine that fills, as the settings ask for it; only called where there is something to fill."""

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """The picture, filled where the region is above zero; the very picture where the region is empty."""
        mask = context.detect.region(self.where, picture, self.removes_content)
        solid = find_mask_bounds(mask)
        if solid is None:
            context.results.record(regions=0)
            return picture
        engine = self.open_engine(context)
        asked = engine.descriptor
        manner = StitchOptions(
            self.grow,
            self.feather,
            self.context,
            side=asked.side,
            multiple=asked.multiple,
            seed=context.seed,
            enlarges=asked.enlarges,
            generates=asked.takes_prompt,
        )
        done = stitch(picture, mask, engine.fill, manner, context.progress.report, solid, self._excluded_mask(picture, context))
        context.results.record(**done.findings())
        return done.picture

    def _excluded_mask(self, picture: Picture, context: StepContext) -> Mask | None:
        """What the engine must not look at beside the region: a subject whose background is to go, or it would carry that on."""
        if not self.removes_content or "subject" not in region.parse_region(self.where).protected_detections():
            return None
        return context.detect.region(f"subject|({self.where})", picture, is_removal=True)
