"""Take noise out and leave edges and texture in."""

from __future__ import annotations

from pydantic import Field

from goldsmith.operation import Bench, Needs, PlateOperation, Where, region_needs
from goldsmith.picture.denoising import MARGIN, cleaned, noises
from goldsmith.picture.picture import Pixels, Plate
from goldsmith.picture.strips import in_strips, through_mask


class Denoise(PlateOperation):
    """Remove noise from brightness and colour separately, as much as was measured to be there.

    A picture in which no noise is measured stays as it is.
    """

    luma: float = Field(default=40, ge=0, le=100)
    """Strength on brightness (0 to 100; 50 takes out just what was measured, 0 none)."""
    colour: float = Field(default=60, ge=0, le=100)
    """Strength on colour (0 to 100; 50 takes out just what was measured, 0 none)."""
    where: Where = ""
    """The region to clean: a mask's name or an expression such as "mask & left"; everything where it is empty."""

    def needs(self) -> Needs:
        return region_needs(self.where)

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        """The plate without its noise; the plate itself where both strengths are 0 or no noise is measured."""
        if self.luma == 0 and (self.colour == 0 or plate.channels == 1):
            return plate
        sigmas = noises(plate.pixels)
        bench.record(noise_luma=round(100 * sigmas[0], 3), noise_colour=round(100 * max(sigmas[1:], default=0.0), 3))
        strengths = (self.luma, self.colour, self.colour)[: plate.channels]
        aims = [sigma * strength / 50 for sigma, strength in zip(sigmas, strengths, strict=True)]
        if max(aims) < 0.02 / 255:
            return plate
        mask = bench.region(self.where, plate) if self.where else None

        def work(pixels: Pixels) -> Pixels:
            return in_strips(pixels, lambda strip: cleaned(strip, aims), MARGIN, bench.progress)

        made = through_mask(plate.pixels, mask, work, MARGIN)
        return plate if made is None else plate.with_pixels(made)
