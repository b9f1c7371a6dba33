"""Remove what lies under the mask."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from goldsmith.engines import Inpainter
from goldsmith.operation import RegionExpression, StepContext
from goldsmith.stitching import StitchOperation


class Erase(StitchOperation):
    """Remove what lies under the mask and carry the background on over it; everything else stays bit for bit as it is."""

    removes_content: ClassVar[bool] = True

    where: Annotated[RegionExpression, Field(min_length=1)] = "mask"
    """What to remove: a mask's name or a region such as "mask & left" or "box(0.1, 0.2, 0.3, 0.4)"."""
    grow: Annotated[int, Field(ge=0, le=256)] = 10
    """How many px round the mask the engine must not look at, so that rims and soft shadows of what goes do not bleed in."""

    def open_engine(self, context: StepContext) -> Inpainter:
        """Without a word, and whatever the brief's prompt says: it tells what is to be seen, and here something is to go."""
        return context.inpainter(self.model)
