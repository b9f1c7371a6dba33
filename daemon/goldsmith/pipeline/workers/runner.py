"""Where worker processes run: on this host, or on the nodes of a cluster. Everything above a runner is the same for both."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Protocol

from goldsmith.errors import HostError
from goldsmith.jobs.protocol import WorkerSpec
from goldsmith.jobs.worker_start import read_resident_bytes, spawn_worker


class HostUnavailable(HostError):
    """No process can be started at the moment because the hosts of the runner cannot be reached."""


class ProcessHandle(Protocol):
    """A started process, as its runner sees it."""

    # The process id on its host.
    pid: int

    @property
    def host(self) -> str:
        """The name of the host that it runs on; "" for this host, and as long as it is not known."""
        ...

    @property
    def device_title(self) -> str:
        """The name for people of the device that its host has given to it; "" if the daemon has chosen the device, or it is not known."""
        ...

    @property
    def device_memory_mb(self) -> int:
        """The memory of that device in MiB; 0 as ``device_title``."""
        ...

    @property
    def host_failure(self) -> str:
        """Why its host, and not the process or its job, is to blame for its end, as a sentence; "" if the process ended by itself."""
        ...

    def poll(self) -> int | None:
        """Return the exit status (negative: the signal) of a process that has ended or whose host is lost, else None."""
        ...

    def resident_bytes(self) -> int:
        """Return the resident memory in bytes; 0 if it is not known."""
        ...

    def kill(self) -> None:
        """Kill the process; ``poll`` tells when it is gone."""
        ...

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for the end of a killed process; return whether it is gone."""
        ...


class Runner(Protocol):
    """Starts worker processes. No method blocks, except ``close`` and the ``wait`` of a process."""

    def start(self, spec: WorkerSpec, socket_fd: int, stderr_fd: int) -> ProcessHandle:
        """Start a worker process. The first descriptor is its end of the socket, the second its stderr.

        Raises HostUnavailable if its hosts cannot be reached, and OSError or GoldsmithError if it cannot be started.
        """
        ...

    @property
    def refusals(self) -> tuple[str, ...]:
        """For each host that gets no jobs: which it is, why, and what to do."""
        ...

    def collect(self) -> None:
        """Take note of what the runner's hosts have reported."""
        ...

    def close(self) -> None:
        """End what the runner itself has started. Its processes have ended before."""
        ...


class SpawnedProcess(Protocol):
    """A child of this process: the part of ``subprocess.Popen`` that is used here."""

    pid: int

    def poll(self) -> int | None: ...

    def kill(self) -> None: ...

    def wait(self, timeout: float | None = None) -> int: ...


# Starts a worker process on this host. The first descriptor is its end of the socket, the second its stderr. Raises OSError.
SpawnWorker = Callable[[WorkerSpec, int, int], SpawnedProcess]


class LocalProcess:
    """A worker process on this host."""

    host = ""
    # The daemon itself has chosen the device.
    device_title = ""
    device_memory_mb = 0
    # A host that has failed runs no daemon, either.
    host_failure = ""

    def __init__(self, child: SpawnedProcess, device: str) -> None:
        self.pid = child.pid
        self._child = child
        self._device = device

    def poll(self) -> int | None:
        return self._child.poll()

    def resident_bytes(self) -> int:
        return read_resident_bytes(self.pid, self._device)

    def kill(self) -> None:
        self._child.kill()

    def wait(self, timeout: float) -> bool:
        try:
            self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True


class LocalRunner:
    """Starts worker processes on this host."""

    refusals: tuple[str, ...] = ()

    def __init__(self, spawn: SpawnWorker = spawn_worker) -> None:
        self._spawn = spawn

    def start(self, spec: WorkerSpec, socket_fd: int, stderr_fd: int) -> LocalProcess:
        return LocalProcess(self._spawn(spec, socket_fd, stderr_fd), spec.device)

    def collect(self) -> None:
        return

    def close(self) -> None:
        return
