"""The checks of ``goldsmith doctor`` for accelerators: which exist, whether torch can use them, and which models fit on each."""

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
from goldsmith.engines.devices import Accelerator, DeviceScan, find_devices, torch_backend
from goldsmith.engines.memory import free_mb
from goldsmith.engines.protocols import Device
from goldsmith.engines.registry.models import Models
from goldsmith.errors import InputError

_TORCH_PROBE = (
    "import torch; "
    "print(', '.join(torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())) if torch.cuda.is_available() else '')"
)
# Seconds. Importing torch from a cold disk takes long.
_TORCH_TIMEOUT = 120


def check_gpu() -> Iterator[Finding]:
    """Yield whether there is a GPU, its driver responds and torch can use it. torch runs in a process of its own."""
    nodes = sorted(Path("/dev").glob("nvidia[0-9]*")) + ([Path("/dev/kfd")] if Path("/dev/kfd").exists() else [])
    if not nodes:
        yield note("GPU", "This computer has no GPU: the queue gpu works on the CPU.")
        return
    forbidden = [str(node) for node in nodes if not os.access(node, os.R_OK | os.W_OK)]
    if forbidden:
        yield fault(
            "GPU", f"{', '.join(forbidden)} cannot be opened by this user.", "Add the service's user to the groups video and render."
        )
        return
    yield from _device_findings(find_devices())
    yield _check_torch()


def _device_findings(detected: DeviceScan) -> Iterator[Finding]:
    if detected.warning:
        yield fault("GPU", detected.warning, "Check the driver: dmesg | grep -i nvrm")
    for device in detected.devices:
        yield ok(f"GPU {device.name}", f"{_describe_device(device)}.")


def _describe_device(device: Accelerator) -> str:
    """Return the title, the memory and the driver, as far as they are known."""
    parts = [device.title or "unknown"]
    if device.total_mb:
        parts.append(f"{_format_mebibytes(device.free_mb)} of {_format_mebibytes(device.total_mb)} are free")
    if device.driver:
        parts.append(f"driver {device.driver}")
    return ", ".join(parts)


def _format_mebibytes(mebibytes: int) -> str:
    return format_size(mebibytes * 2**20)


def _check_torch() -> Finding:
    """Return whether the installed torch can use the GPU."""
    built_for = torch_backend()
    if built_for == "":
        return note("torch", "It is not installed, so no generating model can run.", "pip install torch")
    if built_for == "cpu":
        version = metadata.version("torch").partition("+")[0]
        return note(
            "torch",
            "It is built for the CPU, so models run there although there is a GPU.",
            f"pip install --force-reinstall torch=={version}",
        )
    device_names = _command_output([sys.executable, "-c", _TORCH_PROBE], _TORCH_TIMEOUT)
    if device_names:
        return ok("torch", f"It can use {device_names}.")
    return note("torch", "It cannot use the GPU, so models run on the CPU.", "Install the build of torch for this driver.")


def check_model_fit(models: Models, settings: Settings, accelerators: Sequence[Accelerator]) -> Iterator[Finding]:
    """Yield for each device of the queue ``gpu`` which generating models of models.toml fit."""
    generating = [name for name, model in models.models.items() if model.diffusion is not None and model.driver != "null"]
    if not generating:
        return
    cpu_memory = min(free_mb(Device("cpu")), settings.worker_memory_mb)
    if not accelerators:
        yield _model_fit(models, generating, Device("cpu"), "on the CPU, slowly", cpu_memory, cpu_memory)
    for accelerator in accelerators:
        if accelerator.total_mb:
            label = f"on {accelerator.name}"
            yield _model_fit(models, generating, Device(accelerator.name), label, accelerator.total_mb, free_mb(Device("cpu")))


def _model_fit(models: Models, names: Sequence[str], device: Device, label: str, free_mb: int, free_cpu_mb: int) -> Finding:
    """Return which models fit if all of the device's memory is free, by the rule that a worker process uses. Memory is in MB."""
    from goldsmith.engines.diffusion.memory_layout import plan_layout

    complete, in_parts, too_large = list[str](), list[str](), list[str]()
    for name in names:
        diffusion = models.models[name].diffusion
        if diffusion is None:
            continue
        try:
            # The size of the largest part is unknown before the weights are read. At worst it is nearly the whole model.
            offload = plan_layout(name, diffusion, 1.0, device, free_mb, free_cpu_mb).offload
        except InputError:
            too_large.append(name)
        else:
            (complete if offload == "none" else in_parts).append(name)
    kinds = (("fit", complete), ("fit only in parts, slower", in_parts), ("too large", too_large))
    sentence = "; ".join(f"{text}: {', '.join(fitting)}" for text, fitting in kinds if fitting)
    return (ok if complete or in_parts else note)(f"models {label}", f"{sentence[0].upper()}{sentence[1:]}.")


def _command_output(command: list[str], timeout: float) -> str:
    """Return what a program prints, on one line; "" if it fails or takes longer than ``timeout`` seconds."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "; ".join(result.stdout.split("\n")).strip("; ") if result.returncode == 0 else ""
