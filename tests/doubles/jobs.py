"""Jobs on a test's own share, and worker pools driven as the scheduler drives them."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from doubles.forked_workers import fork_worker
from goldsmith.engines.registry.weights_registry import default_models_folder, open_weights_registry
from goldsmith.files import FileSignature
from goldsmith.jobs import worker_start
from goldsmith.jobs.job import (
    Job,
    JobInput,
    JobProgress,
    JobRequeued,
    Outcome,
    PartKept,
    ResourceLimits,
    StepSpec,
)
from goldsmith.jobs.protocol import WorkerConfig, WorkerFolders, WorkerSpec
from goldsmith.picture.codec import EncodingOptions, encode
from goldsmith.picture.picture import Picture, freeze
from goldsmith.pipeline.workers.runner import LocalRunner, SpawnWorker
from goldsmith.pipeline.workers.worker_pools import WorkerPools
from goldsmith.pipeline.workers.worker_specs import find_model_paths

FAULTY = WorkerConfig(catalogue="doubles.faulty:catalogue")
# More memory than the test process ever uses: a fake worker process is measured as the test process.
GENEROUS = ResourceLimits(timeout_seconds=900, max_memory_bytes=64 << 30, max_pixels=10_000_000)
# A models.toml with one generating model, which needs no weights.
NULL_MODEL = """
[models.null-generate]
kind = "generate"
driver = "null"
licence = "Apache-2.0"
[models.null-generate.diffusion]
family = "null"
can = ["text"]
pixels = 65536
multiple = 16
steps = 1
guidance = 0
memory_mb = 1
picture_mb = 1
"""
# Seconds; only a hang takes this long.
DEADLINE = 600.0


def picture(height: int = 8, width: int = 12, depth: int = 8, seed: int = 0) -> NDArray[np.float32]:
    """Return noise, (h, w, 3), 0..1, on exact codes of the depth."""
    levels = 2**depth - 1
    codes = np.random.default_rng(seed).integers(0, levels + 1, (height, width, 3))
    return np.asarray(codes / levels, np.float32)


def png(pixels: NDArray[np.float32], depth: int = 8) -> bytes:
    """Return pixels, (h, w) or (h, w, c), 0..1, as a PNG."""
    shaped = pixels if pixels.ndim == 3 else pixels[:, :, None]
    return encode(Picture(freeze(shaped), depth=8 if depth == 8 else 16), EncodingOptions())


def left_half(height: int = 8, width: int = 12) -> NDArray[np.float32]:
    """Return a mask, (h, w), 0 or 1: its left half is white."""
    mask = np.zeros((height, width), np.float32)
    mask[:, : width // 2] = 1.0
    return mask


@dataclass
class Share:
    """A root: ``put`` writes files into it, and ``job`` makes jobs of them."""

    root: Path
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def put(self, name: str, data: bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def job_input(self, name: str, role: Any = "picture", input_name: str = "") -> JobInput:
        return JobInput(role=role, name=input_name, path=name, sig=FileSignature.from_stat((self.root / name).lstat()))

    def job(
        self, *steps: tuple[str, dict[str, Any]], inputs: Sequence[JobInput] = (), limits: ResourceLimits = GENEROUS, **more: Any
    ) -> Job:
        """Return a job with these inputs, by default ``inbox/hero.png``."""
        if not inputs:
            if not (self.root / "inbox/hero.png").exists():
                self.put("inbox/hero.png", png(picture()))
            inputs = [self.job_input("inbox/hero.png")]
        number = next(self.numbers)
        return Job(
            **{
                "id": f"job{number}",
                "root": str(self.root),
                "stage": "edit",
                "queue": "cpu",
                "stem": "hero",
                "inputs": tuple(inputs),
                "steps": tuple(StepSpec(op=op, settings=settings) for op, settings in steps),
                "scratch": str(self.root / ".goldsmith" / "work" / f"job{number}"),
                "limits": limits,
                **more,
            }
        )


Event = JobProgress | Outcome | JobRequeued | PartKept


def worker_folders(root: Path, config: WorkerConfig) -> WorkerFolders:
    """Return the folders of the worker processes of a test's root, as the daemon would send them."""
    return WorkerFolders(
        work=str(root / ".goldsmith/work"),
        inputs=tuple(str(root / name) for name in ("inbox", "selected", "archive", "library")),
        models=_model_paths(root, config) if config.models_file else (),
    )


def _model_paths(root: Path, config: WorkerConfig) -> tuple[str, ...]:
    folder = Path(config.weights_folder) if config.weights_folder else default_models_folder()
    return find_model_paths(root, open_weights_registry(Path(config.models_file), folder), Path(config.models_file))


def open_pools(root: Path, specs: Sequence[WorkerSpec], config: WorkerConfig = FAULTY, spawn: SpawnWorker = fork_worker) -> WorkerPools:
    """Return worker pools for a test's root."""
    return WorkerPools(specs, config, worker_folders(root, config), runners={"local": LocalRunner(spawn)})


def import_first_from(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Let the worker processes of this process find modules, and the sitecustomize.py that changes them, in this folder first."""
    patch.setattr(worker_start, "IMPORT_FOLDERS", (str(folder), *worker_start.IMPORT_FOLDERS))


def events_until(pools: WorkerPools, enough: Callable[[list[Event]], bool]) -> list[Event]:
    """Return the events of the pools up to the moment when ``enough`` accepts them; fail at the deadline."""
    events: list[Event] = []
    end = monotonic() + DEADLINE
    while not enough(events):
        assert monotonic() < end, f"only {events}; paused: {pools.pause_reason('cpu')}"
        wait = pools.seconds_until_due(monotonic())
        select.select(pools.readable_fds(), [], [], 1.0 if wait is None else min(wait, 1.0))
        events += pools.collect(monotonic())
    return events


def outcomes(events: Sequence[Event]) -> list[Outcome]:
    return [event for event in events if isinstance(event, Outcome)]


def outcome_of(pools: WorkerPools, job: Job) -> Outcome:
    """Submit a job and return its outcome."""
    pools.submit(job)
    return outcomes(events_until(pools, lambda events: any(outcome.job_id == job.id for outcome in outcomes(events))))[-1]
