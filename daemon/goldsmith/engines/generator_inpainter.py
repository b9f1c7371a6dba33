"""Use a generating model as an inpainter: it fills one crop at its native size, with bound options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import sqrt

from goldsmith.engines.kinds import INPAINTER
from goldsmith.engines.protocols import (
    EngineDescriptor,
    FillGuides,
    GenerationOptions,
    GenerationRequest,
    Generator,
    OnProgress,
    ignore_progress,
)
from goldsmith.picture.picture import Mask, Pixels

# Called with the facts of each fill, for the record.
OnFacts = Callable[[Mapping[str, object]], None]


def ignore_facts(facts: Mapping[str, object]) -> None:
    """Do nothing: an OnFacts for callers without a record."""


class GeneratorInpainter:
    """An ``Inpainter`` that uses a ``Generator``.

    Pixels outside the hole may change too: the caller composites. A model that cannot fill a hole generates the whole crop, from the
    picture or by instruction.
    """

    def __init__(self, generator: Generator, options: GenerationOptions, on_facts: OnFacts = ignore_facts) -> None:
        self.generator = generator
        self.options = options
        self._on_facts = on_facts
        descriptor = generator.descriptor
        self.descriptor: EngineDescriptor = replace(
            descriptor, kind=INPAINTER.name, side=_native_side(descriptor), enlarges=True, takes_prompt=True
        )

    def fill(self, pixels: Pixels, hole: Mask, seed: int, on_progress: OnProgress = ignore_progress) -> Pixels:
        """Return the filled crop, as ``Inpainter.fill``: (h, w, 3), 0..1, sRGB; the same options and seed give the same pixels."""
        height, width = hole.shape
        guides = self.options.guides or FillGuides()
        request = GenerationRequest(self.options, (seed,), width, height, pixels, hole, guides.references, guides.control, guides.likeness)
        result = self.generator.generate(request, on_progress)
        self._on_facts(result.facts)
        return result.pictures[0]


def _native_side(descriptor: EngineDescriptor) -> int:
    """Return the side of the square with about the model's native number of pixels."""
    return max(descriptor.multiple, round(sqrt(descriptor.native_pixels) / descriptor.multiple) * descriptor.multiple)
