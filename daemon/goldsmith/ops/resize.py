"""Resize a picture in linear light."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from goldsmith.errors import InputError
from goldsmith.operation import PictureOperation, StepContext, StepNeeds, crop_engines, find_crop_focus, record_crop
from goldsmith.picture.antiringing import resize_without_ringing
from goldsmith.picture.picture import Picture
from goldsmith.picture.size_fitting import (
    MAX_PIXELS,
    MAX_SIDE,
    Size,
    fill_size,
    fit_size,
    scale_size,
)
from goldsmith.picture.subject_crop import CropAnchor, CropFocus, count_cut_faces, crop_to_part

_Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]


class Resize(PictureOperation):
    """Resize the picture in linear light, with antialiasing; alpha and masks are resized with it.

    Give exactly one of ``size``, ``factor`` and ``percent``. To enlarge with new detail, use ``upscale``.
    """

    credential_action: ClassVar[str] = "c2pa.resized"
    also_called: ClassVar[str] = "scale crop shrink size downscale thumbnail scale-down resample"
    settings_also_called: ClassVar[Mapping[str, str]] = MappingProxyType({"factor": "scale", "mode": "fit", "enlarge": "upscale"})

    changes_geometry: ClassVar[bool] = True
    reads_rows: ClassVar[bool] = True

    size: tuple[_Side, _Side] | None = None
    """[width, height] of the box in px, each 1 to 30000."""
    factor: float | None = Field(default=None, ge=0.01, le=16)
    """Scale both sides by this (0.01 to 16)."""
    percent: float | None = Field(default=None, ge=1, le=1600)
    """The same in per cent (1 to 1600)."""
    mode: Literal["fit", "fill", "exact"] = "fit"
    """fit: as large as the box allows, shape kept. fill: the box is filled and the rest cropped. exact: stretched to exactly that size."""
    anchor: CropAnchor = "center"
    """Which part stays if ``fill`` crops the picture: center, top, bottom-left …, or what is found in it: subject, face."""
    enlarge: bool = False
    """Whether the picture may be enlarged."""

    @model_validator(mode="after")
    def _check_combination(self) -> Resize:
        targets = [name for name in ("size", "factor", "percent") if getattr(self, name) is not None]
        if len(targets) != 1:
            names = " and ".join(targets) or "none"
            raise ValueError(f"give exactly one of size, factor and percent; {names} {'is' if len(targets) < 2 else 'are'} given")
        if self.size is None and self.mode != "fit":
            raise ValueError(f'mode = "{self.mode}" needs a size')
        if self._scale_factor > 1 and not self.enlarge:
            raise ValueError(f"{targets[0]} enlarges the picture: set enlarge = true, or use upscale, which adds new detail")
        if self.size is not None and self.size[0] * self.size[1] > MAX_PIXELS and (self.enlarge or self.mode != "fit"):
            raise ValueError(f"{self.size[0]} x {self.size[1]} is more than {MAX_PIXELS // 10**6} megapixels")
        return self

    def keeps_framing(self) -> bool:
        """Return whether nothing is cropped."""
        return self.mode != "fill"

    def needs(self) -> StepNeeds:
        """Return the engines that find the subject and faces, if the anchor is one of them."""
        return StepNeeds(engines=crop_engines(self.anchor) if self.mode == "fill" else ())

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """Return the picture at its new size, or the same picture if it has that size already.

        Raises InputError if the result is too large, or would be enlarged without ``enlarge``.
        """
        before = (picture.width, picture.height)
        part, after = self._plan_geometry(before)
        if after[0] * after[1] > MAX_PIXELS:
            raise InputError(
                f"The picture would become {after[0]} x {after[1]} px, more than {MAX_PIXELS // 10**6} megapixels.",
                "Set a smaller size in the resize step.",
            )
        context.results.check_memory(*after)
        context.progress.report(0.0, f"{before[0]} x {before[1]} to {after[0]} x {after[1]}")
        focus = CropFocus() if part == before else find_crop_focus(picture, self.anchor, context)
        cropped, source_box = crop_to_part(picture, part, focus)
        if source_box is not None:
            record_crop(focus, source_box, count_cut_faces(focus.faces, source_box), context)
        result = resize_without_ringing(cropped, after[1], after[0], context.progress.report)
        if result is not picture:
            context.results.record(size_before=list(before), size_after=list(after))
        return result

    @property
    def _scale_factor(self) -> float:
        """The factor for both sides; 0 if ``size`` is set."""
        return self.factor or (self.percent or 0.0) / 100

    def _plan_geometry(self, before: Size) -> tuple[Size, Size]:
        """Return the size of the part that is kept, in px of the picture, and the size of the result."""
        if self.size is None:
            return before, scale_size(before, self._scale_factor)
        if self.mode == "fill":
            return fill_size(before, self.size, self.enlarge)
        if self.mode == "fit":
            return before, fit_size(before, self.size, self.enlarge)
        if not self.enlarge and (self.size[0] > before[0] or self.size[1] > before[1]):
            raise InputError(
                f"The picture is {before[0]} x {before[1]} px and would be enlarged to exactly {self.size[0]} x {self.size[1]} px.",
                "Set enlarge = true in the resize step, or put an upscale step before it.",
            )
        return before, self.size
