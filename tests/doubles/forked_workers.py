"""Worker processes that start at once: they are forked from a template, a process that has imported the worker's program already.

A worker of ``spawn_worker`` imports for a second of computing time until its first job is done, and for eight if the job needs diffusers.
The tests start hundreds of workers. A forked process runs the same code from there on: it binds itself to its parent, raises its fence and
sends READY. What is shown about the start itself, such as its command, its environment and its imports, needs ``spawn_worker``.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest import mock

from doubles import worker_template
from goldsmith.jobs.protocol import WorkerSpec
from goldsmith.jobs.worker_start import IMPORT_FOLDERS, spawn_worker, worker_environment
from goldsmith.pipeline.workers.runner import LocalRunner, SpawnedProcess, SpawnWorker

_PR_SET_CHILD_SUBREAPER = 36
# Where the workers of most tests find modules: in the package, and some in the tests.
_USUAL_FOLDERS = {*IMPORT_FOLDERS, str(Path(__file__).parents[1])}
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_MAX_MESSAGE_BYTES = 65536

_templates: dict[tuple[int, str], _Template] = {}
_lock = threading.Lock()


def fork_worker(spec: WorkerSpec, socket_fd: int, stderr_fd: int) -> SpawnedProcess:
    """Start a worker process and return it, as ``spawn_worker`` does: a child of this process with the same environment."""
    return _fork("operations", spec, socket_fd, stderr_fd)


def fork_diffusion_worker(spec: WorkerSpec, socket_fd: int, stderr_fd: int) -> SpawnedProcess:
    """Do what ``fork_worker`` does, with torch and diffusers imported already: for tests with several workers that run diffusion models."""
    return _fork("diffusion", spec, socket_fd, stderr_fd)


@contextmanager
def workers_from(spawn: SpawnWorker) -> Iterator[None]:
    """Let the worker pools that are made within the block start their processes on this host with ``spawn``."""
    runner = partial(LocalRunner, spawn)
    places = ("goldsmith.service.runtime.LocalRunner", "goldsmith.pipeline.workers.worker_pools.LocalRunner")
    with mock.patch(places[0], runner), mock.patch(places[1], runner):
        yield


def _fork(imports: str, spec: WorkerSpec, socket_fd: int, stderr_fd: int) -> SpawnedProcess:
    environment = worker_environment(os.environ, spec.threads)
    if not set(filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))) <= _USUAL_FOLDERS:
        return spawn_worker(spec, socket_fd, stderr_fd)  # a template for this test alone would gain nothing
    key = (os.getpid(), imports)
    with _lock:
        if key not in _templates:
            _templates[key] = _Template(imports, environment)
        return _templates[key].fork(environment, socket_fd, stderr_fd)


class ForkedProcess:
    """A child of this process that another has forked: the part of ``subprocess.Popen`` that runners use."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)
        self._status: int | None = None

    def poll(self) -> int | None:
        return self._status if self._status is not None else self._reap(os.WNOHANG)

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        if self._status is None and timeout is not None and not select.select([self._pidfd], [], [], max(0.0, timeout))[0]:
            raise subprocess.TimeoutExpired("goldsmith.worker", timeout)
        status = self._status if self._status is not None else self._reap(0)
        assert status is not None
        return status

    def _reap(self, options: int) -> int | None:
        pid, status = os.waitpid(self.pid, options)
        if pid:
            self._status = os.waitstatus_to_exitcode(status)
            os.close(self._pidfd)
        return self._status


class _Template:
    """A process that has imported the worker's program. It ends with this process."""

    def __init__(self, imports: str, environment: dict[str, str]) -> None:
        self._control, remote_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-P", worker_template.__file__, str(remote_end.fileno()), imports]
        # Libraries start no threads on a single core, and a process with threads cannot be forked.
        environment = environment | dict.fromkeys(_THREAD_VARIABLES, "1")
        with remote_end:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(remote_end.fileno(),), cwd="/", env=environment)
        atexit.register(self._close, os.getpid())

    def fork(self, environment: dict[str, str], socket_fd: int, stderr_fd: int) -> ForkedProcess:
        with _adopting_orphans():
            socket.send_fds(self._control, [json.dumps([os.getpid(), environment]).encode()], [socket_fd, stderr_fd])
            answer = self._control.recv(_MAX_MESSAGE_BYTES)
            assert answer, "the template of the worker processes has ended"
            return ForkedProcess(int(answer))

    def _close(self, owner: int) -> None:
        if os.getpid() == owner:
            self._control.close()
            self._process.wait()


@contextmanager
def _adopting_orphans() -> Iterator[None]:
    """Become the parent of processes below this one whose own parent ends in the meantime."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
