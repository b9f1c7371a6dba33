"""Find the accelerators of this machine without torch: ask the driver's own program, or else the kernel.

The daemon uses this to decide which worker processes to start, and ``goldsmith doctor`` to say which models fit. A driver that hangs must
not hang the daemon, so nothing here waits for longer than a moment, not even for the end of a program that cannot be killed.
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

# Return a program's output; None if the program does not exist, "" if it fails or does not end in time.
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
    """The accelerators that were found; ``trouble`` is a sentence if some may be missing, otherwise ""."""

    devices: tuple[Accelerator, ...] = ()
    warning: str = ""


def run_command(command: Sequence[str]) -> str | None:
    """Run a program as ``RunCommand`` says. A program that hangs in the driver cannot be killed and is abandoned."""
    if shutil.which(command[0]) is None:
        return None
    try:
        asked = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except OSError:
        return ""
    try:
        told, _ = asked.communicate(timeout=_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        asked.kill()
        return ""
    return told if asked.returncode == 0 else ""


def find_devices(run: RunCommand = run_command, proc: Path = NVIDIA_PROC, environ: Mapping[str, str] = os.environ) -> DeviceScan:
    """Return the accelerators that a worker process would see, with torch's numbers (worker processes count in PCI bus order)."""
    told = run(["nvidia-smi", f"--query-gpu={_NVIDIA_SMI_FIELDS}", "--format=csv,noheader,nounits"])
    listed = [row for row in (_parse_row(line) for line in (told or "").splitlines()) if row is not None]
    trouble = ""
    if not listed:
        listed = _read_nvidia_proc(proc)
        if told is not None and listed:
            trouble = "nvidia-smi does not answer."
    return DeviceScan(_visible_devices(listed, environ.get("CUDA_VISIBLE_DEVICES")), trouble)


def torch_backend() -> Literal["cuda", "hip", "cpu", ""]:
    """Return what the installed torch was built for, or "" without torch. Its files are read; an import would take seconds."""
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
    """Return the cards that the kernel module lists, in PCI bus order; it does not say how much memory they have."""
    try:
        folders = sorted(proc.iterdir())
        texts = [(folder / "information").read_text(encoding="utf-8", errors="replace") for folder in folders]
    except OSError:
        return []
    return [_GpuRow(_field(text, "GPU UUID"), Accelerator("", _field(text, "Model"))) for text in texts]


def _field(text: str, name: str) -> str:
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(name)), "")


def _visible_devices(rows: Sequence[_GpuRow], mask: str | None) -> tuple[Accelerator, ...]:
    """Return the devices that CUDA_VISIBLE_DEVICES selects: numbers or prefixes of UUIDs, in that order, up to the first invalid entry."""
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
