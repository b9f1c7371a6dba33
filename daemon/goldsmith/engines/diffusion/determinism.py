"""Make the same seed give the same bytes while a request runs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from goldsmith.engines.protocols import Device


def configure_cublas() -> None:
    """Set the workspace of cuBLAS; without it, sums may differ from run to run. cuBLAS reads it once, at its first use."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextlib.contextmanager
def deterministic(device: Device) -> Iterator[None]:
    """Use the device's thread count, no TF32, no kernel autotuning and deterministic kernels; restore all settings afterwards.

    Kernels without a deterministic form are still used. Source: pytorch.org/docs/stable/notes/randomness.html.
    """
    import torch
    import torch.utils.deterministic

    backends: tuple[tuple[Any, str, bool], ...] = (
        (torch.backends.cuda.matmul, "allow_tf32", False),
        (torch.backends.cudnn, "allow_tf32", False),
        (torch.backends.cudnn, "benchmark", False),
        (torch.utils.deterministic, "fill_uninitialized_memory", False),
    )
    before = [getattr(backend, name) for backend, name, _ in backends]
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        torch.set_num_threads(device.threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        for backend, name, value in backends:
            setattr(backend, name, value)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation.*")
            yield
    finally:
        for (backend, name, _), value in zip(backends, before, strict=True):
            setattr(backend, name, value)
        torch.use_deterministic_algorithms(strict, warn_only=warn_only)
        torch.set_num_threads(threads)


def seeded_generators(seeds: Sequence[int]) -> list[Any]:
    """Return one random generator for each seed, always on the CPU, so that the noise is the same on every device.

    The CPU generator of torch uses only the lower 32 bits of a seed. A longer seed is therefore hashed to 32 bits: otherwise, seeds with
    the same lower bits would give the same picture. Shorter seeds are used unchanged, as in other programs.
    """
    import torch

    return [torch.Generator("cpu").manual_seed(_to_32_bit_seed(seed)) for seed in seeds]


@contextlib.contextmanager
def seeded_globally(seed: int, device: Device) -> Iterator[None]:
    """Seed torch's global generators within the block, for pipelines that draw some of their noise from them; restore them afterwards."""
    import torch

    with torch.random.fork_rng(devices=[] if device.name == "cpu" else [device.name]):
        torch.manual_seed(_to_32_bit_seed(seed))
        yield


def _to_32_bit_seed(seed: int) -> int:
    if 0 <= seed < 2**32:
        return seed
    return int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:4], "big")


def environment_facts(device: Device) -> dict[str, object]:
    """Return the facts on which a result depends besides the request: device, threads and versions."""
    import diffusers
    import torch
    import transformers

    title = "cpu" if device.name == "cpu" else torch.cuda.get_device_name(device.name)
    return {
        "device": device.name,
        "device_title": title,
        "threads": device.threads,
        "deterministic": "where kernels allow it",
        "tf32": False,
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
    }
