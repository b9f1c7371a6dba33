"""How a model is laid out in the memory there is, and the rungs of the ladder when that was not enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from goldsmith.engines import Device
from goldsmith.engines.registry.models import DiffusionSettings
from goldsmith.errors import InputError

# Where weights wait that are not at work: on the device; part by part in the computer's memory; block by block there.
Offload = Literal["none", "model", "group"]

# Beyond this many pictures at once nothing gets faster.
_MAX_BATCH = 8
# About what is on the device at once when only a few blocks of a model are.
_GROUP_SHARE = 0.15
# Of each side: a little more than half the memory.
FALLBACK_SCALE = 0.75
_REMEDY = "Name a smaller model, or end what else takes its memory: goldsmith doctor shows what fits."
_REMEDY_CPU = "Name a smaller model, or let jobs have more memory: worker_memory_mb in goldsmith.toml."


@dataclass(frozen=True, slots=True)
class MemoryLayout:
    """precision: of the weights. batch: pictures made in one call."""

    precision: str
    offload: Offload
    batch: int


def plan_layout(
    name: str, diffusion: DiffusionSettings, largest_share: float, device: Device, free_mb: int, free_cpu_mb: int
) -> MemoryLayout:
    """The layout for a model before it is loaded.

    largest: its largest part's share of the weights. free, free_cpu: MiB on the device and in the computer.
    The CPU computes in float32, one picture at a time: more at once gains nothing there, and so a picture cannot differ by a bit
    with how many were made beside it. Raises InputError where the model does not fit at all.
    """
    if device.name == "cpu":
        factor = 1 if diffusion.precision == "float32" else 2
        needs = diffusion.memory_mb * factor + diffusion.picture_mb
        if needs > free_mb:
            raise InputError(_too_large(name, needs, free_mb, device), _REMEDY_CPU)
        return MemoryLayout("float32", "none", 1)
    spare = free_mb - diffusion.memory_mb
    if spare >= diffusion.picture_mb:
        return MemoryLayout(diffusion.precision, "none", max(1, min(_MAX_BATCH, spare // diffusion.picture_mb)))
    if diffusion.memory_mb > free_cpu_mb:
        raise InputError(
            f"The model {name!r} needs about {diffusion.memory_mb} MB of the computer's memory to wait in, "
            f"where {free_cpu_mb} MB are to be had.",
            _REMEDY,
        )
    if round(diffusion.memory_mb * largest_share) + diffusion.picture_mb <= free_mb:
        return MemoryLayout(diffusion.precision, "model", 1)
    needs = round(diffusion.memory_mb * _GROUP_SHARE) + diffusion.picture_mb
    if needs > free_mb:
        raise InputError(_too_large(name, needs, free_mb, device), _REMEDY)
    return MemoryLayout(diffusion.precision, "group", 1)


def _too_large(name: str, needs: int, free: int, device: Device) -> str:
    return f"The model {name!r} needs about {needs} MB of memory on {device.name}, where {free} MB are to be had."


@dataclass(frozen=True, slots=True)
class MemoryFallback:
    """One step of the ladder: what is given up so that the rest fits. Each includes the ones before it."""

    name: str
    batch: int
    uses_tiling: bool = False
    uses_group_offload: bool = False
    scale: float = 1.0


def memory_fallbacks(planned: MemoryLayout, *, is_fill: bool) -> tuple[MemoryFallback, ...]:
    """The rungs for a request, the first as asked. Only a fill may come from a smaller size: it is a part of a picture, and what
    a person sized is never quietly made of less."""
    rungs = [MemoryFallback("as asked", planned.batch)]
    if planned.batch > 1:
        rungs.append(MemoryFallback("one at a time", 1))
    rungs.append(MemoryFallback("tiled decoder", 1, uses_tiling=True))
    if planned.offload != "group":
        rungs.append(MemoryFallback("offload by groups", 1, uses_tiling=True, uses_group_offload=True))
    if is_fill:
        rungs.append(MemoryFallback("smaller", 1, uses_tiling=True, uses_group_offload=planned.offload != "group", scale=FALLBACK_SCALE))
    return tuple(rungs)
