"""Remove noise and keep edges and texture."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pydantic import Field

from goldsmith.operation import PictureOperation, RegionExpression, StepContext, StepNeeds, region_needs
from goldsmith.picture.picture import Picture, Pixels
from goldsmith.picture.slab_processing import apply_through_mask, map_strips
from goldsmith.picture.wavelet_denoise import CONTEXT_MARGIN, denoise_pixels, estimate_plane_noise


class Denoise(PictureOperation):
    """Remove the measured noise from brightness and colour separately.

    A picture without measurable noise is not changed.
    """

    credential_action: ClassVar[str] = "c2pa.filtered"
    also_called: ClassVar[str] = "noise noise-reduction remove-noise degrain"
    settings_also_called: ClassVar[Mapping[str, str]] = MappingProxyType({"luma": "strength amount", "colour": "chroma"})

    luma: float = Field(default=40, ge=0, le=100)
    """Strength on brightness (0 to 100; 50 = the measured noise, 0 = none)."""
    colour: float = Field(default=60, ge=0, le=100)
    """Strength on colour (0 to 100; 50 = the measured noise, 0 = none)."""
    where: RegionExpression = ""
    """The region to clean: a mask's name or an expression such as "mask & left"; empty = the whole picture."""

    def needs(self) -> StepNeeds:
        return region_needs(self.where)

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """Return the picture without its noise, or the same picture if both strengths are 0 or no noise is measured."""
        if self.luma == 0 and (self.colour == 0 or picture.channels == 1):
            return picture
        sigmas = estimate_plane_noise(picture.pixels)
        context.results.record(noise_luma=round(100 * sigmas[0], 3), noise_colour=round(100 * max(sigmas[1:], default=0.0), 3))
        strengths = (self.luma, self.colour, self.colour)[: picture.channels]
        targets = [sigma * strength / 50 for sigma, strength in zip(sigmas, strengths, strict=True)]
        if max(targets) < 0.02 / 255:
            return picture
        mask = context.detect.region(self.where, picture) if self.where else None

        def denoise(pixels: Pixels) -> Pixels:
            return map_strips(pixels, lambda strip: denoise_pixels(strip, targets), CONTEXT_MARGIN, context.progress.report)

        result = apply_through_mask(picture.pixels, mask, denoise, CONTEXT_MARGIN)
        return picture if result is None else picture.with_pixels(result)
