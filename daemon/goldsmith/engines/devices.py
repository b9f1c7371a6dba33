"""Find the accelerators of this machine without torch: from nvidia-smi, or else from the kernel module.

The daemon uses this to choose its worker processes, ``goldsmith doctor`` to report which models fit. A driver that hangs must not block the
daemon, so every wait here has a time limit. A program that hangs in the driver cannot be killed and is left behind.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

NVIDIA_PROC = Path("/proc/driver/nvidia/gpus")
_NVIDIA_SMI_FIELDS = "index,uuid,name,driver_version,memory.total,memory.free"
_TIMEOUT_SECONDS = 10.0

# Returns a program's output; None if the program does not exist, "" if it fails or exceeds the time limit.
RunCommand = Callable[[Sequence[str]], str | None]


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One accelerator. ``name`` is torch's ("cuda:0"), ``title`` is for people ("NVIDIA L40S"); memory in MiB, 0 = unknown."""

    name: str
    title: str
    driver: str = ""
    total_mb: int = 0
    free_mb: int = 0


@dataclass(frozen=True, slots=True)
class DeviceScan:
    """The accelerators that were found; ``warning`` is a sentence if the scan may be incomplete, otherwise ""."""

    devices: tuple[Accelerator, ...] = ()
    warning: str = ""


def run_command(command: Sequence[str]) -> str | None:
    """Run a program and return its output, as ``RunCommand``."""
    if shutil.which(command[0]) is None:
        return None
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except OSError:
        return ""
    try:
        output, _ = process.communicate(timeout=_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return ""
    return output if process.returncode == 0 else ""


def find_devices(run: RunCommand = run_command, proc: Path = NVIDIA_PROC, environ: Mapping[str, str] = os.environ) -> DeviceScan:
    """Return the accelerators that a worker process would see, with torch's numbers (worker processes count in PCI bus order)."""
    output = run(["nvidia-smi", f"--query-gpu={_NVIDIA_SMI_FIELDS}", "--format=csv,noheader,nounits"])
    rows = [row for row in (_parse_row(line) for line in (output or "").splitlines()) if row is not None]
    warning = ""
    if not rows:
        rows = _read_nvidia_proc(proc)
        if output is not None and rows:
            warning = "nvidia-smi does not answer."
    return DeviceScan(_visible_devices(rows, environ.get("CUDA_VISIBLE_DEVICES")), warning)


def torch_backend() -> Literal["cuda", "hip", "cpu", ""]:
    """Return the backend of the installed torch, "" without torch. This reads torch's files; an import would take seconds."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return ""
    try:
        text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    except OSError:
        return ""
    for kind in ("cuda", "hip"):
        if re.search(rf"^{kind}\b[^=\n]*=\s*['\"]", text, re.MULTILINE):
            return "cuda" if kind == "cuda" else "hip"
    return "cpu"


@dataclass(frozen=True, slots=True)
class _GpuRow:
    uuid: str
    accelerator: Accelerator


def _parse_row(line: str) -> _GpuRow | None:
    parts = [part.strip() for part in line.split(",")]
    if len(parts) != 6 or not parts[0].isdigit():
        return None
    _, uuid, title, driver, total, free = parts
    return _GpuRow(uuid, Accelerator("", title, driver, _parse_mb(total), _parse_mb(free)))


def _parse_mb(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _read_nvidia_proc(proc: Path) -> list[_GpuRow]:
    """Return the GPUs that the kernel module lists, in PCI bus order; it does not report their memory."""
    try:
        folders = sorted(proc.iterdir())
        texts = [(folder / "information").read_text(encoding="utf-8", errors="replace") for folder in folders]
    except OSError:
        return []
    return [_GpuRow(_field(text, "GPU UUID"), Accelerator("", _field(text, "Model"))) for text in texts]


def _field(text: str, name: str) -> str:
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(name)), "")


def _visible_devices(rows: Sequence[_GpuRow], mask: str | None) -> tuple[Accelerator, ...]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES selects: numbers or prefixes of UUIDs, in its order, up to the first invalid entry."""
    chosen: list[_GpuRow] = list(rows)
    if mask is not None:
        chosen = []
        for word in (part.strip() for part in mask.split(",")):
            row = _find_row(rows, word)
            if row is None or row in chosen:
                break
            chosen.append(row)
    return tuple(
        Accelerator(f"cuda:{number}", row.accelerator.title, row.accelerator.driver, row.accelerator.total_mb, row.accelerator.free_mb)
        for number, row in enumerate(chosen)
    )


def _find_row(rows: Sequence[_GpuRow], word: str) -> _GpuRow | None:
    if word.isdigit():
        return rows[int(word)] if int(word) < len(rows) else None
    if word.startswith("MIG-") and rows:
        return _GpuRow(word, Accelerator("", "a part of a GPU (MIG)", rows[0].accelerator.driver))
    return next((row for row in rows if word and row.uuid.startswith(word)), None)
