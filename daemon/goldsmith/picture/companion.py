"""Pixels that are cut and scaled together with a picture, for an engine that looks at both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from goldsmith.picture.picture import Pixels


@dataclass(frozen=True, eq=False, slots=True)
class Companion:
    """A second set of pixels of the picture's size.

    pixels:  (h, w, 3), 0..1, of the same view as the picture.
    on_part: receives the part that belongs to the next call of the engine, at the size of that call.
    """

    pixels: Pixels
    on_part: Callable[[Pixels], None]
