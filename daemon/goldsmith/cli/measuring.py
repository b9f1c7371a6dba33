"""Measure how much memory and time a model needs, by making one picture with it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np

from goldsmith.engines.diffusion.diffusion_engine import DiffusionEngine
from goldsmith.engines.memory import peak_memory
from goldsmith.engines.protocols import Device, GenerationOptions, GenerationRequest, OnProgress, ignore_progress
from goldsmith.engines.registry.models import DiffusionSettings

_MIB = 2**20
# A job is ended after this many times the seconds that one picture took, and never before a minute.
_TIME_MARGIN, _MIN_SECONDS = 3, 60
# Allocators keep some more memory than the arrays in it.
_MEMORY_MARGIN = 1.1
_PROMPT = "a wooden table by a window, a bowl of fruit on it, soft daylight"


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one picture of a model's native size took.

    memory_mb:    the weights in the entry's precision, in MiB.
    picture_mb:   the most that the picture took beside them, with a tenth more, in MiB; 0 if it could not be told from the weights, because
                  parts of them were moved meanwhile.
    picture_time: in seconds, without loading.
    seconds:      the time limit for a job to write into the entry.
    """

    memory_mb: int
    picture_mb: int
    picture_time: float
    seconds: int
    width: int
    height: int
    facts: dict[str, object]


def measure(
    engine: DiffusionEngine, diffusion: DiffusionSettings, device: Device, on_progress: OnProgress = ignore_progress
) -> Measurement:
    """Make one picture with the entry's own settings and return what it took. Raises as ``DiffusionEngine.generate``."""
    request = _test_request(engine, diffusion)
    weights_bytes = engine.weights_bytes(diffusion.precision)
    begin = time.monotonic()
    with peak_memory(device) as peak_bytes:
        result = engine.generate(request, on_progress)
    picture_time = time.monotonic() - begin
    is_clean = result.facts["offload"] == "none" and result.facts["memory_fallback"] == "as requested"
    return Measurement(
        memory_mb=max(1, ceil(weights_bytes / _MIB)),
        picture_mb=max(1, ceil(peak_bytes() * _MEMORY_MARGIN / _MIB)) if is_clean else 0,
        picture_time=picture_time,
        seconds=max(_MIN_SECONDS, ceil(picture_time * _TIME_MARGIN)),
        width=request.width,
        height=request.height,
        facts=dict(result.facts),
    )


def _test_request(engine: DiffusionEngine, diffusion: DiffusionSettings) -> GenerationRequest:
    """Return a request for a square picture of the native size: from words alone, else from a picture of noise."""
    side = max(1, round(sqrt(diffusion.pixels) / diffusion.multiple)) * diffusion.multiple
    options, can = GenerationOptions(_PROMPT), engine.descriptor.can
    if "text" in can:
        return GenerationRequest(options, (1,), side, side)
    picture = np.random.default_rng(1).uniform(0, 1, (side, side, 3)).astype(np.float32)
    hole = None if "edit" in can or "image" in can else np.ones((side, side), np.float32)
    return GenerationRequest(options, (1,), side, side, picture, hole)
