"""From a drop to the start of its work, to the next folder, and from folder to folder; beside ``inotifywait`` on the same files."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from bench.rig import FOLDERS, NULL_BRIEF, Daemon, Lines, fresh_root
from bench.row import Row, spread

_BENCH = "drops"
_BREATH = 150.0


def measure(place: Path, count: int = 500, a_second: float = 20.0) -> list[Row]:
    """``count`` drops by a program of its own into a daemon that runs with its default pace."""
    root = fresh_root(place)
    (root / "inbox" / "brief.toml").write_text(NULL_BRIEF)
    daemon = Daemon(root)
    folders = [str(root / folder) for folder in FOLDERS]
    peer = Lines(["inotifywait", "-m", "-q", "-e", "close_write,moved_to", "--format", "%w%f", *folders], stream="stdout")
    try:
        _warm(root, daemon, peer)
        dropped = _drop(root / "inbox", count, a_second)
        last = FOLDERS[-1] + "/"
        daemon.wait_for(lambda heard: sum('"committed"' in line and last in line for _, line in heard) > count, 60 + count / a_second)
    finally:
        peer.end()
        daemon.end()
    return _rows(root, dropped, daemon, peer)


def _warm(root: Path, daemon: Daemon, peer: Lines) -> None:
    """One picture goes all the way first: workers have started, and both listeners are known to hear."""
    _drop(root / "inbox", 1, 1.0, "warm.png")
    if not daemon.wait_for(lambda heard: any('"committed"' in line and "delivered/" in line for _, line in heard), 60):
        raise RuntimeError(f"The first picture did not arrive: {daemon.heard[-3:]}")
    if not peer.wait_for(lambda heard: any("/delivered/warm" in line for _, line in heard), 10):
        raise RuntimeError("inotifywait hears nothing.")


def _drop(inbox: Path, count: int, a_second: float, name: str = "") -> dict[str, float]:
    if name:
        os.rename(_written(inbox, name), inbox / name)
        return {}
    env = dict(os.environ) | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "bench.dropper", str(inbox), str(count), str(a_second)]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env).stdout
    return {line.split()[0]: int(line.split()[1]) / 1e9 for line in told.splitlines()}


def _written(inbox: Path, name: str) -> Path:
    from bench.rig import tiny_png

    path = inbox / f".{name}"
    path.write_bytes(tiny_png(0xFFFF))
    return path


def _rows(root: Path, dropped: dict[str, float], daemon: Daemon, peer: Lines) -> list[Row]:
    began = {str(facts["picture"]): moment for moment, facts in daemon.events("started") if facts["stage"] == "generate"}
    seen: dict[str, float] = {}
    for moment, line in peer.heard:
        seen.setdefault(os.path.relpath(line, root), moment)
    heard = [seen[f"inbox/{name}"] - moment for name, moment in dropped.items() if f"inbox/{name}" in seen]
    start = [began[f"inbox/{name}"] - moment for name, moment in dropped.items() if f"inbox/{name}" in began]
    passed = [seen[f"selected/{name}"] - moment for name, moment in dropped.items() if f"selected/{name}" in seen]
    hops = [
        seen[f"{there}/{name}"] - seen[f"{here}/{name}"]
        for name in dropped
        for here, there in pairwise(FOLDERS[1:])
        if f"{there}/{name}" in seen and f"{here}/{name}" in seen
    ]
    limit = 1000 * sorted(heard)[len(heard) // 2] + _BREATH if heard else None
    return [
        *spread(_BENCH, "drop to inotifywait's line", heard),
        *spread(_BENCH, "drop to start of work", start, 250.0, beside="inotifywait + `breath`", peer=limit),
        *spread(_BENCH, "drop to next folder, nothing to do", passed, 2500.0, beside="the quiet time", peer=2000.0),
        *spread(_BENCH, "hop between the daemon's own stages", hops, 20.0),
    ]
