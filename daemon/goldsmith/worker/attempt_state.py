"""What an attempt has in hand: the picture that it was given, and what its steps have brought so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from weakref import ref

import numpy as np
from pydantic import JsonValue

from goldsmith.jobs.job import StepDone
from goldsmith.picture.picture import Pixels, Plate, frozen


class Given:
    """Of the plate that was decoded what is asked for at the end. Its pixels it does not keep alive: a third of what a job takes."""

    def __init__(self, plate: Plate) -> None:
        self.bare = replace(plate, pixels=_NO_PIXELS)
        self._plate = ref(plate.pixels)

    def is_still(self, plate: Plate) -> bool:
        """The same picture, though perhaps in another wrapping, e.g. with other masks."""
        same = all(getattr(self.bare, name) is getattr(plate, name) for name in ("alpha", "depth", "icc", "ppi", "metadata"))
        return same and plate.lies_on(self._plate())


_NO_PIXELS: Pixels = frozen(np.zeros((0, 0, 3), np.float32))


@dataclass(slots=True)
class Made:
    """What the steps have brought so far."""

    plates: Sequence[Plate]
    files: int = 0
    steps: list[StepDone] = field(default_factory=list)
    used_masks: set[str] = field(default_factory=set)
    used: list[str] = field(default_factory=list)


def facts_of(plate: Plate) -> dict[str, JsonValue]:
    """Of a picture that was made, the words ``codec.Facts`` has of one that was read."""
    from goldsmith.picture.profiles import profile_name

    return {
        "width": plate.width,
        "height": plate.height,
        "depth": plate.depth,
        "channels": plate.channels,
        "alpha": plate.alpha is not None,
        "icc": None if plate.icc is None else profile_name(plate.icc),
        "ppi": None if plate.ppi is None else list(plate.ppi),
    }
