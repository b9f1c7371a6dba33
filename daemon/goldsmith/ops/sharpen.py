"""Sharpen for output, without halos and coloured edges."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import numpy as np
from pydantic import Field

from goldsmith.operation import PictureOperation, RegionExpression, StepContext, StepNeeds, region_needs
from goldsmith.picture.colour import luma
from goldsmith.picture.picture import Mask, Picture, Pixels, channel_maximum, channel_minimum
from goldsmith.picture.slab_processing import apply_through_mask, map_strips


class Sharpen(PictureOperation):
    """Sharpen the luma by an unsharp mask with limited halos; the hue is kept.

    Use it as the last step before ``export``, at the size of the deliverable.
    """

    credential_action: ClassVar[str] = "c2pa.filtered"
    also_called: ClassVar[str] = "sharpness sharp unsharp-mask usm clarity"
    settings_also_called: ClassVar[Mapping[str, str]] = MappingProxyType({"amount": "strength"})

    amount: float = Field(default=60, ge=0, le=500)
    """Strength in per cent (0 to 500; 0 changes nothing)."""
    radius: float = Field(default=0.8, ge=0.2, le=50)
    """Size of the details that are sharpened, in px (0.2 to 50)."""
    threshold: float = Field(default=2, ge=0, le=64)
    """Differences below about this many levels of 255 count as noise and are not sharpened (0 to 64)."""
    halo: float = Field(default=12, ge=0, le=100)
    """How far an edge may overshoot its surroundings, in per cent of its own contrast (0 = no halo, 100 = hardly limited)."""
    where: RegionExpression = ""
    """The region to sharpen: a mask's name or an expression such as "mask & left"; empty = the whole picture."""

    def needs(self) -> StepNeeds:
        return region_needs(self.where)

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """Return the sharpened picture, or the same picture if the amount is 0 or the region is empty."""
        if self.amount == 0:
            return picture
        mask = context.detect.region(self.where, picture) if self.where else None
        margin = math.ceil(4 * self.radius) + 1
        result = apply_through_mask(
            picture.pixels, mask, lambda pixels: map_strips(pixels, self._sharpen_luma, margin, context.progress.report), margin
        )
        return picture if result is None else picture.with_pixels(result)

    def _sharpen_luma(self, pixels: Pixels) -> Pixels:
        step = self._luma_change(np.ascontiguousarray(luma(pixels)))
        np.clip(step, -channel_minimum(pixels), 1.0 - channel_maximum(pixels), out=step)  # a clipped channel would shift the hue
        pixels += step[:, :, None]
        return np.clip(pixels, 0.0, 1.0, out=pixels)

    def _luma_change(self, plane: Mask) -> Mask:
        """Return the change of every channel (h, w), -1..1, for the luma ``plane`` (h, w), 0..1, display-encoded.

        The result stays within the range of the neighbourhood, extended by the allowed halo.
        """
        import cv2

        side = 2 * math.ceil(3 * self.radius) + 1
        detail = plane - cv2.GaussianBlur(plane, (side, side), self.radius, borderType=cv2.BORDER_REFLECT_101)
        if self.threshold:
            level = np.float32(self.threshold / 255)
            share = np.clip(np.abs(detail) / level - 0.5, 0.0, 1.0)
            detail *= share * share * (3.0 - 2.0 * share)
        neighbourhood = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * math.ceil(self.radius) + 1,) * 2)
        low, high = cv2.erode(plane, neighbourhood), cv2.dilate(plane, neighbourhood)
        overshoot = (high - low) * np.float32(self.halo / 100)
        result: Mask = np.clip(plane + np.float32(self.amount / 100) * detail, low - overshoot, high + overshoot) - plane
        return result
