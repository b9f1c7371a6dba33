"""Blocks of metadata as cameras, phones and programs write them, built byte by byte, and ExifTool as an independent reader."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

THUMBNAIL = b"\xff\xd8\xff\xe0 what the camera saw \xff\xd9"
SHORT, LONG, ASCII, RATIONAL, UNDEFINED = 3, 4, 2, 5, 7
# (type, bytes in the byte order of the block)
Tag = tuple[int, bytes]
_SIZES = {1: 1, ASCII: 1, SHORT: 2, LONG: 4, RATIONAL: 8, UNDEFINED: 1}
NAMESPACES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
    "xmpGImg": "http://ns.adobe.com/xap/1.0/g/img/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "crs": "http://ns.adobe.com/camera-raw-settings/1.0/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "GCamera": "http://ns.google.com/photos/1.0/camera/",
    "Container": "http://ns.google.com/photos/1.0/container/",
    "GPano": "http://ns.google.com/photos/1.0/panorama/",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "dcterms": "http://purl.org/dc/terms/",
    "darktable": "http://darktable.sf.net/",
}


def text_tag(text: str) -> Tag:
    """Return the value of a text."""
    return ASCII, text.encode() + b"\0"


def exif_bytes(order: str, *directories: Mapping[int, Tag], thumbnail: bytes = b"", filler: int = 0) -> bytes:
    """Return an Exif block: the first directory, then the Exif, GPS and interoperability directories, then the thumbnail's.

    ``filler``: bytes that nothing refers to, before the values of the Exif directory.
    """
    image, photo, gps, interoperability = [dict(each) for each in (*directories, {}, {}, {}, {})[:4]]
    data = bytearray({"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8))

    def number(value: int) -> Tag:
        return LONG, struct.pack(order + "I", value)

    def write(directory: Mapping[int, Tag], next_offset: int = 0) -> int:
        start = len(data) + len(data) % 2
        values = start + 2 + 12 * len(directory) + 4
        rows, tail = struct.pack(order + "H", len(directory)), b""
        for tag, (kind, value) in sorted(directory.items()):
            rows += struct.pack(order + "HHI", tag, kind, len(value) // _SIZES[kind])
            rows += value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(order + "I", values + len(tail))
            tail += value + b"\0" * (len(value) % 2) if len(value) > 4 else b""
        data.extend(b"\0" * (start - len(data)) + rows + struct.pack(order + "I", next_offset) + tail)
        return start

    data.extend(b"\0" * (2 + 12 * (len(image) + bool(photo) + bool(gps)) + 4))  # the first directory is filled in at the end
    data.extend(b"\xee" * filler)
    if interoperability:
        photo[0xA005] = number(write(interoperability))
    next_offset = 0
    if thumbnail:
        data.extend(b"\0" * (len(data) % 2))
        place = len(data)
        data.extend(thumbnail)
        next_offset = write({0x103: (SHORT, struct.pack(order + "H", 6)), 0x201: number(place), 0x202: number(len(thumbnail))})
    image |= {tag: number(write(directory)) for tag, directory in ((0x8769, photo), (0x8825, gps)) if directory}
    start = write(image, next_offset)
    struct.pack_into(order + "I", data, 4, start)
    return bytes(data)


def camera_exif(order: str = ">", orientation: int = 1, maker_note: bytes = b"a note of the maker") -> bytes:
    """Return the Exif of a phone: who made the picture, where and with what, its size and colour space, a maker note and a thumbnail."""

    def numbers(*values: int) -> Tag:
        return SHORT, struct.pack(f"{order}{len(values)}H", *values)

    image = {
        0x010F: text_tag("Phone"),
        0x0110: text_tag("Phone 12"),
        0x0112: numbers(orientation),
        0x0131: text_tag("Camera app"),
        0x0132: text_tag("2026:05:06 07:08:09"),
        0x013B: text_tag("Anna Müller"),
        0x8298: text_tag("(c) Anna Müller"),
        0x0213: numbers(1),
    }
    photo = {
        0x9000: (UNDEFINED, b"0232"),
        0x9003: text_tag("2026:05:06 07:08:09"),
        0x9101: (UNDEFINED, b"\1\2\3\0"),
        0x9214: numbers(100, 80, 20, 20),
        0x927C: (UNDEFINED, maker_note),
        0xA001: numbers(1),
        0xA002: numbers(240),
        0xA003: numbers(160),
        0xA431: text_tag("123456"),
        0xA435: text_tag("L-98765"),
    }
    degrees = struct.pack(order + "6I", 52, 1, 30, 1, 0, 1)
    gps = {0: (1, b"\2\3\0\0"), 1: text_tag("N"), 2: (RATIONAL, degrees), 3: text_tag("E"), 4: (RATIONAL, degrees)}
    return exif_bytes(order, image, photo, gps, {1: text_tag("R98"), 2: (UNDEFINED, b"0100")}, thumbnail=THUMBNAIL)


def xmp_bytes(content: str, attributes: str = "") -> bytes:
    """Return an XMP packet with these properties as elements and as attributes of its description, and the padding of a program."""
    declarations = " ".join(f'xmlns:{prefix}="{namespace}"' for prefix, namespace in NAMESPACES.items())
    return (
        f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Program">'
        f'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" {declarations} {attributes}>'
        f"{content}</rdf:Description></rdf:RDF></x:xmpmeta>{' ' * 100}<?xpacket end='w'?>"
    ).encode()


def alternative(name: str, text: str) -> str:
    """Return a property with one text for all languages."""
    return f'<{name}><rdf:Alt><rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt></{name}>'


def listed(name: str, texts: Sequence[str], kind: str = "Bag") -> str:
    """Return a property with a list of texts."""
    return f"<{name}><rdf:{kind}>{''.join(f'<rdf:li>{text}</rdf:li>' for text in texts)}</rdf:{kind}></{name}>"


RIGHTS_XMP = (
    alternative("dc:title", "Spring")
    + listed("dc:creator", ["Anna Müller", "Bea"], "Seq")
    + alternative("dc:rights", "(c) Anna Müller")
    + listed("dc:subject", ["desk", "linen"])
    + "<photoshop:Credit>Studio Nord</photoshop:Credit>"
    + "<Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia</Iptc4xmpExt:DigitalSourceType>"
    + "<xmpRights:WebStatement>https://studio.example/rights</xmpRights:WebStatement>"
)


def unpack_flat_picture(data: bytes, suffix: str) -> tuple[bytes, str]:
    """Return the flat picture of an OpenRaster archive, which few programs look into, and its suffix; other files as they are."""
    return (zipfile.ZipFile(io.BytesIO(data)).read("mergedimage.png"), ".png") if suffix == ".ora" else (data, suffix)


def read_with_exiftool(data: bytes, suffix: str, *options: str) -> dict[str, Any]:
    """Return what ExifTool reads from a file, by "group:tag" (family 1); the test is skipped where ExifTool is missing.

    It does not look into OpenRaster: of such a file it gets the flat picture, which has the metadata.
    """
    program = shutil.which("exiftool")
    if program is None:
        pytest.skip("exiftool (Debian's libimage-exiftool-perl) is not installed")
    data, suffix = unpack_flat_picture(data, suffix)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"a{suffix}")
        path.write_bytes(data)
        command = [program, "-json", "-G1", "-a", "-struct", *options, str(path)]
        output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    (result,) = json.loads(output)
    assert isinstance(result, dict)
    return result
