"""The cost of an idle daemon with very many pictures in its folders."""

from __future__ import annotations

import time
from pathlib import Path

from bench.rig import Daemon, cpu_seconds, fresh_root, mapped, resident_mib, wakings
from bench.row import Row

_BENCHMARK = "idle"
_HEAVY = ("torch", "onnxruntime", "cv2", "imagecodecs", "PyOpenColorIO", "patchmatch")
_SETTLED = 3.0


def measure(place: Path, files: int = 100_000, seconds: float = 60.0) -> list[Row]:
    """Measure with pictures that have no brief and no prompt, a thousand in each campaign."""
    root = fresh_root(place)
    for number in range(files):
        campaign = root / "inbox" / f"campaign{number // 1000:03d}"
        if number % 1000 == 0:
            campaign.mkdir()
        (campaign / f"picture{number:06d}.png").touch()
    daemon = Daemon(root)
    try:
        pid = daemon.process.pid
        read_after = _until_quiet(pid) - daemon.began
        before, woken = cpu_seconds(pid), wakings(pid)
        workers = sum(cpu_seconds(child) for child in daemon.children)
        began = time.monotonic()
        time.sleep(seconds)
        spent = time.monotonic() - began
        share = 100 * (cpu_seconds(pid) - before) / spent
        workers = 100 * (sum(cpu_seconds(child) for child in daemon.children) - workers) / spent
        turns = (wakings(pid) - woken) / spent
        heavy = mapped(pid, _HEAVY)
        return [
            Row(_BENCHMARK, f"CPU share over {seconds:.0f} s, {files} files", share, "%", 0.2),
            Row(_BENCHMARK, "the same of its worker processes", workers, "%"),
            Row(_BENCHMARK, "wakings", turns, "/s"),
            Row(_BENCHMARK, "resident memory of the daemon", resident_mib(pid), "MiB", 120.0),
            Row(_BENCHMARK, "model and codec libraries mapped", len(heavy), "", 0.0, beside=", ".join(heavy) or "none"),
            Row(_BENCHMARK, "start until watching (READY)", daemon.ready_after, "s", 3.0),
            Row(_BENCHMARK, "start until everything is read", read_after, "s"),
        ]
    finally:
        daemon.end()


def _until_quiet(pid: int, patience: float = 120.0) -> float:
    """Return the moment after which the process has used hardly any CPU time for a while."""
    quiet_since, end = time.monotonic(), time.monotonic() + patience
    before = cpu_seconds(pid)
    while time.monotonic() < end and time.monotonic() - quiet_since < _SETTLED:
        time.sleep(0.1)
        now = cpu_seconds(pid)
        if now - before > 0.005:
            quiet_since = time.monotonic()
        before = now
    return quiet_since
