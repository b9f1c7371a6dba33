"""What the worker processes of one root get of its setup: what they may read, where they write, and how much they may use."""

from __future__ import annotations

from collections.abc import Sequence

from goldsmith.jobs.bridge_protocol import BridgeSetup
from goldsmith.jobs.job import ResourceLimits
from goldsmith.jobs.names import KEPT_FOLDER, SCRATCH_FOLDER
from goldsmith.jobs.protocol import WorkerConfig, WorkerFolders, WorkerSpec
from goldsmith.journal.location import weights_notes_path
from goldsmith.pipeline.scheduler.limits import JobLimits
from goldsmith.pipeline.workers.worker_specs import build_worker_specs, find_model_paths
from goldsmith.service.setup import Setup, input_folders


def worker_config(setup: Setup) -> WorkerConfig:
    """Return the configuration for a worker process that starts now: `goldsmith models` may have noted hashes since the last one."""
    return WorkerConfig(
        models_file=str(setup.models_file), weights_folder=str(setup.weights.folder), weights_notes=setup.weights.notes.stored()
    )


def bridge_setup(setup: Setup) -> BridgeSetup:
    """Return the cluster, and what its nodes must see and have: of the folders those that are there now."""
    cluster = setup.settings.cluster
    return BridgeSetup(
        address=cluster.address,
        head=cluster.head,
        root=str(setup.root),
        root_on_nodes="" if cluster.root_on_nodes is None else str(cluster.root_on_nodes),
        inputs=tuple(name for name in input_folders(setup.pipeline) if (setup.root / name).is_dir()),
        models_file=str(setup.models_file),
        weights_folder=str(setup.weights.folder),
        models=tuple(setup.weights.models.models),
        hash_notes=str(weights_notes_path(setup.settings.state_dir)),
        max_clock_difference_seconds=cluster.max_clock_difference_seconds,
    )


def worker_folders(setup: Setup) -> WorkerFolders:
    """Return what the workers of a root may read and where they write. They cannot read the root itself, nor the rest of ``.goldsmith``."""
    return WorkerFolders(
        work=str(setup.root / SCRATCH_FOLDER),
        inputs=tuple(str(setup.root / name) for name in input_folders(setup.pipeline)),
        models=find_model_paths(setup.root, setup.weights, setup.models_file),
        kept=str(setup.root / KEPT_FOLDER),
    )


def worker_specs(setup: Setup) -> list[WorkerSpec]:
    return build_worker_specs(setup.settings, [stage.queue for stage in setup.pipeline.stages], setup.weights)


def job_limits(setup: Setup, specs: Sequence[WorkerSpec]) -> JobLimits:
    settings = setup.settings
    base = ResourceLimits(
        timeout_seconds=settings.job_seconds, max_memory_bytes=settings.worker_memory_mb * 2**20, max_pixels=settings.max_pixels
    )
    cpu_queues = {spec.queue for spec in specs if spec.device == "cpu"}
    return JobLimits(base, setup.weights, cpu_queues, engineless_queue="cpu" if "cpu" in cpu_queues else "")
