"""Open engines: choose a model, verify its weights, and load it with its driver. Engines stay open while they fit in memory."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Protocol, cast

from goldsmith.engines import drivers
from goldsmith.engines.generator_inpainter import GeneratorInpainter, OnFacts, ignore_facts
from goldsmith.engines.kinds import ENGINE_KINDS, GENERATOR, INPAINTER
from goldsmith.engines.model_cache import ModelCache
from goldsmith.engines.protocols import Device, Engine, EngineNeed, EngineT, GenerationOptions, Generator, ModelFiles
from goldsmith.engines.registry.models import Model
from goldsmith.engines.registry.weights_registry import ModelChoice, WeightsRegistry
from goldsmith.errors import InputError

_MODEL_CACHE: ModelCache[Engine] = ModelCache()


class Driver(Protocol):
    """The protocol of a module in ``goldsmith.engines.drivers``. It imports its runtime inside this call, never at its top."""

    def open_engine(self, name: str, model: Model, model_files: ModelFiles, device: Device) -> Engine:
        """Return the engine, ready to run; ``model_files`` are verified, and an error follows if one changes during this call.

        An engine that reads weights later reads them within ``with model_files.unchanged()``.
        """


def driver_names() -> list[str]:
    """Return the names of all driver modules; ``driver`` in models.toml is one of them."""
    return sorted(module.name for module in pkgutil.iter_modules(drivers.__path__) if not module.name.startswith("_"))


def open_engine(
    weights: WeightsRegistry,
    need: EngineNeed[EngineT],
    device: Device,
    options: GenerationOptions | None = None,
    on_facts: OnFacts = ignore_facts,
) -> tuple[EngineT, ModelChoice]:
    """Return the engine for ``need``, and why it is this one (for the record).

    The engine stays open: the same call in the same process returns the same engine. ``options`` and ``on_facts``: see ``adapt_engine``.
    Raises InputError if the name is unknown or the weights are missing; the remedy is the command that fetches them.
    """
    choice = weights.choose(need)
    return adapt_engine(need, open_model(weights, choice, device), choice, options, on_facts), choice


def adapt_engine(
    need: EngineNeed[EngineT],
    engine: Engine,
    choice: ModelChoice,
    options: GenerationOptions | None = None,
    on_facts: OnFacts = ignore_facts,
) -> EngineT:
    """Return the engine of a chosen model as the kind that ``need`` asks for.

    A generating model becomes an inpainter with ``options`` bound to it, which reports the facts of each fill to ``on_facts``; other
    engines take no options.
    """
    if need.kind is INPAINTER and choice.model.kind == GENERATOR.name:
        engine = GeneratorInpainter(cast("Generator", engine), options or GenerationOptions(), on_facts)
    return cast("EngineT", engine)


def loaded_models() -> tuple[str, ...]:
    """Return the names of the models that are open in this process, the least recently used first."""
    return _MODEL_CACHE.loaded_models


def open_model(weights: WeightsRegistry, choice: ModelChoice, device: Device) -> Engine:
    """Return the engine of a chosen model: it implements the protocol of the model's kind. It stays open while it fits."""
    model_files = weights.verified_files(choice.name)
    name, model = choice.name, choice.model
    key = (name, model, _ModelFilesKey(model_files), device)
    driver = _load_driver(name, model)

    def open_checked() -> Engine:
        with model_files.unchanged():
            engine = driver.open_engine(name, model, model_files, device)
        _require_protocol(name, model, engine)
        return engine

    return _MODEL_CACHE.get_or_open(key, name, device, _required_mb(model, model_files, device), open_checked)


def _require_protocol(name: str, model: Model, engine: Engine) -> None:
    protocol = ENGINE_KINDS[model.kind].protocol
    if not isinstance(engine, protocol):
        raise InputError(
            f"models.{name}: the driver {model.driver!r} opens no {protocol.__name__}, which kind = {model.kind!r} needs.",
            "Correct its kind or its driver in models.toml.",
        )


def _required_mb(model: Model, model_files: ModelFiles, device: Device) -> int:
    """Return the MiB that the engine needs with one picture; 0 for a model smaller than one MiB."""
    diffusion = model.diffusion
    if model.control is not None or model.reference is not None:
        return 0  # the model that it guides loads it
    if diffusion is None:
        return sum(path.stat().st_size for path in model_files.files.values()) // 2**20
    factor = 2 if device.name == "cpu" and diffusion.precision != "float32" else 1
    return diffusion.memory_mb * factor + diffusion.picture_mb


class _ModelFilesKey:
    """Model files as a part of a cache key: equal if files, folder, revision and hashes are equal."""

    def __init__(self, model_files: ModelFiles) -> None:
        self._key = (
            tuple(model_files.files.items()),
            model_files.folder,
            model_files.single_file,
            model_files.revision,
            model_files.weights,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ModelFilesKey) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def _load_driver(name: str, model: Model) -> Driver:
    if model.driver not in driver_names():
        raise InputError(f"models.{name}.driver: there is no driver {model.driver!r}.", f"The drivers are: {', '.join(driver_names())}.")
    return cast("Driver", import_module(f"{drivers.__name__}.{model.driver}"))
