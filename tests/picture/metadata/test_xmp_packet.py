"""XMP of any program is read with limits, changed property by property, and written so that other readers understand it."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doubles.metadata_blocks import RIGHTS_XMP, alternative, listed, read_with_exiftool, xmp_bytes
from goldsmith.picture.metadata.xmp_packet import DC, PHOTOSHOP, XMP, XMP_RIGHTS, UnreadableXmp, XmpName, XmpPacket, read_xmp

TITLE, CREATOR, SUBJECT, CREDIT = XmpName(DC, "title"), XmpName(DC, "creator"), XmpName(DC, "subject"), XmpName(PHOTOSHOP, "Credit")
# A JPEG of 1 x 1 pixel, for ExifTool.
_JPEG = bytes.fromhex(
    "ffd8ffdb004300" + "01" * 64 + "ffc0000b080001000101011100ffc40014000100000000000000000000000000000000ffda0008010100003f00d2cfffd9"
)


def _as_jpeg(packet: bytes) -> bytes:
    body = b"http://ns.adobe.com/xap/1.0/\0" + packet
    return _JPEG[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + _JPEG[2:]


def test_properties_are_read_as_elements_and_as_attributes() -> None:
    """Programs write simple properties in both ways."""
    packet = read_xmp(xmp_bytes(RIGHTS_XMP, 'xmpRights:Marked="True"'))
    assert packet.text(TITLE) == "Spring"
    assert packet.values(CREATOR) == ["Anna Müller", "Bea"]
    assert packet.text(CREATOR) == "Anna Müller; Bea"
    assert packet.text(CREDIT) == "Studio Nord"
    assert packet.text(XmpName(XMP_RIGHTS, "Marked")) == "True"
    assert packet.text(XmpName(DC, "source")) == ""
    assert packet.qualified_name(CREDIT) == "photoshop:Credit"


def test_the_default_language_is_the_text() -> None:
    """It may stand behind other languages."""
    content = '<dc:title><rdf:Alt><rdf:li xml:lang="de">Frühling</rdf:li><rdf:li xml:lang="x-default">Spring</rdf:li></rdf:Alt></dc:title>'
    assert read_xmp(xmp_bytes(content)).text(TITLE) == "Spring"


def test_a_value_with_qualifiers_is_its_value() -> None:
    """Qualified values are rare; the plain value counts."""
    content = "<photoshop:Credit rdf:parseType='Resource'><rdf:value>Nord</rdf:value><xmp:Label>x</xmp:Label></photoshop:Credit>"
    packet = read_xmp(xmp_bytes(content))
    assert packet.text(CREDIT) == "Nord"
    assert read_xmp(packet.to_bytes() or b"").text(CREDIT) == "Nord"


def test_exiftool_reads_what_is_written_as_before() -> None:
    """The packet is written anew, and an independent reader finds the same values: texts, lists, structures."""
    structure = (
        "<mwg-rs:Regions rdf:parseType='Resource'><mwg-rs:RegionList><rdf:Bag><rdf:li rdf:parseType='Resource'>"
        '<mwg-rs:Name>A &amp; &lt;B&gt; "C"</mwg-rs:Name><mwg-rs:Type>Face</mwg-rs:Type></rdf:li></rdf:Bag>'
        "</mwg-rs:RegionList></mwg-rs:Regions>"
    )
    source = xmp_bytes(RIGHTS_XMP + structure, 'xmp:Label="a &quot;b&quot;"')
    written = read_xmp(source).to_bytes()
    assert written is not None
    before, after = (
        {
            name: value
            for name, value in read_with_exiftool(_as_jpeg(data), ".jpg").items()
            if name.startswith("XMP-") and "xmptk" not in name.lower()
        }
        for data in (source, written)
    )
    assert len(before) >= 9
    assert {**before, "XMP-x:XMPToolkit": None} == {**after, "XMP-x:XMPToolkit": None}


def test_unwanted_properties_are_never_built() -> None:
    """100,000 ancestors are skipped, though they are more elements than a packet may have."""
    packet = read_xmp(
        xmp_bytes(listed("photoshop:DocumentAncestors", ["x"] * 150_000) + RIGHTS_XMP), lambda name: name.local != "DocumentAncestors"
    )
    assert packet.text(TITLE) == "Spring"
    assert XmpName(PHOTOSHOP, "DocumentAncestors") not in packet.properties
    with pytest.raises(UnreadableXmp, match="more than 100,000 elements"):
        read_xmp(xmp_bytes(listed("dc:subject", ["x"] * 150_000)))


BOMB = "<!DOCTYPE x [" + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "ha" * 10}">' for n in range(9)) + "]>"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (BOMB.encode() + b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>&a8;</x:xmpmeta>", "document type"),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>', "document type"),
        (b"<x:xmpmeta>", "not well-formed"),
        (b"", "not well-formed"),
        (b"\xff\xd8\xff not XML", "not well-formed"),
        (b"<?xml version='1.0' encoding='klingon'?><x/>", "encoding is unknown"),
        (b"<x>" * 100 + b"</x>" * 100, "nested too deep"),
        (xmp_bytes("<dc:source>" * 100 + "</dc:source>" * 100), "nested too deep"),
    ],
)
def test_packets_of_strangers_are_refused_with_a_reason(data: bytes, reason: str) -> None:
    """Entities are not expanded, nothing is fetched, and the depth is limited."""
    with pytest.raises(UnreadableXmp, match=reason):
        read_xmp(data)


def test_a_packet_in_utf_16_and_with_zeros_behind_it_is_read() -> None:
    """XMP may be in UTF-16, and TIFF pads it with zeros."""
    text = xmp_bytes(RIGHTS_XMP).decode().replace("\ufeff", "")
    assert read_xmp(text.encode("utf-16")).text(CREATOR) == "Anna Müller; Bea"
    assert read_xmp(xmp_bytes(RIGHTS_XMP) + b"\0" * 10).text(TITLE) == "Spring"
    assert read_xmp(xmp_bytes(RIGHTS_XMP) + b" garbage").text(TITLE) == "Spring"


@given(st.text(max_size=50), st.lists(st.text(max_size=20), max_size=3))
@settings(max_examples=100, deadline=None)
def test_any_text_can_be_set(text: str, texts: list[str]) -> None:
    """Characters that XML has no place for are left out; the packet stays well-formed."""
    packet = XmpPacket()
    packet.set_alternative(TITLE, text)
    packet.set_sequence(CREATOR, texts)
    packet.set_bag(SUBJECT, texts)
    packet.set_text(CREDIT, text)
    data = packet.to_bytes()
    assert data is not None
    ElementTree.fromstring(data)  # noqa: S314 - our own
    again = read_xmp(data)
    printable = "".join(letter for letter in text if letter.isprintable())
    if printable == text:
        assert again.text(CREDIT) == text.strip()


def test_namespaces_with_the_same_or_an_invalid_prefix_stay_apart() -> None:
    """Prefixes are only names: what counts is the namespace."""
    packet = XmpPacket(prefixes={"http://a.example/": "dc", "http://b.example/": "1x", "http://c.example/": "xmlish"})
    names = [XmpName(f"http://{letter}.example/", "word") for letter in "abc"]
    packet.set_alternative(TITLE, "Spring")
    for name in names:
        packet.set_text(name, name.namespace)
    again = read_xmp(packet.to_bytes() or b"")
    assert [again.text(name) for name in names] == [name.namespace for name in names]
    assert again.text(TITLE) == "Spring"


def test_the_text_of_a_large_element_is_complete() -> None:
    """It arrives in pieces."""
    packet = read_xmp(xmp_bytes(f"<xmp:Label>{'QUJD' * 1_000_000}</xmp:Label>" + alternative("dc:title", "Spring")))
    assert len(packet.text(XmpName(XMP, "Label"))) == 4_000_000
    assert packet.text(TITLE) == "Spring"
