"""The delays from a drop to the start of its work and to the next folder, and between folders, beside ``inotifywait`` on the same files."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from bench.rig import FOLDERS, NULL_BRIEF, Daemon, Lines, fresh_root
from bench.row import Row, spread

_BENCHMARK = "drops"
_BREATH = 150.0


def measure(place: Path, count: int = 500, a_second: float = 20.0) -> list[Row]:
    """Measure ``count`` drops, made by a separate program, in a daemon with default waits."""
    root = fresh_root(place)
    (root / "inbox" / "brief.toml").write_text(NULL_BRIEF)
    daemon = Daemon(root)
    folders = [str(root / folder) for folder in FOLDERS]
    peer = Lines(["inotifywait", "-m", "-q", "-e", "close_write,moved_to", "--format", "%w%f", *folders], stream="stdout")
    try:
        _warm(root, daemon, peer)
        dropped = _drop(root / "inbox", count, a_second)
        last = FOLDERS[-1] + "/"
        daemon.wait_for(lambda lines: sum('"committed"' in line and last in line for _, line in lines) > count, 60 + count / a_second)
    finally:
        peer.end()
        daemon.end()
    return _rows(root, dropped, daemon, peer)


def _warm(root: Path, daemon: Daemon, peer: Lines) -> None:
    """Send one picture through all folders first: then the workers have started, and both listeners are known to work."""
    _drop(root / "inbox", 1, 1.0, "warm.png")
    if not daemon.wait_for(lambda lines: any('"committed"' in line and "delivered/" in line for _, line in lines), 60):
        raise RuntimeError(f"The first picture did not arrive: {daemon.lines[-3:]}")
    if not peer.wait_for(lambda lines: any("/delivered/warm" in line for _, line in lines), 10):
        raise RuntimeError("inotifywait hears nothing.")


def _drop(inbox: Path, count: int, a_second: float, name: str = "") -> dict[str, float]:
    if name:
        os.rename(_write_hidden(inbox, name), inbox / name)
        return {}
    env = dict(os.environ) | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "bench.dropper", str(inbox), str(count), str(a_second)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env).stdout
    return {line.split()[0]: int(line.split()[1]) / 1e9 for line in output.splitlines()}


def _write_hidden(inbox: Path, name: str) -> Path:
    from bench.rig import tiny_png

    path = inbox / f".{name}"
    path.write_bytes(tiny_png(0xFFFF))
    return path


def _rows(root: Path, dropped: dict[str, float], daemon: Daemon, peer: Lines) -> list[Row]:
    starts = {str(facts["picture"]): moment for moment, facts in daemon.events("started") if facts["stage"] == "generate"}
    event_times: dict[str, float] = {}
    for moment, line in peer.lines:
        event_times.setdefault(os.path.relpath(line, root), moment)
    listener_delays = [event_times[f"inbox/{name}"] - moment for name, moment in dropped.items() if f"inbox/{name}" in event_times]
    start_delays = [starts[f"inbox/{name}"] - moment for name, moment in dropped.items() if f"inbox/{name}" in starts]
    next_folder_delays = [event_times[f"selected/{name}"] - moment for name, moment in dropped.items() if f"selected/{name}" in event_times]
    hop_delays = [
        event_times[f"{next_folder}/{name}"] - event_times[f"{folder}/{name}"]
        for name in dropped
        for folder, next_folder in pairwise(FOLDERS[1:])
        if f"{next_folder}/{name}" in event_times and f"{folder}/{name}" in event_times
    ]
    limit = 1000 * sorted(listener_delays)[len(listener_delays) // 2] + _BREATH if listener_delays else None
    return [
        *spread(_BENCHMARK, "drop to inotifywait's line", listener_delays),
        *spread(_BENCHMARK, "drop to start of work", start_delays, 250.0, beside="inotifywait + `breath`", peer=limit),
        *spread(_BENCHMARK, "drop to next folder, nothing to do", next_folder_delays, 2500.0, beside="the quiet time", peer=2000.0),
        *spread(_BENCHMARK, "hop between the daemon's own stages", hop_delays, 20.0),
    ]
