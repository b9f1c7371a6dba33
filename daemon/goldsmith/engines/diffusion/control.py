"""Control pictures: the pipelines of each family that follow one, and the arguments of their calls.

A control model (ControlNet) reads a picture of depths, edges, poses or tiles, and guides a generating model with it (Zhang et al., "Adding
Conditional Control to Text-to-Image Diffusion Models", 2023). Class and argument names: diffusers 0.42.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from goldsmith.engines.diffusion.families import PipelineCall
from goldsmith.engines.diffusion.picture_checks import resize
from goldsmith.engines.diffusion.pipeline_inputs import PipelineArguments, PipelineInputs
from goldsmith.engines.memory import is_device_failure, is_out_of_memory
from goldsmith.engines.protocols import Ability, ControlGuide, ControlNet
from goldsmith.engines.registry.models import ability_phrase
from goldsmith.errors import InputError


@dataclass(frozen=True, slots=True)
class _ControlFamily:
    """The classes of one family for control models; those for a union of several controls differ only with SDXL.

    first_argument: the name of the control picture's argument in the call without an input picture.
    has_range:      False if a call has no start and no end.
    can_batch:      False if the noise of the control picture's latents comes from torch's global generator, whatever the seeds are.
    """

    net: str
    pipelines: Mapping[Ability, str]
    union_net: str = ""
    union_pipelines: Mapping[Ability, str] = field(default_factory=dict)
    first_argument: str = "control_image"
    has_range: bool = True
    can_batch: bool = True


# The pipeline whose control model reads the hole too. It starts from noise.
_HOLE_READER = "ZImageControlNetInpaintPipeline"
_SDXL = "StableDiffusionXLControlNet"
_FAMILIES: Mapping[str, _ControlFamily] = {
    "sdxl": _ControlFamily(
        "ControlNetModel",
        {"text": f"{_SDXL}Pipeline", "image": f"{_SDXL}Img2ImgPipeline", "inpaint": f"{_SDXL}InpaintPipeline"},
        "ControlNetUnionModel",
        {"text": f"{_SDXL}UnionPipeline", "image": f"{_SDXL}UnionImg2ImgPipeline", "inpaint": f"{_SDXL}UnionInpaintPipeline"},
        first_argument="image",
    ),
    # Its pipeline for inpainting takes a control model of its own, which reads the hole and no control picture.
    "sd3": _ControlFamily("SD3ControlNetModel", {"text": "StableDiffusion3ControlNetPipeline"}, can_batch=False),
    "flux": _ControlFamily(
        "FluxControlNetModel",
        {"text": "FluxControlNetPipeline", "image": "FluxControlNetImg2ImgPipeline", "inpaint": "FluxControlNetInpaintPipeline"},
    ),
    "qwen-image": _ControlFamily("QwenImageControlNetModel", {"text": "QwenImageControlNetPipeline"}),
    "z-image": _ControlFamily("ZImageControlNetModel", {"text": "ZImageControlNetPipeline", "inpaint": _HOLE_READER}, has_range=False),
}
CONTROLLED_FAMILIES = tuple(_FAMILIES)


def controlled_call(name: str, family: str, ability: Ability, plain: PipelineCall, guide: ControlGuide) -> PipelineCall:
    """Return the call of an ability that follows a control picture; ``plain`` is the call without one.

    Raises InputError if the family has none, if the control model is for another family, or if it does not read this control.
    """
    controlled, net = _FAMILIES.get(family), guide.net.descriptor
    if controlled is None:
        raise InputError(
            f"The model {name!r} follows no control pictures; the families that do are: {', '.join(_FAMILIES)}.",
            "Remove control from the step, or name another model.",
        )
    if net.family != family:
        raise InputError(
            f"The control model {net.name!r} is for models of the family {net.family}, and {name!r} is of the family {family}.",
            "Name another control model.",
        )
    if guide.control not in net.controls:
        raise InputError(
            f"The control model {net.name!r} reads {', '.join(net.controls)}, not {guide.control}.", "Name another control model."
        )
    is_union = bool(guide.net.modes) and bool(controlled.union_net)
    pipelines = controlled.union_pipelines if is_union else controlled.pipelines
    if ability not in pipelines:
        raise InputError(
            f"The model {name!r} cannot follow a control picture to {ability_phrase([ability])}; with one, it can "
            f"{ability_phrase(pipelines)}.",
            "Remove control from the step, or name another model.",
        )
    image_argument = controlled.first_argument if ability == "text" and not is_union else "control_image"

    def build_arguments(inputs: PipelineInputs) -> PipelineArguments:
        arguments = {**plain.build_arguments(inputs), **_control_arguments(inputs, guide, controlled, image_argument, is_union=is_union)}
        return {name: value for name, value in arguments.items() if has_strength or name != "strength"}

    has_strength = pipelines[ability] != _HOLE_READER
    can_batch = plain.can_batch and controlled.can_batch
    default_strength = plain.default_strength if has_strength else None
    return PipelineCall(pipelines[ability], build_arguments, can_batch, plain.is_8bit_only, default_strength)


def _control_arguments(
    inputs: PipelineInputs, guide: ControlGuide, family: _ControlFamily, image_argument: str, *, is_union: bool
) -> PipelineArguments:
    import torch

    pixels = resize(guide.picture, inputs.width, inputs.height)
    tensor = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]))
    arguments: PipelineArguments = {image_argument: [tensor] if is_union else tensor, "controlnet_conditioning_scale": guide.strength}
    if guide.net.modes:
        mode = guide.net.modes[guide.control]
        arguments["control_mode"] = [mode] if is_union else mode
    if family.has_range:
        arguments |= {"control_guidance_start": guide.start, "control_guidance_end": guide.end}
    return arguments


def load_net(net: ControlNet, family: str, dtype: str) -> Any:
    """Return the control model in memory on the CPU, in that precision. Raises InputError if its files do not fit its entry."""
    import diffusers
    import torch

    controlled, files = _FAMILIES[family], net.model_files
    kind = getattr(diffusers, controlled.union_net if net.modes and controlled.union_net else controlled.net)
    try:
        with files.unchanged():
            return kind.from_pretrained(
                files.folder, local_files_only=True, use_safetensors=True, torch_dtype=getattr(torch, dtype), low_cpu_mem_usage=False
            ).eval()
    except (ValueError, TypeError, KeyError, AttributeError, OSError, RuntimeError) as error:
        if is_out_of_memory(error) or is_device_failure(error):
            raise
        reason = " ".join(str(error).split())
        raise InputError(
            f"{files.folder}: diffusers cannot open this as a control model for the family {family!r}: {reason:.300}",
            f"Check models.{net.descriptor.name}.control, or fetch the model again.",
        ) from error


def check_net_reads_holes(call: PipelineCall, loaded_net: Any, base: Any, net: ControlNet) -> None:
    """Raise InputError if a pipeline of Z-Image fills a hole and the control model was not made to see it.

    Such a control model reads the latents of the control picture, one channel for the hole, and the latents of the picture.

    loaded_net: the control model in memory. base: a pipeline of the model that it guides.
    """
    if call.pipeline != _HOLE_READER:
        return
    needed, actual = 2 * int(base.transformer.in_channels) + 1, int(loaded_net.config.control_in_dim)
    if actual < needed:
        name = net.descriptor.name
        raise InputError(
            f"The control model {name!r} does not read holes (it has {actual} channels, and {needed} are needed), so it cannot be "
            "followed while a hole is filled.",
            "Name another control model, or remove control from the step.",
        )


def guide_facts(guide: ControlGuide) -> dict[str, object]:
    """Return the facts about a control picture, for the record."""
    net = guide.net.descriptor
    return {
        "model": net.name,
        "control": guide.control,
        "strength": guide.strength,
        "start": guide.start,
        "end": guide.end,
        "weights": [list(each) for each in net.weights],
    }
