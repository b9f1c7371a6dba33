"""What ``goldsmith doctor`` finds out about accelerators: which there are, whether torch can use them, and which models fit on each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from goldsmith.brief.settings import Settings
from goldsmith.cli.findings import Finding, fault, note, ok
from goldsmith.cli.output import format_size
from goldsmith.engines import Device
from goldsmith.engines.devices import Accelerator, DeviceScan, find_devices, torch_backend
from goldsmith.engines.registry.models import Models
from goldsmith.errors import InputError

_TORCH_PROBE = (
    "import torch; "
    "print(', '.join(torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())) if torch.cuda.is_available() else '')"
)
# Seconds; torch takes long to import from a cold disk.
_TORCH_TIMEOUT = 120
_MEMINFO = Path("/proc/meminfo")


def check_gpu() -> Iterator[Finding]:
    """Whether there is a GPU, its driver answers and torch can use it; torch is asked in a program of its own."""
    nodes = sorted(Path("/dev").glob("nvidia[0-9]*")) + ([Path("/dev/kfd")] if Path("/dev/kfd").exists() else [])
    if not nodes:
        yield note("GPU", "There is none here: the GPU's lane works on the CPU.")
        return
    closed = [str(node) for node in nodes if not os.access(node, os.R_OK | os.W_OK)]
    if closed:
        yield fault("GPU", f"{', '.join(closed)} cannot be opened by this user.", "Add the service's user to the groups video and render.")
        return
    seen = find_devices()
    yield from _device_findings(seen)
    yield _check_torch()


def _device_findings(detected: DeviceScan) -> Iterator[Finding]:
    if detected.warning:
        yield fault("GPU", detected.warning, "Look at the driver: dmesg | grep -i nvrm")
    for found in detected.devices:
        yield ok(f"GPU {found.name}", f"{_describe_device(found)}.")


def _describe_device(device: Accelerator) -> str:
    """Title, memory, driver, as far as they are known."""
    parts = [device.title or "unknown"]
    if device.total_mb:
        parts.append(f"{_format_mebibytes(device.free_mb)} of {_format_mebibytes(device.total_mb)} are free")
    if device.driver:
        parts.append(f"driver {device.driver}")
    return ", ".join(parts)


def _format_mebibytes(mebibytes: int) -> str:
    return format_size(mebibytes * 2**20)


def _check_torch() -> Finding:
    """Whether the torch that is installed can use what is there."""
    built_for = torch_backend()
    if built_for == "":
        return note("torch", "It is not installed: no generating model can run.", "pip install torch")
    if built_for == "cpu":
        version = metadata.version("torch").partition("+")[0]
        return note(
            "torch",
            "It is built for the CPU, so models run there although there is a GPU.",
            f"pip install --force-reinstall torch=={version}",
        )
    named = _command_output([sys.executable, "-c", _TORCH_PROBE], _TORCH_TIMEOUT)
    if named:
        return ok("torch", f"It can use {named}.")
    return note("torch", "It cannot use the GPU: models run on the CPU.", "Install the torch that is built for this driver.")


def check_model_fit(models: Models, settings: Settings, accelerators: Sequence[Accelerator]) -> Iterator[Finding]:
    """Which generating models of models.toml fit on each device that the lane ``gpu`` works on, one line a device."""
    generating = [name for name, model in models.models.items() if model.diffusion is not None and model.driver != "null"]
    if not generating:
        return
    computer = min(_available_mb(), settings.worker_memory_mb)
    if not accelerators:
        yield _model_fit(models, generating, Device("cpu"), "on the CPU, slowly", computer, computer)
    for found in accelerators:
        if found.total_mb:
            yield _model_fit(models, generating, Device(found.name), f"on {found.name}", found.total_mb, _available_mb())


def _model_fit(models: Models, names: Sequence[str], device: Device, label: str, free_mb: int, free_cpu_mb: int) -> Finding:
    """Asked of the very rule by which a lane lays a model out, with all of the device's memory to be had."""
    from goldsmith.engines.diffusion.memory_layout import plan_layout

    whole, parts, never = list[str](), list[str](), list[str]()
    for name in names:
        diffusion = models.models[name].diffusion
        if diffusion is None:
            continue
        try:
            # Before its weights are read nobody knows how large its largest part is: at worst it is nearly all of it.
            offload = plan_layout(name, diffusion, 1.0, device, free_mb, free_cpu_mb).offload
        except InputError:
            never.append(name)
        else:
            (whole if offload == "none" else parts).append(name)
    kinds = (("fit", whole), ("fit only in parts, slower", parts), ("too large", never))
    told = "; ".join(f"{text}: {', '.join(found)}" for text, found in kinds if found)
    return (ok if whole or parts else note)(f"models {label}", f"{told[0].upper()}{told[1:]}.")


def _available_mb() -> int:
    try:
        lines = _MEMINFO.read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) // 1024
    except (OSError, ValueError, StopIteration):
        return 0


def _command_output(command: list[str], timeout: float) -> str:
    """What a program prints, on one line; "" where it fails or does not end."""
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "; ".join(ran.stdout.split("\n")).strip("; ") if ran.returncode == 0 else ""
