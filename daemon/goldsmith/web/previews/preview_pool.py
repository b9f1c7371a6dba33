"""The previews that the page shows: from the cache, or made by a process of each file, which ends when nobody looks."""

from __future__ import annotations

import asyncio
import os
import socket
import zlib
from pathlib import Path
from typing import NamedTuple

import structlog

from goldsmith.errors import HostError, InputError, UsageError
from goldsmith.files import display_name, display_text
from goldsmith.jobs.preview import PreviewFacts, PreviewReply, PreviewRequest
from goldsmith.pipeline.previews.preview_server import REQUEST_SECONDS, FileDecoder, PreviewServer, too_slow
from goldsmith.root_folder import RootFolder
from goldsmith.web.previews.preview_cache import PreviewCache

# Seconds without a request after which a process ends.
_IDLE_SECONDS = 60.0
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
        self._server = PreviewServer(max_pixels, megabytes)
        self._slots = [_Slot(self._server) for _ in range(process_count)]
        self._idle_timer: asyncio.TimerHandle | None = None

    async def preview(self, path: str, version: str, request: PreviewRequest) -> Preview:
        """Return a preview of the file at ``path``; ``version`` tells the states of the file apart.

        Raises InputError if it cannot be decoded, HostError if no process can be started or the disk fails.
        """
        key = f"{os.fsencode(path).hex()} {version} {request.cache_name}"
        known = await asyncio.to_thread(self._cache.find, key)
        if known is not None:
            return Preview(*known)
        # The tiles of one picture go to one process, which keeps the decoded picture.
        file = f"{os.fsencode(path).hex()} {version}"
        slot = self._slots[zlib.crc32(os.fsencode(path)) % len(self._slots)]
        try:
            descriptor = self._root.open_file(path, _MAX_FILE_BYTES)
            try:
                with self._cache.result_file() as result:
                    request_with_name = request.model_copy(update={"name": display_name(os.path.basename(path))})
                    facts = await slot.run(file, request_with_name, descriptor, result)
                    data = await asyncio.to_thread(_read_from_start, result)
            finally:
                os.close(descriptor)
            await asyncio.to_thread(self._cache.put, key, facts, data)
            self._close_when_idle()
        except OSError as error:
            raise HostError(f"The preview of {display_name(path)} cannot be made: {error.strerror}.", "Check the disk.") from error
        return Preview(facts, data)

    def _close_when_idle(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self._idle_timer = asyncio.get_running_loop().call_later(_IDLE_SECONDS + REQUEST_SECONDS, self.close)

    def close(self) -> None:
        """End all processes."""
        for slot in self._slots:
            slot.close()
        self._server.close()


class _Slot:
    """Makes one preview at a time. A file keeps its process until another file comes, or nobody looks."""

    def __init__(self, server: PreviewServer) -> None:
        self._server = server
        self._lock = asyncio.Lock()
        self._process: FileDecoder | None = None
        # The file whose process runs.
        self._file = ""
        self._idle_timer: asyncio.TimerHandle | None = None

    async def run(self, file: str, request: PreviewRequest, picture: int, result: int) -> PreviewFacts:
        """Let the process of a file write a preview to ``result``. Raises InputError or HostError."""
        async with self._lock:
            if self._idle_timer is not None:
                self._idle_timer.cancel()
            if self._process is None or self._file != file or self._process.has_ended:
                self.close()
                self._process, self._file = self._server.open_process(), file
            try:
                reply = await _exchange(self._process, request, picture, result)
            except BaseException:
                self.close()
                raise
            self._idle_timer = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self.close)
        if reply.fault:
            _log.error("preview_fault", name=request.name, fault=display_text(reply.fault))
        if reply.facts is None:
            raise InputError(display_text(reply.sentence) or f"{request.name} cannot be shown.", display_text(reply.remedy))
        return reply.facts

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.close()
            self._process = None


async def _exchange(process: FileDecoder, request: PreviewRequest, picture: int, result: int) -> PreviewReply:
    try:
        process.send(request, picture, result)
        async with asyncio.timeout(REQUEST_SECONDS):
            while True:
                await _until_readable(process.connection)
                reply = process.receive(request)
                if reply is not None:
                    return reply
    except TimeoutError:
        raise too_slow(request) from None


async def _until_readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    is_readable = asyncio.Event()
    loop.add_reader(connection, is_readable.set)
    try:
        await is_readable.wait()
    finally:
        loop.remove_reader(connection)


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
