"""LoRAs of random numbers for the tiny models, with a visible effect."""

from __future__ import annotations

from pathlib import Path

from doubles import tiny

TARGETS = {
    "sdxl": ("unet", "to_q"),
    "sd3": ("transformer", "attn.to_q"),
    "flux": ("transformer", "attn.to_q"),
    "flux2-klein": ("transformer", "attn.to_q"),
    "qwen-image": ("transformer", "attn.to_q"),
    "z-image": ("transformer", "attention.to_q"),
    "krea2": ("transformer", "attn.to_q"),
}


def lora(path: Path, family: str, seed: int = 0, rank: int = 2) -> Path:
    """Write a random LoRA for the attention of a family's network."""
    import torch
    from safetensors.torch import load_file, save_file

    part, target = TARGETS[family]
    weights = load_file(tiny.folder(family) / part / "diffusion_pytorch_model.safetensors")
    random = torch.Generator().manual_seed(seed)
    lora_weights = {}
    for name, tensor in weights.items():
        if name.endswith(f"{target}.weight"):
            stem = f"{part}.{name.removesuffix('.weight')}"
            lora_weights[f"{stem}.lora_A.weight"] = torch.randn(rank, tensor.shape[1], generator=random)
            lora_weights[f"{stem}.lora_B.weight"] = torch.randn(tensor.shape[0], rank, generator=random)
    assert lora_weights
    save_file(lora_weights, path)
    return path
