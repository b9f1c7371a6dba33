"""Many tiny assets through all five folders without any step, beside the same number of durable renames by a bare loop."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from bench.rig import FOLDERS, NULL_BRIEF, Daemon, durable_renames, fresh_root, tiny_png
from bench.row import Row

_BENCHMARK = "assets"
_STAGES = len(FOLDERS) - 1


def measure(place: Path, count: int = 2000) -> list[Row]:
    """Measure ``count`` assets. Half of the bare loop runs before and half after, so that a changing load affects both."""
    root = fresh_root(place)
    inbox = root / "inbox"
    for number in range(count):
        (inbox / f"asset{number:05d}.png").write_bytes(tiny_png(number))
    (inbox / "brief.toml").write_text(NULL_BRIEF)
    os.sync()
    bare = durable_renames(place / "bare", count * _STAGES // 2)
    began = time.monotonic()
    daemon = Daemon(root, "--until-idle", level="warning")
    try:
        daemon.process.wait(1800)
        seconds = time.monotonic() - began
    except subprocess.TimeoutExpired:
        daemon.end()
        raise
    bare += durable_renames(place / "bare", count * _STAGES - count * _STAGES // 2)
    delivered = sum(name.endswith(".png") for name in os.listdir(root / "delivered"))
    if delivered != count:
        raise RuntimeError(f"{delivered} of {count} assets were delivered: {daemon.lines[-3:]}")
    ratio = Row(
        *(_BENCHMARK, f"{count} tiny assets through {_STAGES} null stages", seconds, "s", 6.0),
        beside=f"{count * _STAGES} durable renames",
        peer=bare,
        as_ratio=True,
        note="the daemon's start and the quiet time of 2 s are in it",
    )
    return [ratio, Row(_BENCHMARK, "assets a second", count / seconds, "/s", beside="bare", peer=count / bare)]
