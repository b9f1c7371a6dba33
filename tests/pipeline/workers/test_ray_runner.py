"""The daemon's side of the bridge to a cluster, with a pretended bridge at the other end of the socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith.cluster.node_canary import NodeCanary
from goldsmith.jobs.bridge_protocol import BridgeReport, BridgeRequest, BridgeSetup
from goldsmith.jobs.names import SCRATCH_FOLDER
from goldsmith.jobs.protocol import WorkerSpec, decode_message, encode_message
from goldsmith.jobs.work_folder import WorkFolder
from goldsmith.pipeline.workers import ray_runner
from goldsmith.pipeline.workers.ray_runner import LOST_STATUS, RayProcess, RayRunner, spawn_bridge
from goldsmith.pipeline.workers.runner import HostUnavailable

SPEC = WorkerSpec(queue="cpu", runner="ray")
SETUP = BridgeSetup(address="10.0.0.1:6379", head=("10.0.0.1", 6379), root="/srv/goldsmith")


class PretendedBridge:
    """The bridge's end of the control socket."""

    pid = 1

    def __init__(self, control_fd: int, stderr_fd: int) -> None:
        self.control = socket.socket(fileno=os.dup(control_fd))
        self.control.setblocking(False)
        self.stderr = os.dup(stderr_fd)
        self.fds: list[int] = []

    def receive(self) -> BridgeRequest:
        data, fds, _, _ = socket.recv_fds(self.control, 1 << 17, 2)
        self.fds += fds
        return decode_message(BridgeRequest, data)

    def report(self, **fields: object) -> None:
        self.control.send(encode_message(BridgeReport.model_validate(fields)))

    def kill(self) -> None:
        self.end()

    def wait(self) -> int:
        return -9

    def end(self) -> None:
        if self.stderr >= 0:
            self.control.close()
            os.close(self.stderr)
            self.stderr = -1


class Cluster:
    """A runner with every bridge that it has started, on a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.bridges: list[PretendedBridge] = []
        self.setup = SETUP
        self.runner = RayRunner(lambda: self.setup, self._spawn, lambda: self.now, lambda: 0.0)  # type: ignore[arg-type]
        self.socket, self.other_end = socket.socketpair()

    def _spawn(self, control_fd: int, stderr_fd: int) -> PretendedBridge:
        self.bridges.append(PretendedBridge(control_fd, stderr_fd))
        return self.bridges[-1]

    def start(self) -> RayProcess:
        return self.runner.start(SPEC, self.socket.fileno(), self.socket.fileno())

    def refusal(self) -> str:
        """Return why no process can be started."""
        with pytest.raises(HostUnavailable) as error:
            self.start()
        return error.value.sentence

    def connect(self) -> PretendedBridge:
        """Let a bridge connect and find a node."""
        with pytest.raises(HostUnavailable):
            self.start()
        bridge = self.bridges[-1]
        assert bridge.receive().setup == self.setup
        bridge.report(kind="connected")
        bridge.report(kind="nodes", nodes=("gpu1",))
        return bridge

    def close(self) -> None:
        self.runner.close()
        for bridge in self.bridges:
            bridge.end()
            for fd in bridge.fds:
                os.close(fd)
        self.socket.close()
        self.other_end.close()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    yield cluster
    cluster.close()


def test_no_process_starts_before_a_node_is_found(cluster: Cluster) -> None:
    """The first try starts the bridge, once, and says that it is being connected."""
    assert cluster.refusal() == "The cluster is being connected."
    assert cluster.refusal() == "The cluster is being connected."
    assert len(cluster.bridges) == 1


def test_a_process_has_the_two_descriptors_and_what_the_bridge_reports(cluster: Cluster) -> None:
    """Its host, its memory and its exit status are those on the node."""
    bridge = cluster.connect()
    process = cluster.start()
    request = bridge.receive()
    assert (request.kind, request.spec, len(bridge.fds)) == ("start", SPEC, 2)
    bridge.report(kind="started", number=request.number, pid=77, host="gpu1")
    bridge.report(kind="resident", number=request.number, resident_bytes=1 << 20)
    assert process.poll() is None
    assert (process.pid, process.host, process.resident_bytes()) == (77, "gpu1", 1 << 20)
    process.kill()
    process.kill()
    assert bridge.receive().kind == "kill"
    with pytest.raises(BlockingIOError):
        bridge.receive()
    bridge.report(kind="ended", number=request.number, status=-9)
    assert process.wait(1.0)
    assert (process.poll(), process.host_failure, process.resident_bytes()) == (-9, "", 0)


def test_a_lost_node_is_the_fault_of_the_host(cluster: Cluster) -> None:
    """The exit status says nothing then, and the sentence does."""
    bridge = cluster.connect()
    process = cluster.start()
    bridge.report(kind="ended", number=bridge.receive().number, sentence="The node gpu1 is lost.")
    assert (process.poll(), process.host_failure) == (LOST_STATUS, "The node gpu1 is lost.")


def test_with_the_bridge_every_process_is_lost_and_another_is_started_after_a_pause(cluster: Cluster) -> None:
    """The pauses grow, the sentence says since when, and a bridge that finds a node ends both."""
    bridge = cluster.connect()
    process = cluster.start()
    bridge.report(kind="unavailable", sentence="The cluster's head at 10.0.0.1:6379 does not answer.")
    bridge.end()
    assert process.poll() == LOST_STATUS
    assert process.host_failure.startswith("The cluster's head at 10.0.0.1:6379 does not answer (since ")
    for seconds, count in ((0.5, 1), (0.6, 2)):
        cluster.now += seconds
        assert "does not answer (since" in cluster.refusal()
        assert len(cluster.bridges) == count
    cluster.bridges[-1].end()
    cluster.refusal()
    cluster.now += 1.5
    cluster.refusal()
    assert len(cluster.bridges) == 2
    cluster.now += 1.0
    cluster.connect()
    assert cluster.start().poll() is None


def test_the_last_words_of_a_bridge_are_told(cluster: Cluster) -> None:
    """Ray ends its driver when it loses the node on its host."""
    bridge = cluster.connect()
    os.write(bridge.stderr, b"Traceback\nRaylet is terminated.\n")
    bridge.end()
    assert cluster.refusal().startswith("The connection to the cluster ended (Raylet is terminated.) (since")


def test_refused_nodes_are_told(cluster: Cluster) -> None:
    """While no node may work, the reason is that of the nodes."""
    bridge = cluster.connect()
    bridge.report(kind="nodes", refusals=("The clock of the node gpu1 is 9 s ahead.",))
    assert cluster.refusal() == "No node of the cluster may work. The clock of the node gpu1 is 9 s ahead."


def test_a_bridge_that_does_not_end_a_killed_process_is_killed(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """It hangs, and the jobs must go on."""
    monkeypatch.setattr(ray_runner, "_MAX_KILL_SECONDS", -1.0)
    cluster.connect()
    process = cluster.start()
    process.kill()
    process.poll()
    assert process.poll() == LOST_STATUS


@pytest.mark.parametrize("data", [b"rubbish", b'{"kind":"nodes","more":1}'])
def test_a_bridge_that_sends_rubbish_is_killed(cluster: Cluster, data: bytes) -> None:
    """It is a program of its own, and nothing of it is believed unseen."""
    bridge = cluster.connect()
    cluster.runner.collect()
    bridge.control.send(data)
    cluster.runner.collect()
    cluster.runner.collect()
    assert "The connection to the cluster ended" in cluster.refusal()


def test_the_bridge_alone_gets_the_token_of_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets no other secret of the daemon."""
    environments: dict[str, dict[str, str]] = {}
    monkeypatch.setattr(ray_runner.subprocess, "Popen", lambda command, **options: environments.update(environment=options["env"]))
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/etc/goldsmith/token")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    spawn_bridge(3, 4)
    assert environments["environment"]["RAY_AUTH_TOKEN_PATH"] == "/etc/goldsmith/token"  # noqa: S105 - a path
    assert environments["environment"]["RAY_USAGE_STATS_ENABLED"] == "0"
    assert "AWS_SECRET_ACCESS_KEY" not in environments["environment"]


def test_what_a_killed_bridge_has_left_in_the_work_folder_is_removed(cluster: Cluster, tmp_path: Path) -> None:
    """Its file for a node that it was checking. The folders of workers stay."""
    work_folder = WorkFolder(tmp_path)
    work_folder.prepare()
    cluster.setup = SETUP.model_copy(update={"root": str(tmp_path)})
    cluster.connect()
    NodeCanary(tmp_path)
    (tmp_path / SCRATCH_FOLDER / "worker-1").mkdir()
    cluster.runner.close()
    assert os.listdir(tmp_path / SCRATCH_FOLDER) == ["worker-1"]


def test_the_device_that_a_node_gives_to_a_process_is_known(cluster: Cluster) -> None:
    """By its title and its memory, by which batches are made."""
    bridge = cluster.connect()
    process = cluster.start()
    number = bridge.receive().number
    bridge.report(kind="started", number=number, pid=77, host="gpu1", device_title="NVIDIA L40S", device_memory_mb=46068)
    assert process.poll() is None
    assert (process.device_title, process.device_memory_mb) == ("NVIDIA L40S", 46068)
