"""Reference pictures with a strength: a model follows them by an adapter (IP-Adapter) that is attached for one call.

An adapter reads the pictures with an image encoder of its own and adds what it saw to the attention of the model (Ye et al., "IP-Adapter:
Text Compatible Image Prompt Adapter for Text-to-Image Diffusion Models", 2023). Class and argument names: diffusers 0.42.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from goldsmith.engines.diffusion.pipeline_inputs import PipelineArguments, to_pil
from goldsmith.engines.memory import is_device_failure, is_out_of_memory
from goldsmith.engines.protocols import Ability, ReferenceAdapter, ReferenceGuide
from goldsmith.engines.registry.family_additions import REFERENCED, additions_family, guided_abilities
from goldsmith.engines.registry.models import ability_phrase
from goldsmith.errors import HostError, InputError

# Families whose pipelines read one reference picture, as a tensor; all others read a list of several.
_SINGLE_PICTURE_FAMILIES = frozenset({"sd3"})


class ImageEncoder:
    """The image encoder of an adapter in memory, with the form in which it reads pictures."""

    def __init__(self, adapter: ReferenceAdapter, family: str, dtype: str, device: str) -> None:
        """Load it onto the device, in that precision. Raises InputError if its files do not fit the family."""
        import torch
        import transformers

        # SD3's adapters look through SigLIP, all others through CLIP.
        kind = transformers.SiglipVisionModel if family == "sd3" else transformers.CLIPVisionModelWithProjection
        try:
            with adapter.model_files.unchanged():
                self.model: Any = kind.from_pretrained(
                    adapter.encoder_folder, local_files_only=True, use_safetensors=True, dtype=getattr(torch, dtype)
                ).eval()
                self.model.to(torch.device(device))
        except Exception as error:  # a border: safetensors, transformers and diffusers raise errors of many classes
            if _is_other_fault(error):
                raise
            raise _unreadable(adapter, family, error) from error
        side = int(self.model.config.image_size)
        self._processor: Any = (
            transformers.SiglipImageProcessorPil(size={"height": side, "width": side})
            if family == "sd3"
            else transformers.CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
        )

    def read(self, guide: ReferenceGuide) -> Any:
        """Return the reference pictures as the encoder takes them: a tensor (pictures, 3, side, side)."""
        return self._processor([to_pil(pixels) for pixels in guide.pictures], return_tensors="pt").pixel_values


def check_references(name: str, family: str, ability: Ability, guide: ReferenceGuide, *, controlled: bool) -> None:
    """Raise InputError if the model cannot follow these reference pictures while it uses the ability.

    controlled: whether it follows a control picture too.
    """
    adapter = guide.adapter.descriptor
    if family not in REFERENCED:
        raise InputError(
            f"The model {name!r} has no way to follow reference pictures with a strength; the families that have: {', '.join(REFERENCED)}.",
            "Remove reference_strength from the step, or name another model.",
        )
    if adapter.family != additions_family(family):
        raise InputError(
            f"The reference adapter {adapter.name!r} is for models of the family {adapter.family}, and {name!r} is of the family {family}.",
            "Name another reference_model.",
        )
    abilities = guided_abilities(family, controlled=controlled, referenced=True)
    if ability not in abilities:
        both = " and a control picture" if controlled else ""
        raise InputError(
            f"The model {name!r} cannot follow reference pictures{both} to {ability_phrase([ability])}; with them, it can "
            f"{ability_phrase(sorted(abilities))}.",
            "Remove control or reference_strength from the step, or name another model.",
        )
    if len(guide.pictures) > 1 and family in _SINGLE_PICTURE_FAMILIES:
        raise InputError(
            f"The model {name!r} follows one reference picture with a strength, but there are {len(guide.pictures)}.",
            "Leave one of them beside the brief, or name another model.",
        )


@contextmanager
def attached_adapter(
    pipe: Any, encoder: ImageEncoder, guide: ReferenceGuide, family: str, move_to: str = ""
) -> Iterator[PipelineArguments]:
    """Attach the adapter to the model of a pipeline within the block, and yield the arguments of the call.

    move_to: the device for the adapter's parts if the model's own blocks are moved there one by one; "" = they follow the model.

    Afterwards the model is as it was. Raises InputError if the adapter does not fit it.
    """
    import torch

    adapter = guide.adapter
    pipe.register_modules(image_encoder=encoder.model)
    without_encoder = {"image_encoder_pretrained_model_name_or_path" if family == "flux" else "image_encoder_folder": None}
    folder, file = adapter.weights_path.parent, adapter.weights_path.name
    try:
        try:
            with adapter.model_files.unchanged():
                pipe.load_ip_adapter(str(folder), subfolder="", weight_name=file, local_files_only=True, **without_encoder)
                _require_complete(pipe)
        except Exception as error:  # a border: safetensors, transformers and diffusers raise errors of many classes
            if _is_other_fault(error):
                raise
            raise _unreadable(adapter, family, error) from error
        for part in _attached_parts(pipe) if move_to else ():
            part.to(torch.device(move_to))
        pipe.set_ip_adapter_scale(guide.strength)
        pictures = encoder.read(guide)
        yield {"ip_adapter_image": pictures if family in _SINGLE_PICTURE_FAMILIES else [pictures]}
    finally:
        with suppress(AttributeError):  # nothing was attached
            pipe.unload_ip_adapter()


def _attached_parts(pipe: Any) -> list[Any]:
    """Return the modules that an adapter has added to the model of a pipeline."""
    import torch

    net = getattr(pipe, "unet", None) or pipe.transformer
    parts = (*net.attn_processors.values(), getattr(net, "encoder_hid_proj", None), getattr(net, "image_proj", None))
    return [part for part in parts if isinstance(part, torch.nn.Module)]


def _require_complete(pipe: Any) -> None:
    """Raise ValueError if a tensor of the adapter was not in its file: diffusers leaves it without values."""
    lacking = next((name for part in _attached_parts(pipe) for name, each in part.named_parameters() if each.is_meta), "")
    if lacking:
        raise ValueError(f"the file lacks the tensor {lacking}")


def _is_other_fault(error: Exception) -> bool:
    """Return whether an error has its own sentence, or the machine is at fault, and not the files."""
    return isinstance(error, InputError | HostError) or is_out_of_memory(error) or is_device_failure(error)


def _unreadable(adapter: ReferenceAdapter, family: str, error: Exception) -> InputError:
    """Return the problem for files that are no adapter for the family."""
    reason = " ".join(str(error).split())
    name = adapter.descriptor.name
    return InputError(
        f"{adapter.weights_path}: diffusers cannot open this as a reference adapter for the family {family!r}: {reason:.300}",
        f"Check models.{name}.reference, or fetch the model again: goldsmith models fetch {name}",
    )


def likeness_facts(guide: ReferenceGuide) -> dict[str, object]:
    """Return the facts about reference pictures with a strength, for the record."""
    adapter = guide.adapter.descriptor
    return {
        "model": adapter.name,
        "strength": guide.strength,
        "pictures": len(guide.pictures),
        "weights": [list(each) for each in adapter.weights],
    }
