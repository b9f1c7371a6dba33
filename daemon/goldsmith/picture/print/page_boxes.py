"""The printed sheet: the size of a picture in millimetres, and the bleed that is cut off around it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from goldsmith.picture.antiringing import resize_without_ringing
from goldsmith.picture.picture import Mask, Picture, Pixels
from goldsmith.picture.size_fitting import Size, fill_size
from goldsmith.picture.subject_crop import CropFocus, WholeBox, count_cut_faces, crop_to_part

# Where bleed comes from: the picture's own margin, the picture mirrored at the trim, or its outermost pixels extended.
BleedSource = Literal["picture", "mirror", "edge"]

MM_PER_INCH = 25.4
# Steps per millimetre where a ratio is expressed in whole numbers.
_STEPS_PER_MM = 100_000


@dataclass(frozen=True, slots=True)
class PrintSheet:
    """trim: width and height in mm after the sheet has been cut; bleed: mm beyond it on every side."""

    trim: tuple[float, float]
    bleed: float = 0.0

    @property
    def size_with_bleed(self) -> tuple[float, float]:
        """Trim and bleed, in mm."""
        return self.trim[0] + 2 * self.bleed, self.trim[1] + 2 * self.bleed

    def pixel_size(self, ppi: float) -> Size:
        """Return the size of trim and bleed in px at that resolution, rounded, at least one px a side."""
        return _to_pixels(self.size_with_bleed, ppi)


@dataclass(frozen=True, slots=True)
class PlacedPage:
    """A picture placed on a sheet, with its ppi in print.

    bleed_px: px of bleed on every side. source_box: the part of the picture that is left after the cut; None if the picture was not
    cropped. faces_cut: how many faces that were found the trim cuts.
    """

    picture: Picture
    bleed_px: int
    source_box: WholeBox | None = None
    faces_cut: int = 0

    @property
    def trim_window(self) -> tuple[slice, slice]:
        """The rows and columns that remain after the cut."""
        return slice(self.bleed_px, max(self.bleed_px + 1, self.picture.height - self.bleed_px)), slice(
            self.bleed_px, max(self.bleed_px + 1, self.picture.width - self.bleed_px)
        )


def plan_resize(picture_size: Size, sheet: PrintSheet, ppi: float | None, bleed_source: BleedSource) -> tuple[Size, Size, float]:
    """Return the size of the part of the picture that is kept, the size it is scaled to, and the resulting pixels per inch.

    It covers trim and bleed, or the trim alone if the bleed is generated; at ``ppi`` or, never enlarged, at the picture's own resolution.
    """
    area = sheet.size_with_bleed if bleed_source == "picture" else sheet.trim
    shape = (round(area[0] * _STEPS_PER_MM), round(area[1] * _STEPS_PER_MM))
    part, _ = fill_size(picture_size, shape, can_enlarge=False)
    if ppi is not None:
        box = _to_pixels(area, ppi)
        if part[0] >= box[0] and part[1] >= box[1]:
            return part, box, ppi
    return part, part, part[0] / area[0] * MM_PER_INCH


def place_on_sheet(picture: Picture, sheet: PrintSheet, ppi: float | None, bleed_source: BleedSource, focus: CropFocus) -> PlacedPage:
    """Return the picture cropped and scaled for the sheet, with bleed, alpha and masks."""
    part, size, resolution = plan_resize((picture.width, picture.height), sheet, ppi, bleed_source)
    result, source_box = crop_to_part(picture, part, focus)
    result = resize_without_ringing(result, size[1], size[0])
    edge = round(sheet.bleed / MM_PER_INCH * resolution)
    if bleed_source != "picture" and edge:
        result = _extend_into_bleed(result, edge, bleed_source)
    width, height = sheet.size_with_bleed
    page = replace(result, ppi=(result.width / width * MM_PER_INCH, result.height / height * MM_PER_INCH))
    if source_box is not None:
        source_box = _without_bleed(source_box, sheet, bleed_source)
    return PlacedPage(page, edge, source_box, 0 if source_box is None else count_cut_faces(focus.faces, source_box))


def _without_bleed(source_box: WholeBox, sheet: PrintSheet, bleed_source: BleedSource) -> WholeBox:
    """Return the part of the picture that is left after the cut, in px."""
    left, top, width, height = source_box
    bleed = round(sheet.bleed / sheet.size_with_bleed[0] * width) if bleed_source == "picture" else 0
    return left + bleed, top + bleed, width - 2 * bleed, height - 2 * bleed


def _extend_into_bleed(picture: Picture, bleed_px: int, bleed_source: BleedSource) -> Picture:
    mode: Literal["symmetric", "edge"] = "symmetric" if bleed_source == "mirror" else "edge"

    def plane(mask: Mask) -> Mask:
        return np.pad(mask, bleed_px, mode=mode)

    pixels: Pixels = np.pad(picture.pixels, ((bleed_px, bleed_px), (bleed_px, bleed_px), (0, 0)), mode=mode)
    return picture.with_geometry(pixels, plane)


def _to_pixels(size_mm: tuple[float, float], ppi: float) -> Size:
    return max(1, round(size_mm[0] / MM_PER_INCH * ppi)), max(1, round(size_mm[1] / MM_PER_INCH * ppi))
