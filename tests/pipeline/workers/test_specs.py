"""Which lane processes a house has."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from goldsmith.brief.settings import House, read_house
from goldsmith.engines.devices import Found, Seen
from goldsmith.jobs.protocol import LaneSpec, Models
from goldsmith.pipeline.workers import specs
from goldsmith.pipeline.workers.slot import Seated
from goldsmith.pipeline.workers.specs import lane_specs, told_of

CARDS = (Found("cuda:0", "NVIDIA L40S", total_mb=46068), Found("cuda:1", "NVIDIA RTX A4000", total_mb=16376))


def house(text: str = "") -> House:
    return read_house(f"cpu_lanes = 3\nthreads = 2\n{text}".encode(), "house.toml", {})


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A machine with two GPUs and a torch for them."""
    told = SimpleNamespace(devices=CARDS, torch="cuda")
    monkeypatch.setattr(specs, "devices", lambda: Seen(told.devices))
    monkeypatch.setattr(specs, "torch_for", lambda: told.torch)
    return told


def names(found: list[LaneSpec]) -> list[tuple[str, str, int]]:
    return [(spec.name, spec.device, spec.count) for spec in found]


def test_the_lane_gpu_has_a_process_on_each_accelerator(machine: SimpleNamespace) -> None:
    """With what is known of each; the lane cpu as many as the house says."""
    found = lane_specs(house(), ["cpu", "gpu", "cpu"])
    assert names(found) == [("cpu", "cpu", 3), ("gpu", "cuda:0", 1), ("gpu", "cuda:1", 1)]
    assert (found[1].title, found[1].memory_mb, found[1].threads) == ("NVIDIA L40S", 46068, 2)
    assert [spec.together for spec in found] == [1, 4, 4]


def test_without_an_accelerator_it_is_one_process_on_the_processor(machine: SimpleNamespace) -> None:
    """No card, or a torch that could not use it, or the house says so."""
    alone = [("cpu", "cpu", 3), ("gpu", "cpu", 1)]
    machine.devices = ()
    assert names(lane_specs(house(), ["cpu", "gpu"])) == alone
    machine.devices = CARDS
    machine.torch = "cpu"
    assert names(lane_specs(house(), ["cpu", "gpu"])) == alone
    machine.torch = "cuda"
    assert names(lane_specs(house('devices = "cpu"'), ["cpu", "gpu"])) == alone


def test_the_house_may_name_the_devices(machine: SimpleNamespace) -> None:
    """One that is not found is tried all the same: its lane says what is wrong with it."""
    found = lane_specs(house('devices = ["cuda:1", "cuda:5"]'), ["gpu"])
    assert [(spec.device, spec.title) for spec in found] == [("cuda:1", "NVIDIA RTX A4000"), ("cuda:5", "")]


def test_a_line_without_that_lane_asks_for_no_device(machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is run for nothing."""
    monkeypatch.setattr(specs, "devices", lambda: pytest.fail("asked"))
    assert names(lane_specs(house(), ["cpu"])) == [("cpu", "cpu", 3)]


def test_what_is_told_of_a_seat_does_not_change_as_time_goes_by() -> None:
    """The state file is written when something changes, so it says since when and not for how long."""
    spec = LaneSpec(name="gpu", device="cuda:0", title="NVIDIA L40S", memory_mb=46068)
    seated = Seated(spec, "", (), Models(loaded=("sdxl",), loading="flux"), loading_for=12.0)
    assert told_of(seated, 1000.0) == {
        "lane": "gpu",
        "device": "cuda:0",
        "title": "NVIDIA L40S",
        "memory_mb": 46068,
        "paused": "",
        "jobs": [],
        "loaded": ["sdxl"],
        "loading": "flux",
        "loading_since": 988,
    }
    assert told_of(Seated(spec, "It is gone."), 1000.0)["loading_since"] == 0
