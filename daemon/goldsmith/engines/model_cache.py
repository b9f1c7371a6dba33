"""Engines kept open from call to call, as long as their weights fit: the least recently used one goes first."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from goldsmith.engines import Device
from goldsmith.engines.memory import free_mb, give_back

_MOST = 8
"""More engines than this are never kept, however small."""

_Engine = TypeVar("_Engine")


@dataclass(frozen=True, slots=True)
class _Resident(Generic[_Engine]):
    name: str
    engine: _Engine
    device: Device


class Residency(Generic[_Engine]):
    """What a lane process has open."""

    def __init__(self, free: Callable[[Device], int] = free_mb, most: int = _MOST) -> None:
        """free: MiB to be had on a device at this moment."""
        self._free = free
        self._most = most
        self._kept: dict[Hashable, _Resident[_Engine]] = {}

    @property
    def loaded(self) -> tuple[str, ...]:
        """The names of the models that are open, the least recently used first."""
        return tuple(resident.name for resident in self._kept.values())

    def engine(self, key: Hashable, name: str, device: Device, needs_mb: int, opened: Callable[[], _Engine]) -> _Engine:
        """The engine of that key: the one that is open, else ``opened()`` once there is room for ``needs_mb`` on its device."""
        resident = self._kept.pop(key, None)
        if resident is None:
            self._make_room(device, needs_mb)
            resident = _Resident(name, opened(), device)
        self._kept[key] = resident
        return resident.engine

    def _make_room(self, device: Device, needs_mb: int) -> None:
        """Let engines go, the least recently used first, until so much is free on the device or none is left there."""
        while len(self._kept) >= self._most:
            self._evict(next(iter(self._kept)))
        while needs_mb and self._free(device) < needs_mb:
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
        give_back(device)
