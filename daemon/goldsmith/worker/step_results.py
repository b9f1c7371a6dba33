"""What an attempt has in hand: the picture that it was given, and what its steps have brought so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from weakref import ref

import numpy as np
from pydantic import JsonValue

from goldsmith.jobs.job import StepResult
from goldsmith.picture.picture import Picture, Pixels, freeze


class OriginalPicture:
    """Of the picture that was decoded what is asked for at the end. Its pixels it does not keep alive: a third of what a job takes."""

    def __init__(self, picture: Picture) -> None:
        self.without_pixels = replace(picture, pixels=_NO_PIXELS)
        self._pixels_ref = ref(picture.pixels)

    def is_same_picture(self, picture: Picture) -> bool:
        """The same picture, though perhaps in another wrapping, e.g. with other masks."""
        same = all(getattr(self.without_pixels, name) is getattr(picture, name) for name in ("alpha", "depth", "icc", "ppi", "metadata"))
        return same and picture.is_backed_by(self._pixels_ref())


_NO_PIXELS: Pixels = freeze(np.zeros((0, 0, 3), np.float32))


@dataclass(slots=True)
class StepResults:
    """What the steps have brought so far."""

    pictures: Sequence[Picture]
    file_count: int = 0
    steps: list[StepResult] = field(default_factory=list)
    used_masks: set[str] = field(default_factory=set)
    used_files: list[str] = field(default_factory=list)


def picture_facts(picture: Picture) -> dict[str, JsonValue]:
    """Of a picture that was made, the words ``codec.Facts`` has of one that was read."""
    from goldsmith.picture.profiles import profile_name

    return {
        "width": picture.width,
        "height": picture.height,
        "depth": picture.depth,
        "channels": picture.channels,
        "alpha": picture.alpha is not None,
        "icc": None if picture.icc is None else profile_name(picture.icc),
        "ppi": None if picture.ppi is None else list(picture.ppi),
    }
