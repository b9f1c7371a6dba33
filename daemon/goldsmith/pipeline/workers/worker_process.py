"""A worker process as the daemon sees it. Nothing here blocks, except ``wait_exit``."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from goldsmith.jobs.protocol import (
    MAX_WORKER_PAYLOAD_BYTES,
    FrameDecoder,
    HelloMessage,
    MessageType,
    WorkerConfig,
    WorkerFolders,
    WorkerSpec,
    encode_message,
    frame_message,
)

# How many bytes of a worker's stderr are kept for the log.
STDERR_TAIL_BYTES = 4096

_MAX_READS = 16
_READ_BYTES = 65536
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# The only variables of the daemon's environment that its worker processes get: others may hold passwords and keys.
_KEPT_VARIABLES = frozenset({"PATH", "HOME", "USER", "LANG", "TZ", "LD_LIBRARY_PATH", "TMPDIR"})
_KEPT_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_", "HSA_", "GOLDSMITH_")
# The addresses of channels, which hold passwords. No worker process needs a channel.
_WITHHELD_VARIABLES = frozenset({"GOLDSMITH_NOTIFY"})
# Hash seeds affect the order of sets; cuda:1 shall be the device that nvidia-smi calls 1; libraries shall not report to their makers. The
# threads of numpy's OpenBLAS wait by spinning, which costs more than they gain: pixels are worked on by threads of our own.
_SET_VARIABLES = {
    "PYTHONHASHSEED": "0",
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def _package_folders() -> tuple[str, ...]:
    """Return the folder of this package if Python does not find it by itself: in a checkout that is not installed."""
    folder = str(Path(__file__).resolve().parents[3])
    return () if folder in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")) else (folder,)


# Where worker processes find modules before they look where Python itself does. PYTHONPATH is not theirs to inherit.
IMPORT_FOLDERS = _package_folders()


class ProcessHandle(Protocol):
    """The part of ``subprocess.Popen`` that is used here."""

    pid: int

    def poll(self) -> int | None: ...

    def kill(self) -> None: ...

    def wait(self, timeout: float | None = None) -> int: ...


# Starts a worker process. The first descriptor is its end of the socket, the second its stderr. Raises OSError.
SpawnWorker = Callable[[WorkerSpec, int, int], ProcessHandle]


def spawn_worker(spec: WorkerSpec, socket_fd: int, stderr_fd: int) -> subprocess.Popen[bytes]:
    """Start a worker process and return it. It starts with SIGINT blocked, so that Ctrl-C cannot end it before it ignores Ctrl-C."""
    # -P: the current folder may be a share, and no json.py there may be imported.
    command = [sys.executable, "-P", "-m", "goldsmith.worker", str(socket_fd), str(os.getpid())]
    environment = worker_environment(os.environ, spec.threads)
    old_signal_mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stderr_fd, stderr=stderr_fd, pass_fds=(socket_fd,), cwd="/", env=environment
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old_signal_mask)


def worker_environment(inherited: Mapping[str, str], threads: int) -> dict[str, str]:
    """Return the environment of a worker process: what is known to be harmless, and what this program sets."""
    kept = [name for name in inherited if name in _KEPT_VARIABLES or name.startswith(_KEPT_PREFIXES)]
    environment = {name: inherited[name] for name in kept if name not in _WITHHELD_VARIABLES}
    environment |= dict.fromkeys(_THREAD_VARIABLES, str(threads)) | _SET_VARIABLES
    return environment | ({"PYTHONPATH": os.pathsep.join(IMPORT_FOLDERS)} if IMPORT_FOLDERS else {})


def start_failure(error: Exception) -> str:
    """Return why a worker process could not be started. For a denied permission: what is denied, and to whom."""
    if not isinstance(error, OSError):
        return str(error).rstrip(".")
    if isinstance(error, PermissionError) and isinstance(error.filename, str):
        return f"{_denied_part(error.filename)} by the user with the id {os.geteuid()}: {error.strerror}"
    place = f"{error.filename}: " if isinstance(error.filename, str) else ""
    return f"{place}{error.strerror or error}"


def _denied_part(program: str) -> str:
    """Return the first part of a program's path, also behind its links, that this user may not use, and what is refused."""
    path = Path(program)
    for link in (path, path.resolve()):
        for folder in reversed(link.parents):
            if not os.access(folder, os.X_OK, effective_ids=True):
                return f"the folder {folder} may not be entered"
    return f"{path.resolve()} may not be executed"


class WorkerProcess:
    """One worker process: its messages, its stderr, its memory and its end."""

    def __init__(
        self, spec: WorkerSpec, config: WorkerConfig, folders: WorkerFolders, scratch: str, spawn: SpawnWorker, now: float
    ) -> None:
        self.started_at = now
        self.is_ready = False
        self._device = spec.device
        # True once no more messages can arrive.
        self.has_ended = False
        self._decoder = FrameDecoder(MAX_WORKER_PAYLOAD_BYTES)
        self._unsent = bytearray()
        self._stderr = bytearray()
        self._stderr_fd = -1
        self._connection, remote_end = socket.socketpair()
        with contextlib.ExitStack() as opened:
            opened.callback(remote_end.close)
            try:
                self._stderr_fd, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
                opened.callback(os.close, write_end)
                os.set_blocking(write_end, True)
                self._connection.setblocking(False)
                self._process = spawn(spec, remote_end.fileno(), write_end)
            except OSError:
                self.close()
                raise
        self.send(MessageType.HELLO, encode_message(HelloMessage(spec=spec, config=config, folders=folders, scratch=scratch)))

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def readable_fds(self) -> tuple[int, int]:
        """The descriptors that become readable when the worker has sent something or has ended."""
        return self._connection.fileno(), self._stderr_fd

    @property
    def has_unsent(self) -> bool:
        """True while ``flush`` has something to send."""
        return bool(self._unsent)

    def send(self, kind: MessageType, payload: bytes) -> None:
        """Send a message. The next ``flush`` sends the part that the socket does not take at once."""
        self._unsent += frame_message(kind, payload)
        self.flush()

    def flush(self) -> None:
        """Send as much of the unsent messages as the socket takes."""
        try:
            while self._unsent:
                del self._unsent[: self._connection.send(self._unsent)]
        except BlockingIOError:
            return
        except OSError:  # the rest of the message is lost, so the worker would wait for ever
            self._unsent.clear()
            self.kill()

    def read_messages(self) -> list[tuple[MessageType, bytes]]:
        """Return the messages since the last call; set ``has_ended`` at the end. Raises ProtocolError for an invalid message."""
        is_gone = self.exit_status is not None  # checked before the read, so that the last messages are read
        self._drain_stderr()
        messages: list[tuple[MessageType, bytes]] = []
        try:
            for _ in range(_MAX_READS):
                data = self._connection.recv(_READ_BYTES)
                if not data:
                    self.has_ended = True
                    break
                messages += self._decoder.feed(data)
        except BlockingIOError:
            self.has_ended = is_gone
        except OSError:
            self.has_ended = True
        if self.has_ended:
            self.kill()
        return messages

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
        """Discard the stderr so far, which belongs to an earlier job."""
        self._drain_stderr()
        self._stderr.clear()

    @property
    def stderr_tail(self) -> str:
        """The end of the text that the process wrote to stdout and stderr."""
        self._drain_stderr()
        return self._stderr.decode("utf-8", "replace").strip()

    @property
    def exit_status(self) -> int | None:
        """The exit status of a process that has ended (negative: the signal), else None."""
        return self._process.poll()

    @property
    def resident_bytes(self) -> int:
        """Resident memory in bytes; 0 if the process is gone. On a GPU without file pages: weights are mapped, and only pass through."""
        try:
            with open(f"/proc/{self.pid}/statm", "rb") as file:
                resident, file_pages = map(int, file.read().split()[1:3])
                return (resident if self._device == "cpu" else resident - file_pages) * _PAGE_BYTES
        except (OSError, ValueError):
            return 0

    def kill(self) -> None:
        """Kill the process; ``exit_status`` tells when it is gone."""
        if self.exit_status is None:
            self._process.kill()

    def wait_exit(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for a killed process; return whether it is gone. Only for the daemon's own end: it blocks."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        return self.exit_status is not None

    def close(self) -> None:
        """Close the descriptors. A process that still runs ends itself when its connection closes. Nothing is raised."""
        with suppress(OSError):
            self._connection.close()
        self._close_stderr()

    def _close_stderr(self) -> None:
        fd, self._stderr_fd = self._stderr_fd, -1
        if fd >= 0:
            with suppress(OSError):  # a descriptor is closed even if close(2) reports an error
                os.close(fd)
