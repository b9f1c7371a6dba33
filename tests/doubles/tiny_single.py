"""Tiny models as single files, with the tensor names of published checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from doubles import tiny

# The parts of the network of tiny SDXL: names in diffusers and in checkpoints.
_NET = {
    "conv_in.": "input_blocks.0.0.",
    "time_embedding.linear_1.": "time_embed.0.",
    "time_embedding.linear_2.": "time_embed.2.",
    "add_embedding.linear_1.": "label_emb.0.0.",
    "add_embedding.linear_2.": "label_emb.0.2.",
    "conv_norm_out.": "out.0.",
    "conv_out.": "out.2.",
    "down_blocks.0.resnets.0.": "input_blocks.1.0.",
    "down_blocks.0.downsamplers.0.conv.": "input_blocks.2.0.op.",
    "down_blocks.1.resnets.0.": "input_blocks.3.0.",
    "down_blocks.1.attentions.0.": "input_blocks.3.1.",
    "mid_block.resnets.0.": "middle_block.0.",
    "mid_block.attentions.0.": "middle_block.1.",
    "mid_block.resnets.1.": "middle_block.2.",
    "up_blocks.0.resnets.0.": "output_blocks.0.0.",
    "up_blocks.0.attentions.0.": "output_blocks.0.1.",
    "up_blocks.0.resnets.1.": "output_blocks.1.0.",
    "up_blocks.0.attentions.1.": "output_blocks.1.1.",
    "up_blocks.0.upsamplers.0.": "output_blocks.1.2.",
    "up_blocks.1.resnets.0.": "output_blocks.2.0.",
    "up_blocks.1.resnets.1.": "output_blocks.3.0.",
}
_RESNET = {
    "norm1.": "in_layers.0.",
    "conv1.": "in_layers.2.",
    "time_emb_proj.": "emb_layers.1.",
    "norm2.": "out_layers.0.",
    "conv2.": "out_layers.3.",
    "conv_shortcut.": "skip_connection.",
}
_LEVELS = 4


def sdxl(path: Path) -> Path:
    """Write tiny SDXL as one file: network, decoder and both text encoders."""
    top = tiny.folder("sdxl")
    weights = {f"model.diffusion_model.{_net_name(name)}": tensor for name, tensor in _read(top / "unet").items()}
    weights |= {f"first_stage_model.{_vae_name(name)}": _as_conv(name, tensor) for name, tensor in _read(top / "vae").items()}
    weights |= {f"conditioner.embedders.0.transformer.text_model.{name}": tensor for name, tensor in _read(top / "text_encoder").items()}
    weights |= {f"conditioner.embedders.1.model.{name}": tensor for name, tensor in _open_clip(_read(top / "text_encoder_2"))}
    return _save(weights, path)


def z_image(path: Path) -> Path:
    """Write only the transformer of tiny Z-Image, as it is usually published."""
    import torch

    weights = _read(tiny.folder("z-image") / "transformer")
    published = {}
    for name, tensor in weights.items():
        if ".attention.to_q." in name:
            parts = [weights[name.replace("to_q", each)] for each in ("to_q", "to_k", "to_v")]
            published[name.replace(".to_q.", ".qkv.")] = torch.cat(parts)
        elif ".attention.to_k." not in name and ".attention.to_v." not in name:
            renamed = name.replace("all_final_layer.2-1.", "final_layer.").replace("all_x_embedder.2-1.", "x_embedder.")
            renamed = renamed.replace(".attention.to_out.0.", ".attention.out.")
            renamed = renamed.replace(".attention.norm_k.", ".attention.k_norm.").replace(".attention.norm_q.", ".attention.q_norm.")
            published[renamed] = tensor
    return _save({f"model.diffusion_model.{name}": tensor for name, tensor in published.items()}, path)


def _read(part: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    weights: dict[str, Any] = load_file(next(part.glob("*.safetensors")))
    return weights


def _save(weights: Mapping[str, Any], path: Path) -> Path:
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)
    return path


def _net_name(name: str) -> str:
    stem = next(stem for stem in _NET if name.startswith(stem))
    rest = name.removeprefix(stem)
    if ".resnets." in stem:
        layer = next(layer for layer in _RESNET if rest.startswith(layer))
        rest = rest.replace(layer, _RESNET[layer])
    return _NET[stem] + rest


def _vae_name(name: str) -> str:
    name = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
    name = name.replace("mid_block.resnets.0.", "mid.block_1.").replace("mid_block.resnets.1.", "mid.block_2.")
    name = name.replace("mid_block.attentions.0.", "mid.attn_1.").replace("group_norm.", "norm.").replace("to_out.0.", "proj_out.")
    for letter in "qkv":
        name = name.replace(f"to_{letter}.", f"{letter}.")
    for level in range(_LEVELS):
        name = name.replace(f"down_blocks.{level}.resnets.", f"down.{level}.block.")
        name = name.replace(f"down_blocks.{level}.downsamplers.0.", f"down.{level}.downsample.")
        name = name.replace(f"up_blocks.{level}.resnets.", f"up.{_LEVELS - 1 - level}.block.")
        name = name.replace(f"up_blocks.{level}.upsamplers.0.", f"up.{_LEVELS - 1 - level}.upsample.")
    return name


def _as_conv(name: str, tensor: Any) -> Any:
    """Return the decoder's attention weights as convolutions of one pixel, as published."""
    return tensor[..., None, None] if ".attentions." in name and tensor.ndim == 2 else tensor


def _open_clip(weights: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield text encoder 2 with OpenCLIP's names: query, key and value in one tensor."""
    import torch

    for name, tensor in weights.items():
        if ".q_proj." in name:
            parts = [weights[name.replace("q_proj", each)] for each in ("q_proj", "k_proj", "v_proj")]
            stem = name.replace("text_model.encoder.layers.", "transformer.resblocks.").split(".self_attn.")[0]
            yield f"{stem}.attn.in_proj_{name.rsplit('.', 1)[1]}", torch.cat(parts)
        elif ".k_proj." in name or ".v_proj." in name:
            continue
        elif name == "text_projection.weight":
            yield "text_projection", tensor.T
        else:
            yield _open_clip_name(name), tensor


def _open_clip_name(name: str) -> str:
    for diffusers_name, published_name in {
        "text_model.encoder.layers.": "transformer.resblocks.",
        "text_model.embeddings.position_embedding.weight": "positional_embedding",
        "text_model.embeddings.token_embedding.": "token_embedding.",
        "text_model.final_layer_norm.": "ln_final.",
        ".self_attn.out_proj.": ".attn.out_proj.",
        ".layer_norm1.": ".ln_1.",
        ".layer_norm2.": ".ln_2.",
        ".mlp.fc1.": ".mlp.c_fc.",
        ".mlp.fc2.": ".mlp.c_proj.",
    }.items():
        name = name.replace(diffusers_name, published_name)
    return name
