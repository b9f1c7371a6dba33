"""The boxes of a C2PA manifest store (JUMBF, ISO 19566-5), how large a file says its store is, and another store in place of one."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

_DESCRIPTION_OF_STORE = b"jumdc2pa"
# From the length of the store's box to the type in its description.
_STORE_HEADER_BYTES = 16
# How the data that are signed in a manifest begin: COSE's Sig_structure (RFC 9052, 4.4).
CLAIM_START = b"\x84\x6aSignature1"
_PNG_SIGNATURE_BYTES = 8
_JPEG_APP11, _JPEG_SCAN = 0xEB, 0xDA
# Of an APP11 segment with a box: the marker and its length, "JP", the number of the box, that of the part, and the head of the box.
_JPEG_PART_HEAD_BYTES, _BOX_HEAD_BYTES = 12, 8


class BrokenManifest(Exception):
    """A manifest store is not what C2PA says it is."""


class StoreExtent(NamedTuple):
    """How large a file says its manifest store is.

    size: in bytes; 0 if there is none. boxes: superboxes in it, rather too many: a file that splits it repeats the head of the first.
    """

    size: int = 0
    boxes: int = 0


def measure_store(data: bytes) -> StoreExtent:
    """Return how large a file says its first manifest store is. Nothing of it is parsed."""
    place = data.find(_DESCRIPTION_OF_STORE) - _STORE_HEADER_BYTES + 4
    if place < 0 or data[place + 4 : place + 8] != b"jumb":
        return StoreExtent()
    size = int(struct.unpack_from(">I", data, place)[0])
    return StoreExtent(size, data.count(b"jumb", place, place + size + size // 1000 + 1000))


def replace_store(file: bytes, media_type: str, old: bytes, new: bytes) -> bytes:
    """Return a file with another manifest store of the same length in place of ``old``. Raises BrokenManifest."""
    if len(new) != len(old):
        raise BrokenManifest("the manifest store has another length than the one that it replaces")
    replaced = bytearray(file)
    if media_type == "image/jpeg":
        _write_parts(replaced, list(_jpeg_parts(file)), old, new)
        return bytes(replaced)
    start = file.find(old)
    if start < 0:
        raise BrokenManifest("the manifest store is not in the file as one piece")
    replaced[start : start + len(old)] = new
    if media_type == "image/png":
        _renew_png_checksum(replaced)
    return bytes(replaced)


def read_boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and content of each box. None of them is larger than 4 GB here. Raises BrokenManifest."""
    offset = 0
    while offset < len(data):
        size, kind = struct.unpack_from(">I4s", data, offset)
        if size < _BOX_HEAD_BYTES or offset + size > len(data):
            raise BrokenManifest("a box of the manifest store is longer than what holds it")
        yield kind, data[offset + _BOX_HEAD_BYTES : offset + size]
        offset += size


def _write_parts(file: bytearray, parts: list[tuple[int, int]], old: bytes, new: bytes) -> None:
    """Write a store whose ``parts`` (start, length) lie apart in the file."""
    if b"".join(file[start : start + length] for start, length in parts) != old:
        raise BrokenManifest("the file does not hold the manifest store that it should")
    offset = 0
    for start, length in parts:
        file[start : start + length] = new[offset : offset + length]
        offset += length


def _jpeg_parts(file: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and length of the parts of the manifest store in a JPEG (ISO 19566-5, D.2): each repeats the head of its box."""
    offset, store_number = 2, b""
    while offset + 4 <= len(file) and file[offset] == 0xFF and file[offset + 1] != _JPEG_SCAN:
        marker, length = file[offset + 1], int.from_bytes(file[offset + 2 : offset + 4], "big")
        if marker == _JPEG_APP11 and file[offset + 4 : offset + 6] == b"JP":
            number, part = file[offset + 6 : offset + 8], int.from_bytes(file[offset + 8 : offset + 12], "big")
            content = offset + _JPEG_PART_HEAD_BYTES
            if part == 1 and file[content + 12 : content + 20] == _DESCRIPTION_OF_STORE:
                store_number = number
            if number == store_number:
                # The head stands in the store once.
                repeated = 0 if part == 1 else _BOX_HEAD_BYTES
                yield content + repeated, offset + 2 + length - content - repeated
        offset += 2 + length


def _renew_png_checksum(file: bytearray) -> None:
    """Write the checksum of the chunk with the manifest store anew (PNG 3rd edition, 5.5)."""
    offset = _PNG_SIGNATURE_BYTES
    while offset + 12 <= len(file):
        length, kind = struct.unpack_from(">I4s", file, offset)
        if kind == b"caBX":
            end = offset + 8 + length
            struct.pack_into(">I", file, end, zlib.crc32(file[offset + 4 : end]))
            return
        offset += 12 + length
    raise BrokenManifest("the PNG has no chunk for the manifest store")
