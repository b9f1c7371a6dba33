"""Inpainting a hole of one size in pictures of three sizes: only reading and writing may take longer in the larger pictures."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.row import Row
from goldsmith.engines.kinds import INPAINTER

_BENCHMARK = "hole"
_SIZES = ((1632, 1224), (4000, 3000), (6000, 4000))
_HOLE = 512
# The rest should not grow with the picture; this factor allows for the noise of the machine.
_NOISE = 1.1
# Each measurement is repeated so often, and the least time counts, because other load on the machine can only add time. The sizes take
# turns, so that other load affects all of them.
_TIMES = 7


def measure(place: Path, sizes: tuple[tuple[int, int], ...] = _SIZES) -> list[Row]:
    """Measure the engines of a worker process in this process, warm, so that the times are those of the work and not of a start."""
    from goldsmith.engines.protocols import EngineNeed
    from goldsmith.engines.registry.models import read_models
    from goldsmith.engines.registry.weights_registry import WeightsRegistry, default_models_folder
    from goldsmith.files import resource_path

    place.mkdir(parents=True, exist_ok=True)
    models_file = resource_path("config", "models.toml")
    weights = WeightsRegistry(read_models(models_file), default_models_folder())
    model = weights.choose(EngineNeed(INPAINTER)).name
    note = f"{model}; weights of migan are missing" if model != "migan" else model
    run = _attempts(place, str(models_file), str(weights.folder), model)
    run(*write_picture(place, 900, 700))
    pictures = {size: write_picture(place, *size) for size in sizes}
    codec = _Codec()
    times: dict[tuple[int, int], list[tuple[float, ...]]] = {size: [] for size in sizes}
    for _ in range(_TIMES):
        for size, (name, mask) in pictures.items():
            fill, total = run(name, mask)
            decode, encode = codec.take_seconds()
            times[size].append((decode, encode, fill, total, total - decode - encode))
    rows: list[Row] = []
    first = None
    for width, height in sizes:
        decode, encode, fill, total, rest = (min(repeats) for repeats in zip(*times[width, height], strict=True))
        first = first or rest
        megapixels = f"{width * height / 1e6:.0f} MP"
        rows += [
            Row(
                _BENCHMARK,
                f"{megapixels}: all but decode and encode",
                1000 * rest,
                "ms",
                beside=f"{sizes[0][0] * sizes[0][1] / 1e6:.0f} MP",
                peer=1000 * first,
                target=_NOISE,
                as_ratio=True,
            ),
            Row(
                _BENCHMARK,
                f"{megapixels}: decode, fill, encode",
                1000 * total,
                "ms",
                note=f"{1000 * decode:.0f} + {1000 * fill:.0f} + {1000 * encode:.0f} ms, {note}",
            ),
        ]
    return rows


def _attempts(place: Path, models_file: str, weights: str, model: str) -> Callable[[str, str], tuple[float, float]]:
    """Return a function that runs a job as a worker process does and returns (seconds of the inpaint step, seconds of the whole job)."""
    from goldsmith.files import FileSignature
    from goldsmith.jobs.job import Job, JobInput, ResourceLimits, StepSpec
    from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
    from goldsmith.worker.engine_provider import EngineProvider
    from goldsmith.worker.job_runner import run_job

    provider = EngineProvider(
        WorkerConfig(models_file=models_file, weights_folder=weights), WorkerSpec(queue="cpu", threads=len(os.sched_getaffinity(0)))
    )

    def job_input(role: str, name: str) -> JobInput:
        return JobInput(role=role, name="mask" if role == "mask" else "", path=name, sig=FileSignature.from_stat(os.stat(place / name)))

    def run(picture: str, mask: str) -> tuple[float, float]:
        steps = (StepSpec(op="inpaint", settings={"where": "mask", "model": model}),)
        scratch = str(place / "scratch")
        inputs = (job_input("picture", picture), job_input("mask", mask))
        limits = ResourceLimits(timeout_seconds=900, max_memory_bytes=8 * 2**30, max_pixels=200_000_000)
        job = Job(
            id="bench",
            root=str(place),
            stage="edit",
            queue="cpu",
            stem="bench",
            inputs=inputs,
            steps=steps,
            seed=1,
            scratch=scratch,
            limits=limits,
        )
        shutil.rmtree(scratch, ignore_errors=True)  # as the daemon does after the commit of a job
        began = time.perf_counter()
        outcome = run_job(job, provider, lambda progress: None, lambda: False)
        total = time.perf_counter() - began
        if outcome.fault is not None:
            raise RuntimeError(outcome.fault.sentence)
        return outcome.steps[0].seconds, total

    return run


class _Codec:
    """Times the reading, hashing, decoding, encoding and writing of a job while it runs."""

    def __init__(self) -> None:
        from goldsmith.picture import codec
        from goldsmith.worker import job_inputs
        from goldsmith.worker.scratch_folder import ScratchFolder

        self.seconds = {"in": 0.0, "out": 0.0}
        self._inside = False
        parts = (
            (job_inputs, "load_input", "in"),
            (codec, "decode_with_info", "in"),
            (codec, "decode_mask", "in"),
            (codec, "encode", "out"),
            (ScratchFolder, "add_output", "out"),
        )
        for owner, name, direction in parts:
            setattr(owner, name, self._timed(getattr(owner, name), direction))

    def _timed(self, function: Callable[..., Any], direction: str) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._inside:  # the timed functions call each other
                return function(*args, **kwargs)
            self._inside, began = True, time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[direction] += time.perf_counter() - began
                self._inside = False

        return timed

    def take_seconds(self) -> tuple[float, float]:
        """Return the seconds of reading and of writing since the last call."""
        seconds = self.seconds["in"], self.seconds["out"]
        self.seconds = {"in": 0.0, "out": 0.0}
        return seconds


def write_picture(place: Path, width: int, height: int) -> tuple[str, str]:
    """Write a picture with some texture, and a mask with one square hole near its middle; return their names."""
    from goldsmith.picture.codec import EncodingOptions, encode
    from goldsmith.picture.picture import Picture, Pixels, freeze

    across, down = np.meshgrid(np.linspace(0, 30, width, dtype=np.float32), np.linspace(0, 20, height, dtype=np.float32))
    pixels = np.stack([np.sin(across + down), np.cos(across), np.sin(down)], axis=2) * 0.25 + 0.5
    pixels += np.random.default_rng(7).normal(0, 0.01, pixels.shape).astype(np.float32)
    mask = np.zeros((height, width, 1), np.float32)
    top, left = (height - _HOLE) // 2, (width - _HOLE) // 2
    mask[top : top + _HOLE, left : left + _HOLE] = 1.0
    names = f"{width}.png", f"{width}.mask.png"
    pictures: tuple[Pixels, Pixels] = (np.clip(pixels, 0, 1).astype(np.float32), mask)
    for name, content in zip(names, pictures, strict=True):
        data = encode(Picture(pixels=freeze(content), depth=8), EncodingOptions(format="png", depth=8))
        (place / name).write_bytes(data)
    return names
