"""How much memory a device has free, what an engine's failure was, and giving memory back. Nothing is imported that is not there yet."""

from __future__ import annotations

import contextlib
import gc
import resource
import sys
from pathlib import Path
from typing import Any

from goldsmith.engines import Device
from goldsmith.errors import DeviceError

_MIB = 2**20
# MiB; where nothing limits anything.
_UNLIMITED_MB = 1 << 40
# What torch's CPU allocator and drivers call a shortage; they have no class of their own for it.
_OUT_OF_MEMORY_PHRASES = ("not enough memory", "can't allocate memory", "cannot allocate memory", "out of memory")
# What a RuntimeError says when the device itself has failed, in torch versions and libraries that give it no class.
_DEVICE_FAILURE_PHRASES = (
    *("cuda error", "device-side assert", "unspecified launch failure", "hip error", "cublas_status_", "cudnn_status_", "nvml"),
    *("no cuda gpus are available", "nvidia driver", "cuda driver", "cuda unknown error", "no hip gpus are available"),
)


def free_mb(device: Device) -> int:
    """MiB that a new engine could take on the device right now: what is free, and what torch holds there unused.

    On the CPU: the least of the machine's available memory, this process's limit and its control group's.
    Raises DeviceError where the device does not answer: a process that has just begun finds out here that its device is gone.
    """
    if device.name != "cpu":
        return _gpu_free_mb(device)
    return min(_available_mb(), _process_limit_free_mb(), _cgroup_free_mb())


def _gpu_free_mb(device: Device) -> int:
    import torch

    try:
        free, _ = torch.cuda.mem_get_info(device.name)
        unused = torch.cuda.memory_reserved(device.name) - torch.cuda.memory_allocated(device.name)
    except (RuntimeError, AssertionError) as error:  # torch's words for "not built for it" are an AssertionError
        if is_out_of_memory(error):
            return 0  # others have it all, down to what a process needs to ask
        raise device_fault(device, error) from error
    return int(free + unused) // _MIB


def _available_mb(path: Path = Path("/proc/meminfo")) -> int:
    return _read_kib(path, "MemAvailable") // 1024


def _process_limit_free_mb() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if soft == resource.RLIM_INFINITY:
        return _UNLIMITED_MB
    return max(0, soft // _MIB - _read_kib(Path("/proc/self/status"), "VmData") // 1024)


def _cgroup_free_mb(folder: Path = Path("/sys/fs/cgroup")) -> int:
    """Control group v2: its limit less what it holds that cannot be dropped."""
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        held = int((folder / "memory.current").read_text(encoding="ascii"))
        stat = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return _UNLIMITED_MB
    return _UNLIMITED_MB if limit == "max" else max(0, int(limit) - held + int(stat.get("inactive_file", 0))) // _MIB


def _read_kib(path: Path, name: str) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in path.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    return _UNLIMITED_MB * 1024


def is_out_of_memory(error: BaseException) -> bool:
    """True where a call failed for want of memory: on a device, on the CPU, or this process's own limit."""
    torch: Any = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error).lower() for said in _OUT_OF_MEMORY_PHRASES)


def is_device_failure(error: BaseException) -> bool:
    """True where the device itself has failed: nothing more will work on it in this process."""
    if is_out_of_memory(error):
        return False
    torch: Any = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error).lower() for said in _DEVICE_FAILURE_PHRASES)


def device_fault(device: Device, error: BaseException) -> DeviceError:
    """What is said of a device that has failed."""
    return DeviceError(
        f"{device.name} has failed: {' '.join(str(error).split()):.200}",
        "Look at it with its driver's own tool, e.g. nvidia-smi; its jobs wait.",
    )


def release_memory(device: Device) -> None:
    """Drop what nobody holds any more, on the device too. A device that has failed is left alone."""
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is not None and device.name != "cpu":
        with contextlib.suppress(RuntimeError):
            torch.cuda.empty_cache()
