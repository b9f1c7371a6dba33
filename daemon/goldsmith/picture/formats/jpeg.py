"""Read JPEG: the segments are followed to the end of the picture, because libjpeg fills missing parts with grey.

The first picture of a file counts. What the index of further pictures (MPO, gain maps) says about the others is often out of date, since
programs change or cut off a file without it: it costs a note, not the picture.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

import numpy as np

from goldsmith.errors import IncompleteFileError, InputError
from goldsmith.picture.formats.decoding_limits import TextBudget, check_scan_count
from goldsmith.picture.formats.image_info import (
    DECODER_ERRORS,
    PROVENANCE_NOTE,
    ImageHeader,
    Samples,
    check_size,
    damaged_error,
    describe_arrival,
    ends_in_zeros,
    truncated_error,
)
from goldsmith.picture.formats.jpeg_markers import (
    END_OF_IMAGE,
    PROGRESSIVE_MARKERS,
    SOF_MARKERS,
    START_OF_SCAN,
    ScanCoverage,
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
_END_OF_IMAGE_BYTES = b"\xff\xd9"
# The further pictures of a file, read together, may have this many times its bytes: an index may list one range again and again.
_MAX_FURTHER_SHARE = 4
_FIRST_RESTART = 0xD0
_RESTART_MARKER = re.compile(rb"\xff[\xd0-\xd7]")
# Bytes of invented picture data between two restart markers; the bits of a few blocks are enough to show in the pixels.
_FILLER_BYTES = 512


@dataclass(slots=True)
class _JpegSegments:
    """The segments of one picture; ``end_offset`` is the offset after its EOI, or the end of the data if it ``lacks_end``."""

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
    # (Offset, size) of the further pictures, as the index says.
    further_pictures: list[tuple[int, int]] = field(default_factory=list)
    scans: ScanCoverage = field(default_factory=ScanCoverage)
    last_scan_offset: int = 0
    lacks_end: bool = False
    end_offset: int = 0


def read_header(data: bytes, name: str, max_pixels: int) -> ImageHeader:
    """Return everything but the pixels; the file is followed to the end of its picture, so a truncated one is found here."""
    segments = _read_segments(data, name, max_pixels)
    if segments.components not in (1, 3, 4):
        raise InputError(f"{name} is a JPEG with {segments.components} channels, which is not supported.", "Save it as RGB.")
    header = ImageHeader("jpeg", segments.size[0], segments.size[1], segments.depth, segments.components, reader_state=segments)
    header.max_code = float(2**segments.depth - 1)
    header.icc = b"".join(segments.icc_parts[key] for key in sorted(segments.icc_parts)) or None
    header.exif = strip_exif_prefix(segments.exif)
    header.orientation = read_orientation(header.exif)
    header.ppi = segments.jfif_ppi or read_resolution(header.exif)
    header.xmp, header.iptc = segments.xmp, segments.iptc
    header.xmp_extension = segments.xmp_extension
    if segments.has_provenance:
        header.notes.append(PROVENANCE_NOTE)
    if segments.lacks_end:
        header.may_be_incomplete = True
        header.notes.append("its end is missing; its picture is whole")
    _check_further_pictures(data, segments, header, name, max_pixels)
    return header


def read_samples(data: bytes, header: ImageHeader, name: str) -> Samples:
    """Return grey, RGB, or CMYK with 0 = no ink, as codes (h, w, n)."""
    segments: _JpegSegments = header.reader_state
    if segments.lacks_end:
        return _decode_without_end(data, segments, name)
    return _decode(data[: segments.end_offset], segments, name)


def check_frames(data: bytes, header: ImageHeader, name: str) -> None:
    """Decode every further picture of a multi-picture file (MPO, gain maps). One that cannot be decoded gets a note."""
    first: _JpegSegments = header.reader_state
    damaged = 0
    for offset, size in first.further_pictures:
        part = data[offset : offset + size]
        try:
            segments = _read_segments(part, name, header.total_pixels)
            _decode(part[: segments.end_offset], segments, name)
        except (*DECODER_ERRORS, struct.error, InputError):
            damaged += 1
    if damaged:
        header.notes.append(f"{damaged} of its further pictures {'is' if damaged == 1 else 'are'} damaged; the first picture is whole")


def _check_further_pictures(data: bytes, segments: _JpegSegments, header: ImageHeader, name: str, max_pixels: int) -> None:
    """Keep the further pictures that are in the file, and note how many of the index's are not.

    An index beyond the end of the file may also mean that the rest has not arrived yet, unless the file ends with a picture.
    """
    pixel_counts, byte_count = dict[tuple[int, int], int](), 0
    for offset, size in dict.fromkeys(segments.further_pictures):
        if offset + size > len(data):
            header.may_be_incomplete |= segments.end_offset < len(data) and not data.endswith(_END_OF_IMAGE_BYTES)
            continue
        byte_count += size
        if byte_count <= _MAX_FURTHER_SHARE * len(data):
            pixel_counts[offset, size] = _count_pixels(data[offset : offset + size], name, max_pixels)
    whole = [place for place in segments.further_pictures if pixel_counts.get(place)]
    missing = len(segments.further_pictures) - len(whole)
    segments.further_pictures = whole
    header.frame_count = 1 + len(whole)
    header.total_pixels = header.width * header.height + sum(pixel_counts[place] for place in whole)
    if missing:
        lists = f"its index lists {missing} further picture{'s' if missing > 1 else ''} that"
        header.notes.append(f"{lists} {'are' if missing > 1 else 'is'} not in it or cannot be read; the first picture is whole")


def _count_pixels(part: bytes, name: str, max_pixels: int) -> int:
    """Return how many pixels a further picture has; 0 if there is no whole one that may be decoded."""
    if not part.startswith(b"\xff\xd8"):
        return 0
    try:
        segments = _read_segments(part, name, max_pixels)
    except (*DECODER_ERRORS, struct.error, InputError):
        return 0
    return 0 if segments.lacks_end else segments.size[0] * segments.size[1]


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


def _decode_without_end(data: bytes, segments: _JpegSegments, name: str) -> Samples:
    """Return the codes (h, w, n) of a picture whose end marker is missing. Raises IncompleteFileError if picture data is missing too.

    libjpeg does not say whether it had enough data. So the data is continued in two ways that differ in every bit: if the pixels differ,
    the decoder needed the continuation.
    """
    noise = np.random.default_rng(0).bytes(_FILLER_BYTES)
    fillers = (noise, bytes(byte ^ 0xFF for byte in noise))
    body = data.removesuffix(b"\xff")
    restarts = _RESTART_MARKER.findall(body, segments.last_scan_offset)
    next_restart = restarts[-1][1] + 1 if restarts else _FIRST_RESTART
    # The decoder finds every restart marker in turn, so that it reads the continuation in each of the intervals that are missing.
    markers = [bytes((0xFF, _FIRST_RESTART + (next_restart + number) % 8)) for number in range(8)]
    endings = [b"".join(_without_markers(filler) + marker for marker in markers) for filler in fillers]
    first, second = (_decode(body + ending + _END_OF_IMAGE_BYTES, segments, name) for ending in endings)
    if not np.array_equal(first, second):
        raise truncated_error(name, f"its picture breaks off, and {describe_arrival(len(data))}")
    return first


def _without_markers(data: bytes) -> bytes:
    return data.replace(b"\xff", b"\xfe")


def _read_segments(data: bytes, name: str, max_pixels: int) -> _JpegSegments:
    """Return the segments of the picture at the start of ``data``. A picture with all its scans may lack its end."""
    segments = _JpegSegments()
    try:
        _follow_segments(segments, data, name, max_pixels)
    except IncompleteFileError:
        if ends_in_zeros(data) or not segments.scans.is_complete(segments.components):
            raise
        segments.lacks_end, segments.end_offset = True, len(data)
    return segments


def _follow_segments(segments: _JpegSegments, data: bytes, name: str, max_pixels: int) -> None:
    texts, scan_count, segment_count, offset = TextBudget(name), 0, 0, 2
    while True:
        code, body_start, end = next_segment(data, offset, name)
        segment_count += 1
        check_segment_count(name, segment_count)
        if code == END_OF_IMAGE:
            break
        if code in SOF_MARKERS:
            _read_frame_header(segments, data[body_start:end], name, max_pixels)
            segments.scans.is_progressive = code in PROGRESSIVE_MARKERS
        elif code == START_OF_SCAN:
            if not segments.components:
                raise damaged_error(name, "its picture begins before its size is given")
            scan_count += 1
            check_scan_count(name, scan_count)
            segments.scans.add(data[body_start:end])
            segments.last_scan_offset = end
            end = find_scan_end(data, end, name)
        elif code == _COMMENT:
            texts.add(end - body_start)
        else:
            _read_app_segment(segments, code, data[body_start:end], body_start)
        offset = end
    if not segments.components:
        raise damaged_error(name, "it has no picture in it")
    segments.end_offset = body_start


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
