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
    Frames,
    Hello,
    Kind,
    LaneContext,
    LaneSpec,
    framed,
    packed,
)

LAST_WORDS = 4096
"""How many bytes of a lane's stderr are kept for the log."""

_READS = 16
_READ = 65536
_PAGE = os.sysconf("SC_PAGE_SIZE")
_NOT_FOR_LANES = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Living(Protocol):
    """What is asked of a lane's process; ``subprocess.Popen`` has it all."""

    pid: int

    def poll(self) -> int | None: ...

    def kill(self) -> None: ...

    def wait(self, timeout: float | None = None) -> int: ...


Spawn = Callable[[LaneSpec, int, int], Living]
"""Starts the process of a lane that is to speak over the first descriptor and grumble into the second; raises OSError."""


def spawn_lane(spec: LaneSpec, wire: int, grumbles: int) -> subprocess.Popen[bytes]:
    """A fresh lane process. Ctrl-C must not reach it before it can ignore that, so it is born with SIGINT blocked."""
    # -P: the current folder may be a share, and nobody's json.py there is to be imported.
    command = [sys.executable, "-P", "-m", "goldsmith.worker.main", str(wire), str(os.getpid())]
    given = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_LANES}
    given |= dict.fromkeys(_THREADS, str(spec.threads)) | {"PYTHONHASHSEED": "0"}
    given |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}  # so that cuda:1 is the one that nvidia-smi calls 1
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=grumbles, stderr=grumbles, pass_fds=(wire,), cwd="/", env=given)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Seat:
    """One lane process: what it says, what it grumbles, how much memory it has, and its end."""

    def __init__(self, spec: LaneSpec, context: LaneContext, spawn: Spawn, now: float) -> None:
        self.born = now
        self.ready = False
        self._device = spec.device
        self.ended = False
        """True once nothing more can come from it."""
        self._frames = Frames()
        self._unsent = bytearray()
        self._words = bytearray()
        self._wire, theirs = socket.socketpair()
        self._ear, mouth = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(mouth, True)
        try:
            self._process = spawn(spec, theirs.fileno(), mouth)
        except OSError:
            self.close()
            raise
        finally:
            theirs.close()
            os.close(mouth)
        self._wire.setblocking(False)
        self.send(Kind.HELLO, packed(Hello(spec=spec, context=context)))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ears(self) -> tuple[int, int]:
        """The descriptors that become readable when the lane has said something or ended."""
        return self._wire.fileno(), self._ear

    @property
    def unsent(self) -> bool:
        return bool(self._unsent)

    def send(self, kind: Kind, payload: bytes) -> None:
        """Say something; what the socket does not take at once goes with the next ``flush``."""
        self._unsent += framed(kind, payload)
        self.flush()

    def flush(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._wire.send(self._unsent)]
        except BlockingIOError:
            return
        except OSError:
            self._unsent.clear()

    def read(self) -> list[tuple[Kind, bytes]]:
        """What the lane has said since; ``ended`` is set at its end. Raises Garbled where it talks nonsense."""
        gone = self.status is not None  # asked before reading: what it said last is still heard
        self._listen()
        heard: list[tuple[Kind, bytes]] = []
        try:
            for _ in range(_READS):
                data = self._wire.recv(_READ)
                if not data:
                    self.ended = True
                    break
                heard += self._frames.feed(data)
        except BlockingIOError:
            self.ended = gone
        except OSError:
            self.ended = True
        if self.ended:
            self.kill()
        return heard

    def _listen(self) -> None:
        with suppress(OSError):
            for _ in range(_READS):
                data = os.read(self._ear, _READ)
                if not data:
                    self._stop_listening()
                    return
                self._keep(data)

    def _keep(self, data: bytes) -> None:
        self._words += data
        del self._words[:-LAST_WORDS]

    def forget_words(self) -> None:
        """What was grumbled so far belongs to an earlier job."""
        self._listen()
        self._words.clear()

    @property
    def last_words(self) -> str:
        """The end of what it wrote to stdout and stderr."""
        self._listen()
        return self._words.decode("utf-8", "replace").strip()

    @property
    def status(self) -> int | None:
        """Exit status once it has ended (negative: the signal), else None."""
        return self._process.poll()

    @property
    def resident(self) -> int:
        """Bytes of memory it has resident; 0 when it is gone. On a GPU without pages of files: weights are mapped, and pass through."""
        try:
            with open(f"/proc/{self.pid}/statm", "rb") as file:
                resident, of_files = map(int, file.read().split()[1:3])
                return (resident if self._device == "cpu" else resident - of_files) * _PAGE
        except (OSError, ValueError):
            return 0

    def kill(self) -> None:
        """End it at once; ``status`` tells when that has happened."""
        if self.status is None:
            self._process.kill()

    def gone(self, seconds: float) -> bool:
        """Wait so long for a killed process to be gone. Only for the daemon's own end: everywhere else nothing waits."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self.status is not None

    def close(self) -> None:
        """Let go of the descriptors; the process, if it still runs, takes the silence as its end."""
        self._wire.close()
        self._stop_listening()

    def _stop_listening(self) -> None:
        if self._ear >= 0:
            os.close(self._ear)
            self._ear = -1
