"""Another size, in linear light."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from goldsmith.errors import Problem
from goldsmith.operation import Bench, PlateOperation
from goldsmith.picture.antiringing import resized_ringless
from goldsmith.picture.fitting import (
    LONGEST_SIDE,
    MOST_PIXELS,
    Anchor,
    Size,
    corner,
    filled,
    fitted,
    scaled,
)
from goldsmith.picture.picture import Plate

_Side = Annotated[int, Field(ge=1, le=LONGEST_SIDE)]


class Resize(PlateOperation):
    """Bring the picture to another size in linear light, antialiased; alpha and masks go with it.

    Give exactly one of ``size``, ``factor`` and ``percent``. To invent detail while enlarging, use ``upscale``.
    """

    changes_geometry: ClassVar[bool] = True

    size: tuple[_Side, _Side] | None = None
    """[width, height] of the box in px, each 1 to 30000."""
    factor: float | None = Field(default=None, ge=0.01, le=16)
    """Scale both sides by this (0.01 to 16)."""
    percent: float | None = Field(default=None, ge=1, le=1600)
    """The same in per cent (1 to 1600)."""
    mode: Literal["fit", "fill", "exact"] = "fit"
    """fit: as large as goes into the box, shape kept. fill: the box is filled and the rest cut off. exact: that very size, stretched."""
    anchor: Anchor = "center"
    """Which part stays where ``fill`` cuts something off: center, top, bottom-left …"""
    enlarge: bool = False
    """Whether a picture may become larger than it is."""

    @model_validator(mode="after")
    def _possible(self) -> Resize:
        given = [name for name in ("size", "factor", "percent") if getattr(self, name) is not None]
        if len(given) != 1:
            said = " and ".join(given) or "none"
            raise ValueError(f"give exactly one of size, factor and percent; {said} {'is' if len(given) < 2 else 'are'} given")
        if self.size is None and self.mode != "fit":
            raise ValueError(f'mode = "{self.mode}" needs a size to go by')
        if self._factor > 1 and not self.enlarge:
            raise ValueError(f"{given[0]} enlarges the picture: say enlarge = true, or use upscale, which makes new detail")
        if self.size is not None and self.size[0] * self.size[1] > MOST_PIXELS and (self.enlarge or self.mode != "fit"):
            raise ValueError(f"{self.size[0]} x {self.size[1]} is more than {MOST_PIXELS // 10**6} megapixels")
        return self

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        """The plate at its new size; the plate itself where it has that size already."""
        before = (plate.width, plate.height)
        part, after = self._plan(before)
        if after[0] * after[1] > MOST_PIXELS:
            raise Problem(
                f"The picture would become {after[0]} x {after[1]} px, more than {MOST_PIXELS // 10**6} megapixels.",
                "Ask for a smaller size in the resize step.",
            )
        bench.affords(*after)
        bench.progress(0.0, f"{before[0]} x {before[1]} to {after[0]} x {after[1]}")
        made = resized_ringless(_cut(plate, part, self.anchor), after[1], after[0])
        if made is not plate:
            bench.record(size_before=list(before), size_after=list(after))
        return made

    @property
    def _factor(self) -> float:
        """0 where a box is given."""
        return self.factor or (self.percent or 0.0) / 100

    def _plan(self, before: Size) -> tuple[Size, Size]:
        """How much of the picture is kept, and the size that comes to."""
        if self.size is None:
            return before, scaled(before, self._factor)
        if self.mode == "fill":
            return filled(before, self.size, self.enlarge)
        if self.mode == "fit":
            return before, fitted(before, self.size, self.enlarge)
        if not self.enlarge and (self.size[0] > before[0] or self.size[1] > before[1]):
            raise Problem(
                f"The picture is {before[0]} x {before[1]} px and would be enlarged to exactly {self.size[0]} x {self.size[1]} px.",
                "Say enlarge = true in the resize step, or put an upscale step before it.",
            )
        return before, self.size


def _cut(plate: Plate, part: Size, anchor: Anchor) -> Plate:
    if part == (plate.width, plate.height):
        return plate
    left, top = corner((plate.width, plate.height), part, anchor)
    rows, cols = slice(top, top + part[1]), slice(left, left + part[0])
    return plate.reshaped(plate.pixels[rows, cols], lambda mask: mask[rows, cols])
