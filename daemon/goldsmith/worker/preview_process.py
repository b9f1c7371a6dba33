"""The processes that decode files for previews: ``python -m goldsmith.worker.preview_process FD PARENT SCRATCH PIXELS MEGABYTES``.

This server process loads the libraries, decodes nothing, and forks a process for each file. That gets the file as an open descriptor, so
behind its fence it can read no folder with pictures, and write nothing but the result's descriptor and a scratch folder of its own. Each
has a second fence inside that of the server, so that it can trace and signal neither the server nor the process of another file.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import sys
import tempfile
import traceback
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from goldsmith.errors import GoldsmithError, HostError
from goldsmith.jobs.preview import MAX_MESSAGE_BYTES, TILE_SIDE, PreviewFacts, PreviewReply, PreviewRequest
from goldsmith.jobs.protocol import WorkerFolders
from goldsmith.worker.fence import raise_fence
from goldsmith.worker.main import bind_to_parent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from goldsmith.ops.select.contact_sheet import Thumbnail
    from goldsmith.picture.formats.image_info import ImageInfo
    from goldsmith.picture.picture import Picture

# Decoded pictures that are kept, because the tiles of one are asked for one after the other.
_MAX_KEPT = 2
_MAX_RESULT_BYTES = 256 * 2**20
# The red of a mask, 0..255, and how opaque its white is.
_MASK_COLOUR, _MASK_OPACITY = (240, 51, 77), 150
_MAX_FAULT_CHARS = 4000
_MAX_NAME_BYTES = 64


@dataclass(frozen=True, slots=True)
class _Decoded:
    """Pixels at 100 %: uint8 (h, w, 3) in sRGB, or (h, w) of a mask."""

    pixels: NDArray[np.uint8]
    facts: PreviewFacts


def main(arguments: list[str]) -> None:
    """Fork a process for each connection that arrives, until the parent ends."""
    descriptor, parent, scratch, max_pixels, megabytes = arguments
    bind_to_parent(int(parent))
    try:
        raise_fence(scratch, WorkerFolders(work=scratch))
    except HostError as error:
        sys.exit(error.sentence)
    control = socket.socket(fileno=int(descriptor))
    tempfile.tempdir = scratch
    _limit_resources(int(megabytes))
    # The kernel forgets each child that has ended.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()
    while True:
        name, descriptors, _, _ = socket.recv_fds(control, _MAX_NAME_BYTES, 1)
        if not name:
            return
        own_scratch = os.path.join(scratch, os.path.basename(name.decode("ascii")))
        os.mkdir(own_scratch, 0o700)
        server = os.getpid()
        if os.fork() == 0:
            control.close()
            _serve_file(socket.socket(fileno=descriptors[0]), server, own_scratch, int(max_pixels))
        for received in descriptors:
            os.close(received)


def _serve_file(connection: socket.socket, server: int, scratch: str, max_pixels: int) -> NoReturn:
    """Make previews of one file until the connection ends, then end the process."""
    status = 1
    try:
        bind_to_parent(server)
        raise_fence(scratch, WorkerFolders(work=scratch))
        tempfile.tempdir = os.environ["TMPDIR"] = scratch
        # Before it sees the file: with this the parent can end it, whatever it does.
        socket.send_fds(connection, [b"ready"], [os.pidfd_open(os.getpid())])
        _answer_requests(connection, FilePreviews(max_pixels))
        status = 0
    except OSError:
        status = 0  # the parent has closed the connection
    except BaseException:  # noqa: BLE001 - nothing may return into the loop of the server
        traceback.print_exc()
    finally:
        os._exit(status)


def _answer_requests(connection: socket.socket, maker: FilePreviews) -> None:
    while True:
        data, descriptors, _, _ = socket.recv_fds(connection, MAX_MESSAGE_BYTES, 2)
        if not data:
            return
        try:
            reply = maker.answer(PreviewRequest.model_validate_json(data), *descriptors)
        finally:
            for received in descriptors:
                os.close(received)
        connection.send(reply.model_dump_json().encode())


def _limit_resources(megabytes: int) -> None:
    """Limit the memory that decoding may use, and the size of a result."""
    # What is loaded now does not count as decoding, and no process of a file has to load it.
    _make_own_previews()
    with open("/proc/self/statm", "rb") as file:
        used_bytes = int(file.read().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (used_bytes + megabytes * 2**20, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_RESULT_BYTES, _MAX_RESULT_BYTES))


def _make_own_previews() -> None:
    """Make previews of pictures of this program, so that libraries are loaded and tables computed before the first fork."""
    import numpy as np
    from PIL import Image

    maker, pixels = FilePreviews(10**6), np.full((32, 32, 3), 90, np.uint8)
    for format_name in ("PNG", "JPEG"):
        with tempfile.TemporaryFile() as picture, tempfile.TemporaryFile() as result:
            Image.fromarray(pixels).save(picture, format_name)
            picture.flush()
            for request in (
                PreviewRequest(kind="fit", name="own", side=16, measures_colour=True),
                PreviewRequest(kind="tile", name="own"),
                PreviewRequest(kind="mask", name="own", side=16),
            ):
                maker.answer(request, picture.fileno(), result.fileno())


class FilePreviews:
    """Makes previews, and keeps the last decoded pictures."""

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._kept: OrderedDict[tuple[object, ...], _Decoded] = OrderedDict()

    def answer(self, request: PreviewRequest, picture: int, result: int) -> PreviewReply:
        """Write the preview of the file that is open as ``picture`` to ``result``, and return what it says about it."""
        try:
            return PreviewReply(facts=self._make(request, picture, result))
        except GoldsmithError as error:
            return PreviewReply(sentence=error.sentence[:2000], remedy=error.remedy[:2000])
        except MemoryError:
            self._kept.clear()
            return PreviewReply(sentence=f"{request.name} needs more memory than a preview may use.", remedy="Open it in an editor.")
        except Exception:  # noqa: BLE001 - a decoder may raise anything; the next preview must still be made
            return PreviewReply(sentence=f"{request.name} cannot be shown.", fault=traceback.format_exc()[-_MAX_FAULT_CHARS:])

    def _make(self, request: PreviewRequest, picture: int, result: int) -> PreviewFacts:
        if request.kind == "fit":
            return self._fit(request, picture, result)
        decoded = self._decoded(request, picture)
        if request.kind == "mask":
            _write(result, _encode_mask(_reduced_mask(decoded.pixels, request.side)))
        elif request.kind != "facts":
            part = _tile(decoded.pixels, request.column, request.row)
            _write(result, _encode_mask(part) if request.kind == "mask_tile" else _encode_png(part))
        return decoded.facts

    def _fit(self, request: PreviewRequest, picture: int, result: int) -> PreviewFacts:
        import numpy as np

        from goldsmith.ops.select.contact_sheet import make_thumbnail
        from goldsmith.picture.codec import EncodingOptions, encode
        from goldsmith.picture.picture import Picture, freeze

        decoded, info = self._read(request, picture)
        small = make_thumbnail(decoded, request.side)
        reduced = Picture(freeze(small.astype(np.float32) / np.float32(255)))
        _write(result, encode(reduced, EncodingOptions(format="jpeg", quality=request.quality)))
        facts = _facts(decoded, info)
        return facts.model_copy(update={"mean_lab": mean_lab(small)}) if request.measures_colour else facts

    def _decoded(self, request: PreviewRequest, picture: int) -> _Decoded:
        """Return the picture at 100 %, decoded now or before."""
        import numpy as np

        from goldsmith.ops.select.contact_sheet import make_thumbnail
        from goldsmith.picture.codec import decode_mask_file, mask_from_picture

        is_mask = request.kind.startswith("mask")
        status = os.fstat(picture)
        key = (is_mask, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept
        while len(self._kept) >= _MAX_KEPT:
            self._kept.popitem(last=False)
        if is_mask:
            mask = mask_from_picture(decode_mask_file(_read_all(picture), request.name, self._max_pixels))
            codes = np.asarray(np.round(np.clip(mask, 0, 1) * 255), dtype=np.uint8)
            self._kept[key] = _Decoded(codes, PreviewFacts(width=codes.shape[1], height=codes.shape[0]))
        else:
            decoded, info = self._read(request, picture)
            self._kept[key] = _Decoded(make_thumbnail(decoded, max(decoded.width, decoded.height)), _facts(decoded, info))
        return self._kept[key]

    def _read(self, request: PreviewRequest, picture: int) -> tuple[Picture, ImageInfo]:
        from goldsmith.picture.codec import ReadingOptions, decode_with_info

        return decode_with_info(_read_all(picture), request.name, self._max_pixels, None, ReadingOptions(hdr="tonemap"))


def _facts(picture: Picture, info: ImageInfo) -> PreviewFacts:
    from goldsmith.picture.colour import known_space

    return PreviewFacts(
        format=info.format,
        width=picture.width,
        height=picture.height,
        depth=info.depth,
        has_alpha=info.alpha,
        profile=(info.icc or "")[:200],
        is_converted=known_space(picture.icc) != "srgb",
        remarks=tuple(note[:1000] for note in info.notes[:20]),
    )


def mean_lab(thumbnail: Thumbnail) -> tuple[float, float, float]:
    """Return the mean colour of codes (h, w, 3), 0..255, in sRGB, as CIE Lab at D50: L 0..100, a, b."""
    import numpy as np

    from goldsmith.picture.cielab import pixels_to_lab
    from goldsmith.picture.linear_light import LinearLight

    lab = pixels_to_lab(np.ascontiguousarray(thumbnail, np.float32) / np.float32(255), LinearLight(None)).reshape(-1, 3).mean(axis=0)
    return round(float(lab[0]), 3), round(float(lab[1]), 3), round(float(lab[2]), 3)


def _read_all(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with open(descriptor, "rb", closefd=False) as file:
        return file.read()


def _write(descriptor: int, data: bytes) -> None:
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)


def _tile(pixels: NDArray[np.uint8], column: int, row: int) -> NDArray[np.uint8]:
    """Return a part at 100 %. Raises HostError if the picture has no such part."""
    left, top = column * TILE_SIDE, row * TILE_SIDE
    part = pixels[top : top + TILE_SIDE, left : left + TILE_SIDE]
    if column < 0 or row < 0 or part.size == 0:
        raise HostError(f"The picture has no part in column {column}, row {row}.")
    return part


def _reduced_mask(codes: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    import numpy as np

    from goldsmith.picture.resample import resize

    height, width = codes.shape
    scale = min(1.0, side / max(width, height))
    small = resize(codes.astype(np.float32) / np.float32(255), max(1, round(height * scale)), max(1, round(width * scale)))
    return np.asarray(np.round(np.clip(small, 0, 1) * 255), dtype=np.uint8)


def _encode_mask(codes: NDArray[np.uint8]) -> bytes:
    """Return a mask (h, w) as a PNG of one colour whose alpha is the mask."""
    import numpy as np

    pixels = np.empty((*codes.shape, 4), np.uint8)
    pixels[:, :, :3] = _MASK_COLOUR
    pixels[:, :, 3] = codes.astype(np.uint16) * _MASK_OPACITY // 255
    return _encode_png(pixels)


def _encode_png(pixels: NDArray[np.uint8]) -> bytes:
    from io import BytesIO

    from PIL import Image

    out = BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()


if __name__ == "__main__":
    main(sys.argv[1:])
