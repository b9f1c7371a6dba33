"""The ``erase`` operation: remove the masked part of a picture."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from goldsmith.engines.kinds import INPAINTER
from goldsmith.engines.protocols import EngineNeed, Inpainter
from goldsmith.operation import RegionExpression, StepContext
from goldsmith.picture.metadata.source_type import SourceTypeChange
from goldsmith.stitching.stitch_operation import StitchOperation


class Erase(StitchOperation):
    """Remove the masked part and continue the background over it; every other pixel stays bit for bit the same."""

    source_type: ClassVar[SourceTypeChange | None] = "compositeWithTrainedAlgorithmicMedia"
    also_called: ClassVar[str] = "remove delete eraser clean-up heal healing object-removal clone-stamp spot-removal retouch-out take-out"

    removes_content: ClassVar[bool] = True

    where: Annotated[RegionExpression, Field(min_length=1)] = "mask"
    """The region to remove: a mask's name or an expression such as "mask & left" or "box(0.1, 0.2, 0.3, 0.4)"."""
    grow: Annotated[int, Field(ge=0, le=256)] = 10
    """How many px round the mask the engine must not look at, so that rims and soft shadows of the removed object do not bleed in."""

    def open_engine(self, context: StepContext) -> Inpainter:
        """Return the engine without a prompt: the brief's prompt describes the content of the picture, and erase removes content."""
        return context.engines.get(EngineNeed(INPAINTER, self.engine_name))
