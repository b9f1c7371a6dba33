"""What there is to compute on, found without torch: the driver's own program is asked, and failing that what the kernel shows.

The daemon asks here which lane processes to start, and ``goldsmith doctor`` what fits. A driver that hangs must not hang them:
nothing is waited for longer than a moment, not even the end of a program that cannot be ended.
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

# What a program prints; None where there is no such program, "" where it fails or does not end in time.
RunCommand = Callable[[Sequence[str]], str | None]


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One accelerator. ``name`` is torch's ("cuda:0"), ``title`` a person's ("NVIDIA L40S"); memory in MiB, 0 = not known."""

    name: str
    title: str
    driver: str = ""
    total_mb: int = 0
    free_mb: int = 0


@dataclass(frozen=True, slots=True)
class DeviceScan:
    """What was found, and why it may not be all: ``trouble`` is "" or a sentence."""

    devices: tuple[Accelerator, ...] = ()
    warning: str = ""


def run_command(command: Sequence[str]) -> str | None:
    """See ``RunCommand``. A program that hangs in the driver cannot be ended: it is left alone."""
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
    """The accelerators that a lane process would see, numbered as torch numbers them for it (lanes count in the order of the bus)."""
    told = run(["nvidia-smi", f"--query-gpu={_NVIDIA_SMI_FIELDS}", "--format=csv,noheader,nounits"])
    listed = [row for row in (_parse_row(line) for line in (told or "").splitlines()) if row is not None]
    trouble = ""
    if not listed:
        listed = _read_nvidia_proc(proc)
        if told is not None and listed:
            trouble = "nvidia-smi does not answer."
    return DeviceScan(_visible_devices(listed, environ.get("CUDA_VISIBLE_DEVICES")), trouble)


def torch_backend() -> Literal["cuda", "hip", "cpu", ""]:
    """What the torch that is installed was built for; "" where there is none. It is read, not imported: that takes seconds."""
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
    """The cards that the kernel's module knows, in the order of the bus; their memory it does not tell."""
    try:
        folders = sorted(proc.iterdir())
        texts = [(folder / "information").read_text(encoding="utf-8", errors="replace") for folder in folders]
    except OSError:
        return []
    return [_GpuRow(_field(text, "GPU UUID"), Accelerator("", _field(text, "Model"))) for text in texts]


def _field(text: str, name: str) -> str:
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(name)), "")


def _visible_devices(rows: Sequence[_GpuRow], mask: str | None) -> tuple[Accelerator, ...]:
    """CUDA_VISIBLE_DEVICES: numbers or the beginnings of uuids, in the order wanted; the first that means nothing ends the list."""
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
