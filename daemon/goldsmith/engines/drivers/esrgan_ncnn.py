"""Real-ESRGAN from ncnn files, run by torch: two to three times as fast on a CPU as ncnn itself.

It runs in bfloat16 if the processor has instructions for it, otherwise in float32. The two differ by about 50 dB, far less than the detail
that the network invents.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from goldsmith.engines.drivers._onnx import describe_threads, weights_hashes
from goldsmith.engines.protocols import Device, EngineDescriptor, ModelFiles, Upscaler
from goldsmith.engines.registry.models import Model
from goldsmith.errors import InputError
from goldsmith.picture.picture import Pixels

if TYPE_CHECKING:
    from torch import nn

_FAST_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16"})


class NcnnUpscaler:
    """An upscaler with a network from an ncnn model."""

    def __init__(self, descriptor: EngineDescriptor, net: nn.Module, threads: int) -> None:
        self.descriptor = descriptor
        self._net = net
        self._threads = threads

    def enlarge(self, tile: Pixels) -> Pixels:
        import torch

        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        with torch.inference_mode():
            planes = torch.tensor(tile).permute(2, 0, 1)[None].contiguous(memory_format=torch.channels_last)
            enlarged = self._net(planes).float().clamp_(0, 1)[0].permute(1, 2, 0)
        pixels: Pixels = np.ascontiguousarray(enlarged.numpy())
        return pixels


def open_engine(name: str, model: Model, model_files: ModelFiles, device: Device) -> Upscaler:
    import torch

    from goldsmith.engines.drivers._esrgan import build_net
    from goldsmith.engines.drivers._ncnn import read_ncnn

    net = build_net(read_ncnn(_file_with_suffix(name, model_files.files, ".param"), _file_with_suffix(name, model_files.files, ".bin")))
    if net.scale != model.scale:
        raise InputError(f"models.{name}: its weights enlarge x{net.scale}, but models.toml says scale = {model.scale}.")
    dtype = torch.bfloat16 if has_fast_bfloat16() else torch.float32
    run = net.module.to(dtype=dtype, memory_format=torch.channels_last).eval()
    for part in net.float32_layers:
        part.float()
    descriptor = EngineDescriptor(
        name=name,
        kind="upscale",
        licence=model.licence,
        scale=net.scale,
        side=net.side,
        pad=net.pad,
        weights=weights_hashes(model),
        device=f"cpu {str(dtype).removeprefix('torch.')}, {describe_threads(device.threads)}",
        revision=f"torch {torch.__version__}",
    )
    return NcnnUpscaler(descriptor, run, device.threads)


def has_fast_bfloat16() -> bool:
    """Return whether the processor has bfloat16 instructions; without them bfloat16 is slower than float32."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return bool(_FAST_BFLOAT16 & set(flags.split()))


def _file_with_suffix(name: str, files: Mapping[str, Path], suffix: str) -> Path:
    matches = [path for file, path in files.items() if file.endswith(suffix)]
    if len(matches) != 1:
        raise InputError(f"models.{name}.files: this driver needs one {suffix} file, {len(matches)} are listed.")
    return matches[0]
