"""Choose the metadata that are delivered: all that are true, those of rights and description, or none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from goldsmith.files import display_name
from goldsmith.picture.metadata.exif_block import MAKER_NOTE, ExifBlock, decode_text, read_exif
from goldsmith.picture.metadata.iptc_records import CAPTION, iptc_texts, read_iptc, write_iptc
from goldsmith.picture.metadata.staleness import is_stale_text, is_storage_name
from goldsmith.picture.metadata.xmp_packet import (
    DC,
    IPTC_CORE,
    IPTC_EXT,
    PHOTOSHOP,
    PLUS,
    XMP,
    XMP_RIGHTS,
    UnreadableXmp,
    XmpName,
    read_xmp,
)
from goldsmith.picture.picture import Metadata

MetadataChoice = Literal["rights", "all", "none"]

_WORDS_OF_RIGHTS = {
    DC: "title description creator rights subject date",
    PHOTOSHOP: "Headline Credit Source DateCreated AuthorsPosition CopyrightFlag",
    XMP: "CreateDate ModifyDate",
    XMP_RIGHTS: "Marked Owner UsageTerms WebStatement Certificate",
    IPTC_CORE: "AltTextAccessibility ExtDescrAccessibility",
    IPTC_EXT: "DigitalSourceType",
    PLUS: "Licensor CopyrightOwner ImageCreator DataMining",
}
_NAMES_OF_RIGHTS = frozenset(XmpName(namespace, word) for namespace, words in _WORDS_OF_RIGHTS.items() for word in words.split())
_DESCRIPTIONS = frozenset([XmpName(DC, "description"), XmpName(PHOTOSHOP, "Headline"), XmpName(DC, "title")])
# ImageDescription, orientation, resolution and its unit, DateTime, Artist, Copyright; the title, author, keywords and subject of Windows.
_IMAGE_TAGS = frozenset([0x010E, 0x0112, 0x011A, 0x011B, 0x0128, 0x0132, 0x013B, 0x8298, 0x9C9B, 0x9C9D, 0x9C9E, 0x9C9F])
# ExifVersion, the dates with their time zones and fractions, the colour space and the size in pixels.
_PHOTO_TAGS = frozenset([0x9000, 0x9003, 0x9004, 0x9010, 0x9011, 0x9012, 0x9290, 0x9291, 0x9292, 0xA001, 0xA002, 0xA003])
# Version and encoding; title, keywords, dates and times, by-line and its title, headline, credit, source, copyright, caption.
_DATA_SETS = frozenset([(1, 90), *((2, number) for number in (0, 5, 25, 55, 60, 62, 63, 80, 85, 105, 110, 115, 116, 120))])
# The keywords of the PNG specification (11.3.3.2) that are about rights and description.
_TEXT_KEYWORDS = ("title", "author", "description", "copyright", "creation time", "disclaimer")
# Names in a record, and the letters of one.
_MAX_NAMES, _MAX_NAME_LENGTH = 80, 100
# What generators write where a description belongs: settings, a workflow as JSON, the switches and the job of a prompt.
_PROMPT = re.compile(
    r"""\{ | negative\ prompt: | \bsteps:\ *\d+ | \bsampler\b | \bcfg\ scale\b | \bjob\ id:\ *[0-9a-f-]{8}
    | (^|\s)(--|—)(ar|v|stylize|style|chaos|seed|niji|q|iw)\b | ^\W*(prompt|workflow)\b""",
    re.IGNORECASE | re.VERBOSE,
)


def select_metadata(metadata: Metadata, choice: MetadataChoice) -> Metadata:
    """Return the metadata that the choice keeps."""
    if choice == "none":
        return Metadata(described_size=metadata.described_size)
    if choice == "all":
        return metadata
    return replace(
        metadata,
        exif=None if metadata.exif is None else _select_exif(metadata.exif),
        xmp=None if metadata.xmp is None else _select_xmp(metadata.xmp),
        iptc=None if metadata.iptc is None else _select_iptc(metadata.iptc),
        text_chunks=tuple(
            (keyword, text) for keyword, text in metadata.text_chunks if keyword.casefold() in _TEXT_KEYWORDS and not _is_prompt(text)
        ),
    )


def is_name_of_rights(name: XmpName) -> bool:
    """Return whether "rights" keeps a property of XMP."""
    return name in _NAMES_OF_RIGHTS


def _is_prompt(text: str) -> bool:
    """Return whether a description is the prompt of a generator, or its settings."""
    return _PROMPT.search(text) is not None


def _select_exif(data: bytes) -> bytes | None:
    block = read_exif(data)
    if block is None:
        return None
    image = {tag: entry for tag, entry in block.image.items() if tag in _IMAGE_TAGS and not _is_prompt(decode_text(entry))}
    photo = {tag: entry for tag, entry in block.photo.items() if tag in _PHOTO_TAGS}
    return ExifBlock(block.byte_order, image, photo, interoperability=block.interoperability).to_bytes()


def shorten_exif(data: bytes, max_bytes: int) -> bytes | None:
    """Return an Exif block of at most ``max_bytes``: as it is, else without its maker note, else what "rights" keeps; None if that is too
    large too.
    """
    if len(data) <= max_bytes:
        return data
    block = read_exif(data)
    if block is None:
        return None
    block.photo.pop(MAKER_NOTE, None)
    shorter = block.to_bytes()
    if shorter is None or len(shorter) <= max_bytes:
        return shorter
    shortest = _select_exif(data)
    return shortest if shortest is not None and len(shortest) <= max_bytes else None


def shorten_iptc(data: bytes, max_bytes: int) -> bytes | None:
    """Return IPTC of at most ``max_bytes``: as it is, else what "rights" keeps; None if that is too large too."""
    shorter = data if len(data) <= max_bytes else _select_iptc(data)
    return shorter if shorter is not None and len(shorter) <= max_bytes else None


def _select_xmp(data: bytes) -> bytes | None:
    try:
        packet = read_xmp(data, _NAMES_OF_RIGHTS.__contains__)
    except UnreadableXmp:
        return None
    for name in _DESCRIPTIONS & packet.properties.keys():
        if any(map(_is_prompt, packet.values(name))):
            del packet.properties[name]
    return packet.to_bytes()


def _select_iptc(data: bytes) -> bytes | None:
    data_sets = [each for each in read_iptc(data) if each.key in _DATA_SETS]
    if any(map(_is_prompt, iptc_texts(data_sets, CAPTION))):
        data_sets = [each for each in data_sets if each.key != CAPTION]
    return write_iptc(data_sets)


def names_left_out(source: Metadata, written: Metadata) -> list[str]:
    """Return the names, for people, of what is in the metadata of the source and not in those of a file."""
    names = sorted(set(_names(source)) - set(_names(written)))
    more = [f"and {len(names) - _MAX_NAMES} more"] if len(names) > _MAX_NAMES else []
    return [*(display_name(name)[:_MAX_NAME_LENGTH] for name in names[:_MAX_NAMES]), *more]


def byte_count(metadata: Metadata) -> int:
    """Return the bytes of all blocks and texts together."""
    blocks = sum(len(block or b"") for block in (metadata.exif, metadata.xmp, metadata.iptc))
    return blocks + sum(len(keyword) + len(text.encode()) for keyword, text in metadata.text_chunks)


def _names(metadata: Metadata) -> Iterator[str]:
    """Yield the name of everything in the metadata, without what only describes how a file stores its pixels."""
    yield from _exif_names(metadata.exif)
    yield from _xmp_names(metadata.xmp)
    yield from _iptc_names(metadata.iptc)
    yield from _text_names(metadata)


def _exif_names(data: bytes | None) -> Iterator[str]:
    block = None if data is None else read_exif(data)
    if block is None:
        return
    from PIL.ExifTags import TAGS

    for tag in (*block.image, *block.photo):
        if tag not in _NAMELESS_TAGS:
            yield f"Exif {_EXIF_NAMES.get(tag) or TAGS.get(tag) or f'tag {tag:#06x}'}"
    yield from (f"Exif {name}" for name in block.dropped)
    if block.gps:
        yield "Exif GPS position"


# Pillow calls this tag like another one.
_EXIF_NAMES = {0x9214: "SubjectArea"}
# Facts about the file itself, which every file has anew: orientation, resolution, size, colour space, versions, order of components.
_NAMELESS_TAGS = frozenset(
    [*range(0x100, 0x104), 0x0112, 0x011A, 0x011B, 0x0128, 0x0213, 0x9000, 0x9101, 0xA000, 0xA001, 0xA002, 0xA003, 0xEA1C]
)


def _xmp_names(data: bytes | None) -> Iterator[str]:
    if data is None:
        return
    try:
        packet = read_xmp(data)
    except UnreadableXmp:
        yield "XMP (unreadable)"
        return
    yield from (f"XMP {packet.qualified_name(name)}" for name in packet.properties if not is_storage_name(name))


def _iptc_names(data: bytes | None) -> Iterator[str]:
    yield from (
        f"IPTC {record}:{number:02}" for (record, number), _ in read_iptc(data or b"") if record >= 2 and (record, number) != (2, 0)
    )


def _text_names(metadata: Metadata) -> Iterator[str]:
    has_exif = metadata.exif is not None
    yield from (f"PNG text “{keyword}”" for keyword, _ in metadata.text_chunks if not is_stale_text(keyword, has_exif=has_exif))
