"""The worker processes that follow from the settings."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from goldsmith.brief.settings import Settings, read_settings
from goldsmith.engines.devices import Accelerator, DeviceScan
from goldsmith.engines.registry.models import read_models
from goldsmith.engines.registry.weights_registry import WeightsRegistry
from goldsmith.jobs.protocol import WorkerSpec
from goldsmith.pipeline.workers import worker_specs
from goldsmith.pipeline.workers.worker_specs import build_worker_specs, find_model_paths

CARDS = (Accelerator("cuda:0", "NVIDIA L40S", total_mb=46068), Accelerator("cuda:1", "NVIDIA RTX A4000", total_mb=16376))


def settings(text: str = "") -> Settings:
    return read_settings(f"cpu_workers = 3\nthreads = 2\n{text}".encode(), "goldsmith.toml", {})


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return a machine with two GPUs and a build of torch for them."""
    machine = SimpleNamespace(devices=CARDS, torch="cuda")
    monkeypatch.setattr(worker_specs, "find_devices", lambda: DeviceScan(machine.devices))
    monkeypatch.setattr(worker_specs, "torch_backend", lambda: machine.torch)
    return machine


def summaries(specs: list[WorkerSpec]) -> list[tuple[str, str, int]]:
    return [(spec.queue, spec.device, spec.process_count) for spec in specs]


def test_the_queue_gpu_has_a_process_on_each_accelerator(machine: SimpleNamespace) -> None:
    """Each spec has the title and memory of its device. The queue cpu has as many processes as the settings say."""
    specs = build_worker_specs(settings(), ["cpu", "gpu", "cpu"])
    assert summaries(specs) == [("cpu", "cpu", 3), ("gpu", "cuda:0", 1), ("gpu", "cuda:1", 1)]
    assert (specs[1].device_title, specs[1].device_memory_mb, specs[1].threads) == ("NVIDIA L40S", 46068, 2)
    assert [spec.max_batch for spec in specs] == [1, 4, 4]


def test_without_an_accelerator_the_queue_gpu_has_one_process_on_the_cpu(machine: SimpleNamespace) -> None:
    """There is no GPU, or torch cannot use it, or the settings name the CPU."""
    cpu_only = [("cpu", "cpu", 3), ("gpu", "cpu", 1)]
    machine.devices = ()
    assert summaries(build_worker_specs(settings(), ["cpu", "gpu"])) == cpu_only
    machine.devices = CARDS
    machine.torch = "cpu"
    assert summaries(build_worker_specs(settings(), ["cpu", "gpu"])) == cpu_only
    machine.torch = "cuda"
    assert summaries(build_worker_specs(settings('devices = "cpu"'), ["cpu", "gpu"])) == cpu_only


def test_the_settings_may_name_the_devices(machine: SimpleNamespace) -> None:
    """A device that is not found is tried all the same, so that its queue reports the reason."""
    specs = build_worker_specs(settings('devices = ["cuda:1", "cuda:5"]'), ["gpu"])
    assert [(spec.device, spec.device_title) for spec in specs] == [("cuda:1", "NVIDIA RTX A4000"), ("cuda:5", "")]


def test_a_pipeline_without_the_queue_gpu_looks_for_no_device(machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for devices would run a program."""
    monkeypatch.setattr(worker_specs, "find_devices", lambda: pytest.fail("find_devices was called"))
    assert summaries(build_worker_specs(settings(), ["cpu"])) == [("cpu", "cpu", 3)]


GENERATING_MODEL = """
[models.{name}]
kind = "generate"
driver = "null"
licence = "Apache-2.0"
[models.{name}.diffusion]
family = "null"
can = ["text"]
pixels = 65536
multiple = 16
steps = 1
guidance = 0
memory_mb = {size}
picture_mb = 500
"""
LOCAL_MODELS = """
[models.local]
kind = "generate"
driver = "diffusers"
licence = "Apache-2.0"
folder = "{folder}"
[models.local.diffusion]
family = "sdxl"
can = ["text"]
pixels = 65536
multiple = 16
steps = 1
guidance = 0
memory_mb = 1
picture_mb = 1
"""


def test_the_folders_of_models_and_what_their_links_lead_to_are_readable(tmp_path: Path) -> None:
    """The cache of a hub is a tree of links, and a models folder may span disks."""
    for folder in ("config", "weights", "disk", "cache/blobs", "cache/snapshot/unet", "root"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "cache/blobs/1f").write_bytes(b"")
    (tmp_path / "cache/snapshot/unet/model.safetensors").symlink_to("../../blobs/1f")
    (tmp_path / "weights/qwen").symlink_to(tmp_path / "disk")
    models_file = tmp_path / "config/models.toml"
    models_file.write_text(LOCAL_MODELS.format(folder=tmp_path / "cache/snapshot"))
    weights = WeightsRegistry(read_models(models_file), tmp_path / "weights", tmp_path / "config/models.pins.toml")
    assert set(find_model_paths(tmp_path / "root", weights, models_file)) == {
        str(tmp_path / name) for name in ("config", "weights", "disk", "cache/snapshot", "cache/blobs/1f")
    }


def test_a_models_toml_in_the_root_does_not_open_the_root(tmp_path: Path) -> None:
    """Only the file itself is readable."""
    models_file = tmp_path / "models.toml"
    models_file.write_text(LOCAL_MODELS.format(folder="/models/local"))
    paths = find_model_paths(tmp_path, WeightsRegistry(read_models(models_file), tmp_path / "weights"), models_file)
    assert paths == (str(models_file), str(tmp_path / "weights"), "/models/local")


def test_a_queue_on_the_cluster_has_as_many_workers_as_its_table_says() -> None:
    """Each has a device of its own, so that one node can fail alone. One of the queue gpu has a GPU unless the settings rule that out."""
    cluster = '[cluster]\naddress = "auto"\n[queues.{queue}]\nrunner = "ray"\nworkers = 2\n'
    specs = build_worker_specs(settings(cluster.format(queue="gpu")), ["cpu", "gpu"])
    assert [(spec.queue, spec.runner, spec.device, spec.process_count) for spec in specs] == [
        ("cpu", "local", "cpu", 3),
        ("gpu", "ray", "cuda:0", 1),
        ("gpu", "ray", "cuda:0", 1),
    ]
    specs = build_worker_specs(settings('devices = "cpu"\n' + cluster.format(queue="gpu")), ["gpu"])
    assert [(spec.runner, spec.device) for spec in specs] == [("ray", "cpu"), ("ray", "cpu")]


def test_a_node_sets_memory_aside_for_the_largest_installed_model(tmp_path: Path) -> None:
    """By its entry in models.toml: a worker may get jobs for any of them. Never more than a worker may use at all."""
    cluster = 'worker_memory_mb = 20000\n[cluster]\naddress = "auto"\n[queues.{queue}]\nrunner = "ray"\n'
    models_file = tmp_path / "models.toml"
    entries = [GENERATING_MODEL.format(name="small", size=3000), GENERATING_MODEL.format(name="large", size=7000)]
    absent = GENERATING_MODEL.format(name="absent", size=90000).replace('driver = "null"', 'driver = "diffusers"\nfolder = "/nowhere"')
    models_file.write_text("".join([*entries, absent]))
    weights = WeightsRegistry(read_models(models_file), tmp_path / "weights")

    def memory(queue: str, first_lines: str = "") -> list[int]:
        specs = build_worker_specs(settings(first_lines + cluster.format(queue=queue)), [queue], weights)
        return [spec.host_memory_mb for spec in specs]

    assert memory("gpu") == [1024 + 7000]
    assert memory("gpu", 'devices = "cpu"\n') == [1024 + 2 * 7000 + 500]
    assert memory("cpu") == [1024]
    models_file.write_text(GENERATING_MODEL.format(name="huge", size=90000))
    weights = WeightsRegistry(read_models(models_file), tmp_path / "weights")
    assert memory("gpu") == [20000]
