"""What ``goldsmith models list`` shows of every model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from goldsmith.engines.registry.models import Model
from goldsmith.engines.registry.weights_registry import WeightsRegistry


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One line of ``goldsmith models list``. ``size`` is 0 where nobody knows it yet or there are no weights."""

    name: str
    kind: str
    scale: int
    can: tuple[str, ...]
    licence: str
    commercial: str
    terms: str
    size: int
    memory_mb: int
    present: bool
    pinned: bool
    aliases: tuple[str, ...]
    paths: tuple[Path, ...]
    about: str


def model_rows(weights: WeightsRegistry) -> list[ModelRow]:
    """Every model, in the order of models.toml."""
    return [_model_row(weights, name, model) for name, model in weights.models.models.items()]


def _model_row(weights: WeightsRegistry, name: str, model: Model) -> ModelRow:
    tree = weights.tree_of(name)
    sized = 0 if tree is None or tree.first_missing() else sum(tree.path_of(file).stat().st_size for file in tree.file_names())
    return ModelRow(
        name=name,
        kind=model.kind,
        scale=model.scale,
        can=model.diffusion.can if model.diffusion is not None else (),
        licence=model.licence,
        commercial=model.commercial,
        terms=model.terms,
        size=sum(file.size for file in model.files) + sized,
        memory_mb=model.diffusion.memory_mb if model.diffusion is not None else 0,
        present=weights.is_available(name),
        pinned=tree is None or (tree.pin is not None and not tree.is_pin_stale()),
        aliases=weights.models.aliases_of(name),
        paths=weights.locations(name),
        about=model.about,
    )
