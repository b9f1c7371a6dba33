"""One worker process as the daemon sees it. Nothing here blocks."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from goldsmith.jobs.protocol import (
    FrameDecoder,
    HelloMessage,
    MessageType,
    WorkerConfig,
    WorkerSpec,
    encode_message,
    frame_message,
)

# How many bytes of a worker's stderr are kept for the log.
STDERR_TAIL_BYTES = 4096

_MAX_READS = 16
_READ_BYTES = 65536
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_REMOVED_ENVIRONMENT = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class ProcessHandle(Protocol):
    """What is needed of a worker's process; ``subprocess.Popen`` has it."""

    pid: int

    def poll(self) -> int | None: ...

    def kill(self) -> None: ...

    def wait(self, timeout: float | None = None) -> int: ...


# Start a worker process that talks over the first descriptor and writes its stderr to the second; raises OSError.
SpawnWorker = Callable[[WorkerSpec, int, int], ProcessHandle]


def spawn_worker(spec: WorkerSpec, socket_fd: int, stderr_fd: int) -> subprocess.Popen[bytes]:
    """Return a new worker process. It starts with SIGINT blocked, because Ctrl-C must not reach it before it can ignore it."""
    # -P: the current folder may be a share, and a json.py in it must not be imported.
    command = [sys.executable, "-P", "-m", "goldsmith.worker.main", str(socket_fd), str(os.getpid())]
    given = {name: value for name, value in os.environ.items() if name not in _REMOVED_ENVIRONMENT}
    given |= dict.fromkeys(_THREAD_VARIABLES, str(spec.threads)) | {"PYTHONHASHSEED": "0"}
    given |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}  # so that cuda:1 is the one that nvidia-smi calls 1
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stderr_fd, stderr=stderr_fd, pass_fds=(socket_fd,), cwd="/", env=given
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class WorkerProcess:
    """One worker process: its messages, its stderr, its memory and its end."""

    def __init__(self, spec: WorkerSpec, context: WorkerConfig, spawn: SpawnWorker, now: float) -> None:
        self.started_at = now
        self.is_ready = False
        self._device = spec.device
        # True once no further message can arrive.
        self.has_ended = False
        self._decoder = FrameDecoder()
        self._unsent = bytearray()
        self._stderr = bytearray()
        self._connection, theirs = socket.socketpair()
        self._stderr_fd, mouth = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(mouth, True)
        try:
            self._process = spawn(spec, theirs.fileno(), mouth)
        except OSError:
            self.close()
            raise
        finally:
            theirs.close()
            os.close(mouth)
        self._connection.setblocking(False)
        self.send(MessageType.HELLO, encode_message(HelloMessage(spec=spec, config=context)))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def readable_fds(self) -> tuple[int, int]:
        """The descriptors that become readable when the worker has sent a message or ended."""
        return self._connection.fileno(), self._stderr_fd

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def send(self, kind: MessageType, payload: bytes) -> None:
        """Send a message; bytes that the socket does not take at once go with the next ``flush``."""
        self._unsent += frame_message(kind, payload)
        self.flush()

    def flush(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._connection.send(self._unsent)]
        except BlockingIOError:
            return
        except OSError:
            self._unsent.clear()

    def read_messages(self) -> list[tuple[MessageType, bytes]]:
        """Return the messages since the last call; ``has_ended`` is set at the end. Raises ProtocolError for an invalid message."""
        gone = self.exit_status is not None  # read before the messages, so that the last ones still arrive
        self._drain_stderr()
        heard: list[tuple[MessageType, bytes]] = []
        try:
            for _ in range(_MAX_READS):
                data = self._connection.recv(_READ_BYTES)
                if not data:
                    self.has_ended = True
                    break
                heard += self._decoder.feed(data)
        except BlockingIOError:
            self.has_ended = gone
        except OSError:
            self.has_ended = True
        if self.has_ended:
            self.kill()
        return heard

    def _drain_stderr(self) -> None:
        with suppress(OSError):
            for _ in range(_MAX_READS):
                data = os.read(self._stderr_fd, _READ_BYTES)
                if not data:
                    self._close_stderr()
                    return
                self._append_stderr(data)

    def _append_stderr(self, data: bytes) -> None:
        self._stderr += data
        del self._stderr[:-STDERR_TAIL_BYTES]

    def clear_stderr(self) -> None:
        """Discard the stderr so far: it belongs to an earlier job."""
        self._drain_stderr()
        self._stderr.clear()

    @property
    def stderr_tail(self) -> str:
        """The end of what it wrote to stdout and stderr."""
        self._drain_stderr()
        return self._stderr.decode("utf-8", "replace").strip()

    @property
    def exit_status(self) -> int | None:
        """The exit status once it has ended (negative: the signal), else None."""
        return self._process.poll()

    @property
    def resident_bytes(self) -> int:
        """Its resident memory in bytes; 0 when it is gone. On a GPU without file pages: weights are mapped only temporarily."""
        try:
            with open(f"/proc/{self.pid}/statm", "rb") as file:
                resident, of_files = map(int, file.read().split()[1:3])
                return (resident if self._device == "cpu" else resident - of_files) * _PAGE_BYTES
        except (OSError, ValueError):
            return 0

    def kill(self) -> None:
        """Kill it; ``exit_status`` is set when it is gone."""
        if self.exit_status is None:
            self._process.kill()

    def wait_exit(self, timeout: float) -> bool:
        """Wait for a killed process to end. Only for the daemon's own end; nothing else waits."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        return self.exit_status is not None

    def close(self) -> None:
        """Close the descriptors; if the process still runs, it ends when it notices."""
        self._connection.close()
        self._close_stderr()

    def _close_stderr(self) -> None:
        if self._stderr_fd >= 0:
            os.close(self._stderr_fd)
            self._stderr_fd = -1
