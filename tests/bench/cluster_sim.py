"""A cluster of a hundred pretended nodes: what the daemon's scheduler, journal and commits can carry, and where their time goes.

Everything of the daemon is real: folders, intake, scheduler, worker pools, verification of results, commits and journal. The nodes are
pretended: a worker process is one end of a socket in this program, and its job ends after pretended seconds on a pretended clock, with a
small file as its result. So the figures are the daemon's own cost, without network and without a share.
"""

from __future__ import annotations

import cProfile
import gc
import heapq
import itertools
import json
import os
import pstats
import random
import resource
import select
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from bench.rig import fresh_root, resident_mib, tiny_png
from bench.row import Row, percentile
from goldsmith.jobs.job import InputRead, Job, Outcome, OutputFile, StepResult
from goldsmith.jobs.protocol import FrameDecoder, MessageType, WorkerSpec, decode_message, encode_message, frame_message
from goldsmith.journal.journal import Journal
from goldsmith.journal.location import prepare_journal_folder
from goldsmith.pipeline.commit.root_lock import RootLock
from goldsmith.pipeline.turns import turn_of
from goldsmith.pipeline.workers.job_queue import JobQueue, QueuedJob
from goldsmith.pipeline.workers.runner import LocalRunner
from goldsmith.pipeline.workers.worker_pools import WorkerPools
from goldsmith.service.runtime import DaemonRuntime
from goldsmith.service.service import open_journal
from goldsmith.service.setup import create_folders, load_setup
from goldsmith.service.worker_setup import worker_config, worker_folders

_BENCHMARK = "cluster-sim"
_NODES, _WORKERS_A_NODE = 100, 2
# Pretended seconds of a job: a picture made by a model on one GPU takes about so long.
_JOB_SECONDS = (15.0, 45.0)
_CAMPAIGNS = 50
_BRIEF = '[[edit]]\nop = "sharpen"\n'
# Jobs of the part that is profiled, and jobs that end one by one.
_PROFILED_JOBS, _SPARSE_JOBS = 5_000, 2_000
_PATIENCE = 7200.0
_PROFILE_ROWS = 8


def measure(place: Path, pictures: int = 100_000, queued: int = 1_000_000) -> list[Row]:
    """Measure ``pictures`` through the whole daemon, and ``queued`` jobs through the queue and the journal's table of waiting jobs."""
    place.mkdir(parents=True, exist_ok=True)
    run = _run_apart("daemon", place, pictures)
    queue = _run_apart("queue", place, queued)
    return [*_daemon_rows(run), *_queue_rows(queue)]


def _run_apart(part: str, place: Path, count: int) -> dict[str, Any]:
    """Run a part in a process of its own, whose memory is that of this part alone, and return its figures."""
    command = [sys.executable, "-m", "bench.cluster_sim", part, str(place / part), str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(figures, dict)
    return figures


def _daemon_rows(run: dict[str, Any]) -> list[Row]:
    title = f"{run['pictures']:,} pictures, {run['nodes']} nodes with {run['workers']} workers"
    jobs_a_second = run["jobs"] / run["seconds"]

    def row(what: str, value: float, unit: str, note: str = "") -> Row:
        return Row(_BENCHMARK, f"{title}: {what}", value, unit, note=note)

    return [
        row("jobs given, verified and committed a second, all nodes always busy", jobs_a_second, "/s", f"load {run['load']:.1f}"),
        row("the daemon's processor time a job", 1000 * run["cpu"] / run["jobs"], "ms"),
        row("the same while jobs end one by one", 1000 * run["sparse_cpu"] / run["sparse_jobs"], "ms"),
        row("longest turn of the loop, p99 and longest", run["turn_p99"] * 1000, "ms", f"longest {run['turn_max'] * 1000:.0f} ms"),
        row("journal rows written a second", run["rows"] / run["seconds"], "/s", f"{run['rows'] / run['jobs']:.1f} a job"),
        row("durable transactions a second", run["durable"] / run["seconds"], "/s", f"{run['jobs'] / run['batches']:.1f} jobs a commit"),
        row("fsyncs a second", run["fsyncs"] / run["seconds"], "/s", f"{run['fsyncs'] / run['jobs']:.2f} a job"),
        row("the daemon's processor time until all are queued, a picture", 1000 * run["queue_cpu"] / run["pictures"], "ms"),
        row("peak memory of the process", run["peak_mib"], "MiB", f"{run['start_mib']:.0f} MiB before the first picture"),
        *(row(f"share of processor time, {name}", 100 * share, "%") for name, share in run["profile"]),
    ]


def _queue_rows(queue: dict[str, Any]) -> list[Row]:
    title = f"{queue['jobs']:,} queued jobs, processor time"
    return [
        Row(_BENCHMARK, f"{title}: to queue one", 1e6 * queue["enqueue"] / queue["jobs"], "us", note="the queue alone"),
        Row(_BENCHMARK, f"{title}: to choose the next, idle workers without a model", 1e6 * queue["plain"], "us"),
        Row(_BENCHMARK, f"{title}: the same, each with a model", 1e6 * queue["models"], "us", note=queue["models_note"]),
        Row(_BENCHMARK, f"{title}: decisions a second", queue["jobs"] / queue["seconds"], "/s", note="until the queue is empty"),
        Row(_BENCHMARK, f"{title}: memory a job", queue["bytes"], "B"),
        Row(_BENCHMARK, f"{title}: to predict the next 100", 1000 * queue["predict"], "ms"),
        Row(_BENCHMARK, f"{title}: rows of the journal's table of jobs a second", queue["jobs"] / queue["record"], "/s"),
        Row(_BENCHMARK, f"{title}: to read them all, as status does", queue["read"], "s"),
        Row(_BENCHMARK, f"{title}: to clear them at a start", queue["clear"], "s"),
    ]


# ---------------------------------------------------------------------- the pretended nodes


@dataclass(eq=False)
class _PretendedProcess:
    """A worker process that is one end of a socket. Its memory is that of this program."""

    connection: socket.socket
    stderr: int
    pid: int = field(default_factory=os.getpid)
    decoder: FrameDecoder = field(default_factory=FrameDecoder)
    status: int | None = None

    def poll(self) -> int | None:
        return self.status

    def kill(self) -> None:
        if self.status is None:
            self.status = -9
            self.connection.close()
            os.close(self.stderr)

    def wait(self, timeout: float | None = None) -> int:
        return self.status or 0


class _PretendedNodes:
    """All worker processes of all nodes, and the pretended clock on which their jobs end."""

    def __init__(self) -> None:
        self.now = 0.0
        self.started = 0
        self.finished = 0
        self._random = random.Random(7)
        self._epoll = select.epoll()
        self._by_fd: dict[int, _PretendedProcess] = {}
        self._ends: list[tuple[float, int, _PretendedProcess, Job]] = []

    def spawn(self, spec: WorkerSpec, socket_fd: int, stderr_fd: int) -> _PretendedProcess:
        connection = socket.socket(fileno=os.dup(socket_fd))
        connection.setblocking(False)
        process = _PretendedProcess(connection, os.dup(stderr_fd))
        self._by_fd[connection.fileno()] = process
        self._epoll.register(connection, select.EPOLLIN)
        self._send(process, MessageType.READY, b"none")
        return process

    def read(self) -> None:
        """Receive what the daemon has sent, and begin the jobs."""
        for fd, _ in self._epoll.poll(0):
            process = self._by_fd[fd]
            data = process.connection.recv(1 << 20)
            for kind, payload in process.decoder.feed(data):
                if kind is MessageType.JOB:
                    job = decode_message(Job, payload)
                    self._send(process, MessageType.STARTED, job.id.encode())
                    self.started += 1
                    end = self.now + self._random.uniform(*_JOB_SECONDS)
                    heapq.heappush(self._ends, (end, self.started, process, job))

    @property
    def running(self) -> int:
        return len(self._ends)

    def finish_next(self, count: int) -> None:
        """Move the clock to the end of the next jobs, ``count`` of them at most, and let them end."""
        for _ in range(min(count, len(self._ends))):
            self.now, _, process, job = heapq.heappop(self._ends)
            self._send(process, MessageType.OUTCOME, encode_message(_outcome(job)))
            self.finished += 1

    @staticmethod
    def _send(process: _PretendedProcess, kind: MessageType, payload: bytes) -> None:
        process.connection.sendall(frame_message(kind, payload))


def _outcome(job: Job) -> Outcome:
    """Write the result of a job, a copy of its picture, and return the outcome of an honest worker."""
    data = {source.path: Path(job.root, source.path).read_bytes() for source in job.inputs}
    result = Path(job.scratch, "result.png")
    result.parent.mkdir(parents=True, exist_ok=True)
    result.write_bytes(data[job.asset.path])
    digest = sha256(data[job.asset.path]).hexdigest()
    return Outcome(
        job_id=job.id,
        reads=tuple(InputRead(path=each.path, sig=each.sig, sha256=sha256(data[each.path]).hexdigest()) for each in job.inputs),
        outputs=(OutputFile(role="picture", tail=".png", path=str(result), sha256=digest, size=len(data[job.asset.path])),),
        steps=tuple(StepResult(op=step.op, settings=step.settings, seed=7, seconds=30.0, findings={}) for step in job.steps),
        seconds=30.0,
    )


# ---------------------------------------------------------------------- the whole daemon


class _ClusterRuntime(DaemonRuntime):
    """The daemon with pretended nodes in place of worker processes."""

    nodes: _PretendedNodes

    def _create_workers(self, specs: Sequence[WorkerSpec], sign: Callable[[bytes], bytes]) -> WorkerPools:
        setup = self.setup
        self.nodes = _PretendedNodes()
        # As for a queue on a cluster: each worker is a device of its own, which can fail alone.
        specs = [WorkerSpec(queue="cpu")] * (_NODES * _WORKERS_A_NODE)
        return WorkerPools(
            specs, lambda: worker_config(setup), worker_folders(setup), time.monotonic, {"local": LocalRunner(self.nodes.spawn)}, sign
        )


@dataclass
class _Costs:
    """What the daemon has used so far: its own time and processor time, its turns, and what it wrote."""

    seconds: float = 0.0
    cpu: float = 0.0
    turns: list[float] = field(default_factory=list)
    # Calls of the journal that are on the disk when they return, and of fsync; plans and batches of plans.
    durable: int = 0
    fsyncs: int = 0
    batches: int = 0


class _Simulation:
    """The daemon's loop, with the pretended nodes between its turns; only the turns are counted."""

    def __init__(self, place: Path, opened: ExitStack) -> None:
        self.costs = _Costs()
        self.committed = 0
        root = fresh_root(place)
        flags: dict[str, object] = {"state_dir": str(place / "state"), "quiet": 0.3, "breath": 0.05, "gather": 0.1}
        self.root, self.setup = root, load_setup(root, None, **flags)
        create_folders(self.setup)
        lock = opened.enter_context(RootLock.acquire(root))
        self.journal = opened.enter_context(closing(open_journal(prepare_journal_folder(root, place / "state"), self._on_event)))
        self._count_writes()
        self.runtime = opened.enter_context(closing(_ClusterRuntime(self.setup, lock, self.journal, self._on_event)))

    def _on_event(self, event: str, /, **facts: object) -> None:
        self.committed += event == "committed"
        if event in ("held", "fault", "error", "host unhealthy"):
            raise RuntimeError(f"the simulation is wrong: {event} {facts}")

    def _count_writes(self) -> None:
        costs, fsync = self.costs, os.fsync
        record_plans, complete_plans = self.journal.record_plans, self.journal.complete_plans

        def counted_record(*arguments: Any) -> None:
            costs.durable += 1
            costs.batches += 1
            record_plans(*arguments)

        def counted_complete(*arguments: Any) -> None:
            costs.durable += 1
            complete_plans(*arguments)

        def counted_fsync(fd: Any) -> None:
            costs.fsyncs += 1
            fsync(fd)

        self.journal.record_plans, self.journal.complete_plans = counted_record, counted_complete  # type: ignore[method-assign, assignment]
        os.fsync = counted_fsync

    def turn(self) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        self.runtime.run_once(0.0)
        self.costs.turns.append(time.perf_counter() - wall)
        self.costs.cpu += time.process_time() - cpu
        self.costs.seconds += self.costs.turns[-1]

    def until_queued(self, count: int) -> float:
        """Run the loop until all pictures are queued or given to a worker, and return the seconds of its turns."""
        before, end = self.costs.seconds, time.monotonic() + _PATIENCE
        while len(self.runtime._in_flight) < count and time.monotonic() < end:
            self.turn()
            self.runtime.nodes.read()
        return self.costs.seconds - before

    def until_committed(self, count: int, at_once: int) -> None:
        """Run the loop until ``count`` jobs are committed in all. At most ``at_once`` jobs end between two turns."""
        nodes, end = self.runtime.nodes, time.monotonic() + _PATIENCE
        while self.committed < count:
            if time.monotonic() > end:
                raise RuntimeError(f"{self.committed} of {count} jobs were committed after {_PATIENCE:.0f} s")
            nodes.read()
            nodes.finish_next(at_once)
            self.turn()


def _simulate(place: Path, count: int) -> dict[str, Any]:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with ExitStack() as opened:
        simulation = _Simulation(place, opened)
        runtime, costs = simulation.runtime, simulation.costs
        start_mib = resident_mib(os.getpid())
        _drop(simulation.root, count)
        runtime.start()
        queued_after = simulation.until_queued(count)
        sparse = min(_SPARSE_JOBS, count // 10)
        queue_cpu = before = costs.cpu
        simulation.until_committed(sparse, 1)
        sparse_cpu = costs.cpu - before
        profiled = min(_PROFILED_JOBS, count // 10)
        profile = cProfile.Profile()
        profile.enable()
        simulation.until_committed(sparse + profiled, _NODES * _WORKERS_A_NODE)
        profile.disable()
        done, rows = simulation.committed, simulation.journal.change_count
        costs.seconds, costs.cpu, costs.durable, costs.batches, costs.fsyncs = 0.0, 0.0, 0, 0, 0
        costs.turns.clear()
        simulation.until_committed(count, _NODES * _WORKERS_A_NODE)
        return {
            **asdict(costs),
            "turns": len(costs.turns),
            "turn_p99": percentile(costs.turns, 0.99),
            "turn_max": max(costs.turns),
            "pictures": count,
            "nodes": _NODES,
            "workers": _WORKERS_A_NODE,
            "jobs": simulation.committed - done,
            "rows": simulation.journal.change_count - rows,
            "sparse_cpu": sparse_cpu,
            "sparse_jobs": sparse,
            "queued_after": queued_after,
            "queue_cpu": queue_cpu,
            "start_mib": start_mib,
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "load": os.getloadavg()[0],
            "profile": _shares(profile),
        }


def _drop(root: Path, count: int) -> None:
    """Put the pictures of all campaigns into the second folder, with a brief for each campaign."""
    for campaign in range(_CAMPAIGNS):
        folder = root / "selected" / f"campaign{campaign:02d}"
        folder.mkdir()
        (folder / "brief.toml").write_text(_BRIEF)
    for number in range(count):
        (root / "selected" / f"campaign{number % _CAMPAIGNS:02d}" / f"p{number:07d}.png").write_bytes(tiny_png(number % 2**24))


def _shares(profile: cProfile.Profile) -> list[tuple[str, float]]:
    """Return the parts of the program with the most time of their own, without the pretended nodes, each with its share (0..1)."""
    times: Counter[str] = Counter()
    for (file, _, function), (_, _, own, _, callers) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        for caller, (_, _, own_of_caller, _) in callers.items():
            times[_part_of(file, function, caller[0])] += own_of_caller
        if not callers:
            times[_part_of(file, function, "")] += own
    times.pop("", None)
    total = sum(times.values())
    return [(name, seconds / total) for name, seconds in times.most_common(_PROFILE_ROWS)]


def _part_of(file: str, function: str, caller: str) -> str:
    """Return the part of the program to which a function belongs; a function of C belongs to its caller. "" = to the pretended nodes."""
    if function.startswith("<built-in method posix.fsync"):
        return "waiting for fsync"
    if "sqlite3" in function:
        return "SQLite"
    place = caller if file in ("~", "") else file
    if "/bench/" in place:
        return ""
    _, is_ours, module = place.rpartition("/goldsmith/")
    if is_ours:
        return module.removesuffix(".py")
    return "pydantic" if "pydantic" in place else "other libraries"


# ---------------------------------------------------------------------- the queue alone


def _queue(place: Path, count: int) -> dict[str, Any]:
    """Measure the queue of jobs, and the journal's table of waiting jobs, in processor time: nothing here waits for a disk."""
    place.mkdir(parents=True)
    workers = _NODES * _WORKERS_A_NODE
    began = time.process_time()
    gc.collect()
    before = resident_mib(os.getpid())
    queue = _filled_queue(count)
    enqueue = time.process_time() - began
    used = resident_mib(os.getpid()) - before
    began = time.process_time()
    queue.predict_order([frozenset()] * workers, 0.0, 100)
    predict = time.process_time() - began
    began, count_taken = time.process_time(), 0
    while queue:
        queue.take_next([frozenset()], float(count_taken))
        count_taken += 1
    seconds = time.process_time() - began
    models_seconds, models_count = _take_with_models(min(count, 20_000), workers)
    return {
        "jobs": count,
        "enqueue": enqueue,
        "bytes": 2**20 * used / count,
        "predict": predict,
        "seconds": seconds,
        "plain": seconds / count_taken,
        "models": models_seconds / models_count,
        "models_note": f"{models_count:,} jobs of five models in turn",
        **_active_jobs(place, count),
    }


def _filled_queue(count: int, models: Sequence[str] = ()) -> JobQueue:
    queue = JobQueue()
    names: itertools.cycle[str] = itertools.cycle(models)
    for number in range(count):
        turn = turn_of(f"campaign{number % _CAMPAIGNS:02d}", 1)
        queue.enqueue(QueuedJob(f"{number:016x}", "cpu", turn, number, (next(names),) if models else ()))
    return queue


def _take_with_models(count: int, workers: int) -> tuple[float, int]:
    """Empty a queue of jobs of five models by workers of which each has one loaded. Return the seconds, and how many were taken."""
    models = [f"model{number}" for number in range(5)]
    queue = _filled_queue(count, models)
    loaded = [frozenset([models[number % len(models)]]) for number in range(workers)]
    began, count_taken = time.process_time(), 0
    while queue:
        queue.take_next([loaded[count_taken % workers]], count_taken / 10)
        count_taken += 1
    return time.process_time() - began, count_taken


def _active_jobs(place: Path, count: int) -> dict[str, float]:
    """Measure the journal's rows of waiting jobs: to write them in batches of one turn, to read them, and to clear them."""
    with closing(Journal.open(place / "journal.sqlite")) as journal:
        began = time.process_time()
        for first in range(0, count, 512):
            with journal.batch():
                for number in range(first, min(count, first + 512)):
                    journal.record_queued(f"{number:016x}", "edit", "cpu", f"selected/campaign{number % 50:02d}/p{number:07d}.png", 0.0)
        record = time.process_time() - began
        began = time.process_time()
        journal.active_jobs()
        read = time.process_time() - began
        began = time.process_time()
        journal.clear_active_jobs()
        return {"record": record, "read": read, "clear": time.process_time() - began}


def _main(part: str, place: Path, count: int) -> None:
    try:
        print(json.dumps({"daemon": _simulate, "queue": _queue}[part](place, count)))
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
