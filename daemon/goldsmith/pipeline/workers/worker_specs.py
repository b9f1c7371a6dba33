"""The worker processes to start, on which devices."""

from __future__ import annotations

from collections.abc import Iterable

from goldsmith.brief.settings import Settings
from goldsmith.engines.devices import Accelerator, find_devices, torch_backend
from goldsmith.jobs.protocol import WorkerSpec
from goldsmith.pipeline.scheduler.limits import GPU_QUEUE


def build_worker_specs(settings: Settings, queues: Iterable[str]) -> list[WorkerSpec]:
    """Return the worker processes to start: in the queue ``gpu`` one for each accelerator, in others as many as the settings say."""
    names = list(dict.fromkeys(queues))
    found = find_accelerators(settings) if GPU_QUEUE in names else ()
    specs = []
    for name in names:
        if name == GPU_QUEUE and found:
            specs += [_device_spec(each, name, settings) for each in found]
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
    """Return the accelerators of the queue ``gpu``: those in the settings, else all that this torch can use; none = the CPU."""
    if settings.devices == "cpu" or (settings.devices == "auto" and torch_backend() not in ("cuda", "hip")):
        return ()
    there = find_devices().devices
    if settings.devices == "auto":
        return there
    known = {each.name: each for each in there}
    return tuple(known.get(name, Accelerator(name, "")) for name in settings.devices)
