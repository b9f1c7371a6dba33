"""A second host as real as one machine can make it: a node of Ray with its own network, mounts and process numbers. It needs root.

The node reaches this host over a pair of virtual network cards, and has the share at another path, by a mount of its own. So a test can cut
the cable, unmount the share there, and pull the plug, as on another computer.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from doubles.jobs import DEADLINE
from doubles.ray_cluster import node_environment
from goldsmith.jobs.bridge_protocol import BridgeSetup
from goldsmith.pipeline.workers.ray_runner import RayRunner

NODE_NAME = "second"
RAY = Path(sys.executable).with_name("ray")
_STORE_BYTES, _NODE_BYTES = 80 << 20, 8 << 30
# Seconds after which the head gives up a node that does not answer, in place of Ray's own of about a minute.
_HEALTH = {"RAY_health_check_initial_delay_ms": "0", "RAY_health_check_period_ms": "1000", "RAY_health_check_timeout_ms": "2000"}
_PORTS = ("--min-worker-port=10100", "--max-worker-port=10199", "--runtime-env-agent-port=6382", "--metrics-export-port=6383")


def missing() -> str:
    """Return what this machine lacks for a second host; "" if nothing."""
    if os.geteuid() != 0:
        return "only root can make a network and mounts for a second host"
    lacking = [name for name in ("ip", "unshare", "nsenter", "mount") if shutil.which(name) is None]
    if lacking:
        return f"a second host needs the program {lacking[0]}"
    name = f"gst{os.getpid()}"
    try:
        _run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p")
        _run("ip", "link", "del", name)
        _run("unshare", "--mount", "--pid", "--fork", "--mount-proc", "true")
    except subprocess.CalledProcessError as error:
        return f"this machine makes no second host: {error.stderr.strip()}"
    return ""


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class TwoHosts:
    """This host with the head of a cluster and a share, and a second host with a node that has the share at another path."""

    def __init__(self, folder: Path, token: Path | None = None) -> None:
        self.folder = folder
        self.share, self.share_on_node = folder / "share", folder / "mnt"
        self.share.mkdir()
        self.share_on_node.mkdir()
        subnet = f"10.{200 + os.getpid() % 50}.{os.getpid() // 50 % 250}"
        self.head_ip, self.node_ip = f"{subnet}.1", f"{subnet}.2"
        self._space = f"gs{os.getpid()}"
        self._cable = f"gsc{os.getpid()}"
        with socket.create_server(("", 0)) as free, socket.create_server(("", 0)) as free_for_clients:
            self.port, self.client_port = free.getsockname()[1], free_for_clients.getsockname()[1]
        self._environment = node_environment(folder) | _HEALTH
        if token is not None:
            self._environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        self._head: subprocess.Popen[bytes] | None = None
        self._node: subprocess.Popen[bytes] | None = None
        # Short, because Ray's sockets lie below it.
        self._temporary = Path(f"/tmp/{self._space}")
        try:
            self._lay_cable()
            self.start_head()
            self.start_node()
        except BaseException:
            self.close()
            raise

    @property
    def address(self) -> str:
        """The address for a program that is no part of the cluster."""
        return f"ray://{self.head_ip}:{self.client_port}"

    def on_node(self, path: Path) -> Path:
        """Return the path on the node of what is on the share."""
        return self.share_on_node / path.relative_to(self.share)

    def runner(self, root: Path) -> RayRunner:
        """Return a runner whose worker processes run on the node. ``root``: a folder on the share."""
        return RayRunner(
            lambda: BridgeSetup(
                address=self.address,
                head=(self.head_ip, self.client_port),
                root=str(root),
                root_on_nodes=str(self.on_node(root)),
                inputs=("inbox",),
            )
        )

    # ------------------------------------------------------------------ what happens to hosts

    def cut_cable(self) -> None:
        """Let nothing through between the hosts, and tell neither."""
        _run("ip", "netns", "exec", self._space, "ip", "link", "set", f"{self._cable}n", "down")

    def mend_cable(self) -> None:
        _run("ip", "netns", "exec", self._space, "ip", "link", "set", f"{self._cable}n", "up")

    def unmount_share(self) -> None:
        """Take the share away from the node, although files on it may be open."""
        self._on_node("umount", "--lazy", str(self.share_on_node))

    def mount_share(self) -> None:
        self._on_node("mount", "--bind", str(self.share), str(self.share_on_node))

    def kill_node(self) -> None:
        """Pull the plug of the second host: all its processes end at once."""
        _kill(self._node)
        self._node = None

    def restart_lost_node(self) -> None:
        """Start the node again when it has ended by itself, since the head had given it up, as systemd does."""
        assert self._node is not None
        self._node.wait(DEADLINE)
        self.start_node()

    # ------------------------------------------------------------------ the hosts

    def start_head(self) -> None:
        """Start a head without processors on this host."""
        ports = (f"--port={self.port}", f"--ray-client-server-port={self.client_port}", "--include-dashboard=false")
        self._head = self._start((), "--head", f"--node-ip-address={self.head_ip}", *ports, "--num-cpus=0", name="head")
        _until_answers(self.head_ip, self.client_port)

    def start_node(self, cpus: int = 2) -> None:
        """Start a node on the second host, with the share at its own path there."""
        # `unshare` ends when this process does, and with it, as the first of its process numbers, everything on the node.
        script = 'hostname "$0" && mount --make-rprivate / && mount --bind "$1" "$2" && shift 2 && exec "$@"'
        host = ("ip", "netns", "exec", self._space, "unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
        shell = ("sh", "-c", script, NODE_NAME, str(self.share), str(self.share_on_node))
        amounts = (f"--num-cpus={cpus}", f"--memory={_NODE_BYTES}")
        places = (f"--address={self.head_ip}:{self.port}", f"--node-ip-address={self.node_ip}")
        self._node = self._start((*host, *shell), *places, *amounts, *_PORTS, name="node")

    def _start(self, prefix: Sequence[str], *arguments: str, name: str) -> subprocess.Popen[bytes]:
        temporary = self._temporary / name
        temporary.mkdir(parents=True, exist_ok=True)
        common = ("--block", "--disable-usage-stats", f"--object-store-memory={_STORE_BYTES}", f"--temp-dir={temporary}")
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [*prefix, str(RAY), "start", *common, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment},
                start_new_session=True,
            )

    def _lay_cable(self) -> None:
        space, cable = self._space, self._cable
        _run("ip", "netns", "add", space)
        _run("ip", "link", "add", f"{cable}h", "type", "veth", "peer", "name", f"{cable}n", "netns", space)
        _run("ip", "address", "add", f"{self.head_ip}/24", "dev", f"{cable}h")
        _run("ip", "link", "set", f"{cable}h", "up")
        for command in (
            ("ip", "address", "add", f"{self.node_ip}/24", "dev", f"{cable}n"),
            ("ip", "link", "set", f"{cable}n", "up"),
            ("ip", "link", "set", "lo", "up"),
        ):
            _run("ip", "netns", "exec", space, *command)

    def _on_node(self, *command: str) -> None:
        """Run a program among the mounts and processes of the second host."""
        assert self._node is not None
        pid = self._node.pid
        # The first process there, by its number here.
        first = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
        _run("nsenter", f"--mount=/proc/{first}/ns/mnt", f"--pid=/proc/{first}/ns/pid", *command)

    def close(self) -> None:
        """End all of it."""
        _kill(self._node)
        _kill(self._head)
        for command in (("ip", "link", "del", f"{self._cable}h"), ("ip", "netns", "del", self._space)):
            with contextlib.suppress(subprocess.CalledProcessError):
                _run(*command)
        shutil.rmtree(self._temporary, ignore_errors=True)


def _kill(process: subprocess.Popen[bytes] | None) -> None:
    """Kill a program and everything that it has started."""
    if process is None:
        return
    import psutil  # type: ignore[import-untyped]

    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
    process.send_signal(signal.SIGKILL)
    process.wait()


def _until_answers(host: str, port: int) -> None:
    end = time.monotonic() + DEADLINE
    while True:
        try:
            socket.create_connection((host, port), 1).close()
            return
        except OSError:
            assert time.monotonic() < end
            Event().wait(0.1)
