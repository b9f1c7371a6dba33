"""The checks of ``goldsmith doctor`` for weights: which are present, and what the last reading of each file found. No weights are read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from goldsmith.cli.findings import Finding, fault, note, ok
from goldsmith.engines.kinds import CONTROL_NET, ENGINE_KINDS, GENERATOR, REFERENCE_ADAPTER, UPSCALER
from goldsmith.engines.protocols import EngineNeed
from goldsmith.engines.registry.hash_notes import HashNote
from goldsmith.engines.registry.weights_registry import WeightsRegistry
from goldsmith.errors import InputError

_DAY_SECONDS = 86_400
# Kinds without which most pipelines run: a step that needs one says so.
_OPTIONAL_KINDS = (UPSCALER, GENERATOR, CONTROL_NET, REFERENCE_ADAPTER)
# The timer reads all weights once a week; this is one week and a week of patience.
_MAX_DAYS = 14


def check_weights(weights: WeightsRegistry) -> Iterator[Finding]:
    """Yield for each kind of model whether its weights are present, and whether they are those of the first choice."""
    kinds = [kind for kind in ENGINE_KINDS.values() if kind.has_defaults and kind not in _OPTIONAL_KINDS]
    needs = [*((kind, 1) for kind in kinds), *((UPSCALER, int(factor[1:])) for factor in weights.models.defaults.upscale)]
    for kind, factor in needs:
        need = EngineNeed(kind, factor=factor, is_drawing=False if kind is UPSCALER else None)
        subject = f"weights: {kind.name}" + (f" x{factor}" if kind is UPSCALER else "")
        first = next(iter(weights.models.defaults.candidates(need)), "")
        try:
            choice = weights.choose(need)
        except InputError as problem:
            yield note(subject, problem.sentence, problem.remedy)
            continue
        if choice.name == first:
            yield ok(subject, f"{choice.name} is present.")
        else:
            yield note(subject, f"{choice.name} is used because the weights of {first} are missing.", f"goldsmith models fetch {first}")


def check_hashes(weights: WeightsRegistry, now: float) -> Iterator[Finding]:
    """Yield each file of weights that was found wrong, and whether all present files were read lately. ``now`` is in Unix seconds."""
    unread, read_times = [], []
    for name in _present_models(weights):
        for path, sha256 in weights.expected_hashes(name).items():
            noted = _find_note(weights, path)
            if noted is None:
                unread.append(name)
            elif noted.sha256 != sha256:
                sentence = f"{path}: its sha256 is {noted.sha256}, but it should be {sha256}."
                yield fault(f"weights: {name}", sentence, weights.remedy(name))
            else:
                read_times.append(noted.read_at)
    if unread:
        names = ", ".join(dict.fromkeys(unread))
        sentence = f"Not read since they arrived or changed: {names}. Each worker process reads them once before it uses them."
        yield note("weights", sentence, "goldsmith models verify")
    elif read_times:
        yield _read_lately(len(read_times), int(max(0, now - min(read_times)) // _DAY_SECONDS))


def _read_lately(count: int, days: int) -> Finding:
    """Return whether the files, which are all correct, were read lately; ``days`` is the time since the first of them was read."""
    if days > _MAX_DAYS:
        remedy = "Enable goldsmith-verify.timer, or run: goldsmith models verify"
        return note("weights", f"Some files were last read {days} days ago.", remedy)
    return ok("weights", f"All files with a known hash are correct ({count}); the last reading is at most {days + 1} days old.")


def _present_models(weights: WeightsRegistry) -> list[str]:
    names = []
    for name in weights.models.models:
        with contextlib.suppress(InputError):  # its pins have a fault, and every other check of the model says so
            if weights.is_available(name):
                names.append(name)
    return names


def _find_note(weights: WeightsRegistry, path: Path) -> HashNote | None:
    try:
        return weights.notes.find(path)
    except OSError:
        return None
