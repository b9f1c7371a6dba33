"""The state of a running job: the original picture, and the results of its steps so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from weakref import ref

import numpy as np
from pydantic import JsonValue

from goldsmith.jobs.job import StepResult
from goldsmith.picture.picture import Picture, Pixels, freeze


class OriginalPicture:
    """The picture that was decoded, without its pixels: they would be a third of the job's memory, so they are referenced weakly."""

    def __init__(self, picture: Picture) -> None:
        self.without_pixels = replace(picture, pixels=_NO_PIXELS)
        self._base_ref = ref(picture.base)

    def is_same_picture(self, picture: Picture) -> bool:
        """Return True if ``picture`` has the same pixels, alpha and metadata; its masks may differ."""
        same = all(getattr(self.without_pixels, name) is getattr(picture, name) for name in ("alpha", "depth", "icc", "ppi", "metadata"))
        return same and picture.is_backed_by(self._base_ref())


_NO_PIXELS: Pixels = freeze(np.zeros((0, 0, 3), np.float32))


@dataclass(slots=True)
class StepResults:
    """The results of the steps so far."""

    pictures: Sequence[Picture]
    file_count: int = 0
    steps: list[StepResult] = field(default_factory=list)
    used_masks: set[str] = field(default_factory=set)
    used_files: list[str] = field(default_factory=list)
    # Labels of the layers in the picture's own file.
    used_layers: set[str] = field(default_factory=set)


def picture_facts(picture: Picture) -> dict[str, JsonValue]:
    """Return the facts of a computed picture, with the keys that ``ImageInfo`` has for a file."""
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
