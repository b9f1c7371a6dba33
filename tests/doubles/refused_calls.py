"""Operating-system calls that fail: every call that the daemon's own code makes in this process, found by itself, and a chosen one fails.

The calls are taken where Python hands them to the system: every function of ``posix`` that ``os`` offers, ``open``, ``fcntl``, ``select``,
sockets, SQLite's statements, functions of C libraries in the daemon's modules, new processes and new threads. So a call that the daemon
makes tomorrow is among them without a change here. A call belongs to the daemon if its nearest frame in a known folder is the daemon's.
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import errno
import fcntl
import functools
import io
import os
import select
import socket
import sqlite3
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import watchdog

import goldsmith
from doubles.fake_workers import FakeProcess
from goldsmith.jobs.job import Job
from goldsmith.jobs.protocol import FrameDecoder, MessageType, decode_message

ERRNOS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.ESTALE, errno.ENOENT)

_DAEMON = str(Path(goldsmith.__file__).parent)
# watchdog's thread reads the kernel's events for the daemon.
_WATCHDOG = str(Path(watchdog.__file__).parent)
_TESTS = str(Path(__file__).parents[1])
# Functions of ``posix`` that ask nothing of the system, or cannot fail.
_PURE = frozenset(
    {"fspath", "strerror", "waitstatus_to_exitcode", "WIFSIGNALED", "WTERMSIG", "WIFEXITED", "WEXITSTATUS", "register_at_fork", "_exit"}
    | {"getpid", "getppid", "getuid", "geteuid", "getgid", "getegid", "umask", "times", "cpu_count", "device_encoding", "abort", "fork"}
    | {"sysconf", "sched_getaffinity", "get_inheritable", "isatty", "get_terminal_size", "urandom", "kill", "getloadavg"}
)
_SQLITE_ERRORS = {
    errno.ENOSPC: ("database or disk is full", sqlite3.SQLITE_FULL, "SQLITE_FULL"),
    errno.EIO: ("disk I/O error", sqlite3.SQLITE_IOERR, "SQLITE_IOERR"),
    errno.EROFS: ("attempt to write a readonly database", sqlite3.SQLITE_READONLY, "SQLITE_READONLY"),
}
_OTHER_SQLITE_ERROR = ("unable to open database file", sqlite3.SQLITE_CANTOPEN, "SQLITE_CANTOPEN")

# Where the daemon makes a call: "pipeline/commit/file_move.py:120 stat".
Site = str


class RefusedCalls:
    """Counts the daemon's calls and lets those fail that ``must_fail(site)`` names, with ``number`` as their errno."""

    def __init__(self) -> None:
        self.number = errno.EIO
        self.must_fail: Callable[[Site], bool] = lambda site: False
        self.count = 0
        self.sites: dict[Site, int] = {}
        self.failed: list[Site] = []
        self.is_counting = False
        self._lock = threading.RLock()

    def strikes(self, name: str) -> bool:
        """Count one call, if it is the daemon's, and return whether it fails."""
        if not self.is_counting:
            return False
        site = _site(name)
        if site is None:
            return False
        with self._lock:
            self.count += 1
            self.sites[site] = self.sites.get(site, 0) + 1
            if self.must_fail(site):
                self.failed.append(site)
                return True
        return False

    def error(self, arguments: tuple[object, ...] = ()) -> OSError:
        """Return the error of a failed call; like the system's, it names the file of the call."""
        path = next((argument for argument in arguments if isinstance(argument, str | bytes | os.PathLike)), None)
        return OSError(self.number, os.strerror(self.number), *([os.fspath(path)] if path is not None else []))

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Take the calls of this process during the body of a ``with`` statement."""
        with contextlib.ExitStack() as stack:
            for target, name, replacement in list(self._replacements()):
                stack.callback(setattr, target, name, getattr(target, name))
                setattr(target, name, replacement)
            self.is_counting = True
            stack.callback(setattr, self, "is_counting", False)
            yield

    # ------------------------------------------------------------------ what is replaced

    def _replacements(self) -> Iterator[tuple[Any, str, Any]]:
        for module in (os, fcntl):
            for name, value in vars(module).items():
                if isinstance(value, types.BuiltinFunctionType) and name not in _PURE:
                    yield module, name, self._close(value) if name == "close" else self._wrap(value, name)
        for module, name in ((builtins, "open"), (io, "open"), (socket, "socketpair"), (socket, "gethostname"), (select, "select")):
            yield module, name, self._wrap(getattr(module, name), name)
        for name in ("connect", "send", "sendto", "sendall", "recv", "setblocking"):
            yield socket.socket, name, self._wrap(getattr(socket.socket, name), name)
        select_poll, select_epoll, sqlite_connect = select.poll, select.epoll, sqlite3.connect
        yield select, "poll", lambda: _Poller(self, select_poll())
        yield select, "epoll", lambda *words: _Poller(self, select_epoll(*words))
        yield sqlite3, "connect", self._wrap(functools.partial(sqlite_connect, factory=self._connection_class()), "connect")
        yield subprocess, "Popen", functools.partial(WorkerThread, self)
        yield threading.Thread, "start", self._start_thread()
        yield from self._library_functions()

    def _wrap(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            if self.strikes(name):
                raise self.error(arguments)
            return call(*arguments, **options)

        return wrapped

    def _close(self, call: Callable[[int], None]) -> Callable[[int], None]:
        """A descriptor is closed even if close(2) reports an error."""

        def wrapped(fd: int) -> None:
            fails = self.strikes("close")
            call(fd)
            if fails:
                raise self.error()

        return wrapped

    def _start_thread(self) -> Callable[[threading.Thread], None]:
        start = threading.Thread.start

        def wrapped(thread: threading.Thread) -> None:
            if self.strikes("thread"):
                raise RuntimeError("can't start new thread")
            start(thread)

        return wrapped

    def _library_functions(self) -> Iterator[tuple[Any, str, Any]]:
        """Yield the functions of C libraries that the daemon's modules and watchdog call."""
        for name, module in list(sys.modules.items()):
            if name.startswith(("goldsmith.", "watchdog.observers.")) and isinstance(module, types.ModuleType):
                for attribute, value in list(vars(module).items()):
                    if isinstance(value, ctypes._CFuncPtr):
                        yield module, attribute, self._wrap_library(value, attribute)

    def _wrap_library(self, call: Callable[..., int], name: str) -> Callable[..., int]:
        def wrapped(*arguments: Any) -> int:
            if self.strikes(name):
                ctypes.set_errno(self.number)
                return -1
            return call(*arguments)

        return wrapped

    def _connection_class(self) -> type[sqlite3.Connection]:
        calls = self

        class Connection(sqlite3.Connection):
            def execute(self, *arguments: Any) -> sqlite3.Cursor:
                calls._strike_sqlite()
                return super().execute(*arguments)

            def executemany(self, *arguments: Any) -> sqlite3.Cursor:
                calls._strike_sqlite()
                return super().executemany(*arguments)

        return Connection

    def _strike_sqlite(self) -> None:
        if self.strikes("sqlite"):
            text, code, name = _SQLITE_ERRORS.get(self.number, _OTHER_SQLITE_ERROR)
            error = sqlite3.OperationalError(text)
            error.sqlite_errorcode, error.sqlite_errorname = code, name
            raise error


class _Poller:
    """A poll or epoll object whose waiting may fail."""

    def __init__(self, calls: RefusedCalls, poller: Any) -> None:
        self._calls, self._poller = calls, poller

    def poll(self, *arguments: Any) -> Any:
        if self._calls.strikes("poll"):
            raise self._calls.error()
        return self._poller.poll(*arguments)

    def register(self, *arguments: Any) -> Any:
        if self._calls.strikes("register"):
            raise self._calls.error()
        return self._poller.register(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poller, name)


def _site(name: str) -> Site | None:
    """Return the place in the daemon's code that causes this call; None if it is no call of the daemon."""
    frame: types.FrameType | None = sys._getframe(2)
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(_TESTS) and (path != __file__ or frame.f_code.co_qualname.startswith("WorkerThread._work")):
            return None
        if path.startswith((_DAEMON, _WATCHDOG)):
            return f"{path.removeprefix(_DAEMON).removeprefix('/')}:{frame.f_lineno} {name}"
        frame = frame.f_back
    return None


# The real one, for the test's own thread.
_start_thread = threading.Thread.start


class WorkerThread:
    """Takes the place of ``subprocess.Popen``: a worker process that is a thread of the test and changes no pixel."""

    def __init__(self, calls: RefusedCalls, command: list[str], **options: Any) -> None:
        if calls.strikes("exec"):
            raise OSError(calls.number, os.strerror(calls.number), command[0])
        self._process = FakeProcess(options["pass_fds"][0], options["stdout"])
        self._process.connection.settimeout(None)
        self.pid = os.getpid()
        self._thread = threading.Thread(target=self._work, name="worker", daemon=True)
        _start_thread(self._thread)

    def _work(self) -> None:
        decoder, process = FrameDecoder(), self._process
        with contextlib.suppress(OSError):
            process.send(MessageType.READY, b"none")
            while data := process.connection.recv(65536):
                for kind, payload in decoder.feed(data):
                    if kind is MessageType.JOB:
                        job = decode_message(Job, payload)
                        process.jobs[job.id] = job
                        process.send(MessageType.STARTED, job.id.encode())
                        process.finish(job)
        process.exit(0)

    def poll(self) -> int | None:
        return self._process.status

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            self._process.connection.shutdown(socket.SHUT_RDWR)

    def wait(self, timeout: float | None = None) -> int:
        self._thread.join(timeout)
        return self._process.wait(timeout)
