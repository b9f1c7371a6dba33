"""What is available to briefs: models whose weights are on this machine, files of the library, consents."""

from __future__ import annotations

from functools import partial
from typing import Any

from goldsmith.brief.brief import Availability, EngineUnavailable
from goldsmith.engines.kinds import ENGINE_KINDS
from goldsmith.engines.protocols import EngineNeed
from goldsmith.engines.registry.weights_registry import WeightsMissing, WeightsRegistry
from goldsmith.errors import InputError
from goldsmith.library.consent import local_today, why_no_consent
from goldsmith.library.library import Library


def build_availability(weights: WeightsRegistry, library: Library) -> Availability:
    """Return what is available on one root. Each question is answered anew: weights and files come and go while the daemon runs."""

    def has_file(folder: str, name: str, suffixes: tuple[str, ...]) -> bool:
        return library.find(folder, name, suffixes) is not None

    return Availability(
        model_names_by_kind(weights), has_file, library.list_names, partial(check_engine, weights), partial(why_no_consent_today, library)
    )


def why_no_consent_today(library: Library, name: str) -> str:
    """Return why the face may not be used today; "" if it may."""
    return why_no_consent(library, name, local_today())


def model_names_by_kind(weights: WeightsRegistry) -> dict[str, list[str]]:
    """Return the model names that a brief may use for each kind of engine, including those that models.toml defines."""
    return {name: weights.models.names_serving(EngineNeed(kind)) for name, kind in ENGINE_KINDS.items()}


def check_engine(weights: WeightsRegistry, need: EngineNeed[Any]) -> EngineUnavailable | None:
    """Return why this machine has no engine for the need now; None if it has one. Only ``stat`` and small files are read."""
    try:
        weights.choose(need)
    except InputError as problem:
        return EngineUnavailable(str(problem), is_transient=isinstance(problem, WeightsMissing))
    return None
