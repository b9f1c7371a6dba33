"""Engines that make nothing up: the whole line runs on them where a model would only cost time, in tests and while setting up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.engines import Descriptor, Device, Inpainter, OnStep, Store, Upscaler, unheard
from goldsmith.engines.models import Model
from goldsmith.plate.plate import Mask, Pixels


class NullInpainter:
    """Fills a hole with the mean colour of the ring of pixels around it."""

    def __init__(self, descriptor: Descriptor) -> None:
        self.descriptor = descriptor

    def fill(self, pixels: Pixels, hole: Mask, seed: int, step: OnStep = unheard) -> Pixels:
        empty = hole > 0.5
        ring = _grown(empty) & ~empty
        around = pixels[ring] if ring.any() else pixels.reshape(-1, pixels.shape[2])
        filled = pixels.copy()
        filled[empty] = around.mean(axis=0, dtype=np.float64).astype(np.float32)
        return filled


class NullUpscaler:
    """Repeats every pixel."""

    def __init__(self, descriptor: Descriptor) -> None:
        self.descriptor = descriptor

    def enlarge(self, tile: Pixels) -> Pixels:
        scale = self.descriptor.scale
        return np.repeat(np.repeat(tile, scale, axis=0), scale, axis=1)


def open_engine(name: str, model: Model, store: Store, device: Device) -> Inpainter | Upscaler:
    descriptor = Descriptor(
        name=name, kind=model.kind, licence=model.licence, scale=model.scale, side=0 if model.kind == "inpaint" else 512, device="cpu"
    )
    return NullInpainter(descriptor) if model.kind == "inpaint" else NullUpscaler(descriptor)


def _grown(empty: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The hole and the pixels that touch it."""
    padded = np.pad(empty, 1)
    height, width = empty.shape
    grown = np.zeros_like(empty)
    for down in range(3):
        for across in range(3):
            grown |= padded[down : down + height, across : across + width]
    return grown
