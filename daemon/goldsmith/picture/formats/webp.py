"""Reading WebP: the RIFF parts are walked for sizes, frames and metadata, and libwebp is given one frame at a time."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from goldsmith.picture.formats.facts import Header, Samples, check_size, cut_short, damaged
from goldsmith.picture.formats.metadata import bare_exif, orientation, resolution

_HAS_ALPHA = 0x10


@dataclass(frozen=True, slots=True)
class _Frame:
    """One picture: its parts (``ALPH``, ``VP8 ``, ``VP8L``), its size and where it lies on the canvas."""

    parts: list[tuple[bytes, bytes]]
    width: int
    height: int
    left: int = 0
    top: int = 0


def read_header(data: bytes, name: str, max_pixels: int) -> Header:
    """Everything but the pixels, of the whole canvas."""
    size, frames = _frames(data, name)
    for frame in frames:
        check_size(name, frame.width, frame.height, len(frames), max_pixels)
        for kind, payload in frame.parts:
            if kind != b"ALPH":
                check_size(name, *_stream_size(kind, payload, name), len(frames), max_pixels)
    header = Header("webp", size[0], size[1], 8, 3, alpha=any(_has_alpha(frame) for frame in frames), frames=len(frames), walk=frames)
    for kind, payload in _parts(data, 12, len(data), name):
        if kind == b"ICCP":
            header.icc = payload
        elif kind == b"EXIF":
            header.exif = bare_exif(payload)
        elif kind == b"XMP ":
            header.xmp = payload
    header.orientation = orientation(header.exif)
    header.ppi = resolution(header.exif)
    return header


def read_samples(data: bytes, header: Header, name: str) -> Samples:
    """The first frame on its canvas."""
    frames: list[_Frame] = header.walk
    made = _decode(frames[0], name)
    header.alpha = made.shape[2] == 4
    if made.shape[:2] == (header.height, header.width):
        return made
    header.alpha = True
    canvas = np.zeros((header.height, header.width, 4), np.uint8)
    room = canvas[frames[0].top : frames[0].top + made.shape[0], frames[0].left : frames[0].left + made.shape[1]]
    if room.shape[:2] != made.shape[:2]:
        raise damaged(name, "its first frame lies outside the picture")
    room[:, :, : made.shape[2]] = made
    if made.shape[2] == 3:
        room[:, :, 3] = 255
    return canvas


def check_frames(data: bytes, header: Header, name: str) -> None:
    """Decode every further frame, one at a time."""
    frames: list[_Frame] = header.walk
    for frame in frames[1:]:
        _decode(frame, name)


def _decode(frame: _Frame, name: str) -> Samples:
    import imagecodecs

    body = b"".join(kind + struct.pack("<I", len(part)) + part + b"\0" * (len(part) % 2) for kind, part in frame.parts)
    if frame.parts[0][0] == b"ALPH":
        canvas = struct.pack("<I", frame.width - 1)[:3] + struct.pack("<I", frame.height - 1)[:3]
        body = b"VP8X\x0a\0\0\0" + bytes((_HAS_ALPHA, 0, 0, 0)) + canvas + body
    made: Samples = imagecodecs.webp_decode(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body)
    if made.shape[:2] != (frame.height, frame.width):
        raise damaged(name, "its picture data is of another size than its header says")
    return made.reshape(frame.height, frame.width, -1)


def _parts(data: bytes, at: int, end: int, name: str) -> Iterator[tuple[bytes, bytes]]:
    while at + 8 <= end:
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + size > end:
            raise cut_short(name, f"a part of it ends at byte {at + 8 + size}, and {end} bytes are there")
        yield data[at : at + 4], data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _frames(data: bytes, name: str) -> tuple[tuple[int, int], list[_Frame]]:
    """The canvas's size and the frames in order."""
    announced = int.from_bytes(data[4:8], "little") + 8
    if announced > len(data):
        raise cut_short(name, f"{len(data)} of its {announced} bytes are there")
    canvas, still, frames = None, list[tuple[bytes, bytes]](), list[_Frame]()
    for kind, payload in _parts(data, 12, announced, name):
        if kind == b"VP8X" and len(payload) >= 10:
            canvas = _triple(payload, 4) + 1, _triple(payload, 7) + 1
        elif kind in (b"ALPH", b"VP8 ", b"VP8L"):
            still.append((kind, payload))
        elif kind == b"ANMF" and len(payload) > 16:
            parts = [part for part in _parts(payload, 16, len(payload), name) if part[0] in (b"ALPH", b"VP8 ", b"VP8L")]
            if parts:
                at = 2 * _triple(payload, 0), 2 * _triple(payload, 3)
                frames.append(_Frame(parts, _triple(payload, 6) + 1, _triple(payload, 9) + 1, *at))
    if still and not frames:
        kind, payload = still[-1]
        frames = [_Frame(still, *_stream_size(kind, payload, name))]
    if not frames:
        raise damaged(name, "it has no picture in it")
    return canvas or (frames[0].width, frames[0].height), frames


def _triple(payload: bytes, at: int) -> int:
    return int.from_bytes(payload[at : at + 3], "little")


def _stream_size(kind: bytes, payload: bytes, name: str) -> tuple[int, int]:
    """Width and height that the picture data itself gives (RFC 6386, 9.1; WebP lossless, 3)."""
    if kind == b"VP8L" and len(payload) >= 5:
        bits = int.from_bytes(payload[1:5], "little")
        return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    if kind == b"VP8 " and len(payload) >= 10:
        across, down = struct.unpack("<HH", payload[6:10])
        return across & 0x3FFF, down & 0x3FFF
    raise damaged(name, "its picture data is too short")


def _has_alpha(frame: _Frame) -> bool:
    kind, payload = frame.parts[-1]
    return frame.parts[0][0] == b"ALPH" or (kind == b"VP8L" and len(payload) >= 5 and bool(payload[4] & 0x10))
