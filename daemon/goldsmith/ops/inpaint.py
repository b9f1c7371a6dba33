"""The ``inpaint`` operation: repaint the masked part of a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, ClassVar

from pydantic import Field

from goldsmith.engines.kinds import INPAINTER
from goldsmith.engines.protocols import EngineNeed, GenerationOptions, Inpainter
from goldsmith.errors import InputError
from goldsmith.operation import (
    Lora,
    PromptText,
    RegionExpression,
    StepContext,
    StepNeeds,
    lora_paths,
    lora_references,
)
from goldsmith.picture.metadata.source_type import SourceTypeChange
from goldsmith.stitching.stitch_operation import StitchOperation

# Settings that only an engine that takes a prompt can use.
_PROMPT_SETTINGS = ("prompt", "negative", "strength", "steps", "guidance", "loras")


class Inpaint(StitchOperation):
    """Repaint the masked part, from its surroundings or from a prompt; every other pixel stays bit for bit the same."""

    source_type: ClassVar[SourceTypeChange | None] = "compositeWithTrainedAlgorithmicMedia"
    also_called: ClassVar[str] = "fill generative-fill replace repaint paint add insert change"
    settings_also_called: ClassVar[Mapping[str, str]] = MappingProxyType({"prompt": "text description", "negative": "negative-prompt"})

    where: Annotated[RegionExpression, Field(min_length=1)] = "mask"
    """The region to repaint: a mask's name or an expression such as "mask & left" or "box(0.1, 0.2, 0.3, 0.4)"."""
    prompt: PromptText = ""
    """What to paint there, for engines that take a prompt; the picture waits if the engine takes none. Default: the brief's prompt, if the
    engine takes one.
    """
    negative: PromptText = ""
    """What not to paint there, for engines that use a negative prompt."""
    grow: Annotated[int, Field(ge=0, le=256)] = 4
    """How many px round the mask the engine repaints too, to match tone and rim; the result keeps only the masked part."""
    strength: Annotated[float, Field(gt=0, le=1)] | None = None
    """How far the result may differ from the current pixels (above 0, up to 1; default: the model's entry in models.toml)."""
    steps: Annotated[int, Field(ge=1, le=200)] | None = None
    """Number of sampling steps for each region (1 to 200; default: the model's entry in models.toml)."""
    guidance: Annotated[float, Field(ge=0, le=30)] | None = None
    """How closely the engine follows the prompt (0 to 30; default: the model's entry in models.toml)."""
    loras: Annotated[tuple[Lora, ...], Field(max_length=8)] = ()
    """Up to 8 LoRAs from library/loras: { name, weight = 1 (-2 to 2) } each."""

    def needs(self) -> StepNeeds:
        """Return the needs of ``where``, the LoRAs, and an inpainting engine; one that takes a prompt if the step has prompt settings."""
        engine = EngineNeed(INPAINTER, self.engine_name, needs_prompt=bool(self._prompt_settings_given()))
        needs = super().needs()
        return replace(needs, library_files=lora_references(self.loras), engines=(engine, *needs.engines[1:]))

    def open_engine(self, context: StepContext) -> Inpainter:
        """Return the engine with the step's prompt settings bound to it. An engine that takes no prompt does not get the brief's, and
        the record says so.

        Raises InputError if the step has prompt settings of its own and the engine takes none.
        """
        prompt = self.prompt or context.prompt
        options = GenerationOptions(prompt, self.negative, self.strength, self.steps, self.guidance, lora_paths(self.loras, context))
        engine = context.engines.get(EngineNeed(INPAINTER, self.engine_name), None if options == GenerationOptions() else options)
        descriptor = engine.descriptor
        if self._prompt_settings_given() and not descriptor.takes_prompt:
            raise InputError(
                f"The engine {descriptor.name} uses the surroundings alone and cannot use {', '.join(self._prompt_settings_given())}.",
                "Name a model that takes a prompt (goldsmith models list), or remove these settings from the step.",
            )
        if prompt:
            context.results.record(prompt=prompt, prompt_used=descriptor.takes_prompt)
        return engine

    def _prompt_settings_given(self) -> list[str]:
        """Return the names of the step's own settings that only an engine with a prompt can use."""
        return [name for name in _PROMPT_SETTINGS if getattr(self, name) != type(self).model_fields[name].default]
