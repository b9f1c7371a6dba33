"""Plan where a model is kept in the free memory, and the fallbacks if memory runs out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from goldsmith.engines.protocols import Device
from goldsmith.engines.registry.models import DiffusionSettings
from goldsmith.errors import InputError

# Where idle weights are kept: on the device ("none"), part by part in main memory ("model"), or block by block in main memory ("group").
Offload = Literal["none", "model", "group"]

# Larger batches are not faster.
_MAX_BATCH = 8
# Approximate share of a model that is on the device at any time with offload by groups.
_GROUP_SHARE = 0.15
# Factor for each side of the picture; it takes a little more than half the memory.
FALLBACK_SCALE = 0.75
_REMEDY = "Name a smaller model, or end other programs that use the memory; goldsmith doctor shows which models fit."
_REMEDY_CPU = "Name a smaller model, or raise worker_memory_mb in goldsmith.toml."


@dataclass(frozen=True, slots=True)
class MemoryLayout:
    """How a model is kept in memory. ``precision``: of the weights. ``batch``: pictures per call."""

    precision: str
    offload: Offload
    batch: int


def plan_layout(
    name: str, diffusion: DiffusionSettings, largest_share: float, device: Device, free_mb: int, free_cpu_mb: int
) -> MemoryLayout:
    """Return the layout for a model before it is loaded. Raises InputError if the model does not fit at all.

    largest_share:        the largest part's share of the weights, 0..1.
    free_mb, free_cpu_mb: free MiB on the device and in main memory.

    The CPU computes in float32, one picture at a time: batches are not faster there, and this way no picture depends on its batch.
    """
    if device.name == "cpu":
        factor = 1 if diffusion.precision == "float32" else 2
        needed_mb = diffusion.memory_mb * factor + diffusion.picture_mb
        if needed_mb > free_mb:
            raise InputError(_too_large_sentence(name, needed_mb, free_mb, device), _REMEDY_CPU)
        return MemoryLayout("float32", "none", 1)
    spare_mb = free_mb - diffusion.memory_mb
    if spare_mb >= diffusion.picture_mb:
        return MemoryLayout(diffusion.precision, "none", max(1, min(_MAX_BATCH, spare_mb // diffusion.picture_mb)))
    if diffusion.memory_mb > free_cpu_mb:
        raise InputError(
            f"The model {name!r} needs about {diffusion.memory_mb} MB of main memory for idle weights, but only {free_cpu_mb} MB are free.",
            _REMEDY,
        )
    if round(diffusion.memory_mb * largest_share) + diffusion.picture_mb <= free_mb:
        return MemoryLayout(diffusion.precision, "model", 1)
    needed_mb = round(diffusion.memory_mb * _GROUP_SHARE) + diffusion.picture_mb
    if needed_mb > free_mb:
        raise InputError(_too_large_sentence(name, needed_mb, free_mb, device), _REMEDY)
    return MemoryLayout(diffusion.precision, "group", 1)


def _too_large_sentence(name: str, needed_mb: int, available_mb: int, device: Device) -> str:
    return f"The model {name!r} needs about {needed_mb} MB of memory on {device.name}, but only {available_mb} MB are free."


@dataclass(frozen=True, slots=True)
class MemoryFallback:
    """One way to use less memory. Each fallback includes the earlier ones."""

    name: str
    batch: int
    uses_tiling: bool = False
    uses_group_offload: bool = False
    scale: float = 1.0


def memory_fallbacks(planned: MemoryLayout, *, is_fill: bool) -> tuple[MemoryFallback, ...]:
    """Return the fallbacks for a request, in order; the first one changes nothing.

    Only a fill may be generated at a smaller size, because it is a part of a picture. A whole picture always gets the requested size.
    """
    fallbacks = [MemoryFallback("as requested", planned.batch)]
    if planned.batch > 1:
        fallbacks.append(MemoryFallback("one at a time", 1))
    fallbacks.append(MemoryFallback("tiled decoder", 1, uses_tiling=True))
    if planned.offload != "group":
        fallbacks.append(MemoryFallback("offload by groups", 1, uses_tiling=True, uses_group_offload=True))
    if is_fill:
        fallbacks.append(
            MemoryFallback("smaller", 1, uses_tiling=True, uses_group_offload=planned.offload != "group", scale=FALLBACK_SCALE)
        )
    return tuple(fallbacks)
