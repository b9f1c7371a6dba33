"""The sheet: how large a picture is in print, in millimetres, and the bleed that is cut off round it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from goldsmith.picture.antiringing import resized_ringless
from goldsmith.picture.fitting import Anchor, Size, corner, filled
from goldsmith.picture.picture import Mask, Pixels, Plate

BleedFrom = Literal["picture", "mirror", "edge"]
"""Where bleed comes from: the picture's own margin, the picture mirrored at the trim, or its outermost pixels drawn out."""

INCH = 25.4
_FINE = 100_000
"""Steps to a millimetre where a shape is told in whole numbers."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """trim: width and height in mm of what is left when the sheet has been cut; bleed: mm beyond it on every side."""

    trim: tuple[float, float]
    bleed: float = 0.0

    @property
    def whole(self) -> tuple[float, float]:
        """Trim and bleed, mm."""
        return self.trim[0] + 2 * self.bleed, self.trim[1] + 2 * self.bleed

    def pixels(self, ppi: float) -> Size:
        """Trim and bleed at that resolution, rounded, at least one px a side."""
        return _pixels(self.whole, ppi)


@dataclass(frozen=True, slots=True)
class Placed:
    """A picture laid on a sheet. edge: px of bleed on every side; its ``ppi`` are those it has in print."""

    plate: Plate
    edge: int

    @property
    def trimmed(self) -> tuple[slice, slice]:
        """The rows and columns that are left when it has been cut."""
        return slice(self.edge, max(self.edge + 1, self.plate.height - self.edge)), slice(
            self.edge, max(self.edge + 1, self.plate.width - self.edge)
        )


def sized(picture: Size, sheet: Sheet, ppi: float | None, source: BleedFrom) -> tuple[Size, Size, float]:
    """The part of the picture that is kept, the size it is brought to, and the pixels per inch that come of it.

    It covers trim and bleed, or the trim alone where the bleed is made; at ``ppi`` or, never enlarged, at what the picture has.
    """
    area = sheet.whole if source == "picture" else sheet.trim
    shape = (round(area[0] * _FINE), round(area[1] * _FINE))
    part, _ = filled(picture, shape, enlarge=False)
    if ppi is not None:
        box = _pixels(area, ppi)
        if part[0] >= box[0] and part[1] >= box[1]:
            return part, box, ppi
    return part, part, part[0] / area[0] * INCH


def laid(plate: Plate, sheet: Sheet, ppi: float | None, source: BleedFrom, anchor: Anchor) -> Placed:
    """The picture cut and brought to size for the sheet, with bleed; alpha and masks with it."""
    part, size, resolution = sized((plate.width, plate.height), sheet, ppi, source)
    left, top = corner((plate.width, plate.height), part, anchor)
    rows, columns = slice(top, top + part[1]), slice(left, left + part[0])
    made = plate
    if part != (plate.width, plate.height):
        made = plate.reshaped(plate.pixels[rows, columns], lambda mask: mask[rows, columns])
    made = resized_ringless(made, size[1], size[0])
    edge = round(sheet.bleed / INCH * resolution)
    if source != "picture" and edge:
        made = _drawn_out(made, edge, source)
    width, height = sheet.whole
    return Placed(replace(made, ppi=(made.width / width * INCH, made.height / height * INCH)), edge)


def _drawn_out(plate: Plate, edge: int, source: BleedFrom) -> Plate:
    mode: Literal["symmetric", "edge"] = "symmetric" if source == "mirror" else "edge"

    def plane(mask: Mask) -> Mask:
        return np.pad(mask, edge, mode=mode)

    pixels: Pixels = np.pad(plate.pixels, ((edge, edge), (edge, edge), (0, 0)), mode=mode)
    return plate.reshaped(pixels, plane)


def _pixels(area: tuple[float, float], ppi: float) -> Size:
    return max(1, round(area[0] / INCH * ppi)), max(1, round(area[1] / INCH * ppi))
