"""A worker process as the daemon sees it. Nothing here blocks, except ``wait_exit``."""

from __future__ import annotations

import contextlib
import os
import socket
from contextlib import suppress
from pathlib import Path

from goldsmith.errors import GoldsmithError
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
from goldsmith.pipeline.workers.runner import Runner

# How many bytes of a worker's stderr are kept for the log.
STDERR_TAIL_BYTES = 4096

_MAX_READS = 16
_READ_BYTES = 65536


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

    def __init__(self, spec: WorkerSpec, config: WorkerConfig, folders: WorkerFolders, scratch: str, runner: Runner, now: float) -> None:
        self.started_at = now
        self._spec = spec
        self.is_ready = False
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
                self._process = runner.start(spec, remote_end.fileno(), write_end)
            except (OSError, GoldsmithError):
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
    def host(self) -> str:
        """The name of the host that it runs on; "" for this host, and as long as it is not known."""
        return self._process.host

    @property
    def spec(self) -> WorkerSpec:
        """What the process was started as, with the device that its host has given to it."""
        if not self._process.device_memory_mb:
            return self._spec
        device = {"device_title": self._process.device_title, "device_memory_mb": self._process.device_memory_mb}
        return self._spec.model_copy(update=device)

    @property
    def host_failure(self) -> str:
        """Why its host is to blame for its end, as a sentence; "" if the process ended by itself or has not ended."""
        return self._process.host_failure if self.exit_status is not None else ""

    @property
    def resident_bytes(self) -> int:
        """Resident memory in bytes; 0 if the process is gone. On a GPU without file pages: weights are mapped, and only pass through."""
        return self._process.resident_bytes()

    def kill(self) -> None:
        """Kill the process; ``exit_status`` tells when it is gone."""
        if self.exit_status is None:
            self._process.kill()

    def wait_exit(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for a killed process; return whether it is gone. Only for the daemon's own end: it blocks."""
        return self._process.wait(timeout)

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
