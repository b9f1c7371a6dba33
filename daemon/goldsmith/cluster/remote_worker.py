"""A worker process on a node: what an actor of Ray does there. Nothing here imports Ray.

The actor starts the same program that the daemon starts on its own host, with the same fence, limits and environment, and passes the
messages on. So a stranger's file is decoded behind the same fence wherever the job runs.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Condition, Thread
from time import monotonic

from goldsmith.cluster.node_report import ReportRequest, run_node_report
from goldsmith.cluster.node_view import NodeView
from goldsmith.cluster.root_watch import RootLost, RootWatch
from goldsmith.engines.devices import find_devices
from goldsmith.errors import GoldsmithError
from goldsmith.jobs.job import Outcome
from goldsmith.jobs.protocol import (
    MAX_WORKER_PAYLOAD_BYTES,
    FrameDecoder,
    MessageType,
    ProtocolError,
    WorkerSpec,
    decode_message,
    frame_message,
)
from goldsmith.jobs.worker_start import read_resident_bytes, spawn_worker

# Seconds after which ``receive`` returns although there is nothing new.
RECEIVE_SECONDS = 10.0
# Seconds without a question of the bridge after which the process is killed: the bridge, its host or the network is gone.
_MAX_SILENCE_SECONDS = 45.0
# Seconds between two looks at the memory of the process, and the change of it that is told.
_MEMORY_CHECK_SECONDS, _MEMORY_STEP_BYTES = 0.25, 4 << 20
# Seconds between two looks whether the root is still mounted.
_ROOT_CHECK_SECONDS = 1.0
_READ_BYTES = 256 * 1024
# While so much waits for the bridge, nothing more is read from the process.
_MAX_UNSENT_BYTES = 16 << 20
# How much of the stderr is kept for the bridge.
_MAX_STDERR_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class WorkerNews:
    """What has happened to a worker process since the last question.

    ``status``: its exit status, None while it runs. ``root_fault``: why the node and no job is to blame for its end, as a sentence; "" if
    the node sees the root.
    """

    data: bytes
    stderr: bytes
    resident_bytes: int
    status: int | None
    root_fault: str = ""


@dataclass(frozen=True, slots=True)
class StartedWorker:
    """A worker process that has started: its id, the name of its node, and the device that Ray has given to it."""

    pid: int
    host: str
    # "" and 0 on a CPU, and if they are not known.
    device_title: str = ""
    device_memory_mb: int = 0


def report_node(request: str) -> tuple[str, str]:
    """Return the report of this node as JSON, and ""; or "" and the sentence that says why there is none."""
    try:
        return run_node_report(ReportRequest.model_validate_json(request)).model_dump_json(), ""
    except GoldsmithError as error:
        return "", str(error)


class RemoteWorker:
    """One worker process on this node. Several threads may call its methods at the same time."""

    def __init__(self, spec: str, root: str, root_on_node: str) -> None:
        """``spec``: a WorkerSpec as JSON. ``root``: the path of the root on the daemon's host; ``root_on_node``: here."""
        self._spec = WorkerSpec.model_validate_json(spec)
        self._view = NodeView(root, root_on_node)
        self._root = RootWatch(root_on_node or root)
        self._to_node = Translation(self._view.to_node)
        self._to_daemon = Translation(self._translate_to_daemon, MAX_WORKER_PAYLOAD_BYTES)
        self._changed = Condition()
        self._child: subprocess.Popen[bytes] | None = None
        self._start_failure: OSError | None = None
        self._connection, self._remote_end = socket.socketpair()
        self._stderr_fd, self._stderr_end = os.pipe2(os.O_CLOEXEC)
        self._data, self._stderr = bytearray(), bytearray()
        self._resident_bytes = self._told_bytes = 0
        self._status: int | None = None
        self._asked_at = self._looked_at = monotonic()

    def start(self) -> StartedWorker:
        """Start the process. Raises OSError."""
        # The process dies with the thread that has started it, and the threads that call the methods may end before.
        Thread(target=self._serve, name="worker", daemon=True).start()
        with self._changed:
            self._changed.wait_for(lambda: self._child is not None or self._start_failure is not None)
        if self._child is None:
            raise self._start_failure or OSError("the process has not started")
        title, memory_mb = _own_device(self._spec)
        return StartedWorker(self._child.pid, socket.gethostname(), title, memory_mb)

    def send(self, data: bytes) -> None:
        """Pass bytes of the daemon on to the process. What a dead process does not take is lost."""
        is_first = not self._view.scratch
        data = self._to_node.feed(data)
        if is_first and self._view.scratch and not os.path.isdir(self._view.scratch):
            # The daemon has made this folder for this process a moment ago.
            self._root.lose("it does not see what this daemon writes there")
            self.kill()
            return
        with suppress(OSError):
            self._connection.sendall(data)

    def receive(self) -> WorkerNews:
        """Return what has happened, as soon as there is anything to tell; at the latest after ``RECEIVE_SECONDS``."""
        self._asked_at = monotonic()
        with self._changed:
            self._changed.wait_for(self._has_news, RECEIVE_SECONDS)
            news = WorkerNews(bytes(self._data), bytes(self._stderr), self._resident_bytes, self._status, self._root.fault)
            self._data.clear()
            self._stderr.clear()
            self._told_bytes = self._resident_bytes
            self._changed.notify_all()
        self._asked_at = monotonic()
        return news

    def kill(self) -> None:
        """Kill the process; ``receive`` tells when it is gone."""
        if self._child is not None:
            self._child.kill()

    def _has_news(self) -> bool:
        has_grown = abs(self._resident_bytes - self._told_bytes) >= _MEMORY_STEP_BYTES
        return bool(self._data or self._stderr) or has_grown or self._status is not None

    def _serve(self) -> None:
        """Start the process and read what it sends until it ends."""
        try:
            child = spawn_worker(self._spec, self._remote_end.fileno(), self._stderr_end)
        except OSError as error:
            with self._changed:
                self._start_failure = error
                self._changed.notify_all()
            return
        self._remote_end.close()
        os.close(self._stderr_end)
        with self._changed:
            self._child = child
            self._changed.notify_all()
        self._read_until_end(child)
        child.kill()
        status = child.wait()
        os.set_blocking(self._stderr_fd, False)
        self._read(self._stderr_fd)
        if status:
            self._root.look()
        with self._changed:
            self._status = status
            self._changed.notify_all()

    def _read_until_end(self, child: subprocess.Popen[bytes]) -> None:
        poll = select.poll()
        for fd in (self._connection.fileno(), self._stderr_fd):
            poll.register(fd, select.POLLIN)
        is_open = True
        while is_open:
            ready = poll.poll(1000 * _MEMORY_CHECK_SECONDS)
            for fd, _ in ready:
                if not self._read(fd):
                    poll.unregister(fd)
                    is_open = is_open and fd != self._connection.fileno()
            with self._changed:
                self._resident_bytes = read_resident_bytes(child.pid, self._spec.device)
                if self._has_news():
                    self._changed.notify_all()
            now = monotonic()
            if now - self._asked_at > _MAX_SILENCE_SECONDS:
                return
            if now - self._looked_at > _ROOT_CHECK_SECONDS:
                self._looked_at = now
                self._root.look()
            if self._root.fault:
                return
            if not ready and child.poll() is not None:
                return

    def _read(self, fd: int) -> bool:
        """Read what the process has sent, while the bridge takes it; return False at the end."""
        is_stderr = fd == self._stderr_fd
        try:
            data = os.read(fd, _READ_BYTES)
        except OSError:
            return False
        if not data:
            return False
        with self._changed:
            if is_stderr:
                self._stderr += data
                del self._stderr[:-_MAX_STDERR_BYTES]
            else:
                try:
                    self._data += self._to_daemon.feed(data)
                except RootLost:  # nothing that the process says counts any more
                    return False
                self._changed.notify_all()
                self._changed.wait_for(lambda: len(self._data) < _MAX_UNSENT_BYTES, RECEIVE_SECONDS)
        return True

    def _translate_to_daemon(self, kind: MessageType, payload: bytes) -> bytes:
        """Return the payload of a message for the daemon. Raises RootLost for a failed job if the node has lost the root."""
        if kind is MessageType.OUTCOME and decode_message(Outcome, payload).fault is not None:
            self._root.require()
        return self._view.to_daemon(kind, payload)


def _own_device(spec: WorkerSpec) -> tuple[str, int]:
    """Return the title and the memory in MiB of the GPU that Ray shows to this actor; "" and 0 on a CPU."""
    devices = () if spec.device == "cpu" else find_devices().devices
    return (devices[0].title, devices[0].total_mb) if devices else ("", 0)


class Translation:
    """A stream of messages in one direction. From the first invalid message on, the bytes pass as they are: the reader refuses them."""

    def __init__(self, translate: Callable[[MessageType, bytes], bytes], max_payload_bytes: int | None = None) -> None:
        self._translate = translate
        self._decoder = FrameDecoder() if max_payload_bytes is None else FrameDecoder(max_payload_bytes)
        # The bytes of the message that is not complete yet.
        self._incomplete = bytearray()
        self._is_broken = False

    def feed(self, data: bytes) -> bytes:
        """Add bytes, and return the translated messages that are complete now."""
        if self._is_broken:
            return data
        self._incomplete += data
        try:
            messages = self._decoder.feed(data)
            translated = b"".join(frame_message(kind, self._translate(kind, payload)) for kind, payload in messages)
        except ProtocolError:
            self._is_broken = True
            return bytes(self._incomplete)
        for _, payload in messages:
            del self._incomplete[: len(frame_message(MessageType.HELLO, payload))]
        return translated
