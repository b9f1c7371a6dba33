"""The shared base of operations that fill the masked part of a picture: their settings, the step itself, and what is kept of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from goldsmith.engines.kinds import INPAINTER
from goldsmith.engines.protocols import EngineNeed, Inpainter
from goldsmith.operation import PictureOperation, RegionExpression, StepContext, StepNeeds, region_needs
from goldsmith.picture import region
from goldsmith.picture.companion import Companion
from goldsmith.picture.crop_and_stitch import StitchOptions, stitch
from goldsmith.picture.crop_planning import find_mask_bounds
from goldsmith.picture.picture import Mask, Picture
from goldsmith.stitching.best_fill import FillRules
from goldsmith.stitching.compared_fills import fill_and_compare, objects_never_copied

# The word for ``model`` that compares several fills and keeps the best.
AUTO = "auto"
_MAX_CHOICE = 99


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
    choice: Annotated[int, Field(ge=1, le=_MAX_CHOICE)] = 1
    """Which of the compared fills is kept: 1 = the best, 2 = the next best; after the last, the first again. Not used with a prompt."""

    def needs(self) -> StepNeeds:
        """Return an inpainting engine and what ``where`` needs: masks, and engines that detect its words."""
        needs = region_needs(self.where)
        return replace(needs, engines=(EngineNeed(INPAINTER, self.engine_name), *needs.engines))

    def another_try(self, settings: Mapping[str, object]) -> Mapping[str, object]:
        """Return the settings that keep the next best fill: engines without a prompt make the same fill with every seed."""
        return {**settings, "choice": self.choice % _MAX_CHOICE + 1}

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
        is_alone = self.model != AUTO and self.choice == 1
        if is_alone or descriptor.takes_prompt:
            result = stitch(picture, mask, engine.fill, options, context.progress.report, bounds, hidden, companion=companion)
            context.results.record(**result.findings())
            return result.picture
        rules = FillRules(objects_never_copied(context), choice=self.choice, engine_first=self.model != AUTO)
        remedy = (
            "Look at the fills in the picture beside this note. Paint the mask over the whole object, name a model that takes a prompt, or "
            f'set model = "{descriptor.name}" to use its fill as it is.'
        )
        return fill_and_compare(picture, mask, engine, options, context, bounds, rules, remedy, hidden)

    def _excluded_mask(self, picture: Picture, context: StepContext) -> Mask | None:
        """Return the pixels outside the region that the engine must not see.

        They are the subject if its background is removed: the fill would continue it.
        """
        if not self.removes_content or "subject" not in region.parse_region(self.where).protected_detections():
            return None
        return context.detect.region(f"subject|({self.where})", picture, is_removal=True)
