"""A model that generates, as an engine that fills holes: one crop at its native size, with a wish bound to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import sqrt

from goldsmith.engines import (
    EngineDescriptor,
    GenerationOptions,
    GenerationRequest,
    Generator,
    OnProgress,
    ignore_progress,
)
from goldsmith.picture.picture import Mask, Pixels

# Told the facts of each fill, for the record.
OnFacts = Callable[[Mapping[str, object]], None]


def ignore_facts(facts: Mapping[str, object]) -> None:
    """A Note for callers who keep no record."""


class GeneratorInpainter:
    """Implements ``goldsmith.engines.Inpainter`` with a ``Generator``.

    What comes back outside the hole is the model's as well: the caller composites. A model with no way of its own to fill a hole
    makes the whole crop new, from the picture or by instruction.
    """

    def __init__(self, generator: Generator, options: GenerationOptions, on_facts: OnFacts = ignore_facts) -> None:
        self.generator = generator
        self.options = options
        self._note = on_facts
        asked = generator.descriptor
        self.descriptor: EngineDescriptor = replace(asked, kind="inpaint", side=_native_side(asked), enlarges=True, takes_prompt=True)

    def fill(self, pixels: Pixels, hole: Mask, seed: int, on_progress: OnProgress = ignore_progress) -> Pixels:
        """As ``Inpainter.fill``; the same wish and seed give the same pixels."""
        height, width = hole.shape
        made = self.generator.generate(GenerationRequest(self.options, (seed,), width, height, pixels, hole), on_progress)
        self._note(made.facts)
        return made.pictures[0]


def _native_side(descriptor: EngineDescriptor) -> int:
    """The side of the square that has about the model's native pixel count."""
    return max(descriptor.multiple, round(sqrt(descriptor.native_pixels) / descriptor.multiple) * descriptor.multiple)
