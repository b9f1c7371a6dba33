"""Keep engines open between calls as long as their weights fit; the least recently used engine is closed first."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from goldsmith.engines.memory import free_mb, release_memory
from goldsmith.engines.protocols import Device

# Maximum number of open engines, however small they are.
_MAX_ENGINES = 8

_Engine = TypeVar("_Engine")


@dataclass(frozen=True, slots=True)
class _CachedEngine(Generic[_Engine]):
    name: str
    engine: _Engine
    device: Device


class ModelCache(Generic[_Engine]):
    """The open engines of a worker process."""

    def __init__(self, measure_free_mb: Callable[[Device], int] = free_mb, max_engines: int = _MAX_ENGINES) -> None:
        """Create an empty cache; ``measure_free_mb`` returns the MiB that are free on a device."""
        self._measure_free_mb = measure_free_mb
        self._max_engines = max_engines
        self._engines: dict[Hashable, _CachedEngine[_Engine]] = {}

    @property
    def loaded_models(self) -> tuple[str, ...]:
        """The names of the open models, the least recently used first."""
        return tuple(cached.name for cached in self._engines.values())

    def get_or_open(self, key: Hashable, name: str, device: Device, required_mb: int, open_engine: Callable[[], _Engine]) -> _Engine:
        """Return the engine with that key. If it is not open, close others until ``required_mb`` MiB are free, then open it."""
        cached = self._engines.pop(key, None)
        if cached is None:
            self._make_room(device, required_mb)
            cached = _CachedEngine(name, open_engine(), device)
        self._engines[key] = cached
        return cached.engine

    def _make_room(self, device: Device, required_mb: int) -> None:
        """Close engines, the least recently used first, until enough memory is free on the device or it has no more engines."""
        while len(self._engines) >= self._max_engines:
            self._evict(next(iter(self._engines)))
        while required_mb and self._measure_free_mb(device) < required_mb:
            key = next((key for key, cached in self._engines.items() if cached.device.name == device.name), None)
            if key is None:
                return
            self._evict(key)

    def _evict(self, key: Hashable) -> None:
        cached = self._engines.pop(key)
        close = getattr(cached.engine, "close", None)
        if close is not None:
            close()
        device = cached.device
        del cached, close
        release_memory(device)
