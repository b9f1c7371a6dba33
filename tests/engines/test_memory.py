"""Free memory, and the classes of failures: a shortage, a failed device, or neither."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from goldsmith.engines.memory import (
    _available_mb,
    _cgroup_free_mb,
    is_device_failure,
    is_out_of_memory,
    peak_memory,
    release_memory,
)
from goldsmith.engines.protocols import Device


def test_the_available_memory_is_read(tmp_path: Path) -> None:
    """Check the MiB that the kernel reports, and that a missing file means no limit."""
    text = tmp_path / "meminfo"
    text.write_text("MemTotal:       24689764 kB\nMemAvailable:   10485760 kB\n")
    assert _available_mb(text) == 10240
    assert _available_mb(tmp_path / "none") > 1 << 30


def test_the_limit_of_the_control_group_counts(tmp_path: Path) -> None:
    """Check that reclaimable memory counts as free, and that a missing group and "max" mean no limit."""
    assert _cgroup_free_mb(tmp_path / "none") > 1 << 30
    (tmp_path / "memory.max").write_text(f"{8 << 30}\n")
    (tmp_path / "memory.current").write_text(f"{6 << 30}\n")
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {1 << 30}\n")
    assert _cgroup_free_mb(tmp_path) == 3072
    (tmp_path / "memory.max").write_text("max\n")
    assert _cgroup_free_mb(tmp_path) > 1 << 30


def test_the_limit_of_the_process_counts() -> None:
    """Check the memory limit of a job."""
    code = (
        "import resource; from goldsmith.engines.protocols import Device; from goldsmith.engines.memory import free_mb, _read_kib;"
        "from pathlib import Path; held = _read_kib(Path('/proc/self/status'), 'VmData') * 1024;"
        "resource.setrlimit(resource.RLIMIT_DATA, (held + (700 << 20), resource.RLIM_INFINITY)); print(free_mb(Device()))"
    )
    free = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert 650 <= free <= 700


def test_shortages_differ_from_other_failures() -> None:
    """Check error classes, and messages of errors without a class of their own."""
    import torch

    shortages = [MemoryError(), torch.OutOfMemoryError("x"), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]
    assert all(is_out_of_memory(error) and not is_device_failure(error) for error in shortages)
    others = [ValueError("out of memory"), RuntimeError("shapes differ"), torch.AcceleratorError("CUDA error: an illegal memory access")]
    assert not any(is_out_of_memory(error) for error in others)


@pytest.mark.parametrize(
    "text", ["CUDA error: device-side assert triggered", "CUDA error: unspecified launch failure", "CUBLAS_STATUS_EXECUTION_FAILED"]
)
def test_a_failed_device_differs_from_other_failures(text: str) -> None:
    """Check errors for which torch has no class."""
    import torch

    assert is_device_failure(RuntimeError(text))
    assert is_device_failure(torch.AcceleratorError(text))
    assert not is_device_failure(ValueError(text))
    assert not is_device_failure(RuntimeError("shapes differ"))


def test_a_shortage_on_the_device_is_no_failed_device() -> None:
    """Check the class of torch, which is an accelerator error, and a message with "CUDA error"."""
    import torch

    assert not is_device_failure(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_device_failure(RuntimeError("CUDA error: out of memory"))


def test_releasing_memory_imports_no_torch() -> None:
    """Check that a process without torch stays without it."""
    code = (
        "import sys; from goldsmith.engines.protocols import Device;"
        "from goldsmith.engines.memory import is_device_failure, is_out_of_memory, release_memory;"
        "release_memory(Device('cuda:0')); is_device_failure(RuntimeError('x')); is_out_of_memory(RuntimeError('x'));"
        "print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
    release_memory(Device())


def test_memory_that_is_used_only_for_a_moment_is_seen() -> None:
    """Check an array of 200 MB that is gone before the end."""
    with peak_memory(Device("cpu")) as peak_bytes:
        before = peak_bytes()
        array = np.ones(25_000_000)
        while peak_bytes() < 190e6:  # until the watcher has looked
            array += 1
        del array
    assert before < 100e6
    assert 190e6 <= peak_bytes() < 300e6
