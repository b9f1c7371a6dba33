"""The ``upscale`` operation: enlarge a picture with new detail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import ceil
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from goldsmith.engines.kinds import UPSCALER
from goldsmith.engines.protocols import EngineNeed, Upscaler
from goldsmith.errors import InputError, join_sentences
from goldsmith.operation import PictureOperation, StepContext, StepNeeds
from goldsmith.ops.upscale.drawing_measure import measure_drawing
from goldsmith.ops.upscale.grain_return import return_grain
from goldsmith.picture import colour
from goldsmith.picture.metadata.source_type import SourceTypeChange
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze
from goldsmith.picture.resample import resize_picture
from goldsmith.picture.row_slabs import for_each_slab
from goldsmith.picture.smoothing import gaussian_blur, pull_push_fill, resize_values
from goldsmith.picture.tiling import Tiling, upscale_by_tiles

# The most pixels of a result, also at the engine's own scale: 1.5 GB as float32 RGB.
MAX_PIXELS = 128_000_000
# Sigma in px of the picture: coarser detail is taken from the picture, finer detail from the engine.
TONE_SIGMA = 4.0

UpscaleMethod = Literal["auto", "photograph", "drawing", "lanczos"]
_IS_DRAWING: Mapping[UpscaleMethod, bool | None] = MappingProxyType({"auto": None, "photograph": False, "drawing": True})


class Upscale(PictureOperation):
    """Enlarge the picture with new detail; its colours are kept."""

    source_type: ClassVar[SourceTypeChange | None] = "algorithmicallyEnhanced"
    credential_action: ClassVar[str] = "c2pa.resized"
    also_called: ClassVar[str] = "enlarge enhance super-resolution superres magnify scale-up upsample"
    settings_also_called: ClassVar[Mapping[str, str]] = MappingProxyType({"factor": "scale times size", "mix": "strength blend amount"})

    changes_geometry: ClassVar[bool] = True

    factor: Annotated[float, Field(ge=1, le=4)] = 2
    """Factor for both sides (1 to 4; 1 changes nothing; fractions such as 1.5 are allowed)."""
    model: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """The engine's name in config/models.toml. Unset: the default engine for the factor."""

    method: UpscaleMethod = "auto"
    """auto: nets for photographs, or for drawings if the picture is one; photograph or drawing: those; lanczos: no net, no new detail."""
    mix: Annotated[float, Field(ge=0, le=1)] = 0.85
    """Share of the net in the result (0 to 1); the rest is a plain enlargement with the Lanczos filter."""
    grain: Annotated[float, Field(ge=0, le=1)] = 0.7
    """Share of the picture's own grain that is put back, after the net has smoothed it (0 to 1)."""

    @model_validator(mode="after")
    def _check_method(self) -> Self:
        if self.model is not None and self.method != "auto":
            raise ValueError(f"model names the net, so method = {self.method!r} does nothing: delete one of them")
        return self

    def keeps_framing(self) -> bool:
        """Return True: the whole picture is enlarged."""
        return True

    def bytes_per_pixel(self) -> int:
        """Return the memory per pixel of the result: the joined tiles, the result at the final size, and the same again for alpha."""
        return 72

    def needs(self) -> StepNeeds:
        """Return the need for an upscaling engine; none for factor 1, and without a net."""
        return StepNeeds() if self.factor == 1 or not self._uses_net else StepNeeds(engines=(self._engine_need,))

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """Return the picture enlarged by ``factor``, with its alpha and masks; ppi and profile are kept.

        Raises InputError if the result would have more than MAX_PIXELS, if the named engine enlarges less than ``factor``, or if the
        picture is a photograph and only nets for drawings are here.
        """
        if self.factor == 1:
            return picture
        _refuse_oversized(picture, ceil(self.factor))
        size = (max(1, round(picture.height * self.factor)), max(1, round(picture.width * self.factor)))
        if not self._uses_net:
            context.results.record(method="lanczos", width=size[1], height=size[0])
            return resize_picture(picture, *size)
        engine, is_drawing = self._choose_engine(picture, context)
        scale = engine.descriptor.scale
        if scale < self.factor:
            raise InputError(
                f"upscale: the model {engine.descriptor.name!r} enlarges {scale} times, but factor is {self.factor:g}.",
                f"Set factor to at most {scale}, name another model, or remove the model.",
            )
        _refuse_oversized(picture, scale)
        context.results.check_memory(picture.width * scale, picture.height * scale)
        result = self._enlarge(picture, size, engine, 0.0 if is_drawing else self.grain, context)
        context.results.record(scale=scale, width=result.width, height=result.height)
        return result

    @property
    def _uses_net(self) -> bool:
        """Whether a net takes part in the result."""
        return self.method != "lanczos" and self.mix > 0

    @property
    def _engine_need(self) -> EngineNeed[Upscaler]:
        return EngineNeed(UPSCALER, self.model, factor=max(ceil(self.factor), 2), is_drawing=_IS_DRAWING[self.method])

    def _choose_engine(self, picture: Picture, context: StepContext) -> tuple[Upscaler, bool]:
        """Return the engine for the picture and whether it was measured as a drawing, which is recorded.

        Raises InputError, of the kind that waits for weights, if the picture is a photograph and only nets for drawings are here.
        """
        if self.model is not None or self.method != "auto":
            return context.engines.get(self._engine_need), False
        measure = measure_drawing(picture)
        context.results.record(
            content="drawing" if measure.is_drawing else "photograph",
            measured={"equal": round(measure.equal, 3), "slopes": round(measure.slopes, 3), "edges": round(measure.edges, 3)},
        )
        try:
            return context.engines.get(replace(self._engine_need, is_drawing=measure.is_drawing)), measure.is_drawing
        except InputError as problem:
            hint = 'Without them: method = "lanczos" enlarges without new detail, method = "drawing" with a net for drawings.'
            raise type(problem)(problem.sentence, join_sentences(problem.remedy, hint)) from problem

    def _enlarge(self, picture: Picture, size: tuple[int, int], engine: Upscaler, grain: float, context: StepContext) -> Picture:
        """Return the picture at ``size`` (height, width): the net's, a plain enlargement, and the share ``grain`` of its grain."""
        has_alpha = picture.alpha is not None and bool((picture.alpha < 1).any())
        share = 0.5 if has_alpha else 1.0
        pixels = _upscale_tiled(_fill_transparent(picture), engine, lambda done: context.progress.report(done * share))
        pixels = _resample_to_size(pixels, picture, size)
        if self.mix < 1:
            _mix_plain(pixels, resize_picture(replace(picture, masks=MappingProxyType({})), *size).pixels, self.mix)
        if grain:
            added = return_grain(pixels, picture.pixels, grain, context.seed, kept=1 - self.mix)
            context.results.record(grain=round(added, 5))
        result = picture.with_geometry(pixels, lambda mask: np.clip(resize_values(mask, *size), 0, 1))
        if picture.alpha is not None and has_alpha:
            alpha = _upscale_alpha(picture.alpha, engine, lambda done: context.progress.report(share + done * share))
            result = replace(result, alpha=freeze(np.clip(resize_values(alpha, *size), 0, 1)))
        return result


def _mix_plain(pixels: Pixels, plain: Pixels, share: float) -> None:
    """Mix ``pixels`` (h, w, c), 0..1, in place: ``share`` of them, the rest of ``plain`` (h, w, c)."""

    def run(rows: slice) -> None:
        pixels[rows] = plain[rows] + np.float32(share) * (pixels[rows] - plain[rows])

    for_each_slab(pixels.shape[:2], run)


def _refuse_oversized(picture: Picture, scale: int) -> None:
    count = picture.width * picture.height * scale * scale
    if count > MAX_PIXELS:
        raise InputError(
            f"upscale: {picture.width} x {picture.height} px enlarged {scale} times has {count / 1e6:.0f} million pixels; "
            f"the limit is {MAX_PIXELS / 1e6:.0f} million.",
            "Set a smaller factor, or resize the picture first.",
        )


def _fill_transparent(picture: Picture) -> Pixels:
    """Return the pixels (h, w, 3), 0..1, display-encoded, with the colours of fully transparent pixels replaced by those nearby.

    Otherwise hidden colours would bleed into the edges.
    """
    pixels = np.repeat(picture.pixels, 3, axis=2) if picture.channels == 1 else picture.pixels
    if picture.alpha is None or picture.alpha.all() or not picture.alpha.any():
        return pixels
    visible = (picture.alpha > 0).astype(np.float32)
    return np.where(visible[..., None] > 0, pixels, pull_push_fill(pixels, visible)).astype(np.float32)


def _upscale_tiled(pixels: Pixels, engine: Upscaler, on_progress: Callable[[float], None]) -> Pixels:
    """Return pixels (h, w, 3), 0..1, display-encoded, enlarged by the engine tile by tile, with the tone of the source."""
    descriptor = engine.descriptor
    result = upscale_by_tiles(
        pixels, engine.enlarge, Tiling(descriptor.side, descriptor.pad, descriptor.multiple, descriptor.scale), on_progress
    )
    _restore_tone(result, pixels, descriptor.scale)
    return result


def _restore_tone(upscaled: Pixels, source: Pixels, scale: int) -> None:
    """Replace, in place, the low frequencies of ``upscaled`` (h * scale, w * scale, c) by those of ``source`` (h, w, c); both 0..1.

    Done twice, because clipping undoes part of the first correction.
    """
    height, width = source.shape[:2]
    for _ in range(2):
        difference = gaussian_blur(source - resize_values(upscaled, height, width), TONE_SIGMA)
        for top in range(0, height, 64):
            bottom = min(top + 64, height)
            low, high = max(top - 2, 0), min(bottom + 2, height)
            strip = resize_values(difference[low:high], (high - low) * scale, width * scale)
            strip = strip[(top - low) * scale :][: (bottom - top) * scale]
            part = upscaled[top * scale : bottom * scale]
            np.clip(part + strip, 0, 1, out=part)


def _resample_to_size(upscaled: Pixels, picture: Picture, size: tuple[int, int]) -> Pixels:
    """Return ``upscaled`` (h, w, 3), 0..1, display-encoded, resampled in linear light to ``size`` (height, width in px), with the picture's
    number of channels.
    """
    if upscaled.shape[:2] != size:
        upscaled = np.clip(colour.from_linear(resize_values(colour.to_linear(upscaled, picture.icc), *size), picture.icc), 0, 1)
    return upscaled.mean(axis=2, keepdims=True) if picture.channels == 1 else upscaled


def _upscale_alpha(alpha: Mask, engine: Upscaler, on_progress: Callable[[float], None]) -> Mask:
    """Return alpha (h, w), 0..1, enlarged by the engine; fully transparent and fully opaque pixels stay exactly so."""
    scale = engine.descriptor.scale
    grey = np.repeat(alpha[..., None], 3, axis=2)
    result = _upscale_tiled(grey, engine, on_progress).mean(axis=2)
    resized = resize_values(alpha, alpha.shape[0] * scale, alpha.shape[1] * scale)
    return np.where(resized <= 0, 0, np.where(resized >= 1, 1, result)).astype(np.float32)
