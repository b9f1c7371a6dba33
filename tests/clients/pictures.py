"""Pictures that are cheap to make and all different, so that a hash identifies each."""

from __future__ import annotations

import hashlib
import random
import struct
import zlib
from pathlib import Path


def png(seed: str, side: int = 64) -> bytes:
    """Return noise, ``side`` x ``side`` in 8-bit RGB, stored uncompressed, so that a cut file is not a valid picture."""
    noise = random.Random(seed).randbytes(3 * side * side)
    rows = b"".join(b"\0" + noise[at : at + 3 * side] for at in range(0, len(noise), 3 * side))
    return png_of(struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0), zlib.compress(rows, 0))


def grey(seed: int) -> bytes:
    """Return a picture of eight pixels in a row that encode a number: many such pictures have the same small size."""
    return png_of(struct.pack(">2I5B", 8, 1, 8, 0, 0, 0, 0), zlib.compress(b"\0" + seed.to_bytes(8, "big"), 0))


def mask(side: int = 64, share: int = 3) -> bytes:
    """Return a white square in a black frame; the frame is ``side // share`` wide."""
    black, margin = bytes(side), side // share
    band = bytes(margin) + b"\xff" * (side - 2 * margin) + bytes(margin)
    rows = [b"\0" + (band if margin <= row < side - margin else black) for row in range(side)]
    return png_of(struct.pack(">2I5B", side, side, 8, 0, 0, 0, 0), zlib.compress(b"".join(rows)))


def png_of(header: bytes, data: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def write_tiff(path: Path, side: int, seed: str) -> Path:
    """Write uncompressed 8-bit RGB in one strip, with noise that repeats. Half of it over another such file still decodes."""
    size, bits = 3 * side * side, 10 * 12 + 14
    tags = ((256, 4, 1, side), (257, 4, 1, side), (258, 3, 3, bits), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, bits + 6))
    tags += ((277, 3, 1, 3), (278, 4, 1, side), (279, 4, 1, size), (284, 3, 1, 1))
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<2H2I", *tag) for tag in tags) + struct.pack("<I", 0)
    row = random.Random(seed).randbytes(3 * side)
    with path.open("wb") as file:
        file.write(b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<3H", 8, 8, 8))
        for _ in range(side):
            file.write(row)
    return path


def sha256(source: Path | bytes) -> str:
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
