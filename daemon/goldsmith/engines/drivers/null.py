"""Engines without a model, for tests and for set-up: the whole pipeline runs on them in little time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.engines.kinds import INPAINTER
from goldsmith.engines.protocols import (
    Device,
    EngineDescriptor,
    GenerationRequest,
    GenerationResult,
    Generator,
    Inpainter,
    ModelFiles,
    OnProgress,
    Upscaler,
    ignore_progress,
)
from goldsmith.engines.registry.models import Model
from goldsmith.picture.picture import Mask, Pixels


class NullInpainter:
    """An inpainter that fills a hole with the mean colour of the pixels around it."""

    def __init__(self, descriptor: EngineDescriptor) -> None:
        self.descriptor = descriptor

    def fill(self, pixels: Pixels, hole: Mask, seed: int, on_progress: OnProgress = ignore_progress) -> Pixels:
        empty = hole > 0.5
        ring = _dilate(empty) & ~empty
        around = pixels[ring] if ring.any() else pixels.reshape(-1, pixels.shape[2])
        filled = pixels.copy()
        filled[empty] = around.mean(axis=0, dtype=np.float64).astype(np.float32)
        return filled


class NullUpscaler:
    """An upscaler that repeats every pixel."""

    def __init__(self, descriptor: EngineDescriptor) -> None:
        self.descriptor = descriptor

    def enlarge(self, tile: Pixels) -> Pixels:
        scale = self.descriptor.scale
        return np.repeat(np.repeat(tile, scale, axis=0), scale, axis=1)


class NullGenerator:
    """A generator of gradients with grain; colours and grain depend on the seed. An input picture is mixed with the gradient.

    The mean colour of the references tints the result, so that their use is visible.
    """

    def __init__(self, descriptor: EngineDescriptor) -> None:
        self.descriptor = descriptor

    def generate(self, request: GenerationRequest, on_progress: OnProgress = ignore_progress) -> GenerationResult:
        pictures = []
        for number, seed in enumerate(request.seeds):
            on_progress(number / len(request.seeds))
            pictures.append(_paint(request, seed))
        on_progress(1.0)
        return GenerationResult(tuple(pictures), {"steps": 1, "batch": len(request.seeds)})


def _paint(request: GenerationRequest, seed: int) -> Pixels:
    random = np.random.default_rng(seed)
    ends = random.random((2, 3), dtype=np.float32)
    position = np.linspace(0, 1, request.width, dtype=np.float32)[None, :, None]
    pixels = np.broadcast_to(ends[0] * (1 - position) + ends[1] * position, (request.height, request.width, 3))
    pixels = pixels + np.float32(0.05) * random.random((request.height, request.width, 1), dtype=np.float32)
    if request.references:
        tints = np.stack([reference.mean(axis=(0, 1)) for reference in request.references])
        pixels = (pixels + tints.mean(axis=0, dtype=np.float32)) / 2
    pixels = np.clip(pixels, 0, 1)
    if request.picture is not None:
        strength = np.float32(0.55 if request.options.strength is None else request.options.strength)
        mixed = request.picture * (1 - strength) + pixels * strength
        pixels = mixed if request.hole is None else np.where(request.hole[..., None] > 0.5, mixed, request.picture)
    return np.ascontiguousarray(pixels, dtype=np.float32)


def open_engine(name: str, model: Model, model_files: ModelFiles, device: Device) -> Inpainter | Upscaler | Generator:
    if model.diffusion is not None:
        diffusion = model.diffusion
        return NullGenerator(
            EngineDescriptor(
                name=name,
                kind=model.kind,
                licence=model.licence,
                can=diffusion.can,
                native_pixels=diffusion.pixels,
                multiple=diffusion.multiple,
                takes_prompt=True,
            )
        )
    descriptor = EngineDescriptor(
        name=name, kind=model.kind, licence=model.licence, scale=model.scale, side=0 if model.kind == INPAINTER.name else 512, device="cpu"
    )
    return NullInpainter(descriptor) if model.kind == INPAINTER.name else NullUpscaler(descriptor)


def _dilate(empty: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the hole and the pixels that touch it."""
    padded = np.pad(empty, 1)
    height, width = empty.shape
    grown = np.zeros_like(empty)
    for down in range(3):
        for across in range(3):
            grown |= padded[down : down + height, across : across + width]
    return grown
