"""The process that decodes pictures for the page: ``python -m goldsmith.web.previews.preview_process FD PARENT SCRATCH PIXELS MEGABYTES``.

It gets each file as an open descriptor, so behind its fence it can read no folder with pictures, and write nothing but the result's
descriptor and its empty scratch folder. It ends with the page.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
import traceback
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldsmith.errors import GoldsmithError, HostError
from goldsmith.jobs.protocol import WorkerFolders
from goldsmith.web.previews.preview_request import MAX_MESSAGE_BYTES, TILE_SIDE, PreviewFacts, PreviewReply, PreviewRequest
from goldsmith.worker.fence import raise_fence
from goldsmith.worker.main import bind_to_parent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from goldsmith.picture.formats.image_info import ImageInfo
    from goldsmith.picture.picture import Picture

# Decoded pictures that are kept, because the tiles of one are asked for one after the other.
_MAX_KEPT = 2
_JPEG_QUALITY = 90
_MAX_RESULT_BYTES = 256 * 2**20
# The red of a mask, 0..255, and how opaque its white is.
_MASK_COLOUR, _MASK_OPACITY = (240, 51, 77), 150
_MAX_FAULT_CHARS = 4000


@dataclass(frozen=True, slots=True)
class _Decoded:
    """Pixels at 100 %: uint8 (h, w, 3) in sRGB, or (h, w) of a mask."""

    pixels: NDArray[np.uint8]
    facts: PreviewFacts


def main(arguments: list[str]) -> None:
    """Make previews until the page ends."""
    descriptor, parent, scratch, max_pixels, megabytes = arguments
    bind_to_parent(int(parent))
    try:
        raise_fence(scratch, WorkerFolders(work=scratch))
    except HostError as error:
        sys.exit(error.sentence)
    connection = socket.socket(fileno=int(descriptor))
    maker = PreviewMaker(int(max_pixels))
    _limit_resources(int(megabytes))
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
    import goldsmith.ops.select.contact_sheet
    import goldsmith.picture.codec  # noqa: F401 - what is loaded now does not count as decoding

    with open("/proc/self/statm", "rb") as file:
        used_bytes = int(file.read().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (used_bytes + megabytes * 2**20, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_RESULT_BYTES, _MAX_RESULT_BYTES))


class PreviewMaker:
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
        _write(result, encode(reduced, EncodingOptions(format="jpeg", quality=_JPEG_QUALITY)))
        return _facts(decoded, info)

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
