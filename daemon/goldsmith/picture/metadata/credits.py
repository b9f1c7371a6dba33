"""Write title, creator, rights and credit into every block that can hold them, so that no two blocks of a file disagree."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from goldsmith.picture.metadata import iptc_records
from goldsmith.picture.metadata.exif_block import ARTIST, COPYRIGHT, IMAGE_DESCRIPTION, ExifBlock, read_exif
from goldsmith.picture.metadata.staleness import is_stale_name
from goldsmith.picture.metadata.xmp_packet import CAMERA_RAW, DC, PHOTOSHOP, UnreadableXmp, XmpName, XmpPacket, read_xmp
from goldsmith.picture.picture import Metadata

_TITLE, _DESCRIPTION, _CREATOR = XmpName(DC, "title"), XmpName(DC, "description"), XmpName(DC, "creator")
_RIGHTS, _KEYWORDS = XmpName(DC, "rights"), XmpName(DC, "subject")
_CREDIT, _HEADLINE, _SOURCE = XmpName(PHOTOSHOP, "Credit"), XmpName(PHOTOSHOP, "Headline"), XmpName(PHOTOSHOP, "Source")
# The same fields in Exif, in Windows' own tags (which Windows prefers), in IPTC-IIM and in the texts of a PNG.
_EXIF_TAGS = {_CREATOR: ARTIST, _RIGHTS: COPYRIGHT, _DESCRIPTION: IMAGE_DESCRIPTION}
_WINDOWS_TAGS = {_TITLE: 0x9C9B, _CREATOR: 0x9C9D, _KEYWORDS: 0x9C9E}
_DATA_SETS = {
    _TITLE: iptc_records.OBJECT_NAME,
    _DESCRIPTION: iptc_records.CAPTION,
    _CREATOR: iptc_records.BY_LINE,
    _RIGHTS: iptc_records.COPYRIGHT_NOTICE,
    _KEYWORDS: iptc_records.KEYWORDS,
    _CREDIT: iptc_records.CREDIT,
    _HEADLINE: iptc_records.HEADLINE,
    _SOURCE: iptc_records.SOURCE,
}
_TEXT_KEYWORDS = {
    _TITLE: ("title",),
    _DESCRIPTION: ("description",),
    _CREATOR: ("author", "exif:artist"),
    _RIGHTS: ("copyright", "exif:copyright"),
}
_ALTERNATIVES, _SEQUENCES, _BAGS = (_TITLE, _DESCRIPTION, _RIGHTS), (_CREATOR,), (_KEYWORDS,)
# The history of darktable: instructions for a raw file.
_DARKTABLE = "http://darktable.sf.net/"

_Fields = dict[XmpName, list[str]]


@dataclass(frozen=True, slots=True)
class Credits:
    """Who made a picture and whose it is, as a brief says; "" leaves what the picture has."""

    title: str = ""
    creator: str = ""
    rights: str = ""
    credit: str = ""

    @property
    def is_empty(self) -> bool:
        return not any(getattr(self, each.name) for each in fields(self))


NO_CREDITS = Credits()


def with_credits(metadata: Metadata, brief: Credits) -> Metadata:
    """Return the metadata with the credits of a brief, in XMP, in Exif, and in IPTC if the picture has it."""
    if brief.is_empty:
        return metadata
    values = {_TITLE: brief.title, _CREATOR: brief.creator, _RIGHTS: brief.rights, _CREDIT: brief.credit}
    return _with_fields(metadata, {name: [text] for name, text in values.items() if text})


def read_credits(metadata: Metadata) -> Credits:
    """Return title, creator, rights and credit of the picture, printable letters only: from XMP, else from Exif, IPTC or a PNG's texts."""
    packet = _read_packet(with_rights_in_xmp(metadata).xmp)
    block = (None if metadata.exif is None else read_exif(metadata.exif)) or ExifBlock()
    creator = packet.text(_CREATOR) or block.image_text(ARTIST)
    rights = packet.text(_RIGHTS) or block.image_text(COPYRIGHT)
    texts = (packet.text(_TITLE), creator, rights, packet.text(_CREDIT))
    return Credits(*("".join(letter for letter in text if letter.isprintable()) for text in texts))


def merge_sidecar(metadata: Metadata, data: bytes) -> Metadata:
    """Return the metadata with the properties of an XMP sidecar in place of the picture's own. Raises UnreadableXmp.

    The sidecar wins, as in darktable and digiKam: people write into it while the picture stays as it is. What describes another file is
    left out, and so are instructions for the development of a raw file.
    """
    sidecar = read_xmp(data, lambda name: name.namespace not in (CAMERA_RAW, _DARKTABLE) and not is_stale_name(name))
    packet = _read_packet(metadata.xmp)
    packet.properties |= sidecar.properties
    packet.prefixes = {**sidecar.prefixes, **packet.prefixes}
    known = {name: sidecar.values(name) for name in _DATA_SETS if sidecar.values(name)}
    return _with_legacy_fields(replace(metadata, xmp=packet.to_bytes()), known)


def with_rights_in_xmp(metadata: Metadata) -> Metadata:
    """Return the metadata with every credit and description that is only in IPTC or a PNG's text also in XMP.

    WebP and AVIF hold no IPTC, and only PNG holds texts.
    """
    packet = _read_packet(metadata.xmp)
    missing = {name: texts for name in _DATA_SETS if name not in packet.properties and (texts := _legacy_texts(metadata, name))}
    if not missing:
        return metadata
    _set_properties(packet, missing)
    return replace(metadata, xmp=packet.to_bytes())


def _legacy_texts(metadata: Metadata, name: XmpName) -> list[str]:
    """Return a field as IPTC or else the PNG's texts have it; nothing if Exif has it, which every format holds."""
    block = None if metadata.exif is None else read_exif(metadata.exif)
    if block is not None and name in _EXIF_TAGS and block.image_text(_EXIF_TAGS[name]):
        return []
    texts = iptc_records.iptc_texts(iptc_records.read_iptc(metadata.iptc or b""), _DATA_SETS[name])
    keywords = _TEXT_KEYWORDS.get(name, ())
    return texts or [text for keyword, text in metadata.text_chunks if keyword.casefold() in keywords and text.strip()][:1]


def _with_fields(metadata: Metadata, values: _Fields) -> Metadata:
    packet = _read_packet(metadata.xmp)
    _set_properties(packet, values)
    return _with_legacy_fields(replace(metadata, xmp=packet.to_bytes()), values)


def _read_packet(data: bytes | None) -> XmpPacket:
    try:
        return XmpPacket() if data is None else read_xmp(data)
    except UnreadableXmp:
        return XmpPacket()


def _set_properties(packet: XmpPacket, values: _Fields) -> None:
    for name, texts in values.items():
        if name in _ALTERNATIVES:
            packet.set_alternative(name, texts[0])
        elif name in _SEQUENCES:
            packet.set_sequence(name, texts)
        elif name in _BAGS:
            packet.set_bag(name, texts)
        else:
            packet.set_text(name, texts[0])


def _with_legacy_fields(metadata: Metadata, values: _Fields) -> Metadata:
    """Return the metadata with these fields in Exif, and in IPTC, in Windows' tags and in the PNG's texts where the picture has them."""
    by_keyword = {keyword: texts[0] for name, texts in values.items() for keyword in _TEXT_KEYWORDS.get(name, ())}
    return replace(
        metadata,
        exif=_set_exif_fields(metadata.exif, values),
        iptc=None if metadata.iptc is None else _set_iptc_fields(metadata.iptc, values),
        text_chunks=tuple((keyword, by_keyword.get(keyword.casefold(), text)) for keyword, text in metadata.text_chunks),
    )


def _set_exif_fields(data: bytes | None, values: _Fields) -> bytes | None:
    block = (None if data is None else read_exif(data)) or ExifBlock()
    known = {name: texts for name, texts in values.items() if name in _EXIF_TAGS or _WINDOWS_TAGS.get(name) in block.image}
    if not known:
        return data
    for name, texts in known.items():
        block.image.pop(_WINDOWS_TAGS.get(name, 0), None)
        if name in _EXIF_TAGS:
            block.set_image_text(_EXIF_TAGS[name], "; ".join(texts))
    return block.to_bytes()


def _set_iptc_fields(data: bytes, values: _Fields) -> bytes | None:
    texts = {_DATA_SETS[name]: texts for name, texts in values.items() if name in _DATA_SETS}
    return iptc_records.write_iptc(iptc_records.with_texts(iptc_records.read_iptc(data), texts))
