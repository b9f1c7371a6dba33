"""What the house has that briefs may name: models and whether their weights are here, and the shelves of the library."""

from __future__ import annotations

from functools import partial
from typing import get_args

from goldsmith.brief.brief import Refusal, Stock
from goldsmith.engines import EngineKind, EngineNeed
from goldsmith.engines.registry.weights import Absent, Weights
from goldsmith.errors import Problem
from goldsmith.library.consents import today, why_not
from goldsmith.library.library import Library


def stock_of(weights: Weights, library: Library) -> Stock:
    """The stock of one root, as it is whenever it is asked: weights and shelves come and go while the daemon runs."""

    def has(shelf: str, name: str, suffixes: tuple[str, ...]) -> bool:
        return library.find(shelf, name, suffixes) is not None

    return Stock(models_by_kind(weights), has, library.names, partial(refusal, weights), partial(consent_missing, library))


def consent_missing(library: Library, name: str) -> str:
    """Why that face may not be used today; "" where it may."""
    return why_not(library, name, today())


def models_by_kind(weights: Weights) -> dict[EngineKind, list[str]]:
    """The names a brief may say for each kind of engine, those of the house among them."""
    kinds: tuple[EngineKind, ...] = get_args(EngineKind)
    return {kind: weights.models.serving(EngineNeed(kind)) for kind in kinds}


def refusal(weights: Weights, need: EngineNeed) -> Refusal | None:
    """Why there is no engine for that need on this machine now; only ``stat`` and small files are asked."""
    try:
        weights.choose(need)
    except Problem as problem:
        return Refusal(str(problem), passing=isinstance(problem, Absent))
    return None
