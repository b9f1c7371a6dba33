"""The ``inpaint`` operation: repaint the masked part of a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from goldsmith.engines.kinds import INPAINTER
from goldsmith.engines.protocols import (
    Ability,
    ControlGuide,
    EngineNeed,
    FillGuides,
    GenerationOptions,
    Inpainter,
    ReferenceGuide,
)
from goldsmith.engines.registry.family_additions import additions_family
from goldsmith.errors import InputError
from goldsmith.guides import (
    ControlSetting,
    ReferenceStrength,
    adapter_need,
    check_reference_settings,
    missing_reference,
    open_references,
    to_model_pixels,
)
from goldsmith.operation import (
    Lora,
    PromptText,
    RegionExpression,
    StepContext,
    StepInputs,
    StepNeeds,
    lora_paths,
    lora_references,
)
from goldsmith.picture.companion import Companion
from goldsmith.picture.metadata.source_type import SourceTypeChange
from goldsmith.picture.picture import Picture, Pixels
from goldsmith.picture.resample import resize_picture
from goldsmith.stitching.stitch_operation import StitchOperation

# Settings that only an engine that takes a prompt can use.
_PROMPT_SETTINGS = ("prompt", "negative", "strength", "steps", "guidance", "loras", "references", "reference_strength", "control")
_FILLS: frozenset[Ability] = frozenset({"inpaint"})


class Inpaint(StitchOperation):
    """Repaint the masked part, from its surroundings or from a prompt; every other pixel stays bit for bit the same."""

    source_type: ClassVar[SourceTypeChange | None] = "compositeWithTrainedAlgorithmicMedia"
    also_called: ClassVar[str] = "fill generative-fill replace repaint paint add insert change"
    settings_also_called: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "prompt": "text description",
            "negative": "negative-prompt",
            "strength": "denoise denoising-strength",
            "guidance": "cfg cfg-scale guidance-scale",
            "feather": "mask-blur",
            "context": "only-masked-padding",
            "loras": "lora",
            "reference_strength": "ip-adapter ip-adapter-scale",
            "control": "controlnet",
        }
    )

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

    references: bool = False
    """Whether the model looks at the reference pictures beside the brief (hero.ref.png)."""
    reference_strength: ReferenceStrength | None = None
    """How strongly the fill follows the reference pictures (0 to 1), by a reference adapter of the model's family."""
    reference_model: str | None = None
    """A reference adapter in config/models.toml; default: the first one on this machine for this family of models."""
    control: ControlSetting = None
    """A picture that the fill follows: { kind = "depth", strength = 1 (0 to 2), start = 0, end = 1, model }, or the kind alone, depth,
    edges, pose or tile. The picture is hero.control.KIND.png, of the whole picture; without one, edges are drawn from the picture, and a
    tile is the picture itself.
    """

    @model_validator(mode="after")
    def _check_guides(self) -> Inpaint:
        check_reference_settings(self.reference_strength, self.reference_model, uses_references=True)
        if self.control is not None and self.control.refine:
            raise ValueError("control has refine = true, but only regenerate has a second pass: remove it")
        return self

    def needs(self) -> StepNeeds:
        """Return the needs of ``where``, the LoRAs, an inpainting engine (one that takes a prompt if the step has prompt settings), and
        what guides it.
        """
        engine = replace(self._engine_need, needs_prompt=bool(self._prompt_settings_given()))
        control = () if self.control is None else (self.control.need(engine),)
        adapter = () if self.reference_strength is None else (adapter_need(self.reference_model, engine),)
        needs = super().needs()
        return replace(needs, library_files=lora_references(self.loras), engines=(engine, *needs.engines[1:], *control, *adapter))

    def input_problem(self, inputs: StepInputs) -> tuple[str, str]:
        if self.control is not None and (missing := self.control.missing_picture(inputs)):
            return "control", missing
        if missing := missing_reference(self.reference_strength, inputs):
            return "reference_strength", missing
        if self.references and not inputs.has_references:
            return "references", "is true, but there is no reference picture beside the brief, such as NAME.ref.png: put one there."
        return "", ""

    @property
    def _engine_need(self) -> EngineNeed[Inpainter]:
        """The need for a model that can follow everything that the step has besides words."""
        can: frozenset[Ability] = frozenset({"inpaint", "references"}) if self._model_sees_references else frozenset()
        controlled = _FILLS if self.control is not None else frozenset()
        referenced = _FILLS if self.reference_strength is not None else frozenset()
        return EngineNeed(INPAINTER, self.engine_name, can=can, controlled=controlled, referenced=referenced)

    @property
    def _model_sees_references(self) -> bool:
        """Whether the model itself looks at the reference pictures, and no adapter."""
        return self.references and self.reference_strength is None

    def open_guided_engine(self, picture: Picture, context: StepContext) -> tuple[Inpainter, Companion | None]:
        """Return the engine, bound to what it follows besides words, and its control picture."""
        if not (self.references or self.reference_strength is not None or self.control is not None):
            return self._open(context, None), None
        control_picture = None if self.control is None else self.control.open_picture(context, [picture])
        guides = FillGuides()
        engine = self._open(context, guides)
        family = engine.descriptor.family
        if self.references or self.reference_strength is not None:
            references = open_references(self.reference_strength, context)
            if self.reference_strength is None:
                guides.references = references
            else:
                adapter = context.engines.get(adapter_need(self.reference_model, self._engine_need, additions_family(family)))
                guides.likeness = ReferenceGuide(adapter, references, self.reference_strength)
        if self.control is None:
            return engine, None
        net = context.engines.get(self.control.need(self._engine_need, family))
        control, is_given = self.control, control_picture is not None

        def use_part(part: Pixels) -> None:
            pixels = part if is_given else control.make(part)
            guides.control = ControlGuide(net, control.kind, pixels, control.strength, control.start, control.end)

        source = picture if control_picture is None else resize_picture(control_picture, picture.height, picture.width)
        return engine, Companion(to_model_pixels(source), use_part)

    def another_try(self, settings: Mapping[str, object]) -> Mapping[str, object]:
        """Return the settings as they are if a prompt decides: then the seed makes another fill."""
        return settings if self._prompt_settings_given() else super().another_try(settings)

    def open_engine(self, context: StepContext) -> Inpainter:
        return self._open(context, None)

    def _open(self, context: StepContext, guides: FillGuides | None) -> Inpainter:
        """Return the engine with the step's prompt settings bound to it. An engine that takes no prompt does not get the brief's, and
        the record says so.

        Raises InputError if the step has prompt settings of its own and the engine takes none.
        """
        prompt = self.prompt or context.prompt
        loras = lora_paths(self.loras, context)
        options = GenerationOptions(prompt, self.negative, self.strength, self.steps, self.guidance, loras, guides=guides)
        engine = context.engines.get(self._engine_need, None if options == GenerationOptions() else options)
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
