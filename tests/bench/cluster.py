"""A Ray cluster on this host beside local worker processes: what a job costs more, what a second node brings, and what idling costs."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.row import Row

_BENCHMARK = "cluster"
_JOBS = 60
_BUSY_JOBS = 12
# Jobs that only wait, as on nodes whose processors are their own: how many, and the seconds of each.
_NAPS, _NAP_SECONDS = 8, 6.0
_NAP: tuple[str, dict[str, Any]] = ("nap", {"seconds": _NAP_SECONDS})
_WARM_UP = 5


def measure(place: Path, jobs: int = _JOBS, busy_jobs: int = _BUSY_JOBS, idle_seconds: float = 30.0) -> list[Row]:
    """Measure with jobs that do nothing, one after the other, then with jobs that sharpen a picture of 4 megapixels."""
    from importlib.util import find_spec

    if find_spec("ray") is None:
        return [Row(_BENCHMARK, "skipped: Ray is not installed", 0.0, "")]
    from doubles.ray_cluster import LocalCluster
    from goldsmith.pipeline.workers.runner import LocalRunner

    place.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    cluster = LocalCluster(place, nodes=1, cpus=1)
    up_after = time.monotonic() - began
    try:
        local = _seconds_a_job(place / "local", {"local": LocalRunner()}, jobs)
        distant = _seconds_a_job(place / "distant", {"ray": cluster.runner(place / "distant")}, jobs)
        one_node = _busy_seconds(place / "one", cluster, 1, busy_jobs)
        one_pretended = _busy_seconds(place / "one-pretended", cluster, 1, _NAPS, _NAP)
        share, mib = _idle_cost(idle_seconds, lambda _: True)
        bridge_share, bridge_mib = _bridge_cost(place / "bridge", cluster, idle_seconds)
        cluster.add_node()
        two_nodes = _busy_seconds(place / "two", cluster, 2, busy_jobs)
        two_pretended = _busy_seconds(place / "two-pretended", cluster, 2, _NAPS, _NAP)
    finally:
        cluster.close()
    load = f"load {os.getloadavg()[0]:.0f}, {os.cpu_count()} cores"
    node_ms, local_ms = 1000 * statistics.median(distant), 1000 * statistics.median(local)
    return [
        Row(_BENCHMARK, f"a job on a node more than on this host, p50 of {jobs}", node_ms - local_ms, "ms", 30.0, note=load),
        Row(
            _BENCHMARK,
            "a job on a node, p50",
            1000 * statistics.median(distant),
            "ms",
            beside="local",
            peer=1000 * statistics.median(local),
        ),
        Row(
            _BENCHMARK,
            f"{busy_jobs} jobs on two nodes",
            two_nodes,
            "s",
            1 / 1.8,
            as_ratio=True,
            beside="one node",
            peer=one_node,
            note=load,
        ),
        Row(
            _BENCHMARK,
            f"simulation: {_NAPS} jobs of {_NAP_SECONDS:g} s that only wait, on two nodes",
            two_pretended,
            "s",
            1 / 1.8,
            as_ratio=True,
            beside="one node",
            peer=one_pretended,
            note=load,
        ),
        Row(_BENCHMARK, f"CPU share of an idle head and node over {idle_seconds:.0f} s", share, "%"),
        Row(_BENCHMARK, "memory of an idle head and node", mib, "MiB"),
        Row(_BENCHMARK, f"CPU time of an idle bridge in a minute, over {idle_seconds:.0f} s", 0.6 * bridge_share, "s", note=load),
        Row(_BENCHMARK, "memory of an idle bridge", bridge_mib, "MiB"),
        Row(_BENCHMARK, "start of a head and a node", up_after, "s"),
    ]


def _pools(root: Path, runners: dict[str, Any], count: int, catalogue: str = "goldsmith.ops:catalogue") -> Any:
    """``catalogue``: the source of the operations."""
    from doubles.jobs import worker_folders
    from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
    from goldsmith.pipeline.workers.worker_pools import WorkerPools

    kind = next(iter(runners))
    spec = WorkerSpec(queue="cpu", runner="ray" if kind == "ray" else "local")
    return WorkerPools([spec] * count, WorkerConfig(catalogue=catalogue), worker_folders(root, WorkerConfig()), runners=runners)


def _seconds_a_job(root: Path, runners: dict[str, Any], count: int) -> list[float]:
    """Return how long each job takes from its submission to its outcome, one after the other, when the process is warm."""
    from doubles.jobs import Share, outcome_of

    share = Share(root)
    pools = _pools(root, runners, 1)
    seconds = []
    try:
        for _ in range(_WARM_UP + count):
            job = share.job()
            began = time.perf_counter()
            fault = outcome_of(pools, job).fault
            if fault is not None:
                raise RuntimeError(fault.sentence)
            seconds.append(time.perf_counter() - began)
    finally:
        pools.stop(0)
    return seconds[_WARM_UP:]


def _busy_seconds(root: Path, cluster: Any, nodes: int, count: int, step: tuple[str, dict[str, Any]] = ("sharpen", {})) -> float:
    """Return how long jobs take together, on as many workers as there are nodes, when all are warm."""
    from doubles.jobs import GENEROUS, Share, events_until, outcomes, picture, png

    share = Share(root)
    share.put("inbox/hero.png", png(picture(2000, 2000)))
    # The catalogue of the tests has the jobs that only wait.
    catalogue = "doubles.faulty:catalogue" if step[0] == "nap" else "goldsmith.ops:catalogue"
    pools = _pools(root, {"ray": cluster.runner(root)}, nodes, catalogue)
    try:
        for size in (2 * nodes, count):  # the first ones start the processes
            jobs = [share.job(step, limits=GENEROUS) for _ in range(size)]
            began = time.perf_counter()
            for job in jobs:
                pools.submit(job)
            results: list[Any] = []
            while len(results) < size:
                results += outcomes(events_until(pools, lambda events: bool(outcomes(events))))
            faults = [result.fault for result in results]
            if any(faults):
                raise RuntimeError(str(faults))
        return time.perf_counter() - began
    finally:
        pools.stop(0)


def _bridge_cost(root: Path, cluster: Any, seconds: float) -> tuple[float, float]:
    """Return what the bridge costs beside one idle worker on a node, as ``_idle_cost`` does."""
    from doubles.jobs import Share, outcome_of

    share = Share(root)
    pools = _pools(root, {"ray": cluster.runner(root)}, 1)
    try:
        outcome_of(pools, share.job())
        return _idle_cost(seconds, lambda process: "goldsmith.cluster.bridge" in process.cmdline())
    finally:
        pools.stop(0)


def _idle_cost(seconds: float, is_meant: Callable[[Any], bool]) -> tuple[float, float]:
    """Return the share of a processor in per cent, and the memory in MiB, of child processes while there is no work."""
    import psutil  # type: ignore[import-untyped]

    processes = [process for process in _below(psutil.Process()) if is_meant(process)]
    before, began = _cpu_seconds(processes), time.monotonic()
    time.sleep(seconds)
    spent = time.monotonic() - began
    memory = sum(process.memory_full_info().pss for process in processes if process.is_running())
    return 100 * (_cpu_seconds(processes) - before) / spent, memory / 2**20


def _below(process: Any) -> list[Any]:
    return [child for child in process.children(recursive=True) if child.status() != "zombie"]


def _cpu_seconds(processes: Sequence[Any]) -> float:
    return float(sum(sum(process.cpu_times()[:2]) for process in processes if process.is_running()))
