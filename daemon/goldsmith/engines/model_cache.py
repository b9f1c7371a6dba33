"""Keep engines open from call to call while their weights fit; the least recently used one is closed first."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from goldsmith.engines import Device
from goldsmith.engines.memory import free_mb, release_memory

# At most this many engines are kept, however small they are.
_MAX_ENGINES = 8

_Engine = TypeVar("_Engine")


@dataclass(frozen=True, slots=True)
class _CachedEngine(Generic[_Engine]):
    name: str
    engine: _Engine
    device: Device


class ModelCache(Generic[_Engine]):
    """The engines that are open in a worker process."""

    def __init__(self, measure_free_mb: Callable[[Device], int] = free_mb, max_engines: int = _MAX_ENGINES) -> None:
        """Create an empty cache; ``measure_free_mb`` returns the MiB that are free on a device."""
        self._free = measure_free_mb
        self._most = max_engines
        self._kept: dict[Hashable, _CachedEngine[_Engine]] = {}

    @property
    def loaded_models(self) -> tuple[str, ...]:
        """The names of the open models, the least recently used first."""
        return tuple(resident.name for resident in self._kept.values())

    def get_or_open(self, key: Hashable, name: str, device: Device, required_mb: int, open_engine: Callable[[], _Engine]) -> _Engine:
        """Return the engine with that key, opened by ``open_engine`` once ``required_mb`` MiB are free on its device, if it is not open
        yet.
        """
        resident = self._kept.pop(key, None)
        if resident is None:
            self._make_room(device, required_mb)
            resident = _CachedEngine(name, open_engine(), device)
        self._kept[key] = resident
        return resident.engine

    def _make_room(self, device: Device, required_mb: int) -> None:
        """Close engines, the least recently used first, until enough is free on the device or none is left there."""
        while len(self._kept) >= self._most:
            self._evict(next(iter(self._kept)))
        while required_mb and self._free(device) < required_mb:
            key = next((key for key, resident in self._kept.items() if resident.device.name == device.name), None)
            if key is None:
                return
            self._evict(key)

    def _evict(self, key: Hashable) -> None:
        resident = self._kept.pop(key)
        close = getattr(resident.engine, "close", None)
        if close is not None:
            close()
        device = resident.device
        del resident, close
        release_memory(device)
