"""Control models of random numbers for the tiny models, with a visible effect."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from doubles import tiny
from goldsmith.engines.drivers.controlnet import open_engine
from goldsmith.engines.protocols import ControlGuide, ControlName, ControlNet, Device, ModelFiles
from goldsmith.engines.registry.control_settings import ControlSettings
from goldsmith.engines.registry.models import Model
from goldsmith.picture.picture import Pixels

# Each control model: the family that it guides, and the numbers of its modes if it is a union.
NETS: Mapping[str, tuple[str, Mapping[ControlName, int]]] = {
    "sdxl-depth": ("sdxl", {}),
    "sdxl-union": ("sdxl", {"pose": 0, "depth": 1, "edges": 3}),
    "sd3-depth": ("sd3", {}),
    "flux-depth": ("flux", {}),
    "flux-union": ("flux", {"edges": 0, "depth": 2}),
    "qwen-image-depth": ("qwen-image", {}),
    "z-image-depth": ("z-image", {}),
    "z-image-holes": ("z-image", {}),
}
# The seed and the spread of the random numbers: outputs of a control model begin as zeros, which change nothing.
_SEED, _SPREAD = 5, 0.2


def _sdxl(*, union: bool) -> Any:
    from diffusers import ControlNetModel, ControlNetUnionModel

    settings: dict[str, Any] = {
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "attention_head_dim": (2, 4),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "transformer_layers_per_block": (1, 1),
        "projection_class_embeddings_input_dim": 48 + 6 * 8,
        "cross_attention_dim": 16 + 48,
        "conditioning_embedding_out_channels": (4, 4, 4, 4),
    }
    if union:
        return ControlNetUnionModel(**settings, num_control_type=6, num_trans_channel=16, num_trans_head=2, num_proj_channel=16)
    return ControlNetModel(**settings)


def _sd3() -> Any:
    from diffusers import SD3ControlNetModel

    return SD3ControlNetModel(
        sample_size=32, patch_size=2, in_channels=16, num_layers=1, attention_head_dim=8, num_attention_heads=4,
        caption_projection_dim=32, joint_attention_dim=64, pooled_projection_dim=64, out_channels=16, pos_embed_max_size=96,
    )  # fmt: skip


def _flux(*, union: bool) -> Any:
    from diffusers import FluxControlNetModel

    return FluxControlNetModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=[4, 4, 8], guidance_embeds=True, num_mode=4 if union else None,
    )  # fmt: skip


def _qwen_image() -> Any:
    from diffusers import QwenImageControlNetModel

    return QwenImageControlNetModel(
        patch_size=2, in_channels=16, out_channels=4, num_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=16, axes_dims_rope=(8, 4, 4),
    )  # fmt: skip


def _z_image(channels: int) -> Any:
    """Build a control model of Z-Image. One that sees holes reads 4 channels of the control picture, 1 of the hole and 4 of the picture."""
    from diffusers import ZImageControlNetModel

    return ZImageControlNetModel(
        control_layers_places=[0], control_refiner_layers_places=[0], control_in_dim=channels, dim=32, n_refiner_layers=1, n_heads=2,
        n_kv_heads=2, add_control_noise_refiner="control_noise_refiner",
    )  # fmt: skip


_BUILDERS: Mapping[str, Callable[[], Any]] = {
    "sdxl-depth": lambda: _sdxl(union=False),
    "sdxl-union": lambda: _sdxl(union=True),
    "sd3-depth": _sd3,
    "flux-depth": lambda: _flux(union=False),
    "flux-union": lambda: _flux(union=True),
    "qwen-image-depth": _qwen_image,
    "z-image-depth": lambda: _z_image(4),
    "z-image-holes": lambda: _z_image(9),
}


@functools.cache
def folder(name: str) -> Path:
    """Return the folder of a control model, built once per process. Copy it before changing it."""
    import torch

    tiny.folder(NETS[name][0])  # makes the session's folder and switches the libraries to offline mode
    path = tiny.folder(NETS[name][0]).parent / f"control-{name}"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        net = _BUILDERS[name]()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.normal_(0, _SPREAD)
    net.save_pretrained(path, safe_serialization=True)
    return path


def _controls(name: str) -> tuple[ControlName, ...]:
    return tuple(NETS[name][1]) or ("depth", "edges")


@functools.cache
def net(name: str) -> ControlNet:
    """Return a control model as its driver opens it."""
    family, modes = NETS[name]
    settings = ControlSettings(family=family, controls=_controls(name), modes=tuple(modes.items()))
    entry = Model(kind="control", driver="controlnet", licence="CC0-1.0", folder=folder(name), control=settings)
    return open_engine(name, entry, ModelFiles({}, folder(name), revision="0" * 40, is_tree=False), Device())


def guide(name: str, picture: Pixels, control: ControlName = "depth", **settings: float) -> ControlGuide:
    """Return a control picture for a request."""
    return ControlGuide(net(name), control, picture, **settings)


def entry(name: str) -> str:
    """Return the table of a control model in models.toml."""
    family, modes = NETS[name]
    modes_line = f"modes = {{ {', '.join(f'{control} = {number}' for control, number in modes.items())} }}\n" if modes else ""
    return f"""[models.{name}]
kind = "control"
driver = "controlnet"
licence = "CC0-1.0"
folder = {json.dumps(str(folder(name)))}

[models.{name}.control]
family = "{family}"
controls = {json.dumps(_controls(name))}
{modes_line}"""
