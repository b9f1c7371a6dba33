"""The ``regenerate`` operation: generate pictures with a model, from words alone or from a picture and words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import groupby, product
from math import ceil
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal, cast

import numpy as np
from pydantic import Field, model_validator

from goldsmith.engines.diffusion.prompt_weights import READING_FACTS, reading_note
from goldsmith.engines.kinds import GENERATOR, UPSCALER
from goldsmith.engines.protocols import (
    Ability,
    ControlGuide,
    ControlNet,
    EngineNeed,
    GenerationOptions,
    GenerationRequest,
    Generator,
    ReferenceAdapter,
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
    LORA_SUFFIXES,
    Lora,
    PromptText,
    RecordValue,
    SetOperation,
    StepContext,
    StepInputs,
    StepNeeds,
    lora_paths,
    lora_references,
)
from goldsmith.ops.regenerate.generation_run import CandidateGroup, GenerationRun
from goldsmith.ops.regenerate.layers import enlarge_layer, lay_over, layer_file, layer_name
from goldsmith.ops.regenerate.second_pass import SecondPass, run_second_pass
from goldsmith.ops.regenerate.sizing import candidate_seed, centre_crop, crop_and_resize, fit_into_base, native_size
from goldsmith.ops.regenerate.variants import (
    WILDCARD_SUFFIXES,
    WILDCARDS_FOLDER,
    Variant,
    as_list,
    combine,
    expand_choices,
    fill_prompt,
    wildcard_names,
)
from goldsmith.picture.metadata.source_type import SourceTypeChange
from goldsmith.picture.picture import Picture, Pixels, freeze
from goldsmith.picture.resample import resize_picture
from goldsmith.picture.size_fitting import MAX_PIXELS, MAX_SIDE, Size

# How far a picture is changed if the brief does not say.
DEFAULT_STRENGTH = 0.55
# Pixels per call of the engine, which splits them further if memory is short.
_MAX_BATCH_PIXELS = 4 * 1024 * 1024
_MAX_BATCH = 8
# Bytes for each pixel that this step makes at most, measured with eight candidates: while a picture is scaled into its size, and during
# the second pass, in which it is there five times besides the tiles.
_SCALING_BYTES = 60
_REFINING_BYTES = 160
# Bytes for each pixel of a picture that is split: one layer at a time is enlarged to its size.
_LAYER_BYTES = 200
# A picture with more than this many times the pixels that were drawn is remarked as soft.
_MAX_SOFT_ENLARGEMENT = 2.0
# The first pass's share of the time, if there is a second pass.
_FIRST_PASS_SHARE = 0.4

_Side = Annotated[int, Field(ge=16, le=MAX_SIDE)]
_Strength = Annotated[float, Field(gt=0, le=1)]
_StepCount = Annotated[int, Field(ge=1, le=200)]
_Guidance = Annotated[float, Field(ge=0, le=30)]
# How many values a list of a setting may have.
_MAX_LISTED = 20
# How many pictures a step may make from each picture or from words.
_MAX_CANDIDATES = 100
# TOML's integers end there. A seed of more than 32 bits is hashed by the engine.
_Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Regenerate(SetOperation):
    """Generate pictures from words, or from a picture and words, with a generating model: candidates, each with its own seed.

    A brief without a picture generates pictures from words. With a picture, the words change it; a higher ``strength`` changes more.
    """

    source_type: ClassVar[SourceTypeChange | None] = "trainedAlgorithmicMedia"
    also_called: ClassVar[str] = "generate img2img image-to-image create reroll variation variations make imagine draw"
    settings_also_called: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "prompt": "text",
            "negative": "negative-prompt",
            "model": "checkpoint",
            "candidates": "count variations batch-count batch-size",
            "strength": "denoise denoising-strength",
            "steps": "sampling-steps",
            "guidance": "cfg cfg-scale guidance-scale",
            "guidance_rescale": "cfg-rescale",
            "scheduler": "sampler sampling-method",
            "loras": "lora",
            "embeddings": "textual-inversion",
            "reference_strength": "ip-adapter ip-adapter-scale",
            "control": "controlnet",
            "refine": "hires-fix hires hr-scale",
        }
    )

    changes_geometry: ClassVar[bool] = True

    prompt: PromptText = ""
    """What the picture shows; default: the brief's prompt. "{red|blue}" makes pictures for each, and "__name__" stands for a line of
    library/wildcards/name.txt, chosen by the seed.
    """
    prompts: tuple[Annotated[PromptText, Field(min_length=1)], ...] = Field(default=(), max_length=_MAX_CANDIDATES)
    """Several prompts in place of prompt: the candidates are made for each of them."""
    negative: PromptText = ""
    """What the picture does not show, for models that use a negative prompt."""
    model: str | tuple[str, ...] | None = None
    """A name in config/models.toml, or a list of names: the candidates are made with each. Default: the first model that can do it."""
    candidates: int = Field(default=1, ge=1, le=100)
    """How many pictures are generated (1 to 100), of each combination if other settings are lists; a select step chooses among them, and
    the others go to the archive.
    """
    seeds: tuple[_Seed, ...] = Field(default=(), max_length=100)
    """Exact seeds, one picture for each, as on a contact sheet: seeds = [1973676029]. Default: seeds from the brief's seed."""
    number: int | None = Field(default=None, ge=1, le=100)
    """Only the candidate with this number (1 to 100), the same picture as among many."""
    strength: _Strength | tuple[_Strength, ...] | None = None
    """How far the result may differ from the picture (0 to 1, or a list; default: 0.55). If set, a brief waits for its picture. No
    model has a strength while it uses reference pictures.
    """
    size: tuple[_Side, _Side] | None = None
    """Size of the result, [width, height] in px, each 16 to 30000; default: about the model's native number of pixels."""
    aspect: str = Field(default="", pattern=r"^(|\d{1,5}(\.\d{1,4})?:\d{1,5}(\.\d{1,4})?)$")
    """Aspect ratio, such as "16:9", at about the model's native number of pixels; default: the picture's own, otherwise 1:1."""
    steps: _StepCount | tuple[_StepCount, ...] | None = None
    """Number of sampling steps for each picture (1 to 200, or a list; default: the model's entry in models.toml)."""
    guidance: _Guidance | tuple[_Guidance, ...] | None = None
    """How closely the model follows the prompt (0 to 30, or a list; default: the model's entry in models.toml)."""
    scheduler: str | None = Field(default=None, max_length=64)
    """The name of a scheduler in the model's entry in models.toml; default: the model's own."""
    guidance_rescale: float = Field(default=0, ge=0, le=1)
    """How far the contrast that strong guidance adds is taken back (0 to 1), for models that know it (SDXL)."""
    clip_skip: int = Field(default=0, ge=0, le=11)
    """How many of CLIP's last layers are left out (0 to 11), besides the one that SDXL always leaves out."""
    loras: tuple[Lora, ...] = Field(default=(), max_length=8)
    """Up to 8 LoRAs from library/loras: { name, weight = 1 (-2 to 2) } each."""
    embeddings: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(default=(), max_length=8)
    """Up to 8 textual inversions from library/embeddings, by name; the name is then a word of the prompt."""
    references: Literal["auto"] | bool = "auto"
    """Whether the model uses the reference pictures beside the brief (hero.ref.png): auto = if there are any; true; false."""
    reference_strength: ReferenceStrength | None = None
    """How strongly the result follows the reference pictures (0 to 1), by a reference adapter of the model's family. Default: the model
    looks at them itself.
    """
    reference_model: str | None = None
    """A reference adapter in config/models.toml; default: the first one on this machine for this family of models."""
    control: ControlSetting = None
    """A picture that the result follows: { kind = "depth", strength = 1 (0 to 2), start = 0, end = 1, model, refine }, or the kind alone,
    depth, edges, pose or tile. The picture is hero.control.KIND.png; without one, edges are drawn from the picture, and a tile is the
    picture itself.
    """
    layers: int | None = Field(default=None, ge=2, le=8)
    """Split the picture into so many layers (2 to 8), by a model that can: each becomes hero.layer.part1.png … beside the result."""
    refine: float = Field(default=1, ge=1, le=4)
    """A second pass: enlarge by this factor (1 to 4; 1 = none) and redraw the details tile by tile."""
    refine_strength: float = Field(default=0.25, gt=0, le=1)
    """How far the second pass may differ from the first (0 to 1)."""

    @model_validator(mode="after")
    def _check_combination(self) -> Regenerate:
        self._check_candidates()
        check_reference_settings(self.reference_strength, self.reference_model, uses_references=self.references is not False)
        self._check_layers()
        if self.control is not None and self.control.refine and self.refine == 1:
            raise ValueError("control has refine = true, but the step has no second pass: set refine, or remove it from control")
        if self.size is not None and self.aspect:
            raise ValueError("give size or aspect, not both: a size has its own aspect ratio")
        if self.size is not None and self.size[0] * self.size[1] > MAX_PIXELS:
            raise ValueError(f"{self.size[0]} x {self.size[1]} is more than {MAX_PIXELS // 10**6} megapixels")
        if not 1 / 8 <= self._aspect_ratio(None) <= 8:
            raise ValueError("the ratio is too extreme: at most 8:1 or 1:8")
        return self

    def _check_layers(self) -> None:
        """Raise ValueError if the step splits a picture into layers and has settings for another picture, or for several."""
        if self.layers is None:
            return
        others = ("candidates", "number", "strength", "size", "aspect", "references", "reference_strength", "control", "refine")
        contradiction = next((name for name in others if getattr(self, name) != type(self).model_fields[name].default), "")
        if not contradiction and (len(self.seeds) > 1 or len(self._variants) > 1):
            contradiction = "seeds" if len(self.seeds) > 1 else "lists of settings"
        if contradiction:
            raise ValueError(f"layers splits the picture as it is, once: remove {contradiction}")

    def _check_candidates(self) -> None:
        """Raise ValueError if the settings disagree about which pictures are made."""
        if self.seeds and self.number is not None:
            raise ValueError("give seeds or number, not both: number chooses among the candidates that the brief's seed makes")
        if self.candidates > 1 and (self.seeds or self.number is not None):
            which = "seeds makes one picture for each of its seeds" if self.seeds else f"number = {self.number} makes that picture alone"
            raise ValueError(f"remove candidates: {which}")
        twice = next((seed for seed in self.seeds if self.seeds.count(seed) > 1), None)
        if twice is not None:
            raise ValueError(f"seeds has {twice} twice: both pictures would be the same")
        self._check_variants()

    def _check_variants(self) -> None:
        """Raise ValueError if the lists of settings contradict others, or make too many pictures."""
        if self.prompt and self.prompts:
            raise ValueError("give prompt or prompts, not both")
        for name in ("prompts", "model", "strength", "steps", "guidance"):
            value = getattr(self, name)
            values: tuple[object, ...] = as_list(value)
            if name != "prompts" and (value == () or len(values) > _MAX_LISTED):
                raise ValueError(f"{name} is a list of {len(values)} values; it may have 1 to {_MAX_LISTED}")
            twice = next((value for value in values if values.count(value) > 1), None)
            if twice is not None:
                raise ValueError(f"{name} has {twice} twice: both pictures would be the same")
        count = len(self._variants)
        if count > 1 and self.number is not None:
            raise ValueError("give number or lists, not both: under each picture the contact sheet has the lines that make it again")
        if count * self._per_variant > _MAX_CANDIDATES:
            raise ValueError(f"{count} combinations, {self._per_variant} of each, are more than {_MAX_CANDIDATES} pictures")

    @cached_property
    def _variants(self) -> list[Variant]:
        """Every combination of the settings that are lists, and of the choices in the step's own prompts."""
        prompts = self.prompts or as_list(self.prompt or None)
        expanded = dict.fromkeys(text for prompt in prompts for text in expand_choices(prompt, _MAX_CANDIDATES))
        return combine(as_list(self.model), tuple(expanded), as_list(self.strength), as_list(self.steps), as_list(self.guidance))

    def uses_brief_prompt(self) -> bool:
        return not self.prompt and not self.prompts

    def needs(self) -> StepNeeds:
        if self.layers is not None:
            return replace(self.needs_beside(StepInputs()), needs_picture=True)
        can: set[Ability] = {"image"} if self.strength is not None or self.refine > 1 else set()
        if self.references is True and self.reference_strength is None:
            can.add("references")
        first_pass: frozenset[Ability] = frozenset({"image"}) if self.strength is not None else frozenset()
        return self._needs([self._guided(EngineNeed(GENERATOR, model, can=frozenset(can)), first_pass) for model in self._models])

    def needs_beside(self, inputs: StepInputs) -> StepNeeds:
        return self._needs([self._generator_need(inputs, model) for model in self._models])

    @property
    def _models(self) -> Sequence[str | None]:
        """The models that the step names; None = the default."""
        return as_list(self.model) or (None,)

    @property
    def _strength_text(self) -> str:
        """The strengths, as a sentence shows them."""
        texts = [f"{strength:g}" for strength in as_list(self.strength)]
        return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"

    def input_problem(self, inputs: StepInputs) -> tuple[str, str]:
        if self.references is True and not inputs.has_references:
            return "references", "is true, but there is no reference picture beside the brief, such as NAME.ref.png: put one there."
        if self.control is not None and (missing := self.control.missing_picture(inputs)):
            return "control", missing
        if missing := missing_reference(self.reference_strength, inputs):
            return "reference_strength", missing
        if self.strength is not None and inputs.has_picture and self._model_sees_references(inputs):
            return "strength", (
                f"is {self._strength_text}, but there is a reference picture beside it, and no model has a strength while it uses "
                "reference pictures: remove strength, write reference_strength for a model with a reference adapter, or write "
                "references = false to ignore the reference picture."
            )
        return "", ""

    def _generator_need(self, inputs: StepInputs, model: str | None) -> EngineNeed[Generator]:
        """Return the need for a model that can do everything the step asks; ``model`` is its name, or None.

        A named model may also edit the picture by instruction, unless the step has a strength or something else that the result follows.
        """
        if self.layers is not None:
            return EngineNeed(GENERATOR, model, can=frozenset({"layers"}))
        can: set[Ability] = {"image"} if self.refine > 1 else set()
        can_any: set[Ability] = set()
        ability: Ability = "references" if self._model_sees_references(inputs) else "image" if inputs.has_picture else "text"
        if ability == "image" and model is not None and self.strength is None and not self._is_guided:
            can_any = {"image", "edit"}
        else:
            can.add(ability)
        return self._guided(EngineNeed(GENERATOR, model, can=frozenset(can), can_any=frozenset(can_any)), frozenset({ability}))

    def _model_sees_references(self, inputs: StepInputs) -> bool:
        """Return whether the model itself looks at the reference pictures, and no adapter."""
        return inputs.has_references and self._reads_references and self.reference_strength is None

    @property
    def _reads_references(self) -> bool:
        """Whether the step looks for reference pictures; while it splits a picture into layers, they travel on."""
        return self.references is not False and self.layers is None

    @property
    def _is_guided(self) -> bool:
        """Whether the result follows a control picture, or reference pictures by an adapter."""
        return self.control is not None or self.reference_strength is not None

    def _guided(self, need: EngineNeed[Generator], first_pass: frozenset[Ability]) -> EngineNeed[Generator]:
        """Return the need with what the model must follow in the first pass, which uses these abilities, and in the second."""
        second_pass: frozenset[Ability] = frozenset({"image"}) if self.control is not None and self.control.refine else frozenset()
        return replace(
            need,
            controlled=first_pass | second_pass if self.control is not None else frozenset(),
            referenced=first_pass if self.reference_strength is not None else frozenset(),
        )

    def _needs(self, generators: Sequence[EngineNeed[Generator]]) -> StepNeeds:
        upscalers = (EngineNeed(UPSCALER, factor=self._upscale_factor),) if self.refine > 1 else ()
        return StepNeeds(
            library_files=(
                *lora_references(self.loras),
                *(("embeddings", name, LORA_SUFFIXES) for name in self.embeddings),
                *((WILDCARDS_FOLDER, name, WILDCARD_SUFFIXES) for name in wildcard_names(self.prompts or (self.prompt,))),
            ),
            engines=(*generators, *upscalers, *(need for each in generators for need in self._guide_needs(each))),
            needs_picture=self.strength is not None,
            needs_prompt=self.uses_brief_prompt(),
        )

    def _guide_needs(self, generator: EngineNeed[Generator]) -> tuple[EngineNeed[ControlNet] | EngineNeed[ReferenceAdapter], ...]:
        """Return the needs for a control model and a reference adapter, as far as the step uses them; ``generator``: what they guide."""
        control = () if self.control is None else (self.control.need(generator),)
        adapter = () if self.reference_strength is None else (adapter_need(self.reference_model, generator),)
        return (*control, *adapter)

    @property
    def _upscale_factor(self) -> int:
        """The factor of the upscaler in the second pass; the excess is removed by a resize."""
        return max(2, ceil(self.refine))

    @property
    def _second_pass(self) -> SecondPass:
        return SecondPass(self.refine, self.refine_strength, self._upscale_factor, self.control)

    def max_results(self, count: int) -> int:
        return max(1, count) * self._count

    @property
    def _per_variant(self) -> int:
        """The number of pictures of each combination."""
        if self.number is not None:
            return 1
        return len(self.seeds) or self.candidates

    @property
    def _count(self) -> int:
        """The number of pictures that are made from each picture or from words."""
        return len(self._variants) * self._per_variant

    def another_try(self, settings: Mapping[str, object]) -> Mapping[str, object]:
        """Return the settings with exact seeds that were not used yet: they count on from the highest of them."""
        if not self.seeds:
            return settings
        first = max(self.seeds) + 1
        return {**settings, "seeds": [(first + number) % 2**63 for number in range(len(self.seeds))]}

    def _numbered_seeds(self, source_index: int, variant_index: int, seed: int) -> list[tuple[int, int]]:
        """Return the (number, seed) of every picture of one combination that is made from one source; ``seed`` is the step's.

        Each combination has the same seeds, so that only its settings tell its pictures apart.
        """
        if self.number is not None:
            return [(self.number, candidate_seed(seed, self.number))]
        first = source_index * self._per_variant + 1
        seeds = self.seeds or [candidate_seed(seed, number) for number in range(first, first + self._per_variant)]
        start = source_index * self._count + variant_index * self._per_variant + 1
        return list(zip(range(start, start + self._per_variant), seeds, strict=True))

    def apply_set(self, pictures: Sequence[Picture], context: StepContext) -> Iterator[Picture]:
        """Yield the candidates one by one, for each picture and each combination in turn; without a picture, from words.

        Raises InputError if there is neither a prompt nor a picture, or if a model cannot do what the step asks.
        """
        if self.number is not None and len(pictures) > 1:
            raise InputError(f"number = {self.number} is for one picture, but there are {len(pictures)} here.", "Use seeds instead.")
        run = self._prepare(pictures, context)
        if self.layers is not None:
            yield self._split_into_layers(pictures, run)
            return
        sources: Sequence[Picture | None] = pictures or [None]
        for source in sources:
            self._check_memory(source, run)
        candidates: list[RecordValue] = []
        for (index, source), (variant_index, variant) in product(enumerate(sources), enumerate(self._variants)):
            if self._open_model(variant, run):
                self._check_memory(source, run)
            numbered_seeds = self._numbered_seeds(index, variant_index, context.seed)
            for number, seed, candidate in self._make_candidates(source, variant, numbered_seeds, run):
                reading = {name: 1 for name in READING_FACTS if run.first_pass.any_call(name)}
                variation = {**variant.varied, **run.filled.get(number, {})}
                yield replace(candidate, record_values={"number": number, "seed": seed, **reading}, variation=variation)
                run.give_way()
                candidates.append({"number": number, "seed": seed, **variation})
        note = reading_note([name for name in READING_FACTS if run.first_pass.any_call(name)])
        if note:
            context.results.record(note=note)
        if run.restored:
            context.results.record(made_before=run.restored)
        context.results.record(candidates=candidates, prompt=self._recorded_prompt(context), **run.all_findings())

    def _split_into_layers(self, pictures: Sequence[Picture], run: GenerationRun) -> Picture:
        """Return the picture with its layers laid over it, at its own size; write each layer beside it.

        Raises InputError if there is no picture, if there are several, or if no words say what it shows.
        """
        context, variant = run.context, self._variants[0]
        if len(pictures) != 1:
            raise InputError(
                f"layers = {self.layers} is for one picture, but there are {len(pictures)} here.", "Put a select step before it."
            )
        [source] = pictures
        seed = self.seeds[0] if self.seeds else candidate_seed(context.seed, 1)
        prompt = fill_prompt(variant.prompt or context.prompt, seed, run.wildcards.lines_of)
        if not prompt:
            raise InputError("layers needs a prompt that says what the picture shows.", "Write prompt = … into the step or the brief.")
        context.results.check_memory(source.width, source.height, _LAYER_BYTES)
        wide, high = native_size(source.width / source.height, run.engine.descriptor)
        request = GenerationRequest(
            self._options(variant, prompt, run),
            (seed,),
            wide,
            high,
            to_model_pixels(resize_picture(source, high, wide)),
            layer_count=self.layers or 0,
        )
        generated = run.engine.generate(request, run.progress_callback(0, 1, "splitting into layers"))
        pixels = to_model_pixels(source)
        for number, layer in enumerate(generated.pictures, 1):
            large = enlarge_layer(layer, source.height, source.width)
            context.results.add_beside(layer_file(number, large))
            pixels = lay_over(pixels, [large])
        names: list[RecordValue] = [layer_name(number) for number in range(1, len(generated.pictures) + 1)]
        context.results.record(layers=names, prompt=prompt, native=[wide, high], made=cast("RecordValue", dict(generated.facts)))
        result = fit_into_base(source, pixels, seed)
        return replace(result, record_values={"number": 1, "seed": seed})

    def _recorded_prompt(self, context: StepContext) -> RecordValue:
        """Return the prompt, or the list of prompts, before wildcards are filled in."""
        prompts = list(dict.fromkeys(variant.prompt or context.prompt for variant in self._variants))
        return prompts[0] if len(prompts) == 1 else prompts

    def _prepare(self, pictures: Sequence[Picture], context: StepContext) -> GenerationRun:
        """Return what is the same for all candidates, with the first model."""
        if not pictures and self.uses_brief_prompt() and not context.prompt:
            raise InputError("There is neither a picture nor a prompt.", "Write prompt = … into the brief.")
        if self.references is True or self.reference_strength is not None:
            references = open_references(self.reference_strength, context)
        else:
            reference_pictures = context.library.reference_pictures() if self._reads_references else ()
            references = tuple(to_model_pixels(picture) for picture in reference_pictures)
        if references and pictures and self.reference_strength is None:
            self._refuse_strength(context.stem)
        inputs, first = StepInputs(bool(pictures), bool(references)), self._variants[0]
        engine = self._choose_engine(context, inputs, first.model)
        if self.refine > 1:  # here, so that it is known on what the finished parts depend
            context.engines.get(EngineNeed(UPSCALER, factor=self._upscale_factor))
        run = GenerationRun(
            context, engine, first.model, inputs, references, lora_paths(self.loras, context), max(1, len(pictures)) * self._count
        )
        run.embeddings = tuple(context.library.file("embeddings", name, LORA_SUFFIXES) for name in self.embeddings)
        if self.control is not None:
            run.control_picture = self.control.open_picture(context, pictures)
        self._open_guides(run)
        for name in wildcard_names(variant.prompt or context.prompt for variant in self._variants):
            run.wildcards.lines_of(name)  # a missing file is a problem before the first picture is made
        return run

    def _open_model(self, variant: Variant, run: GenerationRun) -> bool:
        """Open the model of a combination, and return whether it is another one than before."""
        if variant.model == run.model:
            return False
        run.engine, run.model = self._choose_engine(run.context, run.inputs, variant.model), variant.model
        self._open_guides(run)
        return True

    def _open_guides(self, run: GenerationRun) -> None:
        """Open the control model and the reference adapter for the family of the model, as far as the step uses them."""
        family, need = run.engine.descriptor.family, self._generator_need(run.inputs, run.model)
        if self.control is not None:
            run.control_net = run.context.engines.get(self.control.need(need, family))
        if self.reference_strength is not None:
            adapter = run.context.engines.get(adapter_need(self.reference_model, need, additions_family(family)))
            run.likeness = ReferenceGuide(adapter, run.references, self.reference_strength)

    def _options(self, variant: Variant, prompt: str, run: GenerationRun) -> GenerationOptions:
        """Return the options of a combination, with the prompt in which the wildcards are filled in."""
        uses_strength = run.inputs.has_picture and not self._model_sees_references(run.inputs) and self.layers is None
        strength = self._effective_strength(variant, run.engine) if uses_strength else None
        return GenerationOptions(
            prompt,
            self.negative,
            strength,
            variant.steps,
            variant.guidance,
            run.loras,
            scheduler=self.scheduler,
            rescale=self.guidance_rescale,
            clip_skip=self.clip_skip,
            embeddings=run.embeddings,
        )

    def _refuse_strength(self, stem: str) -> None:
        """Raise InputError if the step has a strength: it is for a picture with references, which no model weighs against a strength."""
        if self.strength is not None:
            raise InputError(
                f"strength = {self._strength_text} cannot be used: there is a reference picture ({stem}.ref.png), and no model has a "
                "strength while it uses reference pictures.",
                "Remove strength from the step, write reference_strength for a model with a reference adapter, or set references = false: "
                "the reference picture is then ignored.",
            )

    def _effective_strength(self, variant: Variant, engine: Generator) -> float | None:
        """Return how far to depart from the picture; None for a named editing model, which takes the words as its instruction."""
        if variant.strength is None and variant.model is not None and "edit" in engine.descriptor.can and not self._is_guided:
            return None
        return DEFAULT_STRENGTH if variant.strength is None else variant.strength

    def _choose_engine(self, context: StepContext, inputs: StepInputs, model: str | None) -> Generator:
        """Return a model that can do everything the step asks; ``model`` is its name, or None."""
        need = self._generator_need(inputs, model)
        engine = context.engines.get(need)
        if need.can_any and not need.can_any & set(engine.descriptor.can):
            raise InputError(
                f"The model {engine.descriptor.name} cannot start from a picture.", "Name another model, or remove model from the step."
            )
        return engine

    def remarks(self, native_pixels: int) -> Sequence[str]:
        if self.size is None or not native_pixels:
            return ()
        refined_pixels = native_pixels * self.refine**2
        times = self.size[0] * self.size[1] / refined_pixels
        if times <= _MAX_SOFT_ENLARGEMENT:
            return ()
        wide, high = self.size
        refined = f", refined to {refined_pixels / 1e6:.1f} MP" if self.refine > 1 else ""
        size = f"size = [{wide}, {high}] is {times:.0f} times the size at which the model draws"
        remedy = "the picture is enlarged without new detail. Set refine, or add an upscale step and leave size out."
        return (f"{size} ({native_pixels / 1e6:.1f} MP{refined}): {remedy}",)

    def _check_memory(self, source: Picture | None, run: GenerationRun) -> None:
        """Raise InputError, before anything is drawn, if a picture that the step makes needs more memory than the job may use."""
        wide, high = native_size(self._aspect_ratio(source or run.control_picture), run.engine.descriptor)
        run.context.results.check_memory(*self._result_size((wide, high)), _SCALING_BYTES)
        if self.refine > 1:
            run.context.results.check_memory(wide * self._upscale_factor, high * self._upscale_factor, _SCALING_BYTES)
            run.context.results.check_memory(round(wide * self.refine), round(high * self.refine), _REFINING_BYTES)

    def _result_size(self, native_size_px: Size) -> Size:
        return self.size or (round(native_size_px[0] * self.refine), round(native_size_px[1] * self.refine))

    def _make_candidates(
        self, source: Picture | None, variant: Variant, numbered_seeds: Sequence[tuple[int, int]], run: GenerationRun
    ) -> Iterator[tuple[int, int, Picture]]:
        """Yield (number, seed, picture) of each candidate of one combination from one picture."""
        wide, high = native_size(self._aspect_ratio(source or run.control_picture), run.engine.descriptor)
        start_pixels = None if source is None else to_model_pixels(crop_and_resize(source, (wide, high)))
        base = self._base_picture(source, (wide, high))
        batch = max(1, min(_MAX_BATCH, _MAX_BATCH_PIXELS // (wide * high)))
        run.findings.setdefault("native", [wide, high])
        template = variant.prompt or run.context.prompt
        prompts = {number: fill_prompt(template, seed, run.wildcards.lines_of) for number, seed in numbered_seeds}
        run.filled = {number: {"prompt": prompt} for number, prompt in prompts.items() if prompt != template}
        guide = self._guide(run, start_pixels, (wide, high))
        for prompt, alike in groupby(numbered_seeds, lambda pair: prompts[pair[0]]):
            pairs, options = list(alike), self._options(variant, prompt, run)
            for first in range(0, len(pairs), batch):
                yield from self._make_group(
                    CandidateGroup(pairs[first : first + batch], options, start_pixels, (wide, high), guide), base, run
                )

    def _guide(self, run: GenerationRun, start_pixels: Pixels | None, size: Size) -> ControlGuide | None:
        """Return the control picture at that size, with its settings; edges are drawn from the picture itself if there is none."""
        if self.control is None or run.control_net is None:
            return None
        control = self.control
        if run.control_picture is not None:
            pixels = to_model_pixels(crop_and_resize(run.control_picture, size))
        else:
            assert start_pixels is not None  # noqa: S101 - Control.open_picture refuses it
            pixels = control.make(start_pixels)
        return ControlGuide(run.control_net, control.kind, pixels, control.strength, control.start, control.end)

    def _make_group(self, group: CandidateGroup, base: Picture, run: GenerationRun) -> Iterator[tuple[int, int, Picture]]:
        """Yield (number, seed, picture) of the candidates of one call of the engine; the call is left out if all are finished."""
        start = run.done_count
        finished = {number: part for number, _ in group.numbered_seeds if (part := run.context.parts.find(f"candidate {number}"))}
        run.restored += len(finished)
        generated: list[Pixels] = []
        if len(finished) == len(group.numbered_seeds):
            first_pass = dict(next(iter(finished.values())).facts["first_pass"])
        else:
            first_pass, generated = self._run_first_pass(group, run)
        run.first_pass.add(first_pass)
        for position, (number, seed) in enumerate(group.numbered_seeds):
            run.done_count += 1
            part = finished.get(number)
            if part is not None:
                run.add_part(part.facts)
                yield number, seed, base.with_pixels(part.pixels)
                continue
            pixels, facts = generated[position], dict[str, RecordValue](first_pass=first_pass)
            if self.refine > 1:
                share = 1 - _FIRST_PASS_SHARE
                second_start = start + len(group.numbered_seeds) * _FIRST_PASS_SHARE + position * share
                note = f"refining {run.done_count} of {run.candidate_count}"
                pixels, second_pass = run_second_pass(
                    pixels, seed, group.options, self._second_pass, run, run.progress_callback(second_start, share, note)
                )
                facts |= second_pass
            run.add_part(facts)
            candidate = fit_into_base(base, pixels, seed)
            run.keep(f"candidate {number}", candidate, facts)
            run.may_give_way = run.done_count < run.candidate_count and (self.refine > 1 or position == len(group.numbered_seeds) - 1)
            yield number, seed, candidate

    def _run_first_pass(self, group: CandidateGroup, run: GenerationRun) -> tuple[dict[str, RecordValue], list[Pixels]]:
        """Return the facts of one call of the engine, and its pictures. With a second pass, its pictures are finished parts too."""
        names = [f"first pass {number}" for number, _ in group.numbered_seeds]
        parts = [run.context.parts.find(name) for name in names] if self.refine > 1 else []
        kept = [part for part in parts if part is not None]
        if kept and len(kept) == len(names):
            return dict(kept[0].facts), [part.pixels for part in kept]
        wide, high = group.size
        seeds = tuple(seed for _, seed in group.numbered_seeds)
        direct_references = run.references if run.likeness is None else ()
        request = GenerationRequest(
            group.options, seeds, wide, high, group.start_pixels, references=direct_references, guide=group.guide, likeness=run.likeness
        )
        share = _FIRST_PASS_SHARE if self.refine > 1 else 1.0
        note = f"candidate {run.done_count + 1} of {run.candidate_count}"
        generated = run.engine.generate(request, run.progress_callback(run.done_count, len(names) * share, note))
        facts = cast("dict[str, RecordValue]", dict(generated.facts))
        for name, pixels in zip(names, generated.pictures, strict=True) if self.refine > 1 else ():
            run.keep(name, Picture(freeze(pixels)), facts)
        return facts, list(generated.pictures)

    def _aspect_ratio(self, source: Picture | None) -> float:
        """Return the width over the height of the result."""
        if self.size is not None:
            return self.size[0] / self.size[1]
        if self.aspect:
            wide, high = map(float, self.aspect.split(":"))
            return wide / high if wide and high else 0.0
        return 1.0 if source is None else source.width / source.height

    def _base_picture(self, source: Picture | None, native_size_px: Size) -> Picture:
        """Return the picture that the new pixels go onto: alpha, masks, profile and the rest, at the size of the result."""
        size = self._result_size(native_size_px)
        if source is None:
            return Picture(freeze(np.zeros((size[1], size[0], 3), np.float32)))
        part = centre_crop(centre_crop(source, native_size_px), size)
        return resize_picture(part, size[1], size[0])
