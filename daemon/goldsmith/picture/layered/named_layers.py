"""The meaning of a layer's name: a mask of the picture, a layer for ``composite``, or a part of the picture.

The names are those of the files beside a picture: the layer ``hero.mask.sky`` is what the file ``hero.mask.sky.png`` would be.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from goldsmith.files import display_name, fold_name

_MASK = re.compile(r"(?:.*\.)?mask(?:[ .]+(?P<label>.+))?", re.IGNORECASE | re.DOTALL)
_LAYER = re.compile(r"(?:.*\.)?layer[ .]+(?P<label>.+)", re.IGNORECASE | re.DOTALL)
# Characters that a file's name cannot have, and bytes that are left for a label in one.
_FORBIDDEN, _MAX_LABEL_BYTES = re.compile(r"[/\\\0-\x1f\x7f]"), 100
# What editors call a new layer, its copy and a new group by themselves: "Layer 1", "Layer #2", "Layer 3 copy", "Layer copy", "Layer Group".
_AUTOMATIC = re.compile(r"#?\d.*|(?:copy|group|mask)(?:\s.*)?", re.IGNORECASE | re.DOTALL)


class NamedRole(NamedTuple):
    """What a layer is beside the picture, and its folded name; an unnamed mask is called ``mask``."""

    kind: Literal["mask", "layer"]
    label: str


def role_of(name: str) -> NamedRole | None:
    """Return what a layer or a saved channel of this name is beside the picture; None = a part of the picture."""
    name = name.strip()
    mask = _MASK.fullmatch(name)
    if mask is not None:
        label = _to_label(mask["label"] or "")
        return NamedRole("mask", "mask" if _AUTOMATIC.fullmatch(label) or not label else label)
    layer = _LAYER.fullmatch(name)
    label = "" if layer is None else _to_label(layer["label"])
    return None if not label or _AUTOMATIC.fullmatch(label) else NamedRole("layer", label)


def _to_label(text: str) -> str:
    """Return a label as the name of a file beside the picture would have it."""
    label = display_name(_FORBIDDEN.sub("-", fold_name(text.strip())))
    return label.encode()[:_MAX_LABEL_BYTES].decode("utf-8", "ignore").strip(". ")
