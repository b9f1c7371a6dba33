"""How much memory there is, and what a failure was: a shortage, a dead device, or neither."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from goldsmith.engines.memory import (
    _available_mb,
    _cgroup_free_mb,
    free_mb,
    is_device_failure,
    is_out_of_memory,
    release_memory,
)
from goldsmith.engines.protocols import Device


def test_the_machine_s_available_memory_is_read(tmp_path: Path) -> None:
    """In MiB, from what the kernel says; where it says nothing, nothing limits."""
    said = tmp_path / "meminfo"
    said.write_text("MemTotal:       24689764 kB\nMemAvailable:   10485760 kB\n")
    assert _available_mb(said) == 10240
    assert _available_mb(tmp_path / "none") > 1 << 30


def test_a_control_group_s_limit_counts(tmp_path: Path) -> None:
    """Less what it holds and cannot drop; no limit and no such group limit nothing."""
    assert _cgroup_free_mb(tmp_path / "none") > 1 << 30
    (tmp_path / "memory.max").write_text(f"{8 << 30}\n")
    (tmp_path / "memory.current").write_text(f"{6 << 30}\n")
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {1 << 30}\n")
    assert _cgroup_free_mb(tmp_path) == 3072
    (tmp_path / "memory.max").write_text("max\n")
    assert _cgroup_free_mb(tmp_path) > 1 << 30


def test_the_worker_s_own_limit_counts() -> None:
    """A job's memory limit is what its process may still take."""
    code = (
        "import resource; from goldsmith.engines.protocols import Device; from goldsmith.engines.memory import free_mb, _read_kib;"
        "from pathlib import Path; held = _read_kib(Path('/proc/self/status'), 'VmData') * 1024;"
        "resource.setrlimit(resource.RLIMIT_DATA, (held + (700 << 20), resource.RLIM_INFINITY)); print(free_mb(Device()))"
    )
    free = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert 650 <= free <= 700
    assert resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY or free_mb(Device()) >= 0


def test_shortages_are_told_from_other_failures() -> None:
    """By their class where they have one, by what they say where torch gives them none."""
    import torch

    short = [MemoryError(), torch.OutOfMemoryError("x"), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]
    assert all(is_out_of_memory(error) and not is_device_failure(error) for error in short)
    other = [ValueError("out of memory"), RuntimeError("shapes differ"), torch.AcceleratorError("CUDA error: an illegal memory access")]
    assert not any(is_out_of_memory(error) for error in other)


@pytest.mark.parametrize(
    "said", ["CUDA error: device-side assert triggered", "CUDA error: unspecified launch failure", "CUBLAS_STATUS_EXECUTION_FAILED"]
)
def test_a_dead_device_is_told_from_other_failures(said: str) -> None:
    """Also where torch has no class for it."""
    import torch

    assert is_device_failure(RuntimeError(said))
    assert is_device_failure(torch.AcceleratorError(said))
    assert not is_device_failure(ValueError(said))
    assert not is_device_failure(RuntimeError("shapes differ"))


def test_out_of_memory_on_the_device_is_no_dead_device() -> None:
    """torch's class for it is one of the accelerator's errors, or says CUDA error itself."""
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
