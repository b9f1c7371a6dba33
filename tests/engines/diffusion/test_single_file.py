"""The parts of a model in a single file are told from the names of its tensors."""

from __future__ import annotations

from pathlib import Path

import pytest

from doubles import tiny_single
from goldsmith.engines.diffusion.diffusers_tree import check_safetensors
from goldsmith.engines.diffusion.single_file import parts_in_file
from goldsmith.errors import InputError

SDXL = {
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "text_encoder_2": ("transformers", "CLIPTextModelWithProjection"),
}
SD3 = {
    "transformer": ("diffusers", "SD3Transformer2DModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "text_encoder": ("transformers", "CLIPTextModelWithProjection"),
    "text_encoder_3": ("transformers", "T5EncoderModel"),
}
Z_IMAGE = {
    "transformer": ("diffusers", "ZImageTransformer2DModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "text_encoder": ("transformers", "Qwen3Model"),
}
FILE = Path("one.safetensors")


def test_a_whole_checkpoint_has_all_parts(tmp_path: Path) -> None:
    """Check the names of a published checkpoint, and that the libraries agree about its text encoders."""
    from diffusers.loaders.single_file_utils import is_clip_model_in_single_file
    from transformers import CLIPTextModel

    tensors = check_safetensors(tiny_single.sdxl(tmp_path / "all.safetensors"), "")
    assert parts_in_file(FILE, tensors, SDXL) == set(SDXL)
    assert is_clip_model_in_single_file(CLIPTextModel, dict.fromkeys(tensors))


@pytest.mark.parametrize(
    ("tensors", "parts", "present"),
    [
        (["model.diffusion_model.input_blocks.0.0.weight"], SDXL, {"unet"}),
        (["conv_in.weight"], SDXL, {"unet"}),
        (["model.diffusion_model.a", "first_stage_model.decoder.conv_in.weight"], SDXL, {"unet", "vae"}),
        (["vae.decoder.conv_in.weight"], SDXL, {"vae"}),
        (["joint_blocks.0.a", "text_encoders.t5xxl.transformer.shared.weight"], SD3, {"transformer", "text_encoder_3"}),
        (["model.diffusion_model.layers.0.a", "vae.decoder.a"], Z_IMAGE, {"transformer", "vae"}),
    ],
)
def test_a_file_may_have_some_parts(tensors: list[str], parts: dict[str, tuple[str, str]], present: set[str]) -> None:
    """Check the prefixes of networks, decoders and text encoders."""
    assert parts_in_file(FILE, tensors, parts) == present


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        (["model.diffusion_model.a", "text_encoders.qwen3_4b.transformer.model.embed_tokens.weight"], "has a text encoder of its own"),
        (["text_encoder.a"], "has a text encoder of its own"),
        (["model.diffusion_model.a.weight", "model.diffusion_model.a.scale_weight"], "scaled 8-bit numbers"),
        (["scaled_fp8", "model.diffusion_model.a.weight"], "scaled 8-bit numbers"),
    ],
)
def test_a_file_with_a_part_that_cannot_be_read_is_refused(tensors: list[str], sentence: str) -> None:
    """Check that no part of the folder is used in its place."""
    with pytest.raises(InputError, match=sentence):
        parts_in_file(FILE, tensors, Z_IMAGE)


def test_a_file_without_any_part_is_refused() -> None:
    """Check a file without tensors."""
    with pytest.raises(InputError, match="no part of this model"):
        parts_in_file(FILE, [], SDXL)
