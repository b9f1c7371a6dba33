"""The page's side of the preview processes: one request at a time each, with a time limit, and ended when nobody looks."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import structlog
from pydantic import ValidationError

from goldsmith.errors import GoldsmithError, HostError, InputError, UsageError
from goldsmith.files import display_name, display_text
from goldsmith.jobs.worker_start import worker_environment
from goldsmith.root_folder import RootFolder
from goldsmith.web.previews.preview_cache import PreviewCache
from goldsmith.web.previews.preview_request import MAX_MESSAGE_BYTES, PreviewFacts, PreviewReply, PreviewRequest

# Seconds for one preview, and without a request after which a process ends.
_REQUEST_SECONDS, _IDLE_SECONDS = 90.0, 60.0
# Bytes of a picture file that a preview reads.
_MAX_FILE_BYTES = 2 * 2**30
_log = structlog.get_logger("goldsmith.web")


class Preview(NamedTuple):
    """A preview: its file, and what it says about the picture."""

    facts: PreviewFacts
    data: bytes


class PreviewPool:
    """Makes previews of the pictures below a root, or takes them from the cache."""

    def __init__(self, root: RootFolder, cache: PreviewCache, max_pixels: int, megabytes: int, process_count: int = 2) -> None:
        self._root = root
        self._cache = cache
        self._processes = [_Previewer(max_pixels, megabytes) for _ in range(process_count)]

    async def preview(self, path: str, version: str, request: PreviewRequest) -> Preview:
        """Return a preview of the file at ``path``; ``version`` tells the states of the file apart.

        Raises InputError if it cannot be decoded, HostError if no process can be started or the disk fails.
        """
        key = f"{os.fsencode(path).hex()} {version} {request.cache_name}"
        known = await asyncio.to_thread(self._cache.find, key)
        if known is not None:
            return Preview(*known)
        # The tiles of one picture go to one process, which keeps the decoded picture.
        process = self._processes[zlib.crc32(os.fsencode(path)) % len(self._processes)]
        try:
            descriptor = self._root.open_file(path, _MAX_FILE_BYTES)
            try:
                with self._cache.result_file() as result:
                    facts = await process.run(request.model_copy(update={"name": display_name(os.path.basename(path))}), descriptor, result)
                    data = await asyncio.to_thread(_read_from_start, result)
            finally:
                os.close(descriptor)
            await asyncio.to_thread(self._cache.put, key, facts, data)
        except OSError as error:
            raise HostError(f"The preview of {display_name(path)} cannot be made: {error.strerror}.", "Check the disk.") from error
        return Preview(facts, data)

    def close(self) -> None:
        """End all processes."""
        for process in self._processes:
            process.close()


class _Previewer:
    """One process, started when it is needed."""

    def __init__(self, max_pixels: int, megabytes: int, start: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen) -> None:
        self._limits = (str(max_pixels), str(megabytes))
        self._start = start
        self._lock = asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._idle_timer: asyncio.TimerHandle | None = None

    async def run(self, request: PreviewRequest, picture: int, result: int) -> PreviewFacts:
        """Let the process write a preview to ``result``. Raises InputError or HostError."""
        async with self._lock:
            if self._idle_timer is not None:
                self._idle_timer.cancel()
            try:
                reply = await self._exchange(request, picture, result)
            except BaseException:
                self.close()
                raise
            self._idle_timer = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self.close)
        if reply.fault:
            _log.error("preview_fault", name=request.name, fault=display_text(reply.fault))
        if reply.facts is None:
            raise InputError(display_text(reply.sentence) or f"{request.name} cannot be shown.", display_text(reply.remedy))
        return reply.facts

    async def _exchange(self, request: PreviewRequest, picture: int, result: int) -> PreviewReply:
        connection = self._connected()
        loop = asyncio.get_running_loop()
        try:
            socket.send_fds(connection, [request.model_dump_json().encode("ascii", "replace")], [picture, result])
            data = await asyncio.wait_for(loop.sock_recv(connection, MAX_MESSAGE_BYTES), _REQUEST_SECONDS)
            if not data:
                raise InputError(f"{request.name} cannot be shown: the process that decodes it has ended.", "Open it in an editor.")
            return PreviewReply.model_validate_json(data)
        except TimeoutError:
            raise InputError(f"{request.name} takes more than {_REQUEST_SECONDS:g} s to decode.", "Open it in an editor.") from None
        except ValidationError as error:
            raise _unreadable_reply(request) from error

    def _connected(self) -> socket.socket:
        """Return the connection to the process, which is started if it does not run."""
        if self._process is not None and self._process.poll() is None and self._connection is not None:
            return self._connection
        self.close()
        own_end, other_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._scratch = tempfile.TemporaryDirectory(prefix="goldsmith-preview-")
        command = [sys.executable, "-P", "-m", "goldsmith.web.previews.preview_process", str(other_end.fileno()), str(os.getpid())]
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
        own_end.setblocking(False)
        self._connection = own_end
        return own_end

    def close(self) -> None:
        """End the process."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None


def _unreadable_reply(request: PreviewRequest) -> GoldsmithError:
    return InputError(f"{request.name} cannot be shown: the process that decodes it has answered wrongly.", "Open it in an editor.")


def _read_from_start(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with open(descriptor, "rb", closefd=False) as file:
        return file.read()


def open_preview_pool(root: Path, folder: Path, max_pixels: int, worker_memory_mb: int, cache_mb: int) -> PreviewPool:
    """Return the pool for a root, with its cache in ``folder``. Raises UsageError if that is in the root, HostError if it is refused."""
    if Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(root)):
        raise UsageError(f"Previews cannot be kept in {folder}: that is inside {root}.", "Set XDG_CACHE_HOME to a folder outside it.")
    try:
        cache = PreviewCache(folder, cache_mb * 2**20)
    except OSError as error:
        raise HostError(f"Previews cannot be kept in {folder}: {error.strerror}.", "Set XDG_CACHE_HOME to another folder.") from error
    return PreviewPool(RootFolder(root), cache, max_pixels, worker_memory_mb)
