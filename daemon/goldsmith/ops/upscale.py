"""Enlarge a picture with detail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from goldsmith.engines import EngineNeed, Upscaler
from goldsmith.engines.kinds import UPSCALER
from goldsmith.errors import InputError
from goldsmith.operation import PictureOperation, StepContext, StepNeeds
from goldsmith.picture import colour
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze
from goldsmith.picture.smoothing import gaussian_blur, pull_push_fill, resize_values
from goldsmith.picture.tiling import Tiling, upscale_by_tiles

# The most pixels a result may have, at the engine's own scale too: 1.5 GB as float32 RGB.
MAX_PIXELS = 128_000_000
# Detail coarser than this, as a sigma in px of the picture, is the picture's and not the engine's.
TONE_SIGMA = 4.0


class Upscale(PictureOperation):
    """Enlarge the picture and give it the detail its new size asks for; its colours stay what they were."""

    changes_geometry: ClassVar[bool] = True

    factor: Annotated[float, Field(ge=1, le=4)] = 2
    """How many times as wide and as high; 1 does nothing, 4 is the most, fractions such as 1.5 are fine."""
    model: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """The engine's name in config/models.toml; the house's default for the factor where it is left out."""

    def bytes_per_pixel(self) -> int:
        """Of what is made: the tiles put together, at the size asked for, and once more where alpha is drawn."""
        return 72

    def needs(self) -> StepNeeds:
        """An enlarging engine."""
        return StepNeeds() if self.factor == 1 else StepNeeds(engines=(EngineNeed(UPSCALER, self.model, factor=max(ceil(self.factor), 2)),))

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """The picture ``factor`` times as large, its alpha and its masks with it; ppi and profile stay as they are.

        Raises InputError where the result would be larger than LARGEST, or the named engine enlarges less than is asked.
        """
        if self.factor == 1:
            return picture
        _refuse_oversized(picture, ceil(self.factor))
        engine = context.engines.get(EngineNeed(UPSCALER, self.model, factor=max(ceil(self.factor), 2)))
        scale = engine.descriptor.scale
        if scale < self.factor:
            raise InputError(
                f"upscale: the model {engine.descriptor.name!r} enlarges {scale} times, and factor asks for {self.factor:g}.",
                f"Ask for at most {scale}, name another model, or leave the model out.",
            )
        _refuse_oversized(picture, scale)
        context.results.check_memory(picture.width * scale, picture.height * scale)
        size = (max(1, round(picture.height * self.factor)), max(1, round(picture.width * self.factor)))
        has_alpha = picture.alpha is not None and bool((picture.alpha < 1).any())
        share = 0.5 if has_alpha else 1.0
        pixels = _upscale_tiled(_fill_transparent(picture), engine, lambda done: context.progress.report(done * share))
        made = picture.with_geometry(_resample_to_size(pixels, picture, size), lambda mask: np.clip(resize_values(mask, *size), 0, 1))
        if picture.alpha is not None and has_alpha:
            alpha = _upscale_alpha(picture.alpha, engine, lambda done: context.progress.report(share + done * share))
            made = replace(made, alpha=freeze(np.clip(resize_values(alpha, *size), 0, 1)))
        context.results.record(scale=scale, width=made.width, height=made.height)
        return made


def _refuse_oversized(picture: Picture, scale: int) -> None:
    count = picture.width * picture.height * scale * scale
    if count > MAX_PIXELS:
        raise InputError(
            f"upscale: {picture.width} x {picture.height} px enlarged {scale} times has {count / 1e6:.0f} million pixels; "
            f"at most {MAX_PIXELS / 1e6:.0f} million are made.",
            "Ask for a smaller factor, or resize the picture first.",
        )


def _fill_transparent(picture: Picture) -> Pixels:
    """(h, w, 3); under full transparency the colours of what is seen nearby, so that no hidden colour bleeds into the edges."""
    pixels = np.repeat(picture.pixels, 3, axis=2) if picture.channels == 1 else picture.pixels
    if picture.alpha is None or picture.alpha.all() or not picture.alpha.any():
        return pixels
    seen = (picture.alpha > 0).astype(np.float32)
    return np.where(seen[..., None] > 0, pixels, pull_push_fill(pixels, seen)).astype(np.float32)


def _upscale_tiled(pixels: Pixels, engine: Upscaler, on_progress: Callable[[float], None]) -> Pixels:
    """The engine's work on (h, w, 3), tile by tile, with the tone of what it was given."""
    asked = engine.descriptor
    made = upscale_by_tiles(pixels, engine.enlarge, Tiling(asked.side, asked.pad, asked.multiple, asked.scale), on_progress)
    _restore_tone(made, pixels, asked.scale)
    return made


def _restore_tone(upscaled: Pixels, source: Pixels, scale: int) -> None:
    """Moves the enlarged picture, in place, so that its low frequencies are those of what was given (twice: clipping takes some)."""
    height, width = source.shape[:2]
    for _ in range(2):
        off = gaussian_blur(source - resize_values(upscaled, height, width), TONE_SIGMA)
        for top in range(0, height, 64):
            bottom = min(top + 64, height)
            low, high = max(top - 2, 0), min(bottom + 2, height)
            strip = resize_values(off[low:high], (high - low) * scale, width * scale)
            strip = strip[(top - low) * scale :][: (bottom - top) * scale]
            part = upscaled[top * scale : bottom * scale]
            np.clip(part + strip, 0, 1, out=part)


def _resample_to_size(upscaled: Pixels, picture: Picture, size: tuple[int, int]) -> Pixels:
    """The enlarged picture at the size that was asked for, averaged as light adds up, with the picture's own channels."""
    if upscaled.shape[:2] != size:
        upscaled = np.clip(colour.from_linear(resize_values(colour.to_linear(upscaled, picture.icc), *size), picture.icc), 0, 1)
    return upscaled.mean(axis=2, keepdims=True) if picture.channels == 1 else upscaled


def _upscale_alpha(alpha: Mask, engine: Upscaler, on_progress: Callable[[float], None]) -> Mask:
    """Alpha as the engine draws its edges; wholly clear and wholly opaque places stay exactly so."""
    scale = engine.descriptor.scale
    grey = np.repeat(alpha[..., None], 3, axis=2)
    made = _upscale_tiled(grey, engine, on_progress).mean(axis=2)
    plain = resize_values(alpha, alpha.shape[0] * scale, alpha.shape[1] * scale)
    return np.where(plain <= 0, 0, np.where(plain >= 1, 1, made)).astype(np.float32)
