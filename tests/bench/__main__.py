"""``make bench``: ``python -m bench [--only NAME …] [--quick] [--folder DIR] [--json FILE]`` with tests/ on the path."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from bench import (
    assets,
    chain,
    cluster,
    cluster_sim,
    cold,
    drops,
    fill,
    generating,
    hole,
    idle,
    journal,
    layers,
    matting,
    memory,
    turns,
)
from bench.row import Row, as_json, table

Measure = Callable[[Path], list[Row]]
_FULL_RUN: dict[str, Measure] = {
    "cold": cold.measure,
    "drops": drops.measure,
    "assets": assets.measure,
    "idle": idle.measure,
    "turns": turns.measure,
    "journal": journal.measure,
    "cluster-sim": cluster_sim.measure,
    "hole": hole.measure,
    "fill": fill.measure,
    "chain": chain.measure,
    "layers": layers.measure,
    "matting": matting.measure,
    "memory": memory.measure,
    "worker": generating.on_cpu,
    "cluster": cluster.measure,
}
_QUICK_RUN: dict[str, Measure] = {
    "cold": cold.measure,
    "drops": lambda place: drops.measure(place, 40, 20.0),
    "assets": lambda place: assets.measure(place, 200),
    "idle": lambda place: idle.measure(place, 10_000, 10.0),
    "turns": lambda place: turns.measure(place, 300, 3.0),
    "journal": lambda place: journal.measure(place, 50_000),
    "cluster-sim": lambda place: cluster_sim.measure(place, 1000, 50_000),
    "hole": lambda place: hole.measure(place, ((1632, 1224), (4000, 3000))),
    "fill": fill.measure,
    "chain": lambda place: chain.measure(place, (2000, 1500)),
    "layers": lambda place: layers.measure(place, 1500),
    "matting": lambda place: matting.measure(place, 2000),
    "memory": lambda place: memory.measure(place, (4000, 3000)),
    "worker": lambda place: generating.on_cpu(place, 8, (2000, 1500)),
    "cluster": lambda place: cluster.measure(place, 20, 6, 10.0),
}
_REQUIRED_PROGRAMS = {"drops": "inotifywait"}


def main(arguments: list[str]) -> int:
    """Run the benchmarks one after the other. If a benchmark lacks a program or fails, its row says so."""
    options = _parse(arguments)
    measurements = _QUICK_RUN if options.quick else _FULL_RUN
    place = Path(tempfile.mkdtemp(prefix="goldsmith-bench-", dir=options.folder))
    rows: list[Row] = []
    try:
        for name in options.only or measurements:
            print(f"{name} …", file=sys.stderr, flush=True)
            rows += _run_benchmark(name, measurements[name], place / name)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    facts = _machine_facts(place)
    if options.json:
        Path(options.json).write_text(as_json(rows, facts) + "\n")
    print(f"{', '.join(f'{name} {fact}' for name, fact in facts.items())}\n\n{table(rows)}\n")
    if not options.json:
        print(as_json(rows, facts))
    return 0


def _run_benchmark(name: str, measure: Measure, place: Path) -> list[Row]:
    if name in _REQUIRED_PROGRAMS and shutil.which(_REQUIRED_PROGRAMS[name]) is None:
        return [Row(name, f"skipped: {_REQUIRED_PROGRAMS[name]} is not installed", 0.0, "")]
    try:
        return measure(place)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        return [Row(name, f"failed: {error}", 0.0, "")]
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="How fast the line is.")
    parser.add_argument("--only", nargs="*", choices=list(_FULL_RUN), help="these benches only")
    parser.add_argument("--quick", action="store_true", help="a tenth of it, to see that it runs")
    parser.add_argument("--folder", help="where to work; it should be on the kind of disk that is to be measured")
    parser.add_argument("--json", help="write the figures there instead of printing them")
    return parser.parse_args(arguments)


def _machine_facts(place: Path) -> dict[str, str]:
    """Return the conditions of the figures: the machine, its load, the disk and the versions."""
    from goldsmith.mounts import kind_at

    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": f"{len(os.sched_getaffinity(0))} x {processor or platform.machine()}",
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "disk": kind_at(place.parent).name,
        "linux": platform.release(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("watchdog", "pydantic", "onnxruntime", "torch", "diffusers")},
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
