"""Reading JPEG: segments are walked to the very end of the picture, because libjpeg fills in what is missing with grey."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

from goldsmith.errors import Problem
from goldsmith.picture.formats.facts import Header, Samples, check_size, cut_short, damaged
from goldsmith.picture.formats.metadata import bare_exif, iptc_of_photoshop, orientation, resolution, sensible_ppi

_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_LONG_XMP = b"http://ns.adobe.com/xmp/extension/\0"


@dataclass(slots=True)
class _Walk:
    """One picture's segments; ``end`` is the offset behind its EOI."""

    size: tuple[int, int] = (0, 0)
    depth: int = 8
    components: int = 0
    adobe: bool = False
    jfif_ppi: tuple[float, float] | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    long_xmp: bool = False
    iptc: bytes | None = None
    icc_parts: dict[int, bytes] = field(default_factory=dict)
    more: list[tuple[int, int]] = field(default_factory=list)
    end: int = 0


def read_header(data: bytes, name: str, max_pixels: int) -> Header:
    """Everything but the pixels; the file is followed to the end of its picture, so a truncated one is found here."""
    walk = _walk(data, 0, name, max_pixels)
    if walk.components not in (1, 3, 4):
        raise Problem(f"{name} is a JPEG with {walk.components} channels, which is not supported.", "Save it as RGB.")
    header = Header("jpeg", walk.size[0], walk.size[1], walk.depth, walk.components, walk=walk)
    header.levels = float(2**walk.depth - 1)
    header.icc = b"".join(walk.icc_parts[key] for key in sorted(walk.icc_parts)) or None
    header.exif = bare_exif(walk.exif)
    header.orientation = orientation(header.exif)
    header.ppi = walk.jfif_ppi or resolution(header.exif)
    header.xmp, header.iptc = walk.xmp, walk.iptc
    header.frames = 1 + len(walk.more)
    if walk.long_xmp:
        header.notes.append("the extended part of its XMP was not read")
    for offset, size in walk.more:
        if offset + size > len(data):
            raise cut_short(name, f"its further pictures end at byte {offset + size} and {len(data)} bytes are there")
    return header


def read_samples(data: bytes, header: Header, name: str) -> Samples:
    """Grey, RGB, or CMYK with 0 = no ink."""
    walk: _Walk = header.walk
    return _decode(data[: walk.end], walk, name)


def check_frames(data: bytes, header: Header, name: str) -> None:
    """Decode every further picture of a multi-picture file (MPO, gain maps)."""
    first: _Walk = header.walk
    for offset, size in first.more:
        part = data[offset : offset + size]
        if not part.startswith(b"\xff\xd8"):
            raise damaged(name, f"there is no picture at byte {offset}, where its index says so")
        walk = _walk(part, 0, name, header.width * header.height)
        _decode(part, walk, name)


def _decode(data: bytes, walk: _Walk, name: str) -> Samples:
    import imagecodecs

    made: Samples = imagecodecs.jpeg8_decode(data)
    width, height = walk.size
    if made.shape[:2] != (height, width):
        raise damaged(name, "its picture data is of another size than its header says")
    made = made.reshape(height, width, -1)
    if walk.components == 4 and walk.adobe:
        made = (2**walk.depth - 1) - made
    return made


def _walk(data: bytes, at: int, name: str, max_pixels: int) -> _Walk:
    walk = _Walk()
    at += 2
    while True:
        code, body_at, end = _segment(data, at, name)
        if code == 0xD9:
            break
        body = data[body_at:end]
        if code in _FRAMES:
            _read_frame(walk, body, name, max_pixels)
        elif code == 0xDA:
            if not walk.components:
                raise damaged(name, "its picture data comes before its size")
            found = _MARKER.search(data, end)
            if found is None:
                raise cut_short(name, f"its picture data breaks off after {len(data)} bytes")
            end = found.start()
        else:
            _read_extra(walk, code, body, body_at)
        at = end
    if not walk.components:
        raise damaged(name, "it has no picture in it")
    walk.end = body_at
    return walk


def _segment(data: bytes, at: int, name: str) -> tuple[int, int, int]:
    """Code, offset of the body and of what follows, of the segment at ``at``; restart and fill bytes are skipped."""
    while at < len(data) and data[at] == 0xFF and data[at + 1 : at + 2] == b"\xff":
        at += 1
    if at + 2 > len(data):
        raise cut_short(name, f"its end mark is missing after {len(data)} bytes")
    if data[at] != 0xFF:
        raise damaged(name, f"at byte {at} there is no segment where one has to be")
    code = data[at + 1]
    if code == 0xD9 or code in (0x01, *range(0xD0, 0xD8)):
        return code, at + 2, at + 2
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    if at + 2 + max(length, 2) > len(data):
        raise cut_short(name, f"it breaks off in its header after {len(data)} bytes")
    if length < 2 or code < 0xC0:
        raise damaged(name, f"its segment at byte {at} makes no sense")
    return code, at + 4, at + 2 + length


def _read_frame(walk: _Walk, body: bytes, name: str, max_pixels: int) -> None:
    if len(body) < 6:
        raise damaged(name, "its size segment is too short")
    if walk.components:
        raise damaged(name, "it says its size twice")
    walk.depth, height, width, walk.components = struct.unpack(">BHHB", body[:6])
    walk.size = (width, height)
    check_size(name, width, height, 1, max_pixels)


def _read_extra(walk: _Walk, code: int, body: bytes, body_at: int) -> None:
    if code == 0xE0 and body[:5] == b"JFIF\0" and len(body) >= 12:
        unit, across, down = struct.unpack(">BHH", body[7:12])
        scale = {1: 1.0, 2: 2.54}.get(unit)
        walk.jfif_ppi = sensible_ppi(across * scale, down * scale) if scale else None
    elif code == 0xE1 and body[:5] == b"Exif\0" and walk.exif is None:
        walk.exif = body
    elif code == 0xE1 and body.startswith(_XMP):
        walk.xmp = body[len(_XMP) :]
    elif code == 0xE1 and body.startswith(_LONG_XMP):
        walk.long_xmp = True
    elif code == 0xE2 and body[:12] == b"ICC_PROFILE\0" and len(body) > 14:
        walk.icc_parts.setdefault(body[12], body[14:])
    elif code == 0xE2 and body[:4] == b"MPF\0":
        walk.more = _further_pictures(body[4:], body_at + 4)
    elif code == 0xED and body[:14] == b"Photoshop 3.0\0":
        walk.iptc = iptc_of_photoshop(body[14:]) or walk.iptc
    elif code == 0xEE and body[:5] == b"Adobe":
        walk.adobe = True


def _further_pictures(index: bytes, base: int) -> list[tuple[int, int]]:
    """(offset in the file, size) of the second and later pictures (CIPA DC-007, MP entry tag 0xB002)."""
    order = "<" if index[:2] == b"II" else ">"
    if len(index) < 10:
        return []
    at = int(struct.unpack_from(order + "I", index, 4)[0])
    if at + 2 > len(index):
        return []
    for entry in range(min(16, int(struct.unpack_from(order + "H", index, at)[0]))):
        where = at + 2 + 12 * entry
        if where + 12 > len(index):
            return []
        tag, _kind, size, offset = struct.unpack_from(order + "HHII", index, where)
        if tag == 0xB002 and offset + size <= len(index):
            rows = [struct.unpack_from(order + "III", index, offset + 16 * i) for i in range(1, size // 16)]
            return [(base + start, length) for _kind, length, start in rows if start and length]
    return []
