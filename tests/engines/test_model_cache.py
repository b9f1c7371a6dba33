"""Engines stay open as long as they fit; the least recently used one goes first."""

from __future__ import annotations

import weakref

import pytest

from goldsmith.engines.model_cache import ModelCache
from goldsmith.engines.protocols import Device

CPU, GPU = Device("cpu"), Device("cuda:0")


class Weighty:
    """An engine of so many MiB on a device of so many."""

    def __init__(self, machine: Machine, device: Device, mb: int) -> None:
        self._machine, self._device, self._mb = machine, device, mb
        machine.free[device.name] -= mb

    def close(self) -> None:
        self._machine.free[self._device.name] += self._mb


class Machine:
    """Two devices with some memory free on each."""

    def __init__(self) -> None:
        self.free = {"cpu": 1000, "cuda:0": 1000}
        self.residency: ModelCache[Weighty] = ModelCache(lambda device: self.free[device.name], max_engines=4)
        self.opened = 0

    def ask(self, name: str, mb: int, device: Device = GPU) -> Weighty:
        def opened() -> Weighty:
            self.opened += 1
            return Weighty(self, device, mb)

        return self.residency.get_or_open((name, device.name), name, device, mb, opened)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_what_fits_stays_open(machine: Machine) -> None:
    """The same key is the same engine, and is opened once."""
    assert machine.ask("a", 400) is machine.ask("a", 400)
    machine.ask("b", 600)
    assert (machine.opened, machine.free["cuda:0"], machine.residency.loaded_models) == (2, 0, ("a", "b"))


def test_the_least_recently_used_goes_first(machine: Machine) -> None:
    """And no more of them than need be."""
    first = machine.ask("a", 400)
    machine.ask("b", 300)
    machine.ask("c", 300)
    assert machine.ask("a", 400) is first
    machine.ask("d", 200)
    assert machine.residency.loaded_models == ("c", "a", "d")
    machine.ask("b", 300)
    assert machine.residency.loaded_models == ("a", "d", "b")


def test_other_devices_are_left_alone(machine: Machine) -> None:
    """What lies in the computer's memory frees nothing on the device."""
    machine.ask("a", 900, CPU)
    machine.ask("b", 900, GPU)
    machine.ask("c", 900, GPU)
    assert machine.residency.loaded_models == ("a", "c")


def test_what_is_too_large_for_all_is_opened_all_the_same(machine: Machine) -> None:
    """With everything else gone: whether it fits in another layout is for the engine to say."""
    machine.ask("a", 400)
    machine.ask("huge", 5000)
    assert machine.residency.loaded_models == ("huge",)


def test_an_engine_that_goes_is_let_go_of(machine: Machine) -> None:
    """Nothing holds it any longer, so its memory comes back."""
    gone = weakref.ref(machine.ask("a", 600))
    machine.ask("b", 600)
    assert gone() is None


def test_small_ones_are_not_kept_without_end(machine: Machine) -> None:
    """Also where each takes nothing worth counting."""
    for name in "abcdef":
        machine.ask(name, 0)
    assert machine.residency.loaded_models == ("c", "d", "e", "f")


def test_an_engine_that_fails_to_open_is_not_kept(machine: Machine) -> None:
    """The next one who asks tries again; what had to go for it is gone."""

    def fails() -> Weighty:
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        machine.residency.get_or_open("a", "a", GPU, 10, fails)
    assert machine.residency.loaded_models == ()
    machine.ask("a", 10)
    assert machine.residency.loaded_models == ("a",)
