"""Read BMP, for masks: with palette, 16, 24 or 32 bits, and run-length encoded."""

from __future__ import annotations

import struct

import numpy as np

from goldsmith.errors import InputError
from goldsmith.picture.formats.image_info import (
    ImageHeader,
    Samples,
    check_size,
    damaged_error,
    describe_arrival,
    truncated_error,
)

_HEADER_BYTES = 54
# Values of biCompression (Windows GDI, BITMAPINFOHEADER).
_RLE = (1, 2)
_UNCOMPRESSED = (0, 3, 6)
_BITS = (1, 4, 8, 16, 24, 32)


def read_header(data: bytes, name: str, max_pixels: int) -> ImageHeader:
    """Return everything but the pixels."""
    if len(data) < _HEADER_BYTES:
        raise truncated_error(name, describe_arrival(len(data)))
    start, _, width, height, _, bits, compression, size = struct.unpack("<IIiiHHII", data[10:38])
    height = abs(height)
    check_size(name, width, height, 1, max_pixels)
    if bits not in _BITS or compression not in (*_RLE, *_UNCOMPRESSED):
        raise InputError(f"{name} is a kind of BMP that is not read ({bits} bits, compression {compression}).", "Save it as PNG.")
    row_bytes = (width * bits + 31) // 32 * 4
    end = start + (size if compression in _RLE else row_bytes * height)
    if len(data) < end:
        raise truncated_error(name, describe_arrival(len(data), end))
    return ImageHeader("bmp", width, height, 8, 3, has_alpha=bits == 32, reader_state=compression in _RLE)


def read_samples(data: bytes, header: ImageHeader, name: str) -> Samples:
    """Return the codes (h, w, 1, 3 or 4). Only a file that says where its alpha lies has alpha."""
    result = _decode_run_lengths(data) if header.reader_state else _decode(data)
    if result is None or result.shape[:2] != (header.height, header.width):
        raise damaged_error(name, "the data of its picture makes no sense")
    result = result.reshape(header.height, header.width, -1)
    header.has_alpha = result.shape[2] == 4
    header.channels = 1 if result.shape[2] == 1 else 3
    return result


def check_frames(data: bytes, header: ImageHeader, name: str) -> None:
    """Do nothing: a BMP has one frame."""


def _decode(data: bytes) -> Samples:
    import imagecodecs

    result: Samples = imagecodecs.bmp_decode(data)
    return result


def _decode_run_lengths(data: bytes) -> Samples | None:
    """Return run-length encoded codes, (h, w) or (h, w, 3); None if they cannot be decoded."""
    import cv2

    result = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return None if result is None else np.ascontiguousarray(result[:, :, ::-1] if result.ndim == 3 else result)
