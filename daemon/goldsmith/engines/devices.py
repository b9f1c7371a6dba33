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

PROC = Path("/proc/driver/nvidia/gpus")
_FIELDS = "index,uuid,name,driver_version,memory.total,memory.free"
_SECONDS = 10.0

Say = Callable[[Sequence[str]], str | None]
"""What a program prints; None where there is no such program, "" where it fails or does not end in time."""


@dataclass(frozen=True, slots=True)
class Found:
    """One accelerator. ``name`` is torch's ("cuda:0"), ``title`` a person's ("NVIDIA L40S"); memory in MiB, 0 = not known."""

    name: str
    title: str
    driver: str = ""
    total_mb: int = 0
    free_mb: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found, and why it may not be all: ``trouble`` is "" or a sentence."""

    devices: tuple[Found, ...] = ()
    trouble: str = ""


def said(command: Sequence[str]) -> str | None:
    """See ``Say``. A program that hangs in the driver cannot be ended: it is left alone."""
    if shutil.which(command[0]) is None:
        return None
    try:
        asked = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except OSError:
        return ""
    try:
        told, _ = asked.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        asked.kill()
        return ""
    return told if asked.returncode == 0 else ""


def devices(say: Say = said, proc: Path = PROC, environ: Mapping[str, str] = os.environ) -> Seen:
    """The accelerators that a lane process would see, numbered as torch numbers them for it (lanes count in the order of the bus)."""
    told = say(["nvidia-smi", f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits"])
    listed = [row for row in (_row(line) for line in (told or "").splitlines()) if row is not None]
    trouble = ""
    if not listed:
        listed = _in_kernel(proc)
        if told is not None and listed:
            trouble = "nvidia-smi does not answer."
    return Seen(_visible(listed, environ.get("CUDA_VISIBLE_DEVICES")), trouble)


def torch_for() -> Literal["cuda", "hip", "cpu", ""]:
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
class _Row:
    uuid: str
    found: Found


def _row(line: str) -> _Row | None:
    parts = [part.strip() for part in line.split(",")]
    if len(parts) != 6 or not parts[0].isdigit():
        return None
    _, uuid, title, driver, total, free = parts
    return _Row(uuid, Found("", title, driver, _mb(total), _mb(free)))


def _mb(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _in_kernel(proc: Path) -> list[_Row]:
    """The cards that the kernel's module knows, in the order of the bus; their memory it does not tell."""
    try:
        folders = sorted(proc.iterdir())
        texts = [(folder / "information").read_text(encoding="utf-8", errors="replace") for folder in folders]
    except OSError:
        return []
    return [_Row(_field(text, "GPU UUID"), Found("", _field(text, "Model"))) for text in texts]


def _field(text: str, name: str) -> str:
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(name)), "")


def _visible(rows: Sequence[_Row], mask: str | None) -> tuple[Found, ...]:
    """CUDA_VISIBLE_DEVICES: numbers or the beginnings of uuids, in the order wanted; the first that means nothing ends the list."""
    chosen: list[_Row] = list(rows)
    if mask is not None:
        chosen = []
        for word in (part.strip() for part in mask.split(",")):
            row = _named(rows, word)
            if row is None or row in chosen:
                break
            chosen.append(row)
    return tuple(
        Found(f"cuda:{number}", row.found.title, row.found.driver, row.found.total_mb, row.found.free_mb)
        for number, row in enumerate(chosen)
    )


def _named(rows: Sequence[_Row], word: str) -> _Row | None:
    if word.isdigit():
        return rows[int(word)] if int(word) < len(rows) else None
    if word.startswith("MIG-") and rows:
        return _Row(word, Found("", "a part of a GPU (MIG)", rows[0].found.driver))
    return next((row for row in rows if word and row.uuid.startswith(word)), None)
