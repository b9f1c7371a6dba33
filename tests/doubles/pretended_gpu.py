"""A simulated GPU: ``nvidia-smi`` is a script on PATH, torch.cuda reports the content of a file, and the work runs on the CPU.

This executes lines that a machine without a GPU never reaches: measuring memory, layouts, streams, offloading, batches and the reported
state. It says nothing about the speed, rounding or faults of a real GPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from doubles.jobs import import_first_from

TITLE, DRIVER, TOTAL_MB = "NVIDIA Pretence", "999.1", 40_000
_SMI = f"""#!/bin/sh
case "$*" in
  *query-gpu=index*) echo "0, GPU-00000000-pretended, {TITLE}, {DRIVER}, {TOTAL_MB}, $(cat "$(dirname "$0")/free")";;
  *query-gpu=utilization*) while :; do echo 87; echo garbage; sleep 0.02; done;;
  *) exit 9;;
esac
"""
_SITECUSTOMIZE = """
import sys
sys.path.append({tests!r})
from pathlib import Path
from doubles import pretended_gpu
pretended_gpu.pretend(Path({folder!r}), setattr)
pretended_gpu.everywhere()
"""
# Replaces an attribute.
Put = Callable[[Any, str, Any], None]


class Pretended:
    """The simulated GPU."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def free(self, mebibytes: int) -> None:
        """Set the free memory that the driver and torch report from now on."""
        (self.folder / "free").write_text(str(mebibytes))

    @property
    def release_count(self) -> int:
        """How often a process released unused memory."""
        log = self.folder / "emptied"
        return len(log.read_text()) if log.exists() else 0


def machine(folder: Path, patch: pytest.MonkeyPatch, *, workers: bool = False) -> Pretended:
    """Let this process find the GPU; ``workers``: also every Python process that it starts from now on."""
    folder.mkdir(exist_ok=True)
    gpu = Pretended(folder)
    gpu.free(TOTAL_MB - 500)
    script = folder / "nvidia-smi"
    script.write_text(_SMI)
    script.chmod(0o755)
    patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if workers:
        tests = str(Path(__file__).parents[1])
        site_file = folder / "sitecustomize.py"
        earlier_text = site_file.read_text() if site_file.exists() else ""
        site_file.write_text(earlier_text + _SITECUSTOMIZE.format(tests=tests, folder=str(folder)))
        import_first_from(folder, patch)
    else:
        pretend(folder, patch.setattr)
    return gpu


def pretend(folder: Path, put: Put) -> None:
    """Let torch.cuda report the GPU, and run work for the GPU on the CPU."""
    import torch

    from goldsmith.engines.diffusion.diffusion_engine import DiffusionEngine
    from goldsmith.engines.diffusion.loaded_model import LoadedModel

    # Opened now, because a worker process cannot do so behind its fence.
    log = os.open(folder / "emptied", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)

    def log_release() -> None:
        os.write(log, b"x")

    functions: dict[str, Any] = {
        "mem_get_info": lambda device=None: (int((folder / "free").read_text()) << 20, TOTAL_MB << 20),
        "memory_reserved": lambda device=None: 96 << 20,
        "memory_allocated": lambda device=None: 32 << 20,
        "get_device_name": lambda device=None: TITLE,
        "empty_cache": log_release,
        "get_rng_state": lambda device=None: torch.get_rng_state(),
        "set_rng_state": lambda state, device=None: None,
        "Stream": mock.Mock,
        "stream": lambda stream: nullcontext(),
        "current_stream": mock.Mock,
    }
    for name, value in functions.items():
        put(torch.cuda, name, value)
    for kind, name in ((LoadedModel, "__init__"), (LoadedModel, "switch_to_group_offload"), (DiffusionEngine, "_generate_pictures")):
        put(kind, name, _within(getattr(kind, name)))


def everywhere() -> None:
    """Let all torch code of this thread that names the GPU run on the CPU."""
    _cpu_mode().__enter__()


def _within(work: Callable[..., Any]) -> Callable[..., Any]:
    def run_on_cpu(*args: Any, **kwargs: Any) -> Any:
        with _cpu_mode():
            return work(*args, **kwargs)

    return run_on_cpu


def _cpu_mode() -> Any:
    import torch
    from torch.overrides import TorchFunctionMode

    def on_cpu(value: Any) -> Any:
        cuda = isinstance(value, torch.device) and value.type == "cuda"
        return "cpu" if cuda or (isinstance(value, str) and value.startswith("cuda:")) else value

    class CpuMode(TorchFunctionMode):  # type: ignore[misc]  # torch is read without its types
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.Tensor.pin_memory:
                return args[0]
            return func(*map(on_cpu, args), **{name: on_cpu(value) for name, value in (kwargs or {}).items()})

    return CpuMode()
