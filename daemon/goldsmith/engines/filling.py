"""A model that generates, as an engine that fills holes: one crop at its native size, with a wish bound to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import sqrt

from goldsmith.engines import (
    Descriptor,
    Generator,
    OnStep,
    Request,
    Wish,
    unheard,
)
from goldsmith.picture.picture import Mask, Pixels

Note = Callable[[Mapping[str, object]], None]
"""Told the facts of each fill, for the record."""


def unnoted(facts: Mapping[str, object]) -> None:
    """A Note for callers who keep no record."""


class GeneratedFill:
    """Implements ``goldsmith.engines.Inpainter`` with a ``Generator``.

    What comes back outside the hole is the model's as well: the caller composites. A model with no way of its own to fill a hole
    makes the whole crop new, from the picture or by instruction.
    """

    def __init__(self, generator: Generator, wish: Wish, note: Note = unnoted) -> None:
        self.generator = generator
        self.wish = wish
        self._note = note
        asked = generator.descriptor
        self.descriptor: Descriptor = replace(asked, kind="inpaint", side=_side(asked), enlarges=True, words=True)

    def fill(self, pixels: Pixels, hole: Mask, seed: int, step: OnStep = unheard) -> Pixels:
        """As ``Inpainter.fill``; the same wish and seed give the same pixels."""
        height, width = hole.shape
        made = self.generator.generate(Request(self.wish, (seed,), width, height, pixels, hole), step)
        self._note(made.facts)
        return made.pictures[0]


def _side(asked: Descriptor) -> int:
    """The side of the square that has about the model's native pixel count."""
    return max(asked.multiple, round(sqrt(asked.pixels) / asked.multiple) * asked.multiple)
