"""Assets for every family of generating models: one for each ability, put into the folders of a studio."""

from __future__ import annotations

from typing import Any

from doubles import tiny
from doubles.pictures import mask, png
from doubles.studio import Studio

# Side of the added and of the generated pictures, in px.
SIDE = 64
WORDS = "a red chair"
# Kind of asset -> the ability that it needs.
KINDS = {"text": "text", "image": "image", "edit": "edit", "references": "references", "hole": "inpaint", "wide": "inpaint"}
ASSETS = [(family, kind) for family in tiny.FAMILIES for kind, needs in KINDS.items() if needs in tiny.CAN[family]]


def drop(studio: Studio, family: str, kind: str, number: int) -> None:
    """Add one asset of the family; its name has both words."""
    stem = f"{family}-{kind}"
    brief = f'prompt = "{WORDS}"\nseed = {number}\n'
    if kind in ("hole", "wide"):
        step = 'op = "inpaint"' if kind == "hole" else 'op = "outpaint"\nright = "50%"'
        if kind == "hole":
            studio.put(f"selected/{stem}.mask.png", mask(SIDE, SIDE))
        studio.put(f"selected/{stem}.png", png(number, SIDE, SIDE))
        studio.put(f"selected/{stem}.toml", f'{brief}[[edit]]\n{step}\nprompt = "{WORDS}"\nmodel = "{family}"\n')
        return
    if kind == "references":
        studio.put(f"inbox/{stem}.ref.png", png(number + 100, SIDE, SIDE))
    if kind in ("image", "edit") or "text" not in tiny.CAN[family]:
        studio.put(f"inbox/{stem}.png", png(number, SIDE, SIDE))
    strength = "strength = 0.8\n" if kind == "image" else ""
    studio.put(f"inbox/{stem}.toml", f'{brief}[[generate]]\nop = "regenerate"\nmodel = "{family}"\n{strength}')


def drop_all(studio: Studio) -> None:
    """Add every family under its own name, and all assets."""
    studio.put("config/models.toml", tiny.models_toml({family: family for family in tiny.FAMILIES}))
    for number, (family, kind) in enumerate(ASSETS, 1):
        drop(studio, family, kind, number)


def record(studio: Studio, family: str, kind: str) -> dict[str, Any]:
    """Return the recorded step of an asset."""
    stem = f"{family}-{kind}"
    names = [f"{folder}/{stem}{suffix}" for folder in ("inbox", "selected") for suffix in (".png", ".toml")]
    rows = [row for row in studio.history() if row.path in names and row.record.get("steps")]
    assert len(rows) == 1, [studio.note(name) for name in names]
    steps = rows[0].record["steps"]
    assert isinstance(steps, list)
    step = steps[0]
    assert isinstance(step, dict)
    return step
