"""Cold starts: the waits of a person at the keyboard."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from bench.rig import Daemon, fresh_root, tiny_png
from bench.row import Row

_BENCHMARK = "cold"
_TIMES = 5


def measure(place: Path) -> list[Row]:
    """Measure commands as new processes, and the time from the daemon's start to the first progress of a worker process."""
    root = fresh_root(place)
    python = _best([sys.executable, "-c", "pass"])
    help_seconds = _best([sys.executable, "-m", "goldsmith", "--help"])
    if help_seconds is None:
        raise RuntimeError("goldsmith --help failed")
    rows = [Row(_BENCHMARK, "goldsmith --help", help_seconds, "s", beside="python alone", peer=python)]
    (root / "inbox" / "first.png").write_bytes(tiny_png(1))
    (root / "inbox" / "first.toml").write_text("generate = []\n")
    daemon = Daemon(root, level="debug")
    try:
        daemon.wait_for(lambda lines: any('"fraction": 0.0' in line for _, line in lines), 30)
        begins = [moment for moment, _ in daemon.events("progress")]
        started = [moment for moment, _ in daemon.events("started")]
        status = _best([sys.executable, "-m", "goldsmith", "status", "--root", str(root)])
        if status is not None:
            rows.append(Row(_BENCHMARK, "goldsmith status, the daemon running", status, "s", beside="python alone", peer=python))
        rows.append(Row(_BENCHMARK, "start until watching, empty folders", daemon.ready_after, "s", 3.0))
        if begins and started:
            rows.append(Row(_BENCHMARK, "start until a worker is at work", begins[0] - daemon.began, "s"))
    finally:
        daemon.end()
    return rows


def _best(command: list[str]) -> float | None:
    """Return the least time of some runs, because other load on the machine can only add time; None if the command fails."""
    times = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
        if done.returncode:
            return None
    return min(times)
