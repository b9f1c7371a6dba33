"""Engines with tiny models in the layout that a test needs, and requests for them."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from unittest import mock

import numpy as np

from doubles import tiny
from goldsmith.engines.diffusion.diffusion_engine import DiffusionEngine
from goldsmith.engines.diffusion.loaded_model import LoadedModel
from goldsmith.engines.diffusion.memory_layout import MemoryLayout
from goldsmith.engines.protocols import Ability, Device, GenerationOptions, GenerationRequest, ModelFiles
from goldsmith.engines.registry.models import DiffusionSettings, Model
from goldsmith.picture.picture import Mask, Pixels

WIDTH, HEIGHT = 96, 64
WISH = GenerationOptions("a cat", steps=2, guidance=2.0)
ONE = MemoryLayout("float32", "none", 1)
# Each family with each of its abilities.
WAYS = [(family, cast("Ability", ability)) for family in tiny.FAMILIES for ability in tiny.CAN[family]]


def model(family: str, *, can: tuple[str, ...] = (), **overrides: Any) -> Model:
    """Return the entry of a tiny model."""
    settings = {"pixels": tiny.PIXELS, "multiple": tiny.MULTIPLE, "steps": 2, "guidance": 2.0, "memory_mb": 1, "picture_mb": 1} | overrides
    return Model(
        kind="generate",
        driver="diffusers",
        licence="CC0-1.0",
        diffusion=DiffusionSettings(family=family, can=cast("Any", can or tiny.CAN[family]), **settings),
    )


def opened(
    family: str,
    layout: MemoryLayout = ONE,
    *,
    folder: Path | None = None,
    single: Path | None = None,
    entry: Model | None = None,
    threads: int = 1,
    device: str = "cpu",
) -> DiffusionEngine:
    """Return a new engine, for a test that changes it."""
    store = ModelFiles({}, folder or tiny.folder(family), single_file=single, revision="0" * 40)
    plan: Callable[[float], MemoryLayout] = lambda largest: layout  # noqa: E731
    return DiffusionEngine(family, entry or model(family), store, Device(device, threads), plan)


@functools.cache
def engine(family: str) -> DiffusionEngine:
    """Return a family's engine, shared by all tests: on the CPU, one picture at a time."""
    return opened(family)


def picture(seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> Pixels:
    """Return smooth colours with grain, (height, width, 3), 0..1, sRGB."""
    random = np.random.default_rng(seed)
    slope = np.linspace(0.1, 0.9, width, dtype=np.float32)[None, :, None] * np.ones((height, 1, 3), np.float32)
    return np.clip(slope + random.normal(0, 0.03, (height, width, 3)).astype(np.float32), 0, 1)


def hole(height: int = HEIGHT, width: int = WIDTH) -> Mask:
    """Return a hole in the middle, (height, width), 0 or 1."""
    mask = np.zeros((height, width), np.float32)
    mask[height // 4 : height // 2, width // 4 : width // 2] = 1
    return mask


def request(ability: Ability, seeds: tuple[int, ...] = (1,), wish: GenerationOptions = WISH) -> GenerationRequest:
    """Return a request that only this ability serves."""
    if ability == "text":
        return GenerationRequest(wish, seeds, WIDTH, HEIGHT)
    if ability == "image":
        return GenerationRequest(replace(wish, strength=0.7), seeds, WIDTH, HEIGHT, picture())
    if ability == "inpaint":
        return GenerationRequest(wish, seeds, WIDTH, HEIGHT, picture(), hole())
    references = (picture(7, 48, 40),) if ability == "references" else ()
    return GenerationRequest(wish, seeds, WIDTH, HEIGHT, picture(), references=references)


@contextmanager
def small_qwen_inputs() -> Iterator[None]:
    """Reduce the input of Qwen-Image-Edit, which is a megapixel for every picture, to a sixteenth, to save time."""
    from diffusers.pipelines.joyimage import image_processor as joy_image_processor
    from diffusers.pipelines.longcat_image import pipeline_longcat_image_edit
    from diffusers.pipelines.qwenimage import (
        pipeline_qwenimage_edit,
        pipeline_qwenimage_edit_inpaint,
        pipeline_qwenimage_edit_plus,
        pipeline_qwenimage_layered,
    )

    with (
        mock.patch.object(joy_image_processor, "find_best_bucket", return_value=(HEIGHT, WIDTH)),
        mock.patch.object(pipeline_longcat_image_edit, "calculate_dimensions", _sixteenth(pipeline_longcat_image_edit)),
        mock.patch.object(pipeline_qwenimage_edit, "calculate_dimensions", _sixteenth(pipeline_qwenimage_edit)),
        mock.patch.object(pipeline_qwenimage_edit_inpaint, "calculate_dimensions", _sixteenth(pipeline_qwenimage_edit_inpaint)),
        mock.patch.object(pipeline_qwenimage_layered, "calculate_dimensions", _sixteenth(pipeline_qwenimage_layered)),
        mock.patch.object(pipeline_qwenimage_edit_plus, "calculate_dimensions", _sixteenth(pipeline_qwenimage_edit_plus)),
    ):
        yield


def keep_small_qwen_inputs() -> None:
    """Apply ``small_qwen_inputs`` from the first opened model to the end of the process, for worker processes."""
    original_init, stack = LoadedModel.__init__, ExitStack()

    def open_with_small_inputs(self: LoadedModel, *args: Any, **kwargs: Any) -> None:
        stack.enter_context(small_qwen_inputs())
        LoadedModel.__init__ = original_init  # type: ignore[method-assign]
        original_init(self, *args, **kwargs)

    LoadedModel.__init__ = open_with_small_inputs  # type: ignore[method-assign]
    atexit.register(stack.close)


def _sixteenth(module: Any) -> Callable[[int, float], Any]:
    real = module.calculate_dimensions
    return lambda area, ratio: real(area // 16, ratio)
