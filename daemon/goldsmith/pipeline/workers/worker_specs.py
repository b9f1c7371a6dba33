"""Which worker processes there are, on which devices, and what they may read, by the settings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from goldsmith.brief.settings import Settings
from goldsmith.engines.devices import Accelerator, find_devices, torch_backend
from goldsmith.engines.registry.weights_registry import WeightsRegistry
from goldsmith.jobs.job import GPU_QUEUE
from goldsmith.jobs.protocol import WorkerSpec

# MiB of a node's memory for the pictures of a worker, beside its models: enough for one of some 30 megapixels.
_PICTURES_MB = 1024


def build_worker_specs(settings: Settings, queues: Iterable[str], weights: WeightsRegistry | None = None) -> list[WorkerSpec]:
    """Return the worker processes to start: for the queue ``gpu`` one on each accelerator, for any other queue ``cpu_workers``.

    For a queue on a cluster as many as its table says. Each of them has a device of its own: one node can fail, and the others go on.
    ``weights``: the models that are installed; a node sets memory aside for them.
    """
    names = list(dict.fromkeys(queues))
    local_names = [name for name in names if settings.queue(name).runner == "local"]
    accelerators = find_accelerators(settings) if GPU_QUEUE in local_names else ()
    specs = []
    for name in names:
        if name not in local_names:
            specs += [_cluster_spec(name, settings, weights)] * settings.queue(name).workers
        elif name == GPU_QUEUE and accelerators:
            specs += [_device_spec(accelerator, name, settings) for accelerator in accelerators]
        else:
            specs.append(WorkerSpec(queue=name, process_count=1 if name == GPU_QUEUE else settings.cpu_workers, threads=settings.threads))
    return specs


def _cluster_spec(queue: str, settings: Settings, weights: WeightsRegistry | None) -> WorkerSpec:
    # Ray shows each worker the GPU that it has given to it, and no other.
    device = "cuda:0" if queue == GPU_QUEUE and settings.devices != "cpu" else "cpu"
    models_mb = _largest_model_mb(weights, device) if queue == GPU_QUEUE and weights is not None else 0
    return WorkerSpec(
        queue=queue,
        runner="ray",
        device=device,
        threads=settings.threads,
        max_batch=settings.together,
        host_memory_mb=min(settings.worker_memory_mb, _PICTURES_MB + models_mb),
    )


def _largest_model_mb(weights: WeightsRegistry, device: str) -> int:
    """Return the MiB of host memory that the largest installed generating model takes, by the figures of its entry; 0 without one.

    A worker gets jobs with any model of its queue. Beside a GPU that is too small for a model, its weights lie in the host's memory. On
    the CPU the pictures are there, too, and weights of half precision take twice their size.
    """
    sizes = [0]
    for name, model in weights.models.models.items():
        diffusion = model.diffusion
        if diffusion is not None and not weights.first_missing(name):
            on_cpu = diffusion.memory_mb * (1 if diffusion.precision == "float32" else 2) + diffusion.picture_mb
            sizes.append(on_cpu if device == "cpu" else diffusion.memory_mb)
    return max(sizes)


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


def find_model_paths(root: Path, weights: WeightsRegistry, models_file: Path) -> tuple[str, ...]:
    """Return the absolute paths of the folders and files that opening a model may read, with those that links there lead to.

    They are ``models.toml`` and the pins, with the files beside them unless those are the ``root``; the models folder; and what models.toml
    names elsewhere.
    """
    models = weights.models.models.values()
    local_folders = [model.folder for model in models if model.folder is not None]
    settings_files = [models_file, *([weights.pins_path] if weights.pins_path else ())]
    # A file that is replaced is another file for the fence, so that the folder is better.
    paths = [file if root.is_relative_to(file.parent) else file.parent for file in settings_files]
    paths += [weights.folder, *local_folders, *(model.file for model in models if model.file is not None)]
    linked = [target for folder in (weights.folder, *local_folders) for target in _link_targets(folder)]
    return tuple(dict.fromkeys(os.path.abspath(path) for path in (*paths, *linked)))


def _link_targets(folder: Path) -> Iterator[str]:
    """Yield what the links in a folder lead to: the cache of a hub keeps its files elsewhere, and a models folder may span disks."""
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            if os.path.islink(path):
                yield os.path.realpath(path)
