"""The settings of a control model in ``models.toml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from goldsmith.engines.protocols import ControlName
from goldsmith.engines.registry.weights_sources import ConfigTable


def _to_pairs(table: Any) -> Any:
    return tuple(table.items()) if isinstance(table, Mapping) else table


# A table as pairs: a model's entry must be hashable.
_Modes = Annotated[tuple[tuple[ControlName, Annotated[int, Field(ge=0, le=63)]], ...], BeforeValidator(_to_pairs)]


class ControlSettings(ConfigTable):
    """``[models.NAME.control]``: the models that a control model (ControlNet) guides, and what it reads."""

    family: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    """The family of the models that it guides, such as "sdxl"."""
    controls: Annotated[tuple[ControlName, ...], Field(min_length=1)]
    """What it reads: depth, edges, pose, tile."""
    modes: _Modes = ()
    """The number of each of these if one model reads several (a union), as its makers give it."""

    @model_validator(mode="after")
    def _check_modes(self) -> Self:
        if self.modes and {name for name, _ in self.modes} != set(self.controls):
            raise ValueError(f"modes needs one number for each of controls: {', '.join(self.controls)}")
        return self
