"""What a person at the keyboard waits for."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from bench.rig import Daemon, fresh_root, tiny_png
from bench.row import Row

_BENCH = "cold"
_TIMES = 5


def measure(place: Path) -> list[Row]:
    """Commands as new processes, and a worker process from the daemon's start to its first outcome."""
    root = fresh_root(place)
    python = _best([sys.executable, "-c", "pass"])
    rows = [
        Row(_BENCH, "goldsmith --help", _best([sys.executable, "-m", "goldsmith", "--help"]), "s", beside="python alone", peer=python),
    ]
    (root / "inbox" / "first.png").write_bytes(tiny_png(1))
    (root / "inbox" / "first.toml").write_text("generate = []\n")
    daemon = Daemon(root, level="debug")
    try:
        daemon.wait_for(lambda heard: any('"fraction": 0.0' in line for _, line in heard), 30)
        begun = [moment for moment, _ in daemon.events("progress")]
        started = [moment for moment, _ in daemon.events("started")]
        status = _best([sys.executable, "-m", "goldsmith", "status", "--root", str(root)])
        if status is not None:
            rows.append(Row(_BENCH, "goldsmith status, the daemon running", status, "s", beside="python alone", peer=python))
        rows.append(Row(_BENCH, "start until watching, empty folders", daemon.ready_after, "s", 3.0))
        if begun and started:
            rows.append(Row(_BENCH, "start until a worker is at work", begun[0] - daemon.began, "s"))
    finally:
        daemon.end()
    return rows


def _best(command: list[str]) -> float | None:
    """The least of some runs, since everything else on the machine can only add; None where the command does not exist yet."""
    times = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
        if done.returncode:
            return None
    return min(times)
