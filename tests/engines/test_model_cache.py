"""Engines stay open while they fit in memory; the least recently used one is closed first."""

from __future__ import annotations

import weakref

import pytest

from goldsmith.engines.model_cache import ModelCache
from goldsmith.engines.protocols import Device

CPU, GPU = Device("cpu"), Device("cuda:0")


class SizedEngine:
    """An engine that takes some MiB of its device."""

    def __init__(self, machine: Machine, device: Device, mb: int) -> None:
        self._machine, self._device, self._mb = machine, device, mb
        machine.free[device.name] -= mb

    def close(self) -> None:
        self._machine.free[self._device.name] += self._mb


class Machine:
    """Two devices with some free memory each."""

    def __init__(self) -> None:
        self.free = {"cpu": 1000, "cuda:0": 1000}
        self.cache: ModelCache[SizedEngine] = ModelCache(lambda device: self.free[device.name], max_engines=4)
        self.opened = 0

    def open(self, name: str, mb: int, device: Device = GPU) -> SizedEngine:
        def open_engine() -> SizedEngine:
            self.opened += 1
            return SizedEngine(self, device, mb)

        return self.cache.get_or_open((name, device.name), name, device, mb, open_engine)


@pytest.fixture
def machine() -> Machine:
    """Return a machine without open engines."""
    return Machine()


def test_engines_that_fit_stay_open(machine: Machine) -> None:
    """Check that the same key returns the same engine, opened once."""
    assert machine.open("a", 400) is machine.open("a", 400)
    machine.open("b", 600)
    assert (machine.opened, machine.free["cuda:0"], machine.cache.loaded_models) == (2, 0, ("a", "b"))


def test_the_least_recently_used_engine_is_closed_first(machine: Machine) -> None:
    """Check that no more engines are closed than necessary."""
    first = machine.open("a", 400)
    machine.open("b", 300)
    machine.open("c", 300)
    assert machine.open("a", 400) is first
    machine.open("d", 200)
    assert machine.cache.loaded_models == ("c", "a", "d")
    machine.open("b", 300)
    assert machine.cache.loaded_models == ("a", "d", "b")


def test_engines_on_other_devices_stay_open(machine: Machine) -> None:
    """Check that memory of the CPU does not count for the GPU."""
    machine.open("a", 900, CPU)
    machine.open("b", 900, GPU)
    machine.open("c", 900, GPU)
    assert machine.cache.loaded_models == ("a", "c")


def test_an_engine_that_is_too_large_is_opened_after_closing_all_others(machine: Machine) -> None:
    """Check this because the engine itself decides whether another layout fits."""
    machine.open("a", 400)
    machine.open("huge", 5000)
    assert machine.cache.loaded_models == ("huge",)


def test_a_closed_engine_is_released(machine: Machine) -> None:
    """Check that the cache keeps no reference to it."""
    reference = weakref.ref(machine.open("a", 600))
    machine.open("b", 600)
    assert reference() is None


def test_the_number_of_open_engines_is_limited(machine: Machine) -> None:
    """Check engines that need no memory."""
    for name in "abcdef":
        machine.open(name, 0)
    assert machine.cache.loaded_models == ("c", "d", "e", "f")


def test_an_engine_that_fails_to_open_is_not_kept(machine: Machine) -> None:
    """Check that the next request tries again."""

    def fail() -> SizedEngine:
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        machine.cache.get_or_open("a", "a", GPU, 10, fail)
    assert machine.cache.loaded_models == ()
    machine.open("a", 10)
    assert machine.cache.loaded_models == ("a",)
