"""Follow the segments of a JPEG stream, in a JPEG file or inside a TIFF."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

from goldsmith.errors import IncompleteFileError, InputError
from goldsmith.picture.formats.decoding_limits import check_scan_count
from goldsmith.picture.formats.image_info import DamagedFile, damaged_error, describe_arrival, truncated_error

END_OF_IMAGE, START_OF_SCAN = 0xD9, 0xDA
SOF_MARKERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
# Frames whose coefficients arrive in several scans (ITU-T T.81, table B.1).
PROGRESSIVE_MARKERS = {0xC2, 0xC6, 0xCA, 0xCE}
_COEFFICIENTS = 64
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_FILL_BYTES = re.compile(rb"\xff*(?=\xff)")
# A file with a profile, extended XMP and provenance has a few hundred.
_MAX_SEGMENTS = 5000


@dataclass(slots=True)
class ScanCoverage:
    """Which coefficients of which component the scans of a picture have carried so far, and to which bit (ITU-T T.81, B.2.3)."""

    is_progressive: bool = False
    # Component -> for each coefficient, the lowest bit that was sent; absent = none.
    _lowest_bits: dict[int, dict[int, int]] = field(default_factory=dict)

    def add(self, header: bytes) -> None:
        """Add the scan with this header. An impossible header adds nothing."""
        count = header[0] if header else 0
        if len(header) < 4 + 2 * count:
            return
        first, last, bits = header[1 + 2 * count : 4 + 2 * count]
        coefficients = range(first, min(last, _COEFFICIENTS - 1) + 1) if self.is_progressive else range(_COEFFICIENTS)
        for component in header[1 : 1 + 2 * count : 2]:
            lowest = self._lowest_bits.setdefault(component, {})
            lowest.update(dict.fromkeys(coefficients, bits & 0x0F if self.is_progressive else 0))

    def is_complete(self, component_count: int) -> bool:
        """Return whether every bit of every coefficient of all components has its scan."""
        complete = [lowest for lowest in self._lowest_bits.values() if len(lowest) == _COEFFICIENTS and not any(lowest.values())]
        return 0 < component_count <= len(complete)


def check_segment_count(name: str, count: int) -> None:
    """Raise DamagedFile if a stream has more segments than any program writes."""
    if count > _MAX_SEGMENTS:
        raise damaged_error(name, f"it has more than {_MAX_SEGMENTS:,} parts before its picture")


def next_segment(data: bytes, offset: int, name: str) -> tuple[int, int, int]:
    """Return the code, the offset of the body and of the next segment, for the segment at ``offset``; without restart and fill bytes."""
    fill = _FILL_BYTES.match(data, offset)
    offset = offset if fill is None else fill.end()
    if offset + 2 > len(data):
        raise truncated_error(name, f"its end is missing, and {describe_arrival(len(data))}")
    if data[offset] != 0xFF:
        raise damaged_error(name, f"a part of it is missing or was changed (at byte {offset:,})")
    code = data[offset + 1]
    if code == END_OF_IMAGE or code in (0x01, *range(0xD0, 0xD8)):
        return code, offset + 2, offset + 2
    length = int.from_bytes(data[offset + 2 : offset + 4], "big")
    if offset + 2 + max(length, 2) > len(data):
        raise truncated_error(name, f"{describe_arrival(len(data))}, and its picture has not begun")
    if length < 2 or code < 0xC0:
        raise damaged_error(name, f"a part of its header makes no sense (at byte {offset:,})")
    return code, offset + 4, offset + 2 + length


def find_scan_end(data: bytes, offset: int, name: str) -> int:
    """Return the offset of the first segment after the scan whose data begins at ``offset``."""
    match = _MARKER.search(data, offset)
    if match is None:
        raise truncated_error(name, f"its picture breaks off, and {describe_arrival(len(data))}")
    return match.start()


def check_stream(data: bytes, name: str, max_pixels: int) -> None:
    """Refuse a JPEG stream inside another format by its size and its scans. One that breaks off passes: its decoder refuses it."""
    offset, scan_count, segment_count = 2, 0, 0
    try:
        while True:
            code, body_start, offset = next_segment(data, offset, name)
            segment_count += 1
            check_segment_count(name, segment_count)
            if code == END_OF_IMAGE:
                return
            if code in SOF_MARKERS and offset - body_start >= 5:
                height, width = struct.unpack_from(">HH", data, body_start + 1)
                if width * height > max_pixels:
                    raise InputError(
                        f"{name} is damaged: a part of it announces {width} x {height} pixels, more than belong there.",
                        "Save or copy it again from where it came from.",
                    )
            elif code == START_OF_SCAN:
                scan_count += 1
                check_scan_count(name, scan_count)
                offset = find_scan_end(data, offset, name)
    except (DamagedFile, IncompleteFileError):
        return
