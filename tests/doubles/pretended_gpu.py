"""A GPU that is none: ``nvidia-smi`` is a script on PATH, torch.cuda tells what a file says, and what is sent to the device stays here.

So every line is run that a machine without a GPU never reaches: measuring free memory, layouts by it, streams and offloading,
batches, what is said of the device. Nothing is learnt of a real one's speed, rounding or faults.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

TITLE, DRIVER, TOTAL_MB = "NVIDIA Pretence", "999.1", 40_000
_SMI = f"""#!/bin/sh
case "$*" in
  *query-gpu=index*) echo "0, GPU-00000000-pretended, {TITLE}, {DRIVER}, {TOTAL_MB}, $(cat "$(dirname "$0")/free")";;
  *query-gpu=utilization*) while :; do echo 87; echo garbage; sleep 0.02; done;;
  *) exit 9;;
esac
"""
_HERE = """
import sys
sys.path.append({tests!r})
from pathlib import Path
from doubles import pretended_gpu
pretended_gpu.pretend(Path({folder!r}), setattr)
pretended_gpu.everywhere()
"""
# Puts something in the place of an attribute.
Put = Callable[[Any, str, Any], None]


class Pretended:
    """The machine with the GPU. ``free``: MiB that are free on it, as the driver and torch tell from then on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def free(self, mebibytes: int) -> None:
        (self.folder / "free").write_text(str(mebibytes))

    @property
    def given_back(self) -> int:
        """How often a process gave unused memory back."""
        log = self.folder / "emptied"
        return len(log.read_text()) if log.exists() else 0


def machine(folder: Path, patch: pytest.MonkeyPatch, *, lanes: bool = False) -> Pretended:
    """This process finds the GPU; with ``lanes`` every Python that it starts from now on does, too."""
    folder.mkdir(exist_ok=True)
    made = Pretended(folder)
    made.free(TOTAL_MB - 500)
    script = folder / "nvidia-smi"
    script.write_text(_SMI)
    script.chmod(0o755)
    patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if lanes:
        tests = str(Path(__file__).parents[1])
        known = folder / "sitecustomize.py"
        before = known.read_text() if known.exists() else ""
        known.write_text(before + _HERE.format(tests=tests, folder=str(folder)))
        patch.setenv("PYTHONPATH", str(folder))
    else:
        pretend(folder, patch.setattr)
    return made


def pretend(folder: Path, put: Put) -> None:
    """Let torch.cuda tell of the GPU, and the engine's work take place here although it is sent there."""
    import torch

    from goldsmith.engines.diffusion.diffusion_engine import DiffusionEngine
    from goldsmith.engines.diffusion.loaded_model import LoadedModel

    def emptied() -> None:
        with (folder / "emptied").open("a") as file:
            file.write("x")

    told: dict[str, Any] = {
        "mem_get_info": lambda device=None: (int((folder / "free").read_text()) << 20, TOTAL_MB << 20),
        "memory_reserved": lambda device=None: 96 << 20,
        "memory_allocated": lambda device=None: 32 << 20,
        "get_device_name": lambda device=None: TITLE,
        "empty_cache": emptied,
        "Stream": mock.Mock,
        "stream": lambda stream: nullcontext(),
        "current_stream": mock.Mock,
    }
    for name, value in told.items():
        put(torch.cuda, name, value)
    for kind, name in ((LoadedModel, "__init__"), (LoadedModel, "switch_to_group_offload"), (DiffusionEngine, "_generate_pictures")):
        put(kind, name, _within(getattr(kind, name)))


def everywhere() -> None:
    """Plain torch code of this thread that names the GPU works here as well."""
    _mode().__enter__()


def _within(work: Callable[..., Any]) -> Callable[..., Any]:
    def here(*given: Any, **named: Any) -> Any:
        with _mode():
            return work(*given, **named)

    return here


def _mode() -> Any:
    import torch
    from torch.overrides import TorchFunctionMode

    def at_home(value: Any) -> Any:
        cuda = isinstance(value, torch.device) and value.type == "cuda"
        return "cpu" if cuda or (isinstance(value, str) and value.startswith("cuda:")) else value

    class Here(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.Tensor.pin_memory:
                return args[0]
            return func(*map(at_home, args), **{name: at_home(value) for name, value in (kwargs or {}).items()})

    return Here()
