"""XMP as a list of properties (ISO 16684-1): read a packet of any program with limits, change it, and write it.

The packet comes from strangers: document types and entities are refused, and the number and the depth of its elements are limited.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn
from xml.etree.ElementTree import Element, SubElement
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

RDF, XML, X = "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "http://www.w3.org/XML/1998/namespace", "adobe:ns:meta/"
DC, XMP, XMP_MM = "http://purl.org/dc/elements/1.1/", "http://ns.adobe.com/xap/1.0/", "http://ns.adobe.com/xap/1.0/mm/"
XMP_RIGHTS, XMP_NOTE = "http://ns.adobe.com/xap/1.0/rights/", "http://ns.adobe.com/xmp/note/"
PHOTOSHOP, CAMERA_RAW = "http://ns.adobe.com/photoshop/1.0/", "http://ns.adobe.com/camera-raw-settings/1.0/"
TIFF, EXIF, EXIF_EX = "http://ns.adobe.com/tiff/1.0/", "http://ns.adobe.com/exif/1.0/", "http://cipa.jp/exif/1.0/"
IPTC_CORE, IPTC_EXT = "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/", "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
PLUS, ST_REF = "http://ns.useplus.org/ldf/xmp/1.0/", "http://ns.adobe.com/xap/1.0/sType/ResourceRef#"
_USUAL_PREFIXES = {
    RDF: "rdf",
    XML: "xml",
    X: "x",
    DC: "dc",
    XMP: "xmp",
    XMP_MM: "xmpMM",
    XMP_RIGHTS: "xmpRights",
    XMP_NOTE: "xmpNote",
    PHOTOSHOP: "photoshop",
    CAMERA_RAW: "crs",
    TIFF: "tiff",
    EXIF: "exif",
    EXIF_EX: "exifEX",
    IPTC_CORE: "Iptc4xmpCore",
    IPTC_EXT: "Iptc4xmpExt",
    PLUS: "plus",
    ST_REF: "stRef",
}
_MAX_ELEMENTS, _MAX_DEPTH = 100_000, 64
# Text arrives in pieces of this size; a picture in Base64 may have megabytes.
_TEXT_BUFFER_BYTES = 1 << 20
_PADDING = b"\0 \t\r\n"
# Characters that XML 1.0 does not allow (section 2.2).
_FORBIDDEN_CHARACTERS = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class XmpName(NamedTuple):
    """The name of a property: its namespace and its local name."""

    namespace: str
    local: str


class UnreadableXmp(Exception):
    """The packet is not well-formed, has a document type, or is beyond the limits."""


@dataclass(slots=True)
class XmpPacket:
    """The properties of a picture, by name; ``prefixes`` are those that the packet gave to its namespaces."""

    properties: dict[XmpName, Element] = field(default_factory=dict)
    prefixes: dict[str, str] = field(default_factory=dict)

    def text(self, name: XmpName) -> str:
        """Return the text of a property: the value itself, the default language of an alternative, a list joined by "; "; "" if none."""
        values = self.values(name)
        element = self.properties.get(name)
        if element is not None and element.find(f"{{{RDF}}}Alt") is not None:
            return values[0] if values else ""
        return "; ".join(values)

    def values(self, name: XmpName) -> list[str]:
        """Return the texts of a property, in order; of an alternative the default language comes first."""
        element = self.properties.get(name)
        if element is None:
            return []
        container = next((child for child in element if child.tag in _CONTAINERS), None)
        if container is None:
            text = _own_text(element)
            return [text] if text else []
        entries = sorted(container, key=lambda entry: entry.get(f"{{{XML}}}lang") != "x-default") if "Alt" in container.tag else container
        return [text for entry in entries if (text := _own_text(entry))]

    def field_text(self, name: XmpName, field_name: XmpName) -> str:
        """Return the text of one field of a property that is a structure; "" if there is none."""
        element = self.properties.get(name)
        if element is None:
            return ""
        for place in (element, element.find(f"{{{RDF}}}Description")):
            if place is not None:
                child = place.find(_tag(field_name))
                text = place.get(_tag(field_name), "") if child is None else _own_text(child)
                if text:
                    return text.strip()
        return ""

    def set_fields(self, name: XmpName, fields: Mapping[XmpName, str]) -> None:
        """Set a structure of texts."""
        element = self.properties[name] = Element(_tag(name), {f"{{{RDF}}}parseType": "Resource"})
        for field_name, text in fields.items():
            SubElement(element, _tag(field_name)).text = _FORBIDDEN_CHARACTERS.sub("", text)

    def set_text(self, name: XmpName, text: str) -> None:
        """Set a simple property."""
        element = self.properties[name] = Element(_tag(name))
        element.text = _FORBIDDEN_CHARACTERS.sub("", text)

    def set_alternative(self, name: XmpName, text: str) -> None:
        """Set a text with languages to one that is good for all of them."""
        entry = self._set_container(name, "Alt", [text])[0]
        entry.set(f"{{{XML}}}lang", "x-default")

    def set_sequence(self, name: XmpName, values: Sequence[str]) -> None:
        """Set an ordered list, such as the creators."""
        self._set_container(name, "Seq", values)

    def set_bag(self, name: XmpName, values: Sequence[str]) -> None:
        """Set an unordered list, such as the keywords."""
        self._set_container(name, "Bag", values)

    def _set_container(self, name: XmpName, kind: str, values: Sequence[str]) -> list[Element]:
        element = self.properties[name] = Element(_tag(name))
        container = SubElement(element, f"{{{RDF}}}{kind}")
        entries = [SubElement(container, f"{{{RDF}}}li") for _ in values]
        for entry, value in zip(entries, values, strict=True):
            entry.text = _FORBIDDEN_CHARACTERS.sub("", value)
        return entries

    def qualified_name(self, name: XmpName) -> str:
        """Return a name for people: ``dc:title``."""
        return f"{self._prefix(name.namespace)}:{name.local}"

    def _prefix(self, namespace: str) -> str:
        return _USUAL_PREFIXES.get(namespace) or self.prefixes.get(namespace) or namespace.rstrip("/#").rpartition("/")[2] or "ns"

    def size_of(self, name: XmpName) -> int:
        """Return the bytes that a property has in the packet."""
        return len(_PacketWriter(self._prefix).write(self.properties[name]).encode("utf-8", "replace")) + 1

    def to_bytes(self, *, is_extension: bool = False) -> bytes | None:
        """Return the packet as UTF-8; None if it has no properties. An extension (part 3 of the XMP specification) has no wrapper."""
        if not self.properties:
            return None
        writer = _PacketWriter(self._prefix)
        body = "".join(f"\n{writer.write(element)}" for element in self.properties.values())
        declarations = "".join(f" xmlns:{prefix}={quoteattr(namespace)}" for namespace, prefix in writer.prefixes.items())
        text = (
            f'<x:xmpmeta xmlns:x="{X}"><rdf:RDF xmlns:rdf="{RDF}">\n<rdf:Description rdf:about=""{declarations}>{body}\n'
            "</rdf:Description></rdf:RDF></x:xmpmeta>"
        )
        if not is_extension:
            text = f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n{text}\n<?xpacket end="w"?>'
        return text.encode("utf-8", "replace")


_CONTAINERS = tuple(f"{{{RDF}}}{kind}" for kind in ("Alt", "Seq", "Bag"))


def _tag(name: XmpName) -> str:
    return f"{{{name.namespace}}}{name.local}"


def _own_text(element: Element) -> str:
    """Return the text of a simple value, also if it has qualifiers (``rdf:value``)."""
    value = element.find(f"{{{RDF}}}value")
    if value is None:
        value = element.find(f"{{{RDF}}}Description/{{{RDF}}}value")
    return ((element if value is None else value).text or element.get(f"{{{RDF}}}resource") or "").strip()


class _PacketWriter:
    """Writes elements and collects the prefixes of their namespaces."""

    def __init__(self, usual_prefix: Callable[[str], str]) -> None:
        self._usual_prefix = usual_prefix
        self.prefixes: dict[str, str] = {}

    def write(self, element: Element) -> str:
        name = self._name(element.tag)
        attributes = "".join(f" {self._name(key)}={quoteattr(value)}" for key, value in element.attrib.items())
        content = "".join(self.write(child) for child in element) or escape(element.text or "")
        return f"<{name}{attributes}>{content}</{name}>" if content else f"<{name}{attributes}/>"

    def _name(self, tag: str) -> str:
        namespace, _, local = tag[1:].rpartition("}")
        if namespace in (RDF, XML):
            return f"{_USUAL_PREFIXES[namespace]}:{local}"
        if namespace not in self.prefixes:
            prefix, number = self._usual_prefix(namespace), 0
            prefix = prefix if prefix.isidentifier() and not prefix.lower().startswith("xml") and prefix not in ("rdf", "x") else "ns"
            used, base = set(self.prefixes.values()), prefix
            while prefix in used:
                number += 1
                prefix = f"{base}{number}"
            self.prefixes[namespace] = prefix
        return f"{self.prefixes[namespace]}:{local}"


def read_xmp(data: bytes, is_kept: Callable[[XmpName], bool] = lambda _: True) -> XmpPacket:
    """Return the properties of a packet for which ``is_kept`` is true; the others cost no memory. Raises UnreadableXmp."""
    reader = _PacketReader(is_kept)
    try:
        reader.parser.Parse(data.strip(_PADDING), True)
    except expat.ExpatError as error:
        if not reader.is_complete:  # what follows the packet does not matter
            raise UnreadableXmp("it is not well-formed XML") from error
    except (LookupError, ValueError) as error:
        raise UnreadableXmp("its encoding is unknown") from error
    return XmpPacket(reader.properties, reader.prefixes)


class _PacketReader:
    """Collects the properties of every ``rdf:Description`` of the packet."""

    def __init__(self, is_kept: Callable[[XmpName], bool]) -> None:
        self._is_kept = is_kept
        self.properties: dict[XmpName, Element] = {}
        self.prefixes: dict[str, str] = {}
        self.is_complete = False
        # The names of the open elements down to the description, then the elements of the property that is read.
        self._outer: list[str] = []
        self._open: list[Element] = []
        self._skipped_depth = 0
        self._elements_left = _MAX_ELEMENTS
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.buffer_size = _TEXT_BUFFER_BYTES
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartNamespaceDeclHandler = self._namespace
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters

    def _doctype(self, *_: object) -> NoReturn:
        raise UnreadableXmp("it has a document type")

    def _namespace(self, prefix: str | None, namespace: str | None) -> None:
        if prefix and namespace and len(self.prefixes) < _MAX_ELEMENTS:
            self.prefixes.setdefault(namespace, prefix)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self._skipped_depth:
            self._skipped_depth += 1
            return
        parsed = _parse_name(name)
        if self._open and not parsed.namespace:
            self._skipped_depth = 1
        elif self._open:
            self._add_element(parsed, attributes)
        elif self._is_in_description():
            if not self._is_kept(parsed) or parsed in self.properties or parsed.namespace in ("", RDF):
                self._skipped_depth = 1
                return
            self._add_element(parsed, attributes)
        else:
            self._outer.append(name)
            if len(self._outer) > _MAX_DEPTH:
                raise UnreadableXmp("its elements are nested too deep")
            if self._is_in_description():
                self._add_attributes(attributes)

    def _is_in_description(self) -> bool:
        return self._outer[-2:] == [f"{RDF} RDF", f"{RDF} Description"]

    def _add_attributes(self, attributes: dict[str, str]) -> None:
        """Add the properties that a description has as attributes."""
        for key, value in attributes.items():
            name = _parse_name(key)
            if name.namespace not in ("", RDF, XML) and self._is_kept(name) and name not in self.properties:
                self._count_element()
                element = self.properties[name] = Element(_tag(name))
                element.text = value

    def _count_element(self) -> None:
        self._elements_left -= 1
        if self._elements_left < 0:
            raise UnreadableXmp(f"it has more than {_MAX_ELEMENTS:,} elements")

    def _add_element(self, name: XmpName, attributes: dict[str, str]) -> None:
        self._count_element()
        if len(self._open) >= _MAX_DEPTH:
            raise UnreadableXmp("its elements are nested too deep")
        element = Element(_tag(name), {_tag(_parse_name(key)): value for key, value in attributes.items() if " " in key})
        if self._open:
            self._open[-1].append(element)
        else:
            self.properties[name] = element
        self._open.append(element)

    def _end(self, _name: str) -> None:
        if self._skipped_depth:
            self._skipped_depth -= 1
        elif self._open:
            self._open.pop()
        else:
            self._outer.pop()
            self.is_complete = not self._outer

    def _characters(self, text: str) -> None:
        if self._open and not self._skipped_depth:
            self._open[-1].text = (self._open[-1].text or "") + text


def _parse_name(name: str) -> XmpName:
    namespace, _, local = name.rpartition(" ")
    return XmpName(namespace, local)
