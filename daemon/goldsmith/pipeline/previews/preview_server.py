"""The parent's side of the processes that decode files for previews: one process for each file.

A file that takes its process over can so falsify the previews of no other file. A server process has loaded the libraries, decodes nothing,
and forks a process for each file, which takes milliseconds where a start takes a second.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from goldsmith.errors import GoldsmithError, HostError, InputError
from goldsmith.jobs.preview import MAX_MESSAGE_BYTES, PreviewReply, PreviewRequest
from goldsmith.jobs.worker_start import worker_environment

# Seconds for one preview.
REQUEST_SECONDS = 90.0


class PreviewServer:
    """Opens a process for each file whose preview is made. The server process starts with the first, and dies with the starting thread."""

    def __init__(self, max_pixels: int, megabytes: int, start: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen) -> None:
        self._limits = (str(max_pixels), str(megabytes))
        self._start = start
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def start(self) -> None:
        """Start the server process if it does not run. Raises HostError."""
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        self._scratch = tempfile.TemporaryDirectory(prefix="goldsmith-preview-")
        own_end, other_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-P", "-m", "goldsmith.worker.preview_process", str(other_end.fileno()), str(os.getpid())]
        old_signal_mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process = self._start(
                [*command, self._scratch.name, *self._limits],
                stdin=subprocess.DEVNULL,
                pass_fds=(other_end.fileno(),),
                cwd="/",
                env=worker_environment(os.environ, 1),
            )
        except OSError as error:
            own_end.close()
            raise HostError(f"The process that makes previews cannot be started: {error.strerror}.", "Check the memory.") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old_signal_mask)
            other_end.close()
        self._control = own_end

    def open_process(self) -> FileDecoder:
        """Return a new process, for one file. Raises HostError."""
        self.start()
        if self._control is None or self._scratch is None:
            raise HostError("The process that makes previews has ended.", "Try again.")
        name = secrets.token_hex(8)
        own_end, other_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            socket.send_fds(self._control, [name.encode()], [other_end.fileno()])
        except OSError as error:
            own_end.close()
            raise HostError(f"The process that makes previews has ended: {error.strerror}.", "Try again.") from error
        finally:
            other_end.close()
        own_end.setblocking(False)
        return FileDecoder(own_end, Path(self._scratch.name, name))

    def close(self) -> None:
        """End the server process; the processes of files end with it."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None


class FileDecoder:
    """One process that decodes one file. ``scratch``: its own folder, which goes with it."""

    def __init__(self, connection: socket.socket, scratch: Path) -> None:
        self.connection = connection
        self._scratch = scratch
        self._pidfd = -1

    @property
    def has_ended(self) -> bool:
        """Whether it is known to have ended."""
        return self._pidfd >= 0 and bool(select.select([self._pidfd], [], [], 0)[0])

    def send(self, request: PreviewRequest, picture: int, result: int) -> None:
        """Ask for a preview of the file that is open as ``picture``, to be written to ``result``. Raises OSError."""
        socket.send_fds(self.connection, [request.model_dump_json().encode("ascii", "replace")], [picture, result])

    def receive(self, request: PreviewRequest) -> PreviewReply | None:
        """Return the answer, once the connection can be read; None if it is not yet there.

        Raises InputError if the process has ended, or has answered wrongly.
        """
        try:
            data, descriptors, _, _ = socket.recv_fds(self.connection, MAX_MESSAGE_BYTES, 1)
        except BlockingIOError:
            return None
        except OSError:
            data, descriptors = b"", []
        if self._pidfd < 0 and descriptors:  # its first message, before it has seen the file
            self._pidfd = descriptors[0]
            return None
        for descriptor in descriptors:
            os.close(descriptor)
        if not data:
            raise InputError(f"{request.name} cannot be shown: the process that decodes it has ended.", "Open it in an editor.")
        try:
            return PreviewReply.model_validate_json(data)
        except ValidationError as error:
            raise InputError(
                f"{request.name} cannot be shown: the process that decodes it has answered wrongly.", "Open it in an editor."
            ) from error

    def close(self) -> None:
        """End the process, whatever it does."""
        self.connection.close()
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            os.close(self._pidfd)
            self._pidfd = -1
        shutil.rmtree(self._scratch, ignore_errors=True)


def too_slow(request: PreviewRequest) -> GoldsmithError:
    """Return the error about a file that takes too long to decode."""
    return InputError(f"{request.name} takes more than {REQUEST_SECONDS:g} s to decode.", "Open it in an editor.")
