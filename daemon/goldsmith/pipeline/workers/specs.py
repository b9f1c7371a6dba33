"""Which lane processes a house has, on which devices, and what is told of them to those who look on."""

from __future__ import annotations

from collections.abc import Iterable

from goldsmith.brief.settings import House
from goldsmith.engines.devices import Found, devices, torch_for
from goldsmith.jobs.protocol import LaneSpec
from goldsmith.pipeline.scheduler.limits import GPU
from goldsmith.pipeline.workers.slot import Seated


def lane_specs(house: House, names: Iterable[str]) -> list[LaneSpec]:
    """What lane processes there are to be: for the lane ``gpu`` one on each accelerator, for any other as many as the house says."""
    lanes = list(dict.fromkeys(names))
    found = accelerators(house) if GPU in lanes else ()
    specs = []
    for name in lanes:
        if name == GPU and found:
            specs += [_on(each, name, house) for each in found]
        else:
            specs.append(LaneSpec(name=name, count=1 if name == GPU else house.cpu_lanes, threads=house.threads))
    return specs


def _on(found: Found, name: str, house: House) -> LaneSpec:
    told = {"device": found.name, "title": found.title, "memory_mb": found.total_mb}
    return LaneSpec(name=name, threads=house.threads, together=house.together, **told)


def accelerators(house: House) -> tuple[Found, ...]:
    """The accelerators that the lane ``gpu`` works on: those the house names, else all that this torch can use; none = the CPU."""
    if house.devices == "cpu" or (house.devices == "auto" and torch_for() not in ("cuda", "hip")):
        return ()
    there = devices().devices
    if house.devices == "auto":
        return there
    known = {each.name: each for each in there}
    return tuple(known.get(name, Found(name, "")) for name in house.devices)


def told_of(seated: Seated, now: float) -> dict[str, object]:
    """One process of a lane as the state file has it; ``loading_since`` is wall time, so that the file need not change as time goes by."""
    models = seated.models
    return {
        "lane": seated.spec.name,
        "device": seated.spec.device,
        "title": seated.spec.title,
        "memory_mb": seated.spec.memory_mb,
        "paused": seated.sentence,
        "jobs": [job.id for job in seated.jobs],
        "loaded": list(models.loaded),
        "loading": models.loading,
        "loading_since": round(now - seated.loading_for) if models.loading else 0,
    }
