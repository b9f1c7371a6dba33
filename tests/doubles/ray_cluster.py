"""A Ray cluster on this host, for tests: a head without processors, and nodes that find the package and the tests where the tests do."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from goldsmith.jobs.bridge_protocol import BridgeSetup
from goldsmith.pipeline.workers.ray_runner import RayRunner

TESTS = Path(__file__).parents[1]
# Lets the worker processes of a node find the catalogue of faults, as ``import_first_from`` does on this host.
_SITECUSTOMIZE = f"""
import sys
if any("default_worker" in argument for argument in sys.orig_argv):
    from goldsmith.jobs import worker_start
    worker_start.IMPORT_FOLDERS = ({str(TESTS)!r}, *worker_start.IMPORT_FOLDERS)
"""
_OBJECT_STORE_BYTES = 80 << 20
# The memory of a node, as Ray counts it.
_NODE_BYTES = 16 << 30


def node_environment(folder: Path) -> dict[str, str]:
    """Return the variables with which a node finds the package and the tests where the tests do. ``folder``: where it may write."""
    site = folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(_SITECUSTOMIZE)
    return {
        "PYTHONPATH": os.pathsep.join(map(str, (site, TESTS.parent / "daemon"))),
        "RAY_USAGE_STATS_ENABLED": "0",
        # On a busy machine a node takes minutes to start.
        "RAY_raylet_start_wait_time_s": "600",
    }


class LocalCluster:
    """A head and nodes on this host. Each node has ``cpus`` processors and ``gpus`` GPUs, as Ray counts them."""

    def __init__(self, folder: Path, nodes: int, cpus: int = 2, gpus: int = 0) -> None:
        # The variables of this process are those of the nodes.
        os.environ.update(node_environment(folder))
        self._cpus, self._gpus = cpus, gpus
        with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as free_for_clients:
            self._port, self._client_port = free.getsockname()[1], free_for_clients.getsockname()[1]
        self.cluster: Any = None
        self.nodes: list[Any] = []
        self.start(nodes)

    def start(self, nodes: int) -> None:
        """Start the head, at the same address each time, and this many nodes."""
        from ray.cluster_utils import Cluster

        head = {
            "gcs_server_port": self._port,
            "ray_client_server_port": self._client_port,
            "num_cpus": 0,
            "object_store_memory": _OBJECT_STORE_BYTES,
            "include_dashboard": False,
        }
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(nodes):
            self.add_node()

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    @property
    def client_address(self) -> str:
        """The address for a program that is no part of the cluster."""
        return f"ray://127.0.0.1:{self._client_port}"

    def add_node(self) -> None:
        """Start one more node."""
        amounts = {"num_cpus": self._cpus, "num_gpus": self._gpus, "memory": _NODE_BYTES}
        self.nodes.append(self.cluster.add_node(**amounts, object_store_memory=_OBJECT_STORE_BYTES))

    def kill_node(self) -> None:
        """Kill the node that was started last, as a power cut does."""
        self.cluster.remove_node(self.nodes.pop(), allow_graceful=False)

    def kill_head(self) -> None:
        """Kill the head, and with it the cluster: without a second store of its state, no node survives it."""
        self.cluster.head_node.kill_gcs_server(check_alive=False)
        self.close()

    def close(self) -> None:
        """End all of it."""
        self.cluster.shutdown()
        self.nodes.clear()

    def runner(self, root: Path) -> RayRunner:
        """Return a runner whose worker processes run on the nodes."""
        host, _, port = self.address.rpartition(":")
        return RayRunner(lambda: BridgeSetup(address=self.address, head=(host, int(port)), root=str(root)))
