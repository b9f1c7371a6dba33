"""The bridge between a daemon and a cluster: ``python -P -m goldsmith.cluster.bridge FD``. Only this program imports Ray.

It is a driver of Ray and a child of the daemon. For each worker process that the daemon starts it has an actor on a node, which starts the
process there, and it passes the bytes on between the daemon's socket and the actor. It decides nothing about jobs. When it loses the
cluster it ends, and the daemon starts another one when it wants to start a process. When the daemon ends, the bridge ends, and with it
its actors and their processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from goldsmith.cluster.head_probe import CLIENT_SCHEME, ClusterHead, token_fault
from goldsmith.cluster.node_canary import NodeCanary
from goldsmith.cluster.node_checks import NodeExchange, compare
from goldsmith.cluster.node_report import NodeReport, ReportRequest, run_node_report
from goldsmith.cluster.remote_worker import RemoteWorker, StartedWorker, WorkerNews, report_node
from goldsmith.errors import GoldsmithError, error_text
from goldsmith.jobs.bridge_protocol import MAX_BRIDGE_MESSAGE_BYTES, BridgeReport, BridgeRequest, BridgeSetup
from goldsmith.jobs.protocol import WorkerSpec, decode_message, encode_message

# Seconds between two looks at the nodes and at the head, and how often in a row the head may fail to answer.
_WATCH_SECONDS, _MAX_SILENT_LOOKS = 5.0, 3
_CONNECT_SECONDS = 3.0
# Seconds that an actor may take until its process has started, and that a killed process may take to be gone.
_START_SECONDS, _KILL_SECONDS = 170.0, 10.0
# Seconds after which a node that does not answer is given up. An actor answers each question within ten seconds, and kills its process
# after 45 seconds without one.
_MAX_SILENCE_SECONDS = 40.0
# Seconds after which a node that was refused is checked again.
_RECHECK_SECONDS = 30.0
_READ_BYTES = 256 * 1024
# The threads of an actor: one waits for news, one sends, one kills, and one is left.
_ACTOR_THREADS = 4


@dataclass(frozen=True, slots=True)
class _Resources:
    """What a worker process needs of its node, or what a node has."""

    cpus: float
    gpus: float
    memory_bytes: float

    def __add__(self, other: _Resources) -> _Resources:
        return _Resources(self.cpus + other.cpus, self.gpus + other.gpus, self.memory_bytes + other.memory_bytes)

    def __sub__(self, other: _Resources) -> _Resources:
        return _Resources(self.cpus - other.cpus, self.gpus - other.gpus, self.memory_bytes - other.memory_bytes)

    def fits(self, room: _Resources) -> bool:
        return self.cpus <= room.cpus and self.gpus <= room.gpus and self.memory_bytes <= room.memory_bytes

    def __str__(self) -> str:
        """Return it for people, as in "1 GPU and 12.0 GiB of memory"."""
        device = f"{self.gpus:g} GPU" if self.gpus else f"{self.cpus:g} processor{'' if self.cpus == 1 else 's'}"
        return f"{device} and {self.memory_bytes / 2**30:.1f} GiB of memory" if self.memory_bytes else device


@dataclass(slots=True)
class _Node:
    """A node of the cluster."""

    id: str
    name: str
    total: _Resources
    refusals: tuple[str, ...] = ()
    is_accepted: bool = False
    checked_at: float = 0.0
    # What the worker processes on it have been promised.
    used: _Resources = _Resources(0.0, 0.0, 0.0)

    def has_room(self, need: _Resources) -> bool:
        return need.fits(self.total - self.used)

    @property
    def load(self) -> float:
        return max(self.used.cpus / max(self.total.cpus, 1.0), self.used.gpus / max(self.total.gpus, 1.0))


@dataclass(slots=True)
class _Worker:
    """A worker process on a node."""

    number: int
    spec: WorkerSpec
    connection: socket.socket
    stderr_fd: int
    actor: Any = None
    node: _Node | None = None
    resident_bytes: int = 0
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    has_ended: bool = False


class ClusterLost(Exception):
    """The cluster cannot be reached, for the reason that is the text."""


class Bridge:
    """The connection to one cluster, and the worker processes on its nodes."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._setup = BridgeSetup(address="", root="")
        self._own_report: NodeReport | None = None
        self._nodes: dict[str, _Node] = {}
        self._checks: set[str] = set()
        self._workers: dict[int, _Worker] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._silent_looks = 0

    async def run(self) -> None:
        """Serve the daemon until it ends or the cluster is lost."""
        request, _ = self._receive()
        if request is None or request.setup is None:
            return
        self._setup = request.setup
        try:
            await self._connect()
            self._report(BridgeReport(kind="connected"))
            self._control.setblocking(False)
            asyncio.get_running_loop().add_reader(self._control.fileno(), self._on_control)
            while True:
                await self._watch()
                await asyncio.sleep(_WATCH_SECONDS)
        except ClusterLost as lost:
            self._report(BridgeReport(kind="unavailable", sentence=str(lost)))

    # --- the cluster

    async def _connect(self) -> None:
        setup = self._setup
        if setup.head is not None and not await _answers(setup.head):
            raise ClusterLost(f"The cluster's head at {setup.address} does not answer.")
        if setup.head is not None:
            head = ClusterHead(*setup.head, is_client=setup.address.startswith(CLIENT_SCHEME))
            if fault := await asyncio.to_thread(token_fault, head):
                raise ClusterLost(fault)
        try:
            # In this thread, although it blocks: Ray wants to be connected in the main thread.
            ray.init(address=setup.address, namespace="goldsmith", log_to_driver=False, logging_level="ERROR", configure_logging=False)
            with _new_canary(setup) as canary:
                self._own_report = await asyncio.to_thread(run_node_report, _report_request(setup, Path(setup.root), canary))
        except GoldsmithError as error:
            raise ClusterLost(str(error)) from error
        except Exception as error:  # whatever Ray raises, there is no connection
            raise ClusterLost(f"The cluster at {setup.address} cannot be used: {_first_line(error)}") from error

    @property
    def _head(self) -> tuple[str, int]:
        if self._setup.head is not None:
            return self._setup.head
        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        return host.strip("[]"), int(port)

    async def _watch(self) -> None:
        """Look whether the head answers and which nodes there are, and check the new ones. Raises ClusterLost."""
        self._silent_looks = 0 if await _answers(self._head) else self._silent_looks + 1
        if self._silent_looks >= _MAX_SILENT_LOOKS:
            raise ClusterLost(f"The cluster's head at {_address_text(self._head)} does not answer.")
        if self._silent_looks:
            return
        try:
            async with asyncio.timeout(_CONNECT_SECONDS * 5):
                rows = await asyncio.to_thread(ray.nodes)
        except (TimeoutError, RayError):
            return
        alive = {row["NodeID"]: row for row in rows if row["Alive"]}
        for node_id in self._nodes.keys() - alive.keys():
            self._lose_node(self._nodes.pop(node_id))
        for node_id, row in alive.items():
            node = self._nodes.get(node_id)
            if node is None:
                amounts = row["Resources"]
                total = _Resources(*(amounts.get(name, 0.0) for name in ("CPU", "GPU", "memory")))
                node = self._nodes[node_id] = _Node(node_id, row["NodeManagerHostname"], total)
            is_due = not node.checked_at or (not node.is_accepted and time.monotonic() - node.checked_at > _RECHECK_SECONDS)
            # A node without processors and GPUs does no work: it is the head.
            if is_due and (node.total.cpus or node.total.gpus):
                self._begin_check(node)

    def _begin_check(self, node: _Node) -> None:
        if node.id not in self._checks:
            self._checks.add(node.id)
            self._spawn(self._check(node))

    async def _check(self, node: _Node) -> None:
        """Find out whether a node may work, and tell the daemon."""
        try:
            node.refusals = await self._find_refusals(node)
        finally:
            self._checks.discard(node.id)
        node.is_accepted, node.checked_at = not node.refusals, time.monotonic()
        if node.id in self._nodes:
            self._report_nodes()

    async def _find_refusals(self, node: _Node) -> tuple[str, ...]:
        setup = self._setup
        try:
            with _new_canary(setup) as canary:
                request = _report_request(setup, Path(setup.root_on_nodes or setup.root), canary)
                asked_at = time.time()
                options = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": _only_on(node)}
                text, sentence = await ray.remote(report_node).options(**options).remote(request.model_dump_json())
                if sentence:
                    return (sentence,)
                report = NodeReport.model_validate_json(text)
                exchange = NodeExchange(canary.text, canary.read_answer(report), asked_at, time.time())
        except GoldsmithError as error:
            return (str(error),)
        except Exception as error:  # noqa: BLE001 - whatever fails, this node does not work, and the sentence says why
            return (f"The node {node.name} cannot be checked: {_first_line(error)}",)
        assert self._own_report is not None  # noqa: S101 - made when the bridge connected
        return compare(self._own_report, report, exchange, setup.max_clock_difference_seconds)

    def _report_nodes(self) -> None:
        nodes = tuple(node.name for node in self._nodes.values() if node.is_accepted)
        refusals = tuple(" ".join(node.refusals)[:2000] for node in self._nodes.values() if node.refusals)
        self._report(BridgeReport(kind="nodes", nodes=nodes, refusals=refusals[:30]))

    def _doubt(self, node: _Node, reason: str) -> None:
        """Give a node no more processes before it was checked again. ``reason``: why, as a sentence."""
        if node.id in self._nodes:
            node.is_accepted, node.refusals = False, (reason,)
            self._report_nodes()
            self._begin_check(node)

    def _lose_node(self, node: _Node) -> None:
        for worker in list(self._workers.values()):
            if worker.node is node:
                self._end(worker, f"The node {node.name} is lost.")
        self._report_nodes()

    # --- worker processes

    def _on_control(self) -> None:
        while True:
            try:
                request, fds = self._receive()
            except BlockingIOError:
                return
            if request is None:  # the daemon has ended
                os._exit(0)
            if request.kind == "start" and request.spec is not None and len(fds) == 2:
                connection = socket.socket(fileno=fds[0])
                connection.setblocking(False)
                os.set_blocking(fds[1], False)
                worker = self._workers[request.number] = _Worker(request.number, request.spec, connection, fds[1])
                worker.tasks.append(self._spawn(self._serve(worker)))
            elif request.kind == "kill" and request.number in self._workers:
                self._spawn(self._kill(self._workers[request.number]))

    async def _serve(self, worker: _Worker) -> None:
        """Start the process of a worker on a node, and pass its bytes on until it ends."""
        need = _needed_by(worker.spec)
        node = self._choose(need)
        if node is None:
            self._end(worker, self._no_node_sentence(need, worker.spec.queue))
            return
        worker.node = node
        node.used += need
        try:
            await self._start(worker, node, need)
            worker.tasks.append(self._spawn(self._pass_to_node(worker)))
            await self._pass_to_daemon(worker)
        except (RayError, TimeoutError, OSError) as error:
            reason = "it does not answer." if isinstance(error, TimeoutError) else _first_line(error)
            sentence = f"The node {node.name} is lost, or its worker process: {reason}"
            self._end(worker, sentence)
            if isinstance(error, TimeoutError):
                self._doubt(node, sentence)
        finally:
            node.used -= need

    async def _start(self, worker: _Worker, node: _Node, need: _Resources) -> None:
        options = {
            "num_cpus": need.cpus,
            "num_gpus": need.gpus,
            "memory": need.memory_bytes,
            # The daemon counts attempts and starts another process: Ray repeats nothing.
            "max_restarts": 0,
            "max_task_retries": 0,
            "max_concurrency": _ACTOR_THREADS,
            "scheduling_strategy": _only_on(node),
        }
        setup = self._setup
        worker.actor = (
            ray.remote(RemoteWorker).options(**options).remote(encode_message(worker.spec).decode(), setup.root, setup.root_on_nodes)
        )
        async with asyncio.timeout(_START_SECONDS):
            started: StartedWorker = await worker.actor.start.remote()
        self._report(
            BridgeReport(
                kind="started",
                number=worker.number,
                host=started.host,
                pid=started.pid,
                device_title=started.device_title,
                device_memory_mb=started.device_memory_mb,
            )
        )

    async def _pass_to_node(self, worker: _Worker) -> None:
        try:
            while data := await asyncio.get_running_loop().sock_recv(worker.connection, _READ_BYTES):
                await worker.actor.send.remote(data)
            await self._kill(worker)  # the daemon has closed the connection
        except (RayError, OSError) as error:
            self._end(worker, f"The node of a worker process is lost: {_first_line(error)}")

    async def _pass_to_daemon(self, worker: _Worker) -> None:
        loop = asyncio.get_running_loop()
        while not worker.has_ended:
            async with asyncio.timeout(_MAX_SILENCE_SECONDS):
                news: WorkerNews = await worker.actor.receive.remote()
            with suppress(OSError):
                await loop.sock_sendall(worker.connection, news.data)
            with suppress(OSError):  # the daemon keeps the end of the text: what a full pipe does not take is lost
                os.write(worker.stderr_fd, news.stderr)
            if news.resident_bytes != worker.resident_bytes:
                worker.resident_bytes = news.resident_bytes
                self._report(BridgeReport(kind="resident", number=worker.number, resident_bytes=news.resident_bytes))
            if news.status is not None:
                self._end(worker, news.root_fault, news.status)
                if news.root_fault and worker.node is not None:
                    self._doubt(worker.node, news.root_fault)

    async def _kill(self, worker: _Worker) -> None:
        """Kill the process of a worker; if its node does not say in time that it is gone, give the node up."""
        if worker.actor is not None:
            with suppress(RayError):
                worker.actor.kill.remote()
            await asyncio.sleep(_KILL_SECONDS)
        name = "" if worker.node is None else worker.node.name
        self._end(worker, f"The node {name} does not answer." if name else "It was killed before it had started.")

    def _end(self, worker: _Worker, failure: str, status: int = 0) -> None:
        """Report the end of a worker process, once. ``failure``: why its host is lost, as a sentence."""
        if worker.has_ended:
            return
        worker.has_ended = True
        del self._workers[worker.number]
        if worker.actor is not None:
            with suppress(Exception):
                ray.kill(worker.actor)
        self._report(BridgeReport(kind="ended", number=worker.number, status=status, sentence=failure[:2000]))
        with suppress(OSError):
            worker.connection.shutdown(socket.SHUT_RDWR)
        others = [task for task in worker.tasks if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        self._spawn(_close(worker, others))

    def _choose(self, need: _Resources) -> _Node | None:
        """Return the node with the least load that may work and has room."""
        nodes = [node for node in self._nodes.values() if node.is_accepted and node.has_room(need)]
        return min(nodes, key=lambda node: node.load, default=None)

    def _no_node_sentence(self, need: _Resources, queue: str) -> str:
        refusals = [refusal for node in self._nodes.values() for refusal in node.refusals]
        if self._checks:
            return "The nodes of the cluster are being checked."
        if any(node.is_accepted for node in self._nodes.values()):
            return f"No node of the cluster has {need} left for another worker: add a node, or lower queues.{queue}.workers."
        return " ".join(["No node of the cluster may work.", *refusals[:3]])

    # --- messages

    def _receive(self) -> tuple[BridgeRequest | None, list[int]]:
        data, fds, _, _ = socket.recv_fds(self._control, MAX_BRIDGE_MESSAGE_BYTES, 2)
        return (decode_message(BridgeRequest, data) if data else None), fds

    def _report(self, report: BridgeReport) -> None:
        with suppress(OSError):
            self._control.send(encode_message(report))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _close(worker: _Worker, tasks: list[asyncio.Task[None]]) -> None:
    """Close the descriptors of a worker when the tasks that use them have ended: until then, their numbers must not name other files."""
    await asyncio.gather(*tasks, return_exceptions=True)
    worker.connection.close()
    os.close(worker.stderr_fd)


@contextlib.contextmanager
def _new_canary(setup: BridgeSetup) -> Iterator[NodeCanary]:
    """Write a canary into the root, and remove it and its answers at the end."""
    canary = NodeCanary(Path(setup.root))
    try:
        yield canary
    finally:
        canary.remove()


def _report_request(setup: BridgeSetup, root: Path, canary: NodeCanary) -> ReportRequest:
    """Return what a host with the root at this path is asked."""
    old, new = setup.root.rstrip("/"), str(root)

    def moved(path: str) -> str:
        return new + path.removeprefix(old) if path == old or path.startswith(f"{old}/") else path

    return ReportRequest(
        root=new,
        canary=canary.relative_path,
        inputs=setup.inputs,
        models_file=moved(setup.models_file),
        weights_folder=moved(setup.weights_folder),
        models=setup.models,
        hash_notes=setup.hash_notes if new == old else "",
    )


def _needed_by(spec: WorkerSpec) -> _Resources:
    """Return what a worker process needs: a GPU with a processor that feeds it, or as many processors as it has threads; and memory."""
    memory_bytes = float(spec.host_memory_mb << 20)
    return _Resources(float(spec.threads), 0.0, memory_bytes) if spec.device == "cpu" else _Resources(1.0, 1.0, memory_bytes)


def _only_on(node: _Node) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node.id, soft=False)


async def _answers(address: tuple[str, int]) -> bool:
    """Return whether a program accepts connections there."""
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(*address)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def _address_text(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"


def _first_line(error: Exception) -> str:
    """Return the first line of an error's text that says something, with a full stop."""
    lines = [line.strip() for line in error_text(error).splitlines() if line.strip()] if isinstance(error, OSError) else []
    lines = lines or [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return f"{lines[0][:300].rstrip('.')}."


if __name__ == "__main__":
    asyncio.run(Bridge(socket.socket(fileno=int(sys.argv[1]))).run())
    sys.stderr.flush()
    os._exit(0)
