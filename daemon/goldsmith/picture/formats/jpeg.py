"""Read JPEG: the segments are followed to the end of the picture, because libjpeg fills missing parts with grey."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from goldsmith.errors import InputError
from goldsmith.picture.formats.decoding_limits import TextBudget, check_scan_count
from goldsmith.picture.formats.image_info import (
    PROVENANCE_NOTE,
    ImageHeader,
    Samples,
    check_size,
    damaged_error,
    describe_arrival,
    truncated_error,
)
from goldsmith.picture.formats.jpeg_markers import (
    END_OF_IMAGE,
    SOF_MARKERS,
    START_OF_SCAN,
    check_segment_count,
    find_scan_end,
    next_segment,
)
from goldsmith.picture.formats.metadata import iptc_from_photoshop, plausible_ppi, read_orientation, read_resolution, strip_exif_prefix
from goldsmith.picture.metadata.extended_xmp import EXTENSION_SIGNATURE

_COMMENT = 0xFE
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
# Behind "JP", instance and sequence number follow the superbox and its description with the type "c2pa" (ISO 19566-5; C2PA 2.1, A.3.1).
_JUMBF_HEAD_BYTES = 64


@dataclass(slots=True)
class _JpegSegments:
    """The segments of one picture; ``end_offset`` is the offset after its EOI."""

    size: tuple[int, int] = (0, 0)
    depth: int = 8
    components: int = 0
    has_adobe_marker: bool = False
    jfif_ppi: tuple[float, float] | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    xmp_extension: list[bytes] = field(default_factory=list)
    has_provenance: bool = False
    iptc: bytes | None = None
    icc_parts: dict[int, bytes] = field(default_factory=dict)
    further_pictures: list[tuple[int, int]] = field(default_factory=list)
    end_offset: int = 0


def read_header(data: bytes, name: str, max_pixels: int) -> ImageHeader:
    """Return everything but the pixels; the file is followed to the end of its picture, so a truncated one is found here."""
    segments = _read_segments(data, 0, name, max_pixels)
    if segments.components not in (1, 3, 4):
        raise InputError(f"{name} is a JPEG with {segments.components} channels, which is not supported.", "Save it as RGB.")
    header = ImageHeader("jpeg", segments.size[0], segments.size[1], segments.depth, segments.components, reader_state=segments)
    header.max_code = float(2**segments.depth - 1)
    header.icc = b"".join(segments.icc_parts[key] for key in sorted(segments.icc_parts)) or None
    header.exif = strip_exif_prefix(segments.exif)
    header.orientation = read_orientation(header.exif)
    header.ppi = segments.jfif_ppi or read_resolution(header.exif)
    header.xmp, header.iptc = segments.xmp, segments.iptc
    header.frame_count = 1 + len(segments.further_pictures)
    header.xmp_extension = segments.xmp_extension
    if segments.has_provenance:
        header.notes.append(PROVENANCE_NOTE)
    for offset, size in segments.further_pictures:
        if offset + size > len(data):
            raise truncated_error(name, f"of the further pictures in it, {describe_arrival(len(data), offset + size)}")
    return header


def read_samples(data: bytes, header: ImageHeader, name: str) -> Samples:
    """Return grey, RGB, or CMYK with 0 = no ink, as codes (h, w, n)."""
    segments: _JpegSegments = header.reader_state
    return _decode(data[: segments.end_offset], segments, name)


def check_frames(data: bytes, header: ImageHeader, name: str) -> None:
    """Decode every further picture of a multi-picture file (MPO, gain maps)."""
    first: _JpegSegments = header.reader_state
    for offset, size in first.further_pictures:
        part = data[offset : offset + size]
        if not part.startswith(b"\xff\xd8"):
            raise damaged_error(name, "a further picture that it announces is not in it")
        segments = _read_segments(part, 0, name, header.width * header.height)
        _decode(part, segments, name)


def _decode(data: bytes, segments: _JpegSegments, name: str) -> Samples:
    import imagecodecs

    result: Samples = imagecodecs.jpeg8_decode(data)
    width, height = segments.size
    if result.shape[:2] != (height, width):
        raise damaged_error(name, "its picture is of another size than its header says")
    result = result.reshape(height, width, -1)
    if segments.components == 4 and segments.has_adobe_marker:
        result = (2**segments.depth - 1) - result
    return result


def _read_segments(data: bytes, offset: int, name: str, max_pixels: int) -> _JpegSegments:
    segments, texts = _JpegSegments(), TextBudget(name)
    scan_count, segment_count = 0, 0
    offset += 2
    while True:
        code, body_start, end = next_segment(data, offset, name)
        segment_count += 1
        check_segment_count(name, segment_count)
        if code == END_OF_IMAGE:
            break
        if code in SOF_MARKERS:
            _read_frame_header(segments, data[body_start:end], name, max_pixels)
        elif code == START_OF_SCAN:
            if not segments.components:
                raise damaged_error(name, "its picture begins before its size is given")
            scan_count += 1
            check_scan_count(name, scan_count)
            end = find_scan_end(data, end, name)
        elif code == _COMMENT:
            texts.add(end - body_start)
        else:
            _read_app_segment(segments, code, data[body_start:end], body_start)
        offset = end
    if not segments.components:
        raise damaged_error(name, "it has no picture in it")
    segments.end_offset = body_start
    return segments


def _read_frame_header(segments: _JpegSegments, body: bytes, name: str, max_pixels: int) -> None:
    if len(body) < 6:
        raise damaged_error(name, "its header is too short")
    if segments.components:
        raise damaged_error(name, "it gives its size twice")
    segments.depth, height, width, segments.components = struct.unpack(">BHHB", body[:6])
    segments.size = (width, height)
    check_size(name, width, height, 1, max_pixels)


def _read_app_segment(segments: _JpegSegments, code: int, body: bytes, body_offset: int) -> None:
    if code == 0xE0 and body[:5] == b"JFIF\0" and len(body) >= 12:
        unit, across, down = struct.unpack(">BHH", body[7:12])
        scale = {1: 1.0, 2: 2.54}.get(unit)
        segments.jfif_ppi = plausible_ppi(across * scale, down * scale) if scale else None
    elif code == 0xE1 and body[:5] == b"Exif\0" and segments.exif is None:
        segments.exif = body
    elif code == 0xE1 and body.startswith(_XMP):
        segments.xmp = body[len(_XMP) :]
    elif code == 0xE1 and body.startswith(EXTENSION_SIGNATURE):
        segments.xmp_extension.append(body[len(EXTENSION_SIGNATURE) :])
    elif code == 0xEB and body[:2] == b"JP" and b"c2pa" in body[:_JUMBF_HEAD_BYTES]:
        segments.has_provenance = True
    elif code == 0xE2 and body[:12] == b"ICC_PROFILE\0" and len(body) > 14:
        segments.icc_parts.setdefault(body[12], body[14:])
    elif code == 0xE2 and body[:4] == b"MPF\0":
        segments.further_pictures = _read_mpf_index(body[4:], body_offset + 4)
    elif code == 0xED and body[:14] == b"Photoshop 3.0\0":
        segments.iptc = iptc_from_photoshop(body[14:]) or segments.iptc
    elif code == 0xEE and body[:5] == b"Adobe":
        segments.has_adobe_marker = True


def _read_mpf_index(mpf_block: bytes, base_offset: int) -> list[tuple[int, int]]:
    """Return (offset in the file, size) of the second and later pictures (CIPA DC-007, MP entry tag 0xB002)."""
    order = "<" if mpf_block[:2] == b"II" else ">"
    if len(mpf_block) < 10:
        return []
    index_offset = int(struct.unpack_from(order + "I", mpf_block, 4)[0])
    if index_offset + 2 > len(mpf_block):
        return []
    for entry in range(min(16, int(struct.unpack_from(order + "H", mpf_block, index_offset)[0]))):
        entry_offset = index_offset + 2 + 12 * entry
        if entry_offset + 12 > len(mpf_block):
            return []
        tag, _kind, size, offset = struct.unpack_from(order + "HHII", mpf_block, entry_offset)
        if tag == 0xB002 and offset + size <= len(mpf_block):
            rows = [struct.unpack_from(order + "III", mpf_block, offset + 16 * i) for i in range(1, size // 16)]
            return [(base_offset + start, length) for _kind, length, start in rows if start and length]
    return []
