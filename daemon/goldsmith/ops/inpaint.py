"""Make the masked part of a picture new."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from goldsmith.engines import EngineNeed, GenerationOptions, Inpainter
from goldsmith.errors import InputError
from goldsmith.operation import (
    Lora,
    RegionExpression,
    StepContext,
    StepNeeds,
    lora_paths,
    lora_references,
)
from goldsmith.stitching import StitchOperation

# Settings that only mean something to an engine that takes words.
_PROMPT_SETTINGS = ("prompt", "negative", "strength", "steps", "guidance", "loras")


class Inpaint(StitchOperation):
    """Make what lies under the mask new, from its surroundings or by words; everything else stays bit for bit as it is."""

    where: Annotated[RegionExpression, Field(min_length=1)] = "mask"
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

    def needs(self) -> StepNeeds:
        """What ``where`` needs, its LoRAs, and an inpainting engine: one that takes words where the step has any for it."""
        engine = EngineNeed("inpaint", self.model, needs_prompt=bool(self._prompt_settings_given()))
        needs = super().needs()
        return replace(needs, library_files=lora_references(self.loras), engines=(engine, *needs.engines[1:]))

    def open_engine(self, context: StepContext) -> Inpainter:
        """One that is told what the step asks for. The brief's prompt goes to engines that take words, and is recorded as unused else.

        Raises InputError where the step has words of its own and the engine takes none: they are never left aside in silence.
        """
        prompt = self.prompt or context.prompt
        wish = GenerationOptions(prompt, self.negative, self.strength, self.steps, self.guidance, lora_paths(self.loras, context))
        engine = context.inpainter(self.model, None if wish == GenerationOptions() else wish)
        told = engine.descriptor
        if self._prompt_settings_given() and not told.takes_prompt:
            raise InputError(
                f"The engine {told.name} fills from the surroundings alone and cannot be told {', '.join(self._prompt_settings_given())}.",
                f"Name a model that takes words (goldsmith models list), or leave {', '.join(self._prompt_settings_given())} out of the step.",
            )
        if prompt:
            context.record(prompt=prompt, prompt_used=told.takes_prompt)
        return engine

    def _prompt_settings_given(self) -> list[str]:
        """The settings the step was given that no engine without words can honour."""
        return [name for name in _PROMPT_SETTINGS if getattr(self, name) != type(self).model_fields[name].default]
