"""A comp: pictures and drawn elements laid over the plate, one after the other."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from goldsmith.operation import Bench, Needs, PlateOperation, region_needs
from goldsmith.ops.composite.compositing import Comp, Layer
from goldsmith.picture.picture import Plate

_MOST_LAYERS = 32
_MOST_LETTERS = 500
"""Of a region; what would be longer is the whole picture."""
_EVERYWHERE = "box(0, 0, 1, 1)"


class Composite(PlateOperation):
    """Lay pictures and drawn elements over the picture: blend modes, masks, light wrap, rain, haze.

    From the bottom up, on display-encoded values in the picture's own profile.
    """

    layers: Annotated[tuple[Layer, ...], Field(min_length=1, max_length=_MOST_LAYERS)]
    """The layers, the lowest first (1 to 32)."""

    @field_validator("layers")
    @classmethod
    def _ground(cls, value: tuple[Layer, ...]) -> tuple[Layer, ...]:
        if value and value[0].clip:
            raise ValueError("the first layer cannot be clipped: there is no layer below it")
        return value

    @property
    def where(self) -> str:
        """The region outside which nothing changes; "" where no layer has one."""
        if not any(layer.reach for layer in self.layers):
            return ""
        parts = dict.fromkeys(layer.reach for layer in self.layers if not layer.clip)
        whole = " | ".join(f"({part})" for part in parts)
        return _EVERYWHERE if "" in parts or len(whole) > _MOST_LETTERS else whole

    def weighs(self) -> int:
        """More than others: a layer or an element stands whole beside the picture, with its shape and what shows through."""
        return 64

    def needs(self) -> Needs:
        asked = [region_needs(where) for layer in self.layers for where in (layer.mask, layer.depth)]
        masks = frozenset(name for need in asked for name in need.masks)
        engines = tuple(dict.fromkeys(engine for need in asked for engine in need.engines))
        return Needs(masks=masks, engines=engines, layers=frozenset(layer.source for layer in self.layers if layer.source))

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        """The plate with every layer laid; the plate itself where none of them shows."""
        comp = Comp(plate, bench, len(self.layers))
        comp.lay_all(self.layers)
        bench.record(layers=comp.findings)
        return comp.plate
