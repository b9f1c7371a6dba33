"""Enlarge a picture with detail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from goldsmith.engines import EngineNeed, Upscaler
from goldsmith.errors import Problem
from goldsmith.operation import Bench, Needs, PlateOperation
from goldsmith.picture import colour
from goldsmith.picture.picture import Mask, Pixels, Plate, frozen
from goldsmith.picture.smooth import at_size, membrane, softened
from goldsmith.picture.tiles import Tiling, tiled

LARGEST = 128_000_000
"""The most pixels a result may have, at the engine's own scale too: 1.5 GB as float32 RGB."""
TONE = 4.0
"""Detail coarser than this, as a sigma in px of the plate, is the plate's and not the engine's."""


class Upscale(PlateOperation):
    """Enlarge the picture and give it the detail its new size asks for; its colours stay what they were."""

    changes_geometry: ClassVar[bool] = True

    factor: Annotated[float, Field(ge=1, le=4)] = 2
    """How many times as wide and as high; 1 does nothing, 4 is the most, fractions such as 1.5 are fine."""
    model: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """The engine's name in config/models.toml; the house's default for the factor where it is left out."""

    def weighs(self) -> int:
        """Of what is made: the tiles put together, at the size asked for, and once more where alpha is drawn."""
        return 72

    def needs(self) -> Needs:
        """An enlarging engine."""
        return Needs() if self.factor == 1 else Needs(engines=(EngineNeed("upscale", self.model, factor=max(ceil(self.factor), 2)),))

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        """The plate ``factor`` times as large, its alpha and its masks with it; ppi and profile stay as they are.

        Raises Problem where the result would be larger than LARGEST, or the named engine enlarges less than is asked.
        """
        if self.factor == 1:
            return plate
        _refuse_giants(plate, ceil(self.factor))
        engine = bench.upscaler(self.model, max(ceil(self.factor), 2))
        scale = engine.descriptor.scale
        if scale < self.factor:
            raise Problem(
                f"upscale: the model {engine.descriptor.name!r} enlarges {scale} times, and factor asks for {self.factor:g}.",
                f"Ask for at most {scale}, name another model, or leave the model out.",
            )
        _refuse_giants(plate, scale)
        bench.affords(plate.width * scale, plate.height * scale)
        size = (max(1, round(plate.height * self.factor)), max(1, round(plate.width * self.factor)))
        has_alpha = plate.alpha is not None and bool((plate.alpha < 1).any())
        share = 0.5 if has_alpha else 1.0
        pixels = _enlarged(_covered(plate), engine, lambda done: bench.progress(done * share))
        made = plate.reshaped(_at_size(pixels, plate, size), lambda mask: np.clip(at_size(mask, *size), 0, 1))
        if plate.alpha is not None and has_alpha:
            alpha = _enlarged_alpha(plate.alpha, engine, lambda done: bench.progress(share + done * share))
            made = replace(made, alpha=frozen(np.clip(at_size(alpha, *size), 0, 1)))
        bench.record(scale=scale, width=made.width, height=made.height)
        return made


def _refuse_giants(plate: Plate, scale: int) -> None:
    count = plate.width * plate.height * scale * scale
    if count > LARGEST:
        raise Problem(
            f"upscale: {plate.width} x {plate.height} px enlarged {scale} times has {count / 1e6:.0f} million pixels; "
            f"at most {LARGEST / 1e6:.0f} million are made.",
            "Ask for a smaller factor, or resize the picture first.",
        )


def _covered(plate: Plate) -> Pixels:
    """(h, w, 3); under full transparency the colours of what is seen nearby, so that no hidden colour bleeds into the edges."""
    pixels = np.repeat(plate.pixels, 3, axis=2) if plate.channels == 1 else plate.pixels
    if plate.alpha is None or plate.alpha.all() or not plate.alpha.any():
        return pixels
    seen = (plate.alpha > 0).astype(np.float32)
    return np.where(seen[..., None] > 0, pixels, membrane(pixels, seen)).astype(np.float32)


def _enlarged(pixels: Pixels, engine: Upscaler, progress: Callable[[float], None]) -> Pixels:
    """The engine's work on (h, w, 3), tile by tile, with the tone of what it was given."""
    asked = engine.descriptor
    made = tiled(pixels, engine.enlarge, Tiling(asked.side, asked.pad, asked.multiple, asked.scale), progress)
    _keep_tone(made, pixels, asked.scale)
    return made


def _keep_tone(made: Pixels, given: Pixels, scale: int) -> None:
    """Moves the enlarged picture, in place, so that its low frequencies are those of what was given (twice: clipping takes some)."""
    height, width = given.shape[:2]
    for _ in range(2):
        off = softened(given - at_size(made, height, width), TONE)
        for top in range(0, height, 64):
            bottom = min(top + 64, height)
            low, high = max(top - 2, 0), min(bottom + 2, height)
            strip = at_size(off[low:high], (high - low) * scale, width * scale)
            strip = strip[(top - low) * scale :][: (bottom - top) * scale]
            part = made[top * scale : bottom * scale]
            np.clip(part + strip, 0, 1, out=part)


def _at_size(made: Pixels, plate: Plate, size: tuple[int, int]) -> Pixels:
    """The enlarged picture at the size that was asked for, averaged as light adds up, with the plate's own channels."""
    if made.shape[:2] != size:
        made = np.clip(colour.from_linear(at_size(colour.to_linear(made, plate.icc), *size), plate.icc), 0, 1)
    return made.mean(axis=2, keepdims=True) if plate.channels == 1 else made


def _enlarged_alpha(alpha: Mask, engine: Upscaler, progress: Callable[[float], None]) -> Mask:
    """Alpha as the engine draws its edges; wholly clear and wholly opaque places stay exactly so."""
    scale = engine.descriptor.scale
    grey = np.repeat(alpha[..., None], 3, axis=2)
    made = _enlarged(grey, engine, progress).mean(axis=2)
    plain = at_size(alpha, alpha.shape[0] * scale, alpha.shape[1] * scale)
    return np.where(plain <= 0, 0, np.where(plain >= 1, 1, made)).astype(np.float32)
