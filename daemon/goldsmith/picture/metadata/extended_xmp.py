"""XMP of more than 64 kB in a JPEG: a standard packet and an extension (XMP specification, part 3, 1.1.3.1)."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Sequence

from goldsmith.picture.metadata.selection import is_name_of_rights
from goldsmith.picture.metadata.xmp_packet import XMP_NOTE, UnreadableXmp, XmpName, XmpPacket, read_xmp

EXTENSION_SIGNATURE = b"http://ns.adobe.com/xmp/extension/\0"
_HAS_EXTENSION = XmpName(XMP_NOTE, "HasExtendedXMP")
# The digest of the extension as hexadecimal digits, its whole size, and the offset of the part.
_GUID_BYTES, _PART_HEAD = 32, struct.Struct(">II")
# The specification's example has 65,400 bytes of extension in a segment.
_MAX_PART_BYTES = 65_400


def join_extension(packet: bytes, parts: Sequence[bytes], max_bytes: int) -> bytes | None:
    """Return the packet with the properties of its extension, from the segments' bytes behind the signature.

    Returns None if the extension is not complete, is damaged, or has more than ``max_bytes`` bytes. Raises UnreadableXmp.
    """
    match = re.search(rb"HasExtendedXMP\s*(?:=\s*[\"']|>\s*)([0-9A-Fa-f]{32})", packet)
    extension = None if match is None else _assemble(match[1].upper(), parts, max_bytes)
    if extension is None:
        return None
    result, added = read_xmp(packet, lambda name: name != _HAS_EXTENSION), read_xmp(extension)
    result.properties = {**added.properties, **result.properties}
    result.prefixes = {**added.prefixes, **result.prefixes}
    return result.to_bytes()


def _assemble(guid: bytes, parts: Sequence[bytes], max_bytes: int) -> bytes | None:
    data, size = bytearray(), 0
    known = [part for part in parts if part[:_GUID_BYTES].upper() == guid and len(part) > _GUID_BYTES + _PART_HEAD.size]
    for part in known:
        size, offset = _PART_HEAD.unpack_from(part, _GUID_BYTES)
        content = part[_GUID_BYTES + _PART_HEAD.size :]
        if size > max_bytes or offset + len(content) > size:
            return None
        data += b"\0" * (size - len(data))
        data[offset : offset + len(content)] = content
    is_complete = bool(known) and hashlib.md5(data, usedforsecurity=False).hexdigest().upper().encode() == guid
    return bytes(data) if is_complete else None


def split_packet(data: bytes, max_bytes: int) -> tuple[bytes | None, list[bytes]]:
    """Return a packet of at most ``max_bytes``, and the segments of its extension behind the signature; none if it fits as it is.

    The largest properties go into the extension, those of rights last of all. Returns None for a packet that cannot be split.
    """
    if len(data) <= max_bytes:
        return data, []
    try:
        packet = read_xmp(data)
    except UnreadableXmp:
        return None, []
    sizes = {name: packet.size_of(name) for name in packet.properties}
    packet.set_text(_HAS_EXTENSION, "0" * _GUID_BYTES)
    extension, surplus = XmpPacket(prefixes=packet.prefixes), len(packet.to_bytes() or b"") - max_bytes
    for name in sorted(sizes, key=lambda name: (is_name_of_rights(name), -sizes[name])):
        if surplus <= 0:
            break
        extension.properties[name] = packet.properties.pop(name)
        surplus -= sizes[name]
    body = extension.to_bytes(is_extension=True) or b""
    guid = hashlib.md5(body, usedforsecurity=False).hexdigest().upper()
    packet.set_text(_HAS_EXTENSION, guid)
    heads = [guid.encode() + _PART_HEAD.pack(len(body), offset) for offset in range(0, len(body), _MAX_PART_BYTES)]
    parts = [
        head + body[offset : offset + _MAX_PART_BYTES] for head, offset in zip(heads, range(0, len(body), _MAX_PART_BYTES), strict=True)
    ]
    return packet.to_bytes(), parts
