"""Shows that the daemon's main loop turns: it answers on a Unix socket beside the journal, and nothing else can answer there.

A process that asks wakes the loop. While nobody asks, this costs nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from goldsmith.errors import HostError
from goldsmith.journal.journal import Journal

_SOCKET_NAME = "daemon.sock"
# The journal is written to for a test at most this often, in seconds: the test waits for the disk.
_WRITE_INTERVAL_SECONDS = 60.0
_MAX_ANSWERS = 8
_MAX_ANSWER_BYTES = 4096


class LoopProbe:
    """The daemon's side. ``answer`` is called in each turn of the loop, and ``fd`` wakes it."""

    def __init__(self, journal: Journal, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises OSError if the socket cannot be made."""
        self._journal = journal
        self._clock = clock
        self._folder = journal.path.parent
        # Why the journal could not be written at the last test, or "".
        self._journal_fault = ""
        self._next_write_at = float("-inf")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            with contextlib.suppress(FileNotFoundError):
                (self._folder / _SOCKET_NAME).unlink()
            with _short_path(self._folder) as path:
                self._socket.bind(path)
            (self._folder / _SOCKET_NAME).chmod(0o600)
            self._inode = (self._folder / _SOCKET_NAME).stat().st_ino
            self._socket.listen(_MAX_ANSWERS)
        except BaseException:
            self._socket.close()
            raise

    @property
    def fd(self) -> int:
        """The descriptor that becomes readable when somebody asks."""
        return self._socket.fileno()

    def answer(self) -> None:
        """Answer those who have asked since the last call. Nobody who asks can hold the loop up."""
        for _ in range(_MAX_ANSWERS):
            try:
                asker, _ = self._socket.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), asker:
                asker.setblocking(False)
                asker.send(json.dumps({"pid": os.getpid(), "journal_fault": self._test_journal()}).encode("ascii"))

    def _test_journal(self) -> str:
        """Return why the journal cannot be written, or "". It is tested again after a minute, and after a failure at once."""
        if self._clock() >= self._next_write_at:
            try:
                self._journal.check_writable()
                self._journal_fault, self._next_write_at = "", self._clock() + _WRITE_INTERVAL_SECONDS
            except HostError as fault:
                self._journal_fault = str(fault)
        return self._journal_fault

    def close(self) -> None:
        """Close the socket: from now on nobody answers."""
        self._socket.close()
        with contextlib.suppress(OSError):
            if (self._folder / _SOCKET_NAME).stat().st_ino == self._inode:  # else it is that of the next daemon
                (self._folder / _SOCKET_NAME).unlink()


def ask_loop(folder: Path, timeout: float) -> str | None:
    """Ask the daemon whose journal is in ``folder``. Return why it cannot write its journal, "" if it can; None if it does not answer."""
    data = b""
    end = time.monotonic() + timeout
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as asker, _short_path(folder) as path:
            asker.settimeout(timeout)
            asker.connect(path)
            while len(data) < _MAX_ANSWER_BYTES and (part := asker.recv(_MAX_ANSWER_BYTES)):
                data += part
                asker.settimeout(max(0.01, end - time.monotonic()))
        return str(json.loads(data)["journal_fault"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


@contextlib.contextmanager
def _short_path(folder: Path) -> Iterator[str]:
    """Yield a path of the socket that is short enough for unix(7), however long that of its folder is."""
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{_SOCKET_NAME}"
    finally:
        os.close(fd)
