"""Models of the sizes that studios use, with random weights: the published shapes, filled directly on the device, written as a folder.

The shapes are those of ``config.json`` of each part of stabilityai/stable-diffusion-xl-base-1.0 and black-forest-labs/FLUX.1-dev; a
test checks them by their numbers of parameters (``COUNTS``). The tokenizers are tiny: prompts are padded to the model's own length, so
they take as long as real ones. The result is noise, which takes as long as a picture.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from doubles import tiny
from doubles import tiny_parts as parts

# Parameters of each part.
COUNTS: Mapping[str, Mapping[str, int]] = {
    "sdxl": {"unet": 2_567_463_684, "text_encoder": 123_060_480, "text_encoder_2": 694_659_840, "vae": 83_653_863},
    "flux": {"transformer": 11_901_408_320, "text_encoder": 123_060_480, "text_encoder_2": 4_762_310_656, "vae": 83_819_683},
}
_EULER = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "timestep_spacing": "leading", "steps_offset": 1}
_SHIFTED = {"shift": 3.0, "use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}


def write_once(family: str, folder: Path, device: str) -> Path:
    """Return the folder of a family's model, and build it on ``device`` if it does not exist. ``device`` "" builds the tiny model."""
    if folder.is_dir():
        return folder
    part_folder = folder.with_name(folder.name + ".part")
    shutil.rmtree(part_folder, ignore_errors=True)
    part_folder.parent.mkdir(parents=True, exist_ok=True)
    if device:
        _write(family, part_folder, device)
    else:
        tiny.build(family, part_folder)
    part_folder.rename(folder)
    return folder


def components(family: str) -> dict[str, Callable[[], Any]]:
    """Return the builder of each part of the model; they use the current device and precision of torch."""
    return _sdxl() if family == "sdxl" else _flux()


def _write(family: str, folder: Path, device: str) -> None:
    import diffusers
    import torch

    with _filled_on(device, torch.bfloat16):
        modules = {name: make() for name, make in components(family).items()}
    kind = diffusers.StableDiffusionXLPipeline if family == "sdxl" else diffusers.FluxPipeline
    kind(**modules).save_pretrained(folder, safe_serialization=True)


@contextmanager
def _filled_on(device: str, precision: Any) -> Iterator[None]:
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(precision)
    torch.manual_seed(0)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def _sdxl() -> dict[str, Callable[[], Any]]:
    from diffusers import EulerDiscreteScheduler, UNet2DConditionModel

    def unet() -> Any:
        return UNet2DConditionModel(
            sample_size=128,
            in_channels=4,
            out_channels=4,
            block_out_channels=(320, 640, 1280),
            layers_per_block=2,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2, 10),
            attention_head_dim=(5, 10, 20),
            cross_attention_dim=2048,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816,
        )

    return {
        "unet": unet,
        "vae": lambda: _vae(4, scaling_factor=0.13025),
        "text_encoder": lambda: _clip(768, 12, 12, "quick_gelu"),
        "text_encoder_2": lambda: _clip(1280, 32, 20, "gelu", projection=True),
        "tokenizer": parts.clip_tokenizer,
        "tokenizer_2": parts.clip_tokenizer,
        "scheduler": lambda: EulerDiscreteScheduler(**_EULER),
    }


def _flux() -> dict[str, Callable[[], Any]]:
    from diffusers import FluxTransformer2DModel

    def transformer() -> Any:
        return FluxTransformer2DModel(
            patch_size=1,
            in_channels=64,
            num_layers=19,
            num_single_layers=38,
            attention_head_dim=128,
            num_attention_heads=24,
            joint_attention_dim=4096,
            pooled_projection_dim=768,
            guidance_embeds=True,
            axes_dims_rope=(16, 56, 56),
        )

    return {
        "transformer": transformer,
        "vae": lambda: _vae(16, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False),
        "text_encoder": lambda: _clip(768, 12, 12, "quick_gelu"),
        "text_encoder_2": _t5,
        "tokenizer": parts.clip_tokenizer,
        "tokenizer_2": parts.t5_tokenizer,
        "scheduler": lambda: parts.flow(**_SHIFTED),
    }


def _vae(latent: int, **settings: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=latent,
        sample_size=1024,
        **settings,
    )


def _clip(width: int, layers: int, heads: int, act: str, *, projection: bool = False) -> Any:
    """Build CLIP's text encoder. Its three token ids are those of the tiny tokenizer, which makes all of its input."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        projection_dim=width,
        max_position_embeddings=77,
        hidden_act=act,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config)


def _t5() -> Any:
    """Build the encoder of T5 v1.1 XXL."""
    from transformers import T5Config, T5EncoderModel

    shape = {"vocab_size": 32128, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64}
    return T5EncoderModel(T5Config(**shape, feed_forward_proj="gated-gelu", tie_word_embeddings=False))
