"""What the house has that briefs may name: models and whether their weights are here, and the shelves of the library."""

from __future__ import annotations

from functools import partial
from typing import Any

from goldsmith.brief.brief import Availability, EngineUnavailable
from goldsmith.engines import EngineNeed
from goldsmith.engines.kinds import ENGINE_KINDS
from goldsmith.engines.registry.weights_registry import WeightsMissing, WeightsRegistry
from goldsmith.errors import InputError
from goldsmith.library.consents import local_today, why_no_consent
from goldsmith.library.library import Library


def build_availability(weights: WeightsRegistry, library: Library) -> Availability:
    """The stock of one root, as it is whenever it is asked: weights and shelves come and go while the daemon runs."""

    def has(shelf: str, name: str, suffixes: tuple[str, ...]) -> bool:
        return library.find(shelf, name, suffixes) is not None

    return Availability(
        model_names_by_kind(weights), has, library.list_names, partial(check_engine, weights), partial(why_no_consent_today, library)
    )


def why_no_consent_today(library: Library, name: str) -> str:
    """Why that face may not be used today; "" where it may."""
    return why_no_consent(library, name, local_today())


def model_names_by_kind(weights: WeightsRegistry) -> dict[str, list[str]]:
    """The names a brief may say for each kind of engine, those of the house among them."""
    return {name: weights.models.names_serving(EngineNeed(kind)) for name, kind in ENGINE_KINDS.items()}


def check_engine(weights: WeightsRegistry, need: EngineNeed[Any]) -> EngineUnavailable | None:
    """Why there is no engine for that need on this machine now; only ``stat`` and small files are asked."""
    try:
        weights.choose(need)
    except InputError as problem:
        return EngineUnavailable(str(problem), is_transient=isinstance(problem, WeightsMissing))
    return None
