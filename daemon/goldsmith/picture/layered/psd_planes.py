"""The bytes of a Photoshop document and their planes: each one is unpacked to the size that it must have, and never to more.

Layout as in Adobe's "Photoshop File Formats Specification".
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from goldsmith.picture.formats.image_info import damaged_error, describe_arrival, truncated_error
from goldsmith.picture.picture import PixelCodes

_RAW, _RLE, _ZIP, _ZIP_PREDICTED = range(4)
# Bytes that are unpacked at once of planes that are not needed.
_SKIPPED_BYTES = 16 << 20


@dataclass(slots=True)
class PsdFile:
    """The file's bytes with the values of its header."""

    data: bytes
    name: str
    is_big: bool
    channel_count: int
    width: int
    height: int
    depth: int
    mode: int

    def empty_plane(self) -> PixelCodes:
        return np.zeros((0, 0), np.uint8) if self.depth == 8 else np.zeros((0, 0), np.uint16)

    def unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        """Return big-endian integers. Raises IncompleteFileError at the file's end."""
        size = struct.calcsize(">" + layout)
        self.require(offset + size)
        return struct.unpack_from(">" + layout, self.data, offset)

    def require(self, end: int) -> None:
        if end > len(self.data):
            raise truncated_error(self.name, describe_arrival(len(self.data), end))


def decode_plane(file: PsdFile, body: memoryview, compression: int, width: int, height: int) -> PixelCodes:
    """Return a plane of codes (h, w)."""
    row_bytes = width * file.depth // 8
    if compression == _RLE:
        count_size = 4 if file.is_big else 2
        unpacked = _unpack_rows(file, body[count_size * height :], row_bytes * height)
    elif compression in (_ZIP, _ZIP_PREDICTED):
        unpacked = _inflate(file, body, row_bytes * height)
    elif compression == _RAW:
        unpacked = bytes(body[: row_bytes * height])
    else:
        raise damaged_error(file.name, f"its pixels are packed in a way that Photoshop does not have ({compression})")
    if len(unpacked) != row_bytes * height:
        raise damaged_error(file.name, "some of its pixels are missing")
    return _to_codes(file, unpacked, width, height, is_predicted=compression == _ZIP_PREDICTED)


def _to_codes(file: PsdFile, unpacked: bytes, width: int, height: int, *, is_predicted: bool) -> PixelCodes:
    """Return the bytes of a plane as codes (h, w); ``is_predicted``: each one is the difference from the code before it."""
    if file.depth == 8:
        codes = np.frombuffer(unpacked, np.uint8).reshape(height, width)
        return np.cumsum(codes, axis=1, dtype=np.uint8) if is_predicted else codes
    deep = np.frombuffer(unpacked, ">u2").reshape(height, width).astype(np.uint16)
    return np.cumsum(deep, axis=1, dtype=np.uint16) if is_predicted else deep


def _unpack_rows(file: PsdFile, packed: memoryview, size: int) -> bytes:
    """Return PackBits rows, one behind the other."""
    import imagecodecs

    if size > 64 * len(packed) + 128:
        raise damaged_error(file.name, "some of its pixels are missing")
    return bytes(imagecodecs.packbits_decode(bytes(packed), out=size))


def _inflate(file: PsdFile, packed: memoryview, size: int) -> bytes:
    stream = zlib.decompressobj()
    unpacked = stream.decompress(packed, size + 1)
    if len(unpacked) > size:
        raise damaged_error(file.name, "a layer has more pixels than its size allows")
    return unpacked


def _inflate_part(packed: memoryview, skipped: int, size: int) -> bytes:
    """Return ``size`` unpacked bytes behind the first ``skipped`` ones, which are never in memory together."""
    stream = zlib.decompressobj()
    rest: bytes | memoryview = packed
    while skipped:
        passed = len(stream.decompress(rest, min(skipped, _SKIPPED_BYTES)))
        rest = stream.unconsumed_tail
        skipped -= passed
        if not passed:
            return b""
    return stream.decompress(rest, size)


def _merge_plan(file: PsdFile, start: int) -> tuple[int, Callable[[int], memoryview], int]:
    """Return the compression of the merged picture, a function that returns the packed bytes of a channel, and where the picture ends."""
    (compression,) = file.unpack("H", start)
    offset = start + 2
    plane_bytes = file.width * file.height * file.depth // 8
    view = memoryview(file.data)
    if compression == _RAW:
        end = offset + plane_bytes * file.channel_count
        return compression, lambda number: view[offset + number * plane_bytes : offset + (number + 1) * plane_bytes], end
    if compression in (_ZIP, _ZIP_PREDICTED):
        return compression, lambda number: view[offset:], len(file.data)
    if compression != _RLE:
        raise damaged_error(file.name, f"its merged picture is packed in a way that Photoshop does not have ({compression})")
    rows = file.height * file.channel_count
    count_size = 4 if file.is_big else 2
    file.require(offset + rows * count_size)
    counts = np.frombuffer(file.data, ">u4" if file.is_big else ">u2", rows, offset).astype(np.int64)
    ends = offset + rows * count_size + np.concatenate([[0], np.cumsum(counts.reshape(file.channel_count, file.height).sum(axis=1))])
    return compression, lambda number: view[int(ends[number]) : int(ends[number + 1])], int(ends[-1])


def check_merge(file: PsdFile, start: int) -> None:
    """Raise IncompleteFileError if the merged picture, the last part of the file, is not all there."""
    file.require(_merge_plan(file, start)[2])


def read_merged_channel(file: PsdFile, start: int, number: int) -> PixelCodes:
    compression, packed_channel, end = _merge_plan(file, start)
    file.require(end)
    body = packed_channel(number)
    plane_bytes = file.width * file.height * file.depth // 8
    if compression == _RLE:
        unpacked = _unpack_rows(file, body, plane_bytes)
    elif compression == _RAW:
        unpacked = bytes(body)
    else:
        unpacked = _inflate_part(body, number * plane_bytes, plane_bytes)
    if len(unpacked) != plane_bytes:
        raise damaged_error(file.name, "some of the pixels of its merged picture are missing")
    return _to_codes(file, unpacked, file.width, file.height, is_predicted=compression == _ZIP_PREDICTED)
