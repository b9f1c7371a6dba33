"""The parts of tiny pipelines: tokenizers, text encoders and decoders with a few thousand random numbers, built without a hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<think>",
    "</think>",
)
_WORDS = 256 + len(_SPECIAL)
# As much of Qwen's chat template as the pipelines need.
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{ m['content'] }}"
    "{% else %}{% for c in m['content'] %}{% if c['type']=='text' %}{{ c['text'] }}"
    "{% else %}<|vision_start|><|image_pad|><|vision_end|>{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

_QWEN_CONFIG = {
    "vocab_size": _WORDS,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "bos_token_id": 256,
    "eos_token_id": 256,
    "pad_token_id": 256,
}


def _letters() -> list[str]:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return list(bytes_to_unicode().values())


def clip_tokenizer() -> Any:
    """Return a tokenizer with one token for each byte."""
    from transformers import CLIPTokenizer

    letters = _letters()
    vocab = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={token: number for number, token in enumerate(vocab)}, merges=[], model_max_length=77)


def t5_tokenizer() -> Any:
    """Return a tokenizer with one token for each printable ASCII letter."""
    from transformers import T5Tokenizer

    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((chr(code), -3.0) for code in range(33, 127))]
    return T5Tokenizer(vocab=vocab, extra_ids=0, model_max_length=512)


def qwen_tokenizer() -> Any:
    """Return a tokenizer with one token for each byte, and Qwen's special tokens and chat template."""
    from transformers import Qwen2Tokenizer

    vocab = {token: number for number, token in enumerate([*_letters(), *_SPECIAL])}
    special = [token for token in _SPECIAL if token.startswith("<|")]
    tokenizer = Qwen2Tokenizer(vocab=vocab, merges=[], model_max_length=4096, extra_special_tokens=special)
    tokenizer.chat_template = CHAT
    return tokenizer


def clip_encoder(width: int = 32, *, projection: bool = False) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=514,
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=width,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
        max_position_embeddings=77,
        hidden_act="gelu",
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config)


def umt5_encoder(width: int = 32) -> Any:
    from transformers import UMT5Config, UMT5EncoderModel

    return UMT5EncoderModel(
        UMT5Config(vocab_size=128, d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu")
    )


def clip_vision(width: int = 16) -> Any:
    """Build an image encoder that sees 32 px, in patches of 8."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    return CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=width,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=32,
            patch_size=8,
            projection_dim=16,
        )
    )  # fmt: skip


def clip_picture_processor() -> Any:
    from transformers import CLIPImageProcessorPil

    return CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})


def t5_encoder(width: int = 32) -> Any:
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(
        T5Config(vocab_size=128, d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu")
    )


def qwen3(layers: int, *, head: bool = False) -> Any:
    """Build Qwen3 as in FLUX.2 klein (with its head) and Z-Image (without)."""
    from transformers import Qwen3Config, Qwen3ForCausalLM, Qwen3Model

    config = Qwen3Config(**_QWEN_CONFIG, num_hidden_layers=layers, head_dim=8, max_position_embeddings=1024)
    return (Qwen3ForCausalLM if head else Qwen3Model)(config)


def qwen25_vl() -> Any:
    """Build Qwen2.5-VL as in Qwen-Image."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    rope = {"mrope_section": [1, 1, 2], "rope_type": "default", "rope_theta": 1e6}
    marks = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    return Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config={**_QWEN_CONFIG, "num_hidden_layers": 2, "rope_parameters": rope},
            vision_config={"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16},
            **{name: 256 + _SPECIAL.index(token) for name, token in marks.items()},
        )
    )


def qwen3_vl(*, head: bool = False) -> Any:
    """Build Qwen3-VL as in Krea 2, and with its head as in JoyAI-Image-Edit, which shows it pictures."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration, Qwen3VLModel

    marks = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 1, 1]}
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}
    text = {**_QWEN_CONFIG, "num_hidden_layers": 2, "head_dim": 8}
    if not head:
        return Qwen3VLModel(Qwen3VLConfig(text_config=text, vision_config=vision))
    return Qwen3VLForConditionalGeneration(
        Qwen3VLConfig(
            text_config={**text, "rope_parameters": rope},
            vision_config={**vision, "deepstack_visual_indexes": [0], "patch_size": 14},
            **{name: 256 + _SPECIAL.index(token) for name, token in marks.items()},
        )
    )


def wan_vae() -> Any:
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan(
        base_dim=4,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )


def write_qwen_processor(folder: Path, class_name: str = "Qwen2VLProcessor") -> None:
    """Write a processor of Qwen's as in a repository, which needs torchvision, for very small pictures."""
    from transformers import Qwen2VLImageProcessorPil

    qwen_tokenizer().save_pretrained(folder)
    Qwen2VLImageProcessorPil(min_pixels=28 * 28 * 4, max_pixels=28 * 28 * 16).save_pretrained(folder)
    path = folder / "preprocessor_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config |= {"image_processor_type": "Qwen2VLImageProcessorFast", "processor_class": class_name}
    path.write_text(json.dumps(config), encoding="utf-8")


def vae(latent: int = 4, scaling: float = 0.18215, shift: float | None = None, *, quant: bool = True) -> Any:
    """Build an AutoencoderKL that reduces pictures by a factor of eight."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=latent,
        norm_num_groups=4,
        layers_per_block=1,
        sample_size=64,
        scaling_factor=scaling,
        shift_factor=shift,
        use_quant_conv=quant,
        use_post_quant_conv=quant,
    )


def flux2_vae() -> Any:
    from diffusers import AutoencoderKLFlux2

    return AutoencoderKLFlux2(
        block_out_channels=(8,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=32,
    )


def qwen_vae(channels: int = 3, latent: int = 4) -> Any:
    from diffusers import AutoencoderKLQwenImage

    return AutoencoderKLQwenImage(
        input_channels=channels,
        base_dim=4,
        z_dim=latent,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.0] * latent,
        latents_std=[1.0] * latent,
    )


def flow(**settings: Any) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(**settings)
