"""Opens engines: a name in models.toml, weights known to be right, a driver module that runs them; kept open while they fit."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Protocol, cast

from goldsmith.engines import (
    Device,
    EngineNeed,
    GenerationOptions,
    Generator,
    Inpainter,
    ModelFiles,
    Upscaler,
    drivers,
)
from goldsmith.engines.generator_inpainter import GeneratorInpainter, OnFacts, ignore_facts
from goldsmith.engines.model_cache import ModelCache
from goldsmith.engines.registry.models import Model
from goldsmith.engines.registry.weights_registry import ModelChoice, WeightsRegistry
from goldsmith.engines.vision import (
    FaceDetector,
    FaceEmbedder,
    FaceLandmarker,
    FaceSwapper,
    HandLandmarker,
    MatteEstimator,
    TextReader,
)
from goldsmith.errors import InputError

# Engines that look at a picture, and the ones that draw a face that was found.
VisionEngine = MatteEstimator | FaceDetector | FaceLandmarker | HandLandmarker | TextReader | FaceEmbedder | FaceSwapper

Engine = Inpainter | Upscaler | Generator | VisionEngine

_MODEL_CACHE: ModelCache[Engine] = ModelCache()


class Driver(Protocol):
    """What a module in ``goldsmith.engines.drivers`` offers. It imports its runtime inside this call, never at its top."""

    def open_engine(self, name: str, model: Model, model_files: ModelFiles, device: Device) -> Engine:
        """The engine, ready to run; the weights in ``store`` are already checked against their hashes."""


def driver_names() -> list[str]:
    """The drivers there are, found by their files; a ``driver = `` in models.toml is one of these."""
    return sorted(module.name for module in pkgutil.iter_modules(drivers.__path__) if not module.name.startswith("_"))


def open_inpainter(
    weights: WeightsRegistry, need: EngineNeed, device: Device, options: GenerationOptions | None = None, on_facts: OnFacts = ignore_facts
) -> tuple[Inpainter, ModelChoice]:
    """The inpainting engine that ``need`` asks for, and why it is that one (for the record).

    Kept open: the same call in the same process gives the same engine. A model that generates comes with ``wish`` bound to it, and
    tells ``note`` what it did for each fill; other engines take no words.
    Raises InputError where the name is unknown or its weights are missing; the remedy is the command that fetches them.
    """
    choice = weights.choose(need)
    engine = _open_cached(weights, choice, device)
    if choice.model.kind == "generate":
        return GeneratorInpainter(cast("Generator", engine), options or GenerationOptions(), on_facts), choice
    return cast("Inpainter", engine), choice


def open_upscaler(weights: WeightsRegistry, need: EngineNeed, device: Device) -> tuple[Upscaler, ModelChoice]:
    """The upscaling engine that ``need`` asks for at its own scale, or the house's default for ``need.factor``, and why.

    As ``open_inpainter`` otherwise.
    """
    choice = weights.choose(need)
    return cast("Upscaler", _open_cached(weights, choice, device)), choice


def open_generator(weights: WeightsRegistry, need: EngineNeed, device: Device) -> tuple[Generator, ModelChoice]:
    """The generating engine that ``need`` asks for, one that can do all of ``need.can``, and why. As ``open_inpainter`` otherwise."""
    choice = weights.choose(need)
    return cast("Generator", _open_cached(weights, choice, device)), choice


def open_vision_engine(weights: WeightsRegistry, need: EngineNeed, device: Device) -> tuple[VisionEngine, ModelChoice]:
    """The engine that looks at pictures for ``need``, by its kind one of ``Seeing``, and why. As ``open_inpainter`` otherwise."""
    choice = weights.choose(need)
    return cast("VisionEngine", _open_cached(weights, choice, device)), choice


def loaded_models() -> tuple[str, ...]:
    """The models that are open in this process, the least recently used first."""
    return _MODEL_CACHE.loaded_models


def _open_cached(weights: WeightsRegistry, choice: ModelChoice, device: Device) -> Engine:
    store = weights.verified_files(choice.name)
    name, model = choice.name, choice.model
    key = (name, model, _ModelFilesKey(store), device)
    driver = _load_driver(name, model)
    return _MODEL_CACHE.get_or_open(
        key, name, device, _required_mb(model, store, device), lambda: driver.open_engine(name, model, store, device)
    )


def _required_mb(model: Model, model_files: ModelFiles, device: Device) -> int:
    """MiB the engine takes with one picture in work; 0 for what is too small to make room for."""
    diffusion = model.diffusion
    if diffusion is None:
        return sum(path.stat().st_size for path in model_files.files.values()) // 2**20
    wider = 2 if device.name == "cpu" and diffusion.precision != "float32" else 1
    return diffusion.memory_mb * wider + diffusion.picture_mb


class _ModelFilesKey:
    """A store as part of a key: the same files at the same revision are the same."""

    def __init__(self, model_files: ModelFiles) -> None:
        self.store = model_files
        self._says = (
            tuple(model_files.files.items()),
            model_files.folder,
            model_files.single_file,
            model_files.revision,
            model_files.weights,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ModelFilesKey) and self._says == other._says

    def __hash__(self) -> int:
        return hash(self._says)


def _load_driver(name: str, model: Model) -> Driver:
    if model.driver not in driver_names():
        raise InputError(f"models.{name}.driver: there is no driver {model.driver!r}.", f"There are: {', '.join(driver_names())}.")
    return cast("Driver", import_module(f"{drivers.__name__}.{model.driver}"))
