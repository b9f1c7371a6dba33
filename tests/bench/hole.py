"""Inpainting a hole of one size in pictures of three sizes: only reading and writing may cost more in the larger ones."""

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

_BENCH = "hole"
_SIZES = ((1632, 1224), (4000, 3000), (6000, 4000))
_HOLE = 512
# The rest should not grow with the picture at all; so much is left to the noise of the machine.
_NOISE = 1.1
# Each is done so often and the least time counts: everything else on the machine can only add. The sizes take turns, so that what else
# goes on in one minute falls on all of them.
_TIMES = 7


def measure(place: Path, sizes: tuple[tuple[int, int], ...] = _SIZES) -> list[Row]:
    """The engines of a worker in this process, warm, so that what is timed is the work and not a start."""
    from goldsmith.engines.protocols import EngineNeed
    from goldsmith.engines.registry.models import read_models
    from goldsmith.engines.registry.weights_registry import WeightsRegistry, default_models_folder
    from goldsmith.files import resource_path

    place.mkdir(parents=True, exist_ok=True)
    models_file = resource_path("config", "models.toml")
    weights = WeightsRegistry(read_models(models_file), default_models_folder())
    model = weights.choose(EngineNeed(INPAINTER)).name
    note = f"{model}; weights of migan are missing" if model != "migan" else model
    run = _attempts(place, str(models_file), str(weights.folder))
    run(*_picture(place, 900, 700))
    pictures = {size: _picture(place, *size) for size in sizes}
    codec = _Codec()
    taken: dict[tuple[int, int], list[tuple[float, ...]]] = {size: [] for size in sizes}
    for _ in range(_TIMES):
        for at, (name, mask) in pictures.items():
            fill, total = run(name, mask)
            decode, encode = codec.taken()
            taken[at].append((decode, encode, fill, total, total - decode - encode))
    rows: list[Row] = []
    first = None
    for width, height in sizes:
        decode, encode, fill, total, rest = (min(times) for times in zip(*taken[width, height], strict=True))
        first = first or rest
        size = f"{width * height / 1e6:.0f} MP"
        rows += [
            Row(
                _BENCH,
                f"{size}: all but decode and encode",
                1000 * rest,
                "ms",
                beside=f"{sizes[0][0] * sizes[0][1] / 1e6:.0f} MP",
                peer=1000 * first,
                target=_NOISE,
                as_ratio=True,
            ),
            Row(
                _BENCH,
                f"{size}: decode, fill, encode",
                1000 * total,
                "ms",
                note=f"{1000 * decode:.0f} + {1000 * fill:.0f} + {1000 * encode:.0f} ms, {note}",
            ),
        ]
    return rows


def _attempts(place: Path, models_file: str, weights: str) -> Callable[[str, str], tuple[float, float]]:
    """Runs a job as a worker does: (seconds of the inpaint step, seconds of everything)."""
    from goldsmith.files import FileSignature
    from goldsmith.jobs.job import Job, JobInput, ResourceLimits, StepSpec
    from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
    from goldsmith.worker.engine_provider import EngineProvider
    from goldsmith.worker.job_runner import run_job

    provider = EngineProvider(
        WorkerConfig(models_file=models_file, weights_folder=weights), WorkerSpec(queue="cpu", threads=len(os.sched_getaffinity(0)))
    )

    def given(role: str, name: str) -> JobInput:
        return JobInput(role=role, name="mask" if role == "mask" else "", path=name, sig=FileSignature.from_stat(os.stat(place / name)))  # type: ignore[arg-type]

    def run(picture: str, mask: str) -> tuple[float, float]:
        steps = (StepSpec(op="inpaint", settings={"where": "mask"}),)
        scratch = str(place / "scratch")
        inputs = (given("picture", picture), given("mask", mask))
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
        shutil.rmtree(scratch, ignore_errors=True)  # as the daemon does once a job is committed
        began = time.perf_counter()
        outcome = run_job(job, provider, lambda progress: None, lambda: False)
        total = time.perf_counter() - began
        if outcome.fault is not None:
            raise RuntimeError(outcome.fault.sentence)
        return outcome.steps[0].seconds, total

    return run


class _Codec:
    """The job's own reading, hashing, decoding, encoding and writing, timed while it does them."""

    def __init__(self) -> None:
        from goldsmith.picture import codec
        from goldsmith.worker import job_runner
        from goldsmith.worker.scratch_folder import ScratchFolder

        self.seconds = {"in": 0.0, "out": 0.0}
        self._inside = False
        parts = (
            (job_runner, "load_input", "in"),
            (codec, "decode_with_info", "in"),
            (codec, "decode_mask", "in"),
            (codec, "encode", "out"),
            (ScratchFolder, "add_output", "out"),
        )
        for home, name, way in parts:
            setattr(home, name, self._timed(getattr(home, name), way))

    def _timed(self, does: Callable[..., Any], way: str) -> Callable[..., Any]:
        def timed(*given: Any, **more: Any) -> Any:
            if self._inside:  # a mask is decoded as a picture is
                return does(*given, **more)
            self._inside, began = True, time.perf_counter()
            try:
                return does(*given, **more)
            finally:
                self.seconds[way] += time.perf_counter() - began
                self._inside = False

        return timed

    def taken(self) -> tuple[float, float]:
        """Seconds of both since it was asked last."""
        told = self.seconds["in"], self.seconds["out"]
        self.seconds = {"in": 0.0, "out": 0.0}
        return told


def _picture(place: Path, width: int, height: int) -> tuple[str, str]:
    """A picture with some texture, and a mask with one square hole near its middle; their names."""
    from goldsmith.picture.codec import EncodingOptions, encode
    from goldsmith.picture.picture import Picture, freeze

    across, down = np.meshgrid(np.linspace(0, 30, width, dtype=np.float32), np.linspace(0, 20, height, dtype=np.float32))
    pixels = np.stack([np.sin(across + down), np.cos(across), np.sin(down)], axis=2) * 0.25 + 0.5
    pixels += np.random.default_rng(7).normal(0, 0.01, pixels.shape).astype(np.float32)
    mask = np.zeros((height, width, 1), np.float32)
    top, left = (height - _HOLE) // 2, (width - _HOLE) // 2
    mask[top : top + _HOLE, left : left + _HOLE] = 1.0
    names = f"{width}.png", f"{width}.mask.png"
    for name, plane in zip(names, (np.clip(pixels, 0, 1), mask), strict=True):
        data = encode(Picture(pixels=freeze(plane.astype(np.float32)), depth=8), EncodingOptions(format="png", depth=8))
        (place / name).write_bytes(data)
    return names
