"""Entries of generating models for a models.toml."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path


def generator_entry(
    name: str,
    *,
    driver: str = "diffusers",
    family: str = "sdxl",
    can: Sequence[str] = ("text", "image"),
    folder: Path | None = None,
    lines: str = 'licence = "CC0-1.0"\n',
    **settings: float,
) -> str:
    """Return the tables of a model that draws 64 x 64 px in one step.

    folder:   the folder of its weights; None = it has none.
    lines:    its licence, and what else stands above its second table.
    settings: other values than these for steps, memory and so on.
    """
    numbers = {"pixels": 4096, "multiple": 16, "steps": 1, "guidance": 0, "memory_mb": 10, "picture_mb": 1} | settings
    place = "" if folder is None else f"folder = {json.dumps(str(folder))}\n"
    values = "".join(f"{setting} = {number}\n" for setting, number in numbers.items())
    return (
        f'[models.{name}]\nkind = "generate"\ndriver = "{driver}"\n{lines}{place}'
        f'[models.{name}.diffusion]\nfamily = "{family}"\ncan = {json.dumps(list(can))}\n{values}'
    )
