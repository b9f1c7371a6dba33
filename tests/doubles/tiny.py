"""Tiny models with random weights, one for each family: real pipelines in real folders of a few hundred kilobytes.

``folder(family)`` builds a model once per process; ``models_toml`` puts such models behind the names that briefs use.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from doubles import tiny_parts as parts
from doubles.model_entries import generator_entry

# The native number of pixels of every tiny model.
PIXELS = 64 * 64
MULTIPLE = 32


def _sdxl(channels: int = 4) -> dict[str, Any]:
    from diffusers import EulerDiscreteScheduler, UNet2DConditionModel

    unet = UNet2DConditionModel(
        block_out_channels=(16, 32),
        layers_per_block=1,
        sample_size=32,
        in_channels=channels,
        out_channels=4,
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 1),
        projection_class_embeddings_input_dim=48 + 6 * 8,
        cross_attention_dim=16 + 48,
    )
    steps = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "timestep_spacing": "leading", "steps_offset": 1}
    return {
        "vae": parts.vae(scaling=0.13025),
        "text_encoder": parts.clip_encoder(16),  # diffusers distinguishes the two by their widths
        "text_encoder_2": parts.clip_encoder(48, projection=True),
        "tokenizer": parts.clip_tokenizer(),
        "tokenizer_2": parts.clip_tokenizer(),
        "unet": unet,
        "scheduler": EulerDiscreteScheduler(**steps),
    }


def _sd15() -> dict[str, Any]:
    from diffusers import EulerDiscreteScheduler, UNet2DConditionModel

    unet = UNet2DConditionModel(
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        sample_size=32,
        norm_num_groups=4,
        attention_head_dim=4,
        cross_attention_dim=16,
    )
    return {
        "vae": parts.vae(),
        "text_encoder": parts.clip_encoder(16),
        "tokenizer": parts.clip_tokenizer(),
        "unet": unet,
        "scheduler": EulerDiscreteScheduler(steps_offset=1),
        "safety_checker": None,
        "feature_extractor": None,
    }


def _sd3() -> dict[str, Any]:
    from diffusers import SD3Transformer2DModel

    transformer = SD3Transformer2DModel(
        sample_size=32,
        patch_size=2,
        in_channels=16,
        num_layers=2,  # the last layer follows no control model
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=64,
        pooled_projection_dim=64,
        out_channels=16,
    )
    return {
        "scheduler": parts.flow(shift=3.0),
        "text_encoder": parts.clip_encoder(projection=True),
        "tokenizer": parts.clip_tokenizer(),
        "text_encoder_2": parts.clip_encoder(projection=True),
        "tokenizer_2": parts.clip_tokenizer(),
        "text_encoder_3": parts.t5_encoder(64),
        "tokenizer_3": parts.t5_tokenizer(),
        "transformer": transformer,
        "vae": parts.vae(16, 1.5305, 0.0609, quant=False),
    }


def _flux(channels: int = 16, out: int | None = None) -> dict[str, Any]:
    from diffusers import FluxTransformer2DModel

    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=channels,
        out_channels=out,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )
    return {
        "scheduler": parts.flow(use_dynamic_shifting=True),
        "vae": parts.vae(4, 0.3611, 0.1159, quant=False),
        "text_encoder": parts.clip_encoder(),
        "tokenizer": parts.clip_tokenizer(),
        "text_encoder_2": parts.t5_encoder(),
        "tokenizer_2": parts.t5_tokenizer(),
        "transformer": transformer,
    }


def _flux_fill() -> dict[str, Any]:
    """Return the components of FLUX Fill: its input is latents, masked latents and mask, 8 x 8 px for each latent, in fours."""
    return _flux(16 + 16 + 8 * 8 * 4, 16)


def _flux2_klein() -> dict[str, Any]:
    from diffusers import Flux2Transformer2DModel

    transformer = Flux2Transformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=48,
        timestep_guidance_channels=32,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    return {
        "scheduler": parts.flow(use_dynamic_shifting=True),
        "vae": parts.flux2_vae(),
        "text_encoder": parts.qwen3(28, head=True),
        "tokenizer": parts.qwen_tokenizer(),
        "transformer": transformer,
    }


def _qwen_image() -> dict[str, Any]:
    from diffusers import QwenImageTransformer2DModel

    transformer = QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(8, 4, 4),
    )
    return {
        "scheduler": parts.flow(use_dynamic_shifting=True),
        "vae": parts.qwen_vae(),
        "text_encoder": parts.qwen25_vl(),
        "tokenizer": parts.qwen_tokenizer(),
        "transformer": transformer,
    }


def _qwen_image_layered() -> dict[str, Any]:
    """Return the components of Qwen-Image-Layered: its pictures have alpha, and its latents eight channels, which tell them from those."""
    from diffusers import QwenImageTransformer2DModel

    transformer = QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=32,
        out_channels=8,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(8, 4, 4),
        use_additional_t_cond=True,
        use_layer3d_rope=True,
    )
    return {**_qwen_image(), "vae": parts.qwen_vae(channels=4, latent=8), "transformer": transformer}


def _longcat_image_edit() -> dict[str, Any]:
    from diffusers import LongCatImageTransformer2DModel

    transformer = LongCatImageTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        pooled_projection_dim=16,
        axes_dims_rope=[8, 4, 4],
    )
    return {
        "scheduler": parts.flow(use_dynamic_shifting=True),
        "vae": parts.vae(16, 0.3611, 0.1159, quant=False),
        "text_encoder": parts.qwen25_vl(),
        "tokenizer": parts.qwen_tokenizer(),
        "transformer": transformer,
    }


def _joy_image_edit() -> dict[str, Any]:
    from diffusers import JoyImageEditTransformer3DModel

    transformer = JoyImageEditTransformer3DModel(
        in_channels=4, hidden_size=32, num_attention_heads=2, text_dim=16, num_layers=1, rope_dim_list=[4, 6, 6]
    )
    return {
        "scheduler": parts.flow(use_dynamic_shifting=False),
        "vae": parts.wan_vae(),
        "text_encoder": parts.qwen3_vl(head=True),
        "tokenizer": parts.qwen_tokenizer(),
        "transformer": transformer,
    }


def _chronoedit() -> dict[str, Any]:
    """Return the components of ChronoEdit: its input is latents, the latents of the picture, and a mask of four channels."""
    from diffusers import ChronoEditTransformer3DModel

    transformer = ChronoEditTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4 + 4 + 4,
        out_channels=4,
        text_dim=32,
        freq_dim=32,
        ffn_dim=32,
        num_layers=1,
        image_dim=16,
        rope_max_seq_len=32,
    )
    return {
        "tokenizer": parts.t5_tokenizer(),
        "text_encoder": parts.umt5_encoder(),
        "image_encoder": parts.clip_vision(),
        "image_processor": parts.clip_picture_processor(),
        "transformer": transformer,
        "vae": parts.wan_vae(),
        "scheduler": parts.flow(shift=3.0),
    }


def _z_image() -> dict[str, Any]:
    import torch
    from diffusers import ZImageTransformer2DModel

    transformer = ZImageTransformer2DModel(
        all_patch_size=(2,),
        all_f_patch_size=(1,),
        in_channels=4,
        dim=32,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[8, 4, 4],
        axes_lens=[512, 64, 64],
    )
    with torch.no_grad():  # they start with the content of uninitialised memory
        transformer.x_pad_token.fill_(1.0)
        transformer.cap_pad_token.fill_(1.0)
    return {
        "scheduler": parts.flow(shift=3.0),
        "vae": parts.vae(4, 0.3611, 0.1159),
        "text_encoder": parts.qwen3(2),
        "tokenizer": parts.qwen_tokenizer(),
        "transformer": transformer,
    }


def _krea2() -> dict[str, Any]:
    from diffusers import Krea2Transformer2DModel

    transformer = Krea2Transformer2DModel(
        in_channels=16,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=32,
        timestep_embed_dim=8,
        text_hidden_dim=16,
        num_text_layers=3,
        text_num_attention_heads=2,
        text_num_key_value_heads=1,
        text_intermediate_size=16,
        num_layerwise_text_blocks=1,
        num_refiner_text_blocks=1,
        axes_dims_rope=(4, 2, 2),
        rope_theta=1000.0,
    )
    return {
        "scheduler": parts.flow(use_dynamic_shifting=True),
        "vae": parts.qwen_vae(),
        "text_encoder": parts.qwen3_vl(),
        "tokenizer": parts.qwen_tokenizer(),
        "transformer": transformer,
        "text_encoder_select_layers": (0, 1, 2),
    }


_PIPELINES: Mapping[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "sdxl": ("StableDiffusionXLPipeline", _sdxl),
    "sdxl-inpaint": ("StableDiffusionXLInpaintPipeline", lambda: _sdxl(9)),
    "sd3": ("StableDiffusion3Pipeline", _sd3),
    "flux": ("FluxPipeline", _flux),
    "flux-fill": ("FluxFillPipeline", _flux_fill),
    "flux-kontext": ("FluxKontextPipeline", _flux),
    "flux2-klein": ("Flux2KleinPipeline", _flux2_klein),
    "qwen-image": ("QwenImagePipeline", _qwen_image),
    "qwen-image-edit": ("QwenImageEditPipeline", _qwen_image),
    "qwen-image-edit-plus": ("QwenImageEditPlusPipeline", _qwen_image),
    "longcat-image-edit": ("LongCatImageEditPipeline", _longcat_image_edit),
    "joy-image-edit": ("JoyImageEditPipeline", _joy_image_edit),
    "chronoedit": ("ChronoEditPipeline", _chronoedit),
    "z-image": ("ZImagePipeline", _z_image),
    "krea2": ("Krea2Pipeline", _krea2),
    "qwen-image-layered": ("QwenImageLayeredPipeline", _qwen_image_layered),
    "sd15": ("StableDiffusionPipeline", _sd15),
}

# The abilities of each family in models.toml.
CAN: Mapping[str, tuple[str, ...]] = {
    "sdxl": ("text", "image", "inpaint"),
    "sdxl-inpaint": ("inpaint",),
    "sd3": ("text", "image", "inpaint"),
    "flux": ("text", "image", "inpaint"),
    "flux-fill": ("inpaint",),
    "flux-kontext": ("text", "edit", "inpaint"),
    "flux2-klein": ("text", "image", "inpaint", "edit", "references"),
    "qwen-image": ("text", "image", "inpaint"),
    "qwen-image-edit": ("edit", "inpaint"),
    "qwen-image-edit-plus": ("edit", "inpaint", "references"),
    "longcat-image-edit": ("edit", "inpaint"),
    "joy-image-edit": ("edit", "inpaint"),
    "chronoedit": ("edit", "inpaint"),
    "z-image": ("text", "image", "inpaint"),
    "krea2": ("text",),
    "qwen-image-layered": ("layers",),
    "sd15": ("text", "image", "inpaint"),
}
# The part of a family that is Qwen's processor.
_PROCESSORS = {
    "qwen-image-edit": "processor",
    "qwen-image-edit-plus": "processor",
    "longcat-image-edit": "text_processor",
    "qwen-image-layered": "processor",
    "joy-image-edit": "processor",
}
# The families in the table of families that make pictures. Diffusers chooses the pipelines of Stable Diffusion 1 itself, and
# Qwen-Image-Layered makes layers.
FAMILIES = tuple(family for family in _PIPELINES if family not in ("sd15", "qwen-image-layered"))


class _NoProcessor:
    """Stands in for a processor that is written by hand later."""

    image_processor = None


def build(family: str, folder: Path) -> Path:
    """Write the tiny model of a family to ``folder`` (the root of a diffusers tree) and return it. The bytes are always the same."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import diffusers
    import torch
    import transformers

    diffusers.logging.set_verbosity_error()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    name, components = _PIPELINES[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        modules = components()
        processor = _PROCESSORS.get(family)
        extra = {processor: _NoProcessor() if family == "longcat-image-edit" else None} if processor else {}
        pipeline = getattr(diffusers, name)(**modules, **extra)
    pipeline.save_pretrained(folder, safe_serialization=True)
    if processor:
        processor_class = "Qwen3VLProcessor" if family == "joy-image-edit" else "Qwen2VLProcessor"
        parts.write_qwen_processor(folder / processor, processor_class)
        index = folder / "model_index.json"
        model_index = json.loads(index.read_text(encoding="utf-8"))
        index.write_text(json.dumps({**model_index, processor: ["transformers", processor_class]}), encoding="utf-8")
    return folder


@functools.cache
def folder(family: str) -> Path:
    """Return the tree of a family's tiny model, built once per process and removed at its end. Copy it before changing it."""
    return build(family, _session() / family)


def part(family: str, name: str) -> Any:
    """Return a part of a family's tiny model, such as its unet."""
    import diffusers

    index = json.loads((folder(family) / "model_index.json").read_text(encoding="utf-8"))
    return getattr(diffusers, index[name][1]).from_pretrained(folder(family) / name, local_files_only=True)


@functools.cache
def _session() -> Path:
    top = Path(tempfile.mkdtemp(prefix="goldsmith-tiny-"))
    atexit.register(shutil.rmtree, top, ignore_errors=True)
    return top


def members(family: str) -> Iterable[str]:
    """Return the paths of all files in a family's tree, relative to its root."""
    top = folder(family)
    return sorted(str(path.relative_to(top)) for path in top.rglob("*") if path.is_file())


def models_toml(names: Mapping[str, str], *, memory_mb: int = 8) -> str:
    """Return the text of a models.toml with a tiny model behind each name: ``{"premium": "sdxl", "fill": "flux-fill"}``.

    Models that generate from words are the defaults for generating, those that fill holes the defaults for inpainting with a prompt.
    """
    generate = [name for name, family in names.items() if "text" in CAN[family]]
    fill = [name for name, family in names.items() if "inpaint" in CAN[family]]
    tables = [f"[defaults]\ninpaint = []\ninpaint_words = {json.dumps(fill)}\ngenerate = {json.dumps(generate)}\n"]
    tables += [
        generator_entry(
            name,
            family=family,
            can=CAN[family],
            folder=folder(family),
            pixels=PIXELS,
            multiple=MULTIPLE,
            steps=2,
            guidance=2.0,
            memory_mb=memory_mb,
            picture_mb=8,
            seconds=60,
        )
        for name, family in names.items()
    ]
    return "\n".join(tables)
