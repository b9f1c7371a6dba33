"""Small pictures made without a codec, so that a test process stays light: a few hundred bytes each, distinguished by a number."""

from __future__ import annotations

import random
import struct
import zlib


def png(number: int = 0, width: int = 24, height: int = 16) -> bytes:
    """Return an RGB picture of noise; another number gives another picture."""
    noise = random.Random(number)
    rows = b"".join(b"\0" + noise.randbytes(3 * width) for _ in range(height))
    return _png(width, height, 2, rows)


def mask(width: int = 24, height: int = 16) -> bytes:
    """Return a grey mask: a white box in the middle of black."""
    inside = [height // 4 <= y < height // 2 for y in range(height)]
    row = bytes(255 if width // 4 <= x < width // 2 else 0 for x in range(width))
    return _png(width, height, 0, b"".join(b"\0" + (row if white else bytes(width)) for white in inside))


def black(width: int = 24, height: int = 16) -> bytes:
    """Return an empty mask, which allows no change to a picture."""
    return _png(width, height, 0, bytes((width + 1) * height))


def _png(width: int, height: int, colour: int, rows: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
