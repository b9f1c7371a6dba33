"""Which lane processes a house has."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from goldsmith.brief.settings import Settings, read_settings
from goldsmith.engines.devices import Accelerator, DeviceScan
from goldsmith.jobs.protocol import WorkerSpec
from goldsmith.pipeline.workers import worker_specs
from goldsmith.pipeline.workers.worker_specs import build_worker_specs

CARDS = (Accelerator("cuda:0", "NVIDIA L40S", total_mb=46068), Accelerator("cuda:1", "NVIDIA RTX A4000", total_mb=16376))


def house(text: str = "") -> Settings:
    return read_settings(f"cpu_workers = 3\nthreads = 2\n{text}".encode(), "goldsmith.toml", {})


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A machine with two GPUs and a torch for them."""
    told = SimpleNamespace(devices=CARDS, torch="cuda")
    monkeypatch.setattr(worker_specs, "find_devices", lambda: DeviceScan(told.devices))
    monkeypatch.setattr(worker_specs, "torch_backend", lambda: told.torch)
    return told


def names(found: list[WorkerSpec]) -> list[tuple[str, str, int]]:
    return [(spec.queue, spec.device, spec.process_count) for spec in found]


def test_the_lane_gpu_has_a_process_on_each_accelerator(machine: SimpleNamespace) -> None:
    """With what is known of each; the lane cpu as many as the house says."""
    found = build_worker_specs(house(), ["cpu", "gpu", "cpu"])
    assert names(found) == [("cpu", "cpu", 3), ("gpu", "cuda:0", 1), ("gpu", "cuda:1", 1)]
    assert (found[1].device_title, found[1].device_memory_mb, found[1].threads) == ("NVIDIA L40S", 46068, 2)
    assert [spec.max_batch for spec in found] == [1, 4, 4]


def test_without_an_accelerator_it_is_one_process_on_the_processor(machine: SimpleNamespace) -> None:
    """No card, or a torch that could not use it, or the house says so."""
    alone = [("cpu", "cpu", 3), ("gpu", "cpu", 1)]
    machine.devices = ()
    assert names(build_worker_specs(house(), ["cpu", "gpu"])) == alone
    machine.devices = CARDS
    machine.torch = "cpu"
    assert names(build_worker_specs(house(), ["cpu", "gpu"])) == alone
    machine.torch = "cuda"
    assert names(build_worker_specs(house('devices = "cpu"'), ["cpu", "gpu"])) == alone


def test_the_house_may_name_the_devices(machine: SimpleNamespace) -> None:
    """One that is not found is tried all the same: its lane says what is wrong with it."""
    found = build_worker_specs(house('devices = ["cuda:1", "cuda:5"]'), ["gpu"])
    assert [(spec.device, spec.device_title) for spec in found] == [("cuda:1", "NVIDIA RTX A4000"), ("cuda:5", "")]


def test_a_line_without_that_lane_asks_for_no_device(machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is run for nothing."""
    monkeypatch.setattr(worker_specs, "find_devices", lambda: pytest.fail("asked"))
    assert names(build_worker_specs(house(), ["cpu"])) == [("cpu", "cpu", 3)]
