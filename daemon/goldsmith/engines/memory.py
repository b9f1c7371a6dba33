"""Measure a device's free memory, classify failures, and release memory. Only measuring a GPU imports torch."""

from __future__ import annotations

import contextlib
import gc
import resource
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from goldsmith.engines.protocols import Device
from goldsmith.errors import DeviceError

_MIB = 2**20
# MiB that stand for "no limit".
_UNLIMITED_MB = 1 << 40
# Seconds between two looks at the memory of this process.
_SAMPLE_SECONDS = 0.01
# Phrases of torch's CPU allocator and of drivers that report a shortage of memory as a RuntimeError.
_OUT_OF_MEMORY_PHRASES = ("not enough memory", "can't allocate memory", "cannot allocate memory", "out of memory")
# Phrases of a RuntimeError that report a failed device; older torch versions and libraries have no exception class for it.
_DEVICE_FAILURE_PHRASES = (
    *("cuda error", "device-side assert", "unspecified launch failure", "hip error", "cublas_status_", "cudnn_status_", "nvml"),
    *("no cuda gpus are available", "nvidia driver", "cuda driver", "cuda unknown error", "no hip gpus are available"),
)


def free_mb(device: Device) -> int:
    """Return the MiB that a new engine could use on the device now: free memory, and memory that torch reserves but does not use.

    On the CPU: the minimum of the machine's available memory, the rest of this process's limit and the rest of its control group's limit.
    Raises DeviceError if the device does not answer, so a new process fails at once if its device is gone.
    """
    if device.name != "cpu":
        return _gpu_free_mb(device)
    return min(_available_mb(), _process_limit_free_mb(), _cgroup_free_mb())


def _gpu_free_mb(device: Device) -> int:
    import torch

    try:
        free_bytes, _ = torch.cuda.mem_get_info(device.name)
        unused_bytes = torch.cuda.memory_reserved(device.name) - torch.cuda.memory_allocated(device.name)
    except (RuntimeError, AssertionError) as error:  # torch raises AssertionError if it was built without CUDA
        if is_out_of_memory(error):
            return 0  # other processes use all of it
        raise device_fault(device, error) from error
    return int(free_bytes + unused_bytes) // _MIB


def _available_mb(path: Path = Path("/proc/meminfo")) -> int:
    return _read_kib(path, "MemAvailable") // 1024


def _process_limit_free_mb() -> int:
    soft_limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if soft_limit == resource.RLIM_INFINITY:
        return _UNLIMITED_MB
    return max(0, soft_limit // _MIB - _read_kib(Path("/proc/self/status"), "VmData") // 1024)


def _cgroup_free_mb(folder: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the MiB that are free in this control group (v2): its limit less the memory that it cannot reclaim."""
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used_bytes = int((folder / "memory.current").read_text(encoding="ascii"))
        stat = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return _UNLIMITED_MB
    return _UNLIMITED_MB if limit == "max" else max(0, int(limit) - used_bytes + int(stat.get("inactive_file", 0))) // _MIB


def _read_kib(path: Path, name: str) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in path.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    return _UNLIMITED_MB * 1024


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out: on the device, on the machine, or at the limit of this process."""
    torch: Any = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error).lower() for phrase in _OUT_OF_MEMORY_PHRASES)


def is_device_failure(error: BaseException) -> bool:
    """Return whether the device itself failed; this process can then no longer use it."""
    if is_out_of_memory(error):
        return False
    torch: Any = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error).lower() for phrase in _DEVICE_FAILURE_PHRASES)


def device_fault(device: Device, error: BaseException) -> DeviceError:
    """Return the error that describes a failed device."""
    return DeviceError(
        f"{device.name} has failed: {' '.join(str(error).split()):.200}",
        "Check it with its driver's tool, such as nvidia-smi; its jobs wait until it works again.",
    )


def release_memory(device: Device) -> None:
    """Release unused memory of this process, on the device too. Errors of a failed device are ignored."""
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is not None and device.name != "cpu":
        with contextlib.suppress(RuntimeError):
            torch.cuda.empty_cache()


@contextlib.contextmanager
def peak_memory(device: Device) -> Iterator[Callable[[], int]]:
    """Yield a function that returns, after the block, the most bytes that were in use on the device in it beside those at its start."""
    if device.name == "cpu":
        with _peak_anonymous_memory() as peak_bytes:
            yield peak_bytes
        return
    import torch

    torch.cuda.reset_peak_memory_stats(device.name)
    before = torch.cuda.memory_allocated(device.name)
    yield lambda: int(torch.cuda.max_memory_allocated(device.name)) - before


@contextlib.contextmanager
def _peak_anonymous_memory() -> Iterator[Callable[[], int]]:
    """Look at this process's anonymous memory again and again: weights that are mapped from files do not belong to it."""
    start = peak = _anonymous_bytes()
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(_SAMPLE_SECONDS):
            peak = max(peak, _anonymous_bytes())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: peak - start
    finally:
        ended.set()
        watcher.join()
        peak = max(peak, _anonymous_bytes())


def _anonymous_bytes() -> int:
    return _read_kib(Path("/proc/self/status"), "RssAnon") * 1024
