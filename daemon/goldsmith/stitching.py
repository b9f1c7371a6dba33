"""What the operations share that fill the masked part of a picture with an engine: their settings, and the step itself."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from goldsmith.engines import EngineNeed, Inpainter
from goldsmith.operation import Bench, Needs, PlateOperation, Where, region_needs
from goldsmith.picture import region
from goldsmith.picture.patches import extent
from goldsmith.picture.picture import Mask, Plate
from goldsmith.picture.stitch import Manner, stitch


class StitchOperation(PlateOperation):
    """Fills the region from its surroundings by crop and stitch; everything else stays bit for bit as it is."""

    where: Annotated[Where, Field(min_length=1)] = "mask"
    """Where it works: a mask's name or a region such as "mask & left" or "box(0.1, 0.2, 0.3, 0.4)"."""
    model: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """The engine's name in config/models.toml; the house's default where it is left out."""
    grow: Annotated[int, Field(ge=0, le=256)] = 4
    """How many px round the mask the engine makes new as well; only what is under the mask is kept of it."""
    feather: Annotated[int, Field(ge=0, le=256)] = 0
    """Over how many px the fill fades in from the mask's edge, inwards only; with a tight mask an outline of what was there stays."""
    context: Annotated[float, Field(ge=0.1, le=4)] = 0.5
    """How much of the surroundings the engine is shown at each side, as a part of the hole's longer side."""

    def needs(self) -> Needs:
        """An inpainting engine, and what ``where`` needs: masks, and engines that look for what it names."""
        needs = region_needs(self.where)
        return replace(needs, engines=(EngineNeed("inpaint", self.model), *needs.engines))

    @abstractmethod
    def engine(self, bench: Bench) -> Inpainter:
        """The engine that fills, as the settings ask for it; only called where there is something to fill."""

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        """The plate, filled where the region is above zero; the very plate where the region is empty."""
        mask = bench.region(self.where, plate, self.removes)
        solid = extent(mask)
        if solid is None:
            bench.record(regions=0)
            return plate
        engine = self.engine(bench)
        asked = engine.descriptor
        manner = Manner(
            self.grow,
            self.feather,
            self.context,
            side=asked.side,
            multiple=asked.multiple,
            seed=bench.seed,
            enlarges=asked.enlarges,
            generates=asked.words,
        )
        done = stitch(plate, mask, engine.fill, manner, bench.progress, solid, self._hidden(plate, bench))
        bench.record(**done.findings())
        return done.plate

    def _hidden(self, plate: Plate, bench: Bench) -> Mask | None:
        """What the engine must not look at beside the region: a subject whose background is to go, or it would carry that on."""
        if not self.removes or "subject" not in region.parse(self.where).spares():
            return None
        return bench.region(f"subject|({self.where})", plate, removing=True)
