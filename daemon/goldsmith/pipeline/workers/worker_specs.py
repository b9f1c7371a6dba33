"""Which worker processes there are, on which devices, by the settings."""

from __future__ import annotations

from collections.abc import Iterable

from goldsmith.brief.settings import Settings
from goldsmith.engines.devices import Accelerator, find_devices, torch_backend
from goldsmith.jobs.job import GPU_QUEUE
from goldsmith.jobs.protocol import WorkerSpec


def build_worker_specs(settings: Settings, queues: Iterable[str]) -> list[WorkerSpec]:
    """Return the worker processes to start: for the queue ``gpu`` one on each accelerator, for any other queue ``cpu_workers``."""
    names = list(dict.fromkeys(queues))
    accelerators = find_accelerators(settings) if GPU_QUEUE in names else ()
    specs = []
    for name in names:
        if name == GPU_QUEUE and accelerators:
            specs += [_device_spec(accelerator, name, settings) for accelerator in accelerators]
        else:
            specs.append(WorkerSpec(queue=name, process_count=1 if name == GPU_QUEUE else settings.cpu_workers, threads=settings.threads))
    return specs


def _device_spec(device: Accelerator, queue: str, settings: Settings) -> WorkerSpec:
    return WorkerSpec(
        queue=queue,
        device=device.name,
        device_title=device.title,
        device_memory_mb=device.total_mb,
        threads=settings.threads,
        max_batch=settings.together,
    )


def find_accelerators(settings: Settings) -> tuple[Accelerator, ...]:
    """Return the accelerators for the queue ``gpu``: those that the settings name, else all that torch can use; empty for the CPU."""
    if settings.devices == "cpu" or (settings.devices == "auto" and torch_backend() not in ("cuda", "hip")):
        return ()
    accelerators = find_devices().devices
    if settings.devices == "auto":
        return accelerators
    by_name = {accelerator.name: accelerator for accelerator in accelerators}
    return tuple(by_name.get(name, Accelerator(name, "")) for name in settings.devices)
