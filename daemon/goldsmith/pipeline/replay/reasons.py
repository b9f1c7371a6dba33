"""Why a delivery came out differently, as far as the record tells: what was other then than it is here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest

from pydantic import JsonValue

from goldsmith.files import display_name
from goldsmith.jobs.job import StepDone
from goldsmith.pipeline.replay.record import StageRecord, StepRecord

_TITLES = {
    "goldsmith": "Goldsmith",
    "python": "Python",
    "system": "the operating system",
    "architecture": "the architecture",
    "processor": "the processor",
    "device": "the device",
    "threads": "the number of threads",
}
_ENGINE = {"name": "the model", "revision": "the model's revision", "device": "the model's device and precision"}
_TOLD_ELSEWHERE = frozenset({"seeds", "torch", "diffusers", "transformers", "threads", "device"})
"""Of what a generating model puts on record of its work, what follows from the step's seed or stands in the stage's record."""
_LONG = 160
_NONE: Mapping[str, JsonValue] = {}


def of_stage(then: StageRecord, ran_with: Mapping[str, JsonValue]) -> list[str]:
    """Versions, processor, device and threads that are other here than they were in that stage."""
    if not then.ran_with or not ran_with:
        return []
    names = [*_TITLES, *sorted((then.ran_with.keys() | ran_with.keys()) - _TITLES.keys())]
    pairs = [(name, then.ran_with.get(name), ran_with.get(name)) for name in names]
    return [_other(_TITLES.get(name, name), old, new) for name, old, new in pairs if old != new]


def of_step(then: StepRecord, now: StepDone, place: str) -> list[str]:
    """What one step had to work with that it has no longer: looks, models and their weights, its seed, its settings."""
    found = list(_library(then, now))
    for before, after in zip_longest(_engines(then.engine), _engines(now.engine), fillvalue=_NONE):
        found += _engine(before, after)
    if then.seed != now.seed:
        found.append(_other("the seed", then.seed, now.seed))
    old, new = _manner(then.findings, then.engine or {}), _manner(now.findings, now.engine or {})
    found += [_other(name, old.get(name), new.get(name)) for name in [*old, *(new.keys() - old.keys())] if old.get(name) != new.get(name)]
    return [f"{place}: {sentence}" for sentence in found]


def _manner(findings: Mapping[str, JsonValue], engine: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """How a generating model was run (precision, offload, rung, batch, scheduler …), as it has put it on record itself."""
    fills = engine.get("fills")
    told = [findings.get("made"), *(fills if isinstance(fills, list) else ())]
    parts = [part for part in told if isinstance(part, dict)]
    return {name: value for part in reversed(parts) for name, value in part.items() if name not in _TOLD_ELSEWHERE}


def _library(then: StepRecord, now: StepDone) -> Iterator[str]:
    references = now.findings.get("references")
    here = references if isinstance(references, dict) else {}
    for name, sha256 in then.references.items():
        found = str(here.get(name, ""))
        if found != sha256:
            where = f"library/{name}" if "/" in name else name
            told = f"now {found[:12]}…" if found else "now not used"
            yield f"{display_name(where)} was changed (sha256 recorded {display_name(sha256)[:12]}…, {told})"


def _engines(engine: Mapping[str, JsonValue] | None) -> list[Mapping[str, JsonValue]]:
    """All engines of a step, its first one first."""
    also = (engine or _NONE).get("also")
    return [engine or _NONE, *(each for each in (also if isinstance(also, list) else ()) if isinstance(each, dict))]


def _engine(then: Mapping[str, JsonValue], now: Mapping[str, JsonValue]) -> Iterator[str]:
    for key, title in _ENGINE.items():
        if then.get(key, "") != now.get(key, ""):
            yield _other(title, then.get(key), now.get(key))
    if then.get("name") == now.get("name"):
        old, new = _hashes(then), _hashes(now)
        for file in sorted(old.keys() | new.keys()):
            if old.get(file) != new.get(file):
                yield _other(f"the weights {file}", old.get(file, "")[:12], new.get(file, "")[:12])


def _hashes(engine: Mapping[str, JsonValue]) -> dict[str, str]:
    """The engine's weights by file; a manifest that somebody edited may hold anything there."""
    weights = engine.get("weights")
    pairs = [pair for pair in weights if isinstance(pair, list) and len(pair) == 2] if isinstance(weights, list) else []
    return {str(file): str(sha256) for file, sha256 in pairs}


def _other(what: str, then: object, now: object) -> str:
    return f"{display_name(what)} was {_said(then)}, here it is {_said(now)}"


def _said(value: object) -> str:
    return "none" if value in (None, "") else display_name(str(value))[:_LONG]
