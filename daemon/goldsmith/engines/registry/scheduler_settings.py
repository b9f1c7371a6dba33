"""Schedulers of a generating model by name, in ``models.toml``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

_NAME = r"^[a-z0-9][a-z0-9.-]{0,63}$"
_CLASS = r"^[A-Z][A-Za-z0-9]{0,79}Scheduler$"

# The class of a scheduler, by the key "class", and its settings, sorted; pairs, because a model's entry must be hashable.
SchedulerEntry = tuple[tuple[str, str | int | float | bool], ...]


def _to_entries(table: Any) -> Any:
    """Return the table of tables as pairs. Raises ValueError if an entry is no table or names no class of a scheduler."""
    if not isinstance(table, Mapping):
        return table
    entries = []
    for name, entry in table.items():
        if not isinstance(entry, Mapping) or not re.fullmatch(_CLASS, str(entry.get("class", ""))):
            raise ValueError(f'{name} needs the class of a scheduler of diffusers, such as {{ class = "EulerDiscreteScheduler" }}')
        entries.append((name, tuple(sorted(entry.items()))))
    return tuple(entries)


Schedulers = Annotated[
    tuple[tuple[Annotated[str, Field(pattern=_NAME)], SchedulerEntry], ...], BeforeValidator(_to_entries), Field(max_length=64)
]
