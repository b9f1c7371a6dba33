"""The boxes of a C2PA manifest store (JUMBF, ISO 19566-5), as far as a signature is replaced in them, and the same in a signed file.

A manifest is first signed with a key that lasts for one file, and then gets the signature of the identity in place of that one: so the
process that writes it never has the key of the identity, and the room for the signature is no larger than it must be.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

# The type of a store, a manifest, a claim and a signature: four letters, then the rest that ISO 19566-5 gives all of them.
_UUID_REST = bytes.fromhex("00110010800000aa00389b71")
_STORE, _CLAIM, _SIGNATURE = b"c2pa" + _UUID_REST, b"c2cl" + _UUID_REST, b"c2cs" + _UUID_REST
_DESCRIPTION_OF_STORE = b"jumdc2pa"
# From the length of the store's box to the type in its description.
_STORE_HEADER_BYTES = 16
# How the data that are signed in a manifest begin: COSE's Sig_structure (RFC 9052, 4.4).
CLAIM_START = b"\x84\x6aSignature1"
# COSE_Sign1 (RFC 9052, 4.2): its tag, and an array of four.
_SIGN1_STARTS = (b"\xd2\x84", b"\x84")
_PNG_SIGNATURE_BYTES = 8
_JPEG_APP11, _JPEG_SCAN = 0xEB, 0xDA
# Of an APP11 segment with a box: the marker and its length, "JP", the number of the box, that of the part, and the head of the box.
_JPEG_PART_HEAD_BYTES, _BOX_HEAD_BYTES = 12, 8


class BrokenManifest(Exception):
    """A manifest store is not what C2PA says it is."""


class ToBeSigned(NamedTuple):
    """What the identity signs, and the signature in the store that is to be replaced."""

    # Begins with ``CLAIM_START``.
    data: bytes
    signature: bytes


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


def read_to_be_signed(store: bytes) -> ToBeSigned:
    """Return what is signed in the last manifest of a store, which is the active one. Raises BrokenManifest."""
    try:
        manifest = [content for kind, content in _boxes(_content_of(store, _STORE)) if kind == b"jumb"][-1]
        parts = {content[8:24]: content for kind, content in _boxes(manifest) if kind == b"jumb"}
        claim, signed = (_cbor_in(parts[uuid]) for uuid in (_CLAIM, _SIGNATURE))
        return _split_signature(claim, signed)
    except (IndexError, KeyError, struct.error) as error:
        raise BrokenManifest("the manifest store has no claim or no signature where they belong") from error


def replace_signature(file: bytes, media_type: str, store: bytes, old: bytes, new: bytes) -> bytes:
    """Return a signed file with another signature of the same length. ``store``: its manifest store. Raises BrokenManifest."""
    offset = store.rfind(old)
    if len(new) != len(old) or offset < 0 or store.count(old) != 1:
        raise BrokenManifest("the signature to be replaced is not in the manifest store")
    replaced = bytearray(file)
    if media_type == "image/jpeg":
        _write_through(replaced, list(_jpeg_parts(file)), offset, old, new)
        return bytes(replaced)
    start = file.find(store)
    if start < 0:
        raise BrokenManifest("the manifest store is not in the file as one piece")
    _write_through(replaced, [(start, len(store))], offset, old, new)
    if media_type == "image/png":
        _renew_png_checksum(replaced)
    return bytes(replaced)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and content of each box. None of them is larger than 4 GB here."""
    offset = 0
    while offset < len(data):
        size, kind = struct.unpack_from(">I4s", data, offset)
        if size < _BOX_HEAD_BYTES or offset + size > len(data):
            raise BrokenManifest("a box of the manifest store is longer than what holds it")
        yield kind, data[offset + _BOX_HEAD_BYTES : offset + size]
        offset += size


def _content_of(data: bytes, uuid: bytes) -> bytes:
    """Return the content of the superbox of this type at the beginning of the data."""
    kind, content = next(_boxes(data))
    if kind != b"jumb" or content[8:24] != uuid:
        raise BrokenManifest("the data are no manifest store")
    return content


def _cbor_in(content: bytes) -> bytes:
    return next(inner for kind, inner in _boxes(content) if kind == b"cbor")


def _split_signature(claim: bytes, signed: bytes) -> ToBeSigned:
    """Return Sig_structure and signature of a COSE_Sign1 (CBOR), whose payload, the claim, is elsewhere."""
    start = next((len(each) for each in _SIGN1_STARTS if signed.startswith(each)), 0)
    if not start:
        raise BrokenManifest("the signature is no COSE_Sign1")
    protected, _ = _byte_string(signed, start)
    # The signature is the last of the four, so that its head is where what is behind it has just the length that it says.
    for head_bytes in (2, 3):
        for length in (64, 96, 132, 256, 384, 512):
            place = len(signed) - length - head_bytes
            if place > 0 and signed[place : place + head_bytes] == _byte_string_head(length) and signed[place - 1] == 0xF6:
                context = CLAIM_START + protected + b"\x40" + _byte_string_head(len(claim)) + claim
                return ToBeSigned(context, signed[-length:])
    raise BrokenManifest("the signature has an unknown length")


def _byte_string(data: bytes, offset: int) -> tuple[bytes, int]:
    """Return a byte string of CBOR with its head, and where it ends (RFC 8949, 3)."""
    kind, short = data[offset] >> 5, data[offset] & 31
    width = {24: 1, 25: 2, 26: 4}.get(short, 0)
    if kind != 2 or short > 26:
        raise BrokenManifest("the signature has no protected header")
    length = int.from_bytes(data[offset + 1 : offset + 1 + width], "big") if width else short
    end = offset + 1 + width + length
    return data[offset:end], end


def _byte_string_head(length: int) -> bytes:
    if length < 24:
        return bytes([0x40 | length])
    width, short = next((width, short) for width, short in ((1, 24), (2, 25), (4, 26)) if length < 1 << (8 * width))
    return bytes([0x40 | short]) + length.to_bytes(width, "big")


def _write_through(file: bytearray, parts: list[tuple[int, int]], offset: int, old: bytes, new: bytes) -> None:
    """Write the new signature at ``offset`` of a store whose ``parts`` (start, length) lie apart in the file."""
    places: list[int] = []
    begins = 0
    for start, length in parts:
        first, last = max(offset, begins), min(offset + len(old), begins + length)
        places += range(start + first - begins, start + last - begins) if first < last else ()
        begins += length
    if bytes(file[place] for place in places) != old:
        raise BrokenManifest("the file does not hold the signature where its manifest store has it")
    for place, value in zip(places, new, strict=True):
        file[place] = value


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
