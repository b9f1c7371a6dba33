"""Makes previews of files in the folders while the caller waits: for messages and reports."""

from __future__ import annotations

import hashlib
import os
import select
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from goldsmith.errors import GoldsmithError, InputError
from goldsmith.files import FileSignature, display_name, display_text
from goldsmith.jobs.preview import PreviewReply, PreviewRequest
from goldsmith.picture.formats.table import is_picture_suffix
from goldsmith.pipeline.previews.preview_server import REQUEST_SECONDS, PreviewServer, too_slow
from goldsmith.root_folder import RootFolder

# The largest file of which a preview is made.
_MAX_FILE_BYTES = 2 << 30
# The largest preview.
_MAX_PREVIEW_BYTES = 16 << 20
_JPEG_QUALITY = 82


class PreviewResult(NamedTuple):
    """The preview of one file, or why there is none."""

    # The bytes of a JPEG; b"" = none.
    jpeg: bytes = b""
    # The mean colour of the picture as CIE Lab at D50; None if it was not decoded.
    mean_lab: tuple[float, float, float] | None = None
    # The size in px and the depth: "800 x 600 px, 8 bit"; "" if it was not decoded.
    facts: str = ""
    # The SHA-256 of the file as it was read; "" if it was not.
    sha256: str = ""
    # Why there is no preview, as a sentence; "" if there is one.
    reason: str = ""


class PreviewMaker:
    """Makes previews of the files below a root. ``server``: opens their processes, of which ``process_count`` work at once."""

    def __init__(self, root: Path, server: PreviewServer, process_count: int = 1) -> None:
        self._root = RootFolder(root)
        self._server = server
        self._process_count = process_count

    def make(self, paths: Sequence[str], side: int) -> dict[str, PreviewResult]:
        """Return a preview of each file, relative to the root, that fits into a square of ``side`` px.

        A file that cannot be shown has a reason instead; so has every file if no process can be started.
        """
        unique = list(dict.fromkeys(paths))
        try:
            # In this thread: the server process ends with the thread that has started it.
            self._server.start()
        except GoldsmithError as problem:
            return {path: PreviewResult(reason=problem.sentence) for path in unique}
        with ThreadPoolExecutor(self._process_count) as threads:
            return dict(zip(unique, threads.map(lambda path: self._make(path, side), unique), strict=True))

    def _make(self, path: str, side: int) -> PreviewResult:
        name = display_name(os.path.basename(path))
        try:
            if not is_picture_suffix(os.path.splitext(path)[1].lower()):
                raise InputError(f"{name} is not a picture that can be shown.")
            descriptor = self._root.open_file(path, _MAX_FILE_BYTES)
            try:
                return self._decode(
                    descriptor, PreviewRequest(kind="fit", name=name, side=side, quality=_JPEG_QUALITY, measures_colour=True)
                )
            finally:
                os.close(descriptor)
        except GoldsmithError as problem:
            return PreviewResult(reason=problem.sentence)
        except OSError as error:
            return PreviewResult(reason=f"{name} cannot be read: {error.strerror}.")

    def _decode(self, picture: int, request: PreviewRequest) -> PreviewResult:
        before = FileSignature.from_stat(os.fstat(picture))
        with open(picture, "rb", closefd=False) as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        with tempfile.TemporaryFile() as result:
            reply = self._exchange(picture, result.fileno(), request)
            result.seek(0)
            jpeg = result.read(_MAX_PREVIEW_BYTES)
        if FileSignature.from_stat(os.fstat(picture)) != before:
            raise InputError(f"{request.name} was changed while its preview was made.")
        if reply.facts is None or not jpeg:
            raise InputError(display_text(reply.sentence) or f"{request.name} cannot be shown.")
        facts = reply.facts
        return PreviewResult(jpeg, facts.mean_lab, f"{facts.width} x {facts.height} px, {facts.depth} bit", sha256)

    def _exchange(self, picture: int, result: int, request: PreviewRequest) -> PreviewReply:
        """Return the answer of a process of its own. Raises InputError, HostError or OSError."""
        process = self._server.open_process()
        try:
            process.send(request, picture, result)
            deadline = monotonic() + REQUEST_SECONDS
            while (left := deadline - monotonic()) > 0:
                if select.select([process.connection], [], [], left)[0] and (reply := process.receive(request)) is not None:
                    return reply
            raise too_slow(request)
        finally:
            process.close()
