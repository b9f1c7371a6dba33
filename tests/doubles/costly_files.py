"""Small files that cost a decoder much: thousands of scans, a million texts."""

from __future__ import annotations

import io
import zlib

import numpy as np
from PIL import Image

from doubles.pictures import png


def jpeg_with_scans(count: int, side: int = 32) -> bytes:
    """Return a progressive JPEG whose last scan is repeated until there are ``count``."""
    out = io.BytesIO()
    Image.fromarray(np.full((side, side), 128, np.uint8)).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    end = data.rindex(b"\xff\xd9")
    scan = data[data.rindex(b"\xff\xda") : end]
    return data[:end] + scan * (count - data.count(b"\xff\xda")) + data[end:]


def png_with_texts(count: int) -> bytes:
    """Return a PNG with ``count`` text chunks of its own."""
    data = png(1)
    end = data.index(b"IDAT") - 4
    return data[:end] + b"".join(map(_text_chunk, range(count))) + data[end:]


def _text_chunk(number: int) -> bytes:
    payload = b"tEXtk%d\0v" % number
    return (len(payload) - 4).to_bytes(4, "big") + payload + zlib.crc32(payload).to_bytes(4, "big")
