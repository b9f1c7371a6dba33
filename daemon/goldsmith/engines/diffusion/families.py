"""Model families: for each ability of a family, the diffusers pipeline and the arguments of its call.

The table is explicit because the class names follow no rule, and because AutoPipeline knows only three tasks and not every family.
AutoPipeline serves families that are not in the table. Argument names: diffusers 0.42, ``__call__`` of each pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from goldsmith.engines.diffusion.pipeline_inputs import PipelineArguments, PipelineInputs, to_pil
from goldsmith.engines.diffusion.prompt_weights import has_numbered_weight
from goldsmith.engines.diffusion.umt5_prompts import encode_with_umt5
from goldsmith.engines.protocols import Ability, GenerationRequest
from goldsmith.engines.registry.models import ability_phrase
from goldsmith.errors import InputError

# The sides of the squares with as many pixels as Qwen-Image-Layered draws, in px.
_LAYER_SIDES = (640, 1024)
# More reference pictures than anybody puts beside a brief.
_MANY = 1000


@dataclass(frozen=True, slots=True)
class PipelineCall:
    """One ability of a family.

    can_batch:        False if the pipeline generates one picture per call.
    is_8bit_only:     True if it takes its input pictures only as PIL images; all of them then apply to every result of the call.
    default_strength: how far results depart from the picture by default, 0..1; None if the pipeline has no strength.
    hole_references:  how many reference pictures it can look at while it fills a hole.
    makes_layers:     True if its result is a list of layers with alpha.
    """

    pipeline: str
    build_arguments: Callable[[PipelineInputs], PipelineArguments]
    can_batch: bool = True
    is_8bit_only: bool = False
    default_strength: float | None = None
    hole_references: int = 0
    makes_layers: bool = False


def _text_arguments(inputs: PipelineInputs) -> PipelineArguments:
    return inputs.size_arguments


def _image_arguments(inputs: PipelineInputs) -> PipelineArguments:
    return {"image": inputs.image_tensor(), "strength": inputs.strength, **inputs.size_arguments}


def _inpaint_arguments(inputs: PipelineInputs) -> PipelineArguments:
    return {"image": inputs.image_tensor(), "mask_image": inputs.mask_tensor(), "strength": inputs.strength, **inputs.size_arguments}


def _kontext_arguments(inputs: PipelineInputs) -> PipelineArguments:
    """Return arguments for the requested size instead of the nearest of Kontext's own sizes."""
    return {"image": inputs.image_tensor(), "max_area": inputs.width * inputs.height, "_auto_resize": False, **inputs.size_arguments}


def _kontext_text_arguments(inputs: PipelineInputs) -> PipelineArguments:
    return {"max_area": inputs.width * inputs.height, **inputs.size_arguments}


def _kontext_inpaint_arguments(inputs: PipelineInputs) -> PipelineArguments:
    return {**_kontext_arguments(inputs), "mask_image": inputs.mask_tensor(), "strength": inputs.strength}


def _reference_arguments(inputs: PipelineInputs) -> PipelineArguments:
    return {"image": inputs.reference_images(), **inputs.size_arguments}


def _first_reference_arguments(inputs: PipelineInputs) -> PipelineArguments:
    return {"image": inputs.reference_images()[0], **inputs.size_arguments}


def _whole_picture_arguments(inputs: PipelineInputs) -> PipelineArguments:
    return {"image": inputs.reference_images()[0]}


def _edit_inpaint_arguments(inputs: PipelineInputs) -> PipelineArguments:
    """Return arguments without a size: the pipeline works at its own size of about a megapixel, and would mix two sizes otherwise."""
    return {"image": inputs.reference_images()[0], "mask_image": inputs.hole_image(), "strength": inputs.strength}


def _layer_arguments(inputs: PipelineInputs) -> PipelineArguments:
    """Return arguments without a size: the pipeline draws at one of its two sizes, the one that is nearer."""
    is_large = inputs.width * inputs.height > _LAYER_SIDES[0] * _LAYER_SIDES[1]
    picture = inputs.reference_images()[0].convert("RGBA")
    return {"image": picture, "layers": inputs.layer_count, "resolution": _LAYER_SIDES[1 if is_large else 0]}


def _klein_inpaint_arguments(inputs: PipelineInputs) -> PipelineArguments:
    reference = {"image_reference": to_pil(inputs.references[0])} if inputs.references else {}
    return {**_inpaint_arguments(inputs), **reference}


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """A family of models.

    calls:                   its abilities; the pipeline of the first one is loaded.
    guidance_argument:       the name of the call's argument for guidance.
    default_negative_prompt: the value that means no negative prompt; None if the family takes none.
    """

    calls: Mapping[Ability, PipelineCall]
    guidance_argument: str = "guidance_scale"
    default_negative_prompt: str | None = None
    uses_auto_pipeline: bool = False
    # The argument of the call that makes a negative prompt act, for models whose guidance is built in.
    negative_guidance_argument: str = ""
    # The class of diffusers for a part, where that in model_index.json is not the one that its pipeline needs.
    part_classes: Mapping[str, str] = field(default_factory=dict)
    # Encodes a text for a pipeline, on a device of torch; None if the pipeline does so itself.
    encode_words: Callable[[Any, str, str], Any] | None = None
    # A longer prompt ends the call with an error, in tokens; 0 if the pipeline cuts it by itself.
    max_prompt_tokens: int = 0


def _standard_calls(stem: str) -> dict[Ability, PipelineCall]:
    """Return the calls for text, image and inpaint, under the names that most families use."""
    return {
        "text": PipelineCall(f"{stem}Pipeline", _text_arguments),
        "image": PipelineCall(f"{stem}Img2ImgPipeline", _image_arguments, default_strength=0.6),
        "inpaint": PipelineCall(f"{stem}InpaintPipeline", _inpaint_arguments, default_strength=1.0),
    }


FAMILIES: Mapping[str, ModelFamily] = {
    "sdxl": ModelFamily(_standard_calls("StableDiffusionXL"), default_negative_prompt=""),
    # Below 1, as its authors advise: at 1 it starts from noise alone, for which it was not trained.
    "sdxl-inpaint": ModelFamily(
        {"inpaint": PipelineCall("StableDiffusionXLInpaintPipeline", _inpaint_arguments, default_strength=0.99)}, default_negative_prompt=""
    ),
    "sd3": ModelFamily(_standard_calls("StableDiffusion3"), default_negative_prompt=""),
    "flux": ModelFamily(_standard_calls("Flux"), negative_guidance_argument="true_cfg_scale"),
    "flux-fill": ModelFamily({"inpaint": PipelineCall("FluxFillPipeline", _inpaint_arguments, default_strength=1.0)}),
    "flux-kontext": ModelFamily(
        {
            "edit": PipelineCall("FluxKontextPipeline", _kontext_arguments),
            "text": PipelineCall("FluxKontextPipeline", _kontext_text_arguments),
            "inpaint": PipelineCall("FluxKontextInpaintPipeline", _kontext_inpaint_arguments, default_strength=1.0),
        },
        negative_guidance_argument="true_cfg_scale",
    ),
    "flux2-klein": ModelFamily(
        {
            "text": PipelineCall("Flux2KleinPipeline", _text_arguments),
            # It has no image-to-image pipeline; filling a hole that covers the whole picture is the same.
            "image": PipelineCall("Flux2KleinInpaintPipeline", _inpaint_arguments, default_strength=0.6),
            "inpaint": PipelineCall("Flux2KleinInpaintPipeline", _klein_inpaint_arguments, default_strength=1.0, hole_references=1),
            "edit": PipelineCall("Flux2KleinPipeline", _reference_arguments, is_8bit_only=True),
            "references": PipelineCall("Flux2KleinPipeline", _reference_arguments, is_8bit_only=True),
        }
    ),
    "qwen-image": ModelFamily(_standard_calls("QwenImage"), guidance_argument="true_cfg_scale", default_negative_prompt=" "),
    "qwen-image-edit": ModelFamily(
        {
            "edit": PipelineCall("QwenImageEditPipeline", _first_reference_arguments, can_batch=False, is_8bit_only=True),
            "inpaint": PipelineCall(
                "QwenImageEditInpaintPipeline", _edit_inpaint_arguments, can_batch=False, is_8bit_only=True, default_strength=1.0
            ),
        },
        guidance_argument="true_cfg_scale",
        default_negative_prompt=" ",
    ),
    "qwen-image-edit-plus": ModelFamily(
        {
            "edit": PipelineCall("QwenImageEditPlusPipeline", _reference_arguments, can_batch=False, is_8bit_only=True),
            "inpaint": PipelineCall(
                "QwenImageEditPlusPipeline", _reference_arguments, can_batch=False, is_8bit_only=True, hole_references=_MANY
            ),
            "references": PipelineCall("QwenImageEditPlusPipeline", _reference_arguments, can_batch=False, is_8bit_only=True),
        },
        guidance_argument="true_cfg_scale",
        default_negative_prompt=" ",
    ),
    # Its pipeline draws at a size of its own, of about a megapixel.
    "longcat-image-edit": ModelFamily(
        {
            "edit": PipelineCall("LongCatImageEditPipeline", _whole_picture_arguments, can_batch=False, is_8bit_only=True),
            "inpaint": PipelineCall("LongCatImageEditPipeline", _whole_picture_arguments, can_batch=False, is_8bit_only=True),
        },
        default_negative_prompt="",
        max_prompt_tokens=512,
    ),
    "qwen-image-layered": ModelFamily(
        {"layers": PipelineCall("QwenImageLayeredPipeline", _layer_arguments, can_batch=False, is_8bit_only=True, makes_layers=True)},
        guidance_argument="true_cfg_scale",
        default_negative_prompt=" ",
    ),
    # Its pipeline draws at one of its own sizes, of about a megapixel.
    "joy-image-edit": ModelFamily(
        {
            "edit": PipelineCall("JoyImageEditPipeline", _whole_picture_arguments, can_batch=False, is_8bit_only=True),
            "inpaint": PipelineCall("JoyImageEditPipeline", _whole_picture_arguments, can_batch=False, is_8bit_only=True),
        },
        default_negative_prompt="",
    ),
    # It thinks of the change as a short film, of which the last picture is the result. Its repository names the transformer of its base.
    "chronoedit": ModelFamily(
        {
            "edit": PipelineCall("ChronoEditPipeline", _first_reference_arguments, can_batch=False, is_8bit_only=True),
            "inpaint": PipelineCall("ChronoEditPipeline", _first_reference_arguments, can_batch=False, is_8bit_only=True),
        },
        default_negative_prompt="",
        part_classes={"transformer": "ChronoEditTransformer3DModel"},
        encode_words=encode_with_umt5,
    ),
    "z-image": ModelFamily(_standard_calls("ZImage"), default_negative_prompt=""),
    "krea2": ModelFamily({"text": PipelineCall("Krea2Pipeline", _text_arguments)}, default_negative_prompt=""),
}

# For families that are not in the table; diffusers takes the class from model_index.json.
AUTO_FAMILY = ModelFamily(
    {
        "text": PipelineCall("AutoPipelineForText2Image", _text_arguments),
        "image": PipelineCall("AutoPipelineForImage2Image", _image_arguments, default_strength=0.6),
        "inpaint": PipelineCall("AutoPipelineForInpainting", _inpaint_arguments, default_strength=1.0),
    },
    default_negative_prompt="",
    uses_auto_pipeline=True,
)


# Families that read a prompt of any length, in chunks; all others read about 512 tokens. Source: diffusers 0.42, the default of
# ``max_sequence_length`` in the call of each pipeline.
CLIP_FAMILIES = frozenset({"sdxl", "sdxl-inpaint", "sd3"})
# About 512 tokens of English, at 4 tokens for 3 words.
_READ_WORDS = 380


def find_family(name: str) -> ModelFamily:
    """Return the family of that name, or the one that uses AutoPipeline."""
    return FAMILIES.get(name, AUTO_FAMILY)


def check_abilities(name: str, where: str, claimed: tuple[Ability, ...]) -> tuple[Ability, ...]:
    """Return the claimed abilities. Raises InputError if the family has no pipeline for one of them."""
    calls = find_family(name).calls
    missing = [ability for ability in claimed if ability not in calls]
    if missing:
        raise InputError(f"{where}.diffusion.can: a model of the family {name!r} cannot {missing[0]!r}.", f"It can: {', '.join(calls)}.")
    return claimed


def choose_ability(name: str, can: tuple[Ability, ...], request: GenerationRequest) -> Ability:
    """Return the ability that serves the request: fill a hole, use references, start from a picture, or use words alone.

    For a picture without a strength, an editing model edits it by instruction. With a strength, or if the model cannot edit, the picture is
    the starting point. A model that cannot fill holes generates the whole picture, and the caller composites. Raises InputError if the
    model has none of these abilities.
    """
    candidates: tuple[Ability, ...]
    if request.layer_count:
        candidates = ("layers",)
    elif request.hole is not None:
        candidates = ("inpaint",) if request.references else ("inpaint", "image", "edit")
    elif request.references:
        candidates = ("references",)
    elif request.picture is not None:
        candidates = ("edit", "image") if request.options.strength is None else ("image", "edit")
    else:
        candidates = ("text",)
    for ability in candidates:
        if ability in can:
            return ability
    raise InputError(
        f"The model {name!r} cannot {ability_phrase(candidates[:1])}; it can {ability_phrase(can)}.",
        "Name another model: goldsmith models list.",
    )


def check_hole_references(name: str, call: PipelineCall, request: GenerationRequest) -> None:
    """Raise InputError if the call looks at fewer reference pictures than the request has for filling a hole."""
    count, most = len(request.references), call.hole_references
    if request.hole is None or count <= most:
        return
    if not most:
        raise InputError(
            f"The model {name!r} cannot look at reference pictures while it fills a hole.",
            "Name a model that can, set reference_strength in place of references, or remove references from the step.",
        )
    raise InputError(
        f"The model {name!r} looks at {most} reference picture while it fills a hole, but there are {count}.",
        "Leave one of them beside the brief, or name another model.",
    )


def prompt_remarks(model: str, family: str, prompt: str, *, is_negative: bool = False) -> list[str]:
    """Return what a model of that family will not read of a prompt, as ends of a sentence, before any tokenizer is loaded.

    A family that is not in the table may read with CLIP, so nothing is said about it. Nothing is said about a negative prompt either that
    the family does not use.
    """
    rules = FAMILIES.get(family)
    if family in CLIP_FAMILIES or rules is None:
        return []
    if is_negative and rules.default_negative_prompt is None and not rules.negative_guidance_argument:
        return []
    words, remarks = len(prompt.split()), []
    if words > _READ_WORDS:
        remarks.append(f"has {words} words, and the model {model} reads about {_READ_WORDS}: it will ignore the rest. Shorten it.")
    if has_numbered_weight(prompt):
        remarks.append(
            f"has weights such as (word:1.3), which the model {model} reads as words. Remove them, or name a model that reads with CLIP."
        )
    return remarks
