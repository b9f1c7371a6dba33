"""Make the masked part of a picture new."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from goldsmith.engines import EngineNeed, Inpainter, Wish
from goldsmith.errors import Problem
from goldsmith.operation import (
    Bench,
    Lora,
    Needs,
    Where,
    lora_files,
    lora_needs,
)
from goldsmith.stitching import StitchOperation

_FOR_WORDS = ("prompt", "negative", "strength", "steps", "guidance", "loras")
"""Settings that only mean something to an engine that takes words."""


class Inpaint(StitchOperation):
    """Make what lies under the mask new, from its surroundings or by words; everything else stays bit for bit as it is."""

    where: Annotated[Where, Field(min_length=1)] = "mask"
    """What to make new: a mask's name or a region such as "mask & left" or "box(0.1, 0.2, 0.3, 0.4)"."""
    prompt: Annotated[str, Field(max_length=4000)] = ""
    """What should be there, for an engine that takes words: without one the picture waits; unset: the brief's, where it takes any."""
    negative: Annotated[str, Field(max_length=4000)] = ""
    """What should not be there, for engines that listen to it."""
    grow: Annotated[int, Field(ge=0, le=256)] = 4
    """How many px round the mask the engine makes new as well, to match tone and rim; only what is under the mask is kept of it."""
    strength: Annotated[float, Field(gt=0, le=1)] | None = None
    """How far the result may go from what is there now (above 0, to 1; unset: as models.toml says)."""
    steps: Annotated[int, Field(ge=1, le=200)] | None = None
    """How many steps each region takes (1 to 200; unset: as models.toml says)."""
    guidance: Annotated[float, Field(ge=0, le=30)] | None = None
    """How closely the words are followed (0 to 30; unset: as models.toml says)."""
    loras: Annotated[tuple[Lora, ...], Field(max_length=8)] = ()
    """Up to 8 additions to the model, from library/loras: { name, weight = 1 (-2 to 2) } each."""

    def needs(self) -> Needs:
        """What ``where`` needs, its LoRAs, and an inpainting engine: one that takes words where the step has any for it."""
        engine = EngineNeed("inpaint", self.model, words=bool(self._said()))
        needs = super().needs()
        return replace(needs, references=lora_needs(self.loras), engines=(engine, *needs.engines[1:]))

    def engine(self, bench: Bench) -> Inpainter:
        """One that is told what the step asks for. The brief's prompt goes to engines that take words, and is recorded as unused else.

        Raises Problem where the step has words of its own and the engine takes none: they are never left aside in silence.
        """
        prompt = self.prompt or bench.prompt
        wish = Wish(prompt, self.negative, self.strength, self.steps, self.guidance, lora_files(self.loras, bench))
        engine = bench.inpainter(self.model, None if wish == Wish() else wish)
        told = engine.descriptor
        if self._said() and not told.words:
            raise Problem(
                f"The engine {told.name} fills from the surroundings alone and cannot be told {', '.join(self._said())}.",
                f"Name a model that takes words (goldsmith models list), or leave {', '.join(self._said())} out of the step.",
            )
        if prompt:
            bench.record(prompt=prompt, prompt_used=told.words)
        return engine

    def _said(self) -> list[str]:
        """The settings the step was given that no engine without words can honour."""
        return [name for name in _FOR_WORDS if getattr(self, name) != type(self).model_fields[name].default]
