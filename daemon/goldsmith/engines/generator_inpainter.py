"""Use a generating model as an inpainter: one crop at its native size, with the options bound to it."""

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
from goldsmith.engines.kinds import INPAINTER
from goldsmith.picture.picture import Mask, Pixels

# Receives the facts of each fill for the record.
OnFacts = Callable[[Mapping[str, object]], None]


def ignore_facts(facts: Mapping[str, object]) -> None:
    """Do nothing: an OnFacts for callers without a record."""


class GeneratorInpainter:
    """An ``Inpainter`` that uses a ``Generator``.

    Pixels outside the hole come from the model too: the caller composites. A model that cannot fill a hole generates the whole crop, from
    the picture or by instruction.
    """

    def __init__(self, generator: Generator, options: GenerationOptions, on_facts: OnFacts = ignore_facts) -> None:
        self.generator = generator
        self.options = options
        self._note = on_facts
        asked = generator.descriptor
        self.descriptor: EngineDescriptor = replace(asked, kind=INPAINTER.name, side=_native_side(asked), enlarges=True, takes_prompt=True)

    def fill(self, pixels: Pixels, hole: Mask, seed: int, on_progress: OnProgress = ignore_progress) -> Pixels:
        """Return the filled crop, as ``Inpainter.fill``: (h, w, 3), 0..1, sRGB; the same options and seed give the same pixels."""
        height, width = hole.shape
        made = self.generator.generate(GenerationRequest(self.options, (seed,), width, height, pixels, hole), on_progress)
        self._note(made.facts)
        return made.pictures[0]


def _native_side(descriptor: EngineDescriptor) -> int:
    """Return the side of the square with about the model's native number of pixels."""
    return max(descriptor.multiple, round(sqrt(descriptor.native_pixels) / descriptor.multiple) * descriptor.multiple)
