"""Reference adapters (IP-Adapters) of random numbers for the tiny models, in the form of the published ones, with a visible effect."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from doubles import tiny
from goldsmith.engines.drivers.ip_adapter import open_engine
from goldsmith.engines.protocols import Device, ModelFiles, ReferenceAdapter, ReferenceGuide
from goldsmith.engines.registry.models import Model
from goldsmith.engines.registry.reference_settings import ReferenceSettings
from goldsmith.picture.picture import Pixels

WEIGHTS, ENCODER = "models/ip-adapter.safetensors", "models/image_encoder"
# The side of the pictures that the encoders see, in px, and the width of what they say.
_SIDE, _SEEN = 32, 16
_TOKENS = 4
# The seed and the spread of the random numbers.
_SEED, _SPREAD = 9, 0.3


def _clip_vision() -> Any:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=_SIDE, patch_size=8,
            projection_dim=_SEEN,
        )
    )  # fmt: skip


def _siglip_vision() -> Any:
    from transformers import SiglipVisionConfig, SiglipVisionModel

    return SiglipVisionModel(
        SiglipVisionConfig(
            hidden_size=_SEEN, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=_SIDE, patch_size=8
        )
    )  # fmt: skip


def _projection(width: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the layer that turns what CLIP says into words for the model."""
    return {
        "image_proj.proj.weight": (width * _TOKENS, _SEEN),
        "image_proj.proj.bias": (width * _TOKENS,),
        "image_proj.norm.weight": (width,),
        "image_proj.norm.bias": (width,),
    }


def _unet_shapes(family: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of an adapter for a UNet: one pair of layers for each attention to words, numbered with the others."""
    unet = tiny.part(family, "unet")
    width = int(unet.config.cross_attention_dim)
    shapes = _projection(width)
    for number, (name, processor) in enumerate(unet.attn_processors.items()):
        assert processor is not None
        if name.endswith("attn2.processor"):
            attention = unet.get_submodule(name.removesuffix(".processor"))
            key = number  # published adapters count the attentions to the picture itself too
            for part in ("to_k_ip", "to_v_ip"):
                shapes[f"ip_adapter.{key}.{part}.weight"] = (attention.inner_dim, width)
    return shapes


def _flux_shapes() -> dict[str, tuple[int, ...]]:
    transformer = tiny.part("flux", "transformer")
    inner, width = int(transformer.inner_dim), int(transformer.config.joint_attention_dim)
    shapes = {name.replace("image_proj", "ip_adapter_proj_model"): shape for name, shape in _projection(width).items()}
    for number in range(int(transformer.config.num_layers)):
        for part in ("k", "v"):
            place = f"double_blocks.{number}.processor.ip_adapter_double_stream_{part}_proj"
            shapes |= {f"{place}.weight": (inner, width), f"{place}.bias": (inner,)}
    return shapes


def _sd3_tensors() -> dict[str, Any]:
    """Return the tensors of an adapter for SD3, from the classes that diffusers loads it into."""
    from diffusers.models.attention_processor import SD3IPAdapterJointAttnProcessor2_0
    from diffusers.models.embeddings import IPAdapterTimeImageProjection

    transformer = tiny.part("sd3", "transformer")
    head = int(transformer.config.attention_head_dim)
    hidden = head * int(transformer.config.num_attention_heads)
    projection = IPAdapterTimeImageProjection(
        embed_dim=_SEEN, output_dim=hidden, hidden_dim=64, heads=1, num_queries=_TOKENS, timestep_in_dim=320
    )
    tensors = {f"image_proj.{name}": value for name, value in projection.state_dict().items()}
    for number in range(len(transformer.attn_processors)):
        layer = SD3IPAdapterJointAttnProcessor2_0(hidden_size=hidden, ip_hidden_states_dim=hidden, head_dim=head, timesteps_emb_dim=64)
        tensors |= {f"ip_adapter.{number}.{name}": value for name, value in layer.state_dict().items()}
    return tensors


def _random(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    import torch

    return {name: torch.empty(shape) for name, shape in shapes.items()}


_BUILDERS: Mapping[str, tuple[Callable[[], dict[str, Any]], Callable[[], Any]]] = {
    "sdxl": (lambda: _random(_unet_shapes("sdxl")), _clip_vision),
    "sd15": (lambda: _random(_unet_shapes("sd15")), _clip_vision),
    "flux": (lambda: _random(_flux_shapes()), _clip_vision),
    "sd3": (_sd3_tensors, _siglip_vision),
}
FAMILIES = tuple(_BUILDERS)


@functools.cache
def folder(family: str) -> Path:
    """Return the folder of an adapter for a family, built once per process. Copy it before changing it."""
    import torch
    from safetensors.torch import save_file

    top = tiny.folder(family).parent / f"adapter-{family}"
    tensors, encoder = _BUILDERS[family]
    (top / ENCODER).mkdir(parents=True)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(_SEED)
        filled = {name: tensor.float().clone().normal_(0, _SPREAD) for name, tensor in tensors().items()}
        save_file({name: tensor.contiguous() for name, tensor in filled.items()}, top / WEIGHTS)
        encoder().save_pretrained(top / ENCODER, safe_serialization=True)
    return top


@functools.cache
def adapter(family: str) -> ReferenceAdapter:
    """Return an adapter as its driver opens it."""
    settings = ReferenceSettings(family=family, weights=WEIGHTS, encoder=ENCODER)
    entry = Model(kind="reference", driver="ip_adapter", licence="CC0-1.0", folder=folder(family), reference=settings)
    return open_engine(f"{family}-likeness", entry, ModelFiles({}, folder(family), revision="0" * 40), Device())


def likeness(family: str, *pictures: Pixels, strength: float = 1.0) -> ReferenceGuide:
    """Return reference pictures for a request."""
    return ReferenceGuide(adapter(family), pictures, strength)


def entry(family: str) -> str:
    """Return the table of an adapter in models.toml."""
    return f"""[models.{family}-likeness]
kind = "reference"
driver = "ip_adapter"
licence = "CC0-1.0"
folder = {json.dumps(str(folder(family)))}

[models.{family}-likeness.reference]
family = "{family}"
weights = "{WEIGHTS}"
encoder = "{ENCODER}"
"""
