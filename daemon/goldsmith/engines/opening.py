"""Opens engines: a name in models.toml, weights known to be right, a driver module that runs them; kept open while they fit."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Protocol, cast

from goldsmith.engines import (
    Device,
    EngineNeed,
    Generator,
    Inpainter,
    Store,
    Upscaler,
    Wish,
    drivers,
)
from goldsmith.engines.filling import GeneratedFill, Note, unnoted
from goldsmith.engines.model_cache import Residency
from goldsmith.engines.registry.models import Model
from goldsmith.engines.registry.weights import Choice, Weights
from goldsmith.engines.vision import (
    FaceFinder,
    FaceMesher,
    HandFinder,
    Identifier,
    Matter,
    Reader,
    Swapper,
)
from goldsmith.errors import Problem

Seeing = Matter | FaceFinder | FaceMesher | HandFinder | Reader | Identifier | Swapper
"""Engines that look at a picture, and the ones that draw a face that was found."""

Engine = Inpainter | Upscaler | Generator | Seeing

_RESIDENT: Residency[Engine] = Residency()


class Driver(Protocol):
    """What a module in ``goldsmith.engines.drivers`` offers. It imports its runtime inside this call, never at its top."""

    def open_engine(self, name: str, model: Model, store: Store, device: Device) -> Engine:
        """The engine, ready to run; the weights in ``store`` are already checked against their hashes."""


def driver_names() -> list[str]:
    """The drivers there are, found by their files; a ``driver = `` in models.toml is one of these."""
    return sorted(module.name for module in pkgutil.iter_modules(drivers.__path__) if not module.name.startswith("_"))


def open_inpainter(
    weights: Weights, need: EngineNeed, device: Device, wish: Wish | None = None, note: Note = unnoted
) -> tuple[Inpainter, Choice]:
    """The inpainting engine that ``need`` asks for, and why it is that one (for the record).

    Kept open: the same call in the same process gives the same engine. A model that generates comes with ``wish`` bound to it, and
    tells ``note`` what it did for each fill; other engines take no words.
    Raises Problem where the name is unknown or its weights are missing; the remedy is the command that fetches them.
    """
    choice = weights.choose(need)
    engine = _open(weights, choice, device)
    if choice.model.kind == "generate":
        return GeneratedFill(cast("Generator", engine), wish or Wish(), note), choice
    return cast("Inpainter", engine), choice


def open_upscaler(weights: Weights, need: EngineNeed, device: Device) -> tuple[Upscaler, Choice]:
    """The upscaling engine that ``need`` asks for at its own scale, or the house's default for ``need.factor``, and why.

    As ``open_inpainter`` otherwise.
    """
    choice = weights.choose(need)
    return cast("Upscaler", _open(weights, choice, device)), choice


def open_generator(weights: Weights, need: EngineNeed, device: Device) -> tuple[Generator, Choice]:
    """The generating engine that ``need`` asks for, one that can do all of ``need.can``, and why. As ``open_inpainter`` otherwise."""
    choice = weights.choose(need)
    return cast("Generator", _open(weights, choice, device)), choice


def open_seeing(weights: Weights, need: EngineNeed, device: Device) -> tuple[Seeing, Choice]:
    """The engine that looks at pictures for ``need``, by its kind one of ``Seeing``, and why. As ``open_inpainter`` otherwise."""
    choice = weights.choose(need)
    return cast("Seeing", _open(weights, choice, device)), choice


def loaded() -> tuple[str, ...]:
    """The models that are open in this process, the least recently used first."""
    return _RESIDENT.loaded


def _open(weights: Weights, choice: Choice, device: Device) -> Engine:
    store = weights.opened(choice.name)
    name, model = choice.name, choice.model
    key = (name, model, _Kept(store), device)
    driver = _driver(name, model)
    return _RESIDENT.engine(key, name, device, _needs_mb(model, store, device), lambda: driver.open_engine(name, model, store, device))


def _needs_mb(model: Model, store: Store, device: Device) -> int:
    """MiB the engine takes with one picture in work; 0 for what is too small to make room for."""
    diffusion = model.diffusion
    if diffusion is None:
        return sum(path.stat().st_size for path in store.files.values()) // 2**20
    wider = 2 if device.name == "cpu" and diffusion.precision != "float32" else 1
    return diffusion.memory_mb * wider + diffusion.picture_mb


class _Kept:
    """A store as part of a key: the same files at the same revision are the same."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._says = (tuple(store.files.items()), store.folder, store.single, store.revision, store.weights)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Kept) and self._says == other._says

    def __hash__(self) -> int:
        return hash(self._says)


def _driver(name: str, model: Model) -> Driver:
    if model.driver not in driver_names():
        raise Problem(f"models.{name}.driver: there is no driver {model.driver!r}.", f"There are: {', '.join(driver_names())}.")
    return cast("Driver", import_module(f"{drivers.__name__}.{model.driver}"))
