"""The ``composite`` operation: pictures and drawn elements, layer by layer, over the picture."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from goldsmith.operation import PictureOperation, StepContext, StepNeeds, region_needs
from goldsmith.ops.composite.compositing import Compositor, LayerSettings
from goldsmith.picture.metadata.source_type import SourceTypeChange
from goldsmith.picture.picture import Picture

_MAX_LAYERS = 32
# Characters. A longer region is replaced by the whole picture.
_MAX_REGION_LENGTH = 500
_WHOLE_PICTURE = "box(0, 0, 1, 1)"


class Composite(PictureOperation):
    """Composite pictures and drawn elements over the picture: blend modes, masks, light wrap, rain, haze.

    From the bottom up, on display-encoded values in the picture's own profile.
    """

    source_type: ClassVar[SourceTypeChange | None] = "composite"
    also_called: ClassVar[str] = "comp compositing overlay logo watermark merge blend layers layer"
    settings_also_called: ClassVar[Mapping[str, str]] = MappingProxyType({"layers": "layer images"})

    layers: Annotated[tuple[LayerSettings, ...], Field(min_length=1, max_length=_MAX_LAYERS)]
    """The layers, the lowest first (1 to 32)."""

    @field_validator("layers")
    @classmethod
    def _check_first_layer(cls, value: tuple[LayerSettings, ...]) -> tuple[LayerSettings, ...]:
        if value and value[0].clip:
            raise ValueError("the first layer cannot be clipped: there is no layer below it")
        return value

    @property
    def where(self) -> str:
        """The region outside which nothing changes; "" if no layer has one."""
        if not any(layer.change_region for layer in self.layers):
            return ""
        parts = dict.fromkeys(layer.change_region for layer in self.layers if not layer.clip)
        region = " | ".join(f"({part})" for part in parts)
        return _WHOLE_PICTURE if "" in parts or len(region) > _MAX_REGION_LENGTH else region

    def bytes_per_pixel(self) -> int:
        """Return more than the default: a layer or an element is held beside the picture, with its coverage, its canvas and its shadow."""
        return 72

    def needs(self) -> StepNeeds:
        """Return the layers, and the masks and engines of their regions."""
        region_requirements = [region_needs(where) for layer in self.layers for where in (layer.mask, layer.depth)]
        masks = frozenset(name for need in region_requirements for name in need.masks)
        engines = tuple(dict.fromkeys(engine for need in region_requirements for engine in need.engines))
        return StepNeeds(masks=masks, engines=engines, layers=frozenset(layer.source for layer in self.layers if layer.source))

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """Return the picture with every layer, or the picture itself if none is visible."""
        comp = Compositor(picture, context, len(self.layers))
        comp.add_layers(self.layers)
        context.results.record(layers=comp.findings)
        if comp.remarks:
            context.results.record(remarks=comp.remarks)
        return comp.picture
