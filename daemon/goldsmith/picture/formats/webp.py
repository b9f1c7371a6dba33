"""Read WebP: the RIFF parts are checked for sizes, frames and metadata, and libwebp gets one frame at a time."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np

from goldsmith.picture.formats.image_info import (
    PROVENANCE_NOTE,
    ImageHeader,
    Samples,
    check_size,
    damaged_error,
    describe_arrival,
    truncated_error,
)
from goldsmith.picture.formats.metadata import read_orientation, read_resolution, strip_exif_prefix

_ALPHA_FLAG = 0x10
# A frame of an animation has a handful of parts.
_MAX_CHUNKS = 20_000


@dataclass(frozen=True, slots=True)
class _Frame:
    """One picture: its parts (``ALPH``, ``VP8 ``, ``VP8L``), its size and its position on the canvas."""

    chunks: list[tuple[bytes, bytes]]
    width: int
    height: int
    left: int = 0
    top: int = 0


def read_header(data: bytes, name: str, max_pixels: int) -> ImageHeader:
    """Return everything but the pixels, for the whole canvas."""
    size, frames = _read_frames(data, name)
    for frame in frames:
        check_size(name, frame.width, frame.height, len(frames), max_pixels)
        for kind, payload in frame.chunks:
            if kind != b"ALPH":
                check_size(name, *_stream_size(kind, payload, name), len(frames), max_pixels)
    header = ImageHeader(
        "webp", size[0], size[1], 8, 3, has_alpha=any(_has_alpha(frame) for frame in frames), frame_count=len(frames), reader_state=frames
    )
    header.total_pixels = sum(frame.width * frame.height for frame in frames)
    for kind, payload in _iter_chunks(data, 12, _riff_end(data), name):  # other bytes may follow the RIFF
        if kind == b"ICCP":
            header.icc = payload
        elif kind == b"EXIF":
            header.exif = strip_exif_prefix(payload)
        elif kind == b"XMP ":
            header.xmp = payload
        elif kind == b"C2PA":
            header.notes.append(PROVENANCE_NOTE)
    header.orientation = read_orientation(header.exif)
    header.ppi = read_resolution(header.exif)
    return header


def read_samples(data: bytes, header: ImageHeader, name: str) -> Samples:
    """Return the first frame on its canvas as codes (h, w, n)."""
    frames: list[_Frame] = header.reader_state
    result = _decode(frames[0], name)
    header.has_alpha = result.shape[2] == 4
    if result.shape[:2] == (header.height, header.width):
        return result
    header.has_alpha = True
    canvas = np.zeros((header.height, header.width, 4), np.uint8)
    target = canvas[frames[0].top : frames[0].top + result.shape[0], frames[0].left : frames[0].left + result.shape[1]]
    if target.shape[:2] != result.shape[:2]:
        raise damaged_error(name, "its first frame lies outside the picture")
    target[:, :, : result.shape[2]] = result
    if result.shape[2] == 3:
        target[:, :, 3] = 255
    return canvas


def check_frames(data: bytes, header: ImageHeader, name: str) -> None:
    """Decode every further frame, one at a time."""
    frames: list[_Frame] = header.reader_state
    for frame in frames[1:]:
        _decode(frame, name)


def _decode(frame: _Frame, name: str) -> Samples:
    import imagecodecs

    body = b"".join(kind + struct.pack("<I", len(part)) + part + b"\0" * (len(part) % 2) for kind, part in frame.chunks)
    if frame.chunks[0][0] == b"ALPH":
        canvas = struct.pack("<I", frame.width - 1)[:3] + struct.pack("<I", frame.height - 1)[:3]
        body = b"VP8X\x0a\0\0\0" + bytes((_ALPHA_FLAG, 0, 0, 0)) + canvas + body
    result: Samples = imagecodecs.webp_decode(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body)
    if result.shape[:2] != (frame.height, frame.width):
        raise damaged_error(name, "its picture is of another size than its header says")
    return result.reshape(frame.height, frame.width, -1)


def _riff_end(data: bytes) -> int:
    """Return where the file ends according to its RIFF header."""
    return int.from_bytes(data[4:8], "little") + 8


def _iter_chunks(data: bytes, offset: int, end: int, name: str) -> Iterator[tuple[bytes, bytes]]:
    for number in count(1):
        if offset + 8 > end:
            return
        if number > _MAX_CHUNKS:
            raise damaged_error(name, f"it has more than {_MAX_CHUNKS:,} parts")
        size = int.from_bytes(data[offset + 4 : offset + 8], "little")
        if offset + 8 + size > end:
            if end < len(data):
                raise damaged_error(name, "a part of it is longer than the whole")
            raise truncated_error(name, describe_arrival(end, offset + 8 + size))
        yield data[offset : offset + 4], data[offset + 8 : offset + 8 + size]
        offset += 8 + size + size % 2


def _read_frames(data: bytes, name: str) -> tuple[tuple[int, int], list[_Frame]]:
    """Return the canvas's size and the frames in order."""
    announced = _riff_end(data)
    if announced > len(data):
        raise truncated_error(name, describe_arrival(len(data), announced))
    canvas, still, frames = None, list[tuple[bytes, bytes]](), list[_Frame]()
    for kind, payload in _iter_chunks(data, 12, announced, name):
        if kind == b"VP8X" and len(payload) >= 10:
            canvas = _read_uint24(payload, 4) + 1, _read_uint24(payload, 7) + 1
        elif kind in (b"ALPH", b"VP8 ", b"VP8L"):
            still.append((kind, payload))
        elif kind == b"ANMF" and len(payload) > 16:
            parts = [part for part in _iter_chunks(payload, 16, len(payload), name) if part[0] in (b"ALPH", b"VP8 ", b"VP8L")]
            if parts:
                position = 2 * _read_uint24(payload, 0), 2 * _read_uint24(payload, 3)
                frames.append(_Frame(parts, _read_uint24(payload, 6) + 1, _read_uint24(payload, 9) + 1, *position))
    if still and not frames:
        kind, payload = still[-1]
        frames = [_Frame(still, *_stream_size(kind, payload, name))]
    if not frames:
        raise damaged_error(name, "it has no picture in it")
    return canvas or (frames[0].width, frames[0].height), frames


def _read_uint24(payload: bytes, offset: int) -> int:
    return int.from_bytes(payload[offset : offset + 3], "little")


def _stream_size(kind: bytes, payload: bytes, name: str) -> tuple[int, int]:
    """Return the width and height in the picture data itself (RFC 6386, 9.1; WebP lossless, 3)."""
    if kind == b"VP8L" and len(payload) >= 5:
        bits = int.from_bytes(payload[1:5], "little")
        return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    if kind == b"VP8 " and len(payload) >= 10:
        across, down = struct.unpack("<HH", payload[6:10])
        return across & 0x3FFF, down & 0x3FFF
    raise damaged_error(name, "its picture is too short")


def _has_alpha(frame: _Frame) -> bool:
    kind, payload = frame.chunks[-1]
    return frame.chunks[0][0] == b"ALPH" or (kind == b"VP8L" and len(payload) >= 5 and bool(payload[4] & 0x10))
