"""The identity of a picture file in XMP Media Management (ISO 16684-1): an id for each file that is written, and that of its source.

An editor keeps ``DocumentID`` when it saves over a file, and names it in ``DerivedFrom`` when it saves another one. So a file is known
again after a person has worked on it. Ids are derived from what was done, never random: the same work writes the same bytes.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace

from goldsmith.picture.metadata.exif_block import read_exif
from goldsmith.picture.metadata.xmp_packet import IPTC_EXT, ST_REF, XMP, XMP_MM, UnreadableXmp, XmpName, XmpPacket, read_xmp
from goldsmith.picture.picture import Metadata

_DOCUMENT, _INSTANCE = XmpName(XMP_MM, "DocumentID"), XmpName(XMP_MM, "InstanceID")
_ORIGINAL, _DERIVED_FROM = XmpName(XMP_MM, "OriginalDocumentID"), XmpName(XMP_MM, "DerivedFrom")
_REF_DOCUMENT, _REF_INSTANCE = XmpName(ST_REF, "documentID"), XmpName(ST_REF, "instanceID")
_SOURCE_TYPE = XmpName(IPTC_EXT, "DigitalSourceType")
_PROVENANCE = frozenset([_DOCUMENT, _INSTANCE, _ORIGINAL, _DERIVED_FROM, _SOURCE_TYPE])
_CREATOR_TOOL = XmpName(XMP, "CreatorTool")
# Of the ids of Goldsmith alone (RFC 9562, version 5): any fixed UUID.
_NAMESPACE = uuid.UUID("0b6f4a0e-6a53-5f0c-9f0e-6f6c64736d69")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
# Exif's Software, and the keyword of a PNG's text for it (PNG 3rd edition, 11.3.3.2).
_SOFTWARE_TAG, _SOFTWARE_KEYWORD = 0x0131, "software"
# Letters of an id of another program, and of the name of a program, that are kept.
_MAX_ID_LENGTH, _MAX_PROGRAM_LENGTH = 200, 80


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What a file says of itself.

    ids:     the UUIDs in it, the closest first: of the instance, of the document, and of the file that it was derived from.
    program: the program that wrote it; "" = it does not say.
    """

    ids: tuple[str, ...] = ()
    program: str = ""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a picture comes from: its own ids, those of the file that it was made from, and the URI of its source type; "" = unknown."""

    document_id: str = ""
    instance_id: str = ""
    original_id: str = ""
    source_instance_id: str = ""
    source_document_id: str = ""
    source_type: str = ""


def derive_id(parts: Iterable[str]) -> str:
    """Return the UUID (version 5) of a file that is written, from everything that determines it."""
    return str(uuid.uuid5(_NAMESPACE, "\0".join(parts)))


def read_identity(metadata: Metadata) -> FileIdentity:
    """Return the ids and the program in a file's metadata. Ids without a UUID are left out: Goldsmith has written none of them."""
    packet = _read_packet(metadata.xmp)
    texts = [packet.text(_INSTANCE), packet.text(_DOCUMENT)]
    texts += [packet.field_text(_DERIVED_FROM, name) for name in (_REF_INSTANCE, _REF_DOCUMENT)]
    ids = [match[0].lower() for text in texts if (match := _UUID.search(text[:_MAX_ID_LENGTH]))]
    return FileIdentity(tuple(dict.fromkeys(ids)), _read_program(packet, metadata))


def with_identity(metadata: Metadata, own_id: str, source: Metadata, source_sha256: str) -> Metadata:
    """Return the metadata with the id of a file that is written, and with that of the file that it is made from.

    ``source``: the metadata of that file; if it has no ids, its hash (hex) gives one. "" = there is no such file.
    """
    packet, old = _read_packet(metadata.xmp), _read_packet(source.xmp)
    source_id = f"xmp.did:{derive_id([source_sha256])}" if source_sha256 else ""
    source_document = old.text(_DOCUMENT)[:_MAX_ID_LENGTH] or source_id
    packet.set_text(_DOCUMENT, f"xmp.did:{own_id}")
    packet.set_text(_INSTANCE, f"xmp.iid:{own_id}")
    packet.set_text(_ORIGINAL, old.text(_ORIGINAL)[:_MAX_ID_LENGTH] or source_document or f"xmp.did:{own_id}")
    if source_document:
        source_instance = old.text(_INSTANCE)[:_MAX_ID_LENGTH]
        fields = {_REF_INSTANCE: source_instance, _REF_DOCUMENT: source_document}
        packet.set_fields(_DERIVED_FROM, {name: text for name, text in fields.items() if text})
    else:
        packet.properties.pop(_DERIVED_FROM, None)
    return replace(metadata, xmp=packet.to_bytes())


def provenance_xmp(metadata: Metadata) -> bytes | None:
    """Return the part of a picture's XMP that says where it comes from: its ids and its source type; None if there is none."""
    packet = _read_packet(metadata.xmp)
    packet.properties = {name: value for name, value in packet.properties.items() if name in _PROVENANCE}
    return packet.to_bytes()


def read_provenance(xmp: bytes | None) -> Provenance:
    """Return where a picture comes from, by its XMP."""
    packet = _read_packet(xmp)
    return Provenance(
        document_id=packet.text(_DOCUMENT),
        instance_id=packet.text(_INSTANCE),
        original_id=packet.text(_ORIGINAL),
        source_instance_id=packet.field_text(_DERIVED_FROM, _REF_INSTANCE),
        source_document_id=packet.field_text(_DERIVED_FROM, _REF_DOCUMENT),
        source_type=packet.text(_SOURCE_TYPE),
    )


def _read_program(packet: XmpPacket, metadata: Metadata) -> str:
    """Return the name of the program that saved the file, printable letters only."""
    block = None if metadata.exif is None else read_exif(metadata.exif)
    texts = [text for keyword, text in metadata.text_chunks if keyword.casefold() == _SOFTWARE_KEYWORD]
    name = next(filter(None, (packet.text(_CREATOR_TOOL), "" if block is None else block.image_text(_SOFTWARE_TAG), *texts)), "")
    return "".join(letter for letter in name if letter.isprintable())[:_MAX_PROGRAM_LENGTH].strip()


def _read_packet(data: bytes | None) -> XmpPacket:
    try:
        return XmpPacket() if data is None else read_xmp(data)
    except UnreadableXmp:
        return XmpPacket()
