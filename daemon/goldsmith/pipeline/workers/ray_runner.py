"""Worker processes on the nodes of a Ray cluster, through a bridge: a program of its own, so that the daemon neither imports Ray nor waits.

Each worker process has a socket, as on this host; the bridge has its other end. The bridge is started when the first process is, and again
when it has ended, after a pause that grows. What it does is described in ``goldsmith.cluster.bridge``.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from goldsmith.jobs.bridge_protocol import CANARY_PREFIX, MAX_BRIDGE_MESSAGE_BYTES, BridgeReport, BridgeRequest, BridgeSetup
from goldsmith.jobs.protocol import ProtocolError, WorkerSpec, decode_message, encode_message
from goldsmith.jobs.work_folder import WorkFolder
from goldsmith.jobs.worker_start import worker_environment
from goldsmith.pipeline.workers.runner import HostUnavailable

# The exit status of a process whose host is lost.
LOST_STATUS = -1
# Seconds until a lost bridge is started again, doubled with each failure in a row.
_INITIAL_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 1.0, 60.0
# Seconds after which a bridge that has not reported the end of a killed process is killed itself.
_MAX_KILL_SECONDS = 15.0
_MAX_READS = 64
_STDERR_TAIL_BYTES = 4096

# Starts the bridge. The first descriptor is its end of the control socket, the second its stderr. Raises OSError.
SpawnBridge = Callable[[int, int], subprocess.Popen[bytes]]


def spawn_bridge(control_fd: int, stderr_fd: int) -> subprocess.Popen[bytes]:
    """Start the bridge. Unlike a worker process it gets the variables of Ray, with the token of the cluster."""
    environment = worker_environment(os.environ, 1) | {"RAY_USAGE_STATS_ENABLED": "0"}
    environment |= {name: value for name, value in os.environ.items() if name.startswith("RAY_")}
    command = [sys.executable, "-P", "-m", "goldsmith.cluster.bridge", str(control_fd)]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=stderr_fd,
        stderr=stderr_fd,
        pass_fds=(control_fd,),
        cwd="/",
        env=environment,
        start_new_session=True,  # Ctrl-C ends the daemon alone, and with it the bridge
    )


class RayProcess:
    """A worker process on a node."""

    def __init__(self, runner: RayRunner, number: int) -> None:
        self.pid = 0
        self.host = ""
        self.host_failure = ""
        self.device_title = ""
        self.device_memory_mb = 0
        self.killed_at: float | None = None
        self.memory_bytes = 0
        self._runner = runner
        self._number = number
        self._status: int | None = None

    def poll(self) -> int | None:
        if self._status is None:
            self._runner.collect()
        return self._status

    def resident_bytes(self) -> int:
        return self.memory_bytes if self._status is None else 0

    def kill(self) -> None:
        if self._status is None and self.killed_at is None:
            self.killed_at = monotonic()
            self._runner.kill(self._number)

    def wait(self, timeout: float) -> bool:
        end = monotonic() + timeout
        while self.poll() is None and (seconds := end - monotonic()) > 0:
            self._runner.wait(min(seconds, 0.1))
        return self._status is not None

    def end(self, status: int, host_failure: str) -> None:
        """Note the end of the process."""
        self._status, self.host_failure = status, host_failure


class RayRunner:
    """Starts worker processes on the nodes of a cluster."""

    def __init__(
        self,
        read_setup: Callable[[], BridgeSetup],
        spawn: SpawnBridge = spawn_bridge,
        clock: Callable[[], float] = monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """``read_setup`` returns what a bridge that starts now is told."""
        self._read_setup = read_setup
        self._spawn = spawn
        self._clock = clock
        self._wall_clock = wall_clock
        self._bridge: subprocess.Popen[bytes] | None = None
        # The work folder of the root that the last bridge was told.
        self._work_folder: WorkFolder | None = None
        self._control: socket.socket | None = None
        self._stderr_fd = -1
        self._stderr = bytearray()
        self._processes: dict[int, RayProcess] = {}
        self._count = 0
        # Messages that the bridge has not taken yet.
        self._unsent: list[bytes] = []
        self._failed_starts = 0
        self._retry_at = 0.0
        # Why the cluster cannot be used, as a sentence, and since when, in Unix seconds; "" if it can.
        self._failure = ""
        self._failed_at = 0.0
        # The last sentence of the bridge.
        self._last_sentence = ""
        # The nodes that may work.
        self._nodes: tuple[str, ...] = ()
        # For each node that may not work, a sentence and its remedy.
        self.refusals: tuple[str, ...] = ()

    def start(self, spec: WorkerSpec, socket_fd: int, stderr_fd: int) -> RayProcess:
        self.collect()
        if self._bridge is None and self._clock() >= self._retry_at:
            self._start_bridge()
        if self._control is None or not self._nodes:
            raise HostUnavailable(self._unavailable_sentence())
        self._count += 1
        request = BridgeRequest(kind="start", number=self._count, spec=spec)
        try:
            socket.send_fds(self._control, [encode_message(request)], [socket_fd, stderr_fd])
        except OSError as error:
            raise HostUnavailable(f"The bridge to the cluster does not take a job: {error.strerror}.") from error
        process = self._processes[self._count] = RayProcess(self, self._count)
        return process

    def kill(self, number: int) -> None:
        """Ask the bridge to kill a process."""
        self._unsent.append(encode_message(BridgeRequest(kind="kill", number=number)))
        self._flush()

    def wait(self, seconds: float) -> None:
        """Wait up to ``seconds`` for a message of the bridge."""
        if self._control is not None:
            select.select([self._control], [], [], seconds)

    def collect(self) -> None:
        """Read what the bridge reports, and note its end."""
        self._flush()
        self._drain_stderr()
        for _ in range(_MAX_READS):
            if self._control is None:
                return
            try:
                data = self._control.recv(MAX_BRIDGE_MESSAGE_BYTES)
            except BlockingIOError:
                break
            except ConnectionResetError:  # the bridge has ended without reading everything; what it has sent comes behind this
                continue
            except OSError:
                data = b""
            if not data:
                self._lose_bridge()
                return
            try:
                self._handle(decode_message(BridgeReport, data))
            except ProtocolError:
                self._kill_bridge()
        now = monotonic()
        killed = (process.killed_at for process in self._processes.values() if process.killed_at is not None)
        if any(now - killed_at > _MAX_KILL_SECONDS for killed_at in killed):
            self._kill_bridge()

    def close(self) -> None:
        """End the bridge, and with it what is left of its processes."""
        if self._bridge is not None:
            self._kill_bridge()
            self._lose_bridge()

    def _handle(self, report: BridgeReport) -> None:
        process = self._processes.get(report.number)
        if report.kind == "nodes":
            self._nodes, self.refusals = report.nodes, report.refusals
            if self._nodes:
                self._failed_starts, self._failure = 0, ""
        elif report.kind == "unavailable":
            self._last_sentence = report.sentence
        elif process is None:
            return
        elif report.kind == "started":
            process.pid, process.host = report.pid, report.host
            process.device_title, process.device_memory_mb = report.device_title, report.device_memory_mb
        elif report.kind == "resident":
            process.memory_bytes = report.resident_bytes
        elif report.kind == "ended":
            del self._processes[report.number]
            process.end(LOST_STATUS if report.sentence else report.status, report.sentence)

    def _start_bridge(self) -> None:
        """Start the bridge and send it its setup. Raises OSError."""
        setup = self._read_setup()
        self._work_folder = WorkFolder(setup.root)
        self._control, remote_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._stderr_fd, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._last_sentence, self._nodes, self.refusals = "", (), ()
        self._stderr.clear()
        try:
            os.set_blocking(write_end, True)
            self._control.setblocking(False)
            self._bridge = self._spawn(remote_end.fileno(), write_end)
            self._control.send(encode_message(BridgeRequest(kind="setup", setup=setup)))
        except OSError as error:
            self._last_sentence = f"The bridge to the cluster cannot be started: {error.strerror or error}."
            self._lose_bridge()
        finally:
            remote_end.close()
            os.close(write_end)

    def _flush(self) -> None:
        with suppress(OSError):  # a bridge that takes nothing more ends or is killed
            while self._unsent and self._control is not None:
                self._control.send(self._unsent[0])
                del self._unsent[0]

    def _drain_stderr(self) -> None:
        with suppress(OSError):
            while self._stderr_fd >= 0 and (data := os.read(self._stderr_fd, 65536)):
                self._stderr += data
                del self._stderr[:-_STDERR_TAIL_BYTES]

    def _kill_bridge(self) -> None:
        if self._bridge is not None:
            self._bridge.kill()

    def _lose_bridge(self) -> None:
        """Note that the bridge has ended: every process on the cluster is lost."""
        status = None
        if self._bridge is not None:
            self._bridge.kill()
            status = self._bridge.wait()
            if self._work_folder is not None:  # a bridge that was killed in the middle of a check has left its file
                self._work_folder.remove_all(CANARY_PREFIX)
        self._drain_stderr()
        if self._control is not None:
            self._control.close()
        if self._stderr_fd >= 0:
            os.close(self._stderr_fd)
        self._bridge, self._control, self._stderr_fd, self._nodes = None, None, -1, ()
        self._unsent.clear()
        if not self._failure:
            self._failed_at = self._wall_clock()
        self._failure = self._last_sentence or self._ended_sentence(status)
        self._retry_at = self._clock() + min(_MAX_PAUSE_SECONDS, _INITIAL_PAUSE_SECONDS * 2.0 ** min(self._failed_starts, 16))
        self._failed_starts += 1
        for process in self._processes.values():
            process.end(LOST_STATUS, self._unavailable_sentence())
        self._processes.clear()

    def _ended_sentence(self, status: int | None) -> str:
        lines = self._stderr.decode("utf-8", "replace").strip().splitlines()
        return f"The connection to the cluster ended ({lines[-1][:300] if lines else f'exit status {status}'})."

    def _unavailable_sentence(self) -> str:
        """Return why no process can be started at the moment."""
        if self._failure:
            since = time.strftime("%H:%M", time.localtime(self._failed_at))
            return f"{self._failure.rstrip('.')} (since {since})."
        if self.refusals:
            return " ".join(["No node of the cluster may work.", *self.refusals[:3]])
        return "The cluster is being connected."
