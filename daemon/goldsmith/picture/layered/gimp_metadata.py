"""Turn the list of metadata in a GIMP document, which names each value as Exiv2 does, into an XMP packet."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from goldsmith.picture.formats.image_info import DamagedFile, ImageHeader
from goldsmith.picture.layered.xml_tree import parse_xml
from goldsmith.picture.metadata.xmp_packet import (
    DC,
    EXIF,
    IPTC_CORE,
    IPTC_EXT,
    PHOTOSHOP,
    PLUS,
    ST_REF,
    TIFF,
    XMP,
    XMP_MM,
    XMP_RIGHTS,
    XmpName,
    XmpPacket,
)

_NAMESPACES = {
    "dc": DC,
    "xmp": XMP,
    "xmpMM": XMP_MM,
    "xmpRights": XMP_RIGHTS,
    "photoshop": PHOTOSHOP,
    "tiff": TIFF,
    "exif": EXIF,
    "iptc": IPTC_CORE,
    "iptcExt": IPTC_EXT,
    "plus": PLUS,
    "stRef": ST_REF,
}
_ALTERNATIVES = ("title", "description", "rights", "UsageTerms", "AltTextAccessibility", "ExtDescrAccessibility")
_SEQUENCES = ("creator", "date")
# Exif that GIMP writes about the file itself.
_STORAGE_NAMES = ("BitsPerSample", "ImageLength", "ImageWidth", "Orientation", "ResolutionUnit", "XResolution", "YResolution", "ColorSpace")
_MAX_VALUES = 1000


def set_gimp_metadata(header: ImageHeader, data: bytes, name: str) -> None:
    """Set the header's XMP from GIMP's list of metadata, with a remark about what has no place in it, or about a list that is damaged."""
    texts: dict[XmpName, list[str]] = {}
    structures: dict[XmpName, dict[XmpName, str]] = {}
    left_out = 0
    try:
        tags = list(parse_xml(data.rstrip(b"\0"), name, "metadata").iter("tag"))[:_MAX_VALUES]
    except DamagedFile:
        header.notes.append("its metadata are damaged and were left out")
        return
    for tag in tags:
        kind, _, rest = tag.get("name", "").partition(".")
        if kind == "Xmp" and _add_value(tag, rest, texts, structures):
            continue
        if not rest.endswith(_STORAGE_NAMES):
            left_out += 1
    packet = XmpPacket()
    for property_name, values in texts.items():
        _set_values(packet, property_name, values)
    for structure, fields in structures.items():
        packet.set_fields(structure, fields)
    header.xmp = packet.to_bytes()
    if left_out:
        what = f"{left_out} values" if left_out > 1 else "one value"
        header.notes.append(f"{what} of its Exif, IPTC and XMP are kept by GIMP in a form that is not read, and were left out")


def _add_value(tag: Element, place: str, texts: dict[XmpName, list[str]], structures: dict[XmpName, dict[XmpName, str]]) -> bool:
    """Add one XMP value, such as ``dc.title`` or ``xmpMM.DerivedFrom/stRef:documentID``; return False if it has no place."""
    prefix, _, local = place.partition(".")
    local, _, inner = local.partition("/")
    inner_prefix, _, inner_local = inner.partition(":")
    if prefix not in _NAMESPACES or not local.isidentifier() or tag.get("encoding"):
        return False
    key, text = XmpName(_NAMESPACES[prefix], local), (tag.text or "").strip()
    if not inner:
        texts.setdefault(key, []).append(text)
        return True
    if inner_prefix not in _NAMESPACES or not inner_local.isidentifier():
        return False
    structures.setdefault(key, {})[XmpName(_NAMESPACES[inner_prefix], inner_local)] = text
    return True


def _set_values(packet: XmpPacket, key: XmpName, values: list[str]) -> None:
    if key.local in _ALTERNATIVES:
        packet.set_alternative(key, values[0].removeprefix('lang="x-default" '))
    elif key.local in _SEQUENCES:
        packet.set_sequence(key, values)
    elif len(values) > 1 or (key.namespace == DC and key.local in ("subject", "publisher", "contributor", "language", "relation", "type")):
        packet.set_bag(key, values)
    else:
        packet.set_text(key, values[0])
