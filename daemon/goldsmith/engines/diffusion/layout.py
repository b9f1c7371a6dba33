"""How a model is laid out in the memory there is, and the rungs of the ladder when that was not enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from goldsmith.engines import Device
from goldsmith.engines.registry.models import Diffusion
from goldsmith.errors import Problem

Offload = Literal["none", "model", "group"]
"""Where weights wait that are not at work: on the device; part by part in the computer's memory; block by block there."""

_BATCH = 8
"""Beyond this many pictures at once nothing gets faster."""
_GROUP_SHARE = 0.15
"""About what is on the device at once when only a few blocks of a model are."""
SMALLER = 0.75
"""Of each side: a little more than half the memory."""
_REMEDY = "Name a smaller model, or end what else takes its memory: goldsmith doctor shows what fits."
_REMEDY_CPU = "Name a smaller model, or let jobs have more memory: lane_memory_mb in house.toml."


@dataclass(frozen=True, slots=True)
class Layout:
    """precision: of the weights. batch: pictures made in one call."""

    precision: str
    offload: Offload
    batch: int


def layout(name: str, diffusion: Diffusion, largest: float, device: Device, free: int, free_cpu: int) -> Layout:
    """The layout for a model before it is loaded.

    largest: its largest part's share of the weights. free, free_cpu: MiB on the device and in the computer.
    The CPU computes in float32, one picture at a time: more at once gains nothing there, and so a picture cannot differ by a bit
    with how many were made beside it. Raises Problem where the model does not fit at all.
    """
    if device.name == "cpu":
        factor = 1 if diffusion.precision == "float32" else 2
        needs = diffusion.memory_mb * factor + diffusion.picture_mb
        if needs > free:
            raise Problem(_too_large(name, needs, free, device), _REMEDY_CPU)
        return Layout("float32", "none", 1)
    spare = free - diffusion.memory_mb
    if spare >= diffusion.picture_mb:
        return Layout(diffusion.precision, "none", max(1, min(_BATCH, spare // diffusion.picture_mb)))
    if diffusion.memory_mb > free_cpu:
        raise Problem(
            f"The model {name!r} needs about {diffusion.memory_mb} MB of the computer's memory to wait in, "
            f"where {free_cpu} MB are to be had.",
            _REMEDY,
        )
    if round(diffusion.memory_mb * largest) + diffusion.picture_mb <= free:
        return Layout(diffusion.precision, "model", 1)
    needs = round(diffusion.memory_mb * _GROUP_SHARE) + diffusion.picture_mb
    if needs > free:
        raise Problem(_too_large(name, needs, free, device), _REMEDY)
    return Layout(diffusion.precision, "group", 1)


def _too_large(name: str, needs: int, free: int, device: Device) -> str:
    return f"The model {name!r} needs about {needs} MB of memory on {device.name}, where {free} MB are to be had."


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the ladder: what is given up so that the rest fits. Each includes the ones before it."""

    name: str
    batch: int
    tiled: bool = False
    grouped: bool = False
    scale: float = 1.0


def ladder(planned: Layout, *, fill: bool) -> tuple[Rung, ...]:
    """The rungs for a request, the first as asked. Only a fill may come from a smaller size: it is a part of a picture, and what
    a person sized is never quietly made of less."""
    rungs = [Rung("as asked", planned.batch)]
    if planned.batch > 1:
        rungs.append(Rung("one at a time", 1))
    rungs.append(Rung("tiled decoder", 1, tiled=True))
    if planned.offload != "group":
        rungs.append(Rung("offload by groups", 1, tiled=True, grouped=True))
    if fill:
        rungs.append(Rung("smaller", 1, tiled=True, grouped=planned.offload != "group", scale=SMALLER))
    return tuple(rungs)
