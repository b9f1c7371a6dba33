"""The ``erase`` operation: remove the masked part of a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from goldsmith.engines.kinds import INPAINTER
from goldsmith.engines.protocols import EngineNeed, Inpainter
from goldsmith.operation import Deliverable, RegionExpression, StepContext
from goldsmith.ops.erase.cast_shadow import FoundShadow, find_cast_shadow, outline_of
from goldsmith.ops.erase.reflection import find_reflection
from goldsmith.picture.colour import convert_profile
from goldsmith.picture.crop_planning import find_mask_bounds, find_separate_holes
from goldsmith.picture.metadata.source_type import SourceTypeChange
from goldsmith.picture.picture import Mask, Picture, freeze
from goldsmith.stitching.stitch_operation import StitchOperation

# Shadows are looked for beside so many holes, the largest first.
MAX_SHADOW_HOLES = 8
_SHEET_SIDE, _SHEET_QUALITY = 1400, 92
_HOLE_COLOUR, _SHADOW_COLOUR = (1.0, 0.85, 0.0), (1.0, 0.1, 0.75)


class Erase(StitchOperation):
    """Remove the masked part and continue the background over it; every other pixel stays bit for bit the same."""

    source_type: ClassVar[SourceTypeChange | None] = "compositeWithTrainedAlgorithmicMedia"
    also_called: ClassVar[str] = "remove delete eraser clean-up heal healing object-removal clone-stamp spot-removal retouch-out take-out"

    removes_content: ClassVar[bool] = True

    where: Annotated[RegionExpression, Field(min_length=1)] = "mask"
    """The region to remove: a mask's name or an expression such as "mask & left" or "box(0.1, 0.2, 0.3, 0.4)"."""
    grow: Annotated[int, Field(ge=0, le=256)] = 10
    """How many px round the mask the engine must not look at, so that rims and soft shadows of the removed object do not bleed in."""
    shadow: Literal["keep", "auto"] = "keep"
    """The object's cast shadow and reflection beside the mask: "auto" finds and removes them too, "keep" leaves them."""

    def found_region(self) -> str:
        """Return the words of a region that is found, and of shadows and reflections that are found beside a painted mask."""
        words = super().found_region()
        return words if self.shadow == "keep" else f"{words or self.where}, with its shadows"

    def settings_with_mask(self, settings: Mapping[str, object], name: str) -> Mapping[str, object]:
        """Return the settings with that mask, which has the shadows in it."""
        return {**super().settings_with_mask(settings, name), "shadow": "keep"}

    def extend_region(self, picture: Picture, mask: Mask) -> Mask:
        """Return the mask (h, w), 0..1, with the shadows and reflections beside it."""
        shadows = self._find_shadows(picture, mask)
        if not shadows:
            return mask
        extended = mask.copy()
        for shadow in shadows:
            extended[shadow.box.window][shadow.mask] = 1
        return freeze(extended)

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """Return the picture without what the region shows; the same object if the region is empty."""
        mask = context.detect.region(self.where, picture, self.removes_content)
        shadows = self._find_shadows(picture, mask)
        if self.shadow == "auto":
            context.results.record(shadows=[shadow.findings() for shadow in shadows])
        if shadows:
            context.results.archive(
                Deliverable("_shadows", ".jpg", _draw_shadows(picture, mask, shadows), {"what": "shadows that were found"})
            )
        return super().apply(picture, context)

    def _find_shadows(self, picture: Picture, mask: Mask) -> Sequence[FoundShadow]:
        bounds = find_mask_bounds(mask) if self.shadow == "auto" else None
        if bounds is None:
            return ()
        shadows: list[FoundShadow] = []
        holes = sorted(find_separate_holes(mask, bounds), key=lambda hole: -hole[0].area)
        for box, solid in holes[:MAX_SHADOW_HOLES]:
            own = np.zeros_like(mask)
            own[box.window][solid] = mask[box.window][solid]
            shadows += [shadow for find in (find_cast_shadow, find_reflection) if (shadow := find(picture, own, box)) is not None]
        return shadows

    def open_engine(self, context: StepContext) -> Inpainter:
        """Return the engine without a prompt: the brief's prompt describes the content of the picture, and erase removes content."""
        return context.engines.get(EngineNeed(INPAINTER, self.engine_name))


def _draw_shadows(picture: Picture, mask: Mask, shadows: Sequence[FoundShadow]) -> bytes:
    """Return a JPEG of the picture, in sRGB, with the mask outlined in yellow and the shadows in magenta."""
    from PIL import Image

    pixels = convert_profile(picture, "srgb").pixels
    pixels = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels.copy()
    darkened = np.zeros(mask.shape, dtype=np.bool_)
    for shadow in shadows:
        darkened[shadow.box.window] |= shadow.mask
    for part, colour in ((darkened, _SHADOW_COLOUR), (mask > 0, _HOLE_COLOUR)):
        pixels[outline_of(part, max(1, max(mask.shape) // 700))] = colour
    image = Image.fromarray(np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8))
    image.thumbnail((_SHEET_SIDE, _SHEET_SIDE))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=_SHEET_QUALITY)
    return data.getvalue()
