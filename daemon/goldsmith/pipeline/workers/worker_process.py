"""A seat in a lane: one lane process as the daemon sees it. Nothing here ever blocks."""

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

# How many bytes of a lane's stderr are kept for the log.
STDERR_TAIL_BYTES = 4096

_MAX_READS = 16
_READ_BYTES = 65536
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_REMOVED_ENVIRONMENT = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class ProcessHandle(Protocol):
    """What is asked of a lane's process; ``subprocess.Popen`` has it all."""

    pid: int

    def poll(self) -> int | None: ...

    def kill(self) -> None: ...

    def wait(self, timeout: float | None = None) -> int: ...


# Starts the process of a lane that is to speak over the first descriptor and grumble into the second; raises OSError.
SpawnWorker = Callable[[WorkerSpec, int, int], ProcessHandle]


def spawn_worker(spec: WorkerSpec, socket_fd: int, stderr_fd: int) -> subprocess.Popen[bytes]:
    """A fresh lane process. Ctrl-C must not reach it before it can ignore that, so it is born with SIGINT blocked."""
    # -P: the current folder may be a share, and nobody's json.py there is to be imported.
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
    """One lane process: what it says, what it grumbles, how much memory it has, and its end."""

    def __init__(self, spec: WorkerSpec, context: WorkerConfig, spawn: SpawnWorker, now: float) -> None:
        self.started_at = now
        self.is_ready = False
        self._device = spec.device
        # True once nothing more can come from it.
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
        """The descriptors that become readable when the lane has said something or ended."""
        return self._connection.fileno(), self._stderr_fd

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def send(self, kind: MessageType, payload: bytes) -> None:
        """Say something; what the socket does not take at once goes with the next ``flush``."""
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
        """What the lane has said since; ``ended`` is set at its end. Raises Garbled where it talks nonsense."""
        gone = self.exit_status is not None  # asked before reading: what it said last is still heard
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
        """What was grumbled so far belongs to an earlier job."""
        self._drain_stderr()
        self._stderr.clear()

    @property
    def stderr_tail(self) -> str:
        """The end of what it wrote to stdout and stderr."""
        self._drain_stderr()
        return self._stderr.decode("utf-8", "replace").strip()

    @property
    def exit_status(self) -> int | None:
        """Exit status once it has ended (negative: the signal), else None."""
        return self._process.poll()

    @property
    def resident_bytes(self) -> int:
        """Bytes of memory it has resident; 0 when it is gone. On a GPU without pages of files: weights are mapped, and pass through."""
        try:
            with open(f"/proc/{self.pid}/statm", "rb") as file:
                resident, of_files = map(int, file.read().split()[1:3])
                return (resident if self._device == "cpu" else resident - of_files) * _PAGE_BYTES
        except (OSError, ValueError):
            return 0

    def kill(self) -> None:
        """End it at once; ``status`` tells when that has happened."""
        if self.exit_status is None:
            self._process.kill()

    def wait_exit(self, timeout: float) -> bool:
        """Wait so long for a killed process to be gone. Only for the daemon's own end: everywhere else nothing waits."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        return self.exit_status is not None

    def close(self) -> None:
        """Let go of the descriptors; the process, if it still runs, takes the silence as its end."""
        self._connection.close()
        self._close_stderr()

    def _close_stderr(self) -> None:
        if self._stderr_fd >= 0:
            os.close(self._stderr_fd)
            self._stderr_fd = -1
