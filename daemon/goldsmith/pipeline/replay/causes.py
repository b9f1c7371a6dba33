"""The causes of a different delivery: each difference between the recorded run and this one, as a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest

from pydantic import JsonValue

from goldsmith.files import display_name
from goldsmith.jobs.job import StepResult
from goldsmith.pipeline.replay.manifest_reader import StageRecord, StepRecord

_ENVIRONMENT_TITLES = {
    "goldsmith": "Goldsmith",
    "python": "Python",
    "system": "the operating system",
    "architecture": "the architecture",
    "processor": "the processor",
    "device": "the device",
    "threads": "the number of threads",
}
# Facts of the environment on which no pixel depends.
_HARMLESS_FACTS = frozenset({"fence"})
_ENGINE_TITLES = {"name": "the model", "revision": "the model's revision", "device": "the model's device and precision"}
# Recorded facts of a generating model that follow from the step's seed or are in the stage's record anyway.
_DERIVED_KEYS = frozenset({"seeds", "torch", "diffusers", "transformers", "threads", "device"})
_MAX_VALUE_LENGTH = 160
_NO_ENGINE: Mapping[str, JsonValue] = {}


def stage_causes(recorded: StageRecord, environment: Mapping[str, JsonValue]) -> list[str]:
    """Return a sentence for each version, processor, device and thread count that differs from the recorded stage."""
    if not recorded.environment or not environment:
        return []
    names = [
        *_ENVIRONMENT_TITLES,
        *sorted((recorded.environment.keys() | environment.keys()) - _ENVIRONMENT_TITLES.keys() - _HARMLESS_FACTS),
    ]
    pairs = [(name, recorded.environment.get(name), environment.get(name)) for name in names]
    return [_difference_sentence(_ENVIRONMENT_TITLES.get(name, name), old, new) for name, old, new in pairs if old != new]


def step_causes(recorded: StepRecord, rerun: StepResult, label: str) -> list[str]:
    """Return a sentence for each difference in a step: library files, models, weights, seed, settings of the generation."""
    causes = list(_library_causes(recorded, rerun))
    for before, after in zip_longest(_engine_records(recorded.engine), _engine_records(rerun.engine), fillvalue=_NO_ENGINE):
        causes += _engine_causes(before, after)
    if recorded.seed != rerun.seed:
        causes.append(_difference_sentence("the seed", recorded.seed, rerun.seed))
    old, new = _generation_settings(recorded.findings, recorded.engine or {}), _generation_settings(rerun.findings, rerun.engine or {})
    causes += [
        _difference_sentence(name, old.get(name), new.get(name))
        for name in [*old, *(new.keys() - old.keys())]
        if old.get(name) != new.get(name)
    ]
    return [f"{label}: {sentence}" for sentence in causes]


def _generation_settings(findings: Mapping[str, JsonValue], engine: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return how a generating model ran (precision, offload, fallback, batch, scheduler …), as the model recorded it."""
    fills = engine.get("fills")
    records = [findings.get("made"), *(fills if isinstance(fills, list) else ())]
    parts = [part for part in records if isinstance(part, dict)]
    return {name: value for part in reversed(parts) for name, value in part.items() if name not in _DERIVED_KEYS}


def _library_causes(recorded: StepRecord, rerun: StepResult) -> Iterator[str]:
    references = rerun.findings.get("references")
    current_hashes = references if isinstance(references, dict) else {}
    for name, sha256 in recorded.references.items():
        current_hash = str(current_hashes.get(name, ""))
        if current_hash != sha256:
            where = f"library/{name}" if "/" in name else name
            current = f"now {current_hash[:12]}…" if current_hash else "now not used"
            yield f"{display_name(where)} was changed (sha256 recorded {display_name(sha256)[:12]}…, {current})"


def _engine_records(engine: Mapping[str, JsonValue] | None) -> list[Mapping[str, JsonValue]]:
    """Return the records of all engines of a step, the main one first."""
    other_engines = (engine or _NO_ENGINE).get("other_engines")
    return [engine or _NO_ENGINE, *(each for each in (other_engines if isinstance(other_engines, list) else ()) if isinstance(each, dict))]


def _engine_causes(recorded: Mapping[str, JsonValue], rerun: Mapping[str, JsonValue]) -> Iterator[str]:
    for key, title in _ENGINE_TITLES.items():
        if recorded.get(key, "") != rerun.get(key, ""):
            yield _difference_sentence(title, recorded.get(key), rerun.get(key))
    if recorded.get("name") == rerun.get("name"):
        old, new = _weight_hashes(recorded), _weight_hashes(rerun)
        for file in sorted(old.keys() | new.keys()):
            if old.get(file) != new.get(file):
                yield _difference_sentence(f"the weights {file}", old.get(file, "")[:12], new.get(file, "")[:12])


def _weight_hashes(engine: Mapping[str, JsonValue]) -> dict[str, str]:
    """Return the hashes of the engine's weights by file. An edited manifest may hold anything here."""
    weights = engine.get("weights")
    pairs = [pair for pair in weights if isinstance(pair, list) and len(pair) == 2] if isinstance(weights, list) else []
    return {str(file): str(sha256) for file, sha256 in pairs}


def _difference_sentence(subject: str, recorded: object, current: object) -> str:
    return f"{display_name(subject)} was {_value_text(recorded)}, here it is {_value_text(current)}"


def _value_text(value: object) -> str:
    return "none" if value in (None, "") else display_name(str(value))[:_MAX_VALUE_LENGTH]
