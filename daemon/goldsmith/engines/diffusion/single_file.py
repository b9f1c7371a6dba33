"""Tell from the names of its tensors which parts of a model a single file contains.

A file is published with all parts, or with the network alone. Names: ``CHECKPOINT_KEY_NAMES``, ``LDM_VAE_KEYS`` and the loaders of
diffusers 0.42 (``diffusers.loaders.single_file_utils``). This module reads only names and imports no runtime.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from goldsmith.errors import InputError

_DECODER_PREFIXES = ("first_stage_model.", "vae.")
_ENCODER_PREFIXES = ("cond_stage_model.", "conditioner.", "text_encoders.", "text_encoder.", "text_encoder_2.", "text_encoder_3.")
# One tensor of every form in which diffusers reads a text encoder from a file, by its class.
_CLIP_TENSORS = frozenset(
    {
        "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight",
        "cond_stage_model.model.token_embedding.weight",
        "conditioner.embedders.1.model.positional_embedding",
        "conditioner.embedders.0.model.text_projection",
        "text_encoders.clip_l.transformer.text_model.embeddings.position_embedding.weight",
        "text_encoders.clip_g.transformer.text_model.embeddings.position_embedding.weight",
    }
)
_ENCODER_TENSORS: Mapping[str, frozenset[str]] = {
    "CLIPTextModel": _CLIP_TENSORS,
    "CLIPTextModelWithProjection": _CLIP_TENSORS,
    "T5EncoderModel": frozenset({"text_encoders.t5xxl.transformer.shared.weight"}),
}
# Weights in 8 bits with their scale in a tensor of its own: diffusers would read the numbers without the scale.
_SCALED_ENDINGS = ("scaled_fp8", ".scale_weight", ".weight_scale", ".comfy_quant")


def parts_in_file(path: Path, tensors: Collection[str], parts: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """Return which parts of a model are in the file with these tensors.

    parts: the library and the class of each part that has weights, such as {"unet": ("diffusers", "UNet2DConditionModel")}.

    Raises InputError if the file has a part that cannot be read from a file: another one must not be used in its place.
    """
    scaled = next((name for name in tensors if name.endswith(_SCALED_ENDINGS)), "")
    if scaled:
        raise InputError(
            f"{path}: its weights are scaled 8-bit numbers ({scaled}), which cannot be read.",
            "Use the file with 16-bit or 32-bit weights (bf16, fp16 or fp32).",
        )
    present = {part for part, (library, class_name, *_) in parts.items() if _is_part_present(tensors, library, class_name)}
    encoders = {part for part in parts if part.startswith("text_encoder")}
    encoder_tensor = next((name for name in tensors if name.startswith(_ENCODER_PREFIXES)), "")
    if encoder_tensor and encoders and not encoders & present:
        raise InputError(
            f"{path}: it has a text encoder of its own ({encoder_tensor}), which cannot be read from a single file.",
            "Use the model as a folder, or a file without text encoders: those of the folder then serve.",
        )
    if not present:
        raise InputError(f"{path}: it has no part of this model.", "Correct the entry in models.toml.")
    return frozenset(present)


def _is_part_present(tensors: Collection[str], library: str, class_name: str) -> bool:
    if class_name in _ENCODER_TENSORS:
        return not _ENCODER_TENSORS[class_name].isdisjoint(tensors)
    if class_name.startswith("Autoencoder"):
        return any(name.startswith(_DECODER_PREFIXES) for name in tensors)
    # The network: its tensors have no prefix, or the prefix of the program that trained it.
    return library == "diffusers" and not all(name.startswith((*_DECODER_PREFIXES, *_ENCODER_PREFIXES)) for name in tensors)
