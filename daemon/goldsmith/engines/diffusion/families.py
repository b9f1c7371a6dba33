"""Families of models: for each thing a family can do, the diffusers pipeline that does it and what its call is given.

One explicit table, because the names do not follow from each other and AutoPipeline knows only three tasks and not every family.
A family that the table lacks falls back on AutoPipeline. Argument names: diffusers 0.42, each pipeline's ``__call__``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from goldsmith.engines import Ability, GenerationRequest
from goldsmith.engines.diffusion.pipeline_inputs import PipelineArguments, PipelineInputs
from goldsmith.errors import InputError


@dataclass(frozen=True, slots=True)
class PipelineCall:
    """One thing a family can do.

    batch:     False where the pipeline makes one picture a call.
    eight_bit: it takes pictures as PIL only, and those of one call belong to each of its results.
    strong:    how far it may go from the picture where nobody says; None where it knows no strength.
    """

    pipeline: str
    build_arguments: Callable[[PipelineInputs], PipelineArguments]
    can_batch: bool = True
    is_8bit_only: bool = False
    default_strength: float | None = None


def _text_arguments(inputs: PipelineInputs) -> PipelineArguments:
    return inputs.size_arguments


def _image_arguments(inputs: PipelineInputs) -> PipelineArguments:
    return {"image": inputs.image_tensor(), "strength": inputs.strength, **inputs.size_arguments}


def _inpaint_arguments(inputs: PipelineInputs) -> PipelineArguments:
    return {"image": inputs.image_tensor(), "mask_image": inputs.mask_tensor(), "strength": inputs.strength, **inputs.size_arguments}


def _kontext_arguments(inputs: PipelineInputs) -> PipelineArguments:
    """At the size asked for, rather than the nearest of Kontext's own."""
    return {"image": inputs.image_tensor(), "max_area": inputs.width * inputs.height, "_auto_resize": False, **inputs.size_arguments}


def _kontext_text_arguments(inputs: PipelineInputs) -> PipelineArguments:
    return {"max_area": inputs.width * inputs.height, **inputs.size_arguments}


def _kontext_inpaint_arguments(inputs: PipelineInputs) -> PipelineArguments:
    return {**_kontext_arguments(inputs), "mask_image": inputs.mask_tensor(), "strength": inputs.strength}


def _reference_arguments(inputs: PipelineInputs) -> PipelineArguments:
    return {"image": inputs.reference_images(), **inputs.size_arguments}


def _first_reference_arguments(inputs: PipelineInputs) -> PipelineArguments:
    return {"image": inputs.reference_images()[0], **inputs.size_arguments}


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """A family of models.

    ways:     what it can do; the first one's pipeline is the one that is loaded.
    guidance: the name of its call's argument for guidance.
    negative: what stands for "no words to keep away from"; None where it takes no such words at all.
    """

    calls: Mapping[Ability, PipelineCall]
    guidance_argument: str = "guidance_scale"
    default_negative_prompt: str | None = None
    uses_auto_pipeline: bool = False


def _standard_calls(stem: str) -> dict[Ability, PipelineCall]:
    """Text, image and inpaint under the names that most families have."""
    return {
        "text": PipelineCall(f"{stem}Pipeline", _text_arguments),
        "image": PipelineCall(f"{stem}Img2ImgPipeline", _image_arguments, default_strength=0.6),
        "inpaint": PipelineCall(f"{stem}InpaintPipeline", _inpaint_arguments, default_strength=1.0),
    }


FAMILIES: Mapping[str, ModelFamily] = {
    "sdxl": ModelFamily(_standard_calls("StableDiffusionXL"), default_negative_prompt=""),
    # below 1, as its makers ask: at 1 it begins from noise alone, which it was not trained to do
    "sdxl-inpaint": ModelFamily(
        {"inpaint": PipelineCall("StableDiffusionXLInpaintPipeline", _inpaint_arguments, default_strength=0.99)}, default_negative_prompt=""
    ),
    "sd3": ModelFamily(_standard_calls("StableDiffusion3"), default_negative_prompt=""),
    "flux": ModelFamily(_standard_calls("Flux")),
    "flux-fill": ModelFamily({"inpaint": PipelineCall("FluxFillPipeline", _inpaint_arguments, default_strength=1.0)}),
    "flux-kontext": ModelFamily(
        {
            "edit": PipelineCall("FluxKontextPipeline", _kontext_arguments),
            "text": PipelineCall("FluxKontextPipeline", _kontext_text_arguments),
            "inpaint": PipelineCall("FluxKontextInpaintPipeline", _kontext_inpaint_arguments, default_strength=1.0),
        }
    ),
    "flux2-klein": ModelFamily(
        {
            "text": PipelineCall("Flux2KleinPipeline", _text_arguments),
            # it has no image to image: filling a hole that is the whole picture is that
            "image": PipelineCall("Flux2KleinInpaintPipeline", _inpaint_arguments, default_strength=0.6),
            "inpaint": PipelineCall("Flux2KleinInpaintPipeline", _inpaint_arguments, default_strength=1.0),
            "edit": PipelineCall("Flux2KleinPipeline", _reference_arguments, is_8bit_only=True),
            "references": PipelineCall("Flux2KleinPipeline", _reference_arguments, is_8bit_only=True),
        }
    ),
    "qwen-image": ModelFamily(_standard_calls("QwenImage"), guidance_argument="true_cfg_scale", default_negative_prompt=" "),
    "qwen-image-edit": ModelFamily(
        {
            "edit": PipelineCall("QwenImageEditPipeline", _first_reference_arguments, can_batch=False, is_8bit_only=True),
            "inpaint": PipelineCall("QwenImageEditPipeline", _first_reference_arguments, can_batch=False, is_8bit_only=True),
        },
        guidance_argument="true_cfg_scale",
        default_negative_prompt=" ",
    ),
    "qwen-image-edit-plus": ModelFamily(
        {
            "edit": PipelineCall("QwenImageEditPlusPipeline", _reference_arguments, can_batch=False, is_8bit_only=True),
            "inpaint": PipelineCall("QwenImageEditPlusPipeline", _reference_arguments, can_batch=False, is_8bit_only=True),
            "references": PipelineCall("QwenImageEditPlusPipeline", _reference_arguments, can_batch=False, is_8bit_only=True),
        },
        guidance_argument="true_cfg_scale",
        default_negative_prompt=" ",
    ),
    "z-image": ModelFamily(_standard_calls("ZImage"), default_negative_prompt=""),
    "krea2": ModelFamily({"text": PipelineCall("Krea2Pipeline", _text_arguments)}, default_negative_prompt=""),
}

# For families that the table lacks: diffusers finds the class by the folder's own.
AUTO_FAMILY = ModelFamily(
    {
        "text": PipelineCall("AutoPipelineForText2Image", _text_arguments),
        "image": PipelineCall("AutoPipelineForImage2Image", _image_arguments, default_strength=0.6),
        "inpaint": PipelineCall("AutoPipelineForInpainting", _inpaint_arguments, default_strength=1.0),
    },
    default_negative_prompt="",
    uses_auto_pipeline=True,
)


def find_family(name: str) -> ModelFamily:
    return FAMILIES.get(name, AUTO_FAMILY)


def check_abilities(name: str, where: str, claimed: tuple[Ability, ...]) -> tuple[Ability, ...]:
    """What the entry says its model can do. Raises InputError where its family has no way to do that."""
    ways = find_family(name).calls
    beyond = [ability for ability in claimed if ability not in ways]
    if beyond:
        raise InputError(f"{where}.diffusion.can: a model of the family {name!r} cannot {beyond[0]!r}.", f"It can: {', '.join(ways)}.")
    return claimed


_ABILITY_PHRASES: Mapping[Ability, str] = {
    "text": "make a picture from words alone",
    "image": "start from a picture",
    "inpaint": "fill a hole",
    "edit": "edit by instruction",
    "references": "look at reference pictures",
}


def choose_ability(name: str, can: tuple[Ability, ...], request: GenerationRequest) -> Ability:
    """What the request asks of the model: a hole is filled, references are looked at, a picture is started from, or words alone.

    A picture with no strength is an instruction to a model that edits; with one, or to a model that only starts from pictures, it
    is a beginning. A hole is left to image to image or to editing where the model has nothing better: the caller composites.
    Raises InputError where the model can do none of that.
    """
    wanted: tuple[Ability, ...]
    if request.hole is not None:
        if request.references:
            raise InputError(f"The model {name!r} cannot look at reference pictures while it fills a hole.", "Leave them out.")
        wanted = ("inpaint", "image", "edit")
    elif request.references:
        wanted = ("references",)
    elif request.picture is not None:
        wanted = ("edit", "image") if request.options.strength is None else ("image", "edit")
    else:
        wanted = ("text",)
    for ability in wanted:
        if ability in can:
            return ability
    does = ", ".join(_ABILITY_PHRASES[ability] for ability in can)
    raise InputError(
        f"The model {name!r} cannot {_ABILITY_PHRASES[wanted[0]]}; it can {does}.", "Name another model: goldsmith models list."
    )
