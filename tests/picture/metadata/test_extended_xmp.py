"""XMP of more than 64 kB travels in a JPEG as a standard packet and an extension, and is read again."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import pytest

from doubles.metadata_blocks import RIGHTS_XMP, listed, read_with_exiftool, xmp_bytes
from goldsmith.picture.codec import EncodingOptions, decode, decode_with_info, encode
from goldsmith.picture.metadata.extended_xmp import EXTENSION_SIGNATURE, join_extension, split_packet
from goldsmith.picture.metadata.xmp_packet import DC, XMP, XmpName, read_xmp
from goldsmith.picture.picture import Metadata

LARGE = [f"uuid:{number:040}" for number in range(5000)]
PACKET = xmp_bytes(RIGHTS_XMP + listed("xmpMM:Ingredients", LARGE) + "<xmp:Label>red</xmp:Label>")


def test_a_large_packet_is_kept_with_its_rights_in_front(photo: Any, make_picture: Any) -> None:
    """ExifTool reads all of it; a reader without extensions finds the rights in the standard packet."""
    data = encode(make_picture(photo).with_metadata(Metadata(xmp=PACKET)), EncodingOptions("jpeg"))
    facts = read_with_exiftool(data, ".jpg")
    assert len(facts["XMP-xmpMM:Ingredients"]) == 1000  # ExifTool's own limit
    assert (facts["XMP-dc:Rights"], facts["XMP-xmp:Label"]) == ("(c) Anna Müller", "red")
    start = data.index(b"http://ns.adobe.com/xap/1.0/\0")
    standard = data[start : start + int.from_bytes(data[start - 2 : start], "big") - 2].partition(b"\0")[2]
    assert read_xmp(standard).text(XmpName(DC, "rights")) == "(c) Anna Müller"
    again = decode(data, "a.jpg", 10_000).metadata.xmp
    assert again is not None
    assert read_xmp(again).values(XmpName("http://ns.adobe.com/xap/1.0/mm/", "Ingredients")) == LARGE
    assert set(read_xmp(again).properties) == set(read_xmp(PACKET).properties)
    assert encode(decode(data, "a.jpg", 10_000), EncodingOptions("png"))


def test_a_small_packet_needs_no_extension() -> None:
    """It stays byte for byte."""
    assert split_packet(PACKET[:100], 100) == (PACKET[:100], [])
    assert split_packet(b"x" * 200, 100) == (None, [])


def test_the_parts_fit_into_segments_and_name_their_digest() -> None:
    """Digest, size and offset stand before each part."""
    standard, parts = split_packet(PACKET, 65_000)
    assert standard is not None
    assert len(standard) <= 65_000
    assert len(parts) == 5
    assert max(len(EXTENSION_SIGNATURE + part) for part in parts) <= 65_533
    body = b"".join(part[40:] for part in parts)
    guid = hashlib.md5(body, usedforsecurity=False).hexdigest().upper().encode()
    assert [part[:40] for part in parts] == [guid + struct.pack(">II", len(body), number * 65_400) for number in range(5)]
    assert guid in standard


def test_rights_stay_in_the_standard_packet_even_if_they_are_the_largest() -> None:
    """Readers without extensions must find them."""
    terms = f"<xmpRights:UsageTerms>{'t' * 40_000}</xmpRights:UsageTerms>"
    others = "".join(f"<xmp:{name}>{'x' * 12_000}</xmp:{name}>" for name in ("Label", "Nickname", "BaseURL"))
    standard, parts = split_packet(xmp_bytes(terms + others), 65_000)
    assert standard is not None
    assert {name.local for name in read_xmp(standard).properties} == {"UsageTerms", "Label", "BaseURL", "HasExtendedXMP"}
    assert len(parts) == 1


@pytest.mark.parametrize("damage", ["missing", "changed", "oversized", "foreign"])
def test_a_damaged_extension_is_left_out(damage: str) -> None:
    """A part is missing or was changed, it claims to be larger than the limit, or it belongs to another packet."""
    standard, parts = split_packet(PACKET, 65_000)
    assert standard is not None
    if damage == "missing":
        parts = parts[1:]
    elif damage == "changed":
        parts[0] = parts[0][:-1] + b"!"
    elif damage == "foreign":
        parts = [b"0" * 32 + part[32:] for part in parts]
    assert join_extension(standard, parts, 1000 if damage == "oversized" else 1 << 20) is None
    assert join_extension(xmp_bytes(RIGHTS_XMP), parts, 1 << 20) is None


def test_a_part_that_announces_gigabytes_needs_no_memory() -> None:
    """The size in the part is a claim of a stranger."""
    guid = b"A" * 32
    packet = xmp_bytes("", f'xmpNote:HasExtendedXMP="{guid.decode()}"')
    assert join_extension(packet, [guid + struct.pack(">II", 0xFFFFFFFF, 0xFFFFFF00) + b"x"], 32 << 20) is None


def test_a_jpeg_with_a_damaged_extension_keeps_its_standard_packet(photo: Any, make_picture: Any) -> None:
    """The remark tells what is missing."""
    data = encode(make_picture(photo).with_metadata(Metadata(xmp=PACKET)), EncodingOptions("jpeg"))
    place = data.index(b"uuid:" + b"0" * 39 + b"1")
    picture, facts = decode_with_info(data[:place] + b"wrong" + data[place + 5 :], "a.jpg", 10_000)
    assert facts.notes == ("the extended part of its XMP is damaged or incomplete and was left out",)
    assert read_xmp(picture.metadata.xmp or b"").text(XmpName(XMP, "Label")) == "red"
