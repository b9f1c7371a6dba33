"""Measure a device's free memory, classify failures, and release memory, without importing a runtime that is not loaded yet."""

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
# MiB; stands for no limit.
_UNLIMITED_MB = 1 << 40
# How torch's CPU allocator and drivers report a shortage without an exception class of its own.
_OUT_OF_MEMORY_PHRASES = ("not enough memory", "can't allocate memory", "cannot allocate memory", "out of memory")
# How a RuntimeError reports a failed device in torch versions and libraries without an exception class for it.
_DEVICE_FAILURE_PHRASES = (
    *("cuda error", "device-side assert", "unspecified launch failure", "hip error", "cublas_status_", "cudnn_status_", "nvml"),
    *("no cuda gpus are available", "nvidia driver", "cuda driver", "cuda unknown error", "no hip gpus are available"),
)


def free_mb(device: Device) -> int:
    """Return the MiB that a new engine could use on the device now: the free memory, and what torch holds there unused.

    On the CPU: the smallest of the machine's available memory, this process's limit and its control group's limit. Raises DeviceError if
    the device does not answer, so that a new process learns at once that its device is gone.
    """
    if device.name != "cpu":
        return _gpu_free_mb(device)
    return min(_available_mb(), _process_limit_free_mb(), _cgroup_free_mb())


def _gpu_free_mb(device: Device) -> int:
    import torch

    try:
        free, _ = torch.cuda.mem_get_info(device.name)
        unused = torch.cuda.memory_reserved(device.name) - torch.cuda.memory_allocated(device.name)
    except (RuntimeError, AssertionError) as error:  # torch reports "not built for it" with an AssertionError
        if is_out_of_memory(error):
            return 0  # other processes use all of it
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
    """Return the free memory of control group v2: its limit less what it holds that cannot be dropped."""
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
    """Return whether a call failed because of memory: on a device, on the CPU, or at this process's own limit."""
    torch: Any = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error).lower() for said in _OUT_OF_MEMORY_PHRASES)


def is_device_failure(error: BaseException) -> bool:
    """Return whether the device itself failed, so that nothing works on it any more in this process."""
    if is_out_of_memory(error):
        return False
    torch: Any = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error).lower() for said in _DEVICE_FAILURE_PHRASES)


def device_fault(device: Device, error: BaseException) -> DeviceError:
    """Return the error that describes a failed device."""
    return DeviceError(
        f"{device.name} has failed: {' '.join(str(error).split()):.200}",
        "Look at it with its driver's own tool, e.g. nvidia-smi; its jobs wait.",
    )


def release_memory(device: Device) -> None:
    """Release all unused memory, on the device too. A failed device is left alone."""
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is not None and device.name != "cpu":
        with contextlib.suppress(RuntimeError):
            torch.cuda.empty_cache()
