"""What a control model and a reference adapter can do with each family of models, known without loading anything."""

from __future__ import annotations

from collections.abc import Mapping

from goldsmith.engines.protocols import Ability

_ALL: frozenset[Ability] = frozenset({"text", "image", "inpaint"})
_WORDS: frozenset[Ability] = frozenset({"text"})

# The abilities of a family that can follow a control picture. Source: the ControlNet pipelines of diffusers 0.42.
CONTROLLED: Mapping[str, frozenset[Ability]] = {
    "sdxl": _ALL,
    "sd3": _WORDS,
    "flux": _ALL,
    "qwen-image": _WORDS,
    "z-image": frozenset({"text", "inpaint"}),
}
# The abilities of a family that can follow reference pictures by an adapter. Source: the IP-Adapter mixins of diffusers 0.42.
REFERENCED: Mapping[str, frozenset[Ability]] = {
    "sdxl": _ALL,
    "sdxl-inpaint": frozenset({"inpaint"}),
    "sd15": _ALL,
    "sd3": _ALL,
    "flux": _ALL,
}
# The abilities of a family that follow a control picture and reference pictures by an adapter at the same time.
BOTH: Mapping[str, frozenset[Ability]] = {
    "sdxl": _ALL,
    "sd3": _WORDS,
    "flux": _WORDS,
}
# Families that use the reference adapters of another one.
_SAME_ADDITIONS: Mapping[str, str] = {"sdxl-inpaint": "sdxl"}


def additions_family(family: str) -> str:
    """Return the family whose control models and reference adapters fit a model of ``family``."""
    return _SAME_ADDITIONS.get(family, family)


def guided_abilities(family: str, *, controlled: bool, referenced: bool) -> frozenset[Ability]:
    """Return the abilities of a family with a control picture, with reference pictures by an adapter, or with both."""
    table = BOTH if controlled and referenced else CONTROLLED if controlled else REFERENCED
    return table.get(family, frozenset())
